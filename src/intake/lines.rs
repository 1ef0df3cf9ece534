//! Text into physical lines, handed to the CSV reader one at a time and only as it asks for them.
//!
//! Because the reader never sees past the line it needs, this source knows at which line each row begins, bounds a row
//! before the reader holds it, and closes a row that would never end. It never looks at quotes or delimiters itself:
//! the reader asking for another line in the middle of a row *is* an open quote.

use std::io::{self, Read};

use super::decode::TextStream;

/// Most bytes of UTF-8 one row may have, quoted newlines included.
pub(super) const MAX_ROW: usize = 1 << 20;

/// How a row ended that did not end by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cut {
    /// It reached [`MAX_ROW`]; the rest of its last line is skipped.
    TooLong,
    /// The text ended.
    End,
}

/// The source of lines. Every line ends in `\n` here, whatever ended it in the file.
pub(super) struct LineSource {
    stream: TextStream,
    at: usize,
    /// The physical line at `at`, from 1.
    line: u64,
    /// The byte before `at` was a carriage return that ended its line; a line feed now belongs to it.
    after_return: bool,
    row_bytes: usize,
    in_line: bool,
    /// The last row was cut within a line, whose rest is still ahead.
    rest_of_line: bool,
    cut: Option<Cut>,
    open_quote: bool,
}

impl LineSource {
    pub(super) fn new(stream: TextStream) -> Self {
        Self {
            stream,
            at: 0,
            line: 1,
            after_return: false,
            row_bytes: 0,
            in_line: false,
            rest_of_line: false,
            cut: None,
            open_quote: false,
        }
    }

    /// Moves to the next row, past empty lines and whatever is left of a row that was cut.
    /// Gives its line number, or nothing at the end of the text.
    pub(super) fn begin_row(&mut self) -> io::Result<Option<u64>> {
        if std::mem::take(&mut self.rest_of_line) {
            self.skip_line()?;
        }
        (self.row_bytes, self.in_line, self.cut, self.open_quote) = (0, false, None, false);
        while let Some(byte) = self.peek()? {
            if !is_line_end(byte) {
                return Ok(Some(self.line));
            }
            self.end_line(byte);
        }
        Ok(None)
    }

    /// How the row just read was cut short, if it was, and whether a quote was open there.
    pub(super) fn cut(&self) -> Option<(Cut, bool)> {
        self.cut.filter(|cut| *cut == Cut::TooLong || self.open_quote).map(|cut| (cut, self.open_quote))
    }

    /// The line that would be read next.
    pub(super) fn line(&self) -> u64 {
        self.line
    }

    /// The first line of the text, at most 64 KiB of it, without moving; for sniffing.
    pub(super) fn first_line(&mut self) -> io::Result<&[u8]> {
        self.peek()?;
        let rest = &self.stream.chunk()[self.at..];
        let end = rest.iter().position(|byte| is_line_end(*byte)).unwrap_or(rest.len());
        Ok(&rest[..end])
    }

    /// Drops the rest of the current line.
    pub(super) fn skip_line(&mut self) -> io::Result<()> {
        while self.peek()?.is_some() {
            let rest = &self.stream.chunk()[self.at..];
            let Some(length) = rest.iter().position(|byte| is_line_end(*byte)) else {
                self.at += rest.len();
                continue;
            };
            let byte = rest[length];
            self.at += length;
            self.end_line(byte);
            return Ok(());
        }
        Ok(())
    }

    pub(super) fn encoding(&self) -> Option<&'static str> {
        self.stream.encoding()
    }

    /// The byte at the position; reads on if need be and passes the second half of `\r\n`.
    fn peek(&mut self) -> io::Result<Option<u8>> {
        loop {
            if self.at == self.stream.chunk().len() {
                self.stream.advance()?;
                self.at = 0;
            }
            let Some(byte) = self.stream.chunk().get(self.at).copied() else {
                return Ok(None);
            };
            if !(std::mem::take(&mut self.after_return) && byte == b'\n') {
                return Ok(Some(byte));
            }
            self.at += 1;
        }
    }

    fn end_line(&mut self, byte: u8) {
        self.at += 1;
        self.line += 1;
        self.after_return = byte == b'\r';
    }

    /// Ends a row that was cut: its line, then, if the reader still asks for more, the quote that holds it open.
    fn close(&mut self, out: &mut [u8], cut: Cut) -> usize {
        self.cut = Some(cut);
        if self.in_line {
            (self.in_line, self.rest_of_line) = (false, cut == Cut::TooLong);
            out[0] = b'\n';
            return 1;
        }
        self.open_quote = true;
        out[..2].copy_from_slice(b"\"\n");
        2
    }
}

impl Read for LineSource {
    /// At most the rest of one line; `out` must have room for two bytes, as the reader's buffer has.
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if let Some(cut) = self.cut {
            return Ok(if self.open_quote { 0 } else { self.close(out, cut) });
        }
        let Some(byte) = self.peek()? else {
            return Ok(self.close(out, Cut::End));
        };
        if self.row_bytes >= MAX_ROW {
            return Ok(self.close(out, Cut::TooLong));
        }
        if is_line_end(byte) {
            self.end_line(byte);
            (self.row_bytes, self.in_line) = (self.row_bytes + 1, false);
            out[0] = b'\n';
            return Ok(1);
        }
        let rest = &self.stream.chunk()[self.at..];
        let room = rest.len().min(out.len() - 1).min(MAX_ROW - self.row_bytes);
        let length = rest[..room].iter().position(|byte| is_line_end(*byte)).unwrap_or(room);
        out[..length].copy_from_slice(&rest[..length]);
        let end = rest.get(length).copied().filter(|_| length < room);
        self.at += length;
        self.row_bytes += length;
        self.in_line = true;
        let Some(end) = end else { return Ok(length) };
        self.end_line(end);
        (self.row_bytes, self.in_line) = (self.row_bytes + 1, false);
        out[length] = b'\n';
        Ok(length + 1)
    }
}

fn is_line_end(byte: u8) -> bool {
    byte == b'\n' || byte == b'\r'
}

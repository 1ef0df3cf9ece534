//! A file as a header and rows: any delimiter, any common encoding, quoted newlines, honest line numbers.
//!
//! Reads one row at a time into a buffer the caller keeps; memory does not grow with the file or with a line.
//! Never knows what a column means.

use std::io;

use csv::StringRecord;
use encoding_rs::Encoding;

use super::IntakeError;
use super::decode::TextStream;
use super::lines::{Cut, LineSource};
use super::source::{Progress, Source};

/// Delimiters that are looked for in the header, the likelier first.
const DELIMITERS: [u8; 4] = [b',', b';', b'\t', b'|'];

/// What the caller knows about a file; everything left out is found out.
#[derive(Clone, Debug, Default)]
pub struct TableOptions {
    /// Name of the encoding, such as `windows-1252` or `utf-16le`.
    pub encoding: Option<String>,
    /// The character between two fields.
    pub delimiter: Option<char>,
}

/// An open file with its header read.
pub struct Table {
    name: String,
    reader: csv::Reader<LineSource>,
    headers: Vec<String>,
    delimiter: u8,
    progress: Progress,
}

impl std::fmt::Debug for Table {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Table").field("name", &self.name).finish_non_exhaustive()
    }
}

/// One row, reused from read to read. Its fields are other people's data: `Debug` shows the line only.
#[derive(Clone, Default)]
pub struct Row {
    record: StringRecord,
    line: u64,
}

impl std::fmt::Debug for Row {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Row").field("line", &self.line).finish_non_exhaustive()
    }
}

impl Row {
    /// The physical line at which the row begins, from 1.
    pub fn line(&self) -> u64 {
        self.line
    }

    /// Bytes of all fields.
    pub(super) fn size(&self) -> usize {
        self.record.as_slice().len()
    }

    /// Whether it goes over more than one line.
    pub(super) fn has_line_break(&self) -> bool {
        self.record.as_slice().contains('\n')
    }

    /// The field of a column as written; empty if the row has no such field.
    pub fn get(&self, column: usize) -> &str {
        self.record.get(column).unwrap_or("")
    }

    /// All fields as written.
    pub fn fields(&self) -> impl Iterator<Item = &str> {
        self.record.iter()
    }
}

/// What is wrong with the form of a row, whatever its columns mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RowFault {
    /// Fewer fields than the header has.
    #[error("{found} fields, the header has {expected}")]
    TooFewFields {
        /// Fields of the row.
        found: usize,
        /// Fields of the header.
        expected: usize,
    },
    /// More fields than the header has; empty ones at the end do not count.
    #[error("{found} fields, the header has {expected}; quote fields that contain the delimiter")]
    TooManyFields {
        /// Fields of the row.
        found: usize,
        /// Fields of the header.
        expected: usize,
    },
    /// The row is longer than 1 MiB.
    #[error("the row is longer than 1 MiB{}", quote_hint(*.quote_line))]
    TooLong {
        /// Where a quote opened that was still open at the bound.
        quote_line: Option<u64>,
    },
    /// A quote is still open where the file ends.
    #[error("the quote opened in line {quote_line} is never closed; nothing after that line was read")]
    OpenQuote {
        /// Where it opened.
        quote_line: u64,
    },
    /// The row has a zero byte.
    #[error("the row contains a zero byte; export the file again as text")]
    ZeroByte,
    /// The row has bytes that its encoding does not know, or U+FFFD, the trace of an earlier wrong conversion.
    #[error("the row has unreadable characters; export it as UTF-8 or name the file's encoding")]
    Unreadable,
}

impl RowFault {
    /// The fault as a word for machines.
    pub const fn word(self) -> &'static str {
        match self {
            Self::TooFewFields { .. } => "too_few_fields",
            Self::TooManyFields { .. } => "too_many_fields",
            Self::TooLong { .. } => "row_too_long",
            Self::OpenQuote { .. } => "open_quote",
            Self::ZeroByte => "zero_byte",
            Self::Unreadable => "unreadable_characters",
        }
    }
}

/// What a read found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// A row, now in the buffer.
    Row,
    /// A row that cannot be used; the buffer has its line and whatever fields could be read.
    Bad(RowFault),
    /// The end of the file.
    End,
}

impl Table {
    /// Finds out encoding and delimiter and reads the header. A first line `sep=;`, as Excel writes it, is obeyed.
    ///
    /// # Errors
    /// When the source is empty or unreadable, its header is damaged, or an option names nothing.
    pub fn open(source: Source, options: &TableOptions) -> Result<Self, IntakeError> {
        let encoding = options.encoding.as_deref().map(find_encoding).transpose()?;
        let (name, progress) = (source.name.clone(), source.progress());
        let mut lines = LineSource::new(TextStream::new(source.bytes, encoding));
        let failed = |cause| IntakeError::Read { name: name.clone(), line: 1, cause };
        let told = told_delimiter(&mut lines).map_err(failed)?;
        lines.begin_row().map_err(failed)?.ok_or_else(|| IntakeError::Empty { name: name.clone() })?;
        let delimiter = match options.delimiter {
            Some(wanted) => one_byte(wanted)?,
            None => told.unwrap_or(sniff_delimiter(lines.first_line().map_err(failed)?)),
        };
        let reader = csv::ReaderBuilder::new()
            .has_headers(false)
            .flexible(true)
            .delimiter(delimiter)
            .terminator(csv::Terminator::Any(b'\n'))
            .buffer_capacity(1 << 13)
            .from_reader(lines);
        let mut table = Self { name, reader, headers: Vec::new(), delimiter, progress };
        let mut header = Row { line: table.reader.get_ref().line(), ..Row::default() };
        table.fill(&mut header)?;
        if let Some(fault) = table.damage(&header) {
            return Err(IntakeError::BadHeader { name: table.name, line: header.line, fault });
        }
        // No name of a column has these; a file that is no text hardly ever lacks them.
        if header.fields().any(|name| name.contains(|c: char| c.is_control() && !c.is_whitespace())) {
            return Err(IntakeError::Binary { name: table.name });
        }
        table.headers = header.fields().map(|field| field.trim().to_owned()).collect();
        Ok(table)
    }

    /// The names of the columns as written, without spaces around them.
    pub fn headers(&self) -> &[String] {
        &self.headers
    }

    /// The character between two fields.
    pub fn delimiter(&self) -> char {
        char::from(self.delimiter)
    }

    /// The encoding, if anything beyond ASCII has told it yet.
    pub fn encoding(&self) -> Option<&'static str> {
        self.reader.get_ref().encoding()
    }

    /// How far the reading has come.
    pub fn progress(&self) -> Progress {
        self.progress.clone()
    }

    /// Reads the next row that is not blank into `row`.
    ///
    /// # Errors
    /// When the source itself fails, such as a damaged archive; a bad row is no error but [`Next::Bad`].
    pub fn next_row(&mut self, row: &mut Row) -> Result<Next, IntakeError> {
        loop {
            let begun = self.reader.get_mut().begin_row();
            match begun.map_err(|cause| self.failed(cause))? {
                Some(line) => row.line = line,
                None => return Ok(Next::End),
            }
            self.fill(row)?;
            if let Some(fault) = self.damage(row) {
                return Ok(Next::Bad(fault));
            }
            if row.fields().all(|field| field.trim().is_empty()) {
                continue;
            }
            return Ok(self.misfit(row).map_or(Next::Row, Next::Bad));
        }
    }

    fn fill(&mut self, row: &mut Row) -> Result<(), IntakeError> {
        self.reader.read_record(&mut row.record).map(drop).map_err(|error| match error.into_kind() {
            csv::ErrorKind::Io(cause) => self.failed(cause),
            other => self.failed(io::Error::other(format!("{other:?}"))),
        })
    }

    fn damage(&self, row: &Row) -> Option<RowFault> {
        let quote_line = || {
            let before_last = row.record.iter().take(row.record.len().saturating_sub(1));
            row.line + before_last.map(|field| field.matches('\n').count() as u64).sum::<u64>()
        };
        match self.reader.get_ref().cut() {
            Some((Cut::TooLong, open)) => Some(RowFault::TooLong { quote_line: open.then(quote_line) }),
            Some((Cut::End, _)) => Some(RowFault::OpenQuote { quote_line: quote_line() }),
            None if row.record.as_slice().contains('\0') => Some(RowFault::ZeroByte),
            None if row.record.as_slice().contains('\u{FFFD}') => Some(RowFault::Unreadable),
            None => None,
        }
    }

    fn misfit(&self, row: &mut Row) -> Option<RowFault> {
        let (found, expected) = (row.record.len(), self.headers.len());
        if found < expected {
            return Some(RowFault::TooFewFields { found, expected });
        }
        if row.record.iter().skip(expected).any(|field| !field.trim().is_empty()) {
            return Some(RowFault::TooManyFields { found, expected });
        }
        row.record.truncate(expected);
        None
    }

    fn failed(&self, cause: io::Error) -> IntakeError {
        IntakeError::Read { name: self.name.clone(), line: self.reader.get_ref().line(), cause }
    }
}

fn find_encoding(label: &str) -> Result<&'static Encoding, IntakeError> {
    Encoding::for_label(label.as_bytes()).ok_or_else(|| IntakeError::Encoding { label: label.to_owned() })
}

fn one_byte(delimiter: char) -> Result<u8, IntakeError> {
    let usable = delimiter.is_ascii() && !matches!(delimiter, '"' | '\n' | '\r' | '\0');
    u8::try_from(delimiter).ok().filter(|_| usable).ok_or(IntakeError::Delimiter)
}

/// Takes a first line `sep=;` away and obeys it.
fn told_delimiter(lines: &mut LineSource) -> io::Result<Option<u8>> {
    let first = lines.first_line()?;
    let told = match first {
        [s, e, p, b'=', delimiter] if [*s, *e, *p].eq_ignore_ascii_case(b"sep") => Some(*delimiter),
        _ => None,
    };
    if told.is_some() {
        lines.skip_line()?;
    }
    Ok(told)
}

/// The most frequent delimiter outside quotes; a header without any is one column.
fn sniff_delimiter(header: &[u8]) -> u8 {
    let mut counts = [0_usize; DELIMITERS.len()];
    let mut quoted = false;
    for byte in header {
        match DELIMITERS.iter().position(|delimiter| delimiter == byte) {
            Some(which) if !quoted => counts[which] += 1,
            _ => quoted ^= *byte == b'"',
        }
    }
    let best = (0..DELIMITERS.len()).rev().max_by_key(|which| counts[*which]).unwrap_or(0);
    DELIMITERS[best]
}

fn quote_hint(quote_line: Option<u64>) -> String {
    quote_line
        .map(|line| format!("; is the quote opened in line {line} meant to be closed?"))
        .unwrap_or_default()
}

#[cfg(test)]
#[path = "table_tests.rs"]
mod tests;

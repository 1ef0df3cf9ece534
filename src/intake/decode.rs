//! Bytes into UTF-8 text, in chunks: the encoding is named, told by a byte order mark, or sniffed.
//!
//! Never fails on bad bytes: they become U+FFFD, by which the table knows the rows to reject.

use std::io::{self, Read};

use encoding_rs::{Decoder, Encoding, UTF_8, UTF_16BE, UTF_16LE, WINDOWS_1252};

/// Bytes read and decoded at a time.
const CHUNK: usize = 1 << 16;

/// A stream of text. Until the first byte beyond ASCII the choice between UTF-8 and Windows-1252 stays open,
/// because both read ASCII alike; the first chunk that tells them apart decides for the rest.
pub(super) struct TextStream {
    bytes: Box<dyn Read + Send>,
    raw: Vec<u8>,
    /// Bytes at the start of `raw` that were read but not decoded: a character cut off while nothing was decided.
    kept: usize,
    decoder: Option<Decoder>,
    text: Vec<u8>,
    started: bool,
    ended: bool,
}

impl TextStream {
    /// Starts decoding; without `encoding` it is found out from the bytes.
    pub(super) fn new(bytes: Box<dyn Read + Send>, encoding: Option<&'static Encoding>) -> Self {
        let decoder = encoding.map(Encoding::new_decoder_with_bom_removal);
        Self { bytes, raw: vec![0; CHUNK], kept: 0, decoder, text: Vec::new(), started: false, ended: false }
    }

    /// Moves to the next chunk of text; it is empty only at the end.
    pub(super) fn advance(&mut self) -> io::Result<()> {
        self.text.clear();
        while self.text.is_empty() && !self.ended {
            let count = self.kept + fill(&mut *self.bytes, &mut self.raw[self.kept..])?;
            self.ended = count < self.raw.len();
            self.decode(count);
        }
        Ok(())
    }

    /// The current chunk: UTF-8, whole characters.
    pub(super) fn chunk(&self) -> &[u8] {
        &self.text
    }

    /// The name of the encoding, once it is known.
    pub(super) fn encoding(&self) -> Option<&'static str> {
        self.decoder.as_ref().map(|decoder| decoder.encoding().name())
    }

    fn decode(&mut self, count: usize) {
        let raw = &self.raw[..count];
        let first = !std::mem::replace(&mut self.started, true);
        self.kept = 0;
        if self.decoder.is_none() {
            let told = if first { told_by_start(raw) } else { None };
            self.decoder =
                told.or_else(|| told_by_letters(raw, self.ended)).map(Encoding::new_decoder_with_bom_removal);
        }
        let Some(decoder) = &mut self.decoder else {
            let plain = raw.iter().position(|byte| !byte.is_ascii()).unwrap_or(count);
            self.text.extend_from_slice(&raw[..plain]);
            self.raw.copy_within(plain..count, 0);
            self.kept = count - plain;
            return;
        };
        let room = decoder.max_utf8_buffer_length(count).expect("a chunk is far from the limit of memory");
        self.text.resize(room, 0);
        let (_, _, written, _) = decoder.decode_to_utf8(raw, &mut self.text, self.ended);
        self.text.truncate(written);
    }
}

/// Reads until the buffer is full or the source ends.
fn fill(bytes: &mut dyn Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match bytes.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

/// A byte order mark, or the zero bytes that ASCII letters have in UTF-16.
fn told_by_start(raw: &[u8]) -> Option<&'static Encoding> {
    if let Some((encoding, _)) = Encoding::for_bom(raw) {
        return Some(encoding);
    }
    let head = &raw[..raw.len().min(256)];
    let zeros = |start: usize| head.iter().skip(start).step_by(2).filter(|byte| **byte == 0).count();
    let (even, odd, pairs) = (zeros(0), zeros(1), head.len() / 2);
    if pairs >= 2 && odd * 2 > pairs && even * 8 < odd {
        return Some(UTF_16LE);
    }
    (pairs >= 2 && even * 2 > pairs && odd * 8 < even).then_some(UTF_16BE)
}

/// `None` while everything is ASCII, but for a character cut off at the end. Text that is not UTF-8 hardly ever looks
/// like it by chance, so a few bad bytes among good characters are damage, not another encoding.
fn told_by_letters(raw: &[u8], ended: bool) -> Option<&'static Encoding> {
    let cut = match std::str::from_utf8(raw) {
        Err(error) if error.error_len().is_none() && !ended => error.valid_up_to(),
        _ => raw.len(),
    };
    let (mut letters, mut faults) = (0_usize, 0_usize);
    for chunk in raw[..cut].utf8_chunks() {
        letters += chunk.valid().chars().filter(|c| !c.is_ascii()).count();
        faults += usize::from(!chunk.invalid().is_empty());
    }
    match (letters, faults) {
        (0, 0) => None,
        _ if letters >= faults => Some(UTF_8),
        _ => Some(WINDOWS_1252),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8], encoding: Option<&'static Encoding>) -> (String, Option<&'static str>) {
        let mut stream = TextStream::new(Box::new(io::Cursor::new(bytes.to_vec())), encoding);
        let mut text = Vec::new();
        loop {
            stream.advance().expect("reads");
            if stream.chunk().is_empty() {
                break;
            }
            text.extend_from_slice(stream.chunk());
        }
        (String::from_utf8(text).expect("whole characters"), stream.encoding())
    }

    fn utf16(text: &str, little: bool) -> Vec<u8> {
        text.encode_utf16()
            .flat_map(|unit| if little { unit.to_le_bytes() } else { unit.to_be_bytes() })
            .collect()
    }

    #[test]
    fn the_encoding_is_found_out() {
        let check = |bytes: &[u8], text: &str, encoding: Option<&'static str>| {
            assert_eq!(read(bytes, None), (text.to_owned(), encoding));
        };
        check(b"name\nBea", "name\nBea", None);
        check("name\nŁukasz".as_bytes(), "name\nŁukasz", Some("UTF-8"));
        check("\u{feff}name\nŁukasz".as_bytes(), "name\nŁukasz", Some("UTF-8"));
        check(b"name\nJos\xE9 \x80", "name\nJosé €", Some("windows-1252"));
        check(&utf16("name\nŁukasz", true), "name\nŁukasz", Some("UTF-16LE"));
        check(&utf16("\u{feff}name\nŁukasz", true), "name\nŁukasz", Some("UTF-16LE"));
        check(&utf16("name\nŁukasz", false), "name\nŁukasz", Some("UTF-16BE"));
        check(&utf16("\u{feff}name\nŁukasz", false), "name\nŁukasz", Some("UTF-16BE"));
        check(b"", "", None);
    }

    #[test]
    fn letters_far_behind_ascii_still_decide() {
        let filler = "x".repeat(CHUNK * 2 - 1);
        let check = |tail: &[u8], expected: &str, encoding: &str| {
            let bytes = [filler.as_bytes(), tail].concat();
            let (text, found) = read(&bytes, None);
            assert_eq!((&text[filler.len()..], found), (expected, Some(encoding)));
        };
        check("é".as_bytes(), "é", "UTF-8");
        check(b"\xE9t\xE9", "été", "windows-1252");
    }

    #[test]
    fn bad_bytes_become_the_replacement_character() {
        let bytes = ["é".as_bytes(), &vec![b'x'; CHUNK], b"\xFFy"].concat();
        let (text, encoding) = read(&bytes, None);
        assert_eq!(encoding, Some("UTF-8"));
        assert!(text.ends_with("x\u{fffd}y"));
        assert_eq!(read(b"\xE9", Some(UTF_8)).0, "\u{fffd}");
    }
}

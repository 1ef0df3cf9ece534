//! Where rows come from: a file, standard input or any reader, unpacked from gzip, with a count of the bytes read.
//!
//! Never holds more than one buffer of a file, and never decodes text.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use flate2::read::MultiGzDecoder;

use super::IntakeError;

/// How far the reading of a source has come, for a progress bar. Clones show the same reading.
#[derive(Clone, Debug, Default)]
pub struct Progress {
    read: Arc<AtomicU64>,
    total: Option<u64>,
}

impl Progress {
    /// Bytes read so far; of a compressed file, compressed bytes.
    pub fn read(&self) -> u64 {
        self.read.load(Ordering::Relaxed)
    }

    /// Bytes in the whole source, if that is known.
    pub fn total(&self) -> Option<u64> {
        self.total
    }
}

/// How pictures, documents, programs, databases and other archives begin.
const NO_TEXT: [&[u8]; 11] = [
    b"\x89PNG",
    b"\xFF\xD8\xFF",
    b"GIF8",
    b"%PDF",
    b"\x7FELF",
    b"SQLi",
    b"BZh",
    b"\xFD7zX",
    b"7z\xBC\xAF",
    b"Rar!",
    b"\x28\xB5\x2F\xFD",
];

/// Bytes to be read as a table.
pub struct Source {
    pub(super) name: String,
    pub(super) bytes: Box<dyn Read + Send>,
    progress: Progress,
}

impl std::fmt::Debug for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Source").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Source {
    /// Opens a file, or standard input if the path is `-`. What begins like gzip is unpacked.
    ///
    /// # Errors
    /// When the file cannot be opened or read, or is a workbook or archive rather than text.
    pub fn open(path: &Path) -> Result<Self, IntakeError> {
        if path == Path::new("-") {
            return Self::from_reader("standard input", io::stdin(), None);
        }
        let name = path.display().to_string();
        let opened = File::open(path).and_then(|file| Ok((file.metadata()?, file)));
        let (facts, file) = opened.map_err(|cause| IntakeError::Open { name: name.clone(), cause })?;
        if facts.is_dir() {
            let cause = io::Error::new(io::ErrorKind::IsADirectory, "it is a folder; name a file in it");
            return Err(IntakeError::Open { name, cause });
        }
        Self::from_reader(name, file, facts.is_file().then_some(facts.len()))
    }

    /// Reads from anything; `name` is what errors call it, `total` its length in bytes if known.
    ///
    /// # Errors
    /// When the first bytes cannot be read, or show a workbook or archive rather than text.
    pub fn from_reader(
        name: impl Into<String>,
        bytes: impl Read + Send + 'static,
        total: Option<u64>,
    ) -> Result<Self, IntakeError> {
        let name = name.into();
        let progress = Progress { read: Arc::default(), total };
        let mut counted =
            BufReader::with_capacity(1 << 16, Counted { bytes, read: Arc::clone(&progress.read) });
        let magic =
            peek(&mut counted).map_err(|cause| IntakeError::Read { name: name.clone(), line: 1, cause })?;
        if magic.starts_with(b"PK\x03\x04") || magic.starts_with(b"\xD0\xCF\x11\xE0") {
            return Err(IntakeError::Workbook { name });
        }
        if NO_TEXT.iter().any(|start| magic.starts_with(start)) || is_noise(&magic) {
            return Err(IntakeError::Binary { name });
        }
        let start = io::Cursor::new(magic);
        let bytes: Box<dyn Read + Send> = if start.get_ref().starts_with(b"\x1F\x8B") {
            Box::new(MultiGzDecoder::new(start.chain(counted)))
        } else {
            Box::new(start.chain(counted))
        };
        Ok(Self { name, bytes, progress })
    }

    /// The handle that tells how far the reading has come.
    pub fn progress(&self) -> Progress {
        self.progress.clone()
    }
}

struct Counted<R> {
    bytes: R,
    read: Arc<AtomicU64>,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.bytes.read(buffer)?;
        self.read.fetch_add(count as u64, Ordering::Relaxed);
        Ok(count)
    }
}

/// Control characters of texts, those that some programs put between columns among them.
const BETWEEN: &[u8] = b"\x01\t\n\x0B\x0C\r\x1A\x1B\x1C\x1D\x1E\x1F";

/// Whether bytes are those of no text: one in twenty is a control character. Text in UTF-16 has zeros too, but many and in
/// every second place alone, and packed text looks like noise.
fn is_noise(start: &[u8]) -> bool {
    let zeros = |from: usize| start.iter().skip(from).step_by(2).filter(|byte| **byte == 0).count();
    let (even, odd) = (zeros(0), zeros(1));
    let utf16 = (even == 0 || odd == 0) && (even + odd) * 10 > start.len();
    let exempt = [&b"\x1F\x8B"[..], b"\xFF\xFE", b"\xFE\xFF"];
    let is_control = |byte: &u8| byte.is_ascii_control() && !BETWEEN.contains(byte);
    let controls = start.iter().filter(|byte| is_control(byte)).count();
    let text = utf16 || exempt.iter().any(|beginning| start.starts_with(beginning));
    !text && controls >= 8 && controls * 20 > start.len()
}

/// The first bytes, fewer at the end.
fn peek(bytes: &mut impl Read) -> io::Result<Vec<u8>> {
    let mut start = Vec::with_capacity(1 << 10);
    bytes.take(1 << 10).read_to_end(&mut start)?;
    Ok(start)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn gzip_is_unpacked_and_progress_counts_packed_bytes() {
        let text = "phone\n".repeat(10_000);
        let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        packer.write_all(text.as_bytes()).expect("packs");
        let packed = packer.finish().expect("packs");
        let length = packed.len() as u64;
        let mut source = Source::from_reader("test", io::Cursor::new(packed), Some(length)).expect("opens");
        let progress = source.progress();
        let mut unpacked = String::new();
        source.bytes.read_to_string(&mut unpacked).expect("unpacks");
        assert_eq!(unpacked, text);
        assert_eq!((progress.read(), progress.total()), (length, Some(length)));
    }

    #[test]
    fn a_workbook_is_refused_with_the_way_out() {
        let error = Source::from_reader("list.xlsx", &b"PK\x03\x04rest"[..], None).expect_err("refused");
        assert!(error.to_string().contains("save it as CSV"), "{error}");
    }

    #[test]
    fn noise_is_no_text_and_text_of_every_kind_is() {
        let open = |start: &[u8]| Source::from_reader("list", io::Cursor::new(start.to_vec()), None);
        let text = "phone,name\n+7 900,\u{41c}\u{430}\u{448}\u{430}\n".repeat(40);
        let utf16: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
        for text in [text.as_bytes(), &utf16, &[&b"\xFF\xFE"[..], &utf16].concat(), b"phone\n1\0\n2\0\n"] {
            assert!(open(text).is_ok());
        }
        for noise in [&b"\xFEAB\n\x01\x00\x00\x9c"[..], b"ab\x01\x07\x7f\n", b"\x37\x7f\x06\x82\0\0\0\x01"] {
            assert!(matches!(open(&noise.repeat(40)), Err(IntakeError::Binary { .. })));
        }
    }

    #[test]
    fn a_missing_file_is_named() {
        let error = Source::open(Path::new("/nowhere/list.csv")).expect_err("missing");
        assert!(error.to_string().contains("/nowhere/list.csv"), "{error}");
    }
}

//! The ledger: what the simulated provider really accepted, one JSON object a line, on the disk before the client
//! hears of it.
//!
//! It never rewrites or removes a line that a client was told about, and reading never changes the file.

use std::borrow::Cow;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::model::clock::Timestamp;

mod writer;

pub(super) use writer::Writer;

/// No line is longer; a longer one is not ours.
const LONGEST_LINE: u64 = 64 * 1024;

/// One accepted submission.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry<'a> {
    /// When it was accepted.
    pub at: Timestamp,
    /// The simulator's id of the message.
    pub id: Cow<'a, str>,
    /// The client's reference.
    pub reference: Cow<'a, str>,
    /// The recipient as submitted.
    pub to: Cow<'a, str>,
    /// The sender as submitted.
    pub from: Cow<'a, str>,
    /// Hex SHA-256 of the message's text in UTF-8.
    pub body_sha256: Cow<'a, str>,
    /// Parts as the simulator counts them.
    pub parts: u32,
}

/// Why a ledger cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// It cannot be opened or prepared for writing.
    #[error("cannot use the ledger {path}: {source}; name a file in a folder that exists and is writable")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// It cannot be read.
    #[error("cannot read the ledger {path}: {source}")]
    Unread {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// Two writers would mix their lines.
    #[error("the ledger {path} is being written by another simulator; name another file or stop that one")]
    Busy {
        /// The file.
        path: PathBuf,
    },
    /// The file holds something else.
    #[error("{path} is not a ledger and will not be written to; name another file")]
    NotALedger {
        /// The file.
        path: PathBuf,
    },
    /// A line in the middle of the file makes no sense.
    #[error("line {line} of the ledger {path} is not an entry: {reason}")]
    Malformed {
        /// The file.
        path: PathBuf,
        /// The line, counted from one.
        line: u64,
        /// What is wrong with it; never quotes the line.
        reason: String,
    },
}

/// Reads a ledger from its first entry to its last whole one.
///
/// # Errors
/// [`LedgerError::Unread`] when the file cannot be opened.
pub fn read(path: &Path) -> Result<Entries, LedgerError> {
    let file = File::open(path).map_err(|source| LedgerError::Unread { path: path.to_owned(), source })?;
    Ok(Entries { path: path.to_owned(), reader: BufReader::new(file), line: 0, torn_bytes: 0, failed: false })
}

/// The entries of a ledger in order, read as they are asked for. After the end it may be asked again: what was written
/// meanwhile follows.
#[derive(Debug)]
pub struct Entries {
    path: PathBuf,
    reader: BufReader<File>,
    line: u64,
    torn_bytes: usize,
    failed: bool,
}

impl Entries {
    /// Bytes of a torn last line, once the end is reached; zero when the file ends cleanly. A torn line was never
    /// acknowledged to anyone: the writer died before its sync.
    pub fn torn_bytes(&self) -> usize {
        self.torn_bytes
    }

    fn next_entry(&mut self) -> Result<Option<Entry<'static>>, LedgerError> {
        let mut bytes = Vec::new();
        let mut line = (&mut self.reader).take(LONGEST_LINE);
        line.read_until(b'\n', &mut bytes)
            .map_err(|source| LedgerError::Unread { path: self.path.clone(), source })?;
        self.line += 1;
        if bytes.last() == Some(&b'\n') {
            return serde_json::from_slice(&bytes).map(Some).map_err(|e| self.malformed(classify(&e)));
        }
        if bytes.len() as u64 == LONGEST_LINE {
            return Err(self.malformed("it is too long"));
        }
        self.torn_bytes = bytes.len();
        self.line -= 1;
        // Its writer may be in the middle of it: it is read again from its beginning, whole by then.
        let back = -i64::try_from(bytes.len()).unwrap_or_default();
        let sought = self.reader.seek(SeekFrom::Current(back));
        sought.map_err(|source| LedgerError::Unread { path: self.path.clone(), source })?;
        Ok(None)
    }

    fn malformed(&self, reason: &str) -> LedgerError {
        LedgerError::Malformed { path: self.path.clone(), line: self.line, reason: reason.to_owned() }
    }
}

impl Iterator for Entries {
    type Item = Result<Entry<'static>, LedgerError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        let entry = self.next_entry().transpose();
        self.failed = matches!(entry, Some(Err(_)));
        entry
    }
}

/// The kind of a JSON error in words that quote nothing of the line.
fn classify(error: &serde_json::Error) -> &'static str {
    if error.is_data() { "a field is missing or has the wrong kind" } else { "it is not JSON" }
}

//! An archive of what retention takes away: a file of JSON lines for each transaction, on disk before anything is gone.
//!
//! A file is named after its first message, so that a transaction that is done again after a crash writes the same file
//! again. It is never read by this program.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::model::ids::RunId;
use crate::store::prune::OldPage;

/// Why an archive cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// A file or the folder.
    #[error(
        "the archive {} cannot be written: {source}; nothing that is not in it was taken away. Name a folder that may be \
         written, on a disk with room",
        path.display()
    )]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A line.
    #[error("a message cannot be written as JSON: {0}")]
    Json(#[from] serde_json::Error),
}

/// A folder of archive files that only their owner may read.
#[derive(Debug)]
pub struct Archive(PathBuf);

impl Archive {
    /// The archive in a folder, which is created if it is not there.
    ///
    /// # Errors
    /// When it cannot be created.
    pub fn open(folder: &Path) -> Result<Self, ArchiveError> {
        let made = DirBuilder::new().recursive(true).mode(0o700).create(folder);
        made.map_err(|source| failed(folder, source))?;
        Ok(Self(folder.to_owned()))
    }

    /// Writes a page of a run and waits until it is on disk.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&self, run: RunId, page: &OldPage) -> Result<(), ArchiveError> {
        let first = page.messages.first().map_or(0, |one| one.message);
        let path = self.0.join(format!("run-{run}-message-{first:012}.jsonl"));
        let part = path.with_extension("part");
        let mut text = Vec::new();
        for message in &page.messages {
            line(&mut text, message)?;
        }
        for call in &page.calls {
            line(&mut text, call)?;
        }
        let written = OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(&part);
        let written = written.and_then(|mut file| {
            file.write_all(&text)?;
            file.sync_all()
        });
        let moved = written.and_then(|()| std::fs::rename(&part, &path));
        let kept = moved.and_then(|()| File::open(&self.0)?.sync_all());
        kept.map_err(|source| failed(&path, source))
    }
}

fn line(text: &mut Vec<u8>, value: &impl Serialize) -> Result<(), ArchiveError> {
    serde_json::to_writer(&mut *text, value)?;
    text.push(b'\n');
    Ok(())
}

fn failed(path: &Path, source: std::io::Error) -> ArchiveError {
    ArchiveError::File { path: path.to_owned(), source }
}

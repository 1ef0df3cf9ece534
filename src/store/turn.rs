//! Whose turn it is to write an SQLite file: processes that want to write stand in one line.
//!
//! SQLite lets whoever asks at the right moment write next. A process that writes without a pause can so keep all others
//! out until they give up. Here a process holds the turn only from asking to beginning: while it waits for the
//! transaction before it to end, nobody else can slip in, and whoever has just written stands behind it. It guards no
//! data: if the turn cannot be had, writing goes on without it, only less fairly.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::Duration;

use fs4::fs_std::FileExt as _;
use tokio::sync::{Mutex, MutexGuard};

use super::files;

/// How often the turn is asked for.
const ASK: Duration = Duration::from_millis(1);

/// How often at most: a process that was stopped in the middle must not stop all others.
const MOST: u32 = 3_000;

/// The line in front of one SQLite file.
#[derive(Debug)]
pub(super) struct Turn {
    path: PathBuf,
    /// Opened when it is first asked for, so that whoever only looks leaves nothing behind. None where it cannot be
    /// created, in a folder that may only be read say.
    file: OnceLock<Option<File>>,
    /// The line inside this process: a file lock belongs to all of it.
    line: Mutex<()>,
}

/// The turn, until it is dropped.
pub(super) struct Taken<'a> {
    file: Option<&'a File>,
    _line: MutexGuard<'a, ()>,
}

impl Turn {
    /// The line in front of the store at `path`.
    pub(super) fn before(path: &Path) -> Self {
        Self { path: files::beside(path, files::TURN), file: OnceLock::new(), line: Mutex::new(()) }
    }

    fn file(&self) -> Option<&File> {
        let open = || {
            let mut options = OpenOptions::new();
            options.create(true).truncate(false).write(true).mode(0o600).open(&self.path).ok()
        };
        self.file.get_or_init(open).as_ref()
    }

    /// Waits for the turn.
    pub(super) async fn take(&self) -> Taken<'_> {
        let line = self.line.lock().await;
        let Some(file) = self.file() else { return Taken { file: None, _line: line } };
        for _ in 0..MOST {
            match file.try_lock_exclusive() {
                Ok(true) => return Taken { file: Some(file), _line: line },
                Ok(false) => tokio::time::sleep(ASK).await,
                Err(_) => break,
            }
        }
        Taken { file: None, _line: line }
    }
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        if let Some(file) = self.file {
            // The kernel frees it anyway when the process ends; an error here changes nothing.
            let _ = fs4::fs_std::FileExt::unlock(file);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn nobody_slips_in_before_whoever_has_the_turn() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store.db");
        let (one, other) = (Turn::before(&path), Turn::before(&path));
        let held = one.take().await;
        let mut waiting = std::pin::pin!(other.take());
        assert!(tokio::time::timeout(Duration::from_millis(5), &mut waiting).await.is_err(), "it waits");
        drop(held);
        let taken = tokio::time::timeout(Duration::from_secs(5), waiting).await.expect("its turn");
        assert!(taken.file.is_some());
    }
}

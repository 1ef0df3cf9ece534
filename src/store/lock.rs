//! One daemon per SQLite store: a lock file beside the database that the kernel frees when its owner dies.

use std::fs::{File, OpenOptions};
use std::io::{Read as _, Seek as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use fs4::fs_std::FileExt as _;

use super::StoreError;

/// Held for as long as a daemon works on a store. PostgreSQL needs none: its claims are fenced row by row.
#[derive(Debug)]
pub struct DaemonLock {
    file: File,
}

impl DaemonLock {
    /// Takes the lock of the store at `path`.
    ///
    /// # Errors
    /// [`StoreError::Locked`] with the owner's process id when another daemon holds it.
    pub fn take(path: &Path) -> Result<Self, StoreError> {
        let lock_path = lock_path(path);
        let failed = |source| StoreError::File { path: lock_path.clone(), source };
        let mut file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .mode(0o600)
            .open(&lock_path)
            .map_err(failed)?;
        if !file.try_lock_exclusive().map_err(failed)? {
            let mut pid = String::new();
            file.read_to_string(&mut pid).map_err(failed)?;
            return Err(StoreError::Locked { path: path.to_owned(), pid: pid.trim().to_owned() });
        }
        file.set_len(0).map_err(failed)?;
        file.rewind().map_err(failed)?;
        write!(file, "{}", std::process::id()).map_err(failed)?;
        Ok(Self { file })
    }

    /// The process id of the daemon that works on the store at `path`, if one does.
    ///
    /// # Errors
    /// When the lock file cannot be read.
    pub fn owner(path: &Path) -> Result<Option<String>, StoreError> {
        let lock_path = lock_path(path);
        let failed = |source| StoreError::File { path: lock_path.clone(), source };
        let mut file = match File::open(&lock_path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            opened => opened.map_err(failed)?,
        };
        // A shared lock that is given is given back when the file closes.
        if fs4::fs_std::FileExt::try_lock_shared(&file).map_err(failed)? {
            return Ok(None);
        }
        let mut pid = String::new();
        file.read_to_string(&mut pid).map_err(failed)?;
        Ok(Some(pid.trim().to_owned()))
    }
}

impl Drop for DaemonLock {
    fn drop(&mut self) {
        // The kernel frees it anyway when the file closes; an error here changes nothing.
        let _ = fs4::fs_std::FileExt::unlock(&self.file);
    }
}

fn lock_path(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".daemon");
    PathBuf::from(name)
}

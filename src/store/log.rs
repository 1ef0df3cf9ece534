//! The write-ahead log of an SQLite store: how large it is, and making it short again when nobody else did.
//!
//! SQLite copies the log into the file after every 8,000 pages, but can begin it anew only in a moment in which nobody
//! reads from it. Under load with readers at any time that moment may not come by itself.

use super::connection::Pools;
use super::{Store, StoreError, files};

/// A log longer than this has outgrown what SQLite does by itself, in octets.
pub const LONG: u64 = 128 << 20;

impl Store {
    /// Octets of the log; none on PostgreSQL, which keeps its own.
    pub fn log_bytes(&self) -> Option<u64> {
        Some(std::fs::metadata(files::beside(self.path()?, "-wal")).map_or(0, |facts| facts.len()))
    }

    /// Octets free on the disk of an SQLite store.
    pub fn room(&self) -> Option<u64> {
        let folder = self.path()?.parent().filter(|folder| !folder.as_os_str().is_empty());
        let disk = rustix::fs::statvfs(folder.unwrap_or(std::path::Path::new("."))).ok()?;
        Some(disk.f_bavail.saturating_mul(disk.f_frsize))
    }

    /// Begins the log anew if it is longer than `longest`, waiting a moment for whoever reads from it. Answers whether it
    /// is short now: a reader that goes on keeps it long, and the next call tries again.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub async fn shorten_log(&self, longest: u64) -> Result<bool, StoreError> {
        let Pools::Sqlite { .. } = &self.pools else { return Ok(true) };
        if self.log_bytes().is_none_or(|bytes| bytes <= longest) {
            return Ok(true);
        }
        self.pools.checkpoint().await
    }
}

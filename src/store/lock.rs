//! One daemon for each store: a lock file beside an SQLite database, a session's lock in a PostgreSQL one. Both are freed
//! by the system when their owner dies, so a dead daemon never stands in the way of the next.

use std::fs::{File, OpenOptions};
use std::io::{Read as _, Seek as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;

use fs4::fs_std::FileExt as _;

use super::connection::{Pools, Session};
use super::dialect::Pair;
use super::{Store, StoreError, files};
use crate::model::clock::Timestamp;

/// Held for as long as a daemon works on a store.
#[derive(Debug)]
pub struct DaemonLock(Held);

#[derive(Debug)]
enum Held {
    File(File),
    Session(Session),
}

impl Store {
    /// Takes the lock of this store for a daemon that starts `now`.
    ///
    /// # Errors
    /// [`StoreError::Locked`] with what is known of its owner when another daemon holds it.
    pub async fn lock_daemon(&self, now: Timestamp) -> Result<DaemonLock, StoreError> {
        let owner = format!("process {} since {} on {}", std::process::id(), now.rfc3339(), host());
        match &self.pools {
            Pools::Sqlite { path, .. } => take_file(path, &owner).map(Held::File),
            Pools::Postgres { .. } => self.take_session(&owner).await.map(Held::Session),
        }
        .map(DaemonLock)
    }

    /// Who works on this store as a daemon, if somebody does: process, machine, since when.
    ///
    /// # Errors
    /// When the lock cannot be read.
    pub async fn daemon(&self) -> Result<Option<String>, StoreError> {
        match &self.pools {
            Pools::Sqlite { path, .. } => file_owner(path),
            Pools::Postgres { .. } => {
                let rows = self.pools.read(OWNER.postgres, vec![]).await?;
                rows.first().map(|row| row.text(0)).transpose()
            }
        }
    }

    async fn take_session(&self, owner: &str) -> Result<Session, StoreError> {
        // Its name is what others are told; the server cuts the end of a long machine's name.
        let mut session = self.pools.session(owner).await?;
        if session.rows(TAKE.postgres, vec![]).await?.first().ok_or(StoreError::NoRow)?.int(0)? == 1 {
            return Ok(session);
        }
        let owner = self.daemon().await?.unwrap_or_else(|| "a process that is just ending".to_owned());
        Err(StoreError::Locked { place: "this database".to_owned(), owner })
    }
}

impl DaemonLock {
    /// Whether it is still held. A file is; a session may have been cut off, and then another daemon may be running.
    ///
    /// # Errors
    /// When the server does not answer; then nobody knows, and it must be taken for lost.
    pub async fn is_held(&mut self) -> Result<bool, StoreError> {
        match &mut self.0 {
            Held::File(_) => Ok(true),
            Held::Session(session) => Ok(!session.rows(STILL_MINE.postgres, vec![]).await?.is_empty()),
        }
    }

    /// Whether it can be lost while its owner lives.
    pub fn can_be_lost(&self) -> bool {
        matches!(self.0, Held::Session(_))
    }

    /// Frees it, before anybody can find it held; dropping does the same, only later.
    pub async fn free(self) {
        match self.0 {
            // The kernel frees it anyway when the file closes; an error here changes nothing.
            Held::File(file) => drop(fs4::fs_std::FileExt::unlock(&file)),
            // The server frees it anyway when the session ends.
            Held::Session(mut session) => {
                let _ = session.rows(FREE.postgres, vec![]).await;
                session.close().await;
            }
        }
    }
}

pub(super) fn take_file(path: &Path, owner: &str) -> Result<File, StoreError> {
    let names = std::fs::metadata(path).map_or(1, |facts| facts.nlink());
    if names > 1 {
        return Err(StoreError::Linked { path: path.to_owned(), names });
    }
    let lock_path = files::beside(path, files::LOCK);
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
        let mut owner = String::new();
        file.read_to_string(&mut owner).map_err(failed)?;
        let place = path.display().to_string();
        return Err(StoreError::Locked { place, owner: owner.trim().to_owned() });
    }
    file.set_len(0).map_err(failed)?;
    file.rewind().map_err(failed)?;
    write!(file, "{owner}").map_err(failed)?;
    Ok(file)
}

fn file_owner(path: &Path) -> Result<Option<String>, StoreError> {
    let lock_path = files::beside(path, files::LOCK);
    let failed = |source| StoreError::File { path: lock_path.clone(), source };
    let mut file = match File::open(&lock_path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        opened => opened.map_err(failed)?,
    };
    // A shared lock that is given is given back when the file closes.
    if fs4::fs_std::FileExt::try_lock_shared(&file).map_err(failed)? {
        return Ok(None);
    }
    let mut owner = String::new();
    file.read_to_string(&mut owner).map_err(failed)?;
    Ok(Some(owner.trim().to_owned()))
}

/// Whether the owner of a lock, as [`Store::daemon`] tells it, is on this machine.
pub fn runs_here(owner: &str) -> bool {
    owner.ends_with(&format!(" on {}", host()))
}

/// The name of this machine, as far as it is known.
fn host() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let name = name.trim();
    if name.is_empty() { "a machine without a name".to_owned() } else { name.to_owned() }
}

/// Two numbers that mean "winback", "daemon" to a PostgreSQL server; an SQLite store has its file. Locks belong to a
/// database, so stores beside each other do not meet.
const TAKE: Pair = Pair {
    sqlite: "SELECT 1",
    postgres: "SELECT CAST(CAST(pg_try_advisory_lock(2002874987, 1684107634) AS INTEGER) AS BIGINT)",
};

const FREE: Pair = Pair {
    sqlite: "SELECT 1",
    postgres: "SELECT CAST(CAST(pg_advisory_unlock(2002874987, 1684107634) AS INTEGER) AS BIGINT)",
};

/// A row while this very session holds it: a pooler in between may have changed the session under us.
const STILL_MINE: Pair = Pair {
    sqlite: "SELECT 1",
    postgres: "SELECT CAST(1 AS BIGINT) FROM pg_locks WHERE locktype = 'advisory' AND granted \
               AND classid = 2002874987 AND objid = 1684107634 AND pid = pg_backend_pid()",
};

const OWNER: Pair = Pair {
    sqlite: "SELECT '' WHERE false",
    postgres: "SELECT CAST(a.application_name AS TEXT) FROM pg_locks AS l JOIN pg_stat_activity AS a ON a.pid = l.pid \
               WHERE l.locktype = 'advisory' AND l.granted AND l.classid = 2002874987 AND l.objid = 1684107634 \
                 AND l.database = (SELECT d.oid FROM pg_database AS d WHERE d.datname = current_database())",
};

/// The statements whose texts differ.
pub(super) const PAIRS: &[super::dialect::Named] = &[
    ("TAKE", TAKE.sqlite, TAKE.postgres),
    ("FREE", FREE.sqlite, FREE.postgres),
    ("STILL_MINE", STILL_MINE.sqlite, STILL_MINE.postgres),
    ("OWNER", OWNER.sqlite, OWNER.postgres),
];

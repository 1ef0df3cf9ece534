//! Backups of an SQLite store: a copy made while others write, and its way back to where a store should be.
//!
//! Both are written beside their place and moved there once they are whole and on disk, so that whoever is killed in
//! between leaves what was there before. What a store that came back may still send is decided in `restore`, not here.

use std::fs::File;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::io::Errno;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};
use sqlx::{ConnectOptions as _, Connection as _, Row as _};

use super::copy::copy_sqlite;
use super::dialect::{Named, Pair};
use super::restore::{Assured, Restored};
use super::scratch::{Scratch, folder_of};
use super::{META, SET_META, Store, StoreError, connect, damage, files, fitting, lock};
use crate::model::clock::Timestamp;
use crate::telemetry::fault;

/// When a backup was made, written into the copy alone: a daemon refuses to work on one.
pub(super) const MADE_AT: &str = "backup_made_at";

/// Whether a store has anything in it that somebody would miss.
const HOLDS: Pair = Pair {
    sqlite: "SELECT 1 WHERE EXISTS (SELECT 1 FROM contacts) OR EXISTS (SELECT 1 FROM runs) OR EXISTS (SELECT 1 FROM events) \
        OR EXISTS (SELECT 1 FROM pools) OR EXISTS (SELECT 1 FROM suppressions) OR EXISTS (SELECT 1 FROM inbox)",
    postgres: "SELECT 1 WHERE false",
};

/// The statements whose texts differ.
pub(super) const PAIRS: &[Named] = &[("HOLDS", HOLDS.sqlite, HOLDS.postgres)];

impl Store {
    /// Writes a backup of this store into a file, readable by its owner alone, while others go on writing. Answers its
    /// size in octets. It is whole, checked and on disk when this returns; before that the file is not there.
    ///
    /// # Errors
    /// When the file belongs to a store, is there and is not to be replaced or is no backup, or cannot be written; when the
    /// store is damaged; and for PostgreSQL, whose backups are its server's.
    pub async fn backup(&self, to: &Path, replace: bool, now: Timestamp) -> Result<u64, StoreError> {
        let Some(from) = self.path() else {
            return Err(StoreError::Refused(
                "a PostgreSQL store is backed up by its server: use pg_dump".to_owned(),
            ));
        };
        if files::is_one(from, to) {
            return Err(StoreError::Refused("a store is no backup of itself; name another file".to_owned()));
        }
        if let Some(store) = files::owner(Some(from), to) {
            let (to, store) = (to.display(), store.display());
            return Err(StoreError::Refused(format!(
                "{to} belongs to the store at {store}; name another file"
            )));
        }
        if let Ok(there) = std::fs::symlink_metadata(to) {
            let told = match (there.is_file(), replace) {
                (true, true) if there.len() == 0 || is_backup(to).await => None,
                (true, true) => Some("is there and is no backup, so it is not replaced; name another file"),
                (true, false) => Some("is there already; name another file, or replace it with --replace"),
                (false, _) if to.is_dir() => Some("is a folder; name a file in it"),
                (false, _) => Some("is there and is no ordinary file; name another one"),
            };
            if let Some(told) = told {
                return Err(StoreError::Refused(format!("{} {told}", to.display())));
            }
        }
        if !folder_of(to).is_dir() {
            let folder = folder_of(to).display();
            return Err(StoreError::Refused(format!(
                "there is no folder {folder}; make it, or name another one"
            )));
        }
        let folder = Scratch::beside(to)?;
        let part = folder.file();
        let made = async {
            copy_sqlite(from, &part).await?;
            fault::point("backup-copied");
            stamp(from, &part, now).await?;
            Ok(std::fs::metadata(&part).map_err(|source| failed(&part, source))?.len())
        };
        let bytes = made.await.map_err(|error| placed(error, &part, to))?;
        fault::point("backup-whole");
        put(&part, to, replace)?;
        Ok(bytes)
    }

    /// Refuses a file that is a backup and was not brought into place as one: it does not know what was sent since.
    ///
    /// # Errors
    /// [`StoreError::Refused`] when it is one.
    pub async fn refuse_backup(&self) -> Result<(), StoreError> {
        let Some(made) = self.meta(MADE_AT).await? else { return Ok(()) };
        let made =
            made.parse().map_or_else(|_| String::new(), |ms| format!(" of {}", Timestamp(ms).rfc3339()));
        Err(StoreError::Refused(format!(
            "this store is a backup{made} and does not know what was sent since; move it away and bring it into place \
             with `winback store restore FILE`, so that nobody is texted twice"
        )))
    }
}

/// Brings a backup to where the store should be. Nothing may be there but a store with nothing in it. Until this returns,
/// that place is as it was; the backup is only read. `tag` marks the references of the new store.
///
/// # Errors
/// When a daemon works there, something is there already, the backup is damaged or no backup, or the files cannot be
/// written.
pub async fn restore(
    from: &Path,
    to: &Path,
    tag: &str,
    assured: Assured,
    now: Timestamp,
) -> Result<Restored, StoreError> {
    let to = &files::lies_at(to);
    if files::is_one(from, to) {
        return Err(StoreError::Refused(
            "the backup lies where the store should be; move it elsewhere first, so that it stays as it is"
                .to_owned(),
        ));
    }
    for (folder, way_out) in [(from, "name the backup in it"), (to, "set store.url to a file")] {
        if folder.is_dir() {
            return Err(StoreError::Refused(format!("{} is a folder; {way_out}", folder.display())));
        }
    }
    if from.exists() && !from.is_file() {
        return Err(StoreError::NoFile { path: from.to_owned() });
    }
    if files::belongs(to, from) {
        let (from, to) = (from.display(), to.display());
        return Err(StoreError::Refused(format!("{from} belongs to the store at {to}; name a backup")));
    }
    let _lock = lock::take_file(to, &format!("process {}, restoring", std::process::id()))?;
    refuse_taken(to).await?;
    let folder = Scratch::beside(to)?;
    let part = folder.file();
    let made = async {
        copy_sqlite(from, &part).await?;
        fault::point("restore-copied");
        come_back(from, &part, tag, assured, now).await
    };
    let restored = made.await.map_err(|error| of_backup(placed(error, &part, to), from))?;
    fault::point("restore-whole");
    for end in ["-wal", "-shm"] {
        remove(&files::beside(to, end))?;
    }
    put(&part, to, true)?;
    Ok(restored)
}

async fn come_back(
    from: &Path,
    part: &Path,
    tag: &str,
    assured: Assured,
    now: Timestamp,
) -> Result<Restored, StoreError> {
    let url = format!("sqlite:{}", part.display());
    let pools = connect(&url, false).await?;
    let found = fitting(&pools).await;
    pools.close().await;
    if found? == 0 {
        return Err(unfit(from, "it holds no store"));
    }
    whole(from, part).await?;
    let store = Store::create(&url, tag).await?;
    let restored = store.come_back(tag, assured, now).await;
    store.close().await;
    restored
}

/// What is wrong with a backup is told as such, and not as if it were the store.
fn of_backup(error: StoreError, from: &Path) -> StoreError {
    match error {
        StoreError::Foreign { .. } => unfit(from, "it is an SQLite file of another program"),
        StoreError::Damaged { what, .. } => unfit(from, what),
        StoreError::NoTable { .. } => unfit(from, "it misses tables that a store must have"),
        StoreError::Unreadable | StoreError::NoRow | StoreError::Word { .. } => {
            unfit(from, "it holds what no store holds")
        }
        StoreError::Unwritable { path } if path == from => {
            unfit(from, "it may not be read; look at its rights")
        }
        StoreError::Newer { found, needed, .. } => {
            StoreError::Newer { place: from.display().to_string(), found, needed }
        }
        other => other,
    }
}

fn unfit(from: &Path, what: &'static str) -> StoreError {
    StoreError::NoBackup { path: from.to_owned(), what }
}

/// An error of the file that is being made is told by the place where it is to be.
fn placed(error: StoreError, part: &Path, to: &Path) -> StoreError {
    let at = |path: PathBuf| if path == part { to.to_owned() } else { path };
    match error {
        StoreError::Full { path } => StoreError::Full { path: at(path) },
        StoreError::Disk { path, code } => StoreError::Disk { path: at(path), code },
        StoreError::Unsynced { path } => StoreError::Unsynced { path: at(path) },
        StoreError::Unwritable { path } => StoreError::Unwritable { path: at(path) },
        StoreError::Busy { path } => StoreError::Busy { path: at(path) },
        StoreError::File { path, source } => StoreError::File { path: at(path), source },
        other => other,
    }
}

/// Marks a fresh copy as a backup and makes one file of it.
async fn stamp(from: &Path, part: &Path, now: Timestamp) -> Result<(), StoreError> {
    let options = SqliteConnectOptions::new()
        .filename(part)
        .journal_mode(SqliteJournalMode::Delete)
        .synchronous(SqliteSynchronous::Full);
    let told = |error| damage::told(Some(part), error);
    let mut connection = options.connect().await.map_err(told)?;
    let marked = sqlx::query(SET_META).bind(MADE_AT).bind(now.0.to_string()).execute(&mut connection).await;
    marked.map_err(told)?;
    connection.close().await.map_err(told)?;
    whole(from, part).await
}

/// Whether a file is a backup that this program made. Nothing is left beside it by looking.
async fn is_backup(file: &Path) -> bool {
    let options = SqliteConnectOptions::new().filename(file).read_only(true).immutable(true);
    let Ok(mut connection) = options.connect().await else { return false };
    let marked = sqlx::query(META).bind(MADE_AT).fetch_optional(&mut connection).await;
    // It was only read.
    let _ = connection.close().await;
    marked.is_ok_and(|row| row.is_some())
}

/// Refuses a copy whose pages do not fit together: then the file it was made of is damaged.
async fn whole(from: &Path, part: &Path) -> Result<(), StoreError> {
    let damaged = || StoreError::Damaged { path: from.to_owned(), what: "its pages are broken" };
    let told = |error| match damage::told(Some(from), error) {
        StoreError::Damaged { .. } => damaged(),
        other => other,
    };
    let mut connection = SqliteConnectOptions::new().filename(part).connect().await.map_err(told)?;
    let said = sqlx::query("PRAGMA quick_check").fetch_all(&mut connection).await.map_err(told)?;
    connection.close().await.map_err(told)?;
    let fine = said.iter().all(|row| row.try_get::<String, _>(0).is_ok_and(|line| line == "ok"));
    if fine { Ok(()) } else { Err(damaged()) }
}

/// Refuses a place that has a store with something in it, or one that somebody has open.
async fn refuse_taken(to: &Path) -> Result<(), StoreError> {
    if !std::fs::metadata(to).is_ok_and(|facts| facts.len() > 0) {
        return Ok(());
    }
    let place = to.display();
    let looked = async {
        let pools = connect(&format!("sqlite:{place}"), false).await?;
        let looked = async {
            Ok::<_, StoreError>(
                fitting(&pools).await? > 0 && !pools.read(HOLDS.sqlite, vec![]).await?.is_empty(),
            )
        };
        let full = looked.await;
        pools.close().await;
        full
    };
    let full = looked.await.map_err(|error| match error {
        StoreError::Damaged { .. } | StoreError::NoTable { .. } | StoreError::Foreign { .. } => {
            StoreError::Refused(format!(
                "what is at {place} is no sound store; move it away with its -wal and -shm files, then restore again"
            ))
        }
        other => other,
    })?;
    if full {
        return Err(StoreError::Refused(format!(
            "there is a store at {place} with something in it; move it away with its -wal and -shm files, or set store.url \
             to another file"
        )));
    }
    if std::fs::metadata(files::beside(to, "-wal")).is_ok_and(|facts| facts.len() > 0) {
        return Err(StoreError::Refused(format!(
            "another command works on {place}; wait until it has ended"
        )));
    }
    Ok(())
}

/// Makes a file durable under its final name.
fn put(part: &Path, to: &Path, replace: bool) -> Result<(), StoreError> {
    let failed = |source| failed(to, source);
    File::open(part).and_then(|file| file.sync_all()).map_err(failed)?;
    let flags = if replace { RenameFlags::empty() } else { RenameFlags::NOREPLACE };
    let moved = match renameat_with(CWD, part, CWD, to, flags) {
        // A file system that cannot refuse to replace; it was looked whether something is there.
        Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) => std::fs::rename(part, to),
        moved => moved.map_err(std::io::Error::from),
    };
    moved.map_err(failed)?;
    File::open(folder_of(to)).and_then(|folder| folder.sync_all()).map_err(failed)
}

fn remove(path: &Path) -> Result<(), StoreError> {
    match std::fs::remove_file(path) {
        Err(source) if source.kind() != std::io::ErrorKind::NotFound => Err(failed(path, source)),
        _ => Ok(()),
    }
}

fn failed(path: &Path, source: std::io::Error) -> StoreError {
    StoreError::File { path: path.to_owned(), source }
}

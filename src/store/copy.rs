//! A copy of a store to try things in, made while others write. The original is only read.

use std::path::Path;
use std::time::Duration;

use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _};

use super::connection::create_private;
use super::dialect::{Named, Pair};
use super::{Backend, Store, StoreError, damage, files};

/// How long the copy waits for its turn on a busy file.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);

/// Writes the database as one transaction sees it into another file. `$1` the file.
const COPY: Pair = Pair { sqlite: "VACUUM INTO $1", postgres: "SELECT CAST($1 AS TEXT)" };

/// What tells one running database from every other.
const IDENTITY: Pair = Pair {
    sqlite: "SELECT CAST('' AS TEXT)",
    postgres: "SELECT CAST(pg_postmaster_start_time() AS TEXT) || ' ' || CAST(oid AS TEXT) FROM pg_database \
               WHERE datname = current_database()",
};

/// The statements whose texts differ.
pub(super) const PAIRS: &[Named] =
    &[("COPY", COPY.sqlite, COPY.postgres), ("IDENTITY", IDENTITY.sqlite, IDENTITY.postgres)];

/// Copies an SQLite store into a new file that only its owner may read.
///
/// # Errors
/// When the original is not there or the copy cannot be written.
pub async fn copy_sqlite(from: &Path, to: &Path) -> Result<(), StoreError> {
    if !from.exists() {
        return Err(StoreError::Missing { path: from.to_owned() });
    }
    create_private(to)?;
    let options = SqliteConnectOptions::new().filename(from).read_only(true).busy_timeout(BUSY_TIMEOUT);
    let options = options.immutable(files::is_sealed(from));
    let told = |error| damage::told(Some(from), error);
    let mut connection = options.connect().await.map_err(told)?;
    let target = to.to_string_lossy().into_owned();
    let copied = sqlx::query(COPY.sqlite).bind(target).execute(&mut connection).await;
    // The original is only read: what fails in writing is the copy's.
    copied.map_err(|error| match damage::told(Some(from), error) {
        StoreError::Full { .. } => StoreError::Full { path: to.to_owned() },
        StoreError::Disk { code, .. } if !damage::of_reading(code) => {
            StoreError::Disk { path: to.to_owned(), code }
        }
        StoreError::Unsynced { .. } => StoreError::Unsynced { path: to.to_owned() },
        other => other,
    })?;
    connection.close().await.map_err(told)?;
    Ok(())
}

impl Store {
    /// Whether both are the same database, however they are named.
    ///
    /// # Errors
    /// When one of them cannot be asked.
    pub async fn is_same_as(&self, other: &Store) -> Result<bool, StoreError> {
        match (self.backend(), other.backend()) {
            (Backend::Postgres, Backend::Postgres) => Ok(self.identity().await? == other.identity().await?),
            (Backend::Sqlite, Backend::Sqlite) => {
                let both = self.path().zip(other.path());
                Ok(both.is_some_and(|(one, other)| files::is_one(one, other)))
            }
            _ => Ok(false),
        }
    }

    async fn identity(&self) -> Result<String, StoreError> {
        self.pools.read(IDENTITY.postgres, vec![]).await?.first().ok_or(StoreError::NoRow)?.text(0)
    }
}

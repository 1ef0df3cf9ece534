//! The only module that runs SQL: SQLite and PostgreSQL behind one [`Store`], one statement text for both.
//!
//! State changes arrive as batches and leave as one multi-row statement per kind. What may change is decided in
//! `model`; this module stores it and names the state it expects. It never touches the network of a provider.

pub mod audit;
pub mod backup;
pub mod batch;
pub mod check;
pub mod claims;
mod connection;
pub mod contacts;
pub mod copy;
pub mod coupons;
mod damage;
pub mod dialect;
pub mod events;
mod evidence;
pub mod files;
pub mod inbound;
pub mod inbox;
pub mod inquiries;
pub mod intents;
mod lock;
pub mod log;
mod migrate;
pub mod prune;
pub mod receipts;
pub mod resolve;
pub mod restore;
mod rows;
pub mod runs;
pub mod scratch;
pub mod segments;
pub mod settle;
pub mod status;
pub mod suppressions;
pub mod sweep;
mod turn;
pub mod waiting;
pub mod writer;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use connection::{Pools, Tx};

use crate::model::ids::MessageId;
use crate::model::reference;

pub use lock::{DaemonLock, runs_here};
pub use rows::{MOST_EVENTS, MOST_ROWS};

/// What can go wrong between us and the database.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database answered with an error, or did not answer.
    #[error("the store answered: {0}")]
    Database(#[from] sqlx::Error),
    /// The schema could not be brought up to date.
    #[error("the store could not be migrated: {0}; restore the backup and report this")]
    Migrate(#[from] sqlx::migrate::MigrateError),
    /// A file of the store cannot be used.
    #[error("cannot use {}: {source}", path.display())]
    File {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// There is no store at this place.
    #[error("there is no store at {}; run `winback init` to create one", path.display())]
    Missing {
        /// Where it was looked for.
        path: PathBuf,
    },
    /// A folder is named where a store should be.
    #[error("{} is a folder and no store; name a file in it", path.display())]
    Folder {
        /// Which.
        path: PathBuf,
    },
    /// What is named can be no store: a pipe or a device.
    #[error("{} is no file and so no store; name a file", path.display())]
    NoFile {
        /// Which.
        path: PathBuf,
    },
    /// The file has several names (hard links): SQLite would keep a log for each of them and spoil it, and a daemon under
    /// another one would not be noticed.
    #[error(
        "{} has {names} names (hard links), and two daemons could work on it without knowing of each other; \
         find them with `find -samefile` and remove all but one",
        path.display()
    )]
    Linked {
        /// The store.
        path: PathBuf,
        /// How many names lead to it.
        names: u64,
    },
    /// The URL names no database we know.
    #[error("store.url is not understood; write sqlite:PATH or postgres://USER@HOST/DATABASE")]
    BadUrl,
    /// Nobody answers there, or we are not let in.
    #[error(
        "the PostgreSQL server at {place} cannot be used: {what}; look whether it runs there, and whether host, port, \
         user, password and database in store.url are right"
    )]
    Unreachable {
        /// Which server, and which of its databases.
        place: String,
        /// What is in the way.
        what: String,
    },
    /// The linked SQLite could corrupt a file.
    #[error("SQLite {version} can corrupt a busy store; winback needs 3.51.3 or later")]
    OldSqlite {
        /// The version found.
        version: String,
    },
    /// Another daemon works on this store.
    #[error("another daemon ({owner}) already works on {place}; stop it first")]
    Locked {
        /// The store.
        place: String,
        /// Its process, machine and start, as it wrote them.
        owner: String,
    },
    /// The file is no sound database.
    #[error(
        "the store at {} is damaged: {what}; stop the daemon, look with `winback store check`, and restore the last backup",
        path.display()
    )]
    Damaged {
        /// Where it is.
        path: PathBuf,
        /// What is wrong with it.
        what: &'static str,
    },
    /// The disk did not confirm a write. Nothing more is written by this process: the kernel may have dropped what it
    /// could not write, and would confirm the next sync all the same.
    #[error(
        "the disk did not confirm what was written to {}; look at the disk, then start again: a fresh process reads what is really there",
        path.display()
    )]
    Unsynced {
        /// Which file.
        path: PathBuf,
    },
    /// No room is left.
    #[error("no room is left on the disk of {}; make room there, then try again", path.display())]
    Full {
        /// Which file.
        path: PathBuf,
    },
    /// The disk failed.
    #[error(
        "the disk of {} failed (SQLite error {code}); look at the disk and at the kernel's log, and put backups on another one",
        path.display()
    )]
    Disk {
        /// Which file.
        path: PathBuf,
        /// What SQLite calls it.
        code: i64,
    },
    /// The file to be restored is no whole backup.
    #[error("{} is no whole backup: {what}; take another one. Nothing was changed", path.display())]
    NoBackup {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        what: &'static str,
    },
    /// The file or its folder takes no writes.
    #[error(
        "the store at {} cannot be opened or written; look at the rights of the file and its folder, and whether the disk is mounted read-only",
        path.display()
    )]
    Unwritable {
        /// Which file.
        path: PathBuf,
    },
    /// A table or column of ours is missing.
    #[error(
        "the store at {place} misses tables that it must have: it is damaged or not winback's; look with `winback store check`, and restore the last backup"
    )]
    NoTable {
        /// Where it is.
        place: String,
    },
    /// The file belongs to another program.
    #[error("{} is an SQLite file of another program; set store.url to a file of its own", path.display())]
    Foreign {
        /// Where it is.
        path: PathBuf,
    },
    /// Somebody else held the file for too long.
    #[error(
        "the store at {} is busy: another command has been writing to it for ten seconds; try again when that has ended",
        path.display()
    )]
    Busy {
        /// Where it is.
        path: PathBuf,
    },
    /// A stored value is of another type than its column.
    #[error(
        "the store holds a value that cannot be read; look with `winback store check`, and restore the last backup"
    )]
    Unreadable,
    /// The schema is newer than this program.
    #[error(
        "the store at {place} was written by a newer winback (schema version {found}, this program knows {needed}); use that version, or restore a backup made before"
    )]
    Newer {
        /// Where it is.
        place: String,
        /// What the store has.
        found: i64,
        /// What this program was written for.
        needed: i64,
    },
    /// Nothing was ever put there, or everything was taken away.
    #[error(
        "the store at {place} is empty; if something was in it, restore the last backup (`winback store restore FILE`), else `winback init` makes it a store"
    )]
    Empty {
        /// Where it is.
        place: String,
    },
    /// The store's tables are older than this program.
    #[error(
        "the store at {place} has schema version {found}, this program needs {needed}; run `winback store migrate`"
    )]
    Schema {
        /// Where it is.
        place: String,
        /// What the store has.
        found: i64,
        /// What this program was written for.
        needed: i64,
    },
    /// Codes that were free a moment ago are not any more; nothing was written.
    #[error("a coupon code was taken meanwhile; try again")]
    CodesTaken,
    /// A row that must exist is missing.
    #[error("the store misses a row that must exist; run `winback store check`")]
    NoRow,
    /// A stored word that this program does not know.
    #[error("the store holds `{word}` where a {what} should be; run `winback store check`")]
    Word {
        /// What it should be.
        what: &'static str,
        /// What it is.
        word: String,
    },
    /// The server has been silent for too long; what was asked of it last may have happened.
    #[error("the store did not answer within {} seconds; look whether its server works", waited.as_secs())]
    Silent {
        /// How long it was waited for.
        waited: std::time::Duration,
    },
    /// A value could not be turned into JSON.
    #[error("a value could not be stored: {0}")]
    Json(#[from] serde_json::Error),
    /// A rule of the store was broken by the caller's request; the text says which and the way out.
    #[error("{0}")]
    Refused(String),
}

/// One database with everything winback knows.
#[derive(Clone, Debug)]
pub struct Store {
    pools: Pools,
    tag: String,
    /// Tags that it had before it came back from a backup, oldest first.
    former: Arc<[String]>,
}

/// Which database a store is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backend {
    /// One file.
    Sqlite,
    /// A server.
    Postgres,
}

impl Store {
    /// Opens the store that `url` names (`sqlite:PATH` or `postgres://…`), with the schema up to date.
    ///
    /// # Errors
    /// When it does not exist, has another schema version, or cannot be reached.
    pub async fn open(url: &str) -> Result<Self, StoreError> {
        let pools = connect(url, false).await?;
        let found = fitting(&pools).await?;
        let needed = migrate::newest();
        if found == 0 {
            return Err(StoreError::Empty { place: place(&pools) });
        }
        if found < needed {
            return Err(StoreError::Schema { place: place(&pools), found, needed });
        }
        Self::with(pools).await
    }

    /// Creates the store or brings it up to date; doing it twice changes nothing.
    ///
    /// # Errors
    /// When the file or server cannot be used, or a migration fails.
    pub async fn create(url: &str, tag: &str) -> Result<Self, StoreError> {
        let pools = connect(url, true).await?;
        if fitting(&pools).await? < migrate::newest() {
            migrate::migrate(&pools).await?;
        }
        let mut tx = pools.begin().await?;
        tx.run(INSERT_META, connection::args!["tag", tag]).await?;
        tx.commit().await?;
        Self::with(pools).await
    }

    async fn with(pools: Pools) -> Result<Self, StoreError> {
        let rows = pools.read(META, connection::args!["tag"]).await?;
        let tag = rows.first().ok_or(StoreError::NoRow)?.text(0)?;
        let mut store = Self { pools, tag, former: [].into() };
        let former = store.meta(restore::FORMER_TAGS).await?.unwrap_or_default();
        store.former = former.split_whitespace().map(str::to_owned).collect();
        Ok(store)
    }

    /// The four letters that mark this store's references at every provider.
    pub fn tag(&self) -> &str {
        &self.tag
    }

    /// The message and attempt that a reference of ours names, under the tag of today or a former one.
    pub fn named_by(&self, reference: &str) -> Option<(MessageId, i64)> {
        self.tags().find_map(|tag| reference::resolve(tag, reference))
    }

    /// The tag of today, then the former ones.
    fn tags(&self) -> impl Iterator<Item = &str> {
        [self.tag.as_str()].into_iter().chain(self.former.iter().map(String::as_str))
    }

    /// Which database this is.
    pub fn backend(&self) -> Backend {
        match &self.pools {
            Pools::Sqlite { .. } => Backend::Sqlite,
            Pools::Postgres { .. } => Backend::Postgres,
        }
    }

    /// The file of an SQLite store.
    pub fn path(&self) -> Option<&Path> {
        match &self.pools {
            Pools::Sqlite { path, .. } => Some(path),
            Pools::Postgres { .. } => None,
        }
    }

    /// A value that belongs to the store as a whole, written once and then kept.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub async fn meta_once(&self, key: &str, value: &str) -> Result<String, StoreError> {
        if let Some(row) = self.pools.read(META, connection::args![key]).await?.first() {
            return row.text(0);
        }
        let mut tx = self.begin().await?;
        tx.run(INSERT_META, connection::args![key, value]).await?;
        tx.commit().await?;
        let rows = self.pools.read(META, connection::args![key]).await?;
        rows.first().ok_or(StoreError::NoRow)?.text(0)
    }

    /// A value that belongs to the store as a whole, if it has one.
    async fn meta(&self, key: &str) -> Result<Option<String>, StoreError> {
        self.pools.read(META, connection::args![key]).await?.first().map(|row| row.text(0)).transpose()
    }

    /// Closes every connection.
    pub async fn close(&self) {
        self.pools.close().await;
    }

    pub(crate) async fn begin(&self) -> Result<Tx, StoreError> {
        self.pools.begin().await
    }
}

statements! {
    META = "SELECT value FROM store_meta WHERE key = $1";
    INSERT_META = "INSERT INTO store_meta (key, value) VALUES ($1, $2) ON CONFLICT (key) DO NOTHING";
    SET_META = "INSERT INTO store_meta (key, value) VALUES ($1, $2) ON CONFLICT (key) DO UPDATE SET value = excluded.value";
    UNSET_META = "DELETE FROM store_meta WHERE key = $1";
    SCHEMA_VERSION = "SELECT CAST(max(version) AS BIGINT) FROM _sqlx_migrations";
}
use dialect::statements;

/// Every statement of the store, so that a test can prepare each of them on both databases.
pub fn statements() -> Vec<dialect::Named> {
    [
        STATEMENTS,
        PAIRS,
        audit::STATEMENTS,
        backup::PAIRS,
        batch::STATEMENTS,
        dialect::STATEMENTS,
        check::PAIRS,
        check::STATEMENTS,
        claims::STATEMENTS,
        contacts::STATEMENTS,
        contacts::PAIRS,
        copy::PAIRS,
        coupons::STATEMENTS,
        events::PAIRS,
        events::STATEMENTS,
        evidence::STATEMENTS,
        inbound::STATEMENTS,
        inbox::STATEMENTS,
        inquiries::STATEMENTS,
        intents::STATEMENTS,
        lock::PAIRS,
        prune::STATEMENTS,
        receipts::STATEMENTS,
        resolve::STATEMENTS,
        restore::STATEMENTS,
        runs::STATEMENTS,
        settle::STATEMENTS,
        status::STATEMENTS,
        suppressions::STATEMENTS,
        sweep::STATEMENTS,
        waiting::STATEMENTS,
    ]
    .concat()
}

async fn connect(url: &str, create: bool) -> Result<Pools, StoreError> {
    if let Some(path) = files::of_url(url) {
        return Pools::sqlite(path, create).await;
    }
    if url.starts_with("postgres://") || url.starts_with("postgresql://") {
        return Pools::postgres(url).await;
    }
    Err(StoreError::BadUrl)
}

/// The schema version of a store, 0 for an empty one.
///
/// # Errors
/// When it is newer than this program, or the file belongs to another one.
async fn fitting(pools: &Pools) -> Result<i64, StoreError> {
    let found = match pools.read(SCHEMA_VERSION, vec![]).await {
        Ok(rows) => rows.first().map_or(Ok(0), |row| Ok::<_, StoreError>(row.opt_int(0)?.unwrap_or(0)))?,
        Err(StoreError::NoTable { .. }) => 0,
        Err(other) => return Err(other),
    };
    let needed = migrate::newest();
    if found != needed
        && let Pools::Sqlite { path, .. } = pools
    {
        let tables = pools.read(TABLES_OF_OTHERS.sqlite, vec![]).await?;
        if tables.first().ok_or(StoreError::NoRow)?.int(0)? > 0 {
            return Err(StoreError::Foreign { path: path.to_path_buf() });
        }
    }
    if found > needed {
        return Err(StoreError::Newer { place: place(pools), found, needed });
    }
    Ok(found)
}

fn place(pools: &Pools) -> String {
    match pools {
        Pools::Sqlite { path, .. } => path.display().to_string(),
        Pools::Postgres { .. } => "the PostgreSQL database".to_owned(),
    }
}

/// Tables of a file that is none of ours; a PostgreSQL database may be shared.
const TABLES_OF_OTHERS: dialect::Pair = dialect::Pair {
    sqlite: "SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name <> '_sqlx_migrations' \
        AND NOT EXISTS (SELECT 1 FROM sqlite_master WHERE name = 'store_meta')",
    postgres: "SELECT CAST(0 AS BIGINT)",
};

/// The statements whose texts differ.
const PAIRS: &[dialect::Named] = &[("TABLES_OF_OTHERS", TABLES_OF_OTHERS.sqlite, TABLES_OF_OTHERS.postgres)];

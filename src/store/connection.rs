//! Connections to either database behind one face: a statement text, its arguments, rows by position.
//!
//! One SQLite connection writes, a few read-only ones read. PostgreSQL has one pool. Nothing outside `store` sees
//! this; nothing here knows a table.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions, PgRow};
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteRow, SqliteSynchronous,
};
use sqlx::{
    AssertSqlSafe, Connection as _, Executor as _, PgConnection, Postgres, Row as _, Sqlite, Transaction,
};

use super::turn::Turn;
use super::{StoreError, damage, files};
use crate::telemetry::fault;

/// The oldest SQLite that is free of the WAL-reset corruption (fixed in 3.51.3).
const OLDEST_SQLITE: (u32, u32, u32) = (3, 51, 3);

/// Readers of one SQLite file.
const READERS: u32 = 4;

/// Connections to one PostgreSQL database.
const POSTGRES_CONNECTIONS: u32 = 8;

/// How long a server may take to answer a first call.
const KNOCK: Duration = Duration::from_secs(10);

/// A plan made while a table was small would walk it row by row once it has grown, until statistics are next taken;
/// planning anew costs little beside a batch. Looking up the rows of a batch by index is cheaper than the server believes,
/// which counts with disks that must move their heads.
const PLAN_EACH_TIME: [(&str, &str); 2] =
    [("plan_cache_mode", "force_custom_plan"), ("random_page_cost", "1.1")];

/// Some administrators let every commit of a server be forgotten in a crash. Ours say that a byte may leave: they wait for
/// the disk there, too.
const WAIT_FOR_DISK: &str = "SELECT set_config('synchronous_commit', 'local', false) \
    WHERE current_setting('synchronous_commit') = 'off'";

/// After this much silence the server asks whether a session's machine is still there; it gives up within half a minute.
const NOTICE_DEATH: [(&str, &str); 3] =
    [("tcp_keepalives_idle", "10"), ("tcp_keepalives_interval", "5"), ("tcp_keepalives_count", "3")];

/// Memory for pages of the one that writes, which meets the same pages again and again, and of each that reads, whose pages
/// the kernel keeps too (KiB, told as SQLite wants it).
const WRITER_CACHE: &str = "-65536";
const READER_CACHE: &str = "-8192";

/// Pages of 4 KiB in the log at which a commit carries them over to the file. A page that changes with every batch is then
/// written there once in a few seconds instead of several times in each.
const CHECKPOINT_PAGES: &str = "8000";

/// Rows that SQLite's thread may be ahead of whoever takes them. With fewer than a batch, the two wait for each other by turns.
const ROWS_AHEAD: usize = 2_048;

/// How long a reader waits for a busy SQLite file: while it is opened or closed for the last time.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a writer that has the turn asks SQLite, which looks again after 1, 2, 5, 10, … up to 100 ms. Asking anew keeps
/// the looks close together, so that the end of another's transaction is not overslept.
const ASK: &str = "PRAGMA busy_timeout = 30";

/// How often it asks, 10 s in all.
const MOST_ASKED: u32 = 333;

/// A PostgreSQL transaction that sees one instant; in SQLite each one does.
const ONE_INSTANT: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";

/// One argument of a statement.
#[derive(Clone, Debug)]
pub(crate) enum Arg {
    Int(Option<i64>),
    Text(Option<String>),
    Real(f64),
}

impl From<i64> for Arg {
    fn from(value: i64) -> Self {
        Self::Int(Some(value))
    }
}

impl From<Option<i64>> for Arg {
    fn from(value: Option<i64>) -> Self {
        Self::Int(value)
    }
}

impl From<&str> for Arg {
    fn from(value: &str) -> Self {
        Self::Text(Some(value.to_owned()))
    }
}

impl From<String> for Arg {
    fn from(value: String) -> Self {
        Self::Text(Some(value))
    }
}

impl From<Option<String>> for Arg {
    fn from(value: Option<String>) -> Self {
        Self::Text(value)
    }
}

impl From<f64> for Arg {
    fn from(value: f64) -> Self {
        Self::Real(value)
    }
}

/// Arguments of mixed types, in order.
macro_rules! args {
    ($($value:expr),* $(,)?) => { vec![$($crate::store::connection::Arg::from($value)),*] };
}
pub(crate) use args;

/// One row of an answer.
pub(crate) enum Row {
    Sqlite(SqliteRow),
    Postgres(PgRow),
}

impl Row {
    pub(crate) fn int(&self, at: usize) -> Result<i64, StoreError> {
        match self {
            Self::Sqlite(row) => row.try_get(at),
            Self::Postgres(row) => row.try_get(at),
        }
        .map_err(damage::unread)
    }

    pub(crate) fn opt_int(&self, at: usize) -> Result<Option<i64>, StoreError> {
        match self {
            Self::Sqlite(row) => row.try_get(at),
            Self::Postgres(row) => row.try_get(at),
        }
        .map_err(damage::unread)
    }

    pub(crate) fn text(&self, at: usize) -> Result<String, StoreError> {
        match self {
            Self::Sqlite(row) => row.try_get(at),
            Self::Postgres(row) => row.try_get(at),
        }
        .map_err(damage::unread)
    }

    pub(crate) fn opt_text(&self, at: usize) -> Result<Option<String>, StoreError> {
        match self {
            Self::Sqlite(row) => row.try_get(at),
            Self::Postgres(row) => row.try_get(at),
        }
        .map_err(damage::unread)
    }
}

/// The pools of one store.
#[derive(Clone, Debug)]
pub(crate) enum Pools {
    Sqlite {
        writer: SqlitePool,
        readers: SqlitePool,
        path: Arc<Path>,
        turn: Arc<Turn>,
        /// A sync failed: what this process believes to be in the file may not be on the disk.
        unsynced: Arc<AtomicBool>,
    },
    Postgres {
        pool: PgPool,
    },
}

impl Pools {
    /// Opens an SQLite file; creates it with mode 0600 when `create` is set. The connection that writes is opened when it
    /// is first needed: whoever only looks never asks for a turn, not even to tidy up at the end.
    pub(crate) async fn sqlite(path: &Path, create: bool) -> Result<Self, StoreError> {
        if path.is_dir() {
            return Err(StoreError::Folder { path: path.to_owned() });
        } else if path.exists() && !path.is_file() {
            return Err(StoreError::NoFile { path: path.to_owned() });
        } else if create {
            create_private(path)?;
        } else if !path.exists() {
            return Err(StoreError::Missing { path: path.to_owned() });
        }
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(false)
            .foreign_keys(true)
            .busy_timeout(BUSY_TIMEOUT)
            .statement_cache_capacity(256)
            .row_buffer_size(ROWS_AHEAD)
            .pragma("cache_size", READER_CACHE);
        // Readers sort what does not fit into their memory in files: a count by state meets every row of a run.
        let writer_options = options
            .clone()
            .pragma("temp_store", "memory")
            .pragma("cache_size", WRITER_CACHE)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(if fault::weak_sync() { SqliteSynchronous::Normal } else { SqliteSynchronous::Full })
            .pragma("wal_autocheckpoint", CHECKPOINT_PAGES)
            .pragma("journal_size_limit", "67108864")
            .optimize_on_close(true, 400);
        let writer = SqlitePoolOptions::new()
            .max_connections(1)
            .idle_timeout(None)
            .max_lifetime(None)
            .test_before_acquire(false)
            .acquire_timeout(Duration::from_mins(1))
            .after_connect(|connection, _| Box::pin(async move { connection.execute(ASK).await.map(|_| ()) }))
            .connect_lazy_with(writer_options);
        let readers = SqlitePoolOptions::new()
            .max_connections(READERS)
            .idle_timeout(None)
            .max_lifetime(None)
            .test_before_acquire(false)
            .acquire_timeout(Duration::from_mins(1))
            .connect_lazy_with(options.read_only(true).immutable(files::is_sealed(path)));
        let turn = Arc::new(Turn::before(path));
        let unsynced = Arc::default();
        let pools = Self::Sqlite { writer, readers, path: path.into(), turn, unsynced };
        pools.refuse_old_sqlite().await?;
        Ok(pools)
    }

    /// Connects to PostgreSQL.
    pub(crate) async fn postgres(url: &str) -> Result<Self, StoreError> {
        let options: PgConnectOptions = url.parse().map_err(|_| StoreError::BadUrl)?;
        // A pool tries for long and then does not say why it failed.
        match tokio::time::timeout(KNOCK, PgConnection::connect_with(&options)).await {
            Ok(Ok(connection)) => Session(connection).close().await,
            Ok(Err(error)) => {
                if let Some(what) = damage::unreachable(&error) {
                    return Err(StoreError::Unreachable { place: server(&options), what });
                }
            }
            Err(_) => {
                let what = format!("no answer came within {} seconds", KNOCK.as_secs());
                return Err(StoreError::Unreachable { place: server(&options), what });
            }
        }
        let pool = PgPoolOptions::new()
            .max_connections(POSTGRES_CONNECTIONS)
            .acquire_timeout(Duration::from_secs(20))
            .after_connect(|connection, _| {
                Box::pin(async move { connection.execute(WAIT_FOR_DISK).await.map(|_| ()) })
            })
            .connect_with(options.application_name("winback").options(PLAN_EACH_TIME))
            .await?;
        Ok(Self::Postgres { pool })
    }

    /// A connection of its own to PostgreSQL, under a name that others can see. The server soon notices when this machine
    /// is gone, so that what the session holds does not outlive it by hours.
    pub(crate) async fn session(&self, name: &str) -> Result<Session, StoreError> {
        let Self::Postgres { pool } = self else { return Err(StoreError::BadUrl) };
        let options = pool.connect_options().as_ref().clone().application_name(name).options(NOTICE_DEATH);
        Ok(Session(PgConnection::connect_with(&options).await?))
    }

    async fn refuse_old_sqlite(&self) -> Result<(), StoreError> {
        let version = self.read("SELECT sqlite_version()", vec![]).await?;
        let text = version.first().ok_or(StoreError::NoRow)?.text(0)?;
        let mut numbers = text.split('.').map(|n| n.parse().unwrap_or(0));
        let mut number = || numbers.next().unwrap_or(0);
        if (number(), number(), number()) < OLDEST_SQLITE {
            return Err(StoreError::OldSqlite { version: text });
        }
        Ok(())
    }

    /// Starts a transaction that may write. On SQLite it takes the write lock at once.
    pub(crate) async fn begin(&self) -> Result<Tx, StoreError> {
        match self {
            Self::Sqlite { writer, path, turn, unsynced, .. } => {
                // A second sync would succeed and say nothing about what the first one lost.
                if unsynced.load(Ordering::Relaxed) {
                    return Err(StoreError::Unsynced { path: path.to_path_buf() });
                }
                let taken = turn.take().await;
                let mut asked = 0;
                let begun = loop {
                    asked += 1;
                    match writer.begin_with("BEGIN IMMEDIATE").await {
                        Err(error) if asked < MOST_ASKED && damage::is_busy(&error) => {}
                        // A full disk ends a transaction from within, and then neither side knows what the other thinks.
                        Err(sqlx::Error::InvalidSavePointStatement) if asked < MOST_ASKED => {
                            writer.acquire().await?.close().await?;
                        }
                        begun => break begun,
                    }
                };
                drop(taken);
                let tx = begun.map_err(|error| damage::told(Some(path), error))?;
                Ok(Tx::Sqlite(tx, Arc::clone(path), Arc::clone(unsynced)))
            }
            Self::Postgres { pool } => Ok(Tx::Postgres(pool.begin().await?)),
        }
    }

    /// Begins to look: whatever is read in this transaction is of one instant. Nothing can be written in it.
    pub(crate) async fn look(&self) -> Result<Tx, StoreError> {
        match self {
            Self::Sqlite { readers, path, unsynced, .. } => {
                let begun = readers.begin().await.map_err(|error| damage::told(Some(path), error))?;
                Ok(Tx::Sqlite(begun, Arc::clone(path), Arc::clone(unsynced)))
            }
            Self::Postgres { pool } => Ok(Tx::Postgres(pool.begin_with(ONE_INSTANT).await?)),
        }
    }

    /// The file of an SQLite store.
    fn path(&self) -> Option<&Path> {
        match self {
            Self::Sqlite { path, .. } => Some(path),
            Self::Postgres { .. } => None,
        }
    }

    /// Runs one constant statement outside a transaction, on a read-only connection where there is one.
    pub(crate) async fn read(&self, sql: &'static str, args: Vec<Arg>) -> Result<Vec<Row>, StoreError> {
        let read = match self {
            Self::Sqlite { readers, .. } => {
                bind_sqlite(sqlx::query(sql), args).fetch_all(readers).await.map(sqlite_rows)
            }
            Self::Postgres { pool } => bind_pg(sqlx::query(sql), args).fetch_all(pool).await.map(pg_rows),
        };
        read.map_err(|error| damage::told(self.path(), error))
    }

    /// Runs a statement that was put together from constant pieces (a compiled segment), read-only and not cached.
    pub(crate) async fn read_composed(&self, sql: String, args: Vec<Arg>) -> Result<Vec<Row>, StoreError> {
        Ok(match self {
            Self::Sqlite { readers, .. } => {
                let query = bind_sqlite(sqlx::query(AssertSqlSafe(sql)), args).persistent(false);
                let rows = query.fetch_all(readers).await;
                sqlite_rows(rows.map_err(|error| damage::told(self.path(), error))?)
            }
            Self::Postgres { pool } => {
                let mut tx = pool.begin_with("BEGIN READ ONLY").await?;
                let query = bind_pg(sqlx::query(AssertSqlSafe(sql)), args).persistent(false);
                let rows = query.fetch_all(&mut *tx).await?;
                tx.rollback().await?;
                pg_rows(rows)
            }
        })
    }

    /// Copies the log of an SQLite store into its file and begins it anew; answers whether nobody was in the way.
    pub(crate) async fn checkpoint(&self) -> Result<bool, StoreError> {
        let Self::Sqlite { writer, path, turn, .. } = self else { return Ok(true) };
        let _taken = turn.take().await;
        let said = sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)").fetch_one(writer).await;
        let said = Row::Sqlite(said.map_err(|error| damage::told(Some(path), error))?);
        Ok(said.int(0)? == 0)
    }

    /// Closes every connection; on SQLite this checkpoints the log.
    pub(crate) async fn close(&self) {
        match self {
            Self::Sqlite { writer, readers, .. } => {
                readers.close().await;
                writer.close().await;
            }
            Self::Postgres { pool } => pool.close().await,
        }
    }
}

/// A server and its database, without whoever asks and the password.
fn server(options: &PgConnectOptions) -> String {
    let database = options.get_database().unwrap_or(options.get_username());
    let place = options.get_socket().map_or_else(
        || format!("{}:{}", options.get_host(), options.get_port()),
        |socket| socket.display().to_string(),
    );
    format!("{place} (database `{database}`)")
}

/// A connection to PostgreSQL outside the pool.
#[derive(Debug)]
pub(crate) struct Session(PgConnection);

impl Session {
    /// Runs one constant statement.
    pub(crate) async fn rows(&mut self, sql: &'static str, args: Vec<Arg>) -> Result<Vec<Row>, StoreError> {
        Ok(pg_rows(bind_pg(sqlx::query(sql), args).fetch_all(&mut self.0).await?))
    }

    /// Ends it.
    pub(crate) async fn close(self) {
        // It is gone either way.
        let _ = self.0.close().await;
    }
}

/// A transaction, one that may write or one that only looks; rolled back when dropped.
pub(crate) enum Tx {
    Sqlite(Transaction<'static, Sqlite>, Arc<Path>, Arc<AtomicBool>),
    Postgres(Transaction<'static, Postgres>),
}

impl Tx {
    /// Runs a constant statement; answers the number of rows it changed.
    pub(crate) async fn run(&mut self, sql: &'static str, args: Vec<Arg>) -> Result<u64, StoreError> {
        match self {
            Self::Sqlite(tx, path, _) => {
                let done = bind_sqlite(sqlx::query(sql), args).execute(&mut **tx).await;
                Ok(done.map_err(|error| damage::told(Some(path), error))?.rows_affected())
            }
            Self::Postgres(tx) => {
                let done = bind_pg(sqlx::query(sql), args).execute(&mut **tx).await;
                Ok(done.map_err(|error| damage::told(None, error))?.rows_affected())
            }
        }
    }

    /// Runs a constant statement; answers its rows.
    pub(crate) async fn rows(&mut self, sql: &'static str, args: Vec<Arg>) -> Result<Vec<Row>, StoreError> {
        match self {
            Self::Sqlite(tx, path, _) => {
                let rows = bind_sqlite(sqlx::query(sql), args).fetch_all(&mut **tx).await;
                rows.map(sqlite_rows).map_err(|error| damage::told(Some(path), error))
            }
            Self::Postgres(tx) => {
                let rows = bind_pg(sqlx::query(sql), args).fetch_all(&mut **tx).await;
                rows.map(pg_rows).map_err(|error| damage::told(None, error))
            }
        }
    }

    /// Whether no other transaction can write meanwhile, so that rows need no locks.
    pub(crate) fn is_alone(&self) -> bool {
        matches!(self, Self::Sqlite(..))
    }

    /// Runs one of a pair of constant statements, by database.
    pub(crate) async fn rows_of(
        &mut self,
        pair: super::dialect::Pair,
        args: Vec<Arg>,
    ) -> Result<Vec<Row>, StoreError> {
        let sql = match self {
            Self::Sqlite(..) => pair.sqlite,
            Self::Postgres(_) => pair.postgres,
        };
        self.rows(sql, args).await
    }

    /// Keeps or undoes everything, as the caller decides at the end.
    pub(crate) async fn close(self, keep: bool) -> Result<(), StoreError> {
        if keep { self.commit().await } else { self.rollback().await }
    }

    /// Undoes everything; dropping does the same, only later.
    pub(crate) async fn rollback(self) -> Result<(), StoreError> {
        match self {
            Self::Sqlite(tx, ..) => tx.rollback().await?,
            Self::Postgres(tx) => tx.rollback().await?,
        }
        Ok(())
    }

    /// Makes everything durable.
    pub(crate) async fn commit(self) -> Result<(), StoreError> {
        fault::point("before-commit");
        match self {
            Self::Sqlite(tx, path, unsynced) => tx.commit().await.map_err(|error| {
                let told = damage::told(Some(&path), error);
                unsynced.fetch_or(matches!(told, StoreError::Unsynced { .. }), Ordering::Relaxed);
                told
            })?,
            Self::Postgres(tx) => tx.commit().await?,
        }
        fault::point("after-commit");
        Ok(())
    }
}

type SqliteQuery = sqlx::query::Query<'static, Sqlite, sqlx::sqlite::SqliteArguments>;
type PgQuery = sqlx::query::Query<'static, Postgres, sqlx::postgres::PgArguments>;

fn bind_sqlite(mut query: SqliteQuery, args: Vec<Arg>) -> SqliteQuery {
    for arg in args {
        query = match arg {
            Arg::Int(value) => query.bind(value),
            Arg::Text(value) => query.bind(value),
            Arg::Real(value) => query.bind(value),
        };
    }
    query
}

fn bind_pg(mut query: PgQuery, args: Vec<Arg>) -> PgQuery {
    for arg in args {
        query = match arg {
            Arg::Int(value) => query.bind(value),
            Arg::Text(value) => query.bind(value),
            Arg::Real(value) => query.bind(value),
        };
    }
    query
}

fn sqlite_rows(rows: Vec<SqliteRow>) -> Vec<Row> {
    rows.into_iter().map(Row::Sqlite).collect()
}

fn pg_rows(rows: Vec<PgRow>) -> Vec<Row> {
    rows.into_iter().map(Row::Postgres).collect()
}

/// Creates the file before SQLite does, so that it and its log are never readable by others.
pub(super) fn create_private(path: &Path) -> Result<(), StoreError> {
    use std::os::unix::fs::OpenOptionsExt as _;
    let opened = std::fs::OpenOptions::new().create_new(true).write(true).mode(0o600).open(path);
    match opened {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(()),
        Err(source) => Err(StoreError::File { path: path.to_owned(), source }),
    }
}

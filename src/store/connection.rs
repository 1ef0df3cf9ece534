//! Connections to either database behind one face: a statement text, its arguments, rows by position.
//!
//! One SQLite connection writes, a few read-only ones read. PostgreSQL has one pool. Nothing outside `store` sees
//! this; nothing here knows a table.

use std::path::{Path, PathBuf};
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions, PgRow};
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteRow, SqliteSynchronous,
};
use sqlx::{AssertSqlSafe, Postgres, Row as _, Sqlite, Transaction};

use super::StoreError;

/// The oldest SQLite that is free of the WAL-reset corruption (fixed in 3.51.3).
const OLDEST_SQLITE: (u32, u32, u32) = (3, 51, 3);

/// Readers of one SQLite file.
const READERS: u32 = 4;

/// Connections to one PostgreSQL database.
const POSTGRES_CONNECTIONS: u32 = 8;

/// A plan made while a table was small would walk it row by row once it has grown, until statistics are next taken;
/// planning anew costs little beside a batch.
const PLAN_EACH_TIME: [(&str, &str); 1] = [("plan_cache_mode", "force_custom_plan")];

/// How long a writer waits for its turn on a busy SQLite file.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);

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
        Ok(match self {
            Self::Sqlite(row) => row.try_get(at)?,
            Self::Postgres(row) => row.try_get(at)?,
        })
    }

    pub(crate) fn opt_int(&self, at: usize) -> Result<Option<i64>, StoreError> {
        Ok(match self {
            Self::Sqlite(row) => row.try_get(at)?,
            Self::Postgres(row) => row.try_get(at)?,
        })
    }

    pub(crate) fn text(&self, at: usize) -> Result<String, StoreError> {
        Ok(match self {
            Self::Sqlite(row) => row.try_get(at)?,
            Self::Postgres(row) => row.try_get(at)?,
        })
    }

    pub(crate) fn opt_text(&self, at: usize) -> Result<Option<String>, StoreError> {
        Ok(match self {
            Self::Sqlite(row) => row.try_get(at)?,
            Self::Postgres(row) => row.try_get(at)?,
        })
    }
}

/// The pools of one store.
#[derive(Clone, Debug)]
pub(crate) enum Pools {
    Sqlite { writer: SqlitePool, readers: SqlitePool, path: PathBuf },
    Postgres { pool: PgPool },
}

impl Pools {
    /// Opens an SQLite file; creates it with mode 0600 when `create` is set.
    pub(crate) async fn sqlite(path: &Path, create: bool) -> Result<Self, StoreError> {
        if create {
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
            .pragma("temp_store", "memory")
            .pragma("cache_size", "-65536");
        let writer_options = options
            .clone()
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .pragma("journal_size_limit", "67108864")
            .optimize_on_close(true, 400);
        let writer = SqlitePoolOptions::new()
            .max_connections(1)
            .min_connections(1)
            .idle_timeout(None)
            .max_lifetime(None)
            .test_before_acquire(false)
            .acquire_timeout(Duration::from_mins(1))
            .connect_with(writer_options)
            .await?;
        let readers = SqlitePoolOptions::new()
            .max_connections(READERS)
            .idle_timeout(None)
            .max_lifetime(None)
            .test_before_acquire(false)
            .acquire_timeout(Duration::from_mins(1))
            .connect_lazy_with(options.read_only(true));
        let pools = Self::Sqlite { writer, readers, path: path.to_owned() };
        pools.refuse_old_sqlite().await?;
        Ok(pools)
    }

    /// Connects to PostgreSQL.
    pub(crate) async fn postgres(url: &str) -> Result<Self, StoreError> {
        let options: PgConnectOptions = url.parse().map_err(|_| StoreError::BadUrl)?;
        let pool = PgPoolOptions::new()
            .max_connections(POSTGRES_CONNECTIONS)
            .acquire_timeout(Duration::from_secs(20))
            .connect_with(options.application_name("winback").options(PLAN_EACH_TIME))
            .await?;
        Ok(Self::Postgres { pool })
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
        Ok(match self {
            Self::Sqlite { writer, .. } => Tx::Sqlite(writer.begin_with("BEGIN IMMEDIATE").await?),
            Self::Postgres { pool } => Tx::Postgres(pool.begin().await?),
        })
    }

    /// Runs one constant statement outside a transaction, on a read-only connection where there is one.
    pub(crate) async fn read(&self, sql: &'static str, args: Vec<Arg>) -> Result<Vec<Row>, StoreError> {
        Ok(match self {
            Self::Sqlite { readers, .. } => {
                sqlite_rows(bind_sqlite(sqlx::query(sql), args).fetch_all(readers).await?)
            }
            Self::Postgres { pool } => pg_rows(bind_pg(sqlx::query(sql), args).fetch_all(pool).await?),
        })
    }

    /// Runs a statement that was put together from constant pieces (a compiled segment), read-only and not cached.
    pub(crate) async fn read_composed(&self, sql: String, args: Vec<Arg>) -> Result<Vec<Row>, StoreError> {
        Ok(match self {
            Self::Sqlite { readers, .. } => {
                let query = bind_sqlite(sqlx::query(AssertSqlSafe(sql)), args).persistent(false);
                sqlite_rows(query.fetch_all(readers).await?)
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

/// A transaction that may write; rolled back when dropped.
pub(crate) enum Tx {
    Sqlite(Transaction<'static, Sqlite>),
    Postgres(Transaction<'static, Postgres>),
}

impl Tx {
    /// Runs a constant statement; answers the number of rows it changed.
    pub(crate) async fn run(&mut self, sql: &'static str, args: Vec<Arg>) -> Result<u64, StoreError> {
        Ok(match self {
            Self::Sqlite(tx) => bind_sqlite(sqlx::query(sql), args).execute(&mut **tx).await?.rows_affected(),
            Self::Postgres(tx) => bind_pg(sqlx::query(sql), args).execute(&mut **tx).await?.rows_affected(),
        })
    }

    /// Runs a constant statement; answers its rows.
    pub(crate) async fn rows(&mut self, sql: &'static str, args: Vec<Arg>) -> Result<Vec<Row>, StoreError> {
        Ok(match self {
            Self::Sqlite(tx) => sqlite_rows(bind_sqlite(sqlx::query(sql), args).fetch_all(&mut **tx).await?),
            Self::Postgres(tx) => pg_rows(bind_pg(sqlx::query(sql), args).fetch_all(&mut **tx).await?),
        })
    }

    /// Whether no other transaction can write meanwhile, so that rows need no locks.
    pub(crate) fn is_alone(&self) -> bool {
        matches!(self, Self::Sqlite(_))
    }

    /// Runs one of a pair of constant statements, by database.
    pub(crate) async fn rows_of(
        &mut self,
        pair: super::dialect::Pair,
        args: Vec<Arg>,
    ) -> Result<Vec<Row>, StoreError> {
        let sql = match self {
            Self::Sqlite(_) => pair.sqlite,
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
            Self::Sqlite(tx) => tx.rollback().await?,
            Self::Postgres(tx) => tx.rollback().await?,
        }
        Ok(())
    }

    /// Makes everything durable.
    pub(crate) async fn commit(self) -> Result<(), StoreError> {
        match self {
            Self::Sqlite(tx) => tx.commit().await?,
            Self::Postgres(tx) => tx.commit().await?,
        }
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
fn create_private(path: &Path) -> Result<(), StoreError> {
    use std::os::unix::fs::OpenOptionsExt as _;
    let opened = std::fs::OpenOptions::new().create_new(true).write(true).mode(0o600).open(path);
    match opened {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(()),
        Err(source) => Err(StoreError::File { path: path.to_owned(), source }),
    }
}

//! A side door into a store under test: raw SQL, rows as text. Only tests look behind the store's back.

use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{
    AssertSqlSafe, Column as _, Connection as _, Executor as _, PgConnection, Row as _, SqlSafeStr as _,
    SqliteConnection, TypeInfo as _, ValueRef as _,
};

/// A connection of its own to either database.
pub(crate) enum Sql {
    Sqlite(SqliteConnection),
    Postgres(PgConnection),
}

impl Sql {
    pub(crate) async fn open(url: &str) -> Self {
        if let Some(path) = url.strip_prefix("sqlite:") {
            let options = SqliteConnectOptions::new().filename(path).foreign_keys(true);
            return Self::Sqlite(SqliteConnection::connect_with(&options).await.expect("the file opens"));
        }
        Self::Postgres(PgConnection::connect(url).await.expect("the server answers"))
    }

    /// Runs statements, separated by semicolons.
    pub(crate) async fn run(&mut self, sql: &str) {
        let query = sqlx::raw_sql(AssertSqlSafe(sql.to_owned()));
        match self {
            Self::Sqlite(connection) => query.execute(connection).await.map(|_| ()),
            Self::Postgres(connection) => query.execute(connection).await.map(|_| ()),
        }
        .unwrap_or_else(|error| panic!("{}: {error}", sql.chars().take(300).collect::<String>()));
    }

    /// Rows as lines, columns separated by `|`, null as `-`. Columns must be 64-bit integers or texts.
    pub(crate) async fn lines(&mut self, sql: &str) -> Vec<String> {
        let text = AssertSqlSafe(sql.to_owned());
        match self {
            Self::Sqlite(connection) => {
                let rows = sqlx::query(text).fetch_all(connection).await;
                let rows = rows.unwrap_or_else(|error| panic!("{sql}: {error}"));
                rows.iter().map(|row| line(row.columns().len(), |at| sqlite_text(row, at))).collect()
            }
            Self::Postgres(connection) => {
                let rows = sqlx::query(text).fetch_all(connection).await;
                let rows = rows.unwrap_or_else(|error| panic!("{sql}: {error}"));
                rows.iter().map(|row| line(row.columns().len(), |at| postgres_text(row, at))).collect()
            }
        }
    }

    /// Lets the database check a statement without running it.
    pub(crate) async fn prepare(&mut self, sql: &str) -> Result<(), sqlx::Error> {
        let sql = AssertSqlSafe(sql.to_owned()).into_sql_str();
        match self {
            Self::Sqlite(connection) => connection.prepare(sql).await.map(|_| ()),
            Self::Postgres(connection) => connection.prepare(sql).await.map(|_| ()),
        }
    }
}

fn line(columns: usize, text: impl Fn(usize) -> Option<String>) -> String {
    (0..columns).map(|at| text(at).unwrap_or_else(|| "-".to_owned())).collect::<Vec<_>>().join("|")
}

fn sqlite_text(row: &sqlx::sqlite::SqliteRow, at: usize) -> Option<String> {
    let raw = row.try_get_raw(at).expect("a column");
    if raw.is_null() {
        return None;
    }
    if raw.type_info().name() == "INTEGER" {
        return Some(row.get::<i64, _>(at).to_string());
    }
    Some(row.get(at))
}

fn postgres_text(row: &sqlx::postgres::PgRow, at: usize) -> Option<String> {
    if row.column(at).type_info().name() == "INT8" {
        return row.get::<Option<i64>, _>(at).map(|number| number.to_string());
    }
    row.get(at)
}

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

    /// How the database would run a statement, a line for each step: `SCAN` and `SEARCH` lines of SQLite; on PostgreSQL
    /// the kind of scan, its table, its index and whether it looks for something in it. PostgreSQL
    /// is told that tables are large: an index is used wherever one can be.
    pub(crate) async fn explain(&mut self, sql: &str) -> Vec<String> {
        let text = AssertSqlSafe(format!("EXPLAIN QUERY PLAN {sql}"));
        let connection = match self {
            Self::Sqlite(connection) => {
                let rows = sqlx::query(text).fetch_all(connection).await;
                let rows = rows.unwrap_or_else(|error| panic!("{sql}: {error}"));
                return rows.iter().map(|row| row.get(3)).collect();
            }
            Self::Postgres(connection) => connection,
        };
        let arguments =
            (1..20).take_while(|n| sql.contains(&format!("${n}"))).map(|_| "NULL").collect::<Vec<_>>();
        let given = if arguments.is_empty() { String::new() } else { format!("({})", arguments.join(", ")) };
        let prepare = format!(
            "SET enable_seqscan = off; SET enable_hashjoin = off; SET enable_mergejoin = off; SET plan_cache_mode = force_generic_plan; DEALLOCATE ALL; PREPARE asked AS {sql}"
        );
        sqlx::raw_sql(AssertSqlSafe(prepare)).execute(&mut *connection).await.expect("it prepares");
        let explain = AssertSqlSafe(format!("EXPLAIN (FORMAT JSON) EXECUTE asked{given}"));
        let rows = sqlx::raw_sql(explain).fetch_all(connection).await;
        let rows = rows.unwrap_or_else(|error| panic!("{sql}: {error}"));
        let plan: serde_json::Value = rows[0].get::<sqlx::types::Json<serde_json::Value>, _>(0).0;
        let mut lines = Vec::new();
        steps(&plan[0]["Plan"], &mut lines);
        lines
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

/// The scans of a plan of PostgreSQL.
fn steps(node: &serde_json::Value, lines: &mut Vec<String>) {
    let text = |key: &str| node[key].as_str().unwrap_or_default().to_owned();
    if text("Node Type").contains("Scan") && !text("Node Type").contains("Bitmap Heap") {
        let looks = if node["Index Cond"].is_null() { "everything" } else { "a place" };
        lines.push(format!(
            "{} of {} by {}: {looks}",
            text("Node Type"),
            text("Relation Name"),
            text("Index Name")
        ));
    }
    for child in node["Plans"].as_array().into_iter().flatten() {
        steps(child, lines);
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

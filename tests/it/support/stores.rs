//! The same test on both databases.

use std::io::Write as _;
use std::ops::Deref;

use winback::store::Store;

use super::postgres;
use super::sql::Sql;

/// A store under test; use it as a [`Store`].
pub(crate) struct Bench {
    store: Store,
    url: String,
    _folder: Option<tempfile::TempDir>,
}

impl Bench {
    /// A fresh SQLite store.
    pub(crate) async fn sqlite() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let url = format!("sqlite:{}", folder.path().join("store.db").display());
        let store = Store::create(&url, "test").await.expect("a store");
        Self { store, url, _folder: Some(folder) }
    }

    /// A fresh PostgreSQL store.
    pub(crate) async fn postgres() -> Self {
        let url = postgres::database().await;
        let store = Store::open(&url).await.expect("a store");
        Self { store, url, _folder: None }
    }

    /// Where it is.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Its side door.
    pub(crate) async fn sql(&self) -> Sql {
        Sql::open(&self.url).await
    }

    /// One question through the side door; see [`Sql::lines`].
    pub(crate) async fn lines(&self, sql: &str) -> Vec<String> {
        self.sql().await.lines(sql).await
    }
}

impl Deref for Bench {
    type Target = Store;

    fn deref(&self) -> &Store {
        &self.store
    }
}

/// Runs `body` on a fresh SQLite store, then on a fresh PostgreSQL store; a failure says on which.
pub(crate) async fn on_both(body: impl AsyncFn(&Bench)) {
    for database in ["SQLite", "PostgreSQL"] {
        let said = Said(database);
        let bench = if database == "SQLite" { Bench::sqlite().await } else { Bench::postgres().await };
        Box::pin(body(&bench)).await;
        bench.store.close().await;
        drop(said);
    }
}

/// Names the database when a test fails.
struct Said(&'static str);

impl Drop for Said {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let _ = writeln!(std::io::stderr(), "this failed on {}", self.0);
        }
    }
}

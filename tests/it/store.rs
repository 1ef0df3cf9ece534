//! The conformance suite of the store: every rule holds on SQLite and on PostgreSQL alike.

mod check;
mod contacts;
mod coupons;
mod events;
mod plans;
mod segments;

mod suppressions;

use std::os::unix::fs::PermissionsExt as _;

use winback::store::{DaemonLock, Store, StoreError, statements};

use crate::support::postgres;
use crate::support::sql::Sql;
use crate::support::stores::{Bench, on_both};

#[tokio::test]
async fn every_statement_prepares_on_both_databases() {
    let benches = (Bench::sqlite().await, Bench::postgres().await);
    let (mut sqlite, mut postgres) = (benches.0.sql().await, benches.1.sql().await);
    let mut wrong = Vec::new();
    for (name, for_sqlite, for_postgres) in statements() {
        if let Err(error) = sqlite.prepare(for_sqlite).await {
            wrong.push(format!("{name} on SQLite: {error}\n{for_sqlite}"));
        }
        if let Err(error) = postgres.prepare(for_postgres).await {
            wrong.push(format!("{name} on PostgreSQL: {error}\n{for_postgres}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

#[tokio::test]
async fn both_schemas_have_the_same_tables_and_columns() {
    let bench = Bench::sqlite().await;
    let sqlite = bench.lines(
        "SELECT m.name, p.name, CASE p.type WHEN 'INTEGER' THEN 'bigint' ELSE lower(p.type) END, \
           CASE p.\"notnull\" WHEN 1 THEN 'NO' ELSE 'YES' END, CASE WHEN p.dflt_value IS NULL THEN '' ELSE 'default' END \
         FROM sqlite_master AS m JOIN pragma_table_info(m.name) AS p \
         WHERE m.type = 'table' AND m.name NOT LIKE 'sqlite_%' AND m.name <> '_sqlx_migrations' ORDER BY 1, p.cid",
    );
    let bench = Bench::postgres().await;
    let postgres = bench.lines(
        "SELECT CAST(table_name AS TEXT), CAST(column_name AS TEXT), CAST(data_type AS TEXT), CAST(is_nullable AS TEXT), \
           CASE WHEN column_default IS NULL THEN '' ELSE 'default' END \
         FROM information_schema.columns \
         WHERE table_schema = 'public' AND table_name <> '_sqlx_migrations' ORDER BY table_name COLLATE \"C\", ordinal_position",
    );
    let sqlite = sqlite.await;
    assert_eq!(sqlite, postgres.await);
    assert!(sqlite.len() > 100, "{} columns", sqlite.len());
}

#[tokio::test]
async fn a_sqlite_store_can_be_read_by_its_owner_only() {
    let bench = Bench::sqlite().await;
    let path = bench.path().expect("a file");
    for end in ["", "-wal", "-shm"] {
        let file = format!("{}{end}", path.display());
        let mode = std::fs::metadata(&file).expect("the file is there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{file}");
    }
}

#[tokio::test]
async fn a_second_daemon_is_refused_until_the_first_is_gone() {
    let bench = Bench::sqlite().await;
    let path = bench.path().expect("a file");
    let first = DaemonLock::take(path).expect("free");
    let refused = DaemonLock::take(path).expect_err("taken").to_string();
    assert!(refused.contains(&format!("(process {})", std::process::id())), "{refused}");
    assert!(refused.contains("stop it first"), "{refused}");
    drop(first);
    DaemonLock::take(path).expect("free again");
}

#[tokio::test]
async fn a_store_that_is_not_there_is_not_created_by_opening_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("nothing.db");
    let error = Store::open(&format!("sqlite:{}", path.display())).await.expect_err("missing");
    assert!(error.to_string().contains("`winback init`"), "{error}");
    assert!(!path.exists());
}

#[tokio::test]
async fn a_store_of_another_schema_names_the_command_that_mends_it() {
    let check = async |url: &str| {
        let error = Store::open(url).await.expect_err("no schema");
        assert!(matches!(error, StoreError::Schema { found: 0, .. }), "{error:?}");
        assert!(error.to_string().contains("`winback store migrate`"), "{error}");
    };
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("empty.db");
    std::fs::write(&path, "").expect("written");
    check(&format!("sqlite:{}", path.display())).await;
    check(&postgres::empty_database().await).await;
}

#[tokio::test]
async fn creating_a_store_twice_keeps_what_is_in_it() {
    on_both(async |bench| {
        let again = Store::create(bench.url(), "else").await.expect("created before");
        assert_eq!(again.tag(), "test");
        assert_eq!(again.meta_once("key", "first").await.expect("written"), "first");
        assert_eq!(bench.meta_once("key", "second").await.expect("read"), "first");
        again.close().await;
    })
    .await;
}

/// Everything that contacts, tags and events hold, without row ids.
async fn dump(sql: &mut Sql) -> Vec<String> {
    let mut lines = sql
        .lines(
            "SELECT customer_id, phone, country, number_kind, first_name, last_name, email, locale, zone, stage, \
             consent_at, unreachable_at, attrs, created_at FROM contacts ORDER BY phone",
        )
        .await;
    lines.extend(
        sql.lines(
            "SELECT c.phone, t.tag FROM contact_tags AS t JOIN contacts AS c ON c.id = t.contact_id ORDER BY 1, 2",
        )
        .await,
    );
    lines.extend(
        sql.lines(
            "SELECT c.phone, e.customer_id, e.kind, e.event_id, e.occurred_at, e.value, e.props \
             FROM events AS e LEFT JOIN contacts AS c ON c.id = e.contact_id ORDER BY e.kind, e.event_id",
        )
        .await,
    );
    lines
}

//! The conformance suite of the store: every rule holds on SQLite and on PostgreSQL alike.

mod check;
mod contacts;
mod coupons;
mod events;
mod plans;
mod segments;

mod suppressions;

use std::os::unix::fs::PermissionsExt as _;

use winback::model::clock::Timestamp;
use winback::store::{Store, statements};

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
async fn a_server_that_has_no_such_database_is_told_with_its_place_and_without_the_password() {
    let bench = Bench::postgres().await;
    let (server, _) = bench.url().rsplit_once('/').expect("a database");
    let url = format!(
        "{}/nowhere",
        server.replacen("://", "://nobody:secret@", usize::from(!server.contains('@')))
    );
    let told = Store::open(&url).await.expect_err("there is none").to_string();
    assert!(told.contains("cannot be used") && told.contains("nowhere"), "{told}");
    assert!(told.contains("store.url") && !told.contains("secret"), "{told}");
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
    on_both(async |bench| {
        let since = Timestamp::parse("2018-01-02T19:00:00Z").unwrap();
        assert_eq!(bench.daemon().await.unwrap(), None);
        let first = bench.lock_daemon(since).await.expect("free");
        let beside = Store::open(bench.url()).await.unwrap();
        let refused = beside.lock_daemon(since).await.expect_err("taken").to_string();
        assert!(
            refused.contains(&format!("(process {} since 2018-01-02T19:00:00Z on ", std::process::id())),
            "{refused}"
        );
        assert!(refused.contains(") already works on "), "{refused}");
        assert!(refused.contains("stop it first"), "{refused}");
        assert!(beside.daemon().await.unwrap().is_some_and(|owner| refused.contains(&owner)));
        first.free().await;
        beside.lock_daemon(since).await.expect("free again").free().await;
        beside.close().await;
    })
    .await;
}

#[tokio::test]
async fn a_store_with_two_names_is_served_under_neither() {
    let bench = Bench::sqlite().await;
    let path = bench.path().expect("a file").to_owned();
    let second = path.with_file_name("second.db");
    bench.close().await;
    std::fs::hard_link(&path, &second).expect("linked");
    for name in [&path, &second] {
        let store = Store::open(&format!("sqlite:{}", name.display())).await.expect("opens");
        let refused = store.lock_daemon(Timestamp(1)).await.expect_err("two names").to_string();
        assert!(refused.contains("has 2 names (hard links)"), "{refused}");
        assert!(refused.contains("find -samefile"), "{refused}");
        store.close().await;
    }
    std::fs::remove_file(&second).expect("removed");
    let store = Store::open(bench.url()).await.expect("opens");
    store.lock_daemon(Timestamp(2)).await.expect("one name").free().await;
    store.close().await;
}

/// Writes without a pause while another process, here another handle, wants to write too.
#[tokio::test(flavor = "multi_thread")]
async fn whoever_writes_without_a_pause_lets_everybody_else_have_a_turn() {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
    let bench = Bench::sqlite().await;
    let greedy = Store::open(bench.url()).await.expect("opens");
    let (done, written) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let task = {
        let (done, written) = (Arc::clone(&done), Arc::clone(&written));
        tokio::spawn(async move {
            while !done.load(Ordering::Relaxed) {
                let n = written.fetch_add(1, Ordering::Relaxed);
                greedy.meta_once(&format!("greedy {n}"), "1").await.expect("written");
            }
            greedy.close().await;
        })
    };
    while written.load(Ordering::Relaxed) == 0 {
        tokio::task::yield_now().await;
    }
    for turn in 0..40 {
        let before = written.load(Ordering::Relaxed);
        let batch = bench.batch().await.expect("its turn");
        let passed = written.load(Ordering::Relaxed) - before;
        batch.commit().await.expect("committed");
        assert!(passed <= 8, "in turn {turn} {passed} others went first");
    }
    done.store(true, Ordering::Relaxed);
    task.await.expect("ended");
}

#[tokio::test]
async fn whoever_only_looks_waits_for_nobody() {
    let bench = Bench::sqlite().await;
    let held = bench.batch().await.expect("begun");
    let other = Store::open(bench.url()).await.expect("opens");
    assert!(other.recent_runs(5).await.expect("read").is_empty());
    other.close().await;
    held.commit().await.expect("committed");
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
async fn what_is_no_store_of_this_version_names_the_command_that_mends_it() {
    let check = async |url: &str, way_out: &str| {
        let error = Store::open(url).await.expect_err("not to be opened").to_string();
        assert!(error.contains(way_out), "{error}");
    };
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("else.db");
    let url = format!("sqlite:{}", path.display());
    std::fs::write(&path, "").expect("written");
    check(&url, "`winback init`").await;
    Sql::open(&url).await.run("CREATE TABLE notes (line TEXT)").await;
    check(&url, "another program").await;
    check(&postgres::empty_database().await, "`winback init`").await;
    on_both(async |bench| {
        let newest = "WHERE version = (SELECT max(version) FROM _sqlx_migrations)";
        bench.sql().await.run(&format!("DELETE FROM _sqlx_migrations {newest}")).await;
        check(bench.url(), "`winback store migrate`").await;
        bench.sql().await.run("UPDATE _sqlx_migrations SET version = version + 100").await;
        check(bench.url(), "newer").await;
    })
    .await;
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

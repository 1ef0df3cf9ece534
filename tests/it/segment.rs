//! Segments give the same contacts by `SQLite`, by `PostgreSQL` and by a plain evaluator in memory.

use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::{Config, RngSeed, TestCaseError, TestRunner};
use sqlx::sqlite::{SqliteConnectOptions, SqlitePoolOptions};
use sqlx::{AssertSqlSafe, PgPool, Row, SqlitePool};
use winback::segment::{Dialect, Fragment, Value, compile, parse};

use crate::support::audience::{RunsFragment, compare, expressions, inserts, instants, people};
use crate::support::evaluate::Person;
use crate::support::postgres::Cluster;

const TABLES: [&str; 6] = [
    "CREATE TABLE contacts (id BIGINT PRIMARY KEY, customer_id TEXT, phone BIGINT NOT NULL, country TEXT, number_kind TEXT,
       first_name TEXT, last_name TEXT, email TEXT, locale TEXT, zone TEXT, stage TEXT, consent_at BIGINT,
       attrs TEXT NOT NULL, created_at BIGINT NOT NULL, updated_at BIGINT NOT NULL)",
    "CREATE TABLE contact_tags (contact_id BIGINT NOT NULL, tag TEXT NOT NULL, PRIMARY KEY (contact_id, tag))",
    "CREATE TABLE events (id BIGINT PRIMARY KEY, contact_id BIGINT, kind TEXT NOT NULL, event_id TEXT,
       occurred_at BIGINT NOT NULL, value BIGINT, props TEXT)",
    "CREATE INDEX events_of_contact ON events (contact_id, kind, occurred_at)",
    "CREATE TABLE runs (id BIGINT PRIMARY KEY, campaign TEXT NOT NULL)",
    "CREATE TABLE messages (id BIGINT PRIMARY KEY, run_id BIGINT NOT NULL, contact_id BIGINT NOT NULL, submitted_at BIGINT)",
];

struct Sqlite(SqlitePool);

impl Sqlite {
    async fn with(people: &[Person]) -> Self {
        let options = SqliteConnectOptions::new().in_memory(true);
        let pool = SqlitePoolOptions::new().max_connections(1).connect_with(options).await.unwrap();
        for statement in TABLES.map(strict).into_iter().chain(inserts(people)) {
            sqlx::query(AssertSqlSafe(statement)).execute(&pool).await.unwrap();
        }
        Self(pool)
    }
}

/// `SQLite`'s strict tables, which know INTEGER only.
fn strict(statement: &str) -> String {
    let table = statement.starts_with("CREATE TABLE");
    format!("{}{}", statement.replace("BIGINT", "INTEGER"), if table { " STRICT" } else { "" })
}

impl RunsFragment for Sqlite {
    fn dialect(&self) -> Dialect {
        Dialect::Sqlite
    }

    async fn matching(&self, fragment: &Fragment) -> Result<Vec<i64>, sqlx::Error> {
        let sql = format!("SELECT c.id FROM contacts c WHERE {} ORDER BY c.id", fragment.sql);
        let mut query = sqlx::query(AssertSqlSafe(sql));
        for value in &fragment.values {
            query = match value {
                Value::Int(number) => query.bind(*number),
                Value::Text(text) => query.bind(text.clone()),
            };
        }
        query.fetch_all(&self.0).await?.iter().map(|row| row.try_get(0)).collect()
    }
}

struct Postgres(PgPool);

impl Postgres {
    async fn with(people: &[Person], pool: PgPool) -> Self {
        for statement in TABLES.map(str::to_owned).into_iter().chain(inserts(people)) {
            sqlx::query(AssertSqlSafe(statement)).execute(&pool).await.unwrap();
        }
        Self(pool)
    }
}

impl RunsFragment for Postgres {
    fn dialect(&self) -> Dialect {
        Dialect::Postgres
    }

    async fn matching(&self, fragment: &Fragment) -> Result<Vec<i64>, sqlx::Error> {
        let sql = format!("SELECT c.id FROM contacts c WHERE {} ORDER BY c.id", fragment.sql);
        let mut query = sqlx::query(AssertSqlSafe(sql));
        for value in &fragment.values {
            query = match value {
                Value::Int(number) => query.bind(*number),
                Value::Text(text) => query.bind(text.clone()),
            };
        }
        query.fetch_all(&self.0).await?.iter().map(|row| row.try_get(0)).collect()
    }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

/// The same people in every run, so that a failure repeats.
fn crowd() -> Vec<Person> {
    people(250).new_tree(&mut TestRunner::deterministic()).unwrap().current()
}

/// Questions to each database.
const CASES: u32 = 400;

/// Asks many random segments at random instants, the same in every run.
fn differential(runtime: &tokio::runtime::Runtime, store: &impl RunsFragment, people: &[Person]) {
    let rng_seed = RngSeed::Fixed(20_260_301);
    let config = Config { cases: CASES, failure_persistence: None, rng_seed, ..Config::default() };
    let question = (expressions(), proptest::sample::select(instants()));
    TestRunner::new(config)
        .run(&question, |(text, as_of)| {
            runtime.block_on(compare(store, people, &text, &as_of)).map_err(TestCaseError::fail)
        })
        .unwrap_or_else(|failure| panic!("{failure}"));
}

#[test]
fn sqlite_finds_the_contacts_that_the_words_mean() {
    let (runtime, people) = (runtime(), crowd());
    let store = runtime.block_on(Sqlite::with(&people));
    differential(&runtime, &store, &people);
}

#[test]
fn postgresql_finds_the_contacts_that_the_words_mean() {
    let (runtime, people) = (runtime(), crowd());
    let Some((cluster, pool)) = runtime.block_on(Cluster::start()) else {
        eprintln!("skipped: PostgreSQL is not installed here");
        return;
    };
    let store = runtime.block_on(Postgres::with(&people, pool));
    differential(&runtime, &store, &people);
    runtime.block_on(store.0.close());
    drop(cluster);
}

#[test]
fn the_crowd_is_split_by_each_kind_of_question() {
    let (runtime, people) = (runtime(), crowd());
    let store = runtime.block_on(Sqlite::with(&people));
    let check = |text: &str| {
        let fragment = compile(&parse(text).unwrap(), &instants()[0], Dialect::Sqlite, 1);
        let found = runtime.block_on(store.matching(&fragment)).unwrap().len();
        assert!(found > 0 && found < people.len(), "{text}: {found} of {}", people.len());
    };
    check("stage = 'lost'");
    check("first_name like 'mar%'");
    check("attr.score = 5");
    check("attr.score = true");
    check("count('order', '30 days') >= 1");
    check("sum('order') >= 200");
    check("days_since('order') between 1 and 3");
    check("last('order') >= '2026-03-01'");
    check("received('spring', '1 year')");
    check("tagged('vip')");
}

#[test]
fn the_longest_chains_and_lists_run_on_sqlite() {
    let (runtime, people) = (runtime(), crowd());
    let store = runtime.block_on(Sqlite::with(&people));
    let check = |text: &str| {
        runtime
            .block_on(compare(&store, &people, text, &instants()[0]))
            .unwrap_or_else(|wrong| panic!("{wrong}"));
    };
    check(&vec!["true"; 1_000].join(" or "));
    check(&vec!["stage = 'new'"; 450].join(" and "));
    let days: Vec<String> = (0..1_000).map(|day| day.to_string()).collect();
    check(&format!("days_since('order') in ({})", days.join(",")));
    check(&format!("{}stage = 'new'{}", "(".repeat(64), ")".repeat(64)));
}

#[test]
fn nothing_a_user_writes_becomes_sql() {
    let (runtime, people) = (runtime(), crowd());
    let store = runtime.block_on(Sqlite::with(&people));
    let mean = "x'' or 1=1; drop table contacts; --";
    for form in [
        "stage = '?'",
        "tagged('?')",
        "count('?') > 0",
        "received('?')",
        "attr.\"?\" = 'x'",
        "email like '?%'",
    ] {
        let text = form.replace('?', mean);
        let expression = parse(&text).unwrap();
        let fragment = compile(&expression, &instants()[0], Dialect::Sqlite, 1);
        assert!(!fragment.sql.contains("drop"), "{}", fragment.sql);
        assert_eq!(runtime.block_on(store.matching(&fragment)).unwrap(), Vec::<i64>::new(), "{text}");
    }
}

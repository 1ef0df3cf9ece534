//! Segments give the same contacts by `SQLite`, by `PostgreSQL` and by a plain evaluator in memory.

use std::collections::HashSet;

use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::{Config, RngSeed, TestCaseError, TestRunner};
use winback::segment::{Dialect, Fragment, compile, parse};
use winback::store::StoreError;

use crate::support::audience::{RunsFragment, compare, expressions, inserts, instants, people};
use crate::support::evaluate::Person;
use crate::support::stores::Bench;

/// A store with people in it, and the dialect it speaks.
struct Asked(Bench, Dialect);

impl Asked {
    async fn sqlite(people: &[Person]) -> Self {
        Self(filled(Bench::sqlite().await, people).await, Dialect::Sqlite)
    }

    async fn postgres(people: &[Person]) -> Self {
        Self(filled(Bench::postgres().await, people).await, Dialect::Postgres)
    }
}

async fn filled(bench: Bench, people: &[Person]) -> Bench {
    let mut sql = bench.sql().await;
    sql.run(&format!("BEGIN; {}; COMMIT", inserts(people).join(";"))).await;
    bench
}

impl RunsFragment for Asked {
    fn dialect(&self) -> Dialect {
        self.1
    }

    async fn matching(&self, fragment: &Fragment) -> Result<Vec<i64>, StoreError> {
        let ids = self.0.segment_ids(fragment, None, i64::MAX).await?;
        Ok(ids.into_iter().map(|id| id.0).collect())
    }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

/// The same people in every run, so that a failure repeats.
fn crowd() -> Vec<Person> {
    let mut people = people(250).new_tree(&mut TestRunner::deterministic()).unwrap().current();
    // A shop's key belongs to one person.
    let mut taken = HashSet::new();
    for person in &mut people {
        if let Some(key) = person.texts.get_mut("customer_id")
            && !key.as_ref().is_some_and(|key| taken.insert(key.clone()))
        {
            *key = None;
        }
    }
    people
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
    let store = runtime.block_on(Asked::sqlite(&people));
    differential(&runtime, &store, &people);
}

#[test]
fn postgresql_finds_the_contacts_that_the_words_mean() {
    let (runtime, people) = (runtime(), crowd());
    let store = runtime.block_on(Asked::postgres(&people));
    differential(&runtime, &store, &people);
}

#[test]
fn the_crowd_is_split_by_each_kind_of_question() {
    let (runtime, people) = (runtime(), crowd());
    let store = runtime.block_on(Asked::sqlite(&people));
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
    let store = runtime.block_on(Asked::sqlite(&people));
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
    let store = runtime.block_on(Asked::sqlite(&people));
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

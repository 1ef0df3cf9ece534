//! Whatever a provider does wrong: nothing is lost, nobody is texted twice, and what is in doubt says so.

use std::time::Duration;

use serde_json::Value;

use super::{Provider, audit};
use crate::support::stores::Bench;
use crate::support::world::World;
use winback::report::status::Status;
use winback::simulator::Script;

const PEOPLE: u64 = 200;
const SEED: u64 = 7;

/// What was left of a run under a script.
struct Left {
    status: Status,
    audit: Value,
    stats: Value,
}

impl Left {
    fn audited(&self, term: &str) -> i64 {
        self.audit[term].as_i64().unwrap_or_else(|| panic!("{term}: {}", self.audit))
    }

    fn fired(&self, start: &str) -> u64 {
        let fired = self.stats["fired"].as_array().expect("a list").iter();
        let of_kind =
            fired.filter(|fault| fault["fault"].as_str().is_some_and(|name| name.starts_with(start)));
        of_kind.map(|fault| fault["times"].as_u64().expect("a count")).sum()
    }
}

/// Plays a script to its end, audits, and checks what holds under each of them. A failure names script and seed.
async fn play(bench: &Bench, script: &str, done: impl Fn(&Status) -> bool) -> Left {
    println!("script {script}, seed {SEED}");
    let mut world = World::new(bench, PEOPLE, |_| {}).await;
    world.config.dispatch.park_after = Duration::from_secs(2);
    let provider = Provider::start(&mut world, script, SEED);
    let daemon = world.daemon().await;
    let (_, run) = world.launch(bench, "comeback", "").await;
    world.until(bench, &run, done).await;
    let ledger = provider.ledger.clone();
    let stats = provider.finish();
    let status = world.until(bench, &run, |_| true).await;
    assert!(daemon.stop().await, "{script}: nothing is left under way");
    let (code, audit) =
        audit(world.folder.path(), &ledger, bench.url(), &["--rate", "5000", "--burst", "1000"]);
    let left = Left { status, audit, stats };
    assert_eq!(code, Some(0), "{script}, seed {SEED}: {:#}", left.audit);
    for term in
        ["lost", "duplicated", "unexpected", "unrecorded", "after_stop", "outside_window", "over_rate"]
    {
        assert_eq!(left.audited(term), 0, "{script}, seed {SEED}: {term}: {:#}", left.audit);
    }
    let counted = ["accepted", "waiting", "not_sent", "unresolved"].map(|term| left.audited(term));
    assert_eq!(counted.iter().sum::<i64>(), 200, "everybody is somewhere: {:#}", left.audit);
    assert_eq!(left.stats["followed"], 0, "{script}: a redirect was followed");
    assert_eq!(left.stats["credentials"], 0, "{script}");
    for fault in left.stats["fired"].as_array().into_iter().flatten() {
        assert_ne!(fault["times"], 0, "{script}, seed {SEED}: {fault} never happened");
    }
    world.end().await;
    left
}

/// Plays a script on SQLite until every message has an end and every receipt that comes has come.
async fn survives(script: &str) -> Left {
    let bench = Bench::sqlite().await;
    play(&bench, script, ended).await
}

fn ended(s: &Status) -> bool {
    s.state == "finished" && s.open_receipts == 0 && !s.dispatch.contains_key("ambiguous")
}

#[test]
fn every_script_is_played_here() {
    let source = include_str!("scripts.rs");
    for name in Script::names() {
        assert!(
            source.contains(&format!("(\"{name}\")")) || source.contains(&format!("\"{name}\",")),
            "{name}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_calm_provider_delivers_everything() {
    let left = survives("calm").await;
    assert_eq!((left.audited("accepted"), left.status.delivered), (200, 200));
}

#[tokio::test(flavor = "multi_thread")]
async fn throttling_costs_time_and_no_message_whatever_it_asks_for() {
    let left = survives("throttling").await;
    assert_eq!((left.audited("accepted"), left.status.delivered), (200, 200));
    assert!(left.fired("throttle") > 30, "{:#}", left.stats);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_route_that_is_asked_to_wait_for_eleven_days_waits_a_quarter_of_an_hour() {
    let bench = Bench::sqlite().await;
    let waits = |s: &Status| s.accepted >= 20 && s.submitting == 0 && s.delivered == s.accepted;
    let left = play(&bench, "absurd-waits", waits).await;
    assert!(left.audited("waiting") > 0, "nobody came back at once: {:#}", left.audit);
    let latest = "SELECT max(not_before) - max(submitted_at) FROM messages WHERE dispatch = 'queued'";
    let wait: i64 = bench.lines(latest).await[0].parse().expect("a number");
    assert!((14 * 60_000..=16 * 60_000).contains(&wait), "{wait}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_brown_out_is_sat_out_and_its_lies_stay_in_doubt() {
    let left = survives("brown-out").await;
    assert_eq!(left.audited("accepted") + left.audited("unresolved") + left.audited("not_sent"), 200);
    // What was taken in spite of its 5xx is known by its receipt; what was not stays in doubt.
    let doubt = left.fired("status 500") + left.fired("status 502") + left.fired("reset");
    let lies = left.fired("status 500, accepted");
    assert_eq!(left.audited("unresolved").unsigned_abs(), doubt - lies);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_is_lost_is_replaced_by_the_receipt() {
    let left = survives("lost-answers").await;
    assert_eq!((left.audited("accepted"), left.audited("unresolved")), (200, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_of_one_octet_a_second_stops_nobody_else() {
    let left = survives("slow").await;
    assert_eq!((left.audited("accepted"), left.status.delivered), (200, 200));
}

#[tokio::test(flavor = "multi_thread")]
async fn garbage_proves_nothing_and_is_never_asked_again() {
    let left = survives("garbage").await;
    assert_eq!(
        left.audited("unresolved").unsigned_abs(),
        left.fired("html"),
        "pages of others prove nothing"
    );
    assert_eq!(left.audited("accepted") + left.audited("unresolved"), 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redirect_is_followed_by_nobody() {
    let left = survives("redirects").await;
    let taken = left.fired("redirect 308");
    assert_eq!(left.audited("unresolved").unsigned_abs(), left.fired("redirect") - taken);
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_and_repeated_ids_confuse_no_receipt() {
    let left = survives("wrong-ids").await;
    assert_eq!((left.audited("accepted"), left.status.delivered, left.status.undelivered), (200, 200, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_ends_one_message_alone() {
    let left = survives("refusals").await;
    assert_eq!(left.audited("not_sent").unsigned_abs(), left.fired("status 400"));
    assert_eq!(left.audited("accepted") + left.audited("not_sent"), 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn receipts_in_every_disorder_end_where_they_should_and_forged_ones_nowhere() {
    let bench = Bench::sqlite().await;
    let left = play(&bench, "receipts", |s| s.state == "finished").await;
    let never = left.fired("receipts never");
    assert_eq!(
        (left.status.delivered.unsigned_abs(), left.status.undelivered),
        (200 - never, 0),
        "{:?}",
        left.status
    );
    let told = "SELECT count(*) FROM messages WHERE conflict = 1";
    let conflicts: u64 = bench.lines(told).await[0].parse().expect("a count");
    assert_eq!(conflicts * 2, left.fired("receipts contradictory"), "a forged receipt contradicts nobody");
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_at_once_on_both_databases() {
    for bench in [Bench::sqlite().await, Bench::postgres().await] {
        let quiet = |s: &Status| {
            s.state == "finished" && !s.dispatch.contains_key("ambiguous") && s.open_receipts < 30
        };
        let left = play(&bench, "everything", quiet).await;
        assert!(left.fired("") > 40, "{:#}", left.stats);
    }
}

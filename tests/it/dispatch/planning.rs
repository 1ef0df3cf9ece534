//! Launches that die, meet or come late, and windows that are not open yet.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::AtomicI64;
use std::time::Duration;

use super::books;
use crate::support::stores::{Bench, on_both};
use crate::support::world::{World, phone};
use winback::campaign::law::Rules;
use winback::dispatch::bell::Bell;
use winback::dispatch::ladder::Ladder;
use winback::dispatch::launch::{LaunchError, launch};
use winback::dispatch::plan::plan;
use winback::dispatch::sweep::{DoubtPolicy, Stalled, Sweep};
use winback::model::clock::{ManualClock, Timestamp};
use winback::model::run::{Run, RunState};

const PEOPLE: u64 = 2_300;

async fn complete(bench: &Bench, people: u64) {
    let runs = bench.runs_of("comeback", 10).await.unwrap();
    assert_eq!((runs.len(), runs[0].state), (1, RunState::Running));
    let counted = "SELECT count(*), count(DISTINCT contact_id), count(DISTINCT coupon_id) FROM messages";
    assert_eq!(bench.lines(counted).await, [format!("{people}|{people}|{people}")]);
    assert_eq!(books(bench).await, format!("available 10 reserved {people} sent 0 quarantined 0"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_launch_that_died_in_the_middle_is_ended_by_the_next_one() {
    on_both(async |bench| {
        let world = World::new(bench, PEOPLE, |_| {}).await;
        let plan = world.plan(bench, "comeback", "").await;
        let (terms, rules) = (world.terms(bench, "comeback", "").await, Rules::load());
        let (store, now) = ((**bench).clone(), world.clock.now());
        let dying = tokio::spawn(async move {
            launch(&store, &terms, &rules, &plan, now, |_, _| panic!("the process dies")).await.map(drop)
        });
        assert!(dying.await.is_err(), "it died");
        let half = bench.runs_of("comeback", 1).await.unwrap().remove(0);
        assert_eq!(half.state, RunState::Preparing);
        assert!(half.prepared > 0 && half.prepared < PEOPLE.cast_signed(), "{}", half.prepared);
        // Most codes are reserved by now; the stock would not suffice for everybody once more.
        let (_, run) = world.launch(bench, "comeback", "").await;
        assert_eq!(run.id, half.id);
        complete(bench, PEOPLE).await;
        world.end().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_launches_at_the_same_time_make_one_run() {
    on_both(async |bench| {
        let world = World::new(bench, PEOPLE, |_| {}).await;
        let beside = world.beside().await;
        let plan = world.plan(bench, "comeback", "").await;
        let (terms, rules, now) =
            (world.terms(bench, "comeback", "").await, Rules::load(), world.clock.now());
        let (one, two) = tokio::join!(
            launch(bench, &terms, &rules, &plan, now, |_, _| {}),
            launch(&beside, &terms, &rules, &plan, now, |_, _| {})
        );
        assert_eq!(one.unwrap().run.id, two.unwrap().run.id);
        complete(bench, PEOPLE).await;
        beside.close().await;
        world.end().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_campaigns_that_take_codes_of_one_pool_at_the_same_time_share_it() {
    on_both(async |bench| {
        let world = World::new(bench, PEOPLE, |_| {}).await;
        let half = i64::try_from(PEOPLE / 2).unwrap();
        let mut sql = bench.sql().await;
        sql.run(&format!("DELETE FROM contacts WHERE id > {half}")).await;
        let terms = [world.terms(bench, "one", "").await, world.terms(bench, "two", "").await];
        let (now, rules) = (world.clock.now(), Rules::load());
        let plans = [
            plan(bench, &terms[0], &rules, now, |_, _| {}).await.unwrap(),
            plan(bench, &terms[1], &rules, now, |_, _| {}).await.unwrap(),
        ];
        let beside = world.beside().await;
        let (one, two) = tokio::join!(
            launch(bench, &terms[0], &rules, &plans[0], now, |_, _| {}),
            launch(&beside, &terms[1], &rules, &plans[1], now, |_, _| {})
        );
        for launched in [one.unwrap(), two.unwrap()] {
            assert_eq!((launched.run.state, launched.run.prepared), (RunState::Running, half));
        }
        let counted = "SELECT count(*), count(DISTINCT coupon_id) FROM messages";
        assert_eq!(bench.lines(counted).await, [format!("{}|{}", 2 * half, 2 * half)]);
        let own = "SELECT count(*) FROM messages AS m JOIN coupons AS c ON c.id = m.coupon_id AND c.message_id = m.id \
                   WHERE c.state = 'reserved' AND m.body LIKE '%' || c.code || '%'";
        assert_eq!(bench.lines(own).await, [(2 * half).to_string()], "each text shows the code that is its own");
        beside.close().await;
        world.end().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_capped_campaigns_launched_at_the_same_time_text_nobody_twice_and_say_whom_they_left_out() {
    const CAP: &str = "limits = { per_contact = \"1 per 7 days\" }";
    on_both(async |bench| {
        let world = World::new(bench, PEOPLE, |_| {}).await;
        let (beside, rules, now) = (world.beside().await, Rules::load(), world.clock.now());
        let people = PEOPLE.cast_signed();
        let plans = [world.plan(bench, "one", CAP).await, world.plan(bench, "two", CAP).await];
        assert!(
            plans.iter().all(|plan| (plan.messages, plan.capped()) == (people, 0)),
            "each has room for all"
        );
        let terms = [world.terms(bench, "one", CAP).await, world.terms(bench, "two", CAP).await];
        let (one, two) = tokio::join!(
            launch(bench, &terms[0], &rules, &plans[0], now, |_, _| {}),
            launch(&beside, &terms[1], &rules, &plans[1], now, |_, _| {})
        );
        let (one, two) = (one.unwrap().run, two.unwrap().run);
        assert_eq!((one.state, two.state), (RunState::Running, RunState::Running));
        let counted = "SELECT count(*), count(DISTINCT contact_id) FROM messages";
        assert_eq!(bench.lines(counted).await, [format!("{PEOPLE}|{PEOPLE}")]);
        for run in [&one, &two] {
            assert_eq!(run.prepared + run.withheld, people, "{run:?}");
            assert_eq!(world.until(bench, run, |_| true).await.withheld, run.withheld);
        }
        assert_eq!(one.prepared + two.prepared, people);
        assert_eq!(books(bench).await, format!("available 10 reserved {PEOPLE} sent 0 quarantined 0"));
        let late = world.plan(bench, "three", CAP).await;
        assert_eq!((late.messages, late.capped()), (0, people), "a plan says it in the same words");
        beside.close().await;
        world.end().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_that_no_longer_holds_launches_nothing_and_the_next_plan_does() {
    on_both(async |bench| {
        let world = World::new(bench, 30, |_| {}).await;
        let plan = world.plan(bench, "comeback", "").await;
        let (terms, rules, now) =
            (world.terms(bench, "comeback", "").await, Rules::load(), world.clock.now());
        bench
            .sql()
            .await
            .run("UPDATE contacts SET first_name = 'Somebody Else' WHERE customer_id = 'c7'")
            .await;
        let launched = launch(bench, &terms, &rules, &plan, now, |_, _| {}).await;
        assert!(matches!(launched, Err(LaunchError::Moved)), "{launched:?}");
        assert_eq!(books(bench).await, "available 40 reserved 0 sent 0 quarantined 0");
        let (_, run) = world.launch(bench, "comeback", "").await;
        assert_eq!((run.state, run.prepared), (RunState::Running, 30));
        world.end().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_launched_at_night_waits_for_the_morning_of_each_zone() {
    on_both(async |bench| {
        let morning = Timestamp::parse("2018-01-02T13:00:00Z").unwrap();
        let world = World::starting(bench, morning.minus(Duration::from_secs(6)), 30, |_| {}).await;
        let daemon = world.daemon().await;
        let (_, run) = world.launch(bench, "comeback", "window = \"08:00-20:00\"").await;
        loop {
            let taken = world.ledger();
            if world.clock.now() >= morning {
                break;
            }
            assert!(taken.is_empty(), "somebody was texted before eight");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let status = world.until(bench, &run, |s| s.accepted == 10).await;
        assert_eq!((status.state, status.waiting), ("running", 20), "Chicago and Los Angeles sleep");
        let new_york: Vec<String> = (0..10).map(|n| phone(n * 3).e164()).collect();
        assert!(world.ledger().iter().all(|entry| new_york.contains(&entry.to)));
        assert!(daemon.stop().await);
        world.end().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_did_not_go_out_before_the_end_expires_and_gives_its_codes_back() {
    on_both(async |bench| {
        let world = World::new(bench, 12, |_| {}).await;
        let terms = "schedule = { at = \"now\", until = \"2018-01-03 20:00\" }";
        let (_, run) = world.launch(bench, "comeback", terms).await;
        sweep(bench, "2018-01-04T20:00:00Z").once().await.unwrap();
        let status = world.until(bench, &run, |_| true).await;
        assert_eq!((status.state, status.dispatch.get("expired")), ("finished", Some(&12)), "{status:?}");
        assert_eq!(books(bench).await, "available 22 reserved 0 sent 0 quarantined 0");
        world.end().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_launch_whose_process_died_is_seen_goes_on_by_itself_and_is_withdrawn_once_it_is_too_late() {
    on_both(async |bench| {
        let world = World::new(bench, 12, |_| {}).await;
        let die = async |name: &'static str| {
            let terms = world.terms(bench, name, "").await;
            let (store, now, rules) = ((**bench).clone(), world.clock.now(), Rules::load());
            let plan = plan(bench, &terms, &rules, now, |_, _| {}).await.unwrap();
            let dying = tokio::spawn(async move {
                launch(&store, &terms, &rules, &plan, now, |_, _| panic!("the process dies")).await.map(drop)
            });
            assert!(dying.await.is_err(), "it died");
            bench.runs_of(name, 1).await.unwrap().remove(0)
        };
        let run = die("comeback").await;
        let status = world.until(bench, &run, |_| true).await;
        assert_eq!((status.state, status.prepared, status.messages), ("preparing", 12, 12));
        let mut seen = Stalled::default();
        let mut state = async |run: &Run, at: &str| {
            let sweep = sweep(bench, at);
            sweep.resume(&mut seen).await.unwrap();
            sweep.once().await.unwrap();
            bench.run(run.id).await.unwrap().unwrap().state
        };
        assert_eq!(state(&run, "2018-01-02T19:00:10Z").await, RunState::Preparing, "it may still be writing");
        assert_eq!(state(&run, "2018-01-02T19:00:39Z").await, RunState::Preparing);
        assert_eq!(state(&run, "2018-01-02T19:00:40Z").await, RunState::Running);
        bench.sql().await.run("DELETE FROM contacts WHERE id > 5").await;
        let late = die("late").await;
        assert_eq!(state(&late, "2019-01-02T19:00:00Z").await, RunState::Cancelled);
        assert_eq!(books(bench).await, "available 22 reserved 0 sent 0 quarantined 0");
        world.end().await;
    })
    .await;
}

#[tokio::test]
async fn a_sweep_ends_floods_of_old_callbacks_and_those_that_hold_nothing() {
    on_both(async |bench| {
        let call = "INSERT INTO inbox (id, route, kind, received_at, method, url, body, body_encoding)";
        let rest = "0, 'POST', '/', '', 'utf8'";
        let numbers = |last: i64| {
            format!("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {last})")
        };
        let receipt = "INSERT INTO receipts (inbox_id, route, received_at, message_id, state, status)";
        let mut sql = bench.sql().await;
        sql.run(&format!(
            "{call} {} SELECT i, 'r', 'receipt', {rest} FROM n; {receipt} {} SELECT i, 'r', 0, NULL, 'none', 'x' FROM n; \
             {call} SELECT 9001, 'r', 'inbound', {rest}; {call} SELECT 9002, 'r', 'receipt', {rest}; \
             {receipt} SELECT 9002, 'r', 0, 7, 'none', 'x'; \
             {call} SELECT 9000000000000000000, 'r', 'receipt', {rest}",
            numbers(9_000),
            numbers(4_500)
        ))
        .await;
        sweep(bench, "2018-01-02T19:00:00Z").once().await.unwrap();
        let left = bench.lines("SELECT id FROM inbox ORDER BY id").await;
        assert_eq!(left, ["9001", "9002", "9000000000000000000"], "texts, matched receipts, what is young");
        assert_eq!(bench.lines("SELECT inbox_id FROM receipts").await, ["9002"]);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sweep_that_finds_nothing_asks_for_no_turn_to_write() {
    let bench = Bench::sqlite().await;
    let world = World::new(&bench, 3, |_| {}).await;
    world.launch(&bench, "comeback", "").await;
    let sweep = sweep(&bench, "2018-01-02T19:00:10Z");
    let turn = bench.batch().await.unwrap();
    let swept = tokio::time::timeout(Duration::from_secs(20), sweep.once()).await;
    swept.expect("nobody waits for the turn of another").unwrap();
    drop(turn);
    world.end().await;
}

pub(super) fn sweep(bench: &Bench, at: &str) -> Sweep {
    Sweep {
        store: (**bench).clone(),
        clock: Arc::new(ManualClock::at(Timestamp::parse(at).unwrap())),
        rules: Arc::new(Rules::load()),
        owner: "somebody".to_owned(),
        ladder: Arc::new(Ladder {
            means: HashMap::new(),
            policy: DoubtPolicy {
                park_after: Duration::from_hours(24),
                resend_after: Duration::from_mins(10),
                attempts: 3,
            },
        }),
        keep_unmatched: Duration::from_hours(96),
        looked_through: AtomicI64::new(0),
        routes: vec!["sim".to_owned()],
        bell: Bell::default(),
    }
}

//! Launches that die, meet or come late, and windows that are not open yet.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;

use super::books;
use crate::support::stores::{Bench, on_both};
use crate::support::world::{World, phone};
use winback::campaign::law::Rules;
use winback::dispatch::launch::{LaunchError, launch};
use winback::dispatch::sweep::{DoubtPolicy, Sweep};
use winback::model::clock::{ManualClock, Timestamp};
use winback::model::run::RunState;

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
        let dying = Notify::new();
        tokio::select! {
            biased;
            () = dying.notified() => {}
            launched = launch(bench, &terms, &rules, &plan, world.clock.now(), |_, _| dying.notify_one()) => {
                panic!("it should have died: {launched:?}")
            }
        }
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

fn sweep(bench: &Bench, at: &str) -> Sweep {
    Sweep {
        store: (**bench).clone(),
        clock: Arc::new(ManualClock::at(Timestamp::parse(at).unwrap())),
        rules: Arc::new(Rules::load()),
        owner: "somebody".to_owned(),
        doubt: DoubtPolicy {
            park_after: Duration::from_hours(24),
            resend_after: Duration::from_mins(10),
            attempts: 3,
        },
        keep_unmatched: Duration::from_hours(96),
        bell: Arc::new(Notify::new()),
    }
}

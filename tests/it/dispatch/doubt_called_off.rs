//! A message that is to be sent again and is not: a STOP, a cancelled run, its end, its budget, a refusal of the second
//! copy. The copy that was sent before may have arrived all the same, and a person can still say what became of it.

use std::time::Duration;

use super::books;
use super::doubt_cancelled::cancel_now;
use super::doubt_ladder::{leave, silent};
use super::proof::{PRICE, wrong};
use crate::support::hand::{answered, claim, intend, sent, settled};
use crate::support::stores::{Bench, on_both};
use crate::support::world::World;
use winback::dispatch::resolve::{Decider, Kept, resolve};
use winback::dispatch::sweep::{DoubtEnd, DoubtPolicy, withdraw};
use winback::model::ids::{MessageId, RunId};
use winback::model::message::{Refusal, Verdict};
use winback::model::outcome::OutcomeClass;
use winback::model::run::{Run, RunState};
use winback::model::state::Cause;
use winback::model::suppression::Reason;
use winback::store::suppressions::{EVERY_SENDER, NewSuppression};

/// How the second copy is stopped.
#[derive(Clone, Copy, Debug)]
enum Stopped {
    Stop,
    Cancel,
    EndOfRun,
    EndOfMessage,
    Budget,
    RefusedByProvider,
}

impl Stopped {
    const ALL: [Self; 6] =
        [Self::Stop, Self::Cancel, Self::EndOfRun, Self::EndOfMessage, Self::Budget, Self::RefusedByProvider];

    async fn happen(self, bench: &Bench, world: &World, run: &Run) {
        match self {
            Self::Stop => stop_all(bench, world).await,
            Self::Cancel => cancel_now(bench, world, run).await,
            Self::EndOfRun => {
                let withdrawn = withdraw(bench, run.id, Cause::Expire, world.clock.now()).await.unwrap();
                assert_eq!((withdrawn.messages, withdrawn.in_doubt), (2, 2));
            }
            Self::EndOfMessage => {
                let held = claim(bench, world, "node", 2).await;
                bench.sql().await.run("UPDATE messages SET expires_at = 0").await;
                let (granted, refused) = intend(bench, world, "node", &held).await;
                assert_eq!((granted, refused), (0, vec![Refusal::Expired; 2]));
            }
            Self::Budget => {
                bench.sql().await.run("UPDATE runs SET budget = spent").await;
                let held = claim(bench, world, "node", 2).await;
                let (granted, refused) = intend(bench, world, "node", &held).await;
                assert_eq!((granted, refused), (0, vec![Refusal::OverBudget; 2]));
            }
            Self::RefusedByProvider => {
                let held = claim(bench, world, "node", 2).await;
                assert_eq!(intend(bench, world, "node", &held).await.0, 2);
                let refused: Vec<_> =
                    held.iter().map(|one| answered(world, one, OutcomeClass::BadRecipient)).collect();
                settled(bench, world, &refused).await;
            }
        }
    }
}

/// As STOPs of everybody.
async fn stop_all(bench: &Bench, world: &World) {
    for id in 1..=2 {
        let (message, ..) = bench.message(MessageId(id)).await.unwrap().unwrap();
        let stop = NewSuppression {
            phone: message.phone,
            scope: EVERY_SENDER.to_owned(),
            reason: Reason::Stop,
            source: "test".to_owned(),
        };
        bench.suppress(&[stop], world.clock.now()).await.unwrap();
    }
}

/// Two messages in doubt, of which the provider has the first.
async fn in_doubt(bench: &Bench, policy: &str) -> (World, Run, [MessageId; 2]) {
    let world = World::new(bench, 2, silent).await;
    let (_, run) = world.launch(bench, "comeback", &format!("when_in_doubt = \"{policy}\"")).await;
    let first = sent(bench, &world, OutcomeClass::Unknown).await;
    let second = sent(bench, &world, OutcomeClass::Unknown).await;
    leave(bench, &world, &first).await;
    (world, run, [first.id, second.id])
}

async fn say(bench: &Bench, world: &World, id: MessageId, verdict: Verdict) {
    let ada = Decider { by: "ada", reason: None };
    let told = resolve(bench, &[id], verdict, ada, world.clock.now()).await.unwrap();
    assert_eq!((told.changed, told.locked), (vec![id], vec![]), "{verdict:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn doubt_outlives_a_second_copy_that_never_leaves_and_can_still_be_decided() {
    on_both(async |bench| {
        for stopped in Stopped::ALL {
            let bench = if bench.path().is_some() { Bench::sqlite().await } else { Bench::postgres().await };
            let (world, run, ids) = in_doubt(&bench, "ask").await;
            for id in ids {
                say(&bench, &world, id, Verdict::Resend).await;
            }
            let queued = world.until(&bench, &run, |_| true).await;
            assert_eq!(
                (queued.waiting, queued.possible_duplicates),
                (2, 0),
                "{stopped:?}: no second copy yet"
            );
            let audit = world.audit(&bench, &run).await;
            assert_eq!((audit.waiting, audit.unresolved), (0, 2), "each counts once: {audit:?}");
            assert_eq!((queued.cost, queued.spent.0), (queued.spent, 2 * PRICE), "the copies before cost");

            stopped.happen(&bench, &world, &run).await;
            let status = world.until(&bench, &run, |_| true).await;
            let doubt = (status.in_doubt, status.withdrawn, status.failed, status.waiting);
            assert_eq!(doubt, (2, 0, 0, 0), "{stopped:?}: {status:?}");
            assert_eq!((status.cost, status.spent.0), (status.spent, 2 * PRICE), "{stopped:?}");
            let why = &status.reasons[0].reason;
            assert!(why.ends_with("; a copy sent before may have arrived"), "{stopped:?}: {why}");
            assert_eq!(books(&bench).await, "available 10 reserved 0 sent 0 quarantined 2", "{stopped:?}");
            let audit = world.audit(&bench, &run).await;
            assert!(audit.agrees() && audit.unresolved == 2, "{stopped:?}: {audit:?}");
            let listed = bench.doubts((RunId(0), MessageId(0)), run.id, 9).await.unwrap();
            let about: Vec<_> = listed.iter().map(|one| one.attempt.as_ref().unwrap().number).collect();
            assert_eq!(about, [1, 1], "{stopped:?}: the copy that may have arrived is the first one");

            say(&bench, &world, ids[0], Verdict::Accepted).await;
            say(&bench, &world, ids[1], Verdict::NotSent).await;
            let status = world.until(&bench, &run, |_| true).await;
            assert_eq!((status.accepted, status.failed, status.in_doubt), (1, 1, 0), "{stopped:?}");
            assert_eq!((status.cost, status.spent.0), (status.spent, PRICE), "{stopped:?}");
            assert_eq!(books(&bench).await, "available 11 reserved 0 sent 1 quarantined 0", "{stopped:?}");
            let audit = world.audit(&bench, &run).await;
            assert!(audit.agrees() && audit.unresolved == 0, "{stopped:?}: {audit:?}");
            let told = bench.decisions_of(ids[0]).await.unwrap();
            assert_eq!(told[0].reason.as_deref(), Some("before, ada had decided: resend"), "{stopped:?}");
            assert_eq!(wrong(&bench).await, Vec::<&str>::new());
            world.end().await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_audit_tells_a_text_that_was_decided_as_not_sent_though_it_was_to_be_sent_again() {
    on_both(async |bench| {
        let (world, run, ids) = in_doubt(bench, "ask").await;
        for id in ids {
            say(bench, &world, id, Verdict::Resend).await;
        }
        stop_all(bench, &world).await;
        for id in ids {
            say(bench, &world, id, Verdict::NotSent).await;
        }
        let audit = world.audit(bench, &run).await;
        assert_eq!((audit.unrecorded, audit.not_sent, audit.unresolved), (1, 1, 0), "{audit:?}");
        world.end().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_audit_tells_a_copy_that_nobody_ordered_beside_those_that_were() {
    on_both(async |bench| {
        let world = World::new(bench, 1, silent).await;
        let (_, run) = world.launch(bench, "comeback", "when_in_doubt = \"ask\"").await;
        let check = async |copies, duplicated| {
            let audit = world.audit(bench, &run).await;
            assert_eq!((world.ledger().len(), audit.duplicated), (copies, duplicated), "{audit:?}");
        };
        let first = sent(bench, &world, OutcomeClass::Unknown).await;
        leave(bench, &world, &first).await;
        say(bench, &world, first.id, Verdict::Resend).await;
        // The provider says that it is busy, and takes it all the same.
        let second = sent(bench, &world, OutcomeClass::Throttled).await;
        check(1, 0).await;
        leave(bench, &world, &second).await;
        check(2, 0).await;
        bench.sql().await.run("UPDATE messages SET not_before = 0").await;
        let third = sent(bench, &world, OutcomeClass::Accepted).await;
        leave(bench, &world, &third).await;
        check(3, 1).await;
        world.end().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn doubt_about_a_text_that_must_not_be_sent_any_more_is_parked_and_not_sent_again() {
    on_both(async |bench| {
        let policy = DoubtPolicy {
            park_after: Duration::from_hours(1),
            resend_after: Duration::from_mins(1),
            attempts: 3,
        };
        for must_not in ["", "STOP", "expires_at = 1"] {
            let bench = if bench.path().is_some() { Bench::sqlite().await } else { Bench::postgres().await };
            let (world, _, ids) = in_doubt(&bench, "resend").await;
            match must_not {
                "" => {}
                "STOP" => stop_all(&bench, &world).await,
                change => bench.sql().await.run(&format!("UPDATE messages SET {change}")).await,
            }
            let now = world.clock.now();
            let page = bench.in_doubt((RunId(0), MessageId(0)), 9).await.unwrap();
            let ends: Vec<_> = page.iter().map(|(one, _)| policy.ends(one, now).unwrap().0).collect();
            let may = must_not.is_empty();
            assert_eq!(ends, [if may { DoubtEnd::Resend } else { DoubtEnd::Park }; 2], "{must_not}");
            let mut batch = bench.batch().await.unwrap();
            assert_eq!(batch.resend(&ids, now).await.unwrap(), if may { 2 } else { 0 }, "{must_not}");
            batch.commit().await.unwrap();
            world.end().await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_is_paused_stays_paused_until_its_end_whatever_is_decided_about_it() {
    on_both(async |bench| {
        let (world, run, ids) = in_doubt(bench, "ask").await;
        let now = world.clock.now();
        let running = bench.run(run.id).await.unwrap().unwrap();
        assert!(bench.set_run_state(&running, RunState::Paused, now).await.unwrap());
        assert!(!bench.finish_run(run.id, now).await.unwrap(), "somebody may have it go on");
        say(bench, &world, ids[0], Verdict::Resend).await;
        let state = async || bench.run(run.id).await.unwrap().unwrap().state;
        assert_eq!(state().await, RunState::Paused);
        assert!(claim(bench, &world, "node", 1).await.is_empty(), "nothing of it goes out");
        assert_eq!(withdraw(bench, run.id, Cause::Expire, now).await.unwrap().in_doubt, 1);
        assert!(bench.finish_run(run.id, running.terms.expires_at).await.unwrap());
        assert_eq!(state().await, RunState::Finished);
        world.end().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_budget_has_no_room_for_is_not_queued_by_a_decision() {
    on_both(async |bench| {
        let (world, _, ids) = in_doubt(bench, "ask").await;
        bench.sql().await.run("UPDATE runs SET budget = spent").await;
        let ada = Decider { by: "ada", reason: None };
        let told = resolve(bench, &ids, Verdict::Resend, ada, world.clock.now()).await.unwrap();
        assert_eq!(told.kept, [(ids[0], Kept::OverBudget), (ids[1], Kept::OverBudget)]);
        world.end().await;
    })
    .await;
}

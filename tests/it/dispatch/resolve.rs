//! A person's word about messages in doubt: it holds once, only for doubt, with and without a daemon.

use std::time::Duration;

use super::books;
use crate::support::stores::{Bench, on_both};
use crate::support::world::World;
use winback::dispatch::resolve::{Decider, Kept, Resolved, resolve, resolve_copies};
use winback::dispatch::sweep::cancel;
use winback::model::ids::{MessageId, RunId};
use winback::model::message::Verdict;
use winback::model::run::{Run, RunState};
use winback::model::suppression::Reason;
use winback::store::Store;
use winback::store::suppressions::{EVERY_SENDER, NewSuppression};

const ADA: Decider<'static> = Decider { by: "ada", reason: Some("asked the provider") };

/// A world whose daemon has lost sight of all of its texts; the policy leaves them to a person.
pub(crate) async fn in_doubt(bench: &Bench, people: u64, extra: &str) -> (World, Run, Vec<MessageId>) {
    let mut world = World::new(bench, people, |simulator| {
        simulator.failures.reset = 1.0;
        simulator.receipts.never = 1.0;
    })
    .await;
    world.config.dispatch.park_after = Duration::from_secs(1);
    let daemon = world.daemon().await;
    let (_, run) = world.launch(bench, "comeback", extra).await;
    let lost = i64::try_from(people).unwrap();
    let parked = extra.is_empty();
    let state = if parked { "unknown" } else { "ambiguous" };
    world.until(bench, &run, |s| s.state == "finished" && s.dispatch.get(state) == Some(&lost)).await;
    assert!(daemon.stop().await);
    let beside = world.beside().await;
    let doubts = beside.doubts((RunId(0), MessageId(0)), RunId(i64::MAX), 100).await.unwrap();
    beside.close().await;
    let ids = doubts.iter().map(|doubt| doubt.message.id).collect();
    (world, run, ids)
}

async fn say(store: &Store, world: &World, ids: &[MessageId], verdict: Verdict) -> Resolved {
    resolve(store, ids, verdict, ADA, world.clock.now()).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_word_about_doubt_moves_the_message_its_code_and_its_money_and_a_second_one_nothing() {
    on_both(async |bench| {
        for policy in ["", "when_in_doubt = \"ask\""] {
            let bench = if matches!(bench.backend(), winback::store::Backend::Sqlite) {
                Bench::sqlite().await
            } else {
                Bench::postgres().await
            };
            let (world, run, ids) = in_doubt(&bench, 6, policy).await;
            let store = world.beside().await;
            let taken = say(&store, &world, &ids[..2], Verdict::Accepted).await;
            assert_eq!((taken.changed.as_slice(), taken.kept.len()), (&ids[..2], 0));
            let unsent = say(&store, &world, &ids[2..5], Verdict::NotSent).await;
            assert_eq!(unsent.changed, ids[2..5]);
            let status = world.until(&store, &run, |_| true).await;
            assert_eq!(
                (status.accepted, status.accepted_by_decision, status.failed, status.in_doubt),
                (2, 2, 3, 1),
                "{policy}"
            );
            assert_eq!(books(&store).await, "available 13 reserved 0 sent 2 quarantined 1");
            assert_eq!(status.spent, status.cost, "the money of what never left is back");
            let again = say(&store, &world, &ids[..5], Verdict::Accepted).await;
            let decided = |ids: &[MessageId], verdict| {
                ids.iter().map(|id| (*id, Kept::Decided(verdict))).collect::<Vec<_>>()
            };
            let told =
                [decided(&ids[..2], Verdict::Accepted), decided(&ids[2..5], Verdict::NotSent)].concat();
            assert_eq!((again.changed.len(), again.kept), (0, told));
            let missing = say(&store, &world, &[MessageId(9_999)], Verdict::Accepted).await;
            assert_eq!(missing.kept, [(MessageId(9_999), Kept::Missing)]);
            let recorded = store.decisions_of(ids[0]).await.unwrap();
            assert_eq!((recorded.len(), recorded[0].decided_by.as_str()), (1, "ada"));
            assert_eq!(recorded[0].reason.as_deref(), Some("asked the provider"));
            assert_eq!(books(&store).await, "available 13 reserved 0 sent 2 quarantined 1");
            store.close().await;
            world.end().await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_person_wants_sent_again_goes_out_with_the_same_code_though_its_run_had_ended() {
    on_both(async |bench| {
        let (world, run, ids) = in_doubt(bench, 3, "when_in_doubt = \"ask\"").await;
        let store = world.beside().await;
        let resent = say(&store, &world, &ids, Verdict::Resend).await;
        assert_eq!(resent.changed, ids);
        let open = store.run(run.id).await.unwrap().unwrap();
        assert_eq!(open.state, RunState::Running, "there is something to send again");
        assert!(!store.finish_run(run.id, world.clock.now()).await.unwrap(), "and that keeps it open");
        let again = say(&store, &world, &ids, Verdict::Resend).await;
        assert!(again.kept.iter().all(|(_, why)| *why == Kept::Decided(Verdict::Resend)), "{again:?}");
        let daemon = world.daemon().await;
        let status = world.until(&store, &run, |s| s.state == "finished" && s.in_doubt == 3).await;
        assert_eq!(status.possible_duplicates, 3);
        assert_eq!(status.cost, status.spent, "every copy may be billed");
        let mut taken = std::collections::HashMap::<String, Vec<String>>::new();
        for entry in world.ledger() {
            taken.entry(entry.to).or_default().push(entry.body_sha256);
        }
        assert!(
            taken.values().all(|two| two.len() == 2 && two[0] == two[1]),
            "twice, the same text: {taken:?}"
        );
        assert!(world.audit(&store, &run).await.agrees(), "a decision is on record");
        // The second copy is in doubt too; one of the two may have arrived, so its code goes to nobody else.
        let unsent = say(&store, &world, &ids, Verdict::NotSent).await;
        assert_eq!(unsent.changed, ids);
        assert_eq!(unsent.locked, ids, "and that is said");
        assert_eq!(books(&store).await, "available 10 reserved 0 sent 0 quarantined 3");
        let half = world.until(&store, &run, |s| s.failed == 3).await;
        assert_eq!(half.spent.0 * 2, status.spent.0, "of each, one of two copies is paid for");
        assert_eq!((half.cost, half.possible_duplicates), (half.spent, 0));
        // Once a person knows that no copy arrived, nothing is kept back any more.
        let freed = resolve_copies(&store, &ids[..2], ADA, world.clock.now()).await.unwrap();
        assert_eq!((freed.changed.as_slice(), freed.kept.len()), (&ids[..2], 0));
        assert_eq!(books(&store).await, "available 12 reserved 0 sent 0 quarantined 1");
        let left = world.until(&store, &run, |_| true).await;
        assert_eq!(left.spent.0 * 6, status.spent.0);
        let again = resolve_copies(&store, &ids[..2], ADA, world.clock.now()).await.unwrap();
        assert!(again.kept.iter().all(|(_, why)| *why == Kept::Decided(Verdict::NotSent)), "{again:?}");
        let recorded = store.decisions_of(ids[0]).await.unwrap();
        assert!(
            recorded.len() == 2 && recorded.iter().all(|one| one.verdict == Verdict::NotSent),
            "{recorded:?}"
        );
        assert!(recorded[0].reason.as_deref().unwrap().contains("ada had decided: resend"), "{recorded:?}");
        assert_eq!(store.locked_codes(run.id, MessageId(0), 9).await.unwrap(), ids[2..]);
        // A text without a code is paid for all the same.
        let third = ids[2].0;
        let sql = format!(
            "UPDATE coupons SET state = 'available', message_id = NULL WHERE message_id = {third}; \
             UPDATE messages SET coupon_id = NULL WHERE id = {third}"
        );
        bench.sql().await.run(&sql).await;
        assert_eq!(store.locked_codes(run.id, MessageId(0), 9).await.unwrap(), ids[2..]);
        let freed = resolve_copies(&store, &ids[2..], ADA, world.clock.now()).await.unwrap();
        assert_eq!(freed.changed, ids[2..]);
        assert_eq!(world.until(&store, &run, |_| true).await.spent.0, 0);
        assert_eq!(store.locked_codes(run.id, MessageId(0), 9).await.unwrap(), []);
        let problems = store.check().await.unwrap();
        assert!(problems.iter().all(|one| one.problem.is_none()), "{problems:?}");
        assert!(daemon.stop().await);
        store.close().await;
        world.end().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_texted_again_who_said_stop_or_whose_run_was_cancelled() {
    on_both(async |bench| {
        let (world, run, ids) = in_doubt(bench, 2, "when_in_doubt = \"ask\"").await;
        let store = world.beside().await;
        let (first, ..) = store.message(ids[0]).await.unwrap().unwrap();
        let stop = NewSuppression {
            phone: first.phone,
            scope: EVERY_SENDER.to_owned(),
            reason: Reason::Stop,
            source: "test".to_owned(),
        };
        store.suppress(&[stop], world.clock.now()).await.unwrap();
        let refused = say(&store, &world, &ids[..1], Verdict::Resend).await;
        assert_eq!(refused.kept, [(ids[0], Kept::Suppressed)]);
        bench.sql().await.run("UPDATE runs SET state = 'running'").await;
        let running = store.run(run.id).await.unwrap().unwrap();
        store.set_run_state(&running, RunState::Cancelling, world.clock.now()).await.unwrap();
        let cancelling = store.run(run.id).await.unwrap().unwrap();
        cancel(&store, &cancelling, world.clock.now()).await.unwrap();
        let refused = say(&store, &world, &ids[1..], Verdict::Resend).await;
        assert_eq!(refused.kept, [(ids[1], Kept::Cancelled)]);
        let status = world.until(&store, &run, |_| true).await;
        assert_eq!((status.in_doubt, status.possible_duplicates), (2, 0));
        store.close().await;
        world.end().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_row_that_moved_since_it_was_looked_at_a_decision_changes_nothing() {
    on_both(async |bench| {
        let (world, _, ids) = in_doubt(bench, 1, "when_in_doubt = \"ask\"").await;
        let store = world.beside().await;
        let mut batch = store.batch().await.unwrap();
        let looked_at = batch.candidates(&ids).await.unwrap();
        drop(batch);
        let stale = winback::store::resolve::Decision {
            about: looked_at[0],
            verdict: Verdict::NotSent,
            to: winback::model::state::Dispatch::Failed,
            run_to: None,
            due: world.clock.now(),
            coupon: winback::model::message::CouponEffect::Release,
            every_copy: false,
        };
        for moved in ["epoch = epoch + 1", "epoch = epoch - 1, dispatch = 'accepted'"] {
            bench.sql().await.run(&format!("UPDATE messages SET {moved}")).await;
            let mut batch = store.batch().await.unwrap();
            let done = batch.decide(&[stale], "ada", None, world.clock.now()).await.unwrap();
            batch.commit().await.unwrap();
            assert!(done.is_empty(), "{moved}");
        }
        assert_eq!(books(&store).await, "available 10 reserved 0 sent 0 quarantined 1");
        assert!(store.decisions_of(ids[0]).await.unwrap().is_empty());
        store.close().await;
        world.end().await;
    })
    .await;
}

//! Processes that end well, end badly, or meet on one store; and what concurrent writers must never do to a message.

use std::collections::HashSet;
use std::time::Duration;

use super::books;
use crate::support::hand::{claim, intend, report};
use crate::support::stores::{Bench, on_both};
use crate::support::world::World;
use winback::daemon::Daemon;
use winback::model::message::Refusal;
use winback::model::suppression::Reason;
use winback::store::Store;
use winback::store::suppressions::{EVERY_SENDER, NewSuppression};
use winback::store::sweep::Sweeper;
use winback::store::writer::{Work, Writer};

#[tokio::test(flavor = "multi_thread")]
async fn a_second_daemon_on_one_store_is_refused() {
    on_both(async |bench| {
        let world = World::new(bench, 1, |_| {}).await;
        let daemon = world.daemon().await;
        let second = Daemon::start(&world.config, world.clock.clone()).await;
        let told = format!("{:#}", second.expect_err("one daemon for one store"));
        let owner = format!("process {} since 2018-01-02T19:00", std::process::id());
        assert!(told.contains(&owner), "it names the owner: {told}");
        assert!(daemon.stop().await);
        assert!(world.daemon().await.stop().await, "the next one has it at once");
        world.end().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_that_loses_its_hold_on_the_store_stops_sending_and_ends() {
    let bench = Bench::postgres().await;
    let mut world = World::new(&bench, 200, |_| {}).await;
    super::slow(&mut world);
    let daemon = world.daemon().await;
    let (_, run) = world.launch(&bench, "comeback", "").await;
    world.until(&bench, &run, |s| s.accepted > 0).await;
    let cut = "SELECT CAST(pg_terminate_backend(l.pid) AS TEXT) FROM pg_locks AS l WHERE l.locktype = 'advisory' \
        AND l.classid = 2002874987 \
        AND l.database = (SELECT d.oid FROM pg_database AS d WHERE d.datname = current_database())";
    assert_eq!(bench.lines(cut).await, ["true"]);
    let told = tokio::time::timeout(Duration::from_secs(30), daemon.failed()).await;
    assert_eq!(told.expect("it is noticed"), "the hold on the store ended");
    let status =
        world.until(&bench, &run, |s| s.submitting == 0 && !s.dispatch.contains_key("claimed")).await;
    assert!(status.waiting > 0, "stopped in the middle, though nobody asked it to: {status:?}");
    assert!(!daemon.stop().await);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_free_lock_ends_no_lease_where_it_can_be_lost_by_a_process_that_lives() {
    on_both(async |bench| {
        let world = World::new(bench, 4, |_| {}).await;
        world.launch(bench, "comeback", "").await;
        let held = claim(bench, &world, "another", 3).await;
        assert_eq!(intend(bench, &world, "another", &held[..1]).await.0, 1);
        // Nothing new goes out meanwhile, so that only the sweep acts.
        bench.sql().await.run("UPDATE runs SET state = 'paused'").await;
        let daemon = world.daemon().await;
        let left =
            "SELECT count(*) FROM messages WHERE owner = 'another' AND dispatch IN ('claimed', 'submitting')";
        let wanted = if bench.url().starts_with("sqlite") { "0" } else { "3" };
        assert_eq!(bench.lines(left).await, [wanted]);
        assert!(daemon.stop().await);
        world.end().await;
    })
    .await;
}

#[tokio::test]
async fn a_deadlock_makes_the_writer_do_its_group_again_as_one() {
    let bench = Bench::postgres().await;
    let world = World::new(&bench, 1, |_| {}).await;
    bench
        .sql()
        .await
        .run(
            "CREATE SEQUENCE tries; CREATE FUNCTION deadlock_once() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
               IF nextval('tries') = 1 THEN RAISE EXCEPTION 'deadlock' USING ERRCODE = '40P01'; END IF; RETURN NULL; \
             END $$; \
             CREATE TRIGGER deadlock_once AFTER INSERT ON inbox FOR EACH STATEMENT EXECUTE FUNCTION deadlock_once()",
        )
        .await;
    let (writer, task) = Writer::start((*bench).clone(), world.clock.clone());
    let receive = |id| {
        let callback =
            report(id, None, Some(&format!("p{id}")), winback::model::delivery::Delivery::Delivered);
        writer.write(Work::Receive(std::sync::Arc::new(callback)))
    };
    let (one, two) = tokio::join!(receive(1), receive(2));
    assert!(one.is_ok() && two.is_ok(), "{one:?} {two:?}");
    let kept = bench.lines("SELECT count(*), count(DISTINCT CAST(xmin AS TEXT)) FROM inbox").await;
    assert_eq!(kept, ["2|1"], "two callbacks, one transaction");
    drop(writer);
    task.await.unwrap();
    world.end().await;
}

/// A server that holds one commit back, as one does that waits for a standby; the session is then cut off, so that the
/// commit happens and nobody hears of it.
#[tokio::test(flavor = "multi_thread")]
async fn an_intent_whose_commit_was_done_and_not_answered_is_sent_again_and_in_no_doubt() {
    let bench = Bench::postgres().await;
    let world = World::new(&bench, 6, |_| {}).await;
    let mut sql = bench.sql().await;
    sql.run("ALTER SYSTEM SET synchronous_standby_names = 'nobody'").await;
    sql.run("SELECT pg_reload_conf()").await;
    sql.run("CREATE TABLE once (done BIGINT); INSERT INTO once VALUES (1)").await;
    sql.run(
        "CREATE FUNCTION wait_once() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
           DELETE FROM once; \
           IF FOUND THEN PERFORM set_config('synchronous_commit', 'on', true); END IF; RETURN NULL; END $$; \
         CREATE TRIGGER wait_once AFTER INSERT ON attempts FOR EACH STATEMENT EXECUTE FUNCTION wait_once()",
    )
    .await;
    let daemon = world.daemon().await;
    let (_, run) = world.launch(&bench, "comeback", "").await;
    let cut = "SELECT CAST(pg_terminate_backend(pid) AS TEXT) FROM pg_stat_activity \
        WHERE datname = current_database() AND wait_event = 'SyncRep'";
    let cut_off = async { while bench.lines(cut).await.is_empty() {} };
    tokio::time::timeout(Duration::from_secs(30), cut_off).await.expect("a commit waits");
    let status = world.finished(&bench, &run).await;
    assert_eq!((status.accepted, status.in_doubt, status.possible_duplicates), (6, 0, 0), "{status:?}");
    assert_eq!((status.spent, world.ledger().len()), (status.cost, 6));
    let unsent = "SELECT count(*) FROM attempts WHERE outcome = 'throttled'";
    assert_ne!(bench.lines(unsent).await, ["0"], "the commit did happen");
    assert_eq!(bench.lines("SELECT count(*) FROM attempts WHERE outcome IS NULL").await, ["0"]);
    assert!(world.audit(&bench, &run).await.agrees());
    assert!(daemon.stop().await);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_stopped_under_load_leaves_nothing_in_doubt_and_the_next_one_sends_the_rest() {
    on_both(async |bench| {
        let world = World::new(bench, 300, |simulator| {
            simulator.latency = winback::simulator::config::Curve::constant(Duration::from_millis(200));
        })
        .await;
        let daemon = world.daemon().await;
        let (_, run) = world.launch(bench, "comeback", "").await;
        world.until(bench, &run, |s| s.accepted > 20).await;
        assert!(daemon.stop().await, "everything under way was answered");
        let reopened = world.beside().await;
        let left = world.until(&reopened, &run, |_| true).await;
        assert_eq!((left.submitting, left.in_doubt, left.dispatch.get("claimed")), (0, 0, None), "{left:?}");
        assert!(left.waiting > 0, "stopped in the middle");
        let daemon = world.daemon().await;
        let status = world.finished(&reopened, &run).await;
        assert_eq!((status.accepted, world.ledger().len()), (300, 300));
        assert!(world.audit(&reopened, &run).await.agrees());
        assert!(daemon.stop().await);
        reopened.close().await;
        world.end().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_dead_process_had_claimed_goes_out_and_what_it_may_have_sent_is_in_doubt() {
    on_both(async |bench| {
        let mut world = World::new(bench, 20, |_| {}).await;
        world.config.dispatch.park_after = Duration::from_secs(1);
        let (_, run) = world.launch(bench, "comeback", "").await;
        let held = claim(bench, &world, "dead", 10).await;
        let granted = intend(bench, &world, "dead", &held[..4]).await;
        assert_eq!(granted.0, 4);
        bench.sql().await.run("UPDATE messages SET lease_until = 0 WHERE owner = 'dead'").await;
        let daemon = world.daemon().await;
        let status =
            world.until(bench, &run, |s| s.state == "finished" && s.dispatch.contains_key("unknown")).await;
        assert_eq!((status.accepted, status.dispatch.get("unknown")), (16, Some(&4)), "{status:?}");
        assert_eq!(world.ledger().len(), 16, "nothing in doubt was sent again");
        assert_eq!(books(bench).await, "available 10 reserved 0 sent 16 quarantined 4");
        assert!(world.audit(bench, &run).await.agrees());
        assert!(daemon.stop().await);
        world.end().await;
    })
    .await;
}

/// A process that slept beyond its lease still believes that it holds the message, which another holds by now.
#[tokio::test(flavor = "multi_thread")]
async fn an_intent_of_a_claim_that_has_become_anothers_is_refused() {
    on_both(async |bench| {
        let world = World::new(bench, 3, |_| {}).await;
        world.launch(bench, "comeback", "").await;
        let asleep = claim(bench, &world, "asleep", 3).await;
        let late = world.clock.now().plus(Duration::from_mins(1));
        let mut batch = bench.batch().await.unwrap();
        let swept = batch.sweep_dead(Sweeper { owner: "node", sole: false }, late, 100).await.unwrap();
        batch.commit().await.unwrap();
        assert_eq!(swept, (3, 0), "their lease is over");
        let held = claim(bench, &world, "node", 3).await;
        assert_eq!(held.len(), 3);
        let (granted, refused) = intend(bench, &world, "asleep", &asleep).await;
        assert_eq!((granted, refused), (0, vec![Refusal::Stale; 3]));
        assert_eq!(intend(bench, &world, "node", &held).await.0, 3);
        world.end().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_living_process_forgot_is_found_when_its_lease_ends() {
    on_both(async |bench| {
        let mut world = World::new(bench, 12, |_| {}).await;
        world.config.dispatch.park_after = Duration::from_secs(1);
        let (_, run) = world.launch(bench, "comeback", "").await;
        let daemon = world.daemon().await;
        world.until(bench, &run, |s| s.delivered == 12).await;
        // As after a commit whose answer got lost: rows of this very process that it knows nothing of.
        // The facts go first: the daemon looks at them as soon as a message is open.
        let forgotten = "DELETE FROM receipts; \
            UPDATE attempts SET outcome = NULL WHERE message_id IN (SELECT max(id) FROM messages); \
            UPDATE messages SET dispatch = 'claimed', lease_until = 0, owner = (SELECT max(owner) FROM attempts) \
            WHERE id IN (SELECT min(id) FROM messages); UPDATE messages SET dispatch = 'submitting', lease_until = 0, \
            owner = (SELECT max(owner) FROM attempts), delivery = 'none' WHERE id IN (SELECT max(id) FROM messages); \
            UPDATE runs SET state = 'running'";
        bench.sql().await.run(forgotten).await;
        let status = world.until(bench, &run, |s| s.state == "finished" && s.in_doubt == 1).await;
        assert_eq!((status.accepted, status.waiting, status.submitting), (11, 0, 0), "{status:?}");
        assert!(daemon.stop().await);
        world.end().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lane_never_gets_more_than_its_permits_allow() {
    on_both(async |bench| {
        let world = World::new(bench, 6, |_| {}).await;
        world.launch(bench, "comeback", "").await;
        for limit in [1, 2, 1] {
            assert_eq!(claim(bench, &world, "node", limit).await.len(), limit);
        }
        world.end().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_nodes_never_hold_the_same_message() {
    let bench = Bench::postgres().await;
    let world = World::new(&bench, 400, |_| {}).await;
    world.launch(&bench, "comeback", "").await;
    let beside = world.beside().await;
    let take = async |store: &Store, owner: &str| {
        let mut taken = Vec::new();
        loop {
            let some = claim(store, &world, owner, 7).await;
            if some.is_empty() {
                return taken;
            }
            taken.extend(some.into_iter().map(|message| message.id));
        }
    };
    let (mut one, two) = tokio::join!(take(&bench, "one"), take(&beside, "two"));
    assert!(!one.is_empty() && !two.is_empty(), "both took some");
    one.extend(two);
    assert_eq!((one.len(), one.iter().collect::<HashSet<_>>().len()), (400, 400));
    beside.close().await;
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_that_meets_an_intent_either_withdraws_the_message_or_comes_after_it() {
    let bench = Bench::postgres().await;
    let world = World::new(&bench, 120, |_| {}).await;
    world.launch(&bench, "comeback", "").await;
    let beside = world.beside().await;
    let (mut sent, mut withdrawn) = (0, 0);
    for message in claim(&bench, &world, "node", 120).await {
        let stop = NewSuppression {
            phone: message.phone,
            scope: EVERY_SENDER.to_owned(),
            reason: Reason::Stop,
            source: "test".to_owned(),
        };
        let held = [message.clone()];
        let (stopped, (granted, refused)) =
            tokio::join!(beside.suppress(std::slice::from_ref(&stop), world.clock.now()), async {
                // A round trip takes part of a millisecond; half of the rounds start a little later.
                tokio::time::sleep(Duration::from_micros(message.id.0.unsigned_abs() % 40 * 60)).await;
                intend(&bench, &world, "node", &held).await
            });
        let stopped = stopped.unwrap();
        let state = bench.lines(&format!("SELECT dispatch FROM messages WHERE id = {}", message.id)).await;
        match (granted, state[0].as_str()) {
            (1, "submitting") => sent += 1,
            (0, "suppressed") => withdrawn += 1,
            other => panic!("{other:?}, {refused:?}, {stopped:?}"),
        }
        assert_eq!(granted + stopped.withdrawn, 1, "one of the two has it");
        assert_eq!(intend(&bench, &world, "node", &held).await.0, 0, "never after the STOP is answered");
    }
    assert!(sent + withdrawn == 120 && withdrawn > 0, "sent {sent}, withdrawn {withdrawn}");
    beside.close().await;
    world.end().await;
}

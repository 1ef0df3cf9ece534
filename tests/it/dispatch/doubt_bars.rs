//! Doubt and what keeps a question from being asked: clocks that are set back, numbers that said STOP, texts that look
//! alike, people who decide at the same moment.

use std::sync::Arc;
use std::time::Duration;

use super::doubt_ladder::{LIST, REPLAY, copies, leave, silent};
use crate::support::hand::{claim, intend};
use crate::support::stores::{Bench, on_both};
use crate::support::world::World;
use winback::daemon::routes;
use winback::dispatch::ladder::Waits;
use winback::dispatch::pace::Limit;
use winback::dispatch::resolve::{Decider, Kept, resolve};
use winback::model::clock::{Clock as _, SteeredClock, SystemClock, Timestamp};
use winback::model::doubt::{Finding, Rung};
use winback::model::ids::{MessageId, RunId};
use winback::model::message::Verdict;
use winback::model::run::Run;
use winback::store::inquiries::{Note, Open, REPLAY_ANSWER, Tried};
use winback::store::suppressions::EVERY_SENDER;

const HOUR: i64 = 3_600_000;

/// A run that has lost sight of everything; its requests can be repeated from the next daemon on.
async fn lost(bench: &Bench, world: &World, people: i64) -> Run {
    world.asked(&REPLAY.replace("doubt = [\"replay\"]", "doubt = []"));
    let daemon = world.daemon().await;
    let (_, run) = world.launch(bench, "comeback", "").await;
    world.until(bench, &run, |s| s.dispatch.get("ambiguous") == Some(&people)).await;
    assert!(daemon.stop().await);
    world.asked(REPLAY);
    let (catalog, key) = (routes::catalog(&world.config).unwrap(), routes::token_key(bench).await.unwrap());
    let parts = routes::all(&world.config, &catalog, &key).unwrap();
    let url = world.config.daemon.public_url.as_deref();
    routes::means(bench, &parts, url, world.clock.now()).await.unwrap();
    bench.sql().await.run("UPDATE renderings SET since = 0").await;
    run
}

/// Waits until a question to the store is answered so.
async fn until(bench: &Bench, question: &str, wanted: &str) {
    let waited = tokio::time::timeout(Duration::from_mins(1), async {
        while bench.lines(question).await != [wanted] {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    let found = waited.await;
    assert!(found.is_ok(), "{question}: {:?}", bench.lines(question).await);
}

/// Which rung the only message in doubt stands on.
async fn rung(bench: &Bench, world: &World) -> Option<Rung> {
    let ladder = routes::ladder(&world.config, bench).await.unwrap();
    let (message, standing) = bench.in_doubt((RunId(0), MessageId(0)), 1).await.unwrap().remove(0);
    match ladder.waits(&message, &standing, world.clock.now()) {
        Waits::Asked(step) => Some(step.rung()),
        Waits::Receipt(..) | Waits::Person => None,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_was_too_old_to_be_repeated_is_not_young_again_because_the_clock_went_back() {
    on_both(async |bench| {
        let mut world = World::new(bench, 1, |simulator| {
            silent(simulator);
            simulator.failures.reset = 1.0;
        })
        .await;
        let noon = world.clock.now().0 - SystemClock.now().0;
        let clock = Arc::new(SteeredClock::off_by(noon));
        world.clock = clock.clone();
        lost(bench, &world, 1).await;
        assert_eq!(rung(bench, &world).await, Some(Rung::Replay));
        clock.steer(noon + 2 * HOUR);
        let daemon = world.daemon().await;
        until(bench, "SELECT replay_over FROM inquiries", "1").await;
        clock.steer(noon);
        let ahead = world.clock.now().0 + HOUR;
        until(bench, &format!("SELECT count(*) FROM renderings WHERE since > {ahead}"), "1").await;
        assert!(daemon.stop().await);
        let asked = "SELECT replays + replays_unanswered FROM inquiries";
        assert_eq!(bench.lines(asked).await, ["0"], "nothing left at its right age either");
        // What was seen of one message, and what is known of the clock, each suffices.
        assert_eq!(rung(bench, &world).await, None);
        bench.sql().await.run("UPDATE renderings SET since = 0").await;
        assert_eq!(rung(bench, &world).await, None);
        let since = Timestamp(ahead);
        bench.sql().await.run("UPDATE inquiries SET replay_over = 0").await;
        assert_eq!(rung(bench, &world).await, Some(Rung::Replay));
        bench.distrust_until(since, world.clock.now()).await.unwrap();
        assert_eq!(rung(bench, &world).await, None);
        let anew = bench.alike_since("sim", "another", world.clock.now()).await.unwrap();
        assert_eq!(anew, since, "a new definition does not make it earlier");
        world.end().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn replays_that_must_not_leave_keep_nobody_else_waiting() {
    on_both(async |bench| {
        let mut world = World::new(bench, 5, |simulator| {
            silent(simulator);
            simulator.failures.silent = 1.0;
        })
        .await;
        world.config.routes.get_mut("sim").unwrap().answer_timeout = Duration::from_secs(1);
        let run = lost(bench, &world, 5).await;
        // One question in a round, and the one that may be asked is the last in line.
        let limit = Limit { parts_per_second: 1.0, burst: 1 };
        world.config.routes.get_mut("sim").unwrap().limits.account = Some(limit);
        let stop = format!(
            "INSERT INTO suppressions (phone, scope, reason, source, created_at) \
             SELECT phone, '{EVERY_SENDER}', 'stop', 'sim', 0 FROM messages WHERE id < (SELECT max(id) FROM messages)"
        );
        bench.sql().await.run(&stop).await;
        let daemon = world.daemon().await;
        let status = world.until(bench, &run, |s| s.accepted == 1).await;
        assert_eq!((status.in_doubt, copies(&world)), (4, vec![1; 5]), "{status:?}");
        let asked = "SELECT count(*) FROM inquiries WHERE replays_unanswered + replays > 0";
        assert_eq!(bench.lines(asked).await, ["1"], "nothing else left");
        assert!(daemon.stop().await);
        world.end().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_texts_that_look_alike_at_the_provider_are_called_no_duplicate() {
    on_both(async |bench| {
        let world = World::new(bench, 1, silent).await;
        world.launch(bench, "comeback", "").await;
        world.launch(bench, "again", "").await;
        bench.sql().await.run("UPDATE messages SET body = 'The same words'").await;
        let held = claim(bench, &world, "dead", 2).await;
        assert_eq!(intend(bench, &world, "dead", &held).await.0, 2);
        for message in &held {
            leave(bench, &world, message).await;
        }
        bench.sql().await.run("UPDATE messages SET lease_until = 0").await;
        world.asked(LIST);
        let daemon = world.daemon().await;
        until(bench, "SELECT count(*) FROM inquiries WHERE finding = 'alike'", "2").await;
        let marked = "SELECT count(*) FROM messages WHERE possible_duplicate = 1 OR dispatch <> 'ambiguous'";
        assert_eq!(bench.lines(marked).await, ["0"]);
        let ladder = routes::ladder(&world.config, bench).await.unwrap();
        for (_, standing) in bench.in_doubt((RunId(0), MessageId(0)), 2).await.unwrap() {
            assert_eq!(standing.asked.finding, Some(Finding::Alike));
            assert!(!ladder.may_return(&standing, world.clock.now()));
        }
        assert!(daemon.stop().await);
        world.end().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_does_not_send_again_what_is_on_the_wire_again() {
    on_both(async |bench| {
        let world = World::new(bench, 1, |simulator| {
            silent(simulator);
            simulator.failures.reset = 1.0;
        })
        .await;
        lost(bench, &world, 1).await;
        let open = bench.open_doubts((RunId(0), MessageId(0)), 1).await.unwrap().remove(0);
        let (id, now) = (open.message.id, world.clock.now());
        let say = async |verdict, at| {
            let ada = Decider { by: "ada", reason: None };
            let said = resolve(bench, &[id], verdict, ada, at).await.unwrap();
            said.kept.first().map(|(_, why)| *why)
        };
        let mut batch = bench.batch().await.unwrap();
        assert!(batch.intend_replay(&open, now).await.unwrap());
        batch.commit().await.unwrap();
        for verdict in [Verdict::Resend, Verdict::NotSent] {
            assert_eq!(say(verdict, now).await, Some(Kept::OnTheWire));
        }
        note(bench, &open, Tried::Replayed { answered: true }).await;
        let counted = "SELECT replays, replays_unanswered, answer_by FROM inquiries";
        assert_eq!(bench.lines(counted).await, ["1|0|0"]);
        let mut batch = bench.batch().await.unwrap();
        assert!(batch.intend_replay(&open, now).await.unwrap());
        batch.commit().await.unwrap();
        // Whoever was to note the answer is gone; no answer takes so long.
        let late = now.plus(REPLAY_ANSWER);
        assert_eq!(say(Verdict::Resend, late).await, None);
        assert_eq!(bench.lines("SELECT dispatch FROM messages").await, ["queued"]);
        let mut batch = bench.batch().await.unwrap();
        assert!(!batch.intend_replay(&open, late).await.unwrap(), "and then no replay");
        drop(batch);
        world.end().await;
    })
    .await;
}

async fn note(bench: &Bench, open: &Open, tried: Tried) {
    let (message, number) = (open.message.id, open.standing.number);
    let mut batch = bench.batch().await.unwrap();
    batch.note(&[Note { message, number, tried, finding: None, detail: None }]).await.unwrap();
    batch.commit().await.unwrap();
}

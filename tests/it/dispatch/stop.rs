//! A customer who writes STOP in the middle of a run hears nothing more; START takes back a STOP and nothing else.

use super::{books, slow};
use crate::support::calls::Caller;
use crate::support::stores::on_both;
use crate::support::world::{World, phone};
use winback::model::ids::MessageId;
use winback::model::message::{CouponEffect, Settlement};
use winback::model::outcome::{Outcome, OutcomeClass};
use winback::model::state::Dispatch;
use winback::model::suppression::Reason;
use winback::store::suppressions::{EVERY_SENDER, NewSuppression};
use winback::store::writer::{Work, Writer};

#[tokio::test(flavor = "multi_thread")]
async fn after_the_answer_to_a_stop_nothing_more_leaves_for_that_number() {
    on_both(async |bench| {
        let mut world = World::new(bench, 30, |_| {}).await;
        slow(&mut world);
        let daemon = world.daemon().await;
        let (_, run) = world.launch(bench, "comeback", "").await;
        world.until(bench, &run, |s| s.accepted > 0).await;
        let caller = Caller::new(&daemon, &world.clock);
        let stopped: Vec<u64> = (20..30).collect();
        for n in &stopped {
            let texted = world.ledger().iter().any(|entry| entry.to == phone(*n).e164());
            assert_eq!(caller.inbound(&format!("in-{n}"), phone(*n), "Stop please").await.status, 200);
            if !texted {
                let waiting = format!(
                    "SELECT count(*) FROM messages WHERE phone = {} AND dispatch IN ('planned', 'queued', 'claimed')",
                    phone(*n).digits()
                );
                assert_eq!(bench.lines(&waiting).await, ["0"], "withdrawn with the STOP");
            }
        }
        let before = world.ledger();
        let status = world.finished(bench, &run).await;
        for n in stopped {
            let count = |ledger: &[winback::report::audit::Taken]| {
                ledger.iter().filter(|entry| entry.to == phone(n).e164()).count()
            };
            assert_eq!(count(&world.ledger()), count(&before), "number {n} was texted after its STOP");
        }
        assert!(status.withdrawn > 0, "{status:?}");
        assert_eq!(status.accepted + status.withdrawn, 30);
        let audit = world.audit(bench, &run).await;
        assert!(audit.agrees(), "{audit:?}");
        let sent = status.accepted;
        assert_eq!(books(bench).await, format!("available {} reserved 0 sent {sent} quarantined 0", 40 - sent));
        assert!(daemon.stop().await);
        world.end().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeated_stop_does_not_undo_the_start_after_it_and_start_lifts_only_stop() {
    on_both(async |bench| {
        let world = World::new(bench, 2, |_| {}).await;
        let daemon = world.daemon().await;
        let caller = Caller::new(&daemon, &world.clock);
        let suppressed = async |n| bench.is_suppressed(phone(n), EVERY_SENDER).await.unwrap();
        // Number 7 is nobody's.
        for n in [1, 7] {
            assert_eq!(caller.inbound(&format!("stop-{n}"), phone(n), "STOP").await.status, 200);
            assert!(suppressed(n).await, "{n}");
            assert_eq!(caller.inbound(&format!("start-{n}"), phone(n), "START").await.status, 200);
            assert!(!suppressed(n).await, "{n}");
            assert_eq!(caller.inbound(&format!("stop-{n}"), phone(n), "STOP").await.status, 200);
            assert!(!suppressed(n).await, "a repeated callback acts once");
            assert_eq!(caller.inbound(&format!("stop-again-{n}"), phone(n), "stop").await.status, 200);
            assert!(suppressed(n).await, "a new STOP does act");
        }
        bench.suppress(&[opt_out(0, Reason::Operator)], world.clock.now()).await.unwrap();
        assert_eq!(caller.inbound("start-0", phone(0), "START").await.status, 200);
        assert!(suppressed(0).await, "a START lifts only what a STOP did");
        assert_eq!(caller.inbound("nul", phone(8), "STOP\0").await.status, 200);
        assert!(suppressed(8).await, "whatever else is in the text");
        daemon.stop().await;
        world.end().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn customers_who_answer_stop_are_not_texted_by_the_next_campaign() {
    on_both(async |bench| {
        let world = World::new(bench, 20, |simulator| {
            // The ten codes that the first campaign leaves must be enough for all who stay.
            simulator.replies.texts =
                vec![winback::simulator::config::ReplyText { share: 0.75, text: "STOP".to_owned() }];
        })
        .await;
        let daemon = world.daemon().await;
        let (_, run) = world.launch(bench, "first", "").await;
        world.finished(bench, &run).await;
        let quiet = async || bench.lines("SELECT count(*) FROM suppressions WHERE lifted_at IS NULL").await;
        let mut stopped = quiet().await;
        loop {
            tokio::time::sleep(std::time::Duration::from_millis(400)).await;
            let now = quiet().await;
            if now == stopped && now != ["0"] {
                break;
            }
            stopped = now;
        }
        let plan = world.plan(bench, "second", "").await;
        assert_eq!((20 - plan.messages).to_string(), stopped[0]);
        daemon.stop().await;
        world.end().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_letter_stops_only_where_the_route_announces_it() {
    on_both(async |bench| {
        let mut world = World::new(bench, 2, |_| {}).await;
        let check = async |world: &World, id: &str, stopped: bool| {
            let daemon = world.daemon().await;
            let caller = Caller::new(&daemon, &world.clock);
            assert_eq!(caller.inbound(id, phone(1), "r").await.status, 200);
            assert_eq!(bench.is_suppressed(phone(1), EVERY_SENDER).await.unwrap(), stopped, "{id}");
            drop(caller);
            assert!(daemon.stop().await);
        };
        check(&world, "in-1", false).await;
        if let Some(route) = world.config.routes.get_mut("sim") {
            route.opt_out_letters = vec!['R'];
        }
        check(&world, "in-2", true).await;
        world.end().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_opt_out_by_command_reaches_what_waits_between_intent_and_wire() {
    on_both(async |bench| {
        let mut world = World::new(bench, 12, |simulator| {
            simulator.latency =
                winback::simulator::config::Curve::constant(std::time::Duration::from_secs(4));
        })
        .await;
        world.config.routes.get_mut("sim").unwrap().in_flight = 2;
        let daemon = world.daemon().await;
        let (_, run) = world.launch(bench, "comeback", "").await;
        world.until(bench, &run, |s| s.submitting == 4).await;
        let beside = world.beside().await;
        let all: Vec<_> = (0..12).map(|n| opt_out(n, Reason::Operator)).collect();
        beside.suppress(&all, world.clock.now()).await.unwrap();
        beside.close().await;
        let status = world.finished(bench, &run).await;
        assert_eq!((status.accepted, status.withdrawn), (2, 10), "two were on the wire: {status:?}");
        assert_eq!(world.ledger().len(), 2);
        assert_eq!(books(bench).await, "available 20 reserved 0 sent 2 quarantined 0");
        assert!(daemon.stop().await);
        world.end().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn lanes_are_told_of_every_number_that_the_writer_suppresses_whoever_waits_for_it() {
    on_both(async |bench| {
        let world = World::new(bench, 1, |_| {}).await;
        let (_, run) = world.launch(bench, "comeback", "").await;
        let daemon = world.daemon().await;
        world.finished(bench, &run).await;
        assert!(daemon.stop().await);
        let store = world.beside().await;
        let (writer, task) = Writer::start(store.clone(), world.clock.clone());
        let mut told = writer.suppressed();
        let id = bench.lines("SELECT id FROM messages").await[0].parse().unwrap();
        let refused = Settlement {
            message: MessageId(id),
            number: 1,
            epoch: 1,
            to: Dispatch::Rejected,
            not_before: world.clock.now(),
            counts: true,
            coupon: CouponEffect::Keep,
            refund: false,
            outcome: Outcome::of(OutcomeClass::OptedOut),
        };
        let work = Work::Settle { route: "sim".to_owned(), settlements: vec![refused] };
        writer.write(work.clone()).await.unwrap();
        assert_eq!(told.try_recv().unwrap(), phone(0), "a refusal, before it is answered");
        // Whoever asked has gone away as soon as it had asked.
        assert!(futures_util::FutureExt::now_or_never(Box::pin(writer.write(work))).is_none());
        let heard = tokio::time::timeout(std::time::Duration::from_secs(30), told.recv()).await;
        assert_eq!(heard.expect("told").unwrap(), phone(0));
        drop(writer);
        task.await.unwrap();
        store.close().await;
        world.end().await;
    })
    .await;
}

fn opt_out(n: u64, reason: Reason) -> NewSuppression {
    NewSuppression { phone: phone(n), scope: EVERY_SENDER.to_owned(), reason, source: "test".to_owned() }
}

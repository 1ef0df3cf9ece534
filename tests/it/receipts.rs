//! Callbacks over HTTP against a real daemon: what is believed is durable before it is acknowledged, what is not leaves
//! a counter and nothing else.

mod bounds;

use std::time::Duration;

use winback::daemon::Daemon;
use winback::model::run::Run;

use crate::support::calls::{Caller, KEY, signature};
use crate::support::stores::{Bench, on_both};
use crate::support::world::World;

const RECEIPT: &str = "/callback/sim/receipt";

/// A world whose simulator reports nothing by itself, with `people` texts accepted.
async fn silent(bench: &Bench, people: u64) -> (World, Daemon, Run) {
    let world = World::new(bench, people, |simulator| simulator.receipts.never = 1.0).await;
    let daemon = world.daemon().await;
    let (_, run) = world.launch(bench, "comeback", "").await;
    world.until(bench, &run, |s| s.accepted == people.cast_signed()).await;
    (world, daemon, run)
}

async fn references(bench: &Bench) -> Vec<String> {
    bench.lines("SELECT reference FROM attempts ORDER BY message_id, number").await
}

async fn rows(bench: &Bench) -> Vec<String> {
    bench.lines("SELECT (SELECT count(*) FROM inbox), (SELECT count(*) FROM receipts)").await
}

async fn end(world: World, daemon: Daemon) {
    assert!(daemon.stop().await);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_true_receipt_is_on_disk_when_it_is_acknowledged() {
    on_both(async |bench| {
        let (world, daemon, run) = silent(bench, 1).await;
        let caller = Caller::new(&daemon, &world.clock);
        let reference = references(bench).await.remove(0);
        let reply = caller.receipts(&[(None, Some(&reference), "delivered")]).await;
        assert_eq!((reply.status, reply.body.as_str()), (200, "ok"));
        assert_eq!(rows(bench).await, ["1|1"]);
        assert_eq!(world.until(bench, &run, |_| true).await.delivered, 1);
        end(world, daemon).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_believed_leaves_a_counter_and_nothing_else() {
    on_both(async |bench| {
        let (world, daemon, _) = silent(bench, 1).await;
        let caller = Caller::new(&daemon, &world.clock);
        let reference = references(bench).await.remove(0);
        let body =
            serde_json::json!({"receipts": [{"reference": reference, "status": "delivered"}]}).to_string();
        let at = |seconds: i64| (world.clock.now().0 / 1000 + seconds).to_string();
        let now = at(0);
        let check = async |told: &str, status: u16, path: &str, body: &str, timestamp: &str, key: &str| {
            let signed = if key.is_empty() { String::new() } else { signature(key, timestamp, body) };
            assert_eq!(caller.post(path, body, timestamp, &signed).await.status, status, "{told}");
        };
        check("forged", 403, RECEIPT, &body, &now, "another key").await;
        check("unsigned", 403, RECEIPT, &body, &now, "").await;
        check("stale", 403, RECEIPT, &body, &at(-3_600), KEY).await;
        check("from the future", 403, RECEIPT, &body, &at(3_600), KEY).await;
        check("malformed", 400, RECEIPT, "{\"receipts\": 7", &now, KEY).await;
        check("unknown route", 404, "/callback/nobody/receipt", &body, &now, KEY).await;
        check("unknown page", 404, "/callback/sim", &body, &now, KEY).await;
        let long = format!("{{\"receipts\": [], \"x\": \"{}\"}}", "x".repeat(1 << 20));
        check("oversized", 413, RECEIPT, &long, &now, KEY).await;
        let moved = signature(KEY, &now, &body);
        assert_eq!(
            caller.post(RECEIPT, &body.replace("delivered", "expired"), &now, &moved).await.status,
            403
        );
        assert_eq!(rows(bench).await, ["0|0"]);
        let page = caller.get("/metrics").await.body;
        for (kind, count) in [("forged", 2), ("unsigned", 1), ("stale", 2), ("malformed", 1)] {
            let line = format!("winback_refused_callbacks_total{{route=\"sim\",kind=\"{kind}\"}} {count}");
            assert!(page.contains(&line), "{line}: {page}");
        }
        end(world, daemon).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_order_of_receipts_gives_the_same_state_and_repeats_change_nothing() {
    const ORDERS: [[&str; 3]; 6] = [
        ["en_route", "delivered", "undelivered"],
        ["en_route", "undelivered", "delivered"],
        ["delivered", "en_route", "undelivered"],
        ["delivered", "undelivered", "en_route"],
        ["undelivered", "en_route", "delivered"],
        ["undelivered", "delivered", "en_route"],
    ];
    on_both(async |bench| {
        let (world, daemon, run) = silent(bench, 6).await;
        let caller = Caller::new(&daemon, &world.clock);
        let references = references(bench).await;
        let all = "SELECT count(*), count(DISTINCT message_id) FROM receipts";
        for (reference, order) in references.iter().zip(ORDERS) {
            for status in order {
                assert_eq!(caller.receipts(&[(None, Some(reference), status)]).await.status, 200);
            }
        }
        assert_eq!(bench.lines(all).await, ["18|6"]);
        for (reference, order) in references.iter().zip(ORDERS) {
            let again: Vec<_> =
                order.iter().map(|status| (None, Some(reference.as_str()), *status)).collect();
            assert_eq!(caller.receipts(&again).await.status, 200, "a repeat is acknowledged");
        }
        assert_eq!(bench.lines(all).await, ["18|6"], "and not kept twice");
        let ends = bench
            .lines("SELECT delivery, conflict, count(*) FROM messages GROUP BY delivery, conflict")
            .await;
        assert_eq!(ends, ["delivered|1|6"]);
        assert_eq!(world.until(bench, &run, |_| true).await.conflicts, 6);
        end(world, daemon).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receipt_that_comes_before_the_answer_to_its_submission_waits_for_it() {
    on_both(async |bench| {
        let world = World::new(bench, 1, |simulator| {
            simulator.receipts.never = 1.0;
            simulator.latency = winback::simulator::config::Curve::constant(Duration::from_millis(1_500));
        })
        .await;
        let daemon = world.daemon().await;
        let (_, run) = world.launch(bench, "comeback", "").await;
        let taken = async || loop {
            let path = world.folder.path().join("ledger.jsonl");
            let first = winback::simulator::ledger::read(&path).unwrap().next();
            if let Some(entry) = first {
                return entry.unwrap().id.into_owned();
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        };
        let id = taken().await;
        let caller = Caller::new(&daemon, &world.clock);
        assert_eq!(caller.receipts(&[(Some(&id), None, "delivered")]).await.status, 200);
        let parked = bench.lines("SELECT count(*) FROM receipts WHERE message_id IS NULL").await;
        assert_eq!(parked, ["1"], "the id is not known yet");
        let status = world.until(bench, &run, |s| s.delivered == 1).await;
        assert_eq!(status.accepted, 1);
        assert_eq!(bench.lines("SELECT count(*) FROM receipts WHERE message_id IS NULL").await, ["0"]);
        end(world, daemon).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receipt_for_nobody_is_kept_and_one_of_another_route_matches_nothing() {
    on_both(async |bench| {
        let (world, daemon, run) = silent(bench, 1).await;
        let caller = Caller::new(&daemon, &world.clock);
        assert_eq!(
            caller
                .receipts(&[(Some("who?"), None, "delivered"), (None, Some("x-1-1"), "delivered")])
                .await
                .status,
            200
        );
        assert_eq!(
            caller.receipts(&[(Some("nul\0"), None, "delivered")]).await.status,
            200,
            "whatever is in it"
        );
        assert_eq!(rows(bench).await, ["2|3"]);
        let page = caller.get("/metrics").await.body;
        assert!(page.contains("winback_waiting_receipts 3"), "{page}");
        // The same message, were it on another route: neither its reference nor its id may match here.
        bench
            .sql()
            .await
            .run("UPDATE attempts SET route = 'other'; UPDATE messages SET route = 'other'")
            .await;
        let reference = references(bench).await.remove(0);
        let id = bench.lines("SELECT provider_id FROM attempts").await.remove(0);
        let both = [(Some(id.as_str()), None, "delivered"), (None, Some(reference.as_str()), "delivered")];
        assert_eq!(caller.receipts(&both).await.status, 200);
        assert_eq!(world.until(bench, &run, |_| true).await.delivered, 0);
        assert_eq!(bench.lines("SELECT count(*) FROM receipts WHERE message_id IS NOT NULL").await, ["0"]);
        end(world, daemon).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn callbacks_at_the_same_time_count_once_and_never_lower_a_state() {
    on_both(async |bench| {
        let (world, daemon, run) = silent(bench, 5).await;
        let caller = Caller::new(&daemon, &world.clock);
        let references = references(bench).await;
        let calls = (0..60).map(|n| {
            let status = ["en_route", "delivered", "delivered", "en_route"][n % 4];
            let reference = references[n % 5].clone();
            let caller = &caller;
            async move { caller.receipts(&[(None, Some(&reference), status)]).await.status }
        });
        assert!(futures_util::future::join_all(calls).await.into_iter().all(|status| status == 200));
        let status = world.until(bench, &run, |_| true).await;
        assert_eq!((status.delivered, status.conflicts), (5, 0));
        assert_eq!(bench.lines("SELECT count(*) FROM receipts").await, ["10"]);
        end(world, daemon).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_acknowledged_while_the_store_cannot_be_written() {
    on_both(async |bench| {
        let (world, daemon, run) = silent(bench, 1).await;
        let caller = Caller::new(&daemon, &world.clock);
        let reference = references(bench).await.remove(0);
        let line = [(None, Some(reference.as_str()), "delivered")];
        let (breaks, mends) = ("ALTER TABLE receipts RENAME TO gone", "ALTER TABLE gone RENAME TO receipts");
        let counted = |n| format!("winback_receipts_total{{route=\"sim\",kind=\"delivered\"}} {n}\n");
        bench.sql().await.run(breaks).await;
        let refused = caller.receipts(&line).await;
        assert_eq!(refused.status, 503);
        assert!(refused.head.contains("retry-after: "), "{}", refused.head);
        assert!(caller.get("/metrics").await.body.contains(&counted(0)), "not counted either");
        bench.sql().await.run(mends).await;
        assert_eq!(rows(bench).await, ["0|0"], "nothing of it is kept, so that it comes again");
        assert_eq!(caller.receipts(&line).await.status, 200);
        assert!(caller.get("/metrics").await.body.contains(&counted(1)));
        assert_eq!(world.until(bench, &run, |_| true).await.delivered, 1);
        end(world, daemon).await;
    })
    .await;
}

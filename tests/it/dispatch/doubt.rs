//! A provider that takes a text and breaks the connection: never a second text unless the campaign decided so.

use std::collections::HashMap;
use std::time::Duration;

use super::books;
use crate::support::stores::on_both;
use crate::support::world::World;

#[tokio::test(flavor = "multi_thread")]
async fn a_reset_after_acceptance_is_doubt_until_the_receipt_ends_it_and_nobody_is_texted_twice() {
    on_both(async |bench| {
        let world = World::new(bench, 40, |simulator| simulator.failures.reset = 0.5).await;
        let daemon = world.daemon().await;
        let (_, run) = world.launch(bench, "comeback", "").await;
        let status =
            world.until(bench, &run, |s| s.state == "finished" && s.delivered == 40 && s.in_doubt == 0).await;
        assert_eq!((status.accepted, status.possible_duplicates), (40, 0));
        let audit = world.audit(bench, &run).await;
        assert!(audit.agrees() && audit.accepted == 40, "{audit:?}");
        assert_eq!(world.ledger().len(), 40, "each was taken once");
        let doubts =
            bench.lines("SELECT count(*) FROM attempts WHERE detail IS NOT NULL OR outcome <> 'accepted'");
        assert_ne!(doubts.await, ["0"], "the resets did happen");
        assert_eq!(books(bench).await, "available 10 reserved 0 sent 40 quarantined 0");
        assert!(daemon.stop().await);
        world.end().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_any_receipt_doubt_stays_visible_and_its_codes_stay_locked_away() {
    on_both(async |bench| {
        let world = World::new(bench, 6, |simulator| {
            simulator.failures.reset = 1.0;
            simulator.receipts.never = 1.0;
        })
        .await;
        let mut world = world;
        world.config.dispatch.park_after = Duration::from_secs(2);
        let daemon = world.daemon().await;
        let (_, run) = world.launch(bench, "comeback", "").await;
        world.until(bench, &run, |s| s.dispatch.get("ambiguous") == Some(&6)).await;
        let status = world.until(bench, &run, |s| s.dispatch.get("unknown") == Some(&6)).await;
        assert_eq!((status.in_doubt, status.accepted), (6, 0));
        assert_eq!(status.spent, status.cost, "the money of doubt counts as spent");
        let audit = world.audit(bench, &run).await;
        assert!(audit.agrees() && audit.unresolved == 6, "{audit:?}");
        assert_eq!(world.ledger().len(), 6);
        assert_eq!(books(bench).await, "available 10 reserved 0 sent 0 quarantined 6");
        assert!(daemon.stop().await);
        world.end().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_campaign_that_decided_so_sends_again_with_the_same_code_and_says_so() {
    on_both(async |bench| {
        let mut world = World::new(bench, 6, |simulator| {
            simulator.failures.reset = 0.6;
            simulator.receipts.never = 1.0;
            simulator.seed = 4;
        })
        .await;
        world.config.dispatch.resend_after = Duration::from_secs(1);
        world.config.dispatch.resend_attempts = 2;
        world.config.dispatch.park_after = Duration::from_secs(3);
        let daemon = world.daemon().await;
        let (_, run) = world.launch(bench, "comeback", "when_in_doubt = \"resend\"").await;
        let status = world
            .until(bench, &run, |s| s.state == "finished" && !s.dispatch.contains_key("ambiguous"))
            .await;
        assert!(status.possible_duplicates > 0, "{status:?}");
        let mut taken: HashMap<String, Vec<String>> = HashMap::new();
        for entry in world.ledger() {
            taken.entry(entry.to).or_default().push(entry.body_sha256);
        }
        assert!(taken.values().any(|bodies| bodies.len() == 2), "some did get a second copy");
        for bodies in taken.values() {
            assert!(
                bodies.len() <= 2 && bodies.iter().all(|body| *body == bodies[0]),
                "same text, same code"
            );
        }
        let audit = world.audit(bench, &run).await;
        assert!(audit.agrees(), "{audit:?}");
        assert!(daemon.stop().await);
        world.end().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_copy_that_is_refused_does_not_make_the_first_one_unsent() {
    on_both(async |bench| {
        let mut world = World::new(bench, 16, |simulator| {
            (simulator.failures.reset, simulator.failures.bad_number) = (0.5, 0.5);
            simulator.receipts.never = 1.0;
        })
        .await;
        world.config.dispatch.resend_after = Duration::from_secs(1);
        world.config.dispatch.resend_attempts = 2;
        world.config.dispatch.park_after = Duration::from_secs(3);
        let daemon = world.daemon().await;
        let (_, run) = world.launch(bench, "comeback", "when_in_doubt = \"resend\"").await;
        world.until(bench, &run, |s| s.state == "finished" && !s.dispatch.contains_key("ambiguous")).await;
        let refused = "SELECT count(*) FROM messages AS m JOIN attempts AS a ON a.message_id = m.id \
            WHERE m.dispatch = 'unknown' AND a.number = 2 AND a.outcome = 'bad_recipient'";
        assert_ne!(bench.lines(refused).await, ["0"], "some were taken once and refused once");
        let forgotten =
            "SELECT count(*) FROM messages WHERE dispatch = 'rejected' AND possible_duplicate = 1";
        assert_eq!(bench.lines(forgotten).await, ["0"], "the doubt about the first copy stays");
        let audit = world.audit(bench, &run).await;
        assert!(audit.agrees(), "{audit:?}");
        let freed = "SELECT count(*) FROM messages AS m JOIN coupons AS c ON c.id = m.coupon_id \
            WHERE m.possible_duplicate = 1 AND c.state = 'available'";
        assert_eq!(
            bench.lines(freed).await,
            ["0"],
            "a code that may be in somebody's hands goes to nobody else"
        );
        assert!(daemon.stop().await);
        world.end().await;
    })
    .await;
}

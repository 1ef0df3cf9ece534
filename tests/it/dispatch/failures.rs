//! What a provider refuses, slows down or cannot do: each class of answer has one consequence, and the books balance.

use std::time::Duration;

use super::books;
use crate::support::stores::on_both;
use crate::support::world::World;

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_that_throttles_gets_everything_in_the_end_and_throttles_cost_no_attempt() {
    on_both(async |bench| {
        let world = World::new(bench, 60, |simulator| {
            simulator.parts_per_second = Some(30);
            simulator.burst_parts = Some(10);
        })
        .await;
        let daemon = world.daemon().await;
        let (_, run) = world.launch(bench, "comeback", "").await;
        let status = world.finished(bench, &run).await;
        assert_eq!((status.accepted, status.delivered), (60, 60));
        assert_eq!(bench.lines("SELECT count(*) FROM messages WHERE attempts <> 1").await, ["0"]);
        assert_ne!(bench.lines("SELECT count(*) FROM attempts WHERE outcome = 'throttled'").await, ["0"]);
        let audit = world.audit(bench, &run).await;
        assert!(audit.agrees() && audit.accepted == 60, "{audit:?}");
        assert!(daemon.stop().await);
        world.end().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_that_is_away_is_tried_as_often_as_configured_and_no_more() {
    on_both(async |bench| {
        let mut world = World::new(bench, 5, |simulator| simulator.failures.unavailable = 1.0).await;
        let route = world.config.routes.get_mut("sim").unwrap();
        (route.retry.attempts, route.retry.first_delay_ms, route.retry.max_delay_ms) = (2, 100, 200);
        // Seven failures in a row stay below what opens the breaker; more would only take longer.
        bench.sql().await.run("DELETE FROM contacts WHERE id > 3").await;
        let daemon = world.daemon().await;
        let (_, run) = world.launch(bench, "comeback", "").await;
        let status = world.finished(bench, &run).await;
        assert_eq!(status.dispatch.get("failed"), Some(&3), "{status:?}");
        assert_eq!(bench.lines("SELECT count(*) FROM messages WHERE attempts = 2").await, ["3"]);
        assert_eq!(bench.lines("SELECT count(*) FROM attempts WHERE outcome = 'unavailable'").await, ["6"]);
        assert_eq!((status.spent.0, world.ledger().len()), (0, 0));
        assert_eq!(books(bench).await, "available 15 reserved 0 sent 0 quarantined 0");
        assert!(daemon.stop().await);
        world.end().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_number_that_does_not_exist_and_one_that_opted_out_are_remembered() {
    on_both(async |bench| {
        let world = World::new(bench, 40, |simulator| {
            simulator.failures.bad_number = 0.4;
            simulator.failures.opted_out = 0.3;
        })
        .await;
        let daemon = world.daemon().await;
        let (_, run) = world.launch(bench, "comeback", "").await;
        let status = world.finished(bench, &run).await;
        let rejected = status.dispatch.get("rejected").copied().unwrap_or(0);
        assert_eq!(status.accepted + rejected, 40);
        let count = async |sql: &str| bench.lines(sql).await[0].parse::<i64>().unwrap();
        let dead = count("SELECT count(*) FROM contacts WHERE unreachable_at IS NOT NULL").await;
        let quiet =
            count("SELECT count(*) FROM suppressions WHERE reason = 'provider' AND lifted_at IS NULL").await;
        assert!(dead > 0 && quiet > 0);
        assert_eq!(dead + quiet, rejected);
        assert_eq!(
            world.plan(bench, "second", "").await.messages,
            status.accepted,
            "they are not asked again"
        );
        let sent = status.accepted;
        assert_eq!(
            books(bench).await,
            format!("available {} reserved 0 sent {sent} quarantined 0", 50 - sent)
        );
        assert!(daemon.stop().await);
        world.end().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_text_that_is_refused_again_and_again_pauses_its_run() {
    on_both(async |bench| {
        let mut world = World::new(bench, 60, |simulator| simulator.failures.bad_text = 1.0).await;
        let route = world.config.routes.get_mut("sim").unwrap();
        route.in_flight = 2;
        let daemon = world.daemon().await;
        let (_, run) = world.launch(bench, "comeback", "").await;
        let status = world.until(bench, &run, |s| s.state == "paused" && s.submitting == 0).await;
        let rejected = status.dispatch["rejected"];
        assert!((5..30).contains(&rejected), "{rejected} people lost their text to a bad one");
        tokio::time::sleep(Duration::from_millis(1_200)).await;
        let later = world.until(bench, &run, |_| true).await;
        assert_eq!((later.state, later.dispatch["rejected"]), ("paused", rejected));
        assert!(daemon.stop().await);
        world.end().await;
    })
    .await;
}

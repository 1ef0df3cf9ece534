//! Pause, resume, cancel and budgets: what the operator says holds for every text that has not left.

use super::{books, slow};
use crate::support::stores::on_both;
use crate::support::world::World;
use winback::dispatch::sweep::cancel;
use winback::model::run::RunState;

#[tokio::test(flavor = "multi_thread")]
async fn a_paused_run_sends_nothing_new_and_a_resumed_one_sends_the_rest() {
    on_both(async |bench| {
        let mut world = World::new(bench, 40, |_| {}).await;
        slow(&mut world);
        let daemon = world.daemon().await;
        let (_, run) = world.launch(bench, "comeback", "").await;
        world.until(bench, &run, |s| s.accepted >= 3).await;
        let running = bench.run(run.id).await.unwrap().unwrap();
        assert!(bench.set_run_state(&running, RunState::Paused, world.clock.now()).await.unwrap());
        world.until(bench, &run, |s| s.submitting == 0 && s.open_receipts == 0).await;
        let sent = world.ledger().len();
        assert!(sent < 40, "paused in the middle");
        tokio::time::sleep(std::time::Duration::from_millis(1_500)).await;
        assert_eq!(world.ledger().len(), sent, "nothing leaves while it is paused");
        let paused = bench.run(run.id).await.unwrap().unwrap();
        assert_eq!(paused.state, RunState::Paused, "a run with work left does not end");
        bench.set_run_state(&paused, RunState::Running, world.clock.now()).await.unwrap();
        let status = world.finished(bench, &run).await;
        assert_eq!((status.accepted, world.ledger().len()), (40, 40));
        assert!(daemon.stop().await);
        world.end().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_run_keeps_what_left_withdraws_the_rest_and_gives_the_codes_back() {
    on_both(async |bench| {
        // Most of what is on the wire comes back throttled after the cancellation: it must not lie around either.
        let mut world = World::new(bench, 60, |simulator| {
            simulator.failures.throttled = 0.8;
            simulator.latency =
                winback::simulator::config::Curve::constant(std::time::Duration::from_millis(700));
        })
        .await;
        world.config.routes.get_mut("sim").unwrap().in_flight = 12;
        let daemon = world.daemon().await;
        let (_, run) = world.launch(bench, "comeback", "").await;
        world.until(bench, &run, |s| s.submitting >= 12).await;
        let running = bench.run(run.id).await.unwrap().unwrap();
        bench.set_run_state(&running, RunState::Cancelling, world.clock.now()).await.unwrap();
        let cancelling = bench.run(run.id).await.unwrap().unwrap();
        cancel(bench, &cancelling, world.clock.now()).await.unwrap();
        let status = world.finished(bench, &run).await;
        assert_eq!((status.state, status.waiting, status.submitting), ("cancelled", 0, 0), "{status:?}");
        assert_eq!(status.accepted + status.withdrawn, 60);
        assert!(status.withdrawn > 0);
        let audit = world.audit(bench, &run).await;
        assert!(audit.agrees(), "{audit:?}");
        let sent = status.accepted;
        assert_eq!(
            books(bench).await,
            format!("available {} reserved 0 sent {sent} quarantined 0", 70 - sent)
        );
        assert_eq!(status.spent, status.cost, "the money of what came back is not spent");
        assert!(daemon.stop().await);
        world.end().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_budget_is_never_exceeded_by_one_part_and_the_rest_gives_its_codes_back() {
    on_both(async |bench| {
        let world = World::new(bench, 50, |_| {}).await;
        let (_, run) = world.launch(bench, "comeback", "limits = { budget = \"0.50 USD\" }").await;
        // The plan fits its budget; prices that rise after it do not make it spend more.
        bench.sql().await.run("UPDATE messages SET price = 30000").await;
        let daemon = world.daemon().await;
        let status = world.finished(bench, &run).await;
        assert_eq!((status.accepted, status.dispatch.get("blocked")), (16, Some(&34)), "{status:?}");
        assert_eq!((status.spent.0, world.ledger().len()), (480_000, 16));
        assert_eq!(books(bench).await, "available 44 reserved 0 sent 16 quarantined 0");
        assert!(daemon.stop().await);
        world.end().await;
    })
    .await;
}

//! From launch to receipt through a real daemon, real sockets and the simulator's ledger, on both databases.

mod control;
mod damage;
mod doubt;
mod doubt_bars;
mod doubt_called_off;
mod doubt_cancelled;
mod doubt_ladder;
mod failures;
mod late;
mod planning;
mod process;
mod proof;
pub(crate) mod resolve;
mod restore;
mod retention;
mod stop;
mod supervision;
mod upkeep;

use winback::dispatch::pace::Limit;
use winback::store::Store;

use crate::support::stores::on_both;
use crate::support::world::World;

/// Coupon codes of a pool by state.
async fn books(store: &Store) -> String {
    let pool = store.pool("autumn").await.unwrap().unwrap();
    let c = store.pool_counts(pool.id).await.unwrap();
    format!("available {} reserved {} sent {} quarantined {}", c.available, c.reserved, c.sent, c.quarantined)
}

/// Ten a second, so that a run is still going when the test acts.
fn slow(world: &mut World) {
    let route = world.config.routes.get_mut("sim").unwrap();
    route.limits.account = Some(Limit { parts_per_second: 10.0, burst: 1 });
}

#[tokio::test(flavor = "multi_thread")]
async fn everybody_planned_gets_one_text_and_the_ledger_agrees() {
    on_both(async |bench| {
        let world = World::new(bench, 300, |_| {}).await;
        let daemon = world.daemon().await;
        let (plan, run) = world.launch(bench, "comeback", "").await;
        assert_eq!((plan.audience, plan.messages), (300, 300));
        let status = world.finished(bench, &run).await;
        assert_eq!((status.accepted, status.delivered, status.in_doubt, status.failed), (300, 300, 0, 0));
        let audit = world.audit(bench, &run).await;
        assert!(audit.agrees() && audit.accepted == 300, "{audit:?}");
        assert_eq!(books(bench).await, "available 10 reserved 0 sent 300 quarantined 0");
        assert_eq!(status.spent, status.cost);
        assert!(daemon.stop().await, "nothing is left under way");
        world.end().await;
    })
    .await;
}

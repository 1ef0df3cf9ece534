//! A gateway that is spoken to in queries: the definition that comes along against the simulator, receipts and audit
//! included.

use winback::config::secrets::SecretSource;

use super::{Provider, audit};
use crate::support::stores::Bench;
use crate::support::world::World;

#[tokio::test(flavor = "multi_thread")]
async fn a_route_to_a_gateway_is_rehearsed_down_to_its_receipts() {
    let bench = Bench::sqlite().await;
    let mut world = World::new(&bench, 60, |_| {}).await;
    let provider = Provider::start(&mut world, "calm", 7);
    let key = SecretSource::File(world.folder.path().join("key"));
    let route = world.config.routes.get_mut("sim").expect("the route");
    "kannel".clone_into(&mut route.provider);
    route.secrets = [("username".to_owned(), key.clone()), ("password".to_owned(), key)].into();
    route.allow_http = true;
    let daemon = world.daemon().await;
    let (_, run) = world.launch(&bench, "comeback", "").await;
    let status = world.until(&bench, &run, |s| s.state == "finished" && s.open_receipts == 0).await;
    assert_eq!((status.accepted, status.delivered), (60, 60));
    assert!(daemon.stop().await, "nothing is left under way");
    let ledger = provider.ledger.clone();
    let stats = provider.finish();
    assert_eq!((&stats["credentials"], &stats["bad_request"]), (&0.into(), &0.into()));
    let (code, audit) = audit(world.folder.path(), &ledger, bench.url(), &[]);
    assert_eq!((code, &audit["accepted"]), (Some(0), &60.into()), "{audit:#}");
    world.end().await;
}

//! A daemon of which one part has died: it says so, ends, and the next one goes on.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::support::calls::Caller;
use crate::support::gate::Gate;
use crate::support::stores::on_both;
use crate::support::world::World;
use winback::daemon::Daemon;
use winback::model::clock::{Clock, Moment, Timestamp};

/// A clock whose one reading panics once it is broken; only lanes read both times at once.
#[derive(Debug)]
struct Fragile {
    sound: Arc<dyn Clock>,
    broken: AtomicBool,
}

impl Clock for Fragile {
    fn now(&self) -> Timestamp {
        self.sound.now()
    }

    fn elapsed(&self) -> Duration {
        self.sound.elapsed()
    }

    fn moment(&self) -> Moment {
        assert!(!self.broken.load(Ordering::SeqCst), "a lane that panics on purpose");
        self.sound.moment()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lane_that_panics_ends_the_daemon_and_the_next_one_sends_the_rest() {
    on_both(async |bench| {
        let mut world = World::new(bench, 20, |_| {}).await;
        super::slow(&mut world);
        let clock = Arc::new(Fragile { sound: Arc::clone(&world.clock), broken: AtomicBool::new(false) });
        let daemon = Daemon::start(&world.config, Arc::clone(&clock) as Arc<dyn Clock>).await.unwrap();
        let (_, run) = world.launch(bench, "comeback", "").await;
        world.until(bench, &run, |s| s.accepted > 0).await;
        let caller = Caller::new(&daemon, &world.clock);
        assert_eq!(caller.get("/readyz").await.status, 200);
        clock.broken.store(true, Ordering::SeqCst);
        let told = tokio::time::timeout(Duration::from_secs(30), daemon.failed()).await;
        assert_eq!(told.expect("it is noticed"), "the lane of route `sim` panicked");
        let ready = caller.get("/readyz").await;
        assert_eq!((ready.status, ready.body.as_str()), (503, "a task has failed; the daemon is ending\n"));
        assert!(!daemon.stop().await, "a daemon that failed did not end well");
        let reopened = world.beside().await;
        let ended = "UPDATE messages SET lease_until = 0 WHERE dispatch IN ('claimed', 'submitting')";
        bench.sql().await.run(ended).await;
        let daemon = world.daemon().await;
        let status = world.until(&reopened, &run, |s| s.state == "finished").await;
        assert_eq!(status.accepted + status.in_doubt, 20, "{status:?}");
        assert!(daemon.stop().await);
        reopened.close().await;
        world.end().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_that_was_asked_to_stop_is_not_ready_any_more_and_finishes_what_is_under_way() {
    on_both(async |bench| {
        let mut world = World::new(bench, 1, |_| {}).await;
        let settings = &mut world.config.routes.get_mut("sim").unwrap().settings;
        let mut gate = Gate::before(&settings["base_url"]).await;
        settings.insert("base_url".to_owned(), gate.url.clone());
        gate.shut();
        let daemon = world.daemon().await;
        let caller = Caller::new(&daemon, &world.clock);
        let (_, run) = world.launch(bench, "comeback", "").await;
        gate.holds().await;
        assert_eq!(caller.get("/readyz").await.status, 200);
        let reopened = world.beside().await;
        let stopped = tokio::spawn(daemon.stop());
        let ready = tokio::time::timeout(Duration::from_secs(30), async {
            loop {
                let ready = caller.get("/readyz").await;
                if ready.status != 200 {
                    return ready;
                }
                tokio::task::yield_now().await;
            }
        });
        let ready = ready.await.expect("it says so while a text is on the wire");
        assert_eq!((ready.status, ready.body.as_str()), (503, "the daemon is stopping\n"));
        assert_eq!(caller.get("/healthz").await.status, 200, "and takes calls");
        gate.open();
        assert!(stopped.await.unwrap());
        assert_eq!(world.until(&reopened, &run, |_| true).await.accepted, 1);
        reopened.close().await;
        world.end().await;
    })
    .await;
}

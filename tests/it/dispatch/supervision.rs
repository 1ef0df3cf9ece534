//! A daemon of which one part has died: it says so, ends, and the next one goes on.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::support::calls::Caller;
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

//! A run that is cancelled while its provider is being asked about messages of it: each ends by what happened to it, and
//! none is sent again.

use std::time::Duration;

use super::books;
use super::doubt_ladder::{LOOKUP, copies, leave, silent};
use super::proof::{PRICE, wrong};
use crate::support::gate::Gate;
use crate::support::hand::{claim, intend};
use crate::support::stores::{Bench, on_both};
use crate::support::world::World;
use winback::dispatch::sweep::cancel;
use winback::model::run::{Run, RunState};

/// As `winback run cancel` does it.
pub(super) async fn cancel_now(bench: &Bench, world: &World, run: &Run) {
    let running = bench.run(run.id).await.unwrap().unwrap();
    assert!(bench.set_run_state(&running, RunState::Cancelling, world.clock.now()).await.unwrap());
    let cancelling = bench.run(run.id).await.unwrap().unwrap();
    cancel(bench, &cancelling, world.clock.now()).await.unwrap();
}

/// Waits until the provider has answered about everything once.
async fn all_asked(bench: &Bench) {
    let waited = tokio::time::timeout(Duration::from_mins(1), async {
        while bench.lines("SELECT count(*) FROM inquiries WHERE looks > 0").await != ["2"] {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    });
    waited.await.expect("the provider is asked");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_is_cancelled_while_its_messages_are_looked_up_sends_none_of_them_again() {
    on_both(async |bench| {
        // The first question about both is under way, or the second about what the first did not find.
        for second in [false, true] {
            let bench = if bench.path().is_some() { Bench::sqlite().await } else { Bench::postgres().await };
            let mut world = World::new(&bench, 2, silent).await;
            world.asked(LOOKUP);
            let (_, run) = world.launch(&bench, "comeback", "when_in_doubt = \"resend\"").await;
            let held = claim(&bench, &world, "dead", 2).await;
            assert_eq!(intend(&bench, &world, "dead", &held).await.0, 2);
            leave(&bench, &world, &held[0]).await;
            bench.sql().await.run("UPDATE messages SET lease_until = 0").await;
            let settings = &mut world.config.routes.get_mut("sim").unwrap().settings;
            let mut gate = Gate::before(&settings["base_url"]).await;
            settings.insert("base_url".to_owned(), gate.url.clone());
            if !second {
                gate.shut();
            }
            let daemon = world.daemon().await;
            if second {
                all_asked(&bench).await;
                gate.shut();
            }
            gate.holds().await;
            cancel_now(&bench, &world, &run).await;
            gate.open();
            let done = |s: &winback::report::status::Status| s.accepted == 1 && s.failed == 1;
            let status = world.until(&bench, &run, |s| done(s) && s.state == "cancelled").await;
            assert_eq!((status.in_doubt, status.possible_duplicates), (0, 0), "{status:?}");
            assert_eq!(status.spent.0, PRICE, "the one that was taken");
            assert_eq!(copies(&world), [1]);
            assert_eq!(bench.lines("SELECT last_number FROM messages").await, ["1", "1"]);
            assert_eq!(books(&bench).await, "available 11 reserved 0 sent 1 quarantined 0");
            assert_eq!(wrong(&bench).await, Vec::<&str>::new());
            assert!(daemon.stop().await);
            world.end().await;
        }
    })
    .await;
}

//! A store that comes back from a backup texts nobody twice, whatever was sent since.

use std::path::Path;
use std::time::Duration;

use super::books;
use crate::support::hand::{claim, intend, received, reference_of, report};
use crate::support::stores::{Bench, on_both};
use crate::support::world::World;
use winback::daemon::Daemon;
use winback::dispatch::resolve::{Decider, resolve};
use winback::model::clock::Timestamp;
use winback::model::delivery::Delivery;
use winback::model::ids::MessageId;
use winback::model::message::Verdict;
use winback::model::run::RunState;
use winback::simulator::config::Curve;
use winback::store::backup::restore;
use winback::store::coupons::NewCode;
use winback::store::restore::{Assured, Restored};
use winback::store::{Store, StoreError};

const KNOWS: Assured = Assured { nothing_sent: true, nothing_launched: true };

async fn sound(store: &Store) {
    let findings = store.check().await.unwrap();
    let wrong: Vec<_> = findings.iter().filter(|finding| finding.problem.is_some()).collect();
    assert!(wrong.is_empty(), "{wrong:?}");
}

async fn brought_back(world: &World, file: &Path, to: &Path, assured: Assured) -> (Restored, Store) {
    let restored =
        restore(file, to, "back", assured, world.clock.now()).await.unwrap_or_else(|e| panic!("{e}"));
    (restored, Store::open(&format!("sqlite:{}", to.display())).await.unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_made_while_sending_brings_nobody_a_second_text() {
    let bench = Bench::sqlite().await;
    let mut world = World::new(&bench, 300, |simulator| {
        simulator.latency = Curve::constant(Duration::from_millis(100));
    })
    .await;
    let daemon = world.daemon().await;
    let (_, run) = world.launch(&bench, "comeback", "when_in_doubt = \"resend\"").await;
    world.until(&bench, &run, |s| s.accepted > 40).await;
    let file = world.folder.path().join("backup.db");
    bench.backup(&file, false, world.clock.now()).await.unwrap();
    world.until(&bench, &run, |s| s.accepted > 150).await;
    assert!(daemon.stop().await);
    let sent = world.ledger().len();
    assert!(sent > 150, "{sent}");

    let place = world.folder.path().join("elsewhere.db");
    let (restored, store) = brought_back(&world, &file, &place, Assured::default()).await;
    assert_eq!(restored.paused, 1);
    assert!(restored.in_doubt > 0, "{restored:?}");
    world.config.store.url = format!("sqlite:{}", place.display());
    world.config.dispatch.resend_after = Duration::from_millis(1);
    world.config.dispatch.park_after = Duration::from_millis(1);
    sound(&store).await;
    let run = store.run(run.id).await.unwrap().unwrap();
    assert!(store.set_run_state(&run, RunState::Running, world.clock.now()).await.unwrap(), "resumed");
    let daemon = world.daemon().await;
    // Sweeps and lanes have had their turn when the run has ended.
    let status = world.until(&store, &run, |s| s.state == "finished").await;
    assert_eq!(world.ledger().len(), sent, "nothing went out again: {status:?}");
    assert_eq!(status.accepted + status.in_doubt, 300, "{status:?}");
    let audit = world.audit(&store, &run).await;
    assert!(audit.agrees() && audit.accepted > 40, "{audit:?}");

    // A person may send one again; it goes out under a reference that nobody had before.
    let doubt = store.doubts((run.id, MessageId(0)), run.id, 1).await.unwrap().remove(0);
    let decider = Decider { by: "test", reason: None };
    let told =
        resolve(&store, &[doubt.message.id], Verdict::Resend, decider, world.clock.now()).await.unwrap();
    assert_eq!(told.changed.len(), 1, "{told:?}");
    world.until(&store, &run, |s| s.state == "finished" && s.in_doubt == status.in_doubt - 1).await;
    let ledger = world.ledger();
    assert_eq!(ledger.len(), sent + 1);
    assert!(ledger[sent].reference.starts_with("back-"), "{}", ledger[sent].reference);
    assert!(world.audit(&store, &run).await.agrees());
    assert!(daemon.stop().await);
    store.close().await;
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_not_due_yet_waits_and_what_a_person_vouches_for_goes_out_once() {
    let bench = Bench::sqlite().await;
    let mut world = World::new(&bench, 60, |_| {}).await;
    let pool = bench.pool("autumn").await.unwrap().unwrap();
    let codes: Vec<NewCode> =
        (0..60).map(|n| NewCode { code: format!("MORE{n:06}"), expires_at: None }).collect();
    bench.add_codes(pool.id, &codes, world.clock.now()).await.unwrap();
    let (_, now) = world.launch(&bench, "now", "").await;
    let (_, later) = world.launch(&bench, "later", "schedule = { at = \"2018-01-05 12:00\" }").await;
    let held = claim(&bench, &world, "lost", 10).await;
    assert_eq!(intend(&bench, &world, "lost", &held[..2]).await.0, 2);
    let file = world.folder.path().join("backup.db");
    bench.backup(&file, false, world.clock.now()).await.unwrap();

    let place = world.folder.path().join("one.db");
    let (restored, store) = brought_back(&world, &file, &place, Assured::default()).await;
    assert_eq!((restored.in_doubt, restored.were_in_doubt, restored.waiting), (58, 2, 60), "{restored:?}");
    assert_eq!((restored.paused, restored.codes), (2, 10), "codes nobody had may have been given out");
    for run in [now.id, later.id] {
        assert_eq!(store.run(run).await.unwrap().unwrap().state, RunState::Paused);
    }
    sound(&store).await;
    store.close().await;

    let place = world.folder.path().join("two.db");
    let (restored, store) = brought_back(&world, &file, &place, KNOWS).await;
    assert_eq!((restored.in_doubt, restored.were_in_doubt, restored.waiting), (0, 2, 118), "{restored:?}");
    assert_eq!(restored.codes, 0);
    sound(&store).await;
    world.config.store.url = format!("sqlite:{}", place.display());
    let daemon = world.daemon().await;
    let run = store.run(now.id).await.unwrap().unwrap();
    assert!(store.set_run_state(&run, RunState::Running, world.clock.now()).await.unwrap());
    let status = world.finished(&store, &run).await;
    assert_eq!((status.accepted, status.in_doubt, world.ledger().len()), (58, 2, 58), "{status:?}");
    assert!(world.audit(&store, &run).await.agrees());
    assert!(daemon.stop().await);
    store.close().await;
    world.end().await;
}

#[tokio::test]
async fn what_came_back_in_doubt_is_told_as_in_doubt_when_it_comes_back_again() {
    on_both(async |bench| {
        let world = World::new(bench, 2, |_| {}).await;
        world.launch(bench, "comeback", "").await;
        let held = claim(bench, &world, "lost", 1).await;
        assert_eq!(intend(bench, &world, "lost", &held).await.0, 1);
        for (tag, wanted) in [("once", (1, 1)), ("again", (0, 2))] {
            let restored = bench.come_back(tag, Assured::default(), world.clock.now()).await.unwrap();
            assert_eq!((restored.in_doubt, restored.were_in_doubt), wanted, "{tag}: {restored:?}");
        }
        world.end().await;
    })
    .await;
}

#[tokio::test]
async fn receipts_under_old_references_are_joined_and_new_ones_never_meet_them() {
    on_both(async |bench| {
        let world = World::new(bench, 8, |_| {}).await;
        let (_, run) = world.launch(bench, "comeback", "").await;
        let held = claim(bench, &world, "lost", 5).await;
        assert_eq!(intend(bench, &world, "lost", &held[..2]).await.0, 2);
        let restored = bench.come_back("back", Assured::default(), world.clock.now()).await.unwrap();
        assert_eq!((restored.in_doubt, restored.were_in_doubt, restored.paused), (6, 2, 1), "{restored:?}");
        assert_eq!(books(bench).await, "available 0 reserved 0 sent 0 quarantined 8");
        let store = world.beside().await;
        assert_eq!((store.tag(), store.named_by("test-5-2")), ("back", Some((MessageId(5), 2))));
        sound(&store).await;

        let state = async |id: MessageId| {
            bench.lines(&format!("SELECT dispatch, delivery FROM messages WHERE id = {id}")).await.remove(0)
        };
        let on_wire = reference_of(bench, &held[0], 1);
        let report = |id, reference: &str| report(id, Some(reference), None, Delivery::Delivered);
        received(&store, &world, report(1, &on_wire)).await;
        assert_eq!(state(held[0].id).await, "accepted|delivered");
        // Claimed at the time of the backup, sent and throttled and sent again since.
        let retried = reference_of(bench, &held[4], 3);
        received(&store, &world, report(2, &retried)).await;
        assert_eq!(state(held[4].id).await, "accepted|delivered");
        // Of a message that the backup does not know.
        let kept = received(&store, &world, report(3, "test-zz-1")).await;
        assert_eq!((kept.matched, kept.parked), (0, 1));

        // Sent again by decision: the old reference with the same number is not this attempt's.
        let decider = Decider { by: "test", reason: None };
        let run = store.run(run.id).await.unwrap().unwrap();
        assert!(store.set_run_state(&run, RunState::Running, world.clock.now()).await.unwrap());
        resolve(&store, &[held[3].id], Verdict::Resend, decider, world.clock.now()).await.unwrap();
        let again = claim(&store, &world, "new", 5).await;
        assert_eq!(again.len(), 1);
        assert_eq!(intend(&store, &world, "new", &again).await.0, 1);
        received(&store, &world, report(4, &reference_of(bench, &held[3], 2))).await;
        let joined = format!("SELECT number FROM receipts WHERE message_id = {}", held[3].id);
        assert_eq!(bench.lines(&joined).await, ["1"]);
        assert_eq!(books(bench).await, "available 0 reserved 0 sent 2 quarantined 6");
        sound(&store).await;
        store.close().await;
        world.end().await;
    })
    .await;
}

#[tokio::test]
async fn a_launch_in_the_middle_is_withdrawn_and_may_be_made_again_only_if_it_cannot_have_sent_anything() {
    on_both(async |bench| {
        let world = World::new(bench, 4, |_| {}).await;
        let (_, due) = world.launch(bench, "due", "").await;
        let (_, later) = world.launch(bench, "later", "schedule = { at = \"2018-01-05 12:00\" }").await;
        bench.sql().await.run("UPDATE runs SET state = 'preparing'").await;
        let restored = bench.come_back("back", Assured::default(), world.clock.now()).await.unwrap();
        assert_eq!((restored.withdrawn, restored.in_doubt, restored.paused), (2, 4, 0), "{restored:?}");
        let store = world.beside().await;
        for (run, repeatable) in [(&due, false), (&later, true)] {
            let known = store.run_by_key(&run.terms.launch_key).await.unwrap();
            assert_eq!(known.is_none(), repeatable, "{}", run.terms.campaign);
            let run = store.run(run.id).await.unwrap().unwrap();
            assert_eq!(run.state, RunState::Cancelling);
            let withdrawn = winback::dispatch::sweep::cancel(&store, &run, world.clock.now()).await.unwrap();
            assert_eq!(withdrawn.messages, if repeatable { 4 } else { 0 });
        }
        sound(&store).await;
        store.close().await;
        world.end().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_is_no_store_and_never_takes_the_place_of_one() {
    let bench = Bench::sqlite().await;
    let mut world = World::new(&bench, 5, |_| {}).await;
    let file = world.folder.path().join("backup.db");
    bench.backup(&file, false, world.clock.now()).await.unwrap();
    let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&file).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600);
    let told = |error: Option<StoreError>| error.expect("refused").to_string();
    let twice = told(bench.backup(&file, false, world.clock.now()).await.err());
    assert!(twice.contains("--replace"), "{twice}");
    bench.backup(&file, true, world.clock.now()).await.unwrap();

    let copied = world.folder.path().join("copied.db");
    std::fs::copy(&file, &copied).unwrap();
    world.config.store.url = format!("sqlite:{}", copied.display());
    let daemon = Daemon::start(&world.config, world.clock.clone()).await;
    let error = format!("{:#}", daemon.expect_err("a daemon works on no backup"));
    assert!(error.contains("winback store restore"), "{error}");

    let now = world.clock.now();
    let try_on = async |from: &Path, to: &Path| told(restore(from, to, "back", KNOWS, now).await.err());
    let full = try_on(&file, bench.path().unwrap()).await;
    assert!(full.contains("something in it"), "{full}");
    let place = world.folder.path().join("place.db");
    let empty = Store::create(&format!("sqlite:{}", place.display()), "else").await.unwrap();
    let lock = empty.lock_daemon(now).await.unwrap();
    let locked = try_on(&file, &place).await;
    assert!(locked.contains("another daemon"), "{locked}");
    lock.free().await;
    empty.close().await;
    let mut broken = std::fs::read(&file).unwrap();
    let middle = broken.len() / 2;
    broken[middle..].fill(7);
    let damaged = world.folder.path().join("damaged.db");
    std::fs::write(&damaged, &broken).unwrap();
    let before = std::fs::read(&place).unwrap();
    let refused = try_on(&damaged, &place).await;
    assert!(refused.contains("damaged.db is no whole backup"), "{refused}");
    std::fs::write(&damaged, "").unwrap();
    let refused = try_on(&damaged, &place).await;
    assert!(refused.contains("holds no store"), "{refused}");
    assert_eq!(std::fs::read(&place).unwrap(), before, "the place is as it was");
    let (_, store) = brought_back(&world, &file, &place, KNOWS).await;
    assert_eq!(store.contact_count().await.unwrap(), 5);
    let left = std::fs::read_dir(world.folder.path()).unwrap();
    let left: Vec<_> = left.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    assert!(!left.iter().any(|name| name.contains(".part")), "nothing is left over: {left:?}");
    store.close().await;
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_comes_back_again_is_as_it_was_at_the_newest_moment_that_it_knows() {
    let bench = Bench::sqlite().await;
    let back = async |tag: &str, now: i64, assured: Assured| {
        bench.come_back(tag, assured, Timestamp(now)).await.unwrap().made_at.map(|at| at.0)
    };
    assert_eq!(back("aaaa", 5_000, Assured::default()).await, None, "it knows nothing");
    assert_eq!(back("bbbb", 7_000, Assured::default()).await, Some(5_000), "when it came back");
    bench.sql().await.run(IMPORTED).await;
    assert_eq!(back("cccc", 9_000, KNOWS).await, Some(8_000), "what was imported since");
    // Nobody has vouched for the launches before it came back the first time.
    let returned = bench.returned().await.unwrap().expect("it came back");
    assert_eq!((returned.at.0, returned.made_at.0, returned.launches_known), (9_000, 5_000, false));
}

/// A contact as an import writes it.
const IMPORTED: &str = "INSERT INTO contacts (phone, number_kind, created_at, updated_at) VALUES (12125550123, 'mobile', 1, 8000)";

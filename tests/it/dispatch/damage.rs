//! A damaged store is noticed before anything is sent from it, or nothing wrong is sent.

use std::path::{Path, PathBuf};

use crate::support::sql::Sql;
use crate::support::stores::Bench;
use crate::support::world::{World, phone};
use winback::daemon::Daemon;
use winback::model::suppression::Reason;
use winback::store::suppressions::{EVERY_SENDER, NewSuppression};
use winback::store::{Store, StoreError};

const WHOLE: u64 = u64::MAX;

/// A world with a launched run and some who said STOP, and its store as one closed file.
async fn closed() -> (World, PathBuf, Vec<u8>) {
    let bench = Bench::sqlite().await;
    let world = World::new(&bench, 40, |_| {}).await;
    let stops: Vec<NewSuppression> = (1_000..1_200)
        .map(|n| NewSuppression {
            phone: phone(n),
            scope: EVERY_SENDER.to_owned(),
            reason: Reason::Stop,
            source: "test".to_owned(),
        })
        .collect();
    bench.suppress(&stops, world.clock.now()).await.unwrap();
    world.launch(&bench, "comeback", "").await;
    let file = world.folder.path().join("store.db");
    bench.close().await;
    let bytes = std::fs::read(bench.path().unwrap()).unwrap();
    (world, file, bytes)
}

/// Everything that decides who is texted what.
async fn content(path: &Path) -> Vec<String> {
    let mut sql = Sql::open(&format!("sqlite:{}", path.display())).await;
    let mut lines = sql.lines("SELECT id, phone, body, dispatch, window_id FROM messages ORDER BY id").await;
    lines.extend(sql.lines("SELECT phone, scope, lifted_at FROM suppressions ORDER BY phone").await);
    lines.extend(sql.lines("SELECT id, state, starts_at, expires_at FROM runs ORDER BY id").await);
    lines
}

async fn judge(path: &Path, whole: u64) -> Result<(), StoreError> {
    let store = Store::open(&format!("sqlite:{}", path.display())).await?;
    let judged = store.check_before_sending(whole).await;
    store.close().await;
    judged
}

fn write(path: &Path, bytes: &[u8]) {
    for end in ["-wal", "-shm"] {
        let _ = std::fs::remove_file(format!("{}{end}", path.display()));
    }
    std::fs::write(path, bytes).unwrap();
}

#[tokio::test]
async fn every_broken_page_is_noticed_or_changes_nothing_that_is_sent() {
    let (world, path, bytes) = closed().await;
    write(&path, &bytes);
    judge(&path, WHOLE).await.expect("a sound store is sound");
    let sound = content(&path).await;
    let page = usize::from(u16::from_be_bytes([bytes[16], bytes[17]]));
    assert_eq!(page, 4_096);
    let (mut noticed, mut harmless) = (0, Vec::new());
    for at in 0..bytes.len() / page {
        // Kind of page, number of cells, where they begin. The first page begins with the header of the file.
        for place in [0, 4, 6] {
            let mut broken = bytes.clone();
            let begin = at * page + if at == 0 { 100 } else { 0 };
            broken[begin + place] ^= 0x55;
            write(&path, &broken);
            if judge(&path, WHOLE).await.is_err() {
                noticed += 1;
                continue;
            }
            assert_eq!(content(&path).await, sound, "page {at}, octet {place}");
            harmless.push((at, place));
        }
    }
    assert!(noticed > harmless.len() * 9, "{noticed} noticed, harmless: {harmless:?}");
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_refuses_a_damaged_store_and_sends_nothing_from_it() {
    let (mut world, path, bytes) = closed().await;
    world.config.store.url = format!("sqlite:{}", path.display());
    let mut sql = {
        write(&path, &bytes);
        Sql::open(&world.config.store.url).await
    };
    let root = sql.lines("SELECT rootpage FROM sqlite_master WHERE name = 'suppressions_in_force'").await;
    drop(sql);
    let root = (root[0].parse::<usize>().unwrap() - 1) * 4_096;
    let changed = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = bytes.clone();
        change(&mut bytes);
        bytes
    };
    let half = bytes.len() / 2;
    let damages: [(&str, Vec<u8>, u64); 6] = [
        ("cut in half", changed(&|b| b.truncate(half)), 0),
        ("a page short", changed(&|b| b.truncate(b.len() - 4_096)), 0),
        ("no database", changed(&|b| b[..16].fill(0)), 0),
        ("empty", Vec::new(), 0),
        ("who said STOP", changed(&|b| b[root + 3..root + 5].fill(0)), 0),
        ("zeroes in the middle", changed(&|b| b[half..half + 20_000].fill(0)), WHOLE),
    ];
    for (name, broken, whole) in damages {
        write(&path, &broken);
        let told = judge(&path, whole).await.map_or_else(|error| error.to_string(), |()| String::new());
        assert!(!told.is_empty(), "{name}: not noticed");
        write(&path, &broken);
        let daemon = Daemon::start(&world.config, world.clock.clone()).await;
        let error = format!("{:#}", daemon.expect_err(name));
        let way_out = "restore the last backup";
        assert!(error.contains(way_out), "{name}: {error}");
    }
    assert!(world.ledger().is_empty());
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_of_garbage_is_no_part_of_the_store() {
    let (mut world, path, bytes) = closed().await;
    write(&path, &bytes);
    let garbage: Vec<u8> = (0..100_000_u32).map(|n| n.wrapping_mul(2_654_435_761).to_be_bytes()[0]).collect();
    std::fs::write(format!("{}-wal", path.display()), garbage).unwrap();
    world.config.store.url = format!("sqlite:{}", path.display());
    let daemon = world.daemon().await;
    let store = Store::open(&world.config.store.url).await.unwrap();
    let run = store.recent_runs(1).await.unwrap().remove(0);
    let status = world.finished(&store, &run).await;
    assert_eq!((status.accepted, world.ledger().len()), (40, 40), "{status:?}");
    assert!(world.audit(&store, &run).await.agrees());
    assert!(daemon.stop().await);
    store.close().await;
    world.end().await;
}

//! `kill -9` at instants that nobody chose, at the Nth sync of the file, and again and again.

use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use super::life::strace;
use super::stand::{Stand, WINDOW};
use super::{named, seed};
use crate::support::postgres;

/// Kills on one file, and on one server.
const KILLS: u64 = 24;
const KILLS_ON_A_SERVER: u64 = 6;

async fn killed_at_random(url: Option<&str>, kills: u64) {
    let seed = seed("random kills");
    let mut rng = StdRng::seed_from_u64(seed);
    let stand = Stand::new(url, 1_500, &["--reply", "STOP=0.1", "--latency-ms", "5", "40"]).await;
    stand.launch();
    stand.config(100, "");
    for _ in 0..kills {
        let life = stand.daemon("");
        tokio::time::sleep(Duration::from_millis(rng.random_range(30..1_000))).await;
        life.kill();
    }
    assert!(stand.messages("planned queued claimed").await > 0, "there was always something to do");
    let audited = stand.finish(WINDOW * kills.cast_signed()).await;
    println!("seed={seed}: {kills} kills, audit {}", audited.audit);
}

#[tokio::test(flavor = "multi_thread")]
async fn kills_at_random_instants_lose_nothing_and_repeat_nothing() {
    killed_at_random(None, named("kills").unwrap_or(KILLS)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn on_a_server_kills_at_random_instants_lose_nothing_and_repeat_nothing() {
    killed_at_random(Some(&postgres::empty_database().await), named("kills").unwrap_or(KILLS_ON_A_SERVER))
        .await;
}

/// The kernel ends the process inside the call, before the disk has answered.
#[tokio::test(flavor = "multi_thread")]
async fn a_kill_inside_any_of_the_first_syncs_loses_nothing_and_repeats_nothing() {
    let Some(strace) = strace() else { return };
    let stand = Stand::new(None, 500, &["--reply", "STOP=0.1"]).await;
    stand.launch();
    stand.config(300, "");
    let syncs = [1, 2, 3, 4, 5, 6, 8, 11, 15, 20];
    for when in syncs {
        let inject = format!("inject=fsync,fdatasync:signal=KILL:when={when}");
        let mut life = stand.daemon_under(&[&strace[..], &["-e", &inject]].concat(), "");
        let ended = life.wait();
        let signal = std::os::unix::process::ExitStatusExt::signal(&ended);
        assert_eq!(signal, Some(9), "sync {when}: {ended}\n{}", life.log());
    }
    let audited = stand.finish(WINDOW * i64::try_from(syncs.len()).expect("few")).await;
    println!("{} kills inside a sync, audit {}", syncs.len(), audited.audit);
}

//! What a disk and its other users do: a lock held for seconds, no room, no right to write, a sync that fails.

use std::time::Duration;

use super::life::{Life, strace};
use super::mount::Mount;
use super::stand::{Stand, WINDOW};
use crate::support::sql::Sql;

/// What the daemon says when it cannot write, and when it can again.
const STOPS: &str = "sending stops until the store can be written again";
const GOES_ON: &str = "sending goes on";

/// Waits until sending has stopped, lets the wire run dry and a little longer, and sees that nothing more went out.
async fn stays_stopped(stand: &Stand, life: &mut Life) {
    stand.until("the last answers", life, async || stand.wire_is_dry().await).await;
    let before = stand.taken();
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    assert_eq!(stand.taken(), before, "nothing is sent that cannot be written down");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lock_that_somebody_holds_for_seconds_costs_time_and_nothing_else() {
    let stand = Stand::new(None, 600, &["--latency-ms", "5", "20"]).await;
    stand.launch();
    stand.config(400, "");
    let mut life = stand.daemon("");
    for held in [1_000, 3_000] {
        let before = stand.taken();
        stand.until("texts on the wire", &mut life, async || stand.taken() > before + 50).await;
        let mut lock = Sql::open(&stand.url).await;
        lock.run("BEGIN IMMEDIATE").await;
        tokio::time::sleep(Duration::from_millis(held)).await;
        lock.run("ROLLBACK").await;
    }
    stand
        .until("the end", &mut life, async || stand.messages("planned queued claimed submitting").await == 0)
        .await;
    assert!(!life.log().contains(STOPS), "a lock is waited for: {}", life.log());
    life.kill();
    let audited = stand.finish(0).await;
    assert_eq!(audited.count("accepted"), 1_200, "{:#}", audited.audit);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_stops_sending_and_room_starts_it_again() {
    let Some(mount) = Mount::memory("size=64m") else { return };
    let stand = Stand::new(Some(&mount.url()), 500, &["--latency-ms", "5", "20"]).await;
    stand.launch();
    stand.config(300, "");
    let mut life = stand.daemon("");
    stand.until("texts on the wire", &mut life, async || stand.taken() > 50).await;
    let filler = mount.path().join("filler");
    Mount::fill(&filler);
    stand.until("the stop", &mut life, async || life_says(&stand, STOPS)).await;
    stays_stopped(&stand, &mut life).await;
    std::fs::remove_file(&filler).expect("removed");
    stand.until("room", &mut life, async || life_says(&stand, GOES_ON)).await;
    stand
        .until("the end", &mut life, async || stand.messages("planned queued claimed submitting").await == 0)
        .await;
    life.signal("TERM");
    assert!(life.wait().success(), "{}", life.log());
    let logs = stand.logs();
    let (told, stops) = (logs.matches("the store cannot be written").count(), logs.matches(STOPS).count());
    assert_eq!(told, stops, "each stop is told once, and not by each request that waits: {logs}");
    assert!(logs.matches("a sweep failed").count() <= stops, "{logs}");
    let audited = stand.finish(0).await;
    assert_eq!(audited.count("accepted"), 1_000, "{:#}", audited.audit);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_under_a_backup_is_told_as_the_place_it_is() {
    let Some(mount) = Mount::memory("size=300k") else { return };
    let stand = Stand::new(None, 1_500, &[]).await;
    let place = mount.path().join("kept.db");
    let refused = stand.run(&["store", "backup", &place.to_string_lossy()], "");
    let told = String::from_utf8_lossy(&refused.stderr);
    assert_eq!(refused.status.code(), Some(1), "{told}");
    let wanted = format!("no room is left on the disk of {}", place.display());
    assert!(told.contains(&wanted) && !told.contains("store answered"), "{told}");
    assert_eq!(std::fs::read_dir(mount.path()).expect("a folder").count(), 0, "nothing is left");
    stand.good(&["store", "check"]);
}

fn life_says(stand: &Stand, words: &str) -> bool {
    stand.logs().contains(words)
}

/// A limit on the size of a file ends a process that does not ignore its signal; ours is started with it ignored, as a
/// service manager would.
#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_may_not_grow_stops_sending_and_nothing_is_lost() {
    let stand = Stand::new(None, 500, &["--latency-ms", "5", "20"]).await;
    stand.launch();
    stand.config(300, "");
    let limit = "trap '' XFSZ; ulimit -f 500; exec \"$0\" \"$@\"";
    let mut life = stand.daemon_under(&["sh", "-c", limit], "");
    stand.until("the stop", &mut life, async || life_says(&stand, STOPS)).await;
    stays_stopped(&stand, &mut life).await;
    assert!(stand.messages("planned queued claimed").await > 0, "it was stopped in the middle");
    life.kill();
    stand.finish(WINDOW).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_may_not_be_written_starts_no_daemon_and_sends_nothing() {
    let Some(mount) = Mount::memory("size=16m") else { return };
    let stand = Stand::new(Some(&mount.url()), 100, &[]).await;
    stand.launch();
    mount.again("ro");
    let refused = stand.run(&["daemon"], "");
    let told = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && told.contains("store.db"), "{told}");
    assert_eq!(stand.taken(), 0);
    let ill = stand.run(&["doctor"], "");
    let told = String::from_utf8_lossy(&ill.stdout).into_owned();
    assert!(
        ill.status.code() == Some(1) && told.contains("cannot be written") && told.contains("read-only"),
        "{told} {ill:?}"
    );
    mount.again("rw");
    let audited = stand.finish(0).await;
    assert_eq!(audited.count("accepted"), 200, "{:#}", audited.audit);
}

/// A sync that failed once is not asked again: the kernel would say yes, and what it had dropped would be missing after a
/// power cut. The process ends, and the next one reads what is there.
#[tokio::test(flavor = "multi_thread")]
async fn a_sync_that_fails_once_ends_the_daemon_before_anything_more_is_sent() {
    let Some(strace) = strace() else { return };
    let stand = Stand::new(None, 500, &["--latency-ms", "5", "20"]).await;
    stand.launch();
    stand.config(300, "");
    let syncs = [1, 4, 9, 16];
    let mut before = 0;
    for when in syncs {
        let inject = format!("inject=fsync,fdatasync:error=EIO:when={when}");
        let mut life = stand.daemon_under(&[&strace[..], &["-e", &inject]].concat(), "");
        let ended = life.wait();
        let log = life.log();
        assert!(!ended.success() && log.contains("the disk did not confirm"), "sync {when}: {ended}\n{log}");
        let open = stand.messages("submitting").await;
        assert!(open <= before + WINDOW, "sync {when}: {open} are open, {before} were before");
        before = open;
    }
    let audited = stand.finish(WINDOW * i64::try_from(syncs.len()).expect("few")).await;
    println!("{} failed syncs, audit {}", syncs.len(), audited.audit);
}

/// A disk that takes a fifth of a second for each sync makes transactions larger, not wrong.
#[tokio::test(flavor = "multi_thread")]
async fn a_slow_disk_costs_time_and_nothing_else() {
    let Some(strace) = strace() else { return };
    let stand = Stand::new(None, 200, &["--reply", "STOP=0.1", "--latency-ms", "5", "20"]).await;
    stand.launch();
    let slow = "inject=fsync,fdatasync:delay_enter=200000";
    let mut life = stand.daemon_under(&[&strace[..], &["-e", slow]].concat(), "");
    let left = "planned queued claimed submitting";
    stand.until("the end", &mut life, async || stand.messages(left).await == 0).await;
    assert!(!life.log().contains(" ERROR "), "{}", life.log());
    life.kill();
    let audited = stand.finish(0).await;
    println!("a slow disk, audit {}", audited.audit);
}

//! What an operator does to a process: SIGTERM under load, SIGSTOP for too long, a second daemon beside the first.

use std::time::Duration;

use winback::dispatch::core::SEND_DEADLINE;

use super::stand::{Stand, WINDOW};
use crate::support::sql::Sql;

#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_told_to_stop_under_load_leaves_nothing_in_doubt() {
    let stand = Stand::new(None, 600, &["--latency-ms", "50", "300"]).await;
    stand.launch();
    for texts in [100, 300, 600] {
        let mut life = stand.daemon("");
        stand.until("texts on the wire", &mut life, async || stand.taken() >= texts).await;
        life.signal("TERM");
        let ended = life.wait();
        assert!(ended.success(), "{ended}\n{}", life.log());
        assert_eq!(stand.messages("claimed submitting ambiguous unknown").await, 0, "after {texts} texts");
        assert!(stand.messages("planned queued").await > 0, "it was stopped in the middle");
    }
    let audited = stand.finish(0).await;
    assert_eq!(audited.count("accepted"), 1_200, "{:#}", audited.audit);
}

/// The intents are asked for, then the process sleeps: whatever is granted to it when it wakes up is too old to be sent.
#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_that_was_suspended_beyond_the_deadline_sends_nothing_stale() {
    let stand = Stand::new(None, 400, &["--latency-ms", "100", "200"]).await;
    stand.launch();
    let mut life = stand.daemon("");
    stand.until("texts on the wire", &mut life, async || stand.taken() > 50).await;
    let mut lock = Sql::open(&stand.url).await;
    lock.run("BEGIN IMMEDIATE").await;
    // Answers come in, and their places on the wire are asked for again.
    tokio::time::sleep(Duration::from_millis(800)).await;
    life.signal("STOP");
    lock.run("ROLLBACK").await;
    tokio::time::sleep(SEND_DEADLINE + Duration::from_millis(500)).await;
    life.signal("CONT");
    stand
        .until("the end", &mut life, async || stand.messages("planned queued claimed submitting").await == 0)
        .await;
    let late = "SELECT reference FROM attempts WHERE detail LIKE '%too late after the intent%'";
    let late = Sql::open(&stand.url).await.lines(late).await;
    assert!(!late.is_empty(), "something was granted too late");
    let ledger = std::fs::read_to_string(stand.ledger()).expect("a ledger");
    let sent = late.iter().filter(|reference| ledger.contains(reference.as_str())).count();
    assert_eq!(sent, 0, "of {} that were granted too late", late.len());
    life.kill();
    stand.finish(WINDOW).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_daemon_is_refused_and_the_first_goes_on() {
    let stand = Stand::new(None, 300, &[]).await;
    stand.launch();
    stand.config(200, "");
    let mut first = stand.daemon("");
    stand.until("texts on the wire", &mut first, async || stand.taken() > 20).await;
    for _ in 0..3 {
        let refused = stand.run(&["daemon"], "");
        let told = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert!(!refused.status.success() && told.contains("another daemon"), "{told}");
    }
    let before = stand.taken();
    stand.until("more texts", &mut first, async || stand.taken() > before).await;
    first.kill();
    let audited = stand.finish(WINDOW).await;
    assert_eq!(audited.count("accepted") + audited.count("unresolved"), 600, "{:#}", audited.audit);
}

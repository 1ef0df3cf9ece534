//! Bad answers as a client on a bare socket sees them, and who gets which.

use std::collections::BTreeMap;

use super::peer::{Client, Endpoint, Rehearsal, message};
use crate::simulator::Script;
use crate::simulator::config::Curve;

fn script(faults: &str) -> Script {
    let text = format!("about = 'a test'\n[[phase]]\n{faults}\n");
    Script::parse("test.toml", &text).unwrap_or_else(|wrong| panic!("{wrong}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn every_bad_answer_is_as_bad_as_its_name_and_the_ledger_says_what_was_taken() {
    async fn check(fault: &str, status: u16, header: (&str, &str), body: &str, taken: usize) {
        let script = script(&format!("answers = [{{ share = 1.0, fault = {fault} }}]"));
        let rehearsal = Rehearsal::start(|config| config.script = Some(script)).await;
        let answer = rehearsal.client().await.submit(&message("r")).await;
        assert_eq!((answer.status(), answer.header(header.0)), (status, header.1), "{fault}");
        let said = String::from_utf8_lossy(&answer.body).trim_start().to_owned();
        assert!(said.starts_with(body) && (said.is_empty() || !body.is_empty()), "{fault}: {said}");
        assert_eq!(rehearsal.accepted().len(), taken, "{fault}");
        let fired: Vec<u64> = rehearsal.fired().iter().map(|fired| fired.times).collect();
        assert_eq!(fired, [1], "{fault}");
    }
    check("'throttle'", 429, ("retry-after", ""), "{\"error\"", 0).await;
    check("'throttle', retry_after = '-7'", 429, ("retry-after", "-7"), "{\"error\"", 0).await;
    let date = "Thu, 01 Oct 2026 00:00:30 GMT";
    check("'throttle', retry_after_date = 30", 429, ("retry-after", date), "{\"error\"", 0).await;
    check("'status', status = 502", 502, ("content-length", "0"), "", 0).await;
    check("'status', accepts = true, error = 'x'", 500, ("location", ""), "{\"error\":\"x\"}", 1).await;
    check("'html'", 200, ("content-type", "text/html; charset=utf-8"), "<!doctype", 0).await;
    check("'malformed'", 202, ("location", ""), "{\"id\":\"sim-", 1).await;
    check("'huge', bytes = 200000", 202, ("content-length", "200000"), "{\"id\"", 1).await;
    check("'bomb', bytes = 9000000", 202, ("content-encoding", "gzip"), "\u{1f}", 1).await;
    check("'redirect'", 307, ("location", "/v1/messages"), "", 0).await;
    check("'wrong-id'", 202, ("location", ""), "{\"id\":\"other-sim-", 1).await;
    check("'empty'", 200, ("content-length", "0"), "", 1).await;
    check("'wrong-length'", 202, ("location", ""), "{\"id\":\"sim-", 1).await;
    check("'drip', every_ms = 1", 202, ("location", ""), "{\"id\":\"sim-", 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_may_break_off_or_never_come_and_was_taken_all_the_same() {
    async fn check(fault: &str, broken: bool, taken: usize) {
        let script = script(&format!("answers = [{{ share = 1.0, fault = {fault} }}]"));
        let rehearsal = Rehearsal::start(|config| config.script = Some(script)).await;
        let mut client: Client = rehearsal.client().await;
        let answer = client.send("POST /v1/messages", "key", message("r").to_string().as_bytes()).await;
        assert_eq!(answer.is_err(), broken, "{fault}: {answer:?}");
        assert!(answer.ok().flatten().is_none(), "{fault}");
        assert_eq!(rehearsal.accepted().len(), taken, "{fault}");
    }
    check("'truncated'", true, 1).await;
    check("'reset'", true, 1).await;
    check("'reset', accepts = false", true, 0).await;
    check("'silent', hold_ms = 20", false, 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_befalls_a_message_does_not_depend_on_the_order() {
    async fn answers(order: &[u32], seed: u64) -> BTreeMap<(u32, usize), u16> {
        let script = script("answers = [{ fault = 'throttle', share = 0.5 }]");
        let rehearsal = Rehearsal::start(|c| (c.script, c.seed) = (Some(script), seed)).await;
        let mut client = rehearsal.client().await;
        let mut seen = BTreeMap::new();
        for n in order {
            let status = client.submit(&message(&n.to_string())).await.status();
            let times = seen.keys().filter(|(of, _)| of == n).count();
            seen.insert((*n, times), status);
        }
        seen
    }
    let once: Vec<u32> = (0..40).chain(0..40).collect();
    let backwards: Vec<u32> = once.iter().rev().copied().collect();
    let first = answers(&once, 1).await;
    assert_eq!(first, answers(&backwards, 1).await);
    assert_ne!(first, answers(&once, 2).await);
    let twice = (0..40).filter(|n| first[&(*n, 0)] != first[&(*n, 1)]).count();
    assert!(twice > 5, "a repeat of a reference is drawn anew: {twice}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receipt_may_overtake_its_answer_and_a_forged_one_is_not_insisted_on() {
    let mut endpoint = Endpoint::start(&[]).await;
    let early = script("receipts = [{ fault = 'early', share = 1.0 }]");
    let rehearsal = Rehearsal::start(|c| c.script = Some(early)).await;
    let mut body = message("r");
    body["callback_url"] = serde_json::json!(endpoint.url("/r"));
    let mut client = rehearsal.client().await;
    let callback = tokio::select! {
        biased;
        callback = endpoint.next() => callback,
        answer = client.submit(&body) => panic!("the answer came first: {answer:?}"),
    };
    assert_eq!(callback.json()["receipts"][0]["reference"], "r");

    let endpoint = Endpoint::start(&[401; 9]).await;
    let url = endpoint.url("/all");
    let forged = script("receipts = [{ fault = 'foreign', share = 1.0 }]");
    let rehearsal = Rehearsal::start(|config| {
        config.script = Some(forged);
        config.receipts.url = Some(url);
        config.receipts.retry.attempts = 3;
        config.receipts.delay = Curve::default();
    })
    .await;
    rehearsal.client().await.submit(&message("r")).await;
    rehearsal.until(|stats| stats.pending == 0).await;
    assert_eq!(rehearsal.stats().receipts_sent, 4, "three tries of the true one, one of the forged one");
}

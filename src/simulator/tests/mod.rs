//! The simulator over real sockets on this machine.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio_util::sync::CancellationToken;

use self::peer::{Client, Endpoint, NOW, Rehearsal, message};
use super::config::{Curve, Failures, ReplyText};
use super::{Simulator, SimulatorConfig, SimulatorError, ledger, run};
use crate::model::clock::{SystemClock, Timestamp};

mod odd;
mod peer;
mod query;

/// HMAC-SHA256 spelled out from RFC 2104, so that the signature is not checked by the code that made it.
fn hmac(key: &[u8], message: &[u8]) -> String {
    let pad = |with: u8| -> Vec<u8> { (0..64).map(|i| key.get(i).copied().unwrap_or(0) ^ with).collect() };
    let inner = Sha256::digest([&pad(0x36), message].concat());
    let outer = Sha256::digest([&pad(0x5c)[..], &inner].concat());
    outer.iter().fold(String::new(), |hex, byte| format!("{hex}{byte:02x}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn an_accepted_message_is_in_the_ledger_before_the_client_hears_of_it() {
    let rehearsal = Rehearsal::start(|_| ()).await;
    let mut client = rehearsal.client().await;
    for n in 0..20 {
        let answer = client.submit(&message(&format!("ref-{n}"))).await;
        assert_eq!((answer.status(), answer.json()["status"].as_str()), (202, Some("accepted")));
        let entries: Vec<_> = ledger::read(&rehearsal.ledger).expect("opens").collect();
        let last = entries.last().expect("one").as_ref().expect("whole");
        assert_eq!(answer.json()["id"], *last.id);
        assert_eq!((&*last.reference, &*last.to), (&*format!("ref-{n}"), "+14805550126"));
        assert_eq!((last.at, last.parts), (Timestamp(NOW), 1));
        // printf hi | sha256sum
        let hash = "8f434346648f6b96df89dda901c5176b10a6d83961dd3c1ac88b59b2dc327aa4";
        assert_eq!(last.body_sha256, hash);
        assert_eq!(entries.len(), n + 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_failure_says_the_truth_about_itself_and_the_ledger_the_truth_about_acceptance() {
    async fn check(failures: Failures, status: u16, error: &str, accepted: bool) {
        let failures = Failures { retry_after: Duration::from_millis(1500), ..failures };
        let rehearsal = Rehearsal::start(|config| config.failures = failures).await;
        let answer = rehearsal.client().await.submit(&message("r")).await;
        assert_eq!((answer.status(), answer.json()["error"].as_str()), (status, Some(error)));
        assert_eq!(answer.header("retry-after"), if status == 429 { "2" } else { "" });
        assert_eq!(rehearsal.accepted().len(), usize::from(accepted), "{error}");
    }
    let none = Failures::default();
    check(Failures { throttled: 1.0, ..none }, 429, "throttled", false).await;
    check(Failures { bad_number: 1.0, ..none }, 400, "bad_number", false).await;
    check(Failures { bad_text: 1.0, ..none }, 400, "bad_text", false).await;
    check(Failures { opted_out: 1.0, ..none }, 400, "opted_out", false).await;
    check(Failures { unavailable: 1.0, ..none }, 503, "unavailable", false).await;
    check(Failures { failed: 1.0, ..none }, 500, "internal", false).await;
    check(Failures { failed: 1.0, failed_accepts: true, ..none }, 500, "internal", true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_or_reset_submission_was_accepted_all_the_same() {
    let post = |mut client: Client| async move {
        client.send("POST /v1/messages", "key", message("r").to_string().as_bytes()).await
    };
    let hold = Duration::from_millis(50);
    let silent = Rehearsal::start(|c| (c.failures.silent, c.failures.hold) = (1.0, hold)).await;
    let before = Instant::now();
    assert!(post(silent.client().await).await.expect("closed in order").is_none());
    assert!(before.elapsed() >= hold);
    assert_eq!((silent.accepted().len(), silent.stats().silent), (1, 1));

    let reset = Rehearsal::start(|c| c.failures.reset = 1.0).await;
    let error = post(reset.client().await).await.expect_err("reset");
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
    assert_eq!((reset.accepted().len(), reset.stats().reset), (1, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_submission_that_is_not_right_is_refused_with_a_reason() {
    let rehearsal = Rehearsal::start(|_| ()).await;
    let mut client = rehearsal.client().await;
    let with = |field: &str, value: Value| {
        let mut body = message("r");
        body[field] = value;
        body.to_string().into_bytes()
    };
    for (body, error) in [
        (b"{".to_vec(), "bad_request"),
        (b"{}".to_vec(), "bad_request"),
        (vec![b' '; 70_000], "bad_request"),
        (with("reference", json!("r".repeat(300))), "bad_request"),
        (with("callback_url", json!("http://192.0.2.1/")), "bad_request"),
        (with("callback_url", json!("https://127.0.0.1/")), "bad_request"),
        (with("to", json!("555")), "bad_number"),
        (with("text", json!("")), "bad_text"),
        (with("text", json!("a".repeat(2000))), "bad_text"),
    ] {
        let answer = client.send("POST /v1/messages", "key", &body).await.expect("no reset").expect("answer");
        assert_eq!((answer.status(), answer.json()["error"].as_str()), (400, Some(error)));
        if answer.header("connection") == "close" {
            client = rehearsal.client().await;
        }
    }
    for (line, key, status) in [
        ("POST /v1/messages", "wrong", 401),
        ("GET /v1/messages?reference=r", "wrong", 401),
        ("GET /v1/messages", "key", 400),
        ("PUT /v1/messages", "key", 405),
        ("GET /", "key", 404),
        ("GET /healthz", "none needed", 200),
        ("GET /stats", "none needed", 200),
    ] {
        let answer = client.send(line, key, b"").await.expect("no reset").expect("answer");
        assert_eq!(answer.status(), status, "{line}");
    }
    assert!(rehearsal.accepted().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn no_more_parts_pass_than_the_rate_allows() {
    let rehearsal = Rehearsal::start(|c| (c.parts_per_second, c.burst_parts) = (Some(100), Some(4))).await;
    let mut client = rehearsal.client().await;
    let two_parts = json!({ "to": "+14805550126", "from": "s", "text": "a".repeat(200), "reference": "r" });
    let (before, mut waits) = (Instant::now(), 0);
    while waits < 20 {
        let answer = client.submit(&two_parts).await;
        waits += usize::from(answer.status() == 429 && answer.header("retry-after") == "1");
    }
    let parts = rehearsal.stats().accepted_parts;
    let allowed = before.elapsed().as_secs_f64() * 100.0 + 4.0;
    #[expect(clippy::cast_precision_loss, reason = "small counts")]
    let within = parts as f64 <= allowed && parts >= 4;
    assert!(within, "{parts} parts, {allowed} allowed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receipt_is_signed_and_names_the_message() {
    let mut endpoint = Endpoint::start(&[]).await;
    let rehearsal = Rehearsal::start(|c| c.signing_key = crate::telemetry::Secret::new("sign")).await;
    let mut body = message("a b");
    body["callback_url"] = json!(endpoint.url("/receipt/a%20b"));
    let id = rehearsal.client().await.submit(&body).await.json()["id"].clone();

    let callback = endpoint.next().await;
    assert_eq!(callback.first_line.trim_end(), "POST /receipt/a%20b HTTP/1.1");
    let timestamp = callback.header("x-simulator-timestamp");
    assert_eq!(timestamp, (NOW / 1000).to_string());
    let signed = [timestamp.as_bytes(), b".", &callback.body].concat();
    assert_eq!(callback.header("x-simulator-signature"), format!("sha256={}", hmac(b"sign", &signed)));
    let receipt = json!({ "id": id, "reference": "a b", "status": "delivered", "code": null, "at": NOW });
    assert_eq!(callback.json(), json!({ "receipts": [receipt] }));
    rehearsal.until(|stats| stats.receipts_acked == 1 && stats.pending == 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn receipts_of_many_messages_share_a_request_when_one_address_is_configured() {
    let mut endpoint = Endpoint::start(&[]).await;
    let url = endpoint.url("/all");
    let rehearsal = Rehearsal::start(|config| {
        config.receipts.url = Some(url);
        config.receipts.per_request = 10;
        config.receipts.delay = Curve::constant(Duration::from_millis(300));
        config.limits.callbacks_in_flight = 1;
    })
    .await;
    let mut client = rehearsal.client().await;
    let mut expected = BTreeSet::new();
    for n in 0..40 {
        expected.insert(client.submit(&message(&n.to_string())).await.json()["id"].to_string());
    }
    let (mut found, mut largest) = (BTreeSet::new(), 0);
    while found.len() < expected.len() {
        let callback = endpoint.next().await.json();
        let receipts = callback["receipts"].as_array().expect("a list");
        largest = largest.max(receipts.len());
        found.extend(receipts.iter().map(|receipt| receipt["id"].to_string()));
    }
    assert_eq!(found, expected);
    assert!((2..=10).contains(&largest), "{largest}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receipt_survives_an_endpoint_that_is_down_and_one_that_fails() {
    let address = Endpoint::start(&[]).await.address;
    let gone = std::net::TcpListener::bind("127.0.0.1:0").expect("binds");
    let closed = gone.local_addr().expect("bound");
    drop(gone);
    assert_ne!(address, closed);
    let rehearsal = Rehearsal::start(|_| ()).await;
    let mut body = message("r");
    body["callback_url"] = json!(format!("http://{closed}/r"));
    rehearsal.client().await.submit(&body).await;
    rehearsal.until(|stats| stats.receipts_sent >= 2).await;
    assert_eq!(rehearsal.stats().receipts_acked, 0);

    let mut endpoint = Endpoint::on(closed, &[500, 302, 0, 204]).await;
    let first = endpoint.next().await.json();
    for _ in 0..3 {
        assert_eq!(endpoint.next().await.json(), first, "a repeat says the same");
    }
    rehearsal.until(|stats| stats.receipts_acked == 1 && stats.pending == 0).await;
    assert_eq!(rehearsal.stats().receipts_given_up, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receipt_nobody_takes_is_given_up_and_counted() {
    let endpoint = Endpoint::start(&[500; 10]).await;
    let rehearsal = Rehearsal::start(|c| c.receipts.retry.attempts = 3).await;
    let mut body = message("r");
    body["callback_url"] = json!(endpoint.url("/r"));
    rehearsal.client().await.submit(&body).await;
    rehearsal.until(|stats| stats.receipts_given_up == 1).await;
    let stats = rehearsal.stats();
    assert_eq!((stats.receipts_sent, stats.receipts_acked, stats.pending), (3, 0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_customer_answers_once_the_message_arrived() {
    let mut endpoint = Endpoint::start(&[503]).await;
    let url = endpoint.url("/inbound");
    let rehearsal = Rehearsal::start(|config| {
        config.replies.url = Some(url);
        config.replies.texts = vec![ReplyText { share: 1.0, text: "STOP".to_owned() }];
    })
    .await;
    rehearsal.client().await.submit(&message("r")).await;
    let reply = endpoint.next().await.json();
    assert_eq!(endpoint.next().await.json()["id"], reply["id"], "a repeat has the same id");
    assert_eq!(
        (reply["from"].as_str(), reply["to"].as_str(), reply["text"].as_str()),
        (Some("+14805550126"), Some("15005550006"), Some("STOP"))
    );
    rehearsal.until(|stats| stats.replies_acked == 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_seed_and_requests_get_the_same_answers() {
    async fn answers(seed: u64) -> Vec<u16> {
        let rehearsal = Rehearsal::start(|config| {
            config.seed = seed;
            config.failures =
                Failures { throttled: 0.3, opted_out: 0.2, unavailable: 0.2, ..config.failures };
        })
        .await;
        let mut client = rehearsal.client().await;
        let mut statuses = Vec::new();
        for n in 0..60 {
            statuses.push(client.submit(&message(&n.to_string())).await.status());
        }
        statuses
    }
    let first = answers(1).await;
    assert_eq!(first, answers(1).await);
    assert_ne!(first, answers(2).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_look_up_shows_every_acceptance_of_a_reference() {
    let rehearsal = Rehearsal::start(|_| ()).await;
    let mut client = rehearsal.client().await;
    let first = client.submit(&message("a b")).await.json();
    let second = client.submit(&message("a b")).await.json();
    client.submit(&message("other")).await;
    let found = client.get("/v1/messages?reference=a%20b").await.json();
    let shown = |id: &Value| {
        json!({ "id": id, "reference": "a b", "to": "+14805550126", "from": "15005550006", "text": "hi",
            "at": NOW, "status": "delivered" })
    };
    assert_eq!(found, json!({ "messages": [shown(&first["id"]), shown(&second["id"])] }));
    let none = client.get("/v1/messages?reference=never").await.json();
    assert_eq!(none, json!({ "messages": [] }));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_hangs_up_does_not_undo_its_message() {
    let mut endpoint = Endpoint::start(&[]).await;
    let rehearsal =
        Rehearsal::start(|config| config.latency = Curve::constant(Duration::from_mins(10))).await;
    let mut body = message("r");
    body["callback_url"] = json!(endpoint.url("/r"));
    let mut client = rehearsal.client().await;
    let body = body.to_string();
    let hang_up = client.send("POST /v1/messages", "key", body.as_bytes());
    assert!(tokio::time::timeout(Duration::from_millis(20), hang_up).await.is_err());
    drop(client);
    assert_eq!(endpoint.next().await.json()["receipts"][0]["reference"], "r");
    assert_eq!(rehearsal.accepted(), ["r"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_backlog_or_a_full_disk_accepts_nothing() {
    let rehearsal = Rehearsal::start(|config| {
        config.receipts.delay = Curve::constant(Duration::from_mins(10));
        config.receipts.url = Some("http://127.0.0.1:9/".to_owned());
        config.limits.pending = 1;
    })
    .await;
    let mut client = rehearsal.client().await;
    assert_eq!(client.submit(&message("1")).await.status(), 202);
    let refused = client.submit(&message("2")).await;
    assert_eq!((refused.status(), refused.json()["detail"].as_str()), (503, Some("backlog")));
    assert_eq!((rehearsal.accepted(), rehearsal.stats().pending), (vec!["1".to_owned()], 1));

    let rehearsal = Rehearsal::start(|config| config.ledger = PathBuf::from("/dev/full")).await;
    let mut client = rehearsal.client().await;
    let refused = client.submit(&message("1")).await;
    assert_eq!((refused.status(), refused.json()["detail"].as_str()), (503, Some("ledger")));
    assert_eq!(client.get("/healthz").await.status(), 503);
    let stats = rehearsal.stats();
    assert_eq!((stats.accepted, stats.ledger_failed, stats.pending), (0, 1, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn stopping_says_what_is_lost_and_draining_loses_less() {
    async fn stop(drain: Duration) -> (u64, u64) {
        let endpoint = Endpoint::start(&[]).await;
        let url = endpoint.url("/r");
        let rehearsal = Rehearsal::start(|config| {
            config.receipts.url = Some(url);
            config.receipts.delay = Curve::constant(Duration::from_millis(400));
            config.drain = drain;
        })
        .await;
        let mut client = rehearsal.client().await;
        for n in 0..5 {
            client.submit(&message(&n.to_string())).await;
        }
        let (summary, accepted) = rehearsal.stop().await;
        assert_eq!(accepted.len(), 5);
        (summary.dropped, summary.stats.receipts_acked)
    }
    assert_eq!(stop(Duration::ZERO).await, (5, 0));
    assert_eq!(stop(Duration::from_secs(10)).await, (0, 5));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_simulator_that_cannot_start_says_why() {
    let folder = tempfile::tempdir().expect("a folder");
    let config = SimulatorConfig {
        listen: "127.0.0.1:0".parse().expect("an address"),
        ledger: folder.path().join("ledger.jsonl"),
        ..SimulatorConfig::default()
    };
    let clock = || std::sync::Arc::new(SystemClock);
    let first = Simulator::start(config.clone(), clock(), CancellationToken::new()).await.expect("starts");
    let refused = |config| run(config, clock(), CancellationToken::new());
    let taken = SimulatorConfig { listen: first.address(), ..config.clone() };
    assert!(matches!(refused(taken).await, Err(SimulatorError::Listen { .. })));
    assert!(matches!(refused(config.clone()).await, Err(SimulatorError::Ledger(_))));
    let wrong = SimulatorConfig { failures: Failures { reset: 2.0, ..Failures::default() }, ..config };
    assert!(matches!(refused(wrong).await, Err(SimulatorError::Config { .. })));
}

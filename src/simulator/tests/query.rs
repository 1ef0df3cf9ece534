//! Submissions by query and receipts as filled addresses, as a client on a bare socket sees them.

use std::collections::BTreeSet;
use std::time::Duration;

use super::peer::{Client, Endpoint, NOW, Rehearsal};
use crate::model::clock::Timestamp;
use crate::simulator::Script;
use crate::simulator::config::{Curve, Failures};
use crate::simulator::ledger;

const GOOD: &str =
    "/cgi-bin/sendsms?username=anybody&password=key&from=15005550006&to=%2B14805550126&text=hi";

async fn ask(client: &mut Client, path: &str) -> (u16, String) {
    let answer = client.get(path).await;
    assert_eq!(answer.header("content-type"), "text/plain");
    (answer.status(), String::from_utf8(answer.body).expect("text"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_query_is_in_the_ledger_like_any_submission_before_its_answer() {
    let rehearsal = Rehearsal::start(|_| ()).await;
    let mut client = rehearsal.client().await;
    let (status, said) = ask(&mut client, &format!("{GOOD}&reference=ref-1")).await;
    let entries: Vec<_> = ledger::read(&rehearsal.ledger).expect("opens").collect();
    let entry = entries[0].as_ref().expect("whole");
    assert_eq!((status, said), (202, format!("0: Accepted for delivery, id {}", entry.id)));
    assert_eq!((&*entry.reference, &*entry.to, &*entry.from), ("ref-1", "+14805550126", "15005550006"));
    // printf hi | sha256sum
    let hash = "8f434346648f6b96df89dda901c5176b10a6d83961dd3c1ac88b59b2dc327aa4";
    assert_eq!((&*entry.body_sha256, entry.at, entry.parts), (hash, Timestamp(NOW), 1));
    assert_eq!((entries.len(), rehearsal.stats().pending), (1, 0), "nobody asked for receipts");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_query_that_is_refused_is_told_why_in_words() {
    let rehearsal = Rehearsal::start(|_| ()).await;
    let mut client = rehearsal.client().await;
    for (path, status, start) in [
        (GOOD.replace("=key", "=kez") + "&reference=r", 403, "Authorization failed"),
        (GOOD.replace("password=key", "") + "&reference=r", 403, "Authorization failed"),
        (GOOD.to_owned(), 400, "reference and dlr-url missing, rejected"),
        (GOOD.replace("14805550126", "555") + "&reference=r", 403, "Number(s) has/have been denied"),
        (GOOD.replace("text=hi", "text=") + "&reference=r", 400, "Empty text"),
        (format!("{GOOD}&reference={}", "r".repeat(300)), 400, "reference or from is too long, rejected"),
        (
            format!("{GOOD}&reference=r&dlr-mask=1&dlr-url=http://192.0.2.1/"),
            400,
            "callback_url is not a loopback",
        ),
    ] {
        let (found, said) = ask(&mut client, &path).await;
        assert!(found == status && said.starts_with(start), "{path}: {found} {said}");
    }
    assert_eq!((rehearsal.stats().credentials, rehearsal.stats().bad_request), (2, 3));
    assert!(rehearsal.accepted().is_empty());

    let failing = async |failures: Failures| {
        let rehearsal = Rehearsal::start(|config| config.failures = failures).await;
        let (status, said) = ask(&mut rehearsal.client().await, &format!("{GOOD}&reference=r")).await;
        assert!(rehearsal.accepted().is_empty(), "{said}");
        (status, said)
    };
    let none = Failures::default();
    let again = "Temporal failure, try again later.".to_owned();
    assert_eq!(failing(Failures { throttled: 1.0, ..none }).await, (429, again.clone()));
    assert_eq!(failing(Failures { unavailable: 1.0, ..none }).await, (503, again));
    assert_eq!(failing(Failures { opted_out: 1.0, ..none }).await.0, 403);
    assert_eq!(failing(Failures { failed: 1.0, ..none }).await.0, 500);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receipt_calls_the_address_of_the_submission_about_the_events_it_asked_for() {
    let mut endpoint = Endpoint::start(&[503]).await;
    let rehearsal = Rehearsal::start(|config| {
        config.receipts.undelivered = 1.0;
        config.receipts.en_route = 1.0;
    })
    .await;
    let mut client = rehearsal.client().await;
    let url = endpoint.url("/receipt/token.k3f9-1");
    // Of what is reported the client wants the end alone: bits 1 and 2, and not 4.
    let path = format!("{GOOD}&dlr-mask=3&dlr-url={url}?type=%25d%26id=%25I%26ans=%25A");
    let (status, said) = ask(&mut client, &path).await;
    let id = said.rsplit(' ').next().expect("an id").to_owned();
    assert_eq!((status, rehearsal.accepted()), (202, vec!["k3f9-1".to_owned()]));
    let first = endpoint.next().await.first_line;
    let start = format!("GET /receipt/token.k3f9-1?type=2&id={id}&ans=id%3A{id}+stat%3AUNDELIV+err%3A");
    assert!(first.starts_with(&start), "{first}");
    assert_eq!(endpoint.next().await.first_line, first, "503 is tried again");
    rehearsal.until(|stats| stats.receipts_acked == 1 && stats.pending == 0).await;
    assert_eq!(rehearsal.stats().receipts_sent, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_filled_address_cannot_show_is_not_played_and_not_counted() {
    async fn fired(fault: &str) -> (u64, u64) {
        let text =
            format!("about = 'a test'\n[[phase]]\nreceipts = [{{ share = 1.0, fault = '{fault}' }}]\n");
        let script = Script::parse("test.toml", &text).unwrap_or_else(|wrong| panic!("{wrong}"));
        let endpoint = Endpoint::start(&[]).await;
        let rehearsal = Rehearsal::start(|config| config.script = Some(script)).await;
        let path = format!("{GOOD}&reference=r&dlr-mask=1&dlr-url={}", endpoint.url("/%25d"));
        assert_eq!(ask(&mut rehearsal.client().await, &path).await.0, 202);
        rehearsal.until(|stats| stats.receipts_acked > 0 && stats.pending == 0).await;
        (rehearsal.fired()[0].times, rehearsal.stats().receipts_acked)
    }
    assert_eq!(fired("foreign").await, (0, 1));
    assert_eq!(fired("stray").await, (0, 1));
    let (times, receipts) = fired("repeated").await;
    assert!(times > 0 && receipts > 1, "{times}, {receipts}");
}

#[tokio::test(flavor = "multi_thread")]
async fn each_message_has_a_call_of_its_own_even_where_receipts_may_share_one() {
    let mut endpoint = Endpoint::start(&[]).await;
    let rehearsal = Rehearsal::start(|config| {
        config.receipts.per_request = 10;
        config.receipts.delay = Curve::constant(Duration::from_millis(200));
        config.limits.callbacks_in_flight = 1;
    })
    .await;
    let mut client = rehearsal.client().await;
    let mut expected = BTreeSet::new();
    for n in 0..5 {
        let url = endpoint.url("/r?id=%25I");
        let (_, said) = ask(&mut client, &format!("{GOOD}&reference={n}&dlr-mask=1&dlr-url={url}")).await;
        expected.insert(format!("GET /r?id={} HTTP/1.1\r\n", said.rsplit(' ').next().expect("an id")));
    }
    rehearsal.until(|stats| stats.receipts_acked == 5 && stats.receipts_sent == 5).await;
    let mut found = BTreeSet::new();
    for _ in 0..5 {
        found.insert(endpoint.next().await.first_line);
    }
    assert_eq!(found, expected);
}

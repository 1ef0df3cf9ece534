//! Events: once each, with their contact or waiting for it.

use serde_json::json;
use winback::model::clock::Timestamp;
use winback::model::event::EventRecord;
use winback::model::money::Micros;
use winback::store::events::InsertedEvents;

use super::contacts::{contact, phone};
use super::dump;
use crate::support::stores::{Bench, on_both};

const NOW: Timestamp = Timestamp(1_700_000_000_000);

fn event(id: &str, key: &str, last: Option<u64>) -> EventRecord {
    EventRecord {
        kind: "order".into(),
        event_id: id.into(),
        customer_id: (!key.is_empty()).then(|| key.to_owned()),
        phone: last.map(phone),
        occurred_at: NOW,
        value: Some(Micros(12_500_000)),
        props: [("sku", json!("x\"y"))].into_iter().collect(),
    }
}

/// joined, waiting, repeated, unknown
async fn check(bench: &Bench, events: &[EventRecord], expected: (u64, u64, u64, u64)) {
    let counts = bench.insert_events(events).await.expect("written");
    let InsertedEvents { joined, waiting, repeated, unknown } = counts;
    assert_eq!((joined, waiting, repeated, unknown.len() as u64), expected, "{events:?}");
}

#[tokio::test]
async fn an_event_belongs_to_the_contact_with_its_key_else_with_its_number() {
    on_both(async |bench| {
        bench
            .upsert_contacts(&[contact("a", 1), contact("b", 2), contact("", 3)], NOW)
            .await
            .expect("written");
        let events = [
            event("by-key", "a", None),
            event("by-number", "", Some(2)),
            event("key-first", "a", Some(2)),
            event("new-key-free-number", "new", Some(3)),
            event("new-key-taken-number", "else", Some(1)),
            event("nobody", "", Some(9)),
        ];
        check(bench, &events, (4, 1, 0, 1)).await;
        let owners = bench.lines(
            "SELECT e.event_id, c.phone, e.customer_id, e.value, e.props FROM events AS e \
             LEFT JOIN contacts AS c ON c.id = e.contact_id ORDER BY 1",
        );
        let expected = [
            r#"by-key|14805550001|a|12500000|{"sku":"x\"y"}"#,
            r#"by-number|14805550002|-|12500000|{"sku":"x\"y"}"#,
            r#"key-first|14805550001|a|12500000|{"sku":"x\"y"}"#,
            r#"new-key-free-number|14805550003|new|12500000|{"sku":"x\"y"}"#,
            r#"new-key-taken-number|-|else|12500000|{"sku":"x\"y"}"#,
        ];
        assert_eq!(owners.await, expected);
    })
    .await;
}

#[tokio::test]
async fn an_event_told_again_is_kept_once_by_kind_and_id() {
    on_both(async |bench| {
        bench.upsert_contacts(&[contact("a", 1)], NOW).await.expect("written");
        let batch = [event("1", "a", None), event("2", "x", None), event("1", "a", None)];
        check(bench, &batch, (1, 1, 1, 0)).await;
        let before = dump(&mut bench.sql().await).await;
        check(bench, &batch, (0, 0, 3, 0)).await;
        assert_eq!(dump(&mut bench.sql().await).await, before);
        // The same id of another kind is another event.
        check(bench, &[EventRecord { kind: "visit".into(), ..event("1", "a", None) }], (1, 0, 0, 0)).await;
        check(bench, &[], (0, 0, 0, 0)).await;
    })
    .await;
}

#[tokio::test]
async fn an_event_that_nobody_can_be_found_for_is_taken_once_its_contact_is_known() {
    on_both(async |bench| {
        let batch = [event("1", "", Some(1)), event("2", "", Some(1))];
        check(bench, &batch, (0, 0, 0, 2)).await;
        bench.upsert_contacts(&[contact("a", 1)], NOW).await.expect("written");
        check(bench, &batch, (2, 0, 0, 0)).await;
    })
    .await;
}

#[tokio::test]
async fn an_event_with_a_nul_is_refused_with_its_batch() {
    on_both(async |bench| {
        let bad = EventRecord { props: [("x", json!("\0"))].into_iter().collect(), ..event("1", "a", None) };
        let error = bench.insert_events(&[event("2", "a", None), bad]).await.expect_err("NUL");
        assert!(error.to_string().contains("NUL"), "{error}");
        assert_eq!(bench.waiting_event_count().await.expect("read"), 0);
    })
    .await;
}

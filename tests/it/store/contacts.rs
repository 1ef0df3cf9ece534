//! Imports of contacts: who is found, what is joined, what is refused.

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use serde_json::json;
use winback::model::attributes::Attributes;
use winback::model::clock::Timestamp;
use winback::model::contact::{Consent, ContactRecord};
use winback::model::event::EventRecord;
use winback::model::phone::Phone;
use winback::model::stage::Stage;
use winback::store::contacts::{MOST_CONTACTS, Written};

use super::dump;
use crate::support::stores::{Bench, on_both};

const NOW: Timestamp = Timestamp(1_700_000_000_000);

pub(super) fn phone(last: u64) -> Phone {
    Phone::from_digits(14_805_550_000 + last).expect("valid")
}

/// A contact with a key, or with an empty one without.
pub(super) fn contact(key: &str, last: u64) -> ContactRecord {
    let mut record = ContactRecord::new(phone(last), "mobile");
    record.customer_id = (!key.is_empty()).then(|| key.to_owned());
    record
}

fn changed(mut record: ContactRecord, change: impl FnOnce(&mut ContactRecord)) -> ContactRecord {
    change(&mut record);
    record
}

/// Writes one batch and compares the answers, one letter each.
async fn check(bench: &Bench, records: &[ContactRecord], expected: &str) {
    let upserted = bench.upsert_contacts(records, NOW).await.expect("written");
    let letter = |written: &Written| match written {
        Written::Inserted => 'i',
        Written::Updated => 'u',
        Written::Unchanged => '=',
        Written::Conflict => '!',
    };
    let letters: String = upserted.written.iter().map(letter).collect();
    assert_eq!(letters, expected, "{records:?}");
}

#[tokio::test]
async fn a_contact_is_read_as_it_was_told() {
    on_both(async |bench| {
        let told = ContactRecord {
            customer_id: Some("c-1".into()),
            phone: phone(1),
            country: Some("US".into()),
            number_kind: "mobile".into(),
            first_name: Some("Zoë \"Z\"".into()),
            last_name: Some("O'Neil\\".into()),
            email: Some("z@example.com".into()),
            locale: Some("zh-Hans".into()),
            zone: Some("America/Phoenix".into()),
            stage: Some(Stage::Sleeping),
            consent: Consent::Given(Timestamp(5)),
            tags: vec!["a b".into(), "vip".into()],
            created_at: Some(Timestamp(3)),
            attrs: [("city", json!("北京")), ("spent", json!(0.1 + 0.2)), ("new", json!(true))]
                .into_iter()
                .collect(),
        };
        check(bench, std::slice::from_ref(&told), "i").await;
        let by_phone = bench.contact_by_phone(phone(1)).await.expect("read").expect("there");
        assert_eq!(by_phone.record, told);
        assert_eq!((by_phone.updated_at, by_phone.unreachable_at), (NOW, None));
        let by_key = bench.contact_by_customer_id("c-1").await.expect("read").expect("there");
        assert_eq!(by_key, by_phone);
        assert_eq!(bench.contact_by_phone(phone(2)).await.expect("read"), None);
        assert_eq!(bench.contact_by_customer_id("c-2").await.expect("read"), None);
        assert_eq!(bench.contact_count().await.expect("read"), 1);
    })
    .await;
}

#[tokio::test]
async fn the_same_batch_twice_changes_nothing() {
    on_both(async |bench| {
        let batch: Vec<_> = (0..50)
            .map(|n| {
                changed(contact(if n % 2 == 0 { "" } else { "k" }, n), |r| {
                    r.customer_id = r.customer_id.take().map(|key| format!("{key}{n}"));
                    r.tags = vec!["z".into(), "a".into()];
                    r.attrs.set("x", &json!(n));
                    r.consent = Consent::Given(NOW);
                })
            })
            .collect();
        check(bench, &batch, &"i".repeat(50)).await;
        let before = dump(&mut bench.sql().await).await;
        let later = Timestamp(NOW.0 + 1);
        let again = bench.upsert_contacts(&batch, later).await.expect("written");
        assert_eq!(again.count(Written::Unchanged), 50);
        assert_eq!(dump(&mut bench.sql().await).await, before);
        let touched = bench.lines("SELECT count(*) FROM contacts WHERE updated_at <> created_at").await;
        assert_eq!(touched, ["0"]);
    })
    .await;
}

#[tokio::test]
async fn a_contact_is_found_by_its_key_then_by_its_number() {
    on_both(async |bench| {
        check(bench, &[contact("a", 1), contact("", 2), contact("b", 3)], "iii").await;
        // A number without a key takes the key that is told with it; a known key brings its new number along.
        check(bench, &[contact("c", 2), contact("a", 4), contact("", 3)], "uu=").await;
        let keys = bench.lines("SELECT customer_id, phone FROM contacts ORDER BY 1").await;
        assert_eq!(keys, ["a|14805550004", "b|14805550003", "c|14805550002"]);
    })
    .await;
}

#[tokio::test]
async fn a_key_and_a_number_of_two_people_are_a_conflict_and_nothing_is_written() {
    on_both(async |bench| {
        check(bench, &[contact("a", 1), contact("b", 2)], "ii").await;
        let before = dump(&mut bench.sql().await).await;
        let spoiled = |key, last| changed(contact(key, last), |r| r.first_name = Some("Eve".into()));
        // Known key with somebody else's number, both ways, and a new key with a number that has one.
        check(bench, &[spoiled("a", 2), spoiled("b", 1), spoiled("new", 1)], "!!!").await;
        assert_eq!(dump(&mut bench.sql().await).await, before);
    })
    .await;
}

#[tokio::test]
async fn a_number_that_somebody_gave_up_goes_to_the_next_in_the_same_batch() {
    on_both(async |bench| {
        check(bench, &[contact("a", 1), contact("b", 2)], "ii").await;
        bench.sql().await.run("UPDATE contacts SET unreachable_at = 9").await;
        check(bench, &[contact("b", 3), contact("a", 2), contact("c", 1)], "uui").await;
        let rows = bench
            .sql()
            .await
            .lines("SELECT customer_id, phone, unreachable_at FROM contacts ORDER BY 1")
            .await;
        // A new number has not been found unreachable.
        assert_eq!(rows, ["a|14805550002|-", "b|14805550003|-", "c|14805550001|-"]);
    })
    .await;
}

#[tokio::test]
async fn a_person_told_twice_in_one_batch_is_one_contact() {
    on_both(async |bench| {
        let named = |name: &str| changed(contact("a", 1), |r| r.first_name = Some(name.into()));
        check(bench, &[named("Ann"), contact("", 1), named("Anne"), contact("a", 5)], "i=uu").await;
        let rows = bench.lines("SELECT customer_id, phone, first_name FROM contacts").await;
        assert_eq!(rows, ["a|14805550005|Anne"]);
        // There and back again is no change.
        let later = Timestamp(NOW.0 + 1);
        bench.upsert_contacts(&[contact("a", 6), contact("a", 5)], later).await.expect("written");
        let touched = bench.lines("SELECT updated_at FROM contacts").await;
        assert_eq!(touched, [NOW.0.to_string()]);
    })
    .await;
}

#[tokio::test]
async fn told_values_win_attributes_are_merged_and_consent_counts_from_the_first_yes_since_the_last_no() {
    on_both(async |bench| {
        let first = changed(contact("a", 1), |r| {
            r.first_name = Some("Ann".into());
            r.email = Some("ann@example.com".into());
            r.consent = Consent::Given(Timestamp(50));
            r.tags = vec!["b".into()];
            r.attrs = [("city", json!("Rome")), ("n", json!(1))].into_iter().collect();
        });
        let second = changed(contact("a", 1), |r| {
            r.first_name = Some("Anna".into());
            r.consent = Consent::Given(Timestamp(40));
            r.tags = vec!["c".into(), "a".into()];
            r.attrs = [("n", json!(2)), ("city", json!(null))].into_iter().collect();
        });
        check(bench, &[first], "i").await;
        check(bench, &[second], "u").await;
        let stored = bench.contact_by_customer_id("a").await.expect("read").expect("there").record;
        assert_eq!(stored.first_name.as_deref(), Some("Anna"));
        assert_eq!(stored.email.as_deref(), Some("ann@example.com"));
        assert_eq!(stored.consent, Consent::Given(Timestamp(50)));
        assert_eq!(stored.created_at, Some(NOW), "never told: the first import");
        assert_eq!(stored.tags, ["a", "b", "c"]);
        assert_eq!(stored.attrs.to_json(), r#"{"city":"Rome","n":2}"#);
        let consents = |list: &[Consent]| -> Vec<_> {
            list.iter().map(|consent| changed(contact("a", 1), |r| r.consent = *consent)).collect()
        };
        // A no ends consent, in a batch as well as between two; a yes after it counts from its own time.
        let (yes, no) = (Consent::Given(Timestamp(40)), Consent::Denied);
        check(bench, &consents(&[no, no]), "u=").await;
        let held = async || bench.lines("SELECT consent_at FROM contacts").await;
        assert_eq!(held().await, ["-"]);
        check(bench, &consents(&[yes]), "u").await;
        assert_eq!(held().await, ["40"]);
        check(bench, &consents(&[no, yes, Consent::Given(Timestamp(60))]), "uu=").await;
        assert_eq!(held().await, ["40"]);
    })
    .await;
}

#[tokio::test]
async fn waiting_events_find_their_contact_in_the_same_import() {
    on_both(async |bench| {
        let event = |key: &str, id: &str| EventRecord {
            kind: "order".into(),
            event_id: id.into(),
            customer_id: Some(key.into()),
            phone: None,
            occurred_at: NOW,
            value: None,
            props: Attributes::default(),
        };
        check(bench, &[contact("", 2)], "i").await;
        let events = [event("a", "1"), event("a", "2"), event("b", "3"), event("c", "4")];
        assert_eq!(bench.insert_events(&events).await.expect("written").waiting, 4);
        // One contact is new, the other one learns its key.
        let told = [contact("a", 1), contact("b", 2)];
        assert_eq!(bench.upsert_contacts(&told, NOW).await.expect("written").linked, 3);
        let owners = bench.lines(
            "SELECT e.event_id, c.customer_id FROM events AS e LEFT JOIN contacts AS c ON c.id = e.contact_id ORDER BY 1",
        );
        assert_eq!(owners.await, ["1|a", "2|a", "3|b", "4|-"]);
        assert_eq!(bench.waiting_event_count().await.expect("read"), 1);
    })
    .await;
}

#[tokio::test]
async fn contacts_and_events_imported_at_the_same_time_find_each_other() {
    on_both(async |bench| {
        let people =
            |from: u64| -> Vec<_> { (from..from + 300).map(|n| contact(&format!("k{n}"), n)).collect() };
        let orders = |from: u64| -> Vec<_> {
            let order = |n: u64| EventRecord {
                kind: "order".into(),
                event_id: format!("{n}"),
                customer_id: Some(format!("k{}", n % 450)),
                phone: None,
                occurred_at: NOW,
                value: None,
                props: Attributes::default(),
            };
            (from..from + 600).map(order).collect()
        };
        // The batches overlap on purpose, and each pair meets in another order.
        let (a, b, c, d) = (people(0), people(150), orders(0), orders(300));
        let (a, c, b, d) = tokio::join!(
            bench.upsert_contacts(&a, NOW),
            bench.insert_events(&c),
            bench.upsert_contacts(&b, NOW),
            bench.insert_events(&d),
        );
        let inserted =
            a.expect("written").count(Written::Inserted) + b.expect("written").count(Written::Inserted);
        assert_eq!(inserted, 450);
        assert_eq!(c.expect("written").inserted() + d.expect("written").inserted(), 900);
        assert_eq!(bench.waiting_event_count().await.expect("read"), 0);
    })
    .await;
}

#[tokio::test]
async fn what_cannot_be_stored_is_refused_whole_and_says_why() {
    on_both(async |bench| {
        let nul = changed(contact("a", 1), |r| r.first_name = Some("A\0".into()));
        let hidden = changed(contact("a", 1), |r| r.attrs.set("x", &json!("A\0")));
        for record in [nul, hidden] {
            let error = bench.upsert_contacts(&[contact("b", 2), record], NOW).await.expect_err("NUL");
            assert!(error.to_string().contains("NUL"), "{error}");
        }
        let many: Vec<_> = (0..=MOST_CONTACTS as u64).map(|n| contact("", n)).collect();
        let error = bench.upsert_contacts(&many, NOW).await.expect_err("too many");
        assert!(error.to_string().contains("smaller batches"), "{error}");
        assert_eq!(bench.contact_count().await.expect("read"), 0);
        check(bench, &[], "").await;
    })
    .await;
}

fn consent() -> impl Strategy<Value = Consent> {
    prop_oneof![
        Just(Consent::Unstated),
        Just(Consent::Denied),
        (0..3i64).prop_map(|at| Consent::Given(Timestamp(at)))
    ]
}

/// A told contact out of a small world, so that keys and numbers meet often.
fn any_contact() -> impl Strategy<Value = ContactRecord> {
    let name = prop::option::of("[a-c]");
    (prop::option::of(0..6u64), 0..6u64, name, consent(), prop::collection::vec("[xyz]", 0..3)).prop_map(
        |(key, last, name, consent, tags)| {
            changed(contact("", last), |r| {
                r.customer_id = key.map(|key| format!("k{key}"));
                if let Some(name) = &name {
                    r.attrs.set(name, &json!(last));
                }
                r.first_name = name;
                r.consent = consent;
                r.tags = tags;
            })
        },
    )
}

/// The dump after importing `records` in batches of `size`.
async fn imported(bench: &Bench, records: &[ContactRecord], size: usize) -> Vec<String> {
    let mut sql = bench.sql().await;
    sql.run("DELETE FROM contact_tags; DELETE FROM events; DELETE FROM contacts").await;
    for batch in records.chunks(size) {
        bench.upsert_contacts(batch, NOW).await.expect("written");
    }
    dump(&mut sql).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn an_import_ends_the_same_in_batches_of_any_size_and_on_both_databases() {
    let sqlite = Bench::sqlite().await;
    let postgres = Bench::postgres().await;
    let handle = tokio::runtime::Handle::current();
    let mut runner = TestRunner::new(Config { cases: 24, failure_persistence: None, ..Config::default() });
    let records = prop::collection::vec(any_contact(), 1..30);
    let result = tokio::task::block_in_place(|| {
        runner.run(&(records, 1..12usize), |(records, size)| {
            let (one, some, all, other) = handle.block_on(async {
                (
                    imported(&sqlite, &records, 1).await,
                    imported(&sqlite, &records, size).await,
                    imported(&sqlite, &records, MOST_CONTACTS).await,
                    imported(&postgres, &records, size).await,
                )
            });
            prop_assert_eq!(&one, &some);
            prop_assert_eq!(&one, &all);
            prop_assert_eq!(&one, &other);
            Ok(())
        })
    });
    result.unwrap_or_else(|failure| panic!("{failure}"));
}

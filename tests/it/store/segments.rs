//! Audiences: who is in a segment, and what a planner is told about each of them.

use winback::model::clock::Timestamp;
use winback::model::contact::ContactRecord;
use winback::model::suppression::Reason;
use winback::segment::{AsOf, Dialect, Fragment, Value, compile, parse};
use winback::store::Backend;
use winback::store::segments::{AudienceQuery, AudienceRow};
use winback::store::suppressions::{EVERY_SENDER, NewSuppression};

use super::contacts::{contact, phone};
use crate::support::stores::{Bench, on_both};

const NOW: Timestamp = Timestamp(1_700_000_000_000);

/// Contacts 0 to 9; the even ones are in the US and called Ann.
async fn people(bench: &Bench) {
    let person = |n: u64| ContactRecord {
        country: Some(if n.is_multiple_of(2) { "US" } else { "CA" }.to_owned()),
        first_name: n.is_multiple_of(2).then(|| "Ann".to_owned()),
        ..contact(&format!("k{n}"), n)
    };
    let people: Vec<_> = (0..10).map(person).collect();
    bench.upsert_contacts(&people, NOW).await.expect("written");
}

/// Even contacts from the number of contact `last` on.
fn anns(last: u64) -> Fragment {
    let from = i64::try_from(phone(last).digits()).expect("small");
    Fragment {
        sql: "c.first_name = $1 AND c.phone >= $2 OR c.country = 'XX'".to_owned(),
        values: vec![Value::Text("Ann".to_owned()), Value::Int(from)],
    }
}

async fn page(bench: &Bench, query: &AudienceQuery<'_>) -> Vec<AudienceRow> {
    bench.audience_page(&anns(0), None, 100, query).await.expect("read")
}

#[tokio::test]
async fn a_segment_is_counted_listed_and_previewed() {
    on_both(async |bench| {
        people(bench).await;
        assert_eq!(bench.segment_count(&anns(0)).await.expect("read"), 5);
        assert_eq!(bench.segment_count(&anns(4)).await.expect("read"), 3);
        let ids = bench.segment_ids(&anns(0), None, 3).await.expect("read");
        let rest = bench.segment_ids(&anns(0), ids.last().copied(), 3).await.expect("read");
        assert_eq!((ids.len(), rest.len()), (3, 2));
        assert!(ids.iter().chain(&rest).is_sorted());
        let seen = bench.segment_preview(&anns(6), 1).await.expect("read");
        assert_eq!(seen[0].record.customer_id.as_deref(), Some("k6"));
        let plan = bench.segment_explain(&anns(0)).await.expect("read");
        assert!(
            plan.iter().any(|line| line.to_lowercase().contains("contacts") || line.contains(" c")),
            "{plan:?}"
        );
    })
    .await;
}

#[tokio::test]
async fn an_audience_comes_in_pages_that_follow_each_other_without_gap_or_overlap() {
    on_both(async |bench| {
        people(bench).await;
        let query = AudienceQuery { sender: "SHOP", cap_since: None, before: None };
        let all = page(bench, &query).await;
        let mut paged = Vec::new();
        loop {
            let after = paged.last().map(|row: &AudienceRow| row.contact.id);
            let next = bench.audience_page(&anns(0), after, 2, &query).await.expect("read");
            if next.is_empty() {
                break;
            }
            paged.extend(next);
        }
        assert_eq!(paged, all);
        let keys: Vec<_> = all.iter().filter_map(|row| row.contact.record.customer_id.as_deref()).collect();
        assert_eq!(keys, ["k0", "k2", "k4", "k6", "k8"]);
        let stored = bench.contact_by_customer_id("k2").await.expect("read").expect("there");
        assert_eq!(all[1].contact, stored);
    })
    .await;
}

#[tokio::test]
async fn an_audience_says_who_must_not_be_texted_by_this_sender() {
    on_both(async |bench| {
        people(bench).await;
        let stop = |last, scope: &str| NewSuppression {
            phone: phone(last),
            scope: scope.to_owned(),
            reason: Reason::Stop,
            source: "test".to_owned(),
        };
        let list = [stop(0, EVERY_SENDER), stop(2, "SHOP"), stop(4, "OTHER"), stop(6, EVERY_SENDER)];
        bench.suppress(&list, NOW).await.expect("written");
        bench.lift(phone(6), "start", NOW).await.expect("written");
        let check = async |sender, expected: [bool; 5]| {
            let rows = page(bench, &AudienceQuery { sender, cap_since: None, before: None }).await;
            assert_eq!(rows.iter().map(|row| row.suppressed).collect::<Vec<_>>(), expected, "{sender}");
        };
        check("SHOP", [true, true, false, false, false]).await;
        check("OTHER", [true, false, true, false, false]).await;
    })
    .await;
}

#[tokio::test]
async fn an_audience_counts_the_texts_that_were_sent_lately_or_are_about_to_be() {
    on_both(async |bench| {
        people(bench).await;
        let mut sql = bench.sql().await;
        let table = [
            (0, "accepted", Some(100)),
            (1, "accepted", Some(99)),
            (2, "planned", None),
            (3, "submitting", Some(50)),
            (4, "cancelled", None),
            (5, "unknown", Some(200)),
        ];
        for (run, (n, state, submitted)) in table.iter().flat_map(|row| [(1, row), (2, row)]) {
            sql.run(&format!(
                "INSERT INTO runs (id, campaign, launch_key, plan_hash, state, definition, as_of, currency, \
                   when_in_doubt, audience, starts_at, expires_at, created_at) \
                 VALUES ({run}, 'c', 'k{run}', 'h', 'running', '{{}}', 0, 'USD', 'park', 9, 0, 9, 0) \
                 ON CONFLICT DO NOTHING; \
                 INSERT INTO messages (run_id, contact_id, phone, country, route, sender, window_id, body, encoding, \
                   parts, price, expires_at, dispatch, not_before, submitted_at) \
                 SELECT {run}, id, phone, 'US', 'r', 's', 1, 'b', 'gsm7', 1, 1, 9, '{state}', 0, {} \
                 FROM contacts WHERE customer_id = 'k{n}'",
                submitted.map_or("NULL".to_owned(), |at: i64| at.to_string())
            ))
            .await;
        }
        let everyone = Fragment { sql: "TRUE".to_owned(), values: vec![] };
        let check = async |cap_since: Option<i64>, expected: [i64; 6]| {
            let query = AudienceQuery { sender: "s", cap_since: cap_since.map(Timestamp), before: None };
            let rows = bench.audience_page(&everyone, None, 6, &query).await.expect("read");
            assert_eq!(rows.iter().map(|row| row.recent).collect::<Vec<_>>(), expected, "{cap_since:?}");
        };
        check(Some(100), [2, 0, 2, 2, 0, 2]).await;
        check(None, [0; 6]).await;
    })
    .await;
}

/// A submitted message: where it stands, its text, whether it was sent again, its attempts and what was decided about
/// each; whether it counts as received, whether it counts towards a cap.
type Submitted = (&'static str, &'static str, i64, &'static [(&'static str, bool)], bool, bool);

const SUBMITTED: &[Submitted] = &[
    ("accepted", "b", 0, &[("'accepted'", false)], true, true),
    ("submitting", "b", 0, &[("NULL", false)], true, true),
    ("ambiguous", "b", 0, &[("'unknown'", false)], true, true),
    ("unknown", "b", 0, &[("'garbled'", false)], true, true),
    // Refused, or put back and then withdrawn.
    ("rejected", "b", 0, &[("'bad_content'", false)], false, false),
    ("failed", "b", 0, &[("'unavailable'", false), ("'unavailable'", false)], false, false),
    ("cancelled", "b", 0, &[("'throttled'", false)], false, false),
    ("queued", "b", 0, &[("'throttled'", false)], false, true),
    // Sent again in doubt: an earlier copy may have left, unless its late answer or a person says otherwise.
    ("queued", "b", 1, &[("'unknown'", false)], true, true),
    ("rejected", "b", 1, &[("'unknown'", false), ("'bad_content'", false)], true, true),
    ("expired", "b", 1, &[("NULL", false), ("'throttled'", false)], true, true),
    ("rejected", "b", 1, &[("'unavailable'", false), ("'bad_content'", false)], false, false),
    ("failed", "b", 0, &[("'unknown'", true)], false, false),
    ("failed", "b", 1, &[("'unknown'", true), ("'garbled'", true)], false, false),
    ("failed", "b", 1, &[("'unknown'", false), ("'garbled'", true)], true, true),
    // What retention left of them.
    ("accepted", "", 0, &[], true, true),
    ("failed", "", 0, &[], false, false),
    ("failed", "", 1, &[], true, true),
];

#[tokio::test]
async fn a_text_that_provably_never_left_takes_nobodys_turn_and_was_not_received() {
    on_both(async |bench| {
        let cases = u64::try_from(SUBMITTED.len()).expect("few");
        let people: Vec<_> = (0..cases).map(|n| contact(&format!("k{n}"), n)).collect();
        bench.upsert_contacts(&people, NOW).await.expect("written");
        let mut sql = bench.sql().await;
        sql.run(
            "INSERT INTO runs (id, campaign, launch_key, plan_hash, state, definition, as_of, currency, \
               when_in_doubt, audience, starts_at, expires_at, created_at) \
             VALUES (1, 'c', 'k', 'h', 'running', '{}', 0, 'USD', 'park', 9, 0, 9, 0)",
        )
        .await;
        for (n, (state, body, again, attempts, ..)) in SUBMITTED.iter().enumerate() {
            let id = n + 1;
            sql.run(&format!(
                "INSERT INTO messages (id, run_id, contact_id, phone, country, route, sender, window_id, body, encoding, \
                   parts, price, expires_at, dispatch, not_before, submitted_at, possible_duplicate) \
                 SELECT {id}, 1, id, phone, 'US', 'r', 's', 1, '{body}', 'gsm7', 1, 1, 9, '{state}', 0, 100, {again} \
                 FROM contacts WHERE customer_id = 'k{n}'"
            ))
            .await;
            for (number, (outcome, unsent)) in attempts.iter().enumerate() {
                let unsent = if *unsent { "not-sent" } else { "resend" };
                sql.run(&format!(
                    "INSERT INTO attempts (message_id, number, epoch, route, owner, reference, intent_at, outcome) \
                     VALUES ({id}, {number}, 1, 'r', 'o', 'x', 100, {outcome}); \
                     INSERT INTO decisions (message_id, number, run_id, decided_at, verdict, decided_by) \
                     VALUES ({id}, {number}, 1, 100, '{unsent}', 'ada')"
                ))
                .await;
            }
        }
        let dialect = match bench.backend() {
            Backend::Sqlite => Dialect::Sqlite,
            Backend::Postgres => Dialect::Postgres,
        };
        let as_of = AsOf { at: NOW, zone: jiff::tz::TimeZone::UTC };
        let received = compile(&parse("received('c')").expect("written well"), &as_of, dialect, 1);
        let received = bench.segment_ids(&received, None, 100).await.expect("read");
        let query = AudienceQuery { sender: "s", cap_since: Some(Timestamp(100)), before: None };
        let everyone = Fragment { sql: "TRUE".to_owned(), values: vec![] };
        let rows = bench.audience_page(&everyone, None, 100, &query).await.expect("read");
        let ids: Vec<_> = rows.iter().map(|row| row.contact.id).collect();
        let mut batch = bench.batch().await.expect("begun");
        let counted = batch.recent_texts(&ids, Timestamp(100)).await.expect("read");
        drop(batch);
        assert_eq!(rows.len(), SUBMITTED.len());
        for (row, case) in rows.iter().zip(SUBMITTED) {
            let id = row.contact.id;
            assert_eq!(received.contains(&id), case.4, "received: {case:?}");
            assert_eq!(row.recent, i64::from(case.5), "planned: {case:?}");
            assert_eq!(counted.get(&id).copied().unwrap_or(0), i64::from(case.5), "launched: {case:?}");
        }
    })
    .await;
}

#[tokio::test]
async fn a_condition_cannot_write_whatever_it_says() {
    on_both(async |bench| {
        people(bench).await;
        let sql = "c.id IN (SELECT 1); DELETE FROM contacts; --";
        let evil = Fragment { sql: sql.to_owned(), values: vec![] };
        let _ = bench.segment_count(&evil).await;
        assert_eq!(bench.contact_count().await.expect("read"), 10);
    })
    .await;
}

//! What is found when somebody looks for damage, and that reading callbacks again does no harm.

use winback::dispatch::terms::unreadable;
use winback::model::clock::Timestamp;
use winback::model::delivery::Delivery;
use winback::model::ids::{IdSource, MessageId};
use winback::model::receipt::Receipt;
use winback::store::Store;
use winback::store::check::Finding;
use winback::store::coupons::NewCode;
use winback::store::receipts::{Delivered, RawCallback};

use crate::support::stores::on_both;

const NOW: Timestamp = Timestamp(1_700_000_000_000);

/// A run with one text that a provider took, with its code.
const SENT: [&str; 4] = [
    "INSERT INTO runs (id, campaign, launch_key, plan_hash, state, definition, as_of, currency, when_in_doubt, audience, \
       starts_at, expires_at, created_at) VALUES (1, 'c', 'k', '', 'finished', '', 0, 'USD', 'park', 1, 0, 0, 0)",
    "INSERT INTO run_windows (id, run_id, key, opens_at, closes_at) VALUES (1, 1, 'k', 0, 0)",
    "INSERT INTO messages (id, run_id, contact_id, phone, country, route, sender, window_id, coupon_id, body, encoding, \
       parts, price, expires_at, dispatch, not_before) SELECT 7, 1, 1, 1, 'US', 'r', 's', 1, id, 'text', 'gsm7', 1, 0, 0, \
       'accepted', 0 FROM coupons WHERE code = 'CODE2'",
    "UPDATE coupons SET state = 'sent', message_id = 7 WHERE code = 'CODE2'",
];

async fn problems(store: &Store) -> Vec<&'static str> {
    let findings = store.check().await.expect("checked");
    let wrong = findings.into_iter().filter(|Finding { problem, .. }| problem.is_some());
    wrong.map(|finding| finding.what).collect()
}

#[tokio::test]
async fn a_sound_store_is_sound_and_damage_is_found() {
    on_both(async |bench| {
        let pool = bench.create_pool("p", "5", None, NOW).await.expect("a pool");
        let codes: Vec<NewCode> =
            (0..4).map(|n| NewCode { code: format!("CODE{n}"), expires_at: None }).collect();
        bench.add_codes(pool.id, &codes, NOW).await.expect("added");
        assert_eq!(problems(bench).await, Vec::<&str>::new());
        let mut sql = bench.sql().await;
        sql.run("UPDATE coupons SET message_id = 7 WHERE code = 'CODE0'").await;
        assert_eq!(problems(bench).await, ["coupons on the shelf"]);
        sql.run("UPDATE coupons SET message_id = NULL WHERE code = 'CODE0'").await;
        sql.run("UPDATE coupons SET state = 'sent', message_id = 7 WHERE code = 'CODE1'").await;
        assert_eq!(problems(bench).await, ["coupons given out"]);
        sql.run("UPDATE coupons SET state = 'available', message_id = NULL WHERE code = 'CODE1'").await;
        for statement in SENT {
            sql.run(statement).await;
        }
        assert_eq!(problems(bench).await, Vec::<&str>::new());
        sql.run("UPDATE coupons SET state = 'voided' WHERE code = 'CODE2'").await;
        assert_eq!(problems(bench).await, ["coupons of sent texts"]);
        sql.run("UPDATE coupons SET state = 'sent' WHERE code = 'CODE2'").await;
        sql.run("UPDATE messages SET window_id = 99").await;
        assert_eq!(problems(bench).await, ["hours of texts"]);
    })
    .await;
}

#[tokio::test]
async fn what_is_looked_through_in_pages_is_met_once_beyond_the_first_page() {
    on_both(async |bench| {
        let mut sql = bench.sql().await;
        let numbers = |last: u32| {
            format!("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {last})")
        };
        sql.run(&format!(
            "INSERT INTO runs (id, campaign, launch_key, plan_hash, state, definition, as_of, currency, when_in_doubt, \
               audience, starts_at, expires_at, created_at) {} SELECT i, 'c', CAST(i AS TEXT), '', 'finished', \
               'unreadable', 0, 'USD', 'park', 1, 0, 0, 0 FROM n",
            numbers(1_001)
        ))
        .await;
        let mut unread = unreadable(bench).await.expect("read");
        unread.sort_unstable();
        assert_eq!(unread.len(), 1_001);
        let skipped = unread.windows(2).find(|two| two[0].0 + 1 != two[1].0);
        assert_eq!(skipped, None);

        let pool = bench.create_pool("p", "5", None, NOW).await.expect("a pool");
        let codes: Vec<NewCode> =
            (1..=5).map(|n| NewCode { code: format!("CODE{n}"), expires_at: None }).collect();
        bench.add_codes(pool.id, &codes, NOW).await.expect("added");
        sql.run("INSERT INTO run_windows (id, run_id, key, opens_at, closes_at) VALUES (1, 1, 'k', 0, 0)").await;
        sql.run(&format!(
            "INSERT INTO messages (id, run_id, contact_id, phone, country, route, sender, window_id, body, encoding, \
               parts, price, expires_at, dispatch, not_before) {} SELECT i, 1, i, 12122000000 + i, 'US', 'r', 's', 1, 'text', 'gsm7', \
               1, 0, 0, 'accepted', 0 FROM n",
            numbers(5)
        ))
        .await;
        sql.run("UPDATE coupons SET state = 'sent', message_id = CAST(substr(code, 5) AS BIGINT)").await;
        let (mut met, mut after) = (Vec::new(), MessageId(0));
        for _ in 0..4 {
            let page = bench.estranged_codes(None, after, 2).await.expect("read");
            assert!(page.len() <= 2, "{page:?}");
            let Some((last, _)) = page.last() else { break };
            after = *last;
            met.extend(page.iter().map(|(message, _)| message.0));
        }
        assert_eq!(met, [1, 2, 3, 4, 5]);
    })
    .await;
}

#[tokio::test]
async fn files_that_others_can_read_are_found() {
    use std::os::unix::fs::PermissionsExt as _;
    let bench = crate::support::stores::Bench::sqlite().await;
    let path = bench.path().expect("a file");
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o644)).expect("changed");
    assert_eq!(problems(&bench).await, ["file modes"]);
}

fn callback(id: i64, reference: Option<&str>, provider_id: Option<&str>) -> Delivered {
    Delivered {
        id,
        route: "r".to_owned(),
        received_at: Timestamp(NOW.0 + id),
        raw: RawCallback {
            kind: "receipt",
            method: "POST".to_owned(),
            url: "https://sms.example.com/callback/r/receipt".to_owned(),
            path_ref: None,
            content_type: Some("application/json".to_owned()),
            body: "{}".to_owned(),
            body_encoding: "utf8",
        },
        receipts: vec![Receipt {
            reference: reference.map(str::to_owned),
            provider_id: provider_id.map(str::to_owned),
            state: Delivery::Delivered,
            status: "ok".to_owned(),
            code: None,
            opted_out: false,
        }],
        inbound: Vec::new(),
    }
}

#[tokio::test]
async fn kept_callbacks_come_back_page_by_page_and_applying_them_again_keeps_nothing_twice() {
    on_both(async |bench| {
        let callbacks =
            [callback(1, Some("else-1-1"), None), callback(2, None, Some("id-2")), callback(3, None, None)];
        let mut batch = bench.batch().await.expect("a batch");
        batch.receive(&callbacks, NOW).await.expect("kept");
        batch.commit().await.expect("durable");
        assert_eq!(bench.waiting_receipts().await.expect("read"), 3);

        let pages = async |since: i64, after: i64, limit: i64| -> Vec<i64> {
            let page = bench.kept_receipts("r", Timestamp(since), after, limit).await.expect("read");
            page.into_iter().map(|kept| kept.id).collect()
        };
        assert_eq!(pages(0, 0, 2).await, [1, 2]);
        assert_eq!(pages(0, 2, 2).await, [3]);
        assert_eq!(pages(NOW.0 + 2, 0, 9).await, [2, 3]);
        assert!(bench.kept_receipts("other", Timestamp(0), 0, 9).await.expect("read").is_empty());

        let mut batch = bench.batch().await.expect("a batch");
        let again = batch.replay(&callbacks, NOW).await.expect("applied");
        batch.commit().await.expect("durable");
        assert_eq!((again.matched, again.parked, again.changed), (0, 3, 0));
        assert_eq!(bench.waiting_receipts().await.expect("read"), 3);
    })
    .await;
}

#[tokio::test]
async fn receipts_that_wait_are_counted_so_far_and_no_further() {
    on_both(async |bench| {
        let fill = "INSERT INTO receipts (inbox_id, route, received_at, state, status) \
            WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 100500) \
            SELECT i, 'r', 0, 'none', 'x' FROM n";
        bench.sql().await.run(fill).await;
        assert_eq!(bench.waiting_receipts().await.expect("read"), 100_001);
    })
    .await;
}

#[tokio::test]
async fn receipts_of_nobody_end_oldest_first_with_their_calls_and_no_others_do() {
    on_both(async |bench| {
        let day = |n: i64| Timestamp(NOW.0 + n * 86_400_000);
        let id = |n: i64| IdSource::new(7).next(day(n));
        let mut batch = bench.batch().await.expect("a batch");
        // Two in one call, one that is matched, one that is young.
        let mut calls = [
            callback(id(0), None, Some("a")),
            callback(id(1), None, Some("b")),
            callback(id(2), Some("else-1-1"), None),
            callback(id(3), None, Some("c")),
        ];
        calls[0]
            .receipts
            .push(Receipt { provider_id: Some("a2".to_owned()), ..calls[0].receipts[0].clone() });
        batch.receive(&calls, NOW).await.expect("kept");
        batch.commit().await.expect("durable");
        bench.sql().await.run("UPDATE receipts SET message_id = 7 WHERE provider_id = 'b'").await;
        let forget = async |before: i64, most: i64| {
            let mut batch = bench.batch().await.expect("a batch");
            let gone = batch.forget_unmatched(day(before), most).await.expect("forgotten");
            batch.commit().await.expect("durable");
            let left = "SELECT (SELECT count(*) FROM receipts), (SELECT count(*) FROM inbox)";
            (gone, bench.lines(left).await.remove(0))
        };
        assert_eq!(forget(0, 9).await, (0, "5|4".to_owned()), "nothing is older");
        assert_eq!(forget(3, 1).await, (1, "4|4".to_owned()), "the call has another one");
        assert_eq!(forget(3, 9).await, (2, "2|2".to_owned()));
        assert_eq!(forget(3, 9).await, (0, "2|2".to_owned()), "what is matched or young stays");
    })
    .await;
}

//! Suppressions: in force at once, lifted only by whom they may be, and no message leaves after them.

use winback::model::clock::Timestamp;
use winback::model::phone::Phone;
use winback::model::suppression::Reason;
use winback::store::suppressions::{EVERY_SENDER, NewSuppression};

use super::contacts::phone;
use crate::support::sql::Sql;
use crate::support::stores::{Bench, on_both};

const NOW: Timestamp = Timestamp(1_700_000_000_000);

fn stop(phone: Phone, scope: &str, reason: Reason) -> NewSuppression {
    NewSuppression { phone, scope: scope.to_owned(), reason, source: "test".to_owned() }
}

/// Suppresses; compares added, already and withdrawn.
async fn check(bench: &Bench, list: &[NewSuppression], expected: (u64, u64, u64)) {
    let done = bench.suppress(list, NOW).await.expect("written");
    assert_eq!((done.added, done.already, done.withdrawn), expected, "{list:?}");
}

async fn suppressed(bench: &Bench, last: u64, sender: &str) -> bool {
    bench.is_suppressed(phone(last), sender).await.expect("read")
}

/// A run with messages; each is contact (and number), sender, state, whether it is sent again after an attempt of unknown
/// fate. Each has a coupon.
async fn messages(sql: &mut Sql, list: &[(u64, &str, &str, u8)]) {
    sql.run(
        "INSERT INTO pools (id, name, value, created_at) VALUES (1, 'p', '20', 0); \
         INSERT INTO runs (id, campaign, launch_key, plan_hash, state, definition, as_of, currency, when_in_doubt, \
           audience, starts_at, expires_at, created_at) \
         VALUES (1, 'c', 'k', 'h', 'running', '{}', 0, 'USD', 'park', 9, 0, 9, 0)",
    )
    .await;
    for (n, (contact, sender, state, duplicate)) in list.iter().enumerate() {
        let (id, coupon) = (n + 1, n + 101);
        sql.run(&format!(
            "INSERT INTO messages (id, run_id, contact_id, phone, country, route, sender, window_id, coupon_id, body, \
               encoding, parts, price, expires_at, dispatch, not_before, possible_duplicate, owner, lease_until) \
             VALUES ({id}, 1, {id}, {}, 'US', 'r', '{sender}', 1, {coupon}, 'b', 'gsm7', 1, 1, 9, '{state}', 0, \
               {duplicate}, 'node', 5); \
             INSERT INTO coupons (id, pool_id, code, state, message_id, created_at, changed_at) \
             VALUES ({coupon}, 1, 'C{coupon}', 'reserved', {id}, 0, 0)",
            phone(*contact).digits()
        ))
        .await;
        if *duplicate == 1 {
            sql.run(&format!(
                "INSERT INTO attempts (message_id, number, epoch, route, owner, reference, intent_at, outcome) \
                 VALUES ({id}, 1, 1, 'r', 'node', 'x', 0, 'unknown')"
            ))
            .await;
        }
    }
}

#[tokio::test]
async fn a_suppression_holds_for_its_scope_until_it_is_lifted() {
    on_both(async |bench| {
        check(
            bench,
            &[stop(phone(1), EVERY_SENDER, Reason::Stop), stop(phone(2), "SHOP", Reason::Stop)],
            (2, 0, 0),
        )
        .await;
        check(bench, &[stop(phone(1), EVERY_SENDER, Reason::Review)], (0, 1, 0)).await;
        let table = [
            (1, "SHOP", true),
            (1, EVERY_SENDER, true),
            (2, "SHOP", true),
            (2, "OTHER", false),
            (2, EVERY_SENDER, false),
            (3, "SHOP", false),
        ];
        for (last, sender, expected) in table {
            assert_eq!(suppressed(bench, last, sender).await, expected, "{last} {sender}");
        }
        assert_eq!(bench.lift(phone(1), "start", Timestamp(NOW.0 + 1)).await.expect("written"), 1);
        assert_eq!(bench.lift(phone(1), "start", Timestamp(NOW.0 + 2)).await.expect("written"), 0);
        assert!(!suppressed(bench, 1, "SHOP").await);
        // It can begin again, and its history stays.
        check(bench, &[stop(phone(1), EVERY_SENDER, Reason::Stop)], (1, 0, 0)).await;
        let history = bench.suppressions_of(phone(1)).await.expect("read");
        let ends: Vec<_> = history.iter().map(|s| (s.lifted_at, s.lifted_by.as_deref())).collect();
        assert_eq!(ends, [(Some(Timestamp(NOW.0 + 1)), Some("start")), (None, None)]);
    })
    .await;
}

#[tokio::test]
async fn a_start_lifts_what_it_may_and_a_firmer_reason_replaces_a_weaker_one() {
    on_both(async |bench| {
        for (n, reason) in Reason::ALL.into_iter().enumerate() {
            let number = phone(n as u64);
            check(bench, &[stop(number, EVERY_SENDER, reason)], (1, 0, 0)).await;
            let lifted = bench.lift(number, "start", NOW).await.expect("written");
            assert_eq!(lifted == 1, reason.lifted_by_start(), "{reason:?}");
        }
        // A complaint about somebody who had written STOP: a START no longer lifts it.
        check(bench, &[stop(phone(9), EVERY_SENDER, Reason::Stop)], (1, 0, 0)).await;
        check(bench, &[stop(phone(9), EVERY_SENDER, Reason::Complaint)], (1, 0, 0)).await;
        check(bench, &[stop(phone(9), EVERY_SENDER, Reason::Stop)], (0, 1, 0)).await;
        assert_eq!(bench.lift(phone(9), "start", NOW).await.expect("written"), 0);
        assert!(suppressed(bench, 9, "SHOP").await);
        // Told in one batch, the firmer reason counts too.
        let both =
            [stop(phone(8), EVERY_SENDER, Reason::Stop), stop(phone(8), EVERY_SENDER, Reason::Operator)];
        check(bench, &both, (1, 1, 0)).await;
        assert_eq!(bench.lift(phone(8), "start", NOW).await.expect("written"), 0);
    })
    .await;
}

#[tokio::test]
async fn suppressing_withdraws_what_has_not_left_and_nothing_else() {
    on_both(async |bench| {
        let mut sql = bench.sql().await;
        let list = [
            (1, "SHOP", "planned", 0),
            (1, "SHOP", "queued", 0),
            (1, "OTHER", "claimed", 0),
            (1, "SHOP", "submitting", 0),
            (1, "SHOP", "ambiguous", 0),
            (1, "SHOP", "accepted", 0),
            (2, "SHOP", "planned", 0),
        ];
        messages(&mut sql, &list).await;
        check(bench, &[stop(phone(1), EVERY_SENDER, Reason::Stop)], (1, 0, 3)).await;
        let states =
            sql.lines("SELECT dispatch, settled_at, owner, lease_until FROM messages ORDER BY id").await;
        let withdrawn = format!("suppressed|{}|-|-", NOW.0);
        let expected = [
            withdrawn.as_str(),
            &withdrawn,
            &withdrawn,
            "submitting|-|node|5",
            "ambiguous|-|node|5",
            "accepted|-|node|5",
            "planned|-|node|5",
        ];
        assert_eq!(states, expected);
    })
    .await;
}

#[tokio::test]
async fn suppressing_one_sender_withdraws_its_messages_alone_even_when_it_was_suppressed_before() {
    on_both(async |bench| {
        let mut sql = bench.sql().await;
        check(bench, &[stop(phone(1), "SHOP", Reason::Stop)], (1, 0, 0)).await;
        messages(&mut sql, &[(1, "SHOP", "queued", 0), (1, "OTHER", "queued", 0), (2, "SHOP", "queued", 0)])
            .await;
        check(bench, &[stop(phone(1), "SHOP", Reason::Stop)], (0, 1, 1)).await;
        let states = sql.lines("SELECT dispatch FROM messages ORDER BY id").await;
        assert_eq!(states, ["suppressed", "queued", "queued"]);
    })
    .await;
}

#[tokio::test]
async fn coupons_of_withdrawn_messages_return_to_stock_unless_they_may_have_been_sent() {
    on_both(async |bench| {
        let mut sql = bench.sql().await;
        let list =
            [(1, "S", "queued", 0), (1, "S", "queued", 1), (1, "S", "queued", 0), (2, "S", "queued", 0)];
        messages(&mut sql, &list).await;
        // The third coupon has another message by now.
        sql.run("UPDATE coupons SET message_id = 77 WHERE id = 103").await;
        check(bench, &[stop(phone(1), EVERY_SENDER, Reason::Operator)], (1, 0, 3)).await;
        let coupons = sql.lines("SELECT id, state, message_id, changed_at FROM coupons ORDER BY id").await;
        let (free, kept) = (format!("101|available|-|{}", NOW.0), format!("102|quarantined|2|{}", NOW.0));
        assert_eq!(coupons, [free.as_str(), &kept, "103|reserved|77|0", "104|reserved|4|0"]);
    })
    .await;
}

#[tokio::test]
async fn suppressions_are_listed_page_by_page() {
    on_both(async |bench| {
        let list: Vec<_> = (0..5).map(|n| stop(phone(n), EVERY_SENDER, Reason::Operator)).collect();
        check(bench, &list, (5, 0, 0)).await;
        let first = bench.suppressions(0, 3).await.expect("read");
        let rest = bench.suppressions(first[2].id, 3).await.expect("read");
        let phones: Vec<_> = first.iter().chain(&rest).map(|s| s.phone).collect();
        assert_eq!(phones, (0..5).map(phone).collect::<Vec<_>>());
        assert_eq!((first[0].reason, first[0].source.as_str()), (Reason::Operator, "test"));
        check(bench, &[], (0, 0, 0)).await;
    })
    .await;
}

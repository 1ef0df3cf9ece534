//! The stock of codes: pools that never change their worth, codes that exist once, books that balance.

use winback::model::clock::Timestamp;
use winback::model::ids::PoolId;
use winback::store::coupons::{AddedCodes, NewCode, PoolCounts};

use crate::support::stores::{Bench, on_both};

const NOW: Timestamp = Timestamp(1_700_000_000_000);

fn codes(list: &[&str]) -> Vec<NewCode> {
    list.iter().map(|code| NewCode { code: (*code).to_owned(), expires_at: None }).collect()
}

async fn pool(bench: &Bench, name: &str) -> PoolId {
    bench.create_pool(name, "20", None, NOW).await.expect("created").id
}

#[tokio::test]
async fn a_pool_created_again_is_the_same_pool_and_never_changes_its_worth() {
    on_both(async |bench| {
        let until = Some(Timestamp(NOW.0 + 1000));
        let first = bench.create_pool("autumn", "20", until, NOW).await.expect("created");
        let again = bench.create_pool("autumn", "20", until, Timestamp(NOW.0 + 5)).await.expect("the same");
        assert_eq!(again, first);
        for (value, expires_at) in [("25", until), ("20", None)] {
            let error = bench.create_pool("autumn", value, expires_at, NOW).await.expect_err("another worth");
            assert!(error.to_string().contains("pool `autumn` exists with value 20"), "{error}");
            assert!(error.to_string().contains("choose another name"), "{error}");
        }
        assert_eq!(bench.pool("autumn").await.expect("read"), Some(first.clone()));
        assert_eq!(bench.pool("winter").await.expect("read"), None);
        let other = bench.create_pool("Winter", "5", None, NOW).await.expect("created");
        assert_eq!(bench.coupon_pools().await.expect("read"), [other, first]);
    })
    .await;
}

#[tokio::test]
async fn a_code_exists_once_in_the_whole_store() {
    on_both(async |bench| {
        let (one, two) = (pool(bench, "one").await, pool(bench, "two").await);
        let check = async |pool, list: &[&str], added, repeated, elsewhere: &[usize]| {
            let elsewhere = elsewhere.to_vec();
            let counts = bench.add_codes(pool, &codes(list), NOW).await.expect("written");
            assert_eq!(counts, AddedCodes { added, repeated, elsewhere }, "{list:?}");
        };
        check(one, &["A", "B", "A"], 2, 1, &[]).await;
        check(one, &["B", "C"], 1, 1, &[]).await;
        check(two, &["D", "C", "a"], 2, 0, &[1]).await;
        check(two, &[], 0, 0, &[]).await;
        assert!(bench.add_codes(PoolId(99), &codes(&["Z"]), NOW).await.is_err());
    })
    .await;
}

#[tokio::test]
async fn the_states_of_a_pool_add_up_to_its_stock() {
    on_both(async |bench| {
        let (pool, other) = (pool(bench, "one").await, pool(bench, "two").await);
        let list: Vec<String> = (0..28).map(|n| format!("C{n:02}")).collect();
        let list: Vec<&str> = list.iter().map(String::as_str).collect();
        bench.add_codes(pool, &codes(&list), NOW).await.expect("written");
        bench.add_codes(other, &codes(&["X"]), NOW).await.expect("written");
        let states = ["reserved", "sent", "redeemed", "expired", "voided", "quarantined"];
        let mut sql = bench.sql().await;
        for (n, state) in states.iter().enumerate() {
            sql.run(&format!(
                "UPDATE coupons SET state = '{state}' WHERE id IN \
                 (SELECT id FROM coupons WHERE state = 'available' AND code LIKE 'C%' ORDER BY id LIMIT {})",
                n + 1
            ))
            .await;
        }
        let counts = bench.pool_counts(pool).await.expect("read");
        let expected = PoolCounts {
            available: 7,
            reserved: 1,
            sent: 2,
            redeemed: 3,
            expired: 4,
            voided: 5,
            quarantined: 6,
        };
        assert_eq!(counts, expected);
        assert_eq!(counts.stock(), 28);
    })
    .await;
}

#[tokio::test]
async fn codes_are_listed_page_by_page_and_by_state() {
    on_both(async |bench| {
        let pool = pool(bench, "one").await;
        let mut list = codes(&["C", "A", "B"]);
        list[1].expires_at = Some(Timestamp(7));
        bench.add_codes(pool, &list, NOW).await.expect("written");
        bench.sql().await.run("UPDATE coupons SET state = 'sent', message_id = 5 WHERE code = 'B'").await;
        let first = bench.codes(pool, None, None, 2).await.expect("read");
        assert_eq!(first.iter().map(|code| code.code.as_str()).collect::<Vec<_>>(), ["C", "A"]);
        assert_eq!(first[1].expires_at, Some(Timestamp(7)));
        let rest = bench.codes(pool, None, Some(first[1].id), 2).await.expect("read");
        assert_eq!(rest.len(), 1);
        assert_eq!((rest[0].state.as_str(), rest[0].message.map(|id| id.0)), ("sent", Some(5)));
        let available = bench.codes(pool, Some("available"), None, 9).await.expect("read");
        assert_eq!(available, first);
        // Whoever logs a code shows none.
        let shown = format!("{list:?} {first:?}");
        assert!(!shown.contains("code:"), "{shown}");
    })
    .await;
}

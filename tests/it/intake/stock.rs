//! Coupon codes, imported and generated, and lists of opt-outs.

use std::collections::HashSet;

use jiff::tz::TimeZone;
use rand::SeedableRng as _;
use rand::rngs::StdRng;
use winback::intake::coupon::{CouponOptions, CouponReader};
use winback::intake::generate::{Drawing, GenerateError, generate_codes};
use winback::intake::headers::Mapping;
use winback::intake::import::{CouponImport, Handling, OptoutImport, import_coupons, import_optouts};
use winback::intake::optout::{OptoutOptions, OptoutReader};
use winback::model::coupon::{Alphabet, CouponCode, GuessOdds, verify};
use winback::model::phone::Phone;
use winback::store::coupons::Pool;

use super::{NOW, first, rehearsal, showing, table};
use crate::support::stores::{Bench, on_both};

async fn pool(bench: &Bench, name: &str) -> Pool {
    bench.create_pool(name, "20", None, NOW).await.expect("created")
}

async fn coupons(bench: &Bench, pool: &Pool, text: &str, handling: Handling<'_>) -> CouponImport {
    let table = table(text);
    let options = CouponOptions { zone: TimeZone::UTC, now: NOW, least_length: 6 };
    let reader = CouponReader::new(table.headers(), &Mapping::default(), options).expect("columns");
    import_coupons(bench, pool, table, reader, NOW, handling).await.expect("imported")
}

async fn codes(bench: &Bench, pool: &Pool) -> Vec<String> {
    let codes = bench.codes(pool.id, None, None, 100_000).await.expect("read");
    codes.into_iter().map(|code| code.code).collect()
}

#[tokio::test]
async fn codes_come_in_once_in_the_spelling_of_the_file_and_never_into_two_pools() {
    on_both(async |bench| {
        let (one, two) = (pool(bench, "one").await, pool(bench, "two").await);
        let list = "code,amount\nSave-20-a,20.00\nSAVE20B,\nsave 20 a,20\nSAVE20C,25\nx,20\n";
        let expected = ["4 code_repeated", "5 code_worth", "6 code_too_short"];
        let rehearsed = coupons(bench, &one, list, rehearsal(9)).await;
        assert_eq!(codes(bench, &one).await, Vec::<String>::new());
        let done = coupons(bench, &one, list, showing(9)).await;
        assert_eq!(rehearsed, done);
        assert_eq!(
            (done.rows, done.added, done.repeated, first(&done.rejected)),
            (5, 2, 0, expected.map(str::to_owned).to_vec())
        );
        let again = coupons(bench, &one, list, showing(0)).await;
        assert_eq!((again.added, again.repeated, again.rejected.count), (0, 2, 3));
        assert_eq!(codes(bench, &one).await, ["Save-20-a", "SAVE20B"]);
        let other = coupons(bench, &two, "code\nNEWCODE1\nSAVE20B\nNEWCODE2\n", showing(9)).await;
        assert_eq!((other.added, first(&other.rejected)), (2, vec!["3 code_in_pool".to_owned()]));
    })
    .await;
}

#[tokio::test]
async fn generated_codes_are_unique_checked_and_as_long_as_the_guessing_bound_asks() {
    on_both(async |bench| {
        let pool = pool(bench, "drawn").await;
        let drawing = Drawing { alphabet: Alphabet::Standard, check: true, odds: GuessOdds::Million };
        let mut rng = StdRng::seed_from_u64(7);
        // 31^6 / 10^6 is 887: up to as many live codes need six characters, more need seven, beyond 27,512 eight.
        for (count, stock, length) in [(800, 800, 7), (6_000, 6_800, 8), (21_000, 27_800, 9)] {
            let mut told = Vec::new();
            let done =
                generate_codes(bench, &pool, count, drawing, &mut rng, NOW, |added| told.push(added)).await;
            assert_eq!(done.expect("generated").added, count);
            assert_eq!((told.last(), told.is_sorted()), (Some(&count), true));
            let codes = codes(bench, &pool).await;
            assert_eq!(codes.len(), stock);
            for code in &codes[stock - usize::try_from(count).expect("small")..] {
                assert_eq!(code.len(), length, "the check character comes on top");
                assert_eq!(verify(&CouponCode::parse(code).expect("a code")), Ok(()));
            }
            assert_eq!(codes.iter().collect::<HashSet<_>>().len(), stock);
        }
    })
    .await;
}

#[tokio::test]
async fn a_code_that_exists_is_drawn_again_and_broken_randomness_is_noticed() {
    on_both(async |bench| {
        let pool = pool(bench, "drawn").await;
        let drawing = Drawing { alphabet: Alphabet::Vowelless, check: false, odds: GuessOdds::Million };
        let draw = async |count, seed| {
            generate_codes(bench, &pool, count, drawing, &mut StdRng::seed_from_u64(seed), NOW, |_| ()).await
        };
        assert_eq!(draw(20, 1).await.expect("generated").drawn_again, 0);
        // The same generator from its start gives the same twenty first.
        let again = draw(50, 1).await.expect("generated");
        assert_eq!((again.added, again.drawn_again), (50, 20));
        let mut broken = Stuck;
        let stuck = generate_codes(bench, &pool, 2, drawing, &mut broken, NOW, |_| ()).await;
        assert!(matches!(stuck, Err(GenerateError::BrokenRandomness)), "{stuck:?}");
        let refused = Drawing { check: true, ..drawing };
        let error =
            generate_codes(bench, &pool, 2, refused, &mut broken, NOW, |_| ()).await.expect_err("no check");
        assert!(error.to_string().contains("standard"), "{error}");
    })
    .await;
}

/// A generator that says the same for ever.
struct Stuck;

impl rand::TryRng for Stuck {
    type Error = std::convert::Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Self::Error> {
        Ok(0x1010_1010)
    }

    fn try_next_u64(&mut self) -> Result<u64, Self::Error> {
        Ok(0x1010_1010_1010_1010)
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Self::Error> {
        bytes.fill(0x10);
        Ok(())
    }
}

impl rand::TryCryptoRng for Stuck {}

async fn optouts(bench: &Bench, text: &str, handling: Handling<'_>) -> OptoutImport {
    let table = table(text);
    let options = OptoutOptions { country: "US".parse().ok(), zone: TimeZone::UTC };
    let reader = OptoutReader::new(table.headers(), &Mapping::default(), options).expect("columns");
    import_optouts(bench, "stops.csv", table, reader, NOW, handling).await.expect("imported")
}

#[tokio::test]
async fn opt_outs_withdraw_what_has_not_left_and_no_start_lifts_them() {
    on_both(async |bench| {
        let mut sql = bench.sql().await;
        sql.run(
            "INSERT INTO runs (id, campaign, launch_key, plan_hash, state, definition, as_of, currency, \
               when_in_doubt, audience, starts_at, expires_at, created_at) \
             VALUES (1, 'c', 'k', 'h', 'running', '{}', 0, 'USD', 'park', 9, 0, 9, 0)",
        )
        .await;
        for (id, phone, state) in
            [(1, 14_805_550_101_i64, "queued"), (2, 14_805_550_101, "accepted"), (3, 14_805_550_103, "queued")]
        {
            sql.run(&format!(
                "INSERT INTO messages (id, run_id, contact_id, phone, country, route, sender, window_id, body, \
                   encoding, parts, price, expires_at, dispatch, not_before) \
                 VALUES ({id}, 1, {id}, {phone}, 'US', 'r', 's', 1, 'b', 'gsm7', 1, 1, 9, '{state}', 0)"
            ))
            .await;
        }
        let list = "phone,reason,date\n(480) 555-0101,STOP by mail,2026-10-01\n4805550102,,\nnobody,x,\n480-555-0101,,\n";
        let dispatch = "SELECT dispatch FROM messages ORDER BY id";
        let rehearsed = optouts(bench, list, rehearsal(9)).await;
        assert_eq!(sql.lines(dispatch).await, ["queued", "accepted", "queued"]);
        let done = optouts(bench, list, showing(9)).await;
        assert_eq!(rehearsed, done);
        assert_eq!((done.rows, done.added, done.already, done.withdrawn), (4, 2, 1, 1));
        assert_eq!(first(&done.rejected), ["4 phone_not_a_number"]);
        assert_eq!(sql.lines(dispatch).await, ["suppressed", "accepted", "queued"]);
        let phone = Phone::from_digits(14_805_550_101).expect("valid");
        let history = bench.suppressions_of(phone).await.expect("read");
        assert_eq!(history[0].source, "stops.csv, 2026-10-01T00:00:00Z: STOP by mail");
        assert_eq!(bench.lift(phone, "start", NOW).await.expect("written"), 0);
        let again = optouts(bench, list, showing(0)).await;
        assert_eq!((again.added, again.already, again.withdrawn), (0, 3, 0));
        let empty = optouts(bench, "phone,reason\n4805550109,\n", showing(0)).await;
        assert_eq!(empty.added, 1);
        assert!(bench.is_suppressed(phone, "s").await.expect("read"), "a shorter list lifts nothing");
    })
    .await;
}

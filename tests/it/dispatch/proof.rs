//! Proof of acceptance that comes late: what was given back is taken again, and the books balance at every instant.

use super::books;
use crate::support::hand::{answered, claim, intend, received, reference_of, report, sent, settled};
use crate::support::stores::{Bench, on_both};
use crate::support::world::World;
use winback::dispatch::sweep::withdraw;
use winback::model::delivery::Delivery;
use winback::model::ids::MessageId;
use winback::model::message::Claimed;
use winback::model::outcome::OutcomeClass;
use winback::model::run::Run;
use winback::model::state::Cause;

pub(crate) const PRICE: i64 = 10_000;

pub(crate) async fn begin(bench: &Bench, people: u64) -> (World, Run) {
    let world = World::new(bench, people, |_| {}).await;
    let (_, run) = world.launch(bench, "comeback", "").await;
    (world, run)
}

/// What is wrong with the books, as `winback store check` finds it.
pub(crate) async fn wrong(bench: &Bench) -> Vec<&'static str> {
    let findings = bench.check().await.unwrap();
    findings.into_iter().filter(|finding| finding.problem.is_some()).map(|finding| finding.what).collect()
}

/// State and outcome of the first attempt of a message, and what its run has spent.
pub(crate) async fn stands(bench: &Bench, message: &Claimed) -> String {
    let id = message.id;
    let question = format!(
        "SELECT m.dispatch, a.outcome, r.spent FROM messages AS m JOIN runs AS r ON r.id = m.run_id \
         JOIN attempts AS a ON a.message_id = m.id AND a.number = 1 WHERE m.id = {id}"
    );
    bench.lines(&question).await.remove(0)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_text_that_arrived_all_the_same_takes_its_code_and_its_money_again_once() {
    on_both(async |bench| {
        let (world, _) = begin(bench, 1).await;
        let message = sent(bench, &world, OutcomeClass::BadContent).await;
        assert_eq!(stands(bench, &message).await, "rejected|bad_content|0");
        assert_eq!(books(bench).await, "available 11 reserved 0 sent 0 quarantined 0");
        for id in 1..4 {
            let reference = reference_of(bench, &message, 1);
            received(bench, &world, report(id, Some(&reference), None, Delivery::Delivered)).await;
            assert_eq!(stands(bench, &message).await, format!("accepted|accepted|{PRICE}"), "proof {id}");
            assert_eq!(books(bench).await, "available 10 reserved 0 sent 1 quarantined 0");
            assert_eq!(wrong(bench).await, Vec::<&str>::new());
        }
        world.end().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn doubt_that_ends_by_proof_costs_what_it_cost_before() {
    on_both(async |bench| {
        let (world, _) = begin(bench, 1).await;
        let message = sent(bench, &world, OutcomeClass::Unknown).await;
        assert_eq!(stands(bench, &message).await, format!("ambiguous|unknown|{PRICE}"));
        let reference = reference_of(bench, &message, 1);
        received(bench, &world, report(1, Some(&reference), None, Delivery::Undelivered)).await;
        assert_eq!(stands(bench, &message).await, format!("accepted|accepted|{PRICE}"));
        assert_eq!(books(bench).await, "available 10 reserved 0 sent 1 quarantined 0");
        assert_eq!(wrong(bench).await, Vec::<&str>::new());
        world.end().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_text_proven_after_it_was_withdrawn_is_accepted_with_code_and_money() {
    on_both(async |bench| {
        for (state, cause) in
            [("cancelled", Some(Cause::Cancel)), ("expired", Some(Cause::Expire)), ("queued", None)]
        {
            let bench = if bench.path().is_some() { Bench::sqlite().await } else { Bench::postgres().await };
            let (world, run) = begin(&bench, 1).await;
            let message = sent(&bench, &world, OutcomeClass::Throttled).await;
            if let Some(cause) = cause {
                withdraw(&bench, run.id, cause, world.clock.now()).await.unwrap();
                assert_eq!(books(&bench).await, "available 11 reserved 0 sent 0 quarantined 0");
            }
            assert_eq!(stands(&bench, &message).await, format!("{state}|throttled|0"));
            let reference = reference_of(&bench, &message, 1);
            received(&bench, &world, report(1, Some(&reference), None, Delivery::EnRoute)).await;
            assert_eq!(stands(&bench, &message).await, format!("accepted|accepted|{PRICE}"), "{state}");
            assert_eq!(books(&bench).await, "available 10 reserved 0 sent 1 quarantined 0", "{state}");
            assert_eq!(wrong(&bench).await, Vec::<&str>::new(), "{state}");
            assert!(claim(&bench, &world, "node", 9).await.is_empty(), "{state}: not sent again");
            world.end().await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_code_that_somebody_else_has_by_now_is_said_to_be_contested_and_returns_to_its_text() {
    on_both(async |bench| {
        let (world, run) = begin(bench, 2).await;
        let first = sent(bench, &world, OutcomeClass::BadContent).await;
        let second = claim(bench, &world, "node", 1).await.remove(0);
        // The code that was given back went out with the other text.
        bench
            .sql()
            .await
            .run(&format!(
                "UPDATE coupons SET state = 'available', message_id = NULL WHERE message_id = {second}; \
                 UPDATE messages SET coupon_id = (SELECT coupon_id FROM messages WHERE id = {first}) WHERE id = {second}; \
                 UPDATE coupons SET state = 'reserved', message_id = {second} \
                   WHERE id = (SELECT coupon_id FROM messages WHERE id = {first})",
                first = first.id,
                second = second.id
            ))
            .await;
        for id in 1..3 {
            let reference = reference_of(bench, &first, 1);
            received(bench, &world, report(id, Some(&reference), None, Delivery::Delivered)).await;
            assert_eq!(books(bench).await, "available 11 reserved 1 sent 0 quarantined 0");
            assert_eq!(wrong(bench).await, ["coupons of sent texts"]);
            let shown = bench.message(MessageId(first.id.0)).await.unwrap().unwrap().0;
            assert!(shown.code_contested, "and each text says so");
            let codes = bench.numbers(run.id).await.unwrap().codes;
            assert_eq!(codes, [("contested".to_owned(), 1), ("reserved".to_owned(), 1)]);
        }
        // The other text is refused: its code is not free, the first person has it.
        assert_eq!(intend(bench, &world, "node", std::slice::from_ref(&second)).await.0, 1);
        settled(bench, &world, &[answered(&world, &second, OutcomeClass::BadContent)]).await;
        assert_eq!(books(bench).await, "available 11 reserved 0 sent 1 quarantined 0");
        assert_eq!(wrong(bench).await, Vec::<&str>::new());
        assert!(!bench.message(MessageId(first.id.0)).await.unwrap().unwrap().0.code_contested);
        world.end().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_after_the_doubt_was_recorded_moves_money_as_the_answer_says() {
    on_both(async |bench| {
        for (class, state, spent) in [
            (OutcomeClass::Accepted, "accepted|accepted", PRICE),
            (OutcomeClass::Throttled, "queued|throttled", 0),
            (OutcomeClass::Garbled, "ambiguous|garbled", PRICE),
        ] {
            let bench = if bench.path().is_some() { Bench::sqlite().await } else { Bench::postgres().await };
            let (world, _) = begin(&bench, 1).await;
            let message = sent(&bench, &world, OutcomeClass::Unknown).await;
            for _ in 0..2 {
                settled(&bench, &world, &[answered(&world, &message, class)]).await;
                assert_eq!(stands(&bench, &message).await, format!("{state}|{spent}"));
                assert_eq!(wrong(&bench).await, Vec::<&str>::new(), "{class:?}");
            }
            world.end().await;
        }
    })
    .await;
}

/// Takes a message that waits for its retry and submits it again; its answer is still to come.
pub(crate) async fn again(bench: &Bench, world: &World) -> Claimed {
    bench.sql().await.run("UPDATE messages SET not_before = 0 WHERE dispatch = 'queued'").await;
    let message = claim(bench, world, "node", 1).await.remove(0);
    assert_eq!(intend(bench, world, "node", std::slice::from_ref(&message)).await.0, 1);
    message
}

#[tokio::test(flavor = "multi_thread")]
async fn proof_for_an_earlier_attempt_ends_a_message_that_would_be_sent_again() {
    on_both(async |bench| {
        // The second answer, whose attempt the report is about, and the money of both attempts afterwards.
        for (second, number, spent) in [
            (OutcomeClass::Throttled, 1, PRICE),
            (OutcomeClass::Unavailable, 1, PRICE),
            (OutcomeClass::BadContent, 1, PRICE),
            (OutcomeClass::Unknown, 1, 2 * PRICE),
            (OutcomeClass::Throttled, 2, PRICE),
            (OutcomeClass::Accepted, 1, 2 * PRICE),
        ] {
            let bench = if bench.path().is_some() { Bench::sqlite().await } else { Bench::postgres().await };
            let (world, _) = begin(&bench, 1).await;
            let first = sent(&bench, &world, OutcomeClass::Throttled).await;
            let message = again(&bench, &world).await;
            let reference = reference_of(&bench, &first, number);
            received(&bench, &world, report(1, Some(&reference), None, Delivery::Delivered)).await;
            let state = "SELECT dispatch, delivery FROM messages";
            assert_eq!(bench.lines(state).await, ["submitting|delivered"], "its answer is still to come");
            assert_eq!(wrong(&bench).await, Vec::<&str>::new(), "{second:?} {number}: the books meanwhile");
            settled(&bench, &world, &[answered(&world, &message, second)]).await;
            assert_eq!(bench.lines(state).await, ["accepted|delivered"], "{second:?} {number}");
            assert_eq!(
                bench.lines("SELECT spent FROM runs").await,
                [spent.to_string()],
                "{second:?} {number}"
            );
            assert_eq!(books(&bench).await, "available 10 reserved 0 sent 1 quarantined 0", "{second:?}");
            assert_eq!(wrong(&bench).await, Vec::<&str>::new(), "{second:?} {number}");
            world.end().await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_late_answer_for_the_first_copy_ends_a_message_whose_second_copy_was_not_taken() {
    on_both(async |bench| {
        let (world, _) = begin(bench, 1).await;
        let first = sent(bench, &world, OutcomeClass::Unknown).await;
        let mut batch = bench.batch().await.unwrap();
        batch.resend(&[first.id], world.clock.now()).await.unwrap();
        batch.commit().await.unwrap();
        let second = again(bench, &world).await;
        settled(bench, &world, &[answered(&world, &first, OutcomeClass::Accepted)]).await;
        assert_eq!(bench.lines("SELECT dispatch FROM messages").await, ["submitting"]);
        settled(bench, &world, &[answered(&world, &second, OutcomeClass::Throttled)]).await;
        assert_eq!(stands(bench, &first).await, format!("accepted|accepted|{PRICE}"));
        assert_eq!(wrong(bench).await, Vec::<&str>::new());
        world.end().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receipt_that_did_not_see_its_answer_and_was_not_seen_by_it_is_joined_by_the_sweep() {
    on_both(async |bench| {
        let (world, _) = begin(bench, 1).await;
        let message = claim(bench, &world, "node", 1).await.remove(0);
        assert_eq!(intend(bench, &world, "node", std::slice::from_ref(&message)).await.0, 1);
        let id = format!("id-{}", message.id);
        let mut callback = report(1, None, Some(&id), Delivery::Delivered);
        callback.received_at = world.clock.now();
        let beside = world.beside().await;
        if bench.path().is_some() {
            // One writer: as if the two had met.
            settled(bench, &world, &[answered(&world, &message, OutcomeClass::Accepted)]).await;
            received(bench, &world, callback).await;
            let apart = "UPDATE receipts SET message_id = NULL, number = NULL; UPDATE messages SET delivery = 'none'";
            bench.sql().await.run(apart).await;
        } else {
            // Two nodes: neither has committed while the other looks.
            let (mut one, mut two) = (bench.batch().await.unwrap(), beside.batch().await.unwrap());
            assert_eq!(one.receive(&[callback], world.clock.now()).await.unwrap().parked, 1);
            let answer = answered(&world, &message, OutcomeClass::Accepted);
            two.settle("sim", &[answer], world.clock.now()).await.unwrap();
            one.commit().await.unwrap();
            two.commit().await.unwrap();
        }
        let state = "SELECT m.dispatch, m.delivery, (SELECT count(*) FROM receipts WHERE message_id = m.id) FROM messages AS m";
        assert_eq!(bench.lines(state).await, ["accepted|none|0"], "they missed each other");
        super::planning::sweep(bench, &world.clock.now().rfc3339()).once().await.unwrap();
        assert_eq!(bench.lines(state).await, ["accepted|delivered|1"]);
        beside.close().await;
        world.end().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_callback_that_is_read_in_another_way_is_shown_as_it_is_read_now() {
    on_both(async |bench| {
        let (world, _) = begin(bench, 1).await;
        let message = sent(bench, &world, OutcomeClass::Accepted).await;
        let reference = reference_of(bench, &message, 1);
        // Its word was not understood, and neither was whose it is.
        let mut callback = report(1, None, Some("nobody"), Delivery::None);
        callback.receipts[0].status = "zugestellt".to_owned();
        received(bench, &world, callback.clone()).await;
        let rows = "SELECT message_id, state, status FROM receipts";
        assert_eq!(bench.lines(rows).await, ["-|none|zugestellt"]);
        let now = world.clock.now();
        callback.receipts[0].reference = Some(reference);
        for state in [Delivery::None, Delivery::Delivered, Delivery::Delivered] {
            callback.receipts[0].state = state;
            let mut batch = bench.batch().await.unwrap();
            batch.replay(std::slice::from_ref(&callback), now).await.unwrap();
            batch.commit().await.unwrap();
            let expected = format!("{}|{}|zugestellt", message.id, state.as_str());
            assert_eq!(bench.lines(rows).await, [expected], "one row, read as it is read now");
        }
        assert_eq!(bench.lines("SELECT delivery FROM messages").await, ["delivered"]);
        world.end().await;
    })
    .await;
}

//! Answers that come after doubt, a decision or a cancel: money moves once, whichever of the two came first.

use super::books;
use super::proof::{PRICE, again, begin, stands, wrong};
use crate::support::hand::{answered, claim, intend, received, reference_of, report, sent, settled};
use crate::support::stores::{Bench, on_both};
use crate::support::world::World;
use std::time::Duration;
use winback::dispatch::resolve::{Decider, Kept, resolve};
use winback::model::delivery::Delivery;
use winback::model::ids::MessageId;
use winback::model::message::{Refusal, Verdict};
use winback::model::outcome::OutcomeClass;
use winback::model::suppression::Reason;
use winback::store::suppressions::{EVERY_SENDER, NewSuppression};

/// What a person says about one message; answers why it stays, if it does.
async fn say(bench: &Bench, world: &World, id: MessageId, verdict: Verdict) -> Option<Kept> {
    let ada = Decider { by: "ada", reason: None };
    let resolved = resolve(bench, &[id], verdict, ada, world.clock.now()).await.unwrap();
    resolved.kept.first().map(|(_, why)| *why)
}

async fn park(bench: &Bench, world: &World, id: MessageId) {
    let mut batch = bench.batch().await.unwrap();
    assert_eq!(batch.park(&[id], world.clock.now()).await.unwrap(), 1);
    batch.commit().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_decision_and_a_late_answer_pay_or_give_back_once_in_either_order() {
    use OutcomeClass::{Accepted, BadContent, Throttled};
    on_both(async |bench| {
        // What was decided, what was answered, and where that leads: the answer to open doubt first, to parked doubt
        // first, the decision first.
        let table = [
            (Verdict::NotSent, Accepted, ["accepted", "accepted", "accepted"]),
            (Verdict::NotSent, Throttled, ["queued", "failed", "failed"]),
            (Verdict::NotSent, BadContent, ["rejected", "failed", "failed"]),
            (Verdict::Accepted, Accepted, ["accepted", "accepted", "accepted"]),
            (Verdict::Accepted, Throttled, ["queued", "accepted", "accepted"]),
            (Verdict::Accepted, BadContent, ["rejected", "accepted", "accepted"]),
            (Verdict::Resend, Accepted, ["accepted", "accepted", "accepted"]),
            (Verdict::Resend, Throttled, ["queued", "queued", "queued"]),
            (Verdict::Resend, BadContent, ["rejected", "queued", "queued"]),
        ];
        let (world, _) = begin(bench, 4 * 9).await;
        let mut doubtful = Vec::new();
        for _ in 0..4 * table.len() {
            doubtful.push(sent(bench, &world, OutcomeClass::Unknown).await);
        }
        let mut spent = PRICE * 4 * 9;
        for (verdict, class, ends) in table {
            for (case, parked, late_first) in
                [(0, false, true), (1, true, true), (2, false, false), (2, true, false)]
            {
                let told = format!("{verdict:?} {class:?} parked {parked} late first {late_first}");
                let message = doubtful.pop().unwrap();
                if parked {
                    park(bench, &world, message.id).await;
                }
                let answer = answered(&world, &message, class);
                if !late_first {
                    assert_eq!(say(bench, &world, message.id, verdict).await, None, "{told}");
                    assert_eq!(wrong(bench).await, Vec::<&str>::new(), "{told}, decided");
                }
                for time in 0..2 {
                    settled(bench, &world, std::slice::from_ref(&answer)).await;
                    assert_eq!(wrong(bench).await, Vec::<&str>::new(), "{told}, answered, {time}");
                }
                if late_first {
                    say(bench, &world, message.id, verdict).await;
                }
                // What was taken is paid for; what was not costs nothing.
                spent -= if class == Accepted { 0 } else { PRICE };
                let expected = format!("{}|{}|{spent}", ends[case], class.as_str());
                assert_eq!(stands(bench, &message).await, expected, "{told}");
                assert_eq!(wrong(bench).await, Vec::<&str>::new(), "{told}");
            }
        }
        world.end().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn doubt_ends_by_a_late_answer_only_if_nothing_else_may_have_been_taken_and_the_run_goes_on() {
    on_both(async |bench| {
        let (world, _) = begin(bench, 3).await;
        // An older copy of it may have arrived.
        let copied = sent(bench, &world, OutcomeClass::Unknown).await;
        let mut batch = bench.batch().await.unwrap();
        batch.resend(&[copied.id], world.clock.now()).await.unwrap();
        batch.commit().await.unwrap();
        let copy = again(bench, &world).await;
        assert_eq!(copy.id, copied.id);
        settled(bench, &world, &[answered(&world, &copy, OutcomeClass::Unknown)]).await;
        settled(bench, &world, &[answered(&world, &copy, OutcomeClass::BadContent)]).await;
        assert_eq!(stands(bench, &copied).await, format!("ambiguous|unknown|{PRICE}"));
        settled(bench, &world, &[answered(&world, &copied, OutcomeClass::BadContent)]).await;
        assert_eq!(
            stands(bench, &copied).await,
            "ambiguous|bad_content|0",
            "an answer of an older epoch moves nothing"
        );
        let (waiting, refused) = (
            sent(bench, &world, OutcomeClass::Unknown).await,
            sent(bench, &world, OutcomeClass::Unknown).await,
        );
        bench.sql().await.run("UPDATE runs SET state = 'cancelled'").await;
        settled(bench, &world, &[answered(&world, &waiting, OutcomeClass::Throttled)]).await;
        assert_eq!(
            stands(bench, &waiting).await,
            format!("failed|throttled|{PRICE}"),
            "nothing is queued there, and nobody waits for what is known"
        );
        let code = "SELECT c.state FROM coupons AS c JOIN messages AS m ON m.coupon_id = c.id WHERE m.id = ";
        assert_eq!(bench.lines(&format!("{code}{}", waiting.id)).await, ["available"]);
        settled(bench, &world, &[answered(&world, &refused, OutcomeClass::BadContent)]).await;
        assert_eq!(stands(bench, &refused).await, "rejected|bad_content|0");
        let attempts = format!("SELECT attempts FROM messages WHERE id = {}", refused.id);
        assert_eq!(bench.lines(&attempts).await, ["1"], "one submission, counted once");
        assert_eq!(wrong(bench).await, Vec::<&str>::new());
        world.end().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_was_cancelled_since_the_policy_was_read_gets_nothing_sent_again() {
    on_both(async |bench| {
        let (world, _) = begin(bench, 1).await;
        let message = sent(bench, &world, OutcomeClass::Unknown).await;
        for (state, resent) in [("cancelling", 0), ("cancelled", 0), ("finished", 0), ("paused", 1)] {
            bench.sql().await.run(&format!("UPDATE runs SET state = '{state}'")).await;
            let mut batch = bench.batch().await.unwrap();
            assert_eq!(batch.resend(&[message.id], world.clock.now()).await.unwrap(), resent, "{state}");
            batch.commit().await.unwrap();
        }
        assert_eq!(bench.lines("SELECT dispatch FROM messages").await, ["queued"]);
        world.end().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_report_of_an_opt_out_that_is_older_than_a_start_suppresses_nobody() {
    on_both(async |bench| {
        let (world, _) = begin(bench, 1).await;
        let message = sent(bench, &world, OutcomeClass::Accepted).await;
        let reference = reference_of(bench, &message, 1);
        let begun = world.clock.now();
        let at = |id: i64, code: &str| {
            let mut callback = report(id, Some(&reference), None, Delivery::Undelivered);
            callback.received_at = begun.plus(Duration::from_secs(id.unsigned_abs()));
            callback.receipts[0].opted_out = true;
            callback.receipts[0].code = Some(code.to_owned());
            callback
        };
        let stopped = async || bench.is_suppressed(message.phone, EVERY_SENDER).await.unwrap();
        received(bench, &world, at(1, "a")).await;
        assert!(stopped().await);
        assert_eq!(bench.lift(message.phone, "start", begun.plus(Duration::from_secs(2))).await.unwrap(), 1);
        received(bench, &world, at(3, "a")).await;
        assert!(!stopped().await, "the same report again");
        let mut batch = bench.batch().await.unwrap();
        batch.replay(&[at(1, "a")], world.clock.now()).await.unwrap();
        batch.commit().await.unwrap();
        assert!(!stopped().await, "the same report, read anew");
        received(bench, &world, at(4, "b")).await;
        assert!(stopped().await, "a new report");
        world.end().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_that_is_written_again_after_a_start_suppresses_nobody_and_a_new_one_does() {
    on_both(async |bench| {
        let (world, _) = begin(bench, 2).await;
        let message = sent(bench, &world, OutcomeClass::Unknown).await;
        let stopped = async || bench.is_suppressed(message.phone, EVERY_SENDER).await.unwrap();
        let answer = answered(&world, &message, OutcomeClass::OptedOut);
        settled(bench, &world, std::slice::from_ref(&answer)).await;
        assert!(stopped().await);
        bench.sql().await.run("UPDATE attempts SET intent_at = intent_at - 2000").await;
        let lifted = world.clock.now().minus(Duration::from_secs(1));
        assert_eq!(bench.lift(message.phone, "start", lifted).await.unwrap(), 1);
        settled(bench, &world, std::slice::from_ref(&answer)).await;
        assert!(!stopped().await, "the same refusal again");
        // Another text to the same person.
        let people =
            format!("UPDATE messages SET phone = {} WHERE id <> {}", message.phone.digits(), message.id);
        bench.sql().await.run(&people).await;
        sent(bench, &world, OutcomeClass::OptedOut).await;
        assert!(stopped().await, "refused after the START");
        world.end().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_code_whose_doubt_ended_waits_with_its_message_and_goes_back_with_it() {
    on_both(async |bench| {
        let (world, _) = begin(bench, 1).await;
        let message = sent(bench, &world, OutcomeClass::Unknown).await;
        assert_eq!(books(bench).await, "available 10 reserved 0 sent 0 quarantined 1");
        settled(bench, &world, &[answered(&world, &message, OutcomeClass::Throttled)]).await;
        assert_eq!(books(bench).await, "available 10 reserved 1 sent 0 quarantined 0");
        let stop = NewSuppression {
            phone: message.phone,
            scope: EVERY_SENDER.to_owned(),
            reason: Reason::Stop,
            source: "sim".to_owned(),
        };
        bench.suppress(&[stop], world.clock.now()).await.unwrap();
        assert_eq!(books(bench).await, "available 11 reserved 0 sent 0 quarantined 0");
        assert_eq!(wrong(bench).await, Vec::<&str>::new());
        world.end().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_what_exceeds_the_budget_is_said_to_and_the_rest_is_given_back() {
    on_both(async |bench| {
        let (world, _) = begin(bench, 3).await;
        let held = claim(bench, &world, "node", 3).await;
        let dear = format!(
            "UPDATE runs SET budget = {}; UPDATE messages SET price = {} WHERE id = {}",
            3 * PRICE,
            9 * PRICE,
            held[1].id
        );
        bench.sql().await.run(&dear).await;
        let (granted, mut refused) = intend(bench, &world, "node", &held).await;
        refused.sort_by_key(|why| *why != Refusal::OverBudget);
        assert_eq!((granted, refused), (1, vec![Refusal::OverBudget, Refusal::RunStopped]));
        let states = bench.lines("SELECT dispatch FROM messages ORDER BY dispatch").await;
        assert_eq!(states, ["blocked", "queued", "submitting"]);
        let rest = claim(bench, &world, "node", 3).await;
        assert_eq!(intend(bench, &world, "node", &rest).await, (1, vec![]));
        assert_eq!(bench.lines("SELECT spent FROM runs").await, [(2 * PRICE).to_string()]);
        assert_eq!(wrong(bench).await, Vec::<&str>::new());
        world.end().await;
    })
    .await;
}

//! Histories that showed something wrong once, cut down to what it takes, on the model and on the real store.

use winback::dispatch::core::SEND_DEADLINE;
use winback::model::clock::Timestamp;
use winback::model::delivery::Delivery;
use winback::model::ids::MessageId;
use winback::model::message::{CouponEffect, Full, Intent, Settlement, Verdict, WhenInDoubt};
use winback::model::outcome::{Outcome, OutcomeClass};
use winback::model::receipt::Receipt;
use winback::model::run::RunState;
use winback::model::state::Dispatch;

use super::calls::{Answer, Call, Callback, NewMessage, NewRun};
use super::differential::Rig;
use super::launching::address;
use super::tables::TAG;
use super::world::BEGINNING;

pub(crate) const NOW: Timestamp = Timestamp(BEGINNING);

#[tokio::test]
async fn what_was_cancelled_is_not_sent_again_by_a_decision_that_came_before() {
    let stop = |from, to| Call::SetRunState { run: 1, from, to };
    let cancelled = [
        in_doubt(),
        vec![
            stop(RunState::Running, RunState::Cancelling),
            stop(RunState::Cancelling, RunState::Cancelled),
            Call::Doubt { resend: vec![MessageId(1)], park: Vec::new() },
        ],
    ];
    let (answer, tables) = Rig::new().await.play(&cancelled.concat()).await;
    assert_eq!(answer, Answer::Count(0));
    assert_eq!(tables.message(1).dispatch, Dispatch::Ambiguous);
}

#[tokio::test]
async fn a_report_that_names_its_id_late_brings_along_those_that_waited_for_it() {
    let receipt = |reference: Option<&str>, status: &str, state| {
        let (reference, provider_id) = (reference.map(str::to_owned), Some("p7".to_owned()));
        Receipt { reference, provider_id, state, status: status.to_owned(), code: None, opted_out: false }
    };
    let callback = |id, receipt| {
        Call::Receive(vec![Callback {
            id,
            route: 0,
            received_at: NOW,
            receipts: vec![receipt],
            inbound: Vec::new(),
        }])
    };
    let early = callback(1, receipt(None, "delivered", Delivery::Delivered));
    let named = callback(2, receipt(Some("test-1-1"), "buffered", Delivery::EnRoute));
    let (_, tables) = Rig::new().await.play(&[in_doubt(), vec![early, named]].concat()).await;
    assert!(tables.receipts.iter().all(|row| row.message == Some(1)));
    assert_eq!(tables.message(1).delivery, Delivery::Delivered);
}

#[tokio::test]
async fn money_goes_back_once_and_comes_again_when_a_decision_was_wrong() {
    let mut rig = Rig::new().await;
    let unsent = Call::Resolve { messages: vec![MessageId(1)], verdict: Verdict::NotSent };
    let late = |class| Call::Settle { route: 0, settlements: vec![answer(1, 1, class)] };
    let mut check = async |calls: &[Call], spent: i64| {
        let (_, tables) = rig.play(&[&in_doubt(), calls].concat()).await;
        assert_eq!(tables.run(1).spent, spent, "{calls:?}");
        tables
    };
    let refused = late(OutcomeClass::Unavailable);
    check(std::slice::from_ref(&unsent), 0).await;
    check(std::slice::from_ref(&refused), 0).await;
    check(&[refused.clone(), unsent.clone()], 0).await;
    check(&[unsent.clone(), refused], 0).await;
    let tables = check(&[unsent, late(OutcomeClass::Accepted)], 10).await;
    assert_eq!((tables.message(1).dispatch, tables.coupons[0].state), (Dispatch::Accepted, "sent"));
}

#[tokio::test]
async fn a_late_answer_beside_the_one_that_counts_does_not_move_the_code() {
    let mut rig = Rig::new().await;
    let again = [Call::Doubt { resend: vec![MessageId(1)], park: Vec::new() }, claim(), intend(3, 2)];
    let (doubt, taken) = (answer(1, 1, OutcomeClass::Unknown), answer(2, 3, OutcomeClass::Accepted));
    for settlements in [vec![doubt.clone(), taken.clone()], vec![taken, doubt]] {
        let settled = [Call::Settle { route: 0, settlements }];
        let (_, tables) = rig.play(&[&in_doubt()[..], &again, &settled].concat()).await;
        assert_eq!((tables.message(1).dispatch, tables.coupons[0].state), (Dispatch::Accepted, "sent"));
    }
}

#[tokio::test]
async fn a_refusal_that_comes_after_the_request_left_once_more_does_not_end_the_doubt_about_it() {
    let mut rig = Rig::new().await;
    let (open, _) = rig.play(&[in_doubt(), vec![Call::OpenDoubts]].concat()).await;
    let Answer::Doubts(open) = open else { panic!("{open:?}") };
    let replayed = Call::IntendReplay(Box::new(open[0].clone()));
    for class in [OutcomeClass::Unavailable, OutcomeClass::BadContent, OutcomeClass::Accepted] {
        let settlements = vec![answer(1, 1, class)];
        let first = Call::Settle { route: 0, settlements: settlements.clone() };
        let (_, tables) = rig.play(&[in_doubt(), vec![replayed.clone(), first]].concat()).await;
        let m = tables.message(1);
        let wanted = if class.costs() { Dispatch::Accepted } else { Dispatch::Ambiguous };
        assert_eq!((m.dispatch, tables.run(1).spent), (wanted, 10), "{class:?}");
        let asked = Call::SettleAsked { route: 0, settlements };
        let (_, tables) = rig.play(&[in_doubt(), vec![replayed.clone(), asked]].concat()).await;
        assert_ne!(tables.message(1).dispatch, Dispatch::Ambiguous, "{class:?}: the provider was asked");
    }
}

/// The answer to an attempt, as a lane would write it.
pub(crate) fn answer(number: i64, epoch: i64, class: OutcomeClass) -> Settlement {
    let (to, coupon) = match class {
        OutcomeClass::Accepted => (Dispatch::Accepted, CouponEffect::Send),
        OutcomeClass::Unknown => (Dispatch::Ambiguous, CouponEffect::Quarantine),
        _ => (Dispatch::Queued, CouponEffect::Keep),
    };
    Settlement {
        message: MessageId(1),
        number,
        epoch,
        outcome: Outcome::of(class),
        to,
        not_before: NOW,
        counts: true,
        coupon,
        refund: !class.costs(),
    }
}

fn claim() -> Call {
    claim_by(1)
}

/// A process takes the message.
pub(crate) fn claim_by(owner: u64) -> Call {
    Call::Claim { route: 0, owner, lease_until: NOW.plus(SEND_DEADLINE), limit: 1, full: Full::default() }
}

fn intend(epoch: i64, number: i64) -> Call {
    intend_by(1, epoch, number)
}

/// A process asks for the intent of an attempt.
pub(crate) fn intend_by(owner: u64, epoch: i64, number: i64) -> Call {
    let reference = winback::model::reference::compose(TAG, MessageId(1), number);
    Call::Intend {
        route: 0,
        owner,
        intents: vec![Intent { message: MessageId(1), epoch, number, reference }],
    }
}

/// A run of one message whose process died after the intent.
pub(crate) fn in_doubt() -> Vec<Call> {
    let dies = [claim(), intend(1, 1), Call::SweepDead { owner: 2, sole: true }];
    [planned(), dies.to_vec()].concat()
}

/// A run of one message.
pub(crate) fn planned() -> Vec<Call> {
    let (budget, doubt, audience) = (None, WhenInDoubt::Resend, 1);
    let (starts_at, expires_at) = (NOW.0, i64::MAX);
    let messages = vec![NewMessage {
        contact: 1,
        phone: address(1).0,
        route: 0,
        sender: 0,
        window: 0,
        coupon: Some(1),
        parts: 1,
        price: 10,
        expires_at,
    }];
    vec![
        Call::CreateRun(NewRun { campaign: 0, budget, doubt, audience, capped: 0, starts_at, expires_at }),
        Call::AddWindow { run: 1, key: 0, opens: 0, closes: i64::MAX },
        Call::WritePlanned { run: 1, from: 0, to: 1, messages, withheld: 0 },
        Call::SetRunState { run: 1, from: RunState::Preparing, to: RunState::Running },
    ]
}

//! Histories in which a process acts on a message that somebody else has taken over, on the model and on the real store.
//! Each names the statement whose look at the epoch keeps it from doing harm: without that look the two differ.

use winback::model::ids::MessageId;
use winback::model::message::Refusal;
use winback::model::outcome::OutcomeClass;
use winback::model::state::Dispatch;

use super::calls::{Answer, Call};
use super::differential::Rig;
use super::tables::Tables;
use super::taught::{NOW, answer, claim_by, in_doubt, intend_by, planned};

const MESSAGE: MessageId = MessageId(1);

/// The first process lost its claim, and the second has it; the first knows nothing of that.
fn taken_over() -> Vec<Call> {
    let frees = Call::SweepDead { owner: 2, sole: true };
    [planned(), vec![claim_by(1), frees, claim_by(2)]].concat()
}

/// The first process lost sight of its attempt, it was decided to send again, and the second process has it under way.
fn sent_again() -> Vec<Call> {
    let again = Call::Doubt { resend: vec![MESSAGE], park: Vec::new() };
    [in_doubt(), vec![again, claim_by(2), intend_by(2, 3, 2)]].concat()
}

async fn play(before: Vec<Call>, stale: &[Call]) -> (Answer, Tables) {
    Rig::new().await.play(&[&before, stale].concat()).await
}

fn held_by_the_second(tables: &Tables, state: Dispatch, epoch: i64) {
    let m = tables.message(MESSAGE.0);
    assert_eq!((m.dispatch, m.owner.is_some(), m.epoch), (state, true, epoch), "it is the second's");
}

/// `RELEASE` and `POSTPONE` of `store::claims`.
#[tokio::test]
async fn who_lost_a_claim_cannot_give_it_back() {
    for stale in [Call::Release(vec![(MESSAGE, 1)]), Call::Postpone(vec![(MESSAGE, 1, NOW)])] {
        let (_, tables) = play(taken_over(), &[stale]).await;
        held_by_the_second(&tables, Dispatch::Claimed, 2);
    }
}

/// `GRANT` and `WHY`.
#[tokio::test]
async fn who_lost_a_claim_gets_no_intent_and_learns_why() {
    let (told, tables) = play(taken_over(), &[intend_by(1, 1, 1)]).await;
    let Answer::Intended(told) = told else { panic!("{told:?}") };
    assert_eq!((told.granted, told.refused), (vec![], vec![(MESSAGE, Refusal::Stale)]));
    assert!(tables.attempts.is_empty(), "nothing may leave");
    held_by_the_second(&tables, Dispatch::Claimed, 2);
}

/// `CLOSE_ATTEMPTS`: both asked for an attempt of the same number, and one of them got it.
#[tokio::test]
async fn who_got_no_intent_does_not_end_the_attempt_of_the_same_number() {
    let unsent = vec![answer(1, 1, OutcomeClass::Throttled)];
    let stale = [intend_by(2, 2, 1), Call::Unsent { route: 0, settlements: unsent }];
    let (_, tables) = play(taken_over(), &stale).await;
    assert_eq!(tables.attempts[0].outcome, None, "it is under way");
    held_by_the_second(&tables, Dispatch::Submitting, 2);
}

/// `MOVE`.
#[tokio::test]
async fn an_answer_to_an_attempt_that_was_given_up_does_not_move_the_message_under_the_next() {
    for class in [OutcomeClass::Unavailable, OutcomeClass::BadContent, OutcomeClass::Unknown] {
        let stale = Call::Settle { route: 0, settlements: vec![answer(1, 1, class)] };
        let (_, tables) = play(sent_again(), &[stale]).await;
        held_by_the_second(&tables, Dispatch::Submitting, 3);
        assert_eq!(tables.attempts[0].outcome, Some(class), "what it says is kept");
    }
}

/// `END_DOUBT`.
#[tokio::test]
async fn an_answer_to_an_attempt_that_was_given_up_does_not_end_the_doubt_about_the_next() {
    let told =
        |number, epoch, class| Call::Settle { route: 0, settlements: vec![answer(number, epoch, class)] };
    let stale = [
        told(2, 3, OutcomeClass::Unknown),
        told(2, 3, OutcomeClass::BadContent),
        told(1, 1, OutcomeClass::BadContent),
    ];
    let (_, tables) = play(sent_again(), &stale).await;
    assert_eq!(tables.message(MESSAGE.0).dispatch, Dispatch::Ambiguous);
}

//! From an outcome to the next state of a message: the one place where that is decided. Pure.

use std::time::Duration;

use rand::Rng;

use crate::model::clock::Timestamp;
use crate::model::message::{Claimed, CouponEffect, Intent, RetryPolicy, Settlement};
use crate::model::outcome::{Outcome, OutcomeClass, Proof};
use crate::model::state::{Cause, Dispatch, Impossible, next};

use super::retry::retry_delay;

/// Wait after a throttle answer that names no time of its own.
const THROTTLE_WAIT: Duration = Duration::from_secs(1);

/// Wait after an answer that blames the account; the breaker decides when its lane goes on.
const ACCOUNT_WAIT: Duration = Duration::from_secs(5);

/// Decides what an outcome makes of the message whose attempt `number` it ended.
///
/// # Errors
/// [`Impossible`] if the transition table does not know the change: a bug, never bad luck.
pub fn settle(
    message: &Claimed,
    number: i64,
    outcome: Outcome,
    policy: &RetryPolicy,
    now: Timestamp,
    rng: &mut impl Rng,
) -> Result<Settlement, Impossible> {
    let spent = u32::try_from(message.attempts).unwrap_or(u32::MAX).saturating_add(1);
    let proof = outcome.class.proof();
    let (cause, wait, counts) = match proof {
        Proof::Accepted => (Cause::Accept, Duration::ZERO, true),
        Proof::Refused => (Cause::Refuse, Duration::ZERO, true),
        Proof::Ambiguous => (Cause::LoseSight, Duration::ZERO, true),
        Proof::RouteBroken => (Cause::NotSent, outcome.retry_after.unwrap_or(ACCOUNT_WAIT), false),
        Proof::NotSent if outcome.class == OutcomeClass::Throttled => {
            (Cause::NotSent, outcome.retry_after.unwrap_or(THROTTLE_WAIT), false)
        }
        Proof::NotSent if spent >= policy.attempts => (Cause::Exhaust, Duration::ZERO, true),
        Proof::NotSent => {
            let delay = retry_delay(policy, spent, rng);
            (Cause::NotSent, outcome.retry_after.map_or(delay, |asked| asked.max(delay)), true)
        }
    };
    let to = next(Dispatch::Submitting, cause)?;
    Ok(Settlement {
        message: message.id,
        number,
        epoch: message.epoch,
        to,
        not_before: now.plus(wait),
        counts,
        coupon: coupon(to),
        refund: !outcome.class.costs(),
        outcome,
    })
}

/// What becomes of an intent whose recording was answered with an error: it may be on disk all the same, and nothing of
/// it was sent.
///
/// # Errors
/// As [`settle`].
pub fn unsent(intent: &Intent, now: Timestamp) -> Result<Settlement, Impossible> {
    Ok(Settlement {
        message: intent.message,
        number: intent.number,
        epoch: intent.epoch,
        to: next(Dispatch::Submitting, Cause::NotSent)?,
        not_before: now,
        counts: false,
        coupon: CouponEffect::Keep,
        refund: true,
        outcome: Outcome::of(OutcomeClass::Throttled)
            .because("withheld before the first byte: the store did not answer to the intent"),
    })
}

fn coupon(to: Dispatch) -> CouponEffect {
    match to {
        Dispatch::Accepted => CouponEffect::Send,
        Dispatch::Rejected | Dispatch::Failed => CouponEffect::Release,
        Dispatch::Ambiguous => CouponEffect::Quarantine,
        _ => CouponEffect::Keep,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::encoding::Encoding;
    use crate::model::ids::{ContactId, MessageId, RunId};
    use crate::model::money::Micros;
    use crate::model::phone::Phone;
    use rand::SeedableRng as _;
    use rand::rngs::StdRng;

    fn message(attempts: i64) -> Claimed {
        Claimed {
            id: MessageId(7),
            run: RunId(1),
            contact: ContactId(1),
            phone: Phone::from_e164("+14805550126").unwrap(),
            epoch: 3,
            attempts,
            last_number: attempts,
            parts: 1,
            encoding: Encoding::Gsm7,
            sender: "+15005550006".to_owned(),
            country: "US".to_owned(),
            body: "hi".to_owned(),
            price: Micros(7_900),
            expires_at: Timestamp::MAX,
        }
    }

    #[test]
    fn each_class_of_answer_leads_to_one_state_one_fate_of_the_code_and_of_the_money() {
        use CouponEffect::{Keep, Quarantine, Release, Send};
        use OutcomeClass as C;
        let check = |attempts, class, to, coupon, counts, refund| {
            let mut rng = StdRng::seed_from_u64(1);
            let policy = RetryPolicy { attempts: 3, ..RetryPolicy::default() };
            let s =
                settle(&message(attempts), 1, Outcome::of(class), &policy, Timestamp(0), &mut rng).unwrap();
            assert_eq!(
                (s.to, s.coupon, s.counts, s.refund),
                (to, coupon, counts, refund),
                "{class:?} after {attempts}"
            );
        };
        check(0, C::Accepted, Dispatch::Accepted, Send, true, false);
        check(0, C::Throttled, Dispatch::Queued, Keep, false, true);
        check(9, C::Throttled, Dispatch::Queued, Keep, false, true);
        check(0, C::Unavailable, Dispatch::Queued, Keep, true, true);
        check(1, C::Unavailable, Dispatch::Queued, Keep, true, true);
        check(2, C::Unavailable, Dispatch::Failed, Release, true, true);
        check(0, C::Unknown, Dispatch::Ambiguous, Quarantine, true, false);
        check(0, C::Garbled, Dispatch::Ambiguous, Quarantine, true, false);
        check(0, C::BadRecipient, Dispatch::Rejected, Release, true, true);
        check(0, C::BadContent, Dispatch::Rejected, Release, true, true);
        check(0, C::OptedOut, Dispatch::Rejected, Release, true, true);
        check(9, C::Account, Dispatch::Queued, Keep, false, true);
    }

    #[test]
    fn a_provider_that_names_a_time_is_never_asked_earlier() {
        let mut rng = StdRng::seed_from_u64(1);
        for class in [OutcomeClass::Throttled, OutcomeClass::Unavailable, OutcomeClass::Account] {
            let mut outcome = Outcome::of(class);
            outcome.retry_after = Some(Duration::from_mins(10));
            let s = settle(&message(0), 1, outcome, &RetryPolicy::default(), Timestamp(0), &mut rng).unwrap();
            assert!(s.not_before >= Timestamp(600_000), "{class:?}");
        }
    }
}

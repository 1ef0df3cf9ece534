//! What a person decides about messages in doubt: which decisions hold, and writing them a batch at a time.
//!
//! It never guesses: a message that a receipt has proven, that is no longer in doubt, or that must not be sent again stays
//! as it is, with the reason. Works beside a running daemon and without one.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::clock::Timestamp;
use crate::model::ids::MessageId;
use crate::model::message::{CouponEffect, Verdict};
use crate::model::state::{Dispatch, next};
use crate::store::resolve::{Candidate, Decision};
use crate::store::{Store, StoreError};

/// Messages decided in one transaction, so that nobody else waits longer than 100 ms for a turn to write.
const CHUNK: usize = 1_000;

/// Why a message stays as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kept {
    /// There is none with this id.
    Missing,
    /// It is not in doubt.
    NotInDoubt(Dispatch),
    /// It was decided before.
    Decided(Verdict),
    /// A receipt shows that the provider took it.
    Proven,
    /// Its run was cancelled.
    Cancelled,
    /// Its last useful moment has passed.
    TooLate,
    /// Its number must not be texted any more.
    Suppressed,
    /// The budget of its run has no room for it.
    OverBudget,
    /// The same request is on the wire once more, and its answer may still come.
    OnTheWire,
    /// It changed while it was being decided.
    Changed,
}

impl Kept {
    /// The reason as people read it.
    pub fn words(self) -> String {
        match self {
            Self::Missing => "there is no such message".to_owned(),
            Self::NotInDoubt(state) => format!("it is {}, not in doubt", state.as_str()),
            Self::Decided(verdict) => format!("it was decided as {} before", verdict.as_str()),
            Self::Proven => "a receipt shows that the provider took it; decide it as accepted".to_owned(),
            Self::Cancelled => "its run was cancelled; nothing of it is sent again".to_owned(),
            Self::TooLate => {
                "its last useful moment has passed; decide it as accepted or not-sent".to_owned()
            }
            Self::Suppressed => {
                "its number must not be texted any more; decide it as accepted or not-sent".to_owned()
            }
            Self::OverBudget => {
                "the budget of its run is spent; decide it as accepted or not-sent".to_owned()
            }
            Self::OnTheWire => {
                "the same request was sent once more under its key, and the answer may settle it; decide it in two minutes, \
                 if that is still needed"
                    .to_owned()
            }
            Self::Changed => "it changed meanwhile; look at it again".to_owned(),
        }
    }
}

/// What became of the messages that were decided about.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Resolved {
    /// Decided now.
    pub changed: Vec<MessageId>,
    /// Left as they are, with the reason.
    pub kept: Vec<(MessageId, Kept)>,
    /// Of those decided now, those that count as not sent while an earlier copy may have arrived: its code stays in quarantine
    /// and the money of that copy spent.
    pub locked: Vec<MessageId>,
    /// Of those decided now, those that had ended before: they stay what they are, only their copies are decided about.
    pub ended: Vec<MessageId>,
}

impl Resolved {
    /// Adds what became of further messages.
    pub fn add(&mut self, more: Self) {
        self.changed.extend(more.changed);
        self.kept.extend(more.kept);
        self.locked.extend(more.locked);
        self.ended.extend(more.ended);
    }
}

/// Who decides, and why.
#[derive(Clone, Copy, Debug)]
pub struct Decider<'a> {
    /// By whom.
    pub by: &'a str,
    /// Why.
    pub reason: Option<&'a str>,
}

/// Decides about messages in doubt, [`CHUNK`] in one transaction. Doing it twice changes nothing more.
///
/// # Errors
/// When the store cannot be written; chunks before that are decided.
pub async fn resolve(
    store: &Store,
    messages: &[MessageId],
    verdict: Verdict,
    decider: Decider<'_>,
    now: Timestamp,
) -> Result<Resolved, StoreError> {
    each(store, messages, decider, now, |about| decide(about, verdict, now)).await
}

/// Decides that no copy of these messages was sent: neither the last one nor any before it, of messages in doubt as of
/// messages that ended while one may have arrived. Every copy's money returns, and so does the code.
///
/// # Errors
/// As [`resolve`].
pub async fn resolve_copies(
    store: &Store,
    messages: &[MessageId],
    decider: Decider<'_>,
    now: Timestamp,
) -> Result<Resolved, StoreError> {
    each(store, messages, decider, now, |about| decide_copies(about, now)).await
}

async fn each(
    store: &Store,
    messages: &[MessageId],
    decider: Decider<'_>,
    now: Timestamp,
    decide: impl Fn(&Candidate) -> Result<Decision, Kept>,
) -> Result<Resolved, StoreError> {
    let mut resolved = Resolved::default();
    let messages: Vec<MessageId> = messages.iter().copied().collect::<BTreeSet<_>>().into_iter().collect();
    for chunk in messages.chunks(CHUNK) {
        let mut batch = store.batch().await?;
        let known: BTreeMap<MessageId, Candidate> =
            batch.candidates(chunk).await?.into_iter().map(|one| (one.id, one)).collect();
        let mut decisions = Vec::with_capacity(known.len());
        for id in chunk {
            match known.get(id).ok_or(Kept::Missing).and_then(&decide) {
                Ok(decision) => decisions.push(decision),
                Err(kept) => resolved.kept.push((*id, kept)),
            }
        }
        let written = batch.decide(&decisions, decider.by, decider.reason, now).await?;
        batch.commit().await?;
        let written: BTreeSet<MessageId> = written.into_iter().collect();
        let locked = decisions.iter().filter(|one| one.verdict == Verdict::NotSent && !one.every_copy);
        let stays = |one: &Candidate| one.again && one.copies > 1;
        let locked = locked.filter(|one| stays(&one.about) && written.contains(&one.about.id));
        resolved.locked.extend(locked.map(|one| one.about.id));
        let ended = decisions.iter().filter(|one| one.to == one.about.dispatch);
        resolved.ended.extend(ended.map(|one| one.about.id).filter(|id| written.contains(id)));
        let missed = decisions.iter().map(|one| one.about.id).filter(|id| !written.contains(id));
        resolved.kept.extend(missed.map(|id| (id, Kept::Changed)));
        resolved.changed.extend(written);
    }
    Ok(resolved)
}

/// Where a verdict leads. Pure.
///
/// # Errors
/// Why the message stays as it is.
pub fn decide(about: &Candidate, verdict: Verdict, now: Timestamp) -> Result<Decision, Kept> {
    let to = next(about.dispatch, verdict.cause())
        .map_err(|_| about.decided.map_or(Kept::NotInDoubt(about.dispatch), Kept::Decided))?;
    if about.proven && verdict != Verdict::Accepted {
        return Err(Kept::Proven);
    }
    // A copy that arrives after this would be a second one, or one of a text that was declared as not sent.
    if about.answer_by.is_some_and(|until| now < until) && verdict != Verdict::Accepted {
        return Err(Kept::OnTheWire);
    }
    let mut decision = Decision {
        about: *about,
        verdict,
        to,
        run_to: None,
        due: about.not_before,
        coupon: coupon(verdict),
        every_copy: false,
    };
    if verdict == Verdict::Resend {
        decision.run_to = Some(about.run_state.after_resend().ok_or(Kept::Cancelled)?);
        decision.due = now;
        if about.suppressed {
            return Err(Kept::Suppressed);
        }
        if about.expires_at <= now {
            return Err(Kept::TooLate);
        }
        if !about.affordable {
            return Err(Kept::OverBudget);
        }
    }
    Ok(decision)
}

/// Where it leads that no copy was sent. Pure.
///
/// # Errors
/// Why the message stays as it is.
pub fn decide_copies(about: &Candidate, now: Timestamp) -> Result<Decision, Kept> {
    let kept = match decide(about, Verdict::NotSent, now) {
        Ok(decision) => return Ok(Decision { every_copy: true, ..decision }),
        Err(kept @ (Kept::NotInDoubt(_) | Kept::Decided(_))) => kept,
        Err(kept) => return Err(kept),
    };
    let ended = about.dispatch.is_terminal() && about.dispatch != Dispatch::Accepted;
    if !ended || (about.copies == 0 && !about.locked) {
        return Err(kept);
    }
    if about.proven {
        return Err(Kept::Proven);
    }
    Ok(Decision {
        about: *about,
        verdict: Verdict::NotSent,
        to: about.dispatch,
        run_to: None,
        due: about.not_before,
        coupon: CouponEffect::Release,
        every_copy: true,
    })
}

/// A code that goes out again stays locked away with its message until that is accepted.
fn coupon(verdict: Verdict) -> CouponEffect {
    match verdict {
        Verdict::Accepted => CouponEffect::Send,
        Verdict::NotSent => CouponEffect::Release,
        Verdict::Resend => CouponEffect::Keep,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ids::RunId;
    use crate::model::run::RunState;

    const NOW: Timestamp = Timestamp(1_000);

    fn candidate(dispatch: Dispatch) -> Candidate {
        Candidate {
            id: MessageId(1),
            run: RunId(1),
            dispatch,
            epoch: 2,
            number: 1,
            not_before: Timestamp(0),
            expires_at: Timestamp(2_000),
            run_state: RunState::Running,
            proven: false,
            suppressed: false,
            affordable: true,
            decided: None,
            answer_by: None,
            copies: 0,
            locked: false,
            again: false,
        }
    }

    #[test]
    fn that_no_copy_was_sent_can_be_said_of_doubt_and_of_what_ended_with_its_code_locked_away() {
        let check = |about: Candidate, wanted: Result<Dispatch, Kept>| {
            let told = decide_copies(&about, NOW);
            assert!(told.is_err() || told.is_ok_and(|one| one.every_copy), "{about:?}");
            assert_eq!(told.map(|one| one.to), wanted, "{about:?}");
        };
        let doubt = candidate(Dispatch::Unknown);
        check(doubt, Ok(Dispatch::Failed));
        check(Candidate { proven: true, ..doubt }, Err(Kept::Proven));
        for ended in [Dispatch::Failed, Dispatch::Rejected, Dispatch::Cancelled] {
            let ended = candidate(ended);
            check(ended, Err(Kept::NotInDoubt(ended.dispatch)));
            check(Candidate { copies: 1, ..ended }, Ok(ended.dispatch));
            check(Candidate { locked: true, ..ended }, Ok(ended.dispatch));
            check(Candidate { locked: true, proven: true, ..ended }, Err(Kept::Proven));
        }
        for other in [Dispatch::Accepted, Dispatch::Queued, Dispatch::Submitting] {
            check(Candidate { copies: 1, locked: true, ..candidate(other) }, Err(Kept::NotInDoubt(other)));
        }
        let said = Candidate { decided: Some(Verdict::NotSent), ..candidate(Dispatch::Failed) };
        check(said, Err(Kept::Decided(Verdict::NotSent)));
    }

    #[test]
    fn only_doubt_is_decided_and_nothing_is_sent_again_that_must_not_be() {
        use Verdict::{Accepted, NotSent, Resend};
        let check = |about: Candidate, verdict, wanted: Result<Dispatch, Kept>| {
            assert_eq!(decide(&about, verdict, NOW).map(|d| d.to), wanted, "{about:?} {verdict:?}");
        };
        let doubt = candidate(Dispatch::Ambiguous);
        let parked = candidate(Dispatch::Unknown);
        for about in [doubt, parked] {
            check(about, Accepted, Ok(Dispatch::Accepted));
            check(about, NotSent, Ok(Dispatch::Failed));
            check(about, Resend, Ok(Dispatch::Queued));
        }
        let sent = candidate(Dispatch::Accepted);
        check(sent, NotSent, Err(Kept::NotInDoubt(Dispatch::Accepted)));
        check(Candidate { decided: Some(Accepted), ..sent }, NotSent, Err(Kept::Decided(Accepted)));
        let proven = Candidate { proven: true, ..doubt };
        check(proven, NotSent, Err(Kept::Proven));
        check(proven, Resend, Err(Kept::Proven));
        check(proven, Accepted, Ok(Dispatch::Accepted));
        let cancelled = Candidate { run_state: RunState::Cancelled, ..doubt };
        check(cancelled, Resend, Err(Kept::Cancelled));
        check(cancelled, NotSent, Ok(Dispatch::Failed));
        let replayed = |by| Candidate { answer_by: Some(Timestamp(by)), ..doubt };
        for verdict in [Resend, NotSent] {
            check(replayed(NOW.0 + 1), verdict, Err(Kept::OnTheWire));
            check(replayed(NOW.0), verdict, decide(&doubt, verdict, NOW).map(|d| d.to));
        }
        check(replayed(NOW.0 + 1), Accepted, Ok(Dispatch::Accepted));
        check(Candidate { suppressed: true, ..doubt }, Resend, Err(Kept::Suppressed));
        check(Candidate { expires_at: NOW, ..doubt }, Resend, Err(Kept::TooLate));
        check(Candidate { affordable: false, ..doubt }, Resend, Err(Kept::OverBudget));
        check(Candidate { affordable: false, ..doubt }, NotSent, Ok(Dispatch::Failed));
        check(Candidate { expires_at: NOW, ..doubt }, Accepted, Ok(Dispatch::Accepted));
    }
}

//! What a message in doubt waits for: the next question to its provider, then a receipt, then its campaign's policy.
//! Pure: everything follows from stored times, so a restart changes nothing.

use std::collections::HashMap;
use std::time::Duration;

use crate::model::clock::Timestamp;
use crate::model::doubt::{Ask, Finding, Means, Repeat, Rung};
use crate::store::inquiries::{REPLAY_ANSWER, Standing};
use crate::store::sweep::InDoubt;

use super::sweep::{DoubtEnd, DoubtPolicy};

/// Answered look-ups about one attempt. With the waits between them they take a quarter of an hour, where a provider shows
/// a message after a minute. Those that are not answered are repeated as long as the provider knows so far back; after as
/// many of them, a replay need not wait for one that is answered.
const LOOKS: u32 = 5;

/// Answered replays of one attempt; what is not answered is repeated as [`LOOKS`] are.
const REPLAYS: u32 = 3;

/// A request whose answer was lost is repeated no sooner: the provider may still be at work on it.
const REPLAY_AFTER: Duration = Duration::from_secs(2);

/// Wait before a second replay; doubles.
const REPLAY_AGAIN: Duration = Duration::from_secs(10);

/// Shortest wait before a second look-up; doubles.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// No wait is longer.
const LONGEST_WAIT: Duration = Duration::from_mins(15);

/// The next question about an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// A look-up or list, from then on.
    Look(Ask, Timestamp),
    /// A replay, from the first instant on until the second.
    Replay(Timestamp, Timestamp),
}

impl Step {
    /// Which rung it is.
    pub fn rung(self) -> Rung {
        match self {
            Self::Look(ask, _) => ask.rung,
            Self::Replay(..) => Rung::Replay,
        }
    }

    /// When it is taken.
    pub fn due(self) -> Timestamp {
        match self {
            Self::Look(_, due) | Self::Replay(due, _) => due,
        }
    }
}

/// What a message in doubt waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Waits {
    /// A question to its provider.
    Asked(Step),
    /// A receipt until then; after that its campaign's policy.
    Receipt(DoubtEnd, Timestamp),
    /// A receipt, or a person.
    Person,
}

/// What every route's provider can be asked, and what ends doubt that no answer ends.
#[derive(Clone, Debug)]
pub struct Ladder {
    /// By route; a route that is not there cannot be asked.
    pub means: HashMap<String, Means>,
    /// What comes last.
    pub policy: DoubtPolicy,
}

impl Ladder {
    /// What a message in doubt waits for at an instant.
    pub fn waits(&self, message: &InDoubt, standing: &Standing, now: Timestamp) -> Waits {
        let means = self.means.get(&standing.route).copied().unwrap_or_default();
        // A provider that does not answer is asked again, but no longer than evidence is awaited.
        let unanswered = standing.asked.finding == Some(Finding::NoAnswer);
        let patient = !unanswered || now < message.since.plus(self.policy.park_after);
        if let Some(step) = next(&means, standing, now).filter(|_| patient) {
            return Waits::Asked(step);
        }
        // A replay may still be on the wire.
        let answered = standing.asked.replayed_at.map_or(message.since, |at| at.plus(REPLAY_ANSWER));
        // A third copy mends nothing; and of two that look alike, each may be this one.
        let twice = matches!(standing.asked.finding, Some(Finding::Twice | Finding::Alike));
        match self.policy.ends(message, now) {
            Some((DoubtEnd::Resend, _)) if twice => {
                Waits::Receipt(DoubtEnd::Park, message.since.plus(self.policy.park_after))
            }
            Some((end, at)) => Waits::Receipt(end, at.max(answered)),
            None => Waits::Person,
        }
    }

    /// Whether an answer that is still to come may prove that a message was not taken, so that it goes out again.
    pub fn may_return(&self, standing: &Standing, now: Timestamp) -> bool {
        let ask = self.means.get(&standing.route).and_then(|means| means.ask);
        // Neither a list nor the answer to a replay proves that nothing was taken.
        let proves = |ask: &Ask| ask.authoritative && ask.rung != Rung::List;
        let asks = standing.open && standing.asked.finding != Some(Finding::Twice);
        ask.filter(proves).is_some_and(|ask| asks && look(&ask, standing, now).is_some())
    }
}

/// The next question about an attempt; none where everything was asked, or nothing can be.
pub fn next(means: &Means, about: &Standing, now: Timestamp) -> Option<Step> {
    if !about.open || about.asked.finding == Some(Finding::Twice) {
        return None;
    }
    let look = means.ask.and_then(|ask| Some(Step::Look(ask, look(&ask, about, now)?)));
    let replay = means.repeat.and_then(|repeat| replay(&repeat, about, now));
    match (look, replay) {
        (Some(Step::Look(ask, due)), Some(Step::Replay(again, until))) => {
            let list = ask.rung == Rung::List;
            let asked = &about.asked;
            // Whoever does not answer the one is asked the other meanwhile.
            let silent =
                if list { asked.replays_unanswered >= REPLAYS } else { asked.looks_unanswered >= LOOKS };
            // A look-up never costs the chance of a replay.
            let last = due.max(now) >= until;
            if last || (if silent { again <= due } else { list }) { replay } else { look }
        }
        (look, replay) => look.or(replay),
    }
}

/// Whether an attempt must never be replayed any more, from this look on: its key is too old by now, or it is of a time
/// that has not come yet, so that nobody knows how old it is. Said once, it stays so, whatever the clock says later.
pub fn replay_over(means: &Means, about: &Standing, now: Timestamp) -> bool {
    let past = |repeat: Repeat| now >= about.intent_at.plus(most(repeat.lifetime)) || now < about.intent_at;
    about.open && !about.asked.replay_over && means.repeat.is_some_and(past)
}

/// When a provider is asked; none if it answered often enough, or does not know so far back.
fn look(ask: &Ask, about: &Standing, now: Timestamp) -> Option<Timestamp> {
    let asked = &about.asked;
    let waited = about.since.plus(ask.after);
    let again = asked
        .looked_at
        .map(|at| at.plus(again(ask.after.max(LOOK_AGAIN), asked.looks + asked.looks_unanswered)));
    // What a replay may have brought about shows up as late as everything else.
    let replayed = asked.replayed_at.map(|at| at.plus(ask.after));
    let due = waited.max(again.unwrap_or(waited)).max(replayed.unwrap_or(waited));
    (asked.looks < LOOKS && due.max(now) <= about.intent_at.plus(most(ask.within))).then_some(due)
}

/// When an attempt is replayed: inside the lifetime of its key, as the very same request, and only if no other attempt of
/// the message may have been taken.
fn replay(repeat: &Repeat, about: &Standing, now: Timestamp) -> Option<Step> {
    let asked = &about.asked;
    let until = about.intent_at.plus(most(repeat.lifetime));
    let again =
        asked.replayed_at.map(|at| at.plus(again(REPLAY_AGAIN, asked.replays + asked.replays_unanswered)));
    let due = again.unwrap_or_else(|| about.since.plus(REPLAY_AFTER));
    let alike = about.intent_at >= repeat.alike_since;
    // What lies ahead of the clock is of no known age.
    let known = !asked.replay_over && about.intent_at <= now;
    (about.alone && alike && known && asked.replays < REPLAYS && due.max(now) < until)
        .then_some(Step::Replay(due, until))
}

/// How much of a provider's memory is relied on: four fifths.
fn most(memory: Duration) -> Duration {
    memory / 5 * 4
}

/// The wait after the `done`th try.
fn again(first: Duration, done: u32) -> Duration {
    let doublings = done.saturating_sub(1).min(20);
    first.saturating_mul(1 << doublings).min(LONGEST_WAIT)
}

#[cfg(test)]
mod tests;

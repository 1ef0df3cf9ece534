//! What a simulated provider says when it is asked about a text: from its own ledger, with a delay, wrongly in nothing
//! that it declares as certain, or not at all. It never reads the store.

use std::time::Duration;

use winback::model::clock::Timestamp;
use winback::model::delivery::Delivery;
use winback::model::doubt::{Ask, Means, Repeat, Rung};
use winback::model::message::Claimed;
use winback::model::outcome::{Outcome, OutcomeClass};
use winback::provider::Found;
use winback::store::inquiries::Open;

use super::dice::Dice;
use super::faults::{Fault, Fired};
use super::provider::{Arrives, Mood, Provider, Reply, Taken};
use super::tables::SENDERS;
use super::world::BEGINNING;

/// Slack of a list around the time of a submission, as in `provider::lookup`.
const LISTED: (i64, i64) = (120_000, 600_000);

/// What the provider of one route can be asked.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Rungs {
    pub(crate) ask: Option<Ask>,
    /// How long it remembers a key.
    pub(crate) remembers: Option<Duration>,
    /// How long it takes to show a text, in milliseconds.
    shows_after: u64,
}

impl Rungs {
    /// Those of some provider; every other one has none.
    pub(crate) fn some(dice: &mut Dice) -> Self {
        if dice.chance(500) { Self::default() } else { Self::one(dice) }
    }

    /// Those of a provider that can be asked.
    pub(crate) fn one(dice: &mut Dice) -> Self {
        let kind = dice.below(5);
        let rung = if kind == 2 || kind == 4 { Rung::List } else { Rung::Lookup };
        let after = dice.pick(&[1, 20, 60]);
        let ask = Ask {
            rung,
            after: Duration::from_secs(after),
            within: Duration::from_hours(72),
            authoritative: rung == Rung::Lookup && dice.chance(600),
        };
        let remembers = dice.pick(&[100, 100, 3_600]);
        Self {
            ask: (kind != 0).then_some(ask),
            remembers: matches!(kind, 0 | 3 | 4).then(|| Duration::from_secs(remembers)),
            shows_after: dice.below(after * 1_000),
        }
    }

    /// The same as a definition declares it; none if there is nothing.
    pub(crate) fn means(&self, alike_since: Timestamp) -> Option<Means> {
        let repeat = self.remembers.map(|lifetime| Repeat { lifetime, alike_since });
        let means = Means { ask: self.ask, repeat };
        (means != Means::default()).then_some(means)
    }
}

impl Provider {
    /// Answers a look-up by our reference or a list, and says how long it took in milliseconds.
    pub(crate) fn look_up(
        &self,
        (rungs, ask, mood): (&Rungs, Ask, &Mood),
        open: &Open,
        (now, route): (u64, usize),
        dice: &mut Dice,
        fired: &mut Fired,
    ) -> (Result<Vec<Found>, String>, u64) {
        if dice.chance(mood.mute) {
            fired.note(Fault::LookUnanswered);
            return (Err("nobody answered".to_owned()), dice.between(1, 30_000));
        }
        let standing = &open.standing;
        let (from, to) = (standing.intent_at.0 - LISTED.0, standing.intent_at.0 + LISTED.1);
        let at = |t: &Taken| BEGINNING + t.stamp.cast_signed();
        let ours = |t: &&Taken| match ask.rung {
            Rung::List => {
                let same = t.phone == open.message.phone.digits()
                    && SENDERS[t.sender] == open.message.sender
                    && super::model::sending::body(t.coupon) == open.message.body;
                same && (from..=to).contains(&at(t))
            }
            _ => t.message == open.message.id.0 && t.number == standing.number,
        };
        let shown = |t: &&Taken| t.route == route && t.stamp + rungs.shows_after <= now;
        let mut found: Vec<Found> =
            self.ledger.iter().filter(ours).filter(shown).map(|t| named(t.id, at(t))).collect();
        if !ask.authoritative && dice.chance(200) {
            fired.note(Fault::NotShown);
            found.clear();
        }
        if !found.is_empty() && dice.chance(mood.mute / 4) {
            fired.note(Fault::ShownTwice);
            found.push(named(7_000 + open.message.id.0, BEGINNING + now.cast_signed()));
        }
        let slow = dice.chance(mood.mute / 2);
        if slow {
            fired.note(Fault::LookSlow);
        }
        (Ok(found), if slow { dice.between(5_001, 20_000) } else { dice.below(400) })
    }

    /// Gets a request once more under its key: what it took and remembers is answered as it was, everything else is a
    /// request like any other.
    pub(crate) fn again(
        &mut self,
        message: &Claimed,
        number: i64,
        at: Arrives,
        mood: &Mood,
        dice: &mut Dice,
        fired: &mut Fired,
    ) -> Reply {
        let known = |t: &&Taken| {
            t.message == message.id.0
                && t.number == number
                && t.print == at.print
                && at.stamp < t.stamp + at.remembers
        };
        let Some(known) = self.ledger.iter().find(known) else {
            let reply = self.get(message, number, at, mood, dice, fired);
            if self.ledger.last().is_some_and(|t| t.replay == at.replay) {
                fired.note(Fault::ReplayTaken);
            }
            return reply;
        };
        fired.note(Fault::ReplayKnown);
        let mut outcome = Outcome::of(OutcomeClass::Accepted);
        outcome.provider_id = Some(format!("p{}", known.id));
        if dice.chance(mood.mute) {
            fired.note(Fault::ReplayUnanswered);
            outcome = Outcome::of(OutcomeClass::Unknown);
        }
        Reply { outcome, after: dice.below(mood.slowest) + 1, receipts: Vec::new() }
    }
}

fn named(id: i64, at: i64) -> Found {
    let (reference, at) = (None, Some(Timestamp(at)));
    Found { provider_id: format!("p{id}"), reference, at, status: None, delivery: Delivery::None }
}

//! Requests that were refused as a whole: nobody knows which message the provider minds, so their halves go by
//! themselves, until the one that is at fault stands alone.
//!
//! A half is a submission like any other: it needs its permits, ends at the deadline of its intents, and takes nobody
//! along who was suppressed meanwhile. It never makes a message certain that was not.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::model::clock::Moment;
use crate::model::outcome::{Outcome, OutcomeClass};

use super::super::pace::Hold;
use super::{Effect, Flight, LaneCore};

/// How often the messages of one request are halved: enough to find one among 128.
pub(super) const HALVINGS: u32 = 7;

/// Messages that did not go, and why.
pub(super) type Withheld = Vec<(Flight, Outcome)>;

/// What keeps a half from going.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Waits {
    /// The limit of the account, or its hold: nothing else may take the permits meanwhile.
    Account(Duration),
    /// A narrower limit, or places on the wire.
    Narrow(Duration),
}

impl LaneCore {
    /// Cuts what was refused together in two; answers what has been cut often enough.
    pub(super) fn halve(&mut self, refused: BTreeMap<u64, Vec<Flight>>) -> Vec<Flight> {
        let mut given_up = Vec::new();
        for mut flights in refused.into_values() {
            if flights.iter().any(|flight| flight.halvings == 0) {
                given_up.extend(flights);
                continue;
            }
            for flight in &mut flights {
                flight.halvings -= 1;
            }
            let second = flights.split_off(flights.len().div_ceil(2));
            // These first: a text that is refused to everybody then shows soon.
            for half in [second, flights] {
                if !half.is_empty() {
                    self.halves.push_front(half);
                }
            }
        }
        given_up
    }

    /// Hands halves to the wire as far as permits and places go.
    pub(super) fn submit_halves(
        &mut self,
        now: Moment,
        withheld: &mut Withheld,
        effects: &mut Vec<Effect>,
    ) -> Option<Waits> {
        let mut left = std::mem::take(&mut self.halves);
        let mut waits = None;
        while let Some(half) = left.pop_front() {
            let (mut request, mut rest) = (Vec::new(), Vec::new());
            for flight in half {
                if let Some(why) = self.why_not(&flight, now.elapsed) {
                    withheld.push((flight, why));
                    continue;
                }
                if waits.is_none() {
                    waits = self.half_waits(&flight, now.elapsed);
                }
                if waits.is_none() { request.push(flight) } else { rest.push(flight) }
            }
            if !request.is_empty() {
                self.launch(request, effects);
            }
            if !rest.is_empty() {
                self.halves.push_back(rest);
            }
        }
        waits
    }

    /// Takes the permits of one message of a half, or says what it waits for.
    fn half_waits(&mut self, flight: &Flight, now: Duration) -> Option<Waits> {
        if now < self.hold_until {
            return Some(Waits::Account(self.hold_until));
        }
        if self.wire.len() >= self.config.in_flight {
            return Some(Waits::Narrow(now + super::IDLE_LOOK));
        }
        let message = &flight.message;
        let parts = u32::from(message.parts);
        match self.gate.use_permits(parts, &message.sender, &message.country, now) {
            Ok(()) => None,
            Err(Hold::Account(wait)) => Some(Waits::Account(now + wait)),
            Err(Hold::Narrow(wait)) => Some(Waits::Narrow(now + wait)),
        }
    }

    /// A half that is too late was refused once, and that counts; one for a number that is suppressed just does not go.
    fn why_not(&self, flight: &Flight, now: Duration) -> Option<Outcome> {
        let why = self.withhold(flight, now)?;
        let class = if self.stopped.contains(&flight.message.id) {
            OutcomeClass::Throttled
        } else {
            OutcomeClass::Unavailable
        };
        Some(Outcome::of(class).because(why))
    }

    /// Halves do not outlive the lane.
    pub(super) fn drop_halves(&mut self, withheld: &mut Withheld) {
        let why = "refused with others; the daemon stopped before it went by itself";
        let unsent = || Outcome::of(OutcomeClass::Throttled).because(why);
        withheld.extend(self.halves.drain(..).flatten().map(|flight| (flight, unsent())));
    }
}

/// What is left to say of a message that was refused with others again and again.
pub(super) fn refused_with_others(outcome: &Outcome) -> Outcome {
    let code = outcome.code.clone();
    let why = "the request was refused as a whole; this message was not sent";
    Outcome { code, ..Outcome::of(OutcomeClass::Unavailable).because(why) }
}

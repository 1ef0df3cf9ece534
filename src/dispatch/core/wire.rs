//! The last step: what is recorded as intended goes to the wire when its permits, a free place and the state of the lane
//! allow it, or is settled as not sent.
//!
//! Intents run ahead of the wire, so everything that forbids a text is asked again here. What the lane itself keeps from
//! leaving costs no attempt.

use std::time::Duration;

use rand::Rng;

use crate::model::clock::Moment;
use crate::model::outcome::{Outcome, OutcomeClass};

use super::super::breaker::Admission;
use super::super::pace::Hold;
use super::halves::{Waits, Withheld};
use super::{Effect, Flight, LaneCore};

/// What keeps every recorded intent from leaving now.
#[derive(Clone, Copy, Debug)]
enum Barrier {
    /// Nothing.
    None,
    /// They may go at this instant; those whose deadline comes first do not go at all.
    Until(Duration, &'static str),
    /// They will not go.
    Closed(&'static str),
}

impl LaneCore {
    /// Hands granted messages to free places on the wire, request by request; halves of refused requests first. Answers
    /// what these wait for, and when the next may go if a limit holds it.
    pub(super) fn submit(
        &mut self,
        now: Moment,
        rng: &mut impl Rng,
        effects: &mut Vec<Effect>,
    ) -> (Option<Waits>, Option<Duration>) {
        let mut unsent = Withheld::new();
        if self.draining {
            self.drop_halves(&mut unsent);
        }
        let barrier = self.barrier(now.elapsed);
        self.drop_barred(barrier, &mut unsent);
        let waits = match barrier {
            Barrier::Until(at, _) if !self.halves.is_empty() => Some(Waits::Account(at)),
            Barrier::Closed(_) if !self.halves.is_empty() => {
                Some(Waits::Account(now.elapsed + super::IDLE_LOOK))
            }
            _ => self.submit_halves(now, &mut unsent, effects),
        };
        let next = match barrier {
            Barrier::None => self.submit_granted(now.elapsed, &mut unsent, effects),
            Barrier::Until(at, _) => Some(at),
            Barrier::Closed(_) => None,
        };
        self.settle_unsent(unsent, now, rng, effects);
        (waits, next)
    }

    fn barrier(&self, now: Duration) -> Barrier {
        if self.hold_lost {
            return Barrier::Closed("withheld before the first byte: the hold on the store was lost");
        }
        if self.draining {
            return Barrier::Closed("withheld before the first byte: the daemon is stopping");
        }
        if !self.healthy {
            let why = "withheld before the first byte: the store could not be written";
            return Barrier::Until(now + super::IDLE_LOOK, why);
        }
        if now < self.hold_until {
            let why = "withheld before the first byte: the provider asked to wait";
            return Barrier::Until(self.hold_until, why);
        }
        // The probe is chosen with its intent; what was granted before the breaker opened is not one.
        match self.breaker.admit(now) {
            Admission::Until(_) | Admission::Probe if !self.breaker.is_probing() => {
                Barrier::Closed("withheld before the first byte: the provider is unwell")
            }
            _ => Barrier::None,
        }
    }

    /// Takes out what would be too late by the time it may go.
    fn drop_barred(&mut self, barrier: Barrier, unsent: &mut Withheld) {
        let (until, why) = match barrier {
            Barrier::None => return,
            Barrier::Until(until, why) => (until, why),
            Barrier::Closed(why) => (Duration::MAX, why),
        };
        let (mut go, stay): (Vec<_>, Vec<_>) =
            self.granted.drain(..).partition(|flight| flight.deadline <= until);
        self.granted.extend(stay);
        for half in &mut self.halves {
            go.extend(half.extract_if(.., |flight| flight.deadline <= until));
        }
        self.halves.retain(|half| !half.is_empty());
        unsent.extend(go.into_iter().map(|flight| (flight, withheld(why))));
    }

    /// Fills the free places. Whoever waits for the limit of a sender or country lets others by and stays first in line.
    fn submit_granted(
        &mut self,
        now: Duration,
        unsent: &mut Withheld,
        effects: &mut Vec<Effect>,
    ) -> Option<Duration> {
        let (mut next, mut aside) = (None::<Duration>, Vec::new());
        let mut open = true;
        while open && self.wire.len() < self.config.in_flight && !self.granted.is_empty() {
            let mut request = Vec::new();
            while open && request.len() < self.config.per_request {
                let Some(flight) = self.granted.pop_front() else { break };
                if let Some(why) = self.withhold(&flight, now) {
                    unsent.push((flight, withheld(why)));
                    continue;
                }
                let message = &flight.message;
                let parts = u32::from(message.parts);
                match self.gate.use_permits(parts, &message.sender, &message.country, now) {
                    Ok(()) => request.push(flight),
                    Err(hold) => {
                        open = matches!(hold, Hold::Narrow(_));
                        let at = now + hold.wait();
                        next = Some(next.map_or(at, |next| next.min(at)));
                        aside.push(flight);
                    }
                }
            }
            if !request.is_empty() {
                self.launch(request, effects);
            }
        }
        for flight in aside.into_iter().rev() {
            self.granted.push_front(flight);
        }
        next
    }

    /// Puts one request on the wire; the first deadline in it is the deadline of all.
    pub(super) fn launch(&mut self, request: Vec<Flight>, effects: &mut Vec<Effect>) {
        self.requests += 1;
        let deadline = request.iter().map(|flight| flight.deadline).min().unwrap_or_default();
        let messages = request.iter().map(|flight| (flight.message.clone(), flight.number)).collect();
        for flight in request {
            self.wire.insert(flight.message.id, Flight { request: self.requests, ..flight });
        }
        effects.push(Effect::Submit { messages, deadline });
    }

    /// The last check before the wire: a STOP that came after the intent, a deadline that passed.
    pub(super) fn withhold(&self, flight: &Flight, now: Duration) -> Option<&'static str> {
        if self.stopped.contains(&flight.message.id) {
            return Some("withheld before the first byte: the number was suppressed");
        }
        (now >= flight.deadline).then_some(TOO_LATE)
    }
}

/// Why a message did not go whose intent is too old.
const TOO_LATE: &str = "withheld before the first byte: too late after the intent";

/// What became of a message whose intent was too old when its turn came.
pub(super) fn too_late() -> Outcome {
    withheld(TOO_LATE)
}

fn withheld(why: &'static str) -> Outcome {
    Outcome::of(OutcomeClass::Throttled).because(why)
}

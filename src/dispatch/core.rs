//! The decisions of one lane: what to claim, what to record as intended, what to hand to the wire, what an answer means.
//!
//! [`LaneCore::step`] takes an event and the time and answers effects. It has no input or output, no clock and no
//! randomness of its own, so the same events give the same effects, in a daemon or in a simulation.

mod flow;
mod halves;
mod loan;
mod narrow;
mod wire;
mod words;

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use rand::Rng;

use crate::model::clock::{Moment, Timestamp};
use crate::model::ids::{MessageId, RunId};
use crate::model::message::{Claimed, Intent, Refusal, Settlement};
use crate::model::outcome::{Outcome, OutcomeClass};
use crate::model::phone::Phone;
use crate::model::reference;
use crate::store::suppressions::EVERY_SENDER;

use super::breaker::{Admission, Breaker};
use super::pace::{Hold, Pacer};
use super::settle::settle;

use flow::Flow;
use halves::{HALVINGS, Waits, Withheld};
use narrow::Narrow;

pub use words::{Answer, Effect, Event, LaneConfig, Picture};

/// Intents recorded in one go, and most that wait for a place on the wire.
const INTENTS_AT_ONCE: usize = 1024;

/// Intents are recorded ahead for a few times as long as it takes to record them, and at least for this long, so that the
/// wire never waits for the disk. What is ahead when the process dies is in doubt, so it is no more than that.
const AHEAD: Duration = Duration::from_millis(50);

/// One while these are recorded, one while those before them leave, and one because a wire that had to wait looks slower
/// than it is and would go on waiting.
const RECORDINGS: u32 = 3;

/// That does not concern what the limit lets go, counted in parts: more of it than this need not be ahead.
const RECORDINGS_AT_LIMIT: u32 = 2;

/// Intents are not recorded further ahead than this, however slow the disk is.
const FAR_AHEAD: Duration = Duration::from_millis(250);

/// How late a timer may be without slowing a lane down: what is missed by it may be made up for.
const LATE: Duration = Duration::from_millis(4);

/// Intents ahead while it is not known yet how fast the wire takes them.
const AHEAD_AT_FIRST: usize = 256;

/// How often a lane looks at itself when nothing happens.
const IDLE_LOOK: Duration = Duration::from_secs(1);

/// How long a lane that found no work waits for word of some before it asks again: hundreds of lanes that have nothing to do
/// must cost nothing, and whoever knows of work says so within a second.
const DRY_LOOK: Duration = Duration::from_mins(1);

/// A message that was recorded as intended must be on the wire within this time, or it is not sent at all.
pub const SEND_DEADLINE: Duration = Duration::from_secs(10);

/// A claimed message that cannot go is given back after this time, well before its lease ends.
const READY_LIMIT: Duration = Duration::from_secs(10);

/// Content refusals in a row after which a run is paused: the text is at fault, not the people.
const BAD_CONTENT_LIMIT: u32 = 5;

struct Flight {
    message: Arc<Claimed>,
    number: i64,
    deadline: Duration,
    /// The request it went out in.
    request: u64,
    /// How often its request may still be halved.
    halvings: u32,
}

/// The state of one lane.
pub struct LaneCore {
    config: LaneConfig,
    /// What may be recorded as intended: the limits, a little ahead of time.
    pacer: Pacer,
    /// What may leave: the limits themselves.
    gate: Pacer,
    breaker: Breaker,
    /// Claimed, waiting for permits: nothing of it has left.
    ready: VecDeque<Arc<Claimed>>,
    ready_since: Duration,
    /// Claimed, waiting for the limit of their sender or country.
    narrow: Narrow,
    /// Sent to the store as intents, answer outstanding: message, number of the attempt, when it was asked.
    intending: HashMap<MessageId, (Arc<Claimed>, i64, Duration)>,
    /// Intents are durable, waiting for a place on the wire.
    granted: VecDeque<Flight>,
    /// On the wire.
    wire: HashMap<MessageId, Flight>,
    /// Requests that are counted.
    requests: u64,
    /// Refused together, waiting to go by halves.
    halves: VecDeque<Vec<Flight>>,
    /// Messages whose number was suppressed since their intent was asked for.
    stopped: HashSet<MessageId>,
    bad_content: HashMap<RunId, u32>,
    flow: Flow,
    claiming: bool,
    dry_until: Duration,
    hold_until: Duration,
    healthy: bool,
    draining: bool,
    /// Nothing may go to the wire any more.
    hold_lost: bool,
    drained: bool,
}

impl LaneCore {
    /// A lane at rest.
    pub fn new(config: LaneConfig) -> Self {
        Self {
            pacer: Pacer::new(&config.limits, FAR_AHEAD),
            gate: Pacer::new(&config.limits, LATE),
            config,
            breaker: Breaker::default(),
            ready: VecDeque::new(),
            ready_since: Duration::ZERO,
            narrow: Narrow::default(),
            intending: HashMap::new(),
            granted: VecDeque::new(),
            wire: HashMap::new(),
            requests: 0,
            halves: VecDeque::new(),
            stopped: HashSet::new(),
            bad_content: HashMap::new(),
            flow: Flow::default(),
            claiming: false,
            dry_until: Duration::ZERO,
            hold_until: Duration::ZERO,
            healthy: true,
            draining: false,
            hold_lost: false,
            drained: false,
        }
    }

    /// Takes one event; answers what must be done, in this order.
    pub fn step(&mut self, event: Event, now: Moment, rng: &mut impl Rng) -> Vec<Effect> {
        let mut effects = Vec::new();
        match event {
            Event::Tick => {}
            Event::Wake => self.dry_until = self.dry_until.min(now.elapsed),
            Event::Claimed(messages) => self.take(messages, now, &mut effects),
            Event::ClaimFailed => {
                self.claiming = false;
                self.dry_until = now.elapsed + IDLE_LOOK;
            }
            Event::Intended { granted, refused } => self.grant(&granted, &refused, now.elapsed),
            Event::IntendFailed(messages) => self.ungrant(&messages, now),
            Event::Answered(answers) => self.answer(answers, now, rng, &mut effects),
            Event::Suppressed(phones) => self.stop(&phones),
            Event::StoreHealth(healthy) => self.healthy = healthy,
            Event::Drain => self.draining = true,
            Event::HoldLost => (self.draining, self.hold_lost) = (true, true),
        }
        self.advance(now, rng, &mut effects);
        effects
    }

    /// Messages that may be in doubt if the process died now.
    pub fn under_way(&self) -> usize {
        let halves: usize = self.halves.iter().map(Vec::len).sum();
        self.intending.len() + self.granted.len() + halves + self.wire.len()
    }

    /// Number and sender of messages that have asked for their intent and can still be kept from leaving.
    pub fn before_the_wire(&self) -> Vec<(Phone, String)> {
        // What is on the wire with others may have to go again.
        let wire = self.wire.values().filter(|_| self.config.per_request > 1);
        let flights = self.granted.iter().chain(self.halves.iter().flatten()).chain(wire);
        let intending = self.intending.values().map(|(message, ..)| message);
        let messages = flights.map(|flight| &flight.message).chain(intending);
        messages.map(|message| (message.phone, message.sender.clone())).collect()
    }

    /// Marks messages, not numbers: one that asks for its intent again is judged by the store. What another sender must
    /// not text concerns nobody else: withheld for it, a message would be granted and withheld again and again.
    fn stop(&mut self, told: &[(Phone, String)]) {
        let told: HashSet<(Phone, &str)> =
            told.iter().map(|(phone, scope)| (*phone, scope.as_str())).collect();
        let holds = |message: &Claimed| {
            [EVERY_SENDER, message.sender.as_str()]
                .iter()
                .any(|scope| told.contains(&(message.phone, *scope)))
        };
        let flights = self.granted.iter().chain(self.halves.iter().flatten()).chain(self.wire.values());
        let messages = flights.map(|flight| &flight.message);
        let intending = self.intending.values().map(|(message, ..)| message);
        let concerned = messages.chain(intending).filter(|message| holds(message));
        self.stopped.extend(concerned.map(|message| message.id));
    }

    /// A picture of the lane for people and metrics.
    pub fn picture(&self) -> Picture {
        Picture {
            ready: self.ready.len(),
            under_way: self.under_way(),
            on_wire: self.wire.len(),
            rate_share: self.pacer.share(),
            broken: self.breaker.is_open(),
            healthy: self.healthy,
            held_until: self.hold_until.max(self.breaker.next_try().unwrap_or_default()),
        }
    }

    /// A message whose lease ran out under this lane may come to it again. While an earlier attempt of it is under way
    /// it is given back: an answer names the message alone, and would be taken for the answer to the later attempt.
    fn take(&mut self, mut messages: Vec<Claimed>, now: Moment, effects: &mut Vec<Effect>) {
        self.claiming = false;
        let waiting = self.granted.iter().chain(self.halves.iter().flatten());
        let waiting: HashSet<MessageId> = waiting.map(|flight| flight.message.id).collect();
        let again = |m: &mut Claimed| {
            waiting.contains(&m.id) || self.intending.contains_key(&m.id) || self.wire.contains_key(&m.id)
        };
        let due = now.wall.plus(READY_LIMIT);
        let back: Vec<_> = messages.extract_if(.., again).map(|m| (m.id, m.epoch, due)).collect();
        if !back.is_empty() {
            effects.push(Effect::Postpone(back));
        }
        if messages.is_empty() {
            // What was given back for its sender or country comes at its time.
            let look = now.elapsed + DRY_LOOK;
            self.dry_until = self.narrow.next_claim(now.elapsed).map_or(look, |slot| slot.min(look));
            return;
        }
        if self.ready.is_empty() {
            self.ready_since = now.elapsed;
        }
        self.ready.extend(messages.into_iter().map(Arc::new));
    }

    /// The deadline counts from the asking: a machine that slept between the commit and its answer must not send late.
    fn grant(&mut self, granted: &[MessageId], refused: &[(MessageId, Refusal)], now: Duration) {
        for id in granted {
            if let Some((message, number, asked)) = self.intending.remove(id) {
                self.flow.recorded(now.saturating_sub(asked));
                let deadline = asked + SEND_DEADLINE;
                self.granted.push_back(Flight { message, number, deadline, request: 0, halvings: HALVINGS });
            }
        }
        for (id, _) in refused {
            self.intending.remove(id);
            self.stopped.remove(id);
        }
    }

    fn ungrant(&mut self, messages: &[MessageId], now: Moment) {
        for id in messages {
            self.stopped.remove(id);
            if let Some((message, ..)) = self.intending.remove(id) {
                self.ready.push_front(message);
            }
        }
        self.hold_until = now.elapsed + IDLE_LOOK;
    }

    fn answer(
        &mut self,
        answers: Vec<(MessageId, Answer)>,
        now: Moment,
        rng: &mut impl Rng,
        effects: &mut Vec<Effect>,
    ) {
        self.flow.count(answers.len(), now.elapsed);
        let (mut settlements, mut unsent) = (Vec::with_capacity(answers.len()), Withheld::new());
        let (mut together, mut codes) = (BTreeMap::<u64, Vec<Flight>>::new(), HashMap::new());
        for (id, answer) in answers {
            let Some(flight) = self.wire.remove(&id) else { continue };
            match answer {
                Answer::Outcome(outcome) => {
                    self.stopped.remove(&id);
                    self.learn(&flight.message, &outcome, now, effects);
                    settlements.push(self.settled(&flight.message, flight.number, outcome, now.wall, rng));
                }
                Answer::Together(outcome) => {
                    codes.insert(flight.request, outcome);
                    together.entry(flight.request).or_default().push(flight);
                }
                Answer::TooLate => unsent.push((flight, wire::too_late())),
            }
        }
        for flight in self.halve(together) {
            let outcome = halves::refused_with_others(&codes[&flight.request]);
            unsent.push((flight, outcome));
        }
        if !settlements.is_empty() {
            effects.push(Effect::Settle(settlements));
        }
        self.settle_unsent(unsent, now, rng, effects);
    }

    /// Writes what did not leave. Nothing is learnt from it: no provider said anything.
    fn settle_unsent(
        &mut self,
        unsent: Withheld,
        now: Moment,
        rng: &mut impl Rng,
        effects: &mut Vec<Effect>,
    ) {
        if unsent.is_empty() {
            return;
        }
        let settlements = unsent.into_iter().map(|(flight, outcome)| {
            self.stopped.remove(&flight.message.id);
            self.settled(&flight.message, flight.number, outcome, now.wall, rng)
        });
        let settlements = settlements.collect();
        effects.push(Effect::Settle(settlements));
    }

    /// What an answer teaches the lane as a whole.
    fn learn(&mut self, message: &Claimed, outcome: &Outcome, now: Moment, effects: &mut Vec<Effect>) {
        self.breaker.record(outcome.class, now.elapsed);
        match outcome.class {
            OutcomeClass::Throttled => {
                // The others that were on the wire meanwhile say nothing new: one throttle halves the rate once.
                if now.elapsed >= self.hold_until {
                    self.pacer.slow_down(now.elapsed);
                    self.gate.slow_down(now.elapsed);
                }
                let wait = outcome.retry_after.unwrap_or(IDLE_LOOK);
                self.hold_until = self.hold_until.max(now.elapsed + wait);
            }
            OutcomeClass::BadContent => {
                let count = self.bad_content.entry(message.run).or_default();
                *count += 1;
                if *count == BAD_CONTENT_LIMIT {
                    // Counted anew, so that a run that was resumed all the same is paused again.
                    self.bad_content.remove(&message.run);
                    effects.push(Effect::PauseRun(message.run));
                }
            }
            OutcomeClass::Accepted => {
                self.bad_content.remove(&message.run);
            }
            _ => {}
        }
    }

    fn settled(
        &self,
        message: &Claimed,
        number: i64,
        outcome: Outcome,
        now: Timestamp,
        rng: &mut impl Rng,
    ) -> Settlement {
        let decided = settle(message, number, outcome, &self.config.retry, now, rng);
        // A test settles every class; a hole in the table must stop the lane, not lose what the wire said.
        decided.expect("every outcome leads somewhere from submitting")
    }

    /// Does all that can be done now, from the wire backwards, so that what is nearest to it goes first.
    fn advance(&mut self, now: Moment, rng: &mut impl Rng, effects: &mut Vec<Effect>) {
        self.pacer.recover(now.elapsed);
        self.gate.recover(now.elapsed);
        let (halves, gate) = self.submit(now, rng, effects);
        if self.draining {
            self.give_back_ready(effects);
            if self.under_way() == 0 && !self.claiming && !self.drained {
                self.drained = true;
                effects.push(Effect::Drained);
            }
            return;
        }
        if !self.ready.is_empty() && now.elapsed.saturating_sub(self.ready_since) > READY_LIMIT {
            self.give_back_ready(effects);
        }
        if self.under_way() == 0 {
            // The intent of a probe may have been refused; without this the lane would wait for its answer for ever.
            self.breaker.probe_lost();
        }
        let pause = self.pause(now.elapsed);
        if let Some(until) = pause {
            self.give_back_ready(effects);
            effects.push(Effect::WakeAt(gate.map_or(until, |at| at.min(until))));
            return;
        }
        let wake = match halves {
            // Their permits would else go to whoever needs fewer.
            Some(Waits::Account(at)) => at,
            Some(Waits::Narrow(at)) => at.min(self.intend(now, effects)).min(self.claim(now, effects)),
            None => self.intend(now, effects).min(self.claim(now, effects)),
        };
        effects.push(Effect::WakeAt(gate.map_or(wake, |at| at.min(wake))));
    }

    /// Until when the lane as a whole must not start anything.
    fn pause(&self, now: Duration) -> Option<Duration> {
        if !self.healthy {
            return Some(now + IDLE_LOOK);
        }
        if now < self.hold_until {
            return Some(self.hold_until);
        }
        match self.breaker.admit(now) {
            Admission::Until(until) => Some(until),
            Admission::Probe if self.under_way() > 0 => Some(now + IDLE_LOOK),
            Admission::Probe | Admission::Free => None,
        }
    }

    /// Records intents for ready messages that have their permits.
    fn intend(&mut self, now: Moment, effects: &mut Vec<Effect>) -> Duration {
        let mut wake = now.elapsed + if self.ready.is_empty() { DRY_LOOK } else { IDLE_LOOK };
        // One request at a time: what becomes ready meanwhile shares the next.
        let room = if self.intending.is_empty() { self.room() } else { 0 };
        let (mut intents, mut postponed) = (Vec::new(), Vec::new());
        let due = self.narrow.due(now.elapsed);
        if self.ready.is_empty() && !due.is_empty() {
            self.ready_since = now.elapsed;
        }
        for message in due {
            self.ready.push_front(message);
        }
        while intents.len() < room.min(INTENTS_AT_ONCE) {
            let Some(message) = self.ready.pop_front() else { break };
            let parts = u32::from(message.parts);
            match self.pacer.use_permits(parts, &message.sender, &message.country, now.elapsed) {
                Ok(()) => {
                    self.narrow.went(message.id);
                    let number = message.last_number + 1;
                    intents.push(Intent {
                        message: message.id,
                        epoch: message.epoch,
                        number,
                        reference: reference::compose(&self.config.tag, message.id, number),
                    });
                    self.intending.insert(message.id, (message, number, now.elapsed));
                }
                // Kept here, it would stand in the way of everybody whose sender and country have room.
                Err(Hold::Narrow(wait)) => {
                    let periods = self.pacer.narrow_periods(parts, &message.sender, &message.country);
                    if let Some((message, slot)) = self.narrow.hold(message, wait, periods, now.elapsed) {
                        let due = now.wall.plus(slot.saturating_sub(now.elapsed));
                        postponed.push((message.id, message.epoch, due));
                    }
                }
                Err(Hold::Account(wait)) => {
                    wake = wake.min(now.elapsed + wait);
                    self.ready.push_front(message);
                    break;
                }
            }
        }
        if !postponed.is_empty() {
            effects.push(Effect::Postpone(postponed));
        }
        if !intents.is_empty() {
            // Whoever waits behind them is nearer to its turn.
            self.ready_since = now.elapsed;
            if self.breaker.is_open() {
                self.breaker.probe_sent();
            }
            effects.push(Effect::Intend(intents));
        }
        self.narrow.next(now.elapsed).map_or(wake, |slot| slot.min(wake))
    }

    /// Asks for work if there is room and permits for it.
    fn claim(&mut self, now: Moment, effects: &mut Vec<Effect>) -> Duration {
        // As many again as may be under way, and as many as leave meanwhile, so that recording intents never waits for a claim.
        let (ahead, leaving) = if self.breaker.is_open() { (0, 0) } else { (self.ahead(), self.leaving()) };
        let room = (self.room() + ahead + leaving).saturating_sub(self.ready.len());
        let enough = leaving.max(self.ahead() / 2);
        let crowded = self.narrow.at_hand() >= self.config.in_flight * 2 || self.ready.len() > enough;
        // Nothing is recorded and nothing could be: the wire stands still, and what is claimed now would grow old.
        let stuck = self.room() == 0 && self.intending.is_empty();
        if self.claiming || stuck || crowded {
            return now.elapsed + IDLE_LOOK;
        }
        if now.elapsed < self.dry_until {
            return self.dry_until;
        }
        // Permits are taken when there is a message to use them: those taken ahead would add up while there is none.
        let paced = usize::try_from(self.pacer.within_a_second()).unwrap_or(usize::MAX);
        let limit = room.min(paced.saturating_sub(self.ready.len()));
        if limit == 0 {
            return now.elapsed + IDLE_LOOK;
        }
        self.claiming = true;
        effects.push(Effect::Claim(limit, self.narrow.full(now.elapsed)));
        now.elapsed + IDLE_LOOK
    }

    /// How many more may be under way: the places on the wire, and those ahead of it.
    fn room(&self) -> usize {
        if self.breaker.is_open() {
            return usize::from(self.under_way() == 0);
        }
        (self.config.in_flight + self.ahead()).saturating_sub(self.under_way())
    }

    /// How many intents may wait for a place on the wire.
    fn ahead(&self) -> usize {
        self.leaving().max(self.config.in_flight.min(AHEAD_AT_FIRST))
    }

    /// How many the wire takes, at the speed it has lately and may have, while intents are recorded ahead.
    fn leaving(&self) -> usize {
        let span = |times| self.flow.recording().saturating_mul(times).clamp(AHEAD, FAR_AHEAD);
        let may_leave = self.pacer.within(span(RECORDINGS_AT_LIMIT));
        self.flow.within(span(RECORDINGS)).min(may_leave).min(INTENTS_AT_ONCE)
    }

    fn give_back_ready(&mut self, effects: &mut Vec<Effect>) {
        self.ready.extend(self.narrow.clear());
        if !self.ready.is_empty() {
            effects.push(Effect::Release(self.ready.drain(..).map(|m| (m.id, m.epoch)).collect()));
        }
    }
}

#[cfg(test)]
mod tests;

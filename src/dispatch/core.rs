//! The decisions of one lane: what to claim, what to record as intended, what to hand to the wire, what an answer means.
//!
//! [`LaneCore::step`] takes an event and the time and answers effects. It has no input or output, no clock and no
//! randomness of its own, so the same events give the same effects, in a daemon or in a simulation.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use rand::Rng;

use crate::model::clock::{Moment, Timestamp};
use crate::model::ids::{MessageId, RunId};
use crate::model::message::{Claimed, Intent, Refusal, RetryPolicy, Settlement};
use crate::model::outcome::{Outcome, OutcomeClass};
use crate::model::phone::Phone;
use crate::model::reference;

use super::breaker::{Admission, Breaker};
use super::pace::{Hold, LaneLimits, Pacer};
use super::settle::settle;

/// Intents recorded in one go, and most that wait for a place on the wire.
const INTENTS_AT_ONCE: usize = 1024;

/// Intents are recorded ahead for as long as it takes to record them, so that the wire never waits for the disk. What
/// is ahead when the process dies is in doubt, so it is no more than that.
const AHEAD: Duration = Duration::from_millis(50);

/// Intents ahead while it is not known yet how fast the wire takes them.
const AHEAD_AT_FIRST: usize = 256;

/// How often a lane looks for work when nothing told it to.
const IDLE_LOOK: Duration = Duration::from_secs(1);

/// A message that was recorded as intended must be on the wire within this time, or it is not sent at all.
pub const SEND_DEADLINE: Duration = Duration::from_secs(10);

/// A claimed message that cannot go is given back after this time, well before its lease ends.
const READY_LIMIT: Duration = Duration::from_secs(10);

/// Content refusals in a row after which a run is paused: the text is at fault, not the people.
const BAD_CONTENT_LIMIT: u32 = 5;

/// What a lane is told about itself.
#[derive(Clone, Debug)]
pub struct LaneConfig {
    /// The tag of the store, first part of every reference.
    pub tag: String,
    /// Submissions that may be under way at once.
    pub in_flight: usize,
    /// Recipients that fit into one request.
    pub per_request: usize,
    /// Its limits.
    pub limits: LaneLimits,
    /// Its retries.
    pub retry: RetryPolicy,
}

/// What happens to a lane.
#[derive(Clone, Debug)]
pub enum Event {
    /// Time has passed.
    Tick,
    /// There may be new work.
    Wake,
    /// The store answered a claim.
    Claimed(Vec<Claimed>),
    /// The store could not answer a claim.
    ClaimFailed,
    /// Intents were recorded, or refused; what is granted may go to the wire from now on.
    Intended {
        /// May go.
        granted: Vec<MessageId>,
        /// Must not go, and is no longer ours.
        refused: Vec<(MessageId, Refusal)>,
    },
    /// The store could not record intents; none of them may go, all are still claimed.
    IntendFailed(Vec<MessageId>),
    /// The wire answered.
    Answered(Vec<(MessageId, Outcome)>),
    /// These numbers were suppressed a moment ago.
    Suppressed(Vec<Phone>),
    /// The store can be written again, or cannot.
    StoreHealth(bool),
    /// Finish what is under way and take nothing new.
    Drain,
}

/// What a lane wants done.
#[derive(Clone, Debug)]
pub enum Effect {
    /// Take up to this many due messages.
    Claim(usize),
    /// Record these intents durably.
    Intend(Vec<Intent>),
    /// Hand one request to the wire, before the deadline on the lane's clock.
    Submit {
        /// The messages in the request, with the number of their attempt.
        messages: Vec<(Arc<Claimed>, i64)>,
        /// Instant of [`Moment::elapsed`] after which it must not be written any more.
        deadline: Duration,
    },
    /// Write these outcomes.
    Settle(Vec<Settlement>),
    /// Give these claimed messages back: (message, epoch).
    Release(Vec<(MessageId, i64)>),
    /// Give these claimed messages back until their sender or country has room again: (message, epoch, due).
    Postpone(Vec<(MessageId, i64, Timestamp)>),
    /// The text of this run is refused again and again.
    PauseRun(RunId),
    /// Come back at this instant of [`Moment::elapsed`], or earlier.
    WakeAt(Duration),
    /// Nothing is under way any more and nothing will be.
    Drained,
}

struct Flight {
    message: Arc<Claimed>,
    number: i64,
    deadline: Duration,
}

/// The state of one lane.
pub struct LaneCore {
    config: LaneConfig,
    pacer: Pacer,
    breaker: Breaker,
    /// Claimed, waiting for permits: nothing of it has left.
    ready: VecDeque<Arc<Claimed>>,
    ready_since: Duration,
    /// Sent to the store as intents, answer outstanding: message, number of the attempt, when it was asked.
    intending: HashMap<MessageId, (Arc<Claimed>, i64, Duration)>,
    /// Intents are durable, waiting for a place on the wire.
    granted: VecDeque<Flight>,
    /// On the wire.
    wire: HashMap<MessageId, (Arc<Claimed>, i64)>,
    /// Numbers suppressed while messages were between intent and wire.
    suppressed: HashSet<Phone>,
    bad_content: HashMap<RunId, u32>,
    flow: Flow,
    claiming: bool,
    dry_until: Duration,
    hold_until: Duration,
    healthy: bool,
    draining: bool,
    drained: bool,
}

impl LaneCore {
    /// A lane at rest.
    pub fn new(config: LaneConfig) -> Self {
        Self {
            pacer: Pacer::new(&config.limits),
            config,
            breaker: Breaker::default(),
            ready: VecDeque::new(),
            ready_since: Duration::ZERO,
            intending: HashMap::new(),
            granted: VecDeque::new(),
            wire: HashMap::new(),
            suppressed: HashSet::new(),
            bad_content: HashMap::new(),
            flow: Flow::default(),
            claiming: false,
            dry_until: Duration::ZERO,
            hold_until: Duration::ZERO,
            healthy: true,
            draining: false,
            drained: false,
        }
    }

    /// Takes one event; answers what must be done, in this order.
    pub fn step(&mut self, event: Event, now: Moment, rng: &mut impl Rng) -> Vec<Effect> {
        let mut effects = Vec::new();
        match event {
            Event::Tick => {}
            Event::Wake => self.dry_until = self.dry_until.min(now.elapsed),
            Event::Claimed(messages) => self.take(messages, now),
            Event::ClaimFailed => {
                self.claiming = false;
                self.dry_until = now.elapsed + IDLE_LOOK;
            }
            Event::Intended { granted, refused } => self.grant(&granted, &refused),
            Event::IntendFailed(messages) => self.ungrant(&messages, now),
            Event::Answered(answers) => self.answer(answers, now, rng, &mut effects),
            Event::Suppressed(phones) => {
                let concerned = |phone: &Phone| {
                    self.intending.values().any(|(message, ..)| message.phone == *phone)
                        || self.granted.iter().any(|flight| flight.message.phone == *phone)
                };
                self.suppressed.extend(phones.into_iter().filter(concerned));
            }
            Event::StoreHealth(healthy) => self.healthy = healthy,
            Event::Drain => self.draining = true,
        }
        self.advance(now, rng, &mut effects);
        effects
    }

    /// Messages that may be in doubt if the process died now.
    pub fn under_way(&self) -> usize {
        self.intending.len() + self.granted.len() + self.wire.len()
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
        }
    }

    fn take(&mut self, messages: Vec<Claimed>, now: Moment) {
        self.claiming = false;
        if messages.is_empty() {
            self.dry_until = now.elapsed + IDLE_LOOK;
            return;
        }
        if self.ready.is_empty() {
            self.ready_since = now.elapsed;
        }
        self.ready.extend(messages.into_iter().map(Arc::new));
    }

    /// The deadline counts from the asking: a machine that slept between the commit and its answer must not send late.
    fn grant(&mut self, granted: &[MessageId], refused: &[(MessageId, Refusal)]) {
        for id in granted {
            if let Some((message, number, asked)) = self.intending.remove(id) {
                self.granted.push_back(Flight { message, number, deadline: asked + SEND_DEADLINE });
            }
        }
        for (id, _) in refused {
            self.intending.remove(id);
        }
    }

    fn ungrant(&mut self, messages: &[MessageId], now: Moment) {
        for id in messages {
            if let Some((message, ..)) = self.intending.remove(id) {
                self.ready.push_front(message);
            }
        }
        self.hold_until = now.elapsed + IDLE_LOOK;
    }

    fn answer(
        &mut self,
        answers: Vec<(MessageId, Outcome)>,
        now: Moment,
        rng: &mut impl Rng,
        effects: &mut Vec<Effect>,
    ) {
        self.flow.count(answers.len(), now.elapsed);
        let mut settlements = Vec::with_capacity(answers.len());
        for (id, outcome) in answers {
            let Some((message, number)) = self.wire.remove(&id) else { continue };
            self.learn(&message, &outcome, now, effects);
            settlements.push(self.settled(&message, number, outcome, now.wall, rng));
        }
        if !settlements.is_empty() {
            effects.push(Effect::Settle(settlements));
        }
    }

    /// What an answer teaches the lane as a whole.
    fn learn(&mut self, message: &Claimed, outcome: &Outcome, now: Moment, effects: &mut Vec<Effect>) {
        self.breaker.record(outcome.class, now.elapsed);
        match outcome.class {
            OutcomeClass::Throttled => {
                // The others that were on the wire meanwhile say nothing new: one throttle halves the rate once.
                if now.elapsed >= self.hold_until {
                    self.pacer.slow_down(now.elapsed);
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
        self.submit(now, rng, effects);
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
            effects.push(Effect::WakeAt(until));
            return;
        }
        let wake = self.intend(now, effects);
        let wake = wake.min(self.claim(now, effects));
        effects.push(Effect::WakeAt(wake));
    }

    /// Hands granted messages to free places on the wire, request by request.
    fn submit(&mut self, now: Moment, rng: &mut impl Rng, effects: &mut Vec<Effect>) {
        let mut withheld = Vec::new();
        while self.wire.len() < self.config.in_flight && !self.granted.is_empty() {
            let mut request = Vec::new();
            let mut deadline = Duration::MAX;
            while request.len() < self.config.per_request {
                let Some(flight) = self.granted.pop_front() else { break };
                if let Some(why) = self.withhold(&flight, now.elapsed) {
                    withheld.push((flight, why));
                    continue;
                }
                deadline = deadline.min(flight.deadline);
                self.wire.insert(flight.message.id, (Arc::clone(&flight.message), flight.number));
                request.push((flight.message, flight.number));
            }
            if !request.is_empty() {
                effects.push(Effect::Submit { messages: request, deadline });
            }
        }
        if self.intending.is_empty() && self.granted.is_empty() {
            self.suppressed.clear();
        }
        let settlements: Vec<_> = withheld
            .into_iter()
            .map(|(flight, why)| {
                let outcome = Outcome::of(OutcomeClass::Throttled).because(why);
                self.settled(&flight.message, flight.number, outcome, now.wall, rng)
            })
            .collect();
        if !settlements.is_empty() {
            effects.push(Effect::Settle(settlements));
        }
    }

    /// The last check before the wire: a STOP that came after the intent, a deadline that passed.
    fn withhold(&self, flight: &Flight, now: Duration) -> Option<&'static str> {
        if self.suppressed.contains(&flight.message.phone) {
            return Some("withheld before the first byte: the number was suppressed");
        }
        (now >= flight.deadline).then_some("withheld before the first byte: too late after the intent")
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
        let mut wake = now.elapsed + IDLE_LOOK;
        // One request at a time: what becomes ready meanwhile shares the next.
        let room = if self.intending.is_empty() { self.room() } else { 0 };
        let mut intents = Vec::new();
        let mut narrow: HashMap<(String, String), u32> = HashMap::new();
        let mut postponed = Vec::new();
        while intents.len() < room.min(INTENTS_AT_ONCE) {
            let Some(message) = self.ready.pop_front() else { break };
            let parts = u32::from(message.parts);
            self.pacer.stock_up(parts, now.elapsed);
            match self.pacer.use_permits(parts, &message.sender, &message.country, now.elapsed) {
                Ok(()) => {
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
                    let behind = narrow.entry((message.sender.clone(), message.country.clone())).or_default();
                    *behind += 1;
                    postponed.push((message.id, message.epoch, now.wall.plus(wait.saturating_mul(*behind))));
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
            if self.breaker.is_open() {
                self.breaker.probe_sent();
            }
            effects.push(Effect::Intend(intents));
        }
        wake
    }

    /// Asks for work if there is room and permits for it.
    fn claim(&mut self, now: Moment, effects: &mut Vec<Effect>) -> Duration {
        // As many again as may be under way, so that recording intents never waits for a claim.
        let room = (self.room() + self.ahead()).saturating_sub(self.ready.len());
        if self.claiming || self.room() == 0 || self.ready.len() > self.ahead() / 2 {
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
        effects.push(Effect::Claim(limit));
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
        self.flow.within(AHEAD).max(self.config.in_flight.min(AHEAD_AT_FIRST)).min(INTENTS_AT_ONCE)
    }

    fn give_back_ready(&mut self, effects: &mut Vec<Effect>) {
        if !self.ready.is_empty() {
            effects.push(Effect::Release(self.ready.drain(..).map(|m| (m.id, m.epoch)).collect()));
        }
    }
}

/// How fast the wire answers, measured over short spans.
#[derive(Debug, Default)]
struct Flow {
    since: Duration,
    answers: usize,
    per_second: f64,
}

impl Flow {
    /// Long enough to even out single answers, short enough to follow a lane that starts.
    const SPAN: Duration = Duration::from_millis(100);

    fn count(&mut self, answers: usize, now: Duration) {
        self.answers += answers;
        let span = now.saturating_sub(self.since);
        if span >= Self::SPAN {
            #[expect(clippy::cast_precision_loss, reason = "a rate")]
            let answers = self.answers as f64;
            self.per_second = answers / span.as_secs_f64();
            (self.since, self.answers) = (now, 0);
        }
    }

    fn within(&self, span: Duration) -> usize {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a bound; the cast saturates"
        )]
        let answers = (self.per_second * span.as_secs_f64()) as usize;
        answers
    }
}

/// What a lane looks like from outside.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Picture {
    /// Claimed and waiting for permits.
    pub ready: usize,
    /// Between intent and stored outcome.
    pub under_way: usize,
    /// On the wire.
    pub on_wire: usize,
    /// Share of its limit at which it runs.
    pub rate_share: f64,
    /// Whether its breaker is open.
    pub broken: bool,
    /// Whether the store can be written.
    pub healthy: bool,
}

#[cfg(test)]
mod tests;

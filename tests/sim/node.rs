//! A process of the simulation: the real decision cores of its lanes, a wire and a callback server that do
//! what their asynchronous counterparts do, one event at a time.

use std::sync::Arc;
use std::time::Duration;

use winback::dispatch::core::{Answer as Told, Effect, Event, LaneCore};
use winback::model::clock::Timestamp;
use winback::model::message::Claimed;
use winback::model::outcome::{Outcome, OutcomeClass};
use winback::model::phone::Phone;
use winback::model::receipt::Receipt;
use winback::model::run::RunState;
use winback::store::suppressions::EVERY_SENDER;

use super::asking::Asker;
use super::calls::{Call, Callback};
use super::faults::Fault;
use super::provider::Arrives;
use super::tables::ROUTES;
use super::world::{Happening, Who, World};
use super::writing::{Job, Reply};

/// `CLAIM_LEASE` of `dispatch::lane`.
const CLAIM_LEASE: Duration = Duration::from_secs(30);

/// A process.
pub(crate) struct Node {
    pub(crate) alive: bool,
    /// Its incarnation, a name of its own each time it starts.
    pub(crate) owner: u64,
    pub(crate) lanes: Vec<LaneCore>,
    /// Which wake-up of each lane counts.
    pub(crate) turns: Vec<u64>,
    /// How long each lane has found nothing to do, in milliseconds.
    idle: Vec<u64>,
    drained: Vec<bool>,
    pub(crate) draining: bool,
    /// Suspended until then.
    pub(crate) stopped_until: u64,
    pub(super) queue: Vec<Job>,
    pub(super) writing: bool,
    /// Outcomes that the wire gave and the store does not have yet.
    pub(crate) unsettled: usize,
    /// Numbers that each lane was told to be suppressed, with the operations of the store until then.
    pub(crate) heard: Vec<Vec<(Phone, u64)>>,
    /// Asks providers about what is in doubt.
    pub(crate) asker: Asker,
}

impl Node {
    pub(crate) fn off() -> Self {
        Self {
            alive: false,
            owner: 0,
            lanes: Vec::new(),
            turns: vec![0; ROUTES.len()],
            idle: vec![0; ROUTES.len()],
            drained: vec![false; ROUTES.len()],
            draining: false,
            stopped_until: 0,
            queue: Vec::new(),
            writing: false,
            unsettled: 0,
            heard: vec![Vec::new(); ROUTES.len()],
            asker: Asker::default(),
        }
    }

    /// Whether nothing is under way in it.
    pub(crate) fn is_at_rest(&self) -> bool {
        self.alive
            && self.queue.is_empty()
            && self.unsettled == 0
            && self.lanes.iter().all(|l| l.under_way() == 0)
            && self.asker.is_at_rest()
    }

    fn drained(&self) -> bool {
        self.draining && self.queue.is_empty() && self.unsettled == 0 && self.drained.iter().all(|d| *d)
    }
}

impl World {
    /// One step of a lane, and its effects set in motion.
    pub(crate) fn lane(&mut self, who: Who, lane: usize, event: Event) {
        let now = self.moment(who.0);
        let node = &mut self.nodes[who.0];
        if let Event::Suppressed(phones) = &event {
            let seq = self.model.committed.seq;
            node.heard[lane].extend(phones.iter().map(|(phone, _)| (*phone, seq)));
        }
        if let Event::Drain = event {
            node.draining = true;
        }
        let effects = node.lanes[lane].step(event, now, &mut self.dice.0);
        let acts = effects.iter().any(|e| !matches!(e, Effect::WakeAt(_) | Effect::Claim(..)));
        let cap = if self.troubled { 8_000 } else { 300_000 };
        node.idle[lane] = if acts { 0 } else { (node.idle[lane] * 2).clamp(500, cap) };
        for effect in effects {
            if self.troubled && self.strikes(2) {
                self.fired.note(Fault::CrashBetweenEffects);
                self.crash(who.0);
                return;
            }
            self.set_in_motion(who, lane, effect);
        }
        self.end_drain(who.0);
    }

    fn set_in_motion(&mut self, who: Who, lane: usize, effect: Effect) {
        match effect {
            Effect::Claim(limit, full) => {
                if !full.senders.is_empty() {
                    self.fired.note(Fault::FullSender);
                }
                let lease_until = self.wall(who.0).plus(CLAIM_LEASE);
                let call = Call::Claim { route: lane, owner: who.1, lease_until, limit, full };
                self.ask(who, call, Reply::Claim(lane));
            }
            Effect::Intend(intents) => {
                let call = Call::Intend { route: lane, owner: who.1, intents };
                self.ask(who, call, Reply::Intend(lane));
            }
            Effect::Submit { messages, deadline } => self.submit(who, lane, messages, deadline),
            Effect::Settle(settlements) => {
                self.nodes[who.0].unsettled += settlements.len();
                self.ask(who, Call::Settle { route: lane, settlements }, Reply::Until);
            }
            Effect::Release(held) => self.ask(who, Call::Release(held), Reply::Until),
            Effect::Postpone(held) => self.ask(who, Call::Postpone(held), Reply::Until),
            Effect::PauseRun(run) => {
                if self.model.committed.run(run.0).state == RunState::Running {
                    let (run, from, to) = (run.0, RunState::Running, RunState::Paused);
                    let call = Call::SetRunState { run, from, to };
                    self.after(3, Happening::Later { who: Some(who), call });
                }
            }
            Effect::WakeAt(at) => {
                let node = &mut self.nodes[who.0];
                node.turns[lane] += 1;
                let turn = node.turns[lane];
                let asked = u64::try_from(at.as_millis()).expect("a short simulation") + 1;
                let at = asked.max(self.now + node.idle[lane].max(1));
                self.at(at, Happening::Tick { who, lane, turn });
            }
            Effect::Drained => self.nodes[who.0].drained[lane] = true,
        }
    }

    fn submit(&mut self, who: Who, lane: usize, messages: Vec<(Arc<Claimed>, i64)>, deadline: Duration) {
        for (message, number) in &messages {
            let recorded = self.model.committed.attempt(message.id.0, *number).map_or(0, |a| a.seq);
            let told = |(phone, seq): &(Phone, u64)| *phone == message.phone && *seq >= recorded;
            if self.nodes[who.0].heard[lane].iter().any(told) {
                let told = "handed to the wire by a lane that had been told of the STOP";
                self.fail("I4 nothing after STOP", Some(message.id.0), told);
            }
        }
        let slow = self.troubled && self.strikes(20);
        let delay = if slow { self.dice.between(5_000, 15_000) } else { self.dice.below(4) };
        self.after(delay, Happening::Wire { who, lane, messages, deadline });
    }

    /// The task of one request: the last look at its deadline, then bytes.
    pub(crate) fn wire(
        &mut self,
        who: Who,
        lane: usize,
        messages: &[(Arc<Claimed>, i64)],
        deadline: Duration,
    ) {
        let mut answers = Vec::with_capacity(messages.len());
        let mut slowest = 1;
        let mood = self.character.moods[lane].clone();
        let whole = messages.len() > 1 && self.dice.chance(mood.whole);
        for (message, number) in messages {
            if Duration::from_millis(self.now) >= deadline {
                self.fired.note(Fault::WithheldLate);
                answers.push((message.id, Told::TooLate));
                continue;
            }
            if whole {
                self.fired.note(Fault::RefusedTogether);
                self.note(who.1, "refused with others", message.id.0, ("", *number));
                answers.push((message.id, Told::Together(Outcome::of(OutcomeClass::BadRecipient))));
                continue;
            }
            let at = self.arrives(who, lane, None);
            let reply = self.provider.get(message, *number, at, &mood, &mut self.dice, &mut self.fired);
            self.note(who.1, "on the wire", message.id.0, (reply.outcome.class.as_str(), *number));
            slowest = slowest.max(reply.after);
            self.report_later(lane, reply.after, reply.receipts);
            answers.push((message.id, Told::Outcome(reply.outcome)));
        }
        self.dirty = true;
        self.after(slowest, Happening::Lane { who, lane, event: Event::Answered(answers) });
    }

    /// A request of a process as its provider gets it now.
    pub(crate) fn arrives(&self, who: Who, route: usize, replay: Option<u64>) -> Arrives {
        let remembers = self.character.rungs[route].remembers.unwrap_or_default();
        Arrives {
            stamp: self.now,
            seq: self.model.committed.seq,
            route,
            print: self.nodes[who.0].asker.print,
            replay,
            remembers: u64::try_from(remembers.as_millis()).expect("hours"),
        }
    }

    /// A provider will report about a text whose answer takes so long.
    pub(crate) fn report_later(&mut self, route: usize, after: u64, receipts: Vec<(u64, Receipt)>) {
        for (delay, receipt) in receipts {
            if delay < after {
                self.fired.note(Fault::EarlyReceipt);
            }
            let (receipts, inbound) = (vec![receipt], Vec::new());
            self.call_later(delay, Callback { id: 0, route, received_at: Timestamp(0), receipts, inbound });
        }
    }

    /// A provider will call back.
    pub(crate) fn call_later(&mut self, delay: u64, callback: Callback) {
        self.callbacks_under_way += 1;
        let tries = if self.dice.chance(500) { 6 } else { 2 };
        self.after(delay, Happening::Callback { callback: Box::new(callback), tries });
    }

    /// A provider calls back whoever is up.
    pub(crate) fn call_back(&mut self, mut callback: Callback, tries: u32) {
        let up: Vec<usize> = (0..self.nodes.len())
            .filter(|n| {
                self.nodes[*n].alive && !self.nodes[*n].draining && self.nodes[*n].stopped_until <= self.now
            })
            .collect();
        if up.is_empty() {
            self.unanswered(callback, tries);
            return;
        }
        let node = self.dice.pick(&up);
        callback.id = self.next_callback;
        callback.received_at = self.wall(node);
        self.next_callback += 1;
        let who = (node, self.nodes[node].owner);
        let call = if callback.inbound.is_empty() {
            Call::Receive(vec![callback])
        } else {
            Call::Listen(vec![callback])
        };
        self.ask(who, call, Reply::Callback { tries });
    }

    /// A provider that got no answer calls again, some times.
    pub(super) fn unanswered(&mut self, callback: Callback, tries: u32) {
        self.fired.note(Fault::UnansweredCallback);
        if tries > 0 {
            let delay = self.dice.between(200, 30_000);
            self.after(delay, Happening::Callback { callback: Box::new(callback), tries: tries - 1 });
        } else {
            self.callbacks_under_way -= 1;
        }
    }

    /// `look_for_stops` of a lane: asks the store about the numbers of messages that can still be kept from leaving.
    pub(crate) fn look_for_stops(&mut self, who: Who) {
        for lane in 0..ROUTES.len() {
            // The first lane may have taken the process along.
            let Some(core) = self.nodes[who.0].lanes.get(lane) else { return };
            let asked = core.before_the_wire();
            let tables = &self.model.committed;
            let bars = |phone: &Phone| {
                tables.suppressions.iter().any(|s| s.phone == phone.digits() && s.lifted_at.is_none())
            };
            let stopped = asked.into_iter().filter(|(phone, _)| bars(phone));
            let phones: Vec<_> = stopped.map(|(phone, _)| (phone, EVERY_SENDER.to_owned())).collect();
            if !phones.is_empty() {
                self.fired.note(Fault::StopFound);
                self.lane(who, lane, Event::Suppressed(phones));
            }
        }
    }

    pub(super) fn tell_lane(&mut self, who: Who, lane: usize, event: Event) {
        let delay = self.dice.below(4);
        self.after(delay, Happening::Lane { who, lane, event });
    }

    pub(super) fn end_drain(&mut self, place: usize) {
        let node = &self.nodes[place];
        if node.alive && node.drained() {
            self.note(node.owner, "drained", 0, ("", 0));
            self.nodes[place].alive = false;
            self.after(2_000, Happening::Boot(place));
        }
    }

    /// A process starts: it takes back what its predecessor held, then its lanes go.
    pub(crate) fn boot(&mut self, place: usize) {
        if self.nodes[place].alive {
            return;
        }
        let owner = self.next_owner;
        self.next_owner += 1;
        let lanes = self.character.lanes.iter().cloned().map(LaneCore::new).collect();
        self.nodes[place] = Node { alive: true, owner, lanes, ..Node::off() };
        let who = (place, owner);
        let now = self.wall(place);
        let sole = !self.character.server;
        self.note(owner, "starts", 0, ("", 0));
        self.transact(vec![Call::SweepDead { owner, sole }], now, owner);
        self.transact(vec![Call::AcceptByReceipt], now, owner);
        for lane in 0..ROUTES.len() {
            self.tell_lane(who, lane, Event::Wake);
        }
        self.after(1_000, Happening::Sweep(who));
        self.begin_asking(who);
    }

    /// A process ends without a word.
    pub(crate) fn crash(&mut self, place: usize) {
        if !self.nodes[place].alive {
            return;
        }
        self.fired.note(Fault::Crash);
        self.note(self.nodes[place].owner, "crashes", 0, ("", 0));
        let jobs = std::mem::take(&mut self.nodes[place].queue);
        self.put_back_callbacks(jobs);
        self.nodes[place] = Node::off();
        let delay = self.dice.pick(&[100, 3_000, 40_000]);
        self.after(delay, Happening::Boot(place));
    }
}

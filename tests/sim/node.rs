//! A process of the simulation: the real decision cores of its lanes, and a writer, a wire and a callback server that do
//! what their asynchronous counterparts do, one event at a time.

use std::sync::Arc;
use std::time::Duration;

use winback::dispatch::core::{Answer as Told, Effect, Event, LaneCore};
use winback::dispatch::settle::unsent;
use winback::model::clock::Timestamp;
use winback::model::ids::MessageId;
use winback::model::message::Claimed;
use winback::model::outcome::{Outcome, OutcomeClass};
use winback::model::phone::Phone;
use winback::model::run::RunState;
use winback::store::inbound::Reaction;

use super::calls::{Answer, Call, Callback};
use super::faults::Fault;
use super::invariants::Acked;
use super::model::reports::named;
use super::model::{Broken, Model};
use super::tables::{Named, ROUTES, at};
use super::world::{Happening, Who, World};

/// `CLAIM_LEASE` of `dispatch::lane`.
const CLAIM_LEASE: Duration = Duration::from_secs(30);

/// `WRITE_AGAIN` of `dispatch::lane`.
const WRITE_AGAIN_MS: u64 = 500;

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
    queue: Vec<Job>,
    writing: bool,
    /// Outcomes that the wire gave and the store does not have yet.
    pub(crate) unsettled: usize,
    /// Numbers that each lane was told to be suppressed, with the operations of the store until then.
    pub(crate) heard: Vec<Vec<(Phone, u64)>>,
}

struct Job {
    call: Call,
    reply: Reply,
}

/// Who waits for a write.
enum Reply {
    Claim(usize),
    Intend(usize),
    /// Written again until it is done.
    Until,
    /// Likewise; then a lane is told that these intents failed.
    Unsent(usize, Vec<MessageId>),
    Callback {
        tries: u32,
    },
}

/// What becomes of a transaction.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    Done,
    Refused,
    /// It stands, and nobody is told.
    Unknown,
    CrashBefore,
    CrashAfter,
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
        }
    }

    /// Whether nothing is under way in it.
    pub(crate) fn is_at_rest(&self) -> bool {
        self.alive
            && self.queue.is_empty()
            && self.unsettled == 0
            && self.lanes.iter().all(|l| l.under_way() == 0)
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
            node.heard[lane].extend(phones.iter().map(|phone| (*phone, seq)));
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
            let now = (self.now, self.model.committed.seq);
            let reply = self.provider.get(message, *number, now, &mood, &mut self.dice, &mut self.fired);
            self.note(who.1, "on the wire", message.id.0, (reply.outcome.class.as_str(), *number));
            slowest = slowest.max(reply.after);
            for (delay, receipt) in reply.receipts {
                if delay < reply.after {
                    self.fired.note(Fault::EarlyReceipt);
                }
                let (receipts, inbound) = (vec![receipt], Vec::new());
                self.call_later(
                    delay,
                    Callback { id: 0, route: lane, received_at: Timestamp(0), receipts, inbound },
                );
            }
            answers.push((message.id, Told::Outcome(reply.outcome)));
        }
        self.dirty = true;
        self.after(slowest, Happening::Lane { who, lane, event: Event::Answered(answers) });
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
    fn unanswered(&mut self, callback: Callback, tries: u32) {
        self.fired.note(Fault::UnansweredCallback);
        if tries > 0 {
            let delay = self.dice.between(200, 30_000);
            self.after(delay, Happening::Callback { callback: Box::new(callback), tries: tries - 1 });
        } else {
            self.callbacks_under_way -= 1;
        }
    }

    pub(crate) fn ask_again(&mut self, who: Who, call: Call) {
        let reply = match &call {
            Call::Unsent { route, settlements } => {
                Reply::Unsent(*route, settlements.iter().map(|s| s.message).collect())
            }
            _ => Reply::Until,
        };
        self.ask(who, call, reply);
    }

    fn ask(&mut self, who: Who, call: Call, reply: Reply) {
        let node = &mut self.nodes[who.0];
        node.queue.push(Job { call, reply });
        if !std::mem::replace(&mut node.writing, true) {
            // A store that somebody else keeps busy makes everybody wait.
            let busy = self.troubled && self.strikes(8);
            let delay = if busy { self.dice.between(1_000, 60_000) } else { self.dice.below(5) };
            self.after(delay, Happening::Write(who));
        }
    }

    /// The writer: everything that waits in one transaction, what forbids before what allows.
    pub(crate) fn write(&mut self, who: Who) {
        let node = &mut self.nodes[who.0];
        node.writing = false;
        let mut jobs = std::mem::take(&mut node.queue);
        jobs.sort_by_key(|job| rank(&job.call));
        let (calls, groups) = grouped(&jobs);
        let now = self.wall(who.0);
        self.acknowledge_early(who, &jobs);
        let fate = self.fate();
        match fate {
            Fate::CrashBefore => {
                self.fired.note(Fault::CrashBeforeCommit);
                self.put_back_callbacks(jobs);
                return self.crash(who.0);
            }
            Fate::Refused => {
                self.fired.note(Fault::StoreError);
                return self.refuse(who, jobs);
            }
            Fate::Done | Fate::Unknown | Fate::CrashAfter => {}
        }
        let answers = if self.model.broken == Broken::IntentAfterWire {
            self.answer_early(who, calls.clone(), now)
        } else {
            self.transact(calls.clone(), now, who.1)
        };
        match fate {
            Fate::CrashAfter => {
                self.fired.note(Fault::CrashAfterCommit);
                self.put_back_callbacks(jobs);
                self.crash(who.0);
            }
            Fate::Unknown => {
                self.fired.note(Fault::CommitUnknown);
                self.refuse(who, jobs);
            }
            _ => {
                self.tell_suppressed(who, &calls);
                for (job, group) in jobs.into_iter().zip(groups) {
                    self.reply(who, job, &answers[group]);
                }
                self.end_drain(who.0);
            }
        }
    }

    /// A store that answers before it writes; that is what the first mutation is about.
    fn answer_early(&mut self, who: Who, calls: Vec<Call>, now: Timestamp) -> Vec<Answer> {
        let mut scratch = Model::new(Broken::Nothing);
        scratch.committed.copy(&self.model.committed);
        let answers = calls.iter().map(|call| scratch.apply(call, now)).collect();
        let delay = self.dice.below(300);
        self.after(delay, Happening::CommitLate { who, calls, now });
        answers
    }

    fn acknowledge_early(&mut self, _: Who, jobs: &[Job]) {
        if self.model.broken == Broken::ReceiptAckedEarly {
            for job in jobs {
                if let Call::Receive(callbacks) = &job.call {
                    self.acked.extend(callbacks.iter().map(Acked::of));
                }
            }
        }
    }

    fn fate(&mut self) -> Fate {
        if !self.troubled {
            return Fate::Done;
        }
        if self.strikes(15) {
            return Fate::Refused;
        }
        if self.character.server && self.strikes(15) {
            return Fate::Unknown;
        }
        match (self.strikes(4), self.strikes(4)) {
            (true, _) => Fate::CrashBefore,
            (_, true) => Fate::CrashAfter,
            _ => Fate::Done,
        }
    }

    /// Whether a chance per mille comes true in a world this wild.
    pub(crate) fn strikes(&mut self, per_mille: u64) -> bool {
        self.dice.below(1_000_000) < per_mille * self.character.wildness
    }

    /// The intents of a failed transaction may be on disk all the same; nothing of them was sent.
    fn unsend(&mut self, who: Who, route: usize, call: Call) {
        let Call::Intend { intents, .. } = call else { return };
        let now = self.wall(who.0);
        let settlements =
            intents.iter().map(|intent| unsent(intent, now).expect("an allowed move")).collect();
        self.ask_again(who, Call::Unsent { route, settlements });
    }

    /// Every request of a failed transaction is told so.
    fn refuse(&mut self, who: Who, jobs: Vec<Job>) {
        for job in jobs {
            match job.reply {
                Reply::Claim(lane) => self.tell_lane(who, lane, Event::ClaimFailed),
                Reply::Intend(route) => self.unsend(who, route, job.call),
                Reply::Until | Reply::Unsent(..) => {
                    self.after(WRITE_AGAIN_MS, Happening::Again { who, call: job.call });
                }
                Reply::Callback { tries } => {
                    if let Some(callback) = callback_of(job.call) {
                        self.unanswered(callback, tries);
                    }
                }
            }
        }
        let back = self.dice.between(10, 3_000);
        for lane in 0..ROUTES.len() {
            self.tell_lane(who, lane, Event::StoreHealth(false));
            self.after(back, Happening::Lane { who, lane, event: Event::StoreHealth(true) });
        }
    }

    fn put_back_callbacks(&mut self, jobs: Vec<Job>) {
        for job in jobs {
            if let Reply::Callback { tries } = job.reply
                && let Some(callback) = callback_of(job.call)
            {
                self.unanswered(callback, tries);
            }
        }
    }

    fn reply(&mut self, who: Who, job: Job, answer: &Answer) {
        match (job.reply, answer) {
            (Reply::Claim(lane), Answer::Claimed(messages)) => {
                self.tell_lane(who, lane, Event::Claimed(messages.clone()));
            }
            (Reply::Intend(lane), Answer::Intended(answer)) => {
                let (granted, refused) = (answer.granted.clone(), answer.refused.clone());
                self.tell_lane(who, lane, Event::Intended { granted, refused });
            }
            (Reply::Callback { .. }, _) => {
                self.callbacks_under_way -= 1;
                if let Some(callback) = callback_of(job.call) {
                    self.answered(&callback);
                }
            }
            (Reply::Unsent(lane, ids), _) => self.tell_lane(who, lane, Event::IntendFailed(ids)),
            (Reply::Until, _) => {
                if let Call::Settle { settlements, .. } = &job.call {
                    self.nodes[who.0].unsettled -= settlements.len();
                }
            }
            (_, other) => panic!("the store answered {other:?}"),
        }
    }

    /// A callback is on disk: it is answered, and a STOP is told to the lanes.
    fn answered(&mut self, callback: &Callback) {
        if self.model.broken != Broken::ReceiptAckedEarly || callback.receipts.is_empty() {
            self.acked.push(Acked::of(callback));
        }
    }

    /// `Writer::suppressed`: the numbers that a transaction suppressed, told to every lane of its process.
    fn tell_suppressed(&mut self, who: Who, calls: &[Call]) {
        let mut phones: Vec<Phone> = Vec::new();
        let phone = |message: i64| self.model.committed.messages.get(at(message)).map(|m| m.phone);
        let by_message = |message: i64| phone(message).and_then(Phone::from_digits);
        for call in calls {
            match call {
                Call::Listen(callbacks) => {
                    let texts = callbacks.iter().flat_map(|callback| &callback.inbound);
                    let stops = texts.filter(|(_, r)| matches!(r, Reaction::Stop | Reaction::Review));
                    phones.extend(stops.map(|(text, _)| text.from));
                }
                Call::Settle { settlements, .. } => {
                    let out = settlements.iter().filter(|s| s.outcome.class == OutcomeClass::OptedOut);
                    phones.extend(out.filter_map(|s| by_message(s.message.0)));
                }
                Call::Receive(callbacks) => {
                    let receipts = callbacks.iter().flat_map(|callback| &callback.receipts);
                    let ours = receipts.filter(|r| r.opted_out).filter_map(|receipt| match named(receipt) {
                        Some(Named::Ours(message, _)) => Some(message),
                        _ => None,
                    });
                    phones.extend(ours.filter_map(by_message));
                }
                _ => {}
            }
        }
        for phone in phones {
            for lane in 0..ROUTES.len() {
                self.tell_lane(who, lane, Event::Suppressed(vec![phone]));
            }
        }
    }

    /// `look_for_stops` of a lane: asks the store about the numbers of messages that can still be kept from leaving.
    pub(crate) fn look_for_stops(&mut self, who: Who) {
        for lane in 0..ROUTES.len() {
            let mut phones = self.nodes[who.0].lanes[lane].before_the_wire();
            let tables = &self.model.committed;
            let bars = |phone: &Phone| {
                tables.suppressions.iter().any(|s| s.phone == phone.digits() && s.lifted_at.is_none())
            };
            phones.retain(bars);
            if !phones.is_empty() {
                self.fired.note(Fault::StopFound);
                self.lane(who, lane, Event::Suppressed(phones));
            }
        }
    }

    fn tell_lane(&mut self, who: Who, lane: usize, event: Event) {
        let delay = self.dice.below(4);
        self.after(delay, Happening::Lane { who, lane, event });
    }

    fn end_drain(&mut self, place: usize) {
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

/// `Work::rank` of `store::writer`.
fn rank(call: &Call) -> u8 {
    match call {
        Call::Listen(_) => 0,
        Call::Receive(_) => 1,
        Call::Settle { .. } => 2,
        Call::Unsent { .. } | Call::Release(_) | Call::Postpone(_) => 3,
        Call::Intend { .. } => 4,
        _ => 5,
    }
}

/// Callbacks of a kind and outcomes of a route share their statements; answers which call each job became.
fn grouped(jobs: &[Job]) -> (Vec<Call>, Vec<usize>) {
    let mut calls: Vec<Call> = Vec::with_capacity(jobs.len());
    let mut groups = Vec::with_capacity(jobs.len());
    for job in jobs {
        let own = match &job.call {
            Call::Settle { route, settlements } => calls.iter_mut().position(|call| match call {
                Call::Settle { route: other, settlements: all } if other == route => {
                    all.extend_from_slice(settlements);
                    true
                }
                _ => false,
            }),
            Call::Receive(more) => calls.iter_mut().position(|call| match call {
                Call::Receive(all) => {
                    all.extend_from_slice(more);
                    true
                }
                _ => false,
            }),
            Call::Listen(more) => calls.iter_mut().position(|call| match call {
                Call::Listen(all) => {
                    all.extend_from_slice(more);
                    true
                }
                _ => false,
            }),
            _ => None,
        };
        groups.push(own.unwrap_or_else(|| {
            calls.push(job.call.clone());
            calls.len() - 1
        }));
    }
    (calls, groups)
}

fn callback_of(call: Call) -> Option<Callback> {
    match call {
        Call::Receive(mut callbacks) | Call::Listen(mut callbacks) => callbacks.pop(),
        _ => None,
    }
}

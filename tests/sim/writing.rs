//! The writer of a simulated process: `store::writer` as one event that serves everything that waits, in a transaction
//! that may fail, or stand without anybody being told.

use winback::dispatch::core::Event;
use winback::dispatch::settle::unsent;
use winback::model::clock::Timestamp;
use winback::model::ids::MessageId;
use winback::model::outcome::OutcomeClass;
use winback::model::phone::Phone;
use winback::store::inbound::Reaction;
use winback::store::suppressions::EVERY_SENDER;

use super::calls::{Answer, Call, Callback};
use super::faults::Fault;
use super::invariants::Acked;
use super::model::reports::named;
use super::model::{Broken, Model};
use super::tables::{Named, ROUTES, at};
use super::world::{Happening, Who, World};

/// `WRITE_AGAIN` of `dispatch::lane`.
const WRITE_AGAIN_MS: u64 = 500;

/// A request to the writer.
pub(super) struct Job {
    pub(super) call: Call,
    pub(super) reply: Reply,
}

/// Who waits for a write.
pub(super) enum Reply {
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
pub(super) enum Fate {
    Done,
    Refused,
    /// It stands, and nobody is told.
    Unknown,
    CrashBefore,
    CrashAfter,
}

impl World {
    pub(crate) fn ask_again(&mut self, who: Who, call: Call) {
        let reply = match &call {
            Call::Unsent { route, settlements } => {
                Reply::Unsent(*route, settlements.iter().map(|s| s.message).collect())
            }
            _ => Reply::Until,
        };
        self.ask(who, call, reply);
    }

    pub(super) fn ask(&mut self, who: Who, call: Call, reply: Reply) {
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

    pub(super) fn fate(&mut self) -> Fate {
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

    pub(super) fn put_back_callbacks(&mut self, jobs: Vec<Job>) {
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
                self.tell_lane(who, lane, Event::Suppressed(vec![(phone, EVERY_SENDER.to_owned())]));
            }
        }
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

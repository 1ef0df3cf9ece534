//! One world: processes without threads, a clock without time, a provider and a store without a wire, and the agenda
//! that moves them. The same seed gives the same history.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;
use std::time::Duration;

use winback::dispatch::core::Event;
use winback::model::clock::{Moment, Timestamp};
use winback::model::message::Claimed;
use winback::model::run::RunState;
use winback::model::state::Dispatch;
use winback::store::sweep::Withdrawn;

use super::asking::Inquiring;
use super::calls::{Answer, Call, Callback};
use super::character::Character;
use super::dice::Dice;
use super::faults::Fired;
use super::history::{History, Line};
use super::invariants::{self, Acked, Breach, Judge};
use super::launching::Launching;
use super::model::{Broken, Model};
use super::node::Node;
use super::provider::{Mood, Provider};
use super::tables::{Coupon, id};
use super::trouble::Trouble;

/// Wall time at which worlds begin.
pub(crate) const BEGINNING: i64 = 1_700_000_000_000;

/// Simulated time in which everything must have settled once all is well again.
const PATIENCE_MS: u64 = 24 * 3_600_000;

/// Things that may happen in one world; more of them mean that it runs in circles.
const MOST_STEPS: u32 = 30_000;

/// A process: its place and its incarnation. What was meant for an earlier incarnation is lost.
pub(crate) type Who = (usize, u64);

/// What may happen next.
pub(crate) enum Happening {
    Tick {
        who: Who,
        lane: usize,
        turn: u64,
    },
    Lane {
        who: Who,
        lane: usize,
        event: Event,
    },
    /// The writer of a process serves what waits.
    Write(Who),
    /// A request reaches the task that writes it to the wire.
    Wire {
        who: Who,
        lane: usize,
        messages: Vec<(Arc<Claimed>, i64)>,
        deadline: Duration,
    },
    /// A provider calls back; so many tries are left.
    Callback {
        callback: Box<Callback>,
        tries: u32,
    },
    /// A write that must not get lost is asked for again.
    Again {
        who: Who,
        call: Call,
    },
    /// A transaction that was decided a moment ago, by a process or by a command.
    Later {
        who: Option<Who>,
        call: Call,
    },
    Sweep(Who),
    /// A look for what providers can be asked, and the steps of each question.
    Inquire(Who),
    Inquiring(Who, Box<Inquiring>),
    /// Lanes ask whether somebody else suppressed a number of theirs.
    LookForStops(Who),
    Boot(usize),
    Launch(Launching),
    WriteChunk(Launching),
    /// Codes that are reserved by themselves; only a broken store does that.
    Reserve(Vec<(i64, i64)>),
    /// Intents that are committed after their answer; only a broken store does that.
    CommitLate {
        who: Who,
        calls: Vec<Call>,
        now: Timestamp,
    },
    Trouble(Trouble),
}

struct Planned {
    at: u64,
    order: u64,
    what: Happening,
}

impl PartialEq for Planned {
    fn eq(&self, other: &Self) -> bool {
        (self.at, self.order) == (other.at, other.order)
    }
}
impl Eq for Planned {}
impl PartialOrd for Planned {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Planned {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.order).cmp(&(other.at, other.order))
    }
}

/// A transaction as it was committed, with its answers.
pub(crate) struct Transaction {
    pub(crate) now: Timestamp,
    pub(crate) calls: Vec<Call>,
    pub(crate) answers: Vec<Answer>,
}

/// Everything of one seed.
pub(crate) struct World {
    pub(crate) character: Character,
    pub(crate) dice: Dice,
    pub(crate) model: Model,
    pub(crate) provider: Provider,
    pub(crate) nodes: Vec<Node>,
    pub(crate) fired: Fired,
    pub(crate) acked: Vec<Acked>,
    /// The true clock, in milliseconds.
    pub(crate) now: u64,
    /// How far each process's wall clock is from the true one.
    pub(crate) skew: Vec<i64>,
    /// While true, things go wrong.
    pub(crate) troubled: bool,
    pub(crate) next_owner: u64,
    pub(crate) next_callback: i64,
    pub(crate) callbacks_under_way: u32,
    pub(crate) launches: u32,
    /// How requests are rendered nowadays.
    pub(crate) print: i64,
    pub(crate) recording: Option<Vec<Transaction>>,
    pub(crate) history: History,
    pub(crate) breach: Option<Breach>,
    /// Something changed since the last look.
    pub(crate) dirty: bool,
    /// Power cuts that are still to come.
    pub(crate) cuts: u32,
    judge: Judge,
    agenda: BinaryHeap<Reverse<Planned>>,
    order: u64,
}

/// How a world ended well.
pub(crate) struct End {
    pub(crate) world: World,
    pub(crate) steps: u32,
}

/// How a world ended badly.
pub(crate) struct Failure {
    pub(crate) seed: u64,
    pub(crate) breach: Breach,
    pub(crate) history: String,
}

/// Plays the world of a seed; `record` keeps every transaction.
pub(crate) fn play(seed: u64, broken: Broken, record: bool) -> Result<End, Box<Failure>> {
    play_one(World::new(seed, broken, record, false), seed)
}

/// Plays the world of a seed in which much is in doubt and every provider can be asked.
pub(crate) fn play_in_doubt(seed: u64, broken: Broken, record: bool) -> Result<End, Box<Failure>> {
    play_one(World::new(seed, broken, record, true), seed)
}

fn play_one(mut world: World, seed: u64) -> Result<End, Box<Failure>> {
    let mut steps = 0;
    while world.breach.is_none() {
        steps += 1;
        if !world.step() {
            break;
        }
        if steps > MOST_STEPS {
            world.fail("I8 progress", None, "it runs in circles");
        }
    }
    match world.breach.take() {
        None => Ok(End { world, steps }),
        Some(breach) => {
            let history = world.history.about(breach.message);
            Err(Box::new(Failure { seed, breach, history }))
        }
    }
}

impl World {
    fn new(seed: u64, broken: Broken, record: bool, in_doubt: bool) -> Self {
        let mut dice = Dice::new(seed);
        let mut character = Character::draw(&mut dice);
        if in_doubt {
            character.doubt_much(&mut dice);
        }
        let mut world = Self {
            model: Model::new(broken),
            provider: Provider::default(),
            nodes: (0..character.nodes).map(|_| Node::off()).collect(),
            fired: Fired::default(),
            acked: Vec::new(),
            now: 0,
            skew: vec![0; character.nodes],
            troubled: true,
            next_owner: 1,
            next_callback: 1,
            callbacks_under_way: 0,
            launches: 0,
            print: 1,
            recording: record.then(Vec::new),
            history: History::default(),
            breach: None,
            dirty: false,
            cuts: 0,
            judge: Judge::default(),
            agenda: BinaryHeap::with_capacity(64),
            order: 0,
            dice,
            character,
        };
        world.begin();
        world
    }

    fn begin(&mut self) {
        let tables = &mut self.model.committed;
        tables.coupons = vec![Coupon::fresh(BEGINNING); self.character.coupons];
        tables.unreachable = vec![None; usize::try_from(self.character.contacts).expect("few")];
        self.model.sync();
        if self.character.nodes > 1 {
            for node in 0..self.character.nodes {
                self.skew[node] = i64::try_from(self.dice.below(4_000)).expect("small") - 2_000;
            }
        }
        for node in 0..self.character.nodes {
            self.after(1, Happening::Boot(node));
        }
        for campaign in 0..self.character.campaigns {
            let apart = if self.character.at_once { 15 } else { self.character.horizon / 3 };
            let at = u64::try_from(campaign).expect("few") * apart + 10;
            self.after(at, Happening::Launch(Launching::of(campaign)));
        }
        self.plan_trouble();
    }

    /// Lets one thing happen; false once everything has settled.
    fn step(&mut self) -> bool {
        let Some(Reverse(next)) = self.agenda.pop() else {
            self.fail("I8 progress", None, "nothing is planned any more");
            return false;
        };
        self.now = self.now.max(next.at);
        if self.troubled && self.now >= self.character.horizon {
            self.recover();
        }
        let looks = matches!(next.what, Happening::Sweep(_));
        self.happen(next.what);
        if self.dirty {
            self.dirty = false;
            let view = invariants::View {
                tables: &self.model.committed,
                ledger: &self.provider.ledger,
                acked: &self.acked,
                nodes: &self.nodes,
                character: &self.character,
            };
            if let Err(breach) = self.judge.look(&view) {
                self.breach.get_or_insert(breach);
            }
        }
        if looks && !self.troubled && self.breach.is_none() {
            return !self.has_settled();
        }
        true
    }

    fn happen(&mut self, what: Happening) {
        if let Some((node, owner)) = what.who() {
            let node = &self.nodes[node];
            if !node.alive || node.owner != owner {
                return;
            }
            if node.stopped_until > self.now {
                let at = node.stopped_until;
                self.at(at, what);
                return;
            }
        }
        match what {
            Happening::Tick { who, lane, turn } => {
                if self.nodes[who.0].turns[lane] == turn {
                    self.lane(who, lane, Event::Tick);
                }
            }
            Happening::Lane { who, lane, event } => self.lane(who, lane, event),
            Happening::Write(who) => self.write(who),
            Happening::Wire { who, lane, messages, deadline } => self.wire(who, lane, &messages, deadline),
            Happening::Callback { callback, tries } => self.call_back(*callback, tries),
            Happening::Again { who, call } => self.ask_again(who, call),
            Happening::Later { call, who } => {
                let wall = self.wall(who.map_or(0, |(node, _)| node));
                self.transact(vec![call], wall, who.map_or(0, |(_, owner)| owner));
            }
            Happening::Sweep(who) => self.sweep(who),
            Happening::Inquire(who) => self.inquire(who),
            Happening::Inquiring(who, inquiring) => self.go_on_inquiring(who, *inquiring),
            Happening::LookForStops(who) => self.look_for_stops(who),
            Happening::Boot(node) => self.boot(node),
            Happening::Launch(launching) => self.launch(launching),
            Happening::WriteChunk(launching) => self.write_chunk(launching),
            Happening::Reserve(pairs) => self.reserve_apart(&pairs),
            Happening::CommitLate { who, calls, now } => {
                self.transact(calls, now, who.1);
            }
            Happening::Trouble(trouble) => self.trouble(trouble),
        }
    }

    /// Everything is well again, for good.
    fn recover(&mut self) {
        self.troubled = false;
        self.note(0, "all is well from here on", 0, ("", 0));
        for mood in &mut self.character.moods {
            *mood = Mood::well(mood.echoes);
        }
        for place in 0..self.model.committed.runs.len() {
            let run = self.model.committed.runs[place];
            if run.state == RunState::Paused && self.dice.chance(700) {
                let (run, from, to) = (id(place), RunState::Paused, RunState::Running);
                let soon = self.dice.pick(&[5, 5, 400_000]);
                self.after(soon, Happening::Later { who: None, call: Call::SetRunState { run, from, to } });
            }
            if run.state == RunState::Preparing {
                self.after(5, Happening::Launch(Launching::of(run.campaign)));
            }
        }
    }

    /// Whether everything planned has ended, or waits where it can be seen.
    fn has_settled(&mut self) -> bool {
        let tables = &self.model.committed;
        let waits = |run: i64| tables.run(run).state == RunState::Paused;
        let open_message = tables.messages.iter().position(|m| match m.dispatch {
            Dispatch::Planned | Dispatch::Queued => !waits(m.run),
            Dispatch::Ambiguous => tables.run(m.run).doubt != winback::model::message::WhenInDoubt::Ask,
            state => !state.is_terminal(),
        });
        let ended = |state| matches!(state, RunState::Finished | RunState::Cancelled | RunState::Paused);
        let open_run = tables.runs.iter().position(|run| !ended(run.state));
        let busy = self.callbacks_under_way > 0 || self.nodes.iter().any(|node| !node.is_at_rest());
        if self.now > self.character.horizon + PATIENCE_MS {
            let message = open_message.map(id);
            self.fail("I8 progress", message, "a day after all was well, something still waits");
            return true;
        }
        if open_message.is_some() || open_run.is_some() || busy {
            return false;
        }
        if let Err(breach) = invariants::at_rest(&self.model.committed) {
            self.breach.get_or_insert(breach);
        }
        true
    }

    /// Runs one transaction and commits it.
    pub(crate) fn transact(&mut self, calls: Vec<Call>, now: Timestamp, who: u64) -> Vec<Answer> {
        self.model.committed.stamp = self.now;
        let before = self.model.committed.suppressions.len();
        let answers: Vec<Answer> = calls.iter().map(|call| self.model.apply(call, now)).collect();
        if self.model.committed.suppressions.len() > before {
            self.plan_looks();
        }
        let changed = calls.iter().zip(&answers).any(|(call, answer)| changes(call, answer));
        if changed {
            // Where the power does not fail any more nobody asks what it would have left.
            if self.cuts > 0 && (self.model.broken != Broken::NotDurable || self.dice.chance(100)) {
                self.model.sync();
            }
            self.dirty = true;
        }
        for (call, answer) in calls.iter().zip(&answers) {
            self.tell(who, call, answer);
        }
        if let Some(recording) = &mut self.recording {
            recording.push(Transaction { now, calls, answers: answers.clone() });
        }
        answers
    }

    /// Each lane asks four times a second; what it asks about has changed only now.
    fn plan_looks(&mut self) {
        for node in 0..self.nodes.len() {
            if self.nodes[node].alive {
                let (who, delay) = ((node, self.nodes[node].owner), self.dice.below(250));
                self.after(delay, Happening::LookForStops(who));
            }
        }
    }

    /// A time for the core and the store of a process.
    pub(crate) fn moment(&self, node: usize) -> Moment {
        Moment { wall: self.wall(node), elapsed: Duration::from_millis(self.now) }
    }

    pub(crate) fn wall(&self, node: usize) -> Timestamp {
        Timestamp(BEGINNING + i64::try_from(self.now).expect("short") + self.skew[node])
    }

    pub(crate) fn after(&mut self, ms: u64, what: Happening) {
        self.at(self.now + ms, what);
    }

    pub(crate) fn at(&mut self, at: u64, what: Happening) {
        self.order += 1;
        self.agenda.push(Reverse(Planned { at, order: self.order, what }));
    }

    pub(crate) fn note(&mut self, who: u64, what: &'static str, message: i64, detail: (&'static str, i64)) {
        self.history.add(Line { at: self.now, who, what, message, detail });
    }

    pub(crate) fn fail(&mut self, rule: &'static str, message: Option<i64>, told: &str) {
        self.breach.get_or_insert(Breach { rule, message, told: told.to_owned() });
    }
}

/// Whether an operation may have changed a row.
fn changes(call: &Call, answer: &Answer) -> bool {
    match (call, answer) {
        (
            Call::InDoubt
            | Call::OpenMessages(_)
            | Call::Texts(_)
            | Call::OpenDoubts
            | Call::MayReplay(_)
            | Call::Bound { .. }
            | Call::Alike(_)
            | Call::ClockSeen,
            _,
        )
        | (
            Call::Rejoin { .. } | Call::AcceptByReceipt | Call::Withdraw { .. } | Call::Lift(_),
            Answer::Count(0) | Answer::Withdrawn(Withdrawn { messages: 0, .. }),
        )
        | (_, Answer::Swept(0, 0) | Answer::Done(false)) => false,
        // What was fed is claimed at once.
        (Call::Claim { limit, .. }, Answer::Claimed(messages)) => *limit == 0 || !messages.is_empty(),
        (_, Answer::Resolved(changed, _)) => !changed.is_empty(),
        _ => true,
    }
}

impl Happening {
    /// The process it needs.
    fn who(&self) -> Option<Who> {
        match self {
            Self::Tick { who, .. }
            | Self::Lane { who, .. }
            | Self::Write(who)
            | Self::Wire { who, .. }
            | Self::Again { who, .. }
            | Self::CommitLate { who, .. }
            | Self::LookForStops(who)
            | Self::Inquire(who)
            | Self::Inquiring(who, _)
            | Self::Sweep(who) => Some(*who),
            Self::Later { who, .. } => *who,
            _ => None,
        }
    }
}

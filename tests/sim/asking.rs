//! A simulated process asks providers about messages in doubt: `dispatch::inquire` as a sequence of reads, transactions
//! and requests between which everything may happen. What is asked, and what follows from an answer, the real ones decide.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use winback::dispatch::inquire::{
    IN_FLIGHT, Seen, Told, Trust, Verdicts, Watch, instead, listed_ids, listed_often, may_leave, question,
};
use winback::dispatch::ladder::{Ladder, Step};
use winback::model::clock::{Moment, Timestamp};
use winback::model::doubt::Finding;
use winback::model::ids::MessageId;
use winback::model::message::Settlement;
use winback::model::outcome::OutcomeClass;
use winback::model::suppression::Reason;
use winback::store::inquiries::{Note, Open, Tried};

use super::calls::{Answer, Call};
use super::faults::Fault;
use super::model::Broken;
use super::model::sending::NOT_THERE;
use super::tables::{EVERY, ROUTES};
use super::world::{Happening, Who, World};
use super::writing::Fate;

/// Tries of a replay to get its permits, and the wait between them: two seconds in all.
const BORROWS: (u32, u64) = (4, 450);

/// The part of a process that asks.
#[derive(Default)]
pub(crate) struct Asker {
    /// None while it is off.
    pub(crate) ladder: Option<Ladder>,
    /// How this process renders requests.
    pub(crate) print: i64,
    watch: Watch,
    trusted_since: Option<Timestamp>,
    /// Questions of each route that are under way, and what came of the others.
    rounds: [Option<Round>; ROUTES.len()],
}

#[derive(Default)]
struct Round {
    left: usize,
    told: Vec<(Open, Told)>,
}

/// A question between two of its steps.
pub(crate) struct Inquiring {
    route: usize,
    open: Open,
    stage: Stage,
}

enum Stage {
    Look(Step),
    /// A replay looks for its permits, since then, for the so-manieth time.
    Borrow(Replay, u32),
    /// It is recorded, by that operation of the store.
    Leave(Replay, u64),
    Told(Told),
}

#[derive(Clone, Copy)]
struct Replay {
    step: Step,
    found: Moment,
    asked: Duration,
}

impl Asker {
    /// How far this process can rely on its clock.
    fn trust(&self, now: Moment, broken: Broken) -> Trust {
        let steady =
            if broken == Broken::ClockTakenAsSteady { Duration::MAX } else { self.watch.steady(now) };
        Trust { since: self.trusted_since, steady }
    }

    pub(crate) fn is_at_rest(&self) -> bool {
        self.rounds.iter().all(Option::is_none)
    }
}

impl World {
    /// A process learns what each provider can be asked, and since when its requests look as they do.
    pub(crate) fn begin_asking(&mut self, who: Who) {
        let (now, owner) = (self.wall(who.0), who.1);
        // Two processes that render differently are no product of ours: the second is refused.
        if self.nodes.len() == 1 && self.troubled && self.dice.chance(60) {
            self.fired.note(Fault::RenderedAnew);
            self.print += 1;
        }
        let (print, policy, mut means) = (self.print, self.character.policy, HashMap::new());
        for (route, name) in ROUTES.iter().enumerate() {
            let mut rungs = self.character.rungs[route];
            match (self.model.broken, &mut rungs.ask, &mut rungs.remembers) {
                (Broken::KeysOutlived, _, Some(remembers)) => *remembers *= 1_000,
                (Broken::NothingProves, Some(ask), _) => ask.authoritative = true,
                (Broken::AskedTooSoon, Some(ask), _) => ask.after = Duration::ZERO,
                _ => {}
            }
            let mut since = Timestamp(0);
            if rungs.remembers.is_some() {
                let answer = self.transact(vec![Call::AlikeSince { route, print }], now, owner).pop();
                let Some(Answer::Time(Some(at))) = answer else { panic!("the store answered {answer:?}") };
                since = at;
            }
            if let Some(known) = rungs.means(since) {
                means.insert((*name).to_owned(), known);
            }
        }
        let asks = !means.is_empty();
        let asker = &mut self.nodes[who.0].asker;
        (asker.ladder, asker.print) = (Some(Ladder { means, policy }), print);
        // A second process that asks is refused by the lock of the store.
        if asks && who.0 == 0 {
            self.after(1_000, Happening::Inquire(who));
        }
    }

    /// `Inquirer::due`, and what is due begins.
    pub(crate) fn inquire(&mut self, who: Who) {
        let pause =
            if self.troubled { self.dice.between(1_000, 3_000) } else { self.quiet_pause().min(60_000) };
        self.after(pause, Happening::Inquire(who));
        self.watch_clock(who);
        if self.model.committed.messages.iter().all(|m| m.dispatch.as_str() != "ambiguous") {
            return;
        }
        let found = self.moment(who.0);
        let Some(Answer::Doubts(page)) = self.transact(vec![Call::OpenDoubts], found.wall, who.1).pop()
        else {
            panic!("it reads what is open")
        };
        let (mut over, mut due) = (Vec::new(), Vec::new());
        let asker = &self.nodes[who.0].asker;
        let ladder = asker.ladder.as_ref().expect("it has started");
        for mut open in page {
            let route = route_of(&open);
            let Some(means) = ladder.means.get(ROUTES[route]) else { continue };
            if asker.rounds[route].is_some() {
                continue;
            }
            let trust = asker.trust(found, self.model.broken);
            let (note, step) = question(means, &mut open, trust, found.wall);
            over.extend(note);
            due.extend(step.map(|step| (open, step)));
        }
        if !over.is_empty() {
            self.transact(vec![Call::Note(over)], found.wall, who.1);
        }
        if !due.is_empty() {
            self.begin_round(who, due, found);
        }
    }

    /// A replay that must not leave takes nobody's place; something else may be asked instead.
    fn begin_round(&mut self, who: Who, mut due: Vec<(Open, Step)>, found: Moment) {
        let replays: Vec<Open> =
            due.iter().filter(|(_, step)| is_replay(*step)).map(|(open, _)| open.clone()).collect();
        let may = self.may_replay(who, replays);
        let asker = &self.nodes[who.0].asker;
        let ladder = asker.ladder.clone().expect("it has started");
        let trust = asker.trust(found, self.model.broken);
        due.retain_mut(|(open, step)| {
            if is_replay(*step) && !may.contains(&open.message.id) {
                self.fired.note(Fault::ReplayBarred);
                let means = &ladder.means[open.standing.route.as_str()];
                let Some(other) = instead(means, open, trust, found.wall) else { return false };
                *step = other;
            }
            true
        });
        for (open, step) in due {
            let route = route_of(&open);
            let round = self.nodes[who.0].asker.rounds[route].get_or_insert_default();
            if round.left == IN_FLIGHT {
                continue;
            }
            round.left += 1;
            let replay = Replay { step, found, asked: found.elapsed };
            let stage = if is_replay(step) { Stage::Borrow(replay, 0) } else { Stage::Look(step) };
            let delay = self.dice.below(20);
            self.inquire_later(delay, who, Inquiring { route, open, stage });
        }
    }

    fn inquire_later(&mut self, delay: u64, who: Who, inquiring: Inquiring) {
        self.after(delay, Happening::Inquiring(who, Box::new(inquiring)));
    }

    pub(crate) fn go_on_inquiring(&mut self, who: Who, inquiring: Inquiring) {
        let Inquiring { route, open, stage } = inquiring;
        let (delay, told) = match stage {
            Stage::Look(step) => self.look(route, &open, step),
            Stage::Borrow(replay, tries) => match self.borrow(who, route, &open, replay, tries) {
                Ok(()) => return,
                Err(told) => (0, told),
            },
            Stage::Leave(replay, recorded) => self.replay(who, route, &open, replay, recorded),
            Stage::Told(told) => return self.told(who, route, open, told),
        };
        self.inquire_later(delay, who, Inquiring { route, open, stage: Stage::Told(told) });
    }

    fn look(&mut self, route: usize, open: &Open, step: Step) -> (u64, Told) {
        let Step::Look(ask, _) = step else { panic!("a replay is no look-up") };
        let (rungs, mood) = (self.character.rungs[route], self.character.moods[route].clone());
        // What the provider is, not what a broken definition says.
        let truly =
            winback::model::doubt::Ask { authoritative: rungs.ask.is_some_and(|a| a.authoritative), ..ask };
        let at = (self.now, route);
        let (answer, took) =
            self.provider.look_up((&rungs, truly, &mood), open, at, &mut self.dice, &mut self.fired);
        (took, Told::of_look(ask, answer, Duration::from_millis(took)))
    }

    /// `Inquirer::replay` until the request may leave.
    fn borrow(
        &mut self,
        who: Who,
        route: usize,
        open: &Open,
        replay: Replay,
        tries: u32,
    ) -> Result<(), Told> {
        let now = self.moment(who.0);
        let replay = if tries == 0 { Replay { asked: now.elapsed, ..replay } } else { replay };
        if tries == 0 && self.may_replay(who, vec![open.clone()]).is_empty() {
            return Err(Told::Skipped);
        }
        let (message, open) = (&open.message, open.clone());
        let lane = &mut self.nodes[who.0].lanes[route];
        if !lane.lend(message.parts.into(), &message.sender, &message.country, now) {
            if tries == BORROWS.0 {
                self.fired.note(Fault::ReplayNoPermits);
                return Err(Told::Skipped);
            }
            let stage = Stage::Borrow(replay, tries + 1);
            self.inquire_later(BORROWS.1, who, Inquiring { route, open, stage });
            return Ok(());
        }
        let fate = self.fate();
        if fate == Fate::CrashBefore {
            self.crash(who.0);
            return Ok(());
        }
        if fate == Fate::Refused {
            return Err(Told::Skipped);
        }
        if self.model.broken != Broken::ReplayUnrecorded {
            let call = Call::IntendReplay(Box::new(open.clone()));
            if self.transact(vec![call], now.wall, who.1) != [Answer::Done(true)] {
                self.fired.note(Fault::ReplayBarred);
                return Err(Told::Skipped);
            }
        }
        match fate {
            Fate::CrashAfter => {
                self.crash(who.0);
                return Ok(());
            }
            Fate::Unknown => return Err(Told::Skipped),
            _ => {}
        }
        let slow = self.troubled && self.strikes(60);
        let delay = if slow { self.dice.between(1_000, 6_000) } else { self.dice.below(20) };
        let stage = Stage::Leave(replay, self.model.committed.seq);
        self.inquire_later(delay, who, Inquiring { route, open, stage });
        Ok(())
    }

    /// The last look at all that forbids it, then bytes.
    fn replay(&mut self, who: Who, route: usize, open: &Open, replay: Replay, recorded: u64) -> (u64, Told) {
        let (now, m) = (self.moment(who.0), self.model.committed.message(open.message.id.0));
        let stopped = self.model.committed.is_suppressed(m.phone, m.sender)
            && self.model.broken != Broken::ReplayIgnoresStop;
        if stopped || !may_leave(replay.step, replay.found, replay.asked, now) {
            self.fired.note(Fault::ReplayWithheld);
            return (0, Told::withheld());
        }
        let (number, mood) = (open.standing.number, self.character.moods[route].clone());
        let at = self.arrives(who, route, Some(recorded));
        let reply = self.provider.again(&open.message, number, at, &mood, &mut self.dice, &mut self.fired);
        self.note(who.1, "replays", open.message.id.0, (reply.outcome.class.as_str(), number));
        self.report_later(route, reply.after, reply.receipts);
        self.dirty = true;
        if reply.outcome.class == OutcomeClass::OptedOut {
            let call = Call::Suppress { phone: open.message.phone, scope: EVERY, reason: Reason::Provider };
            self.after(reply.after, Happening::Later { who: Some(who), call });
        }
        (reply.after, Told::of_replay(Some(reply.outcome)))
    }

    fn may_replay(&mut self, who: Who, open: Vec<Open>) -> HashSet<MessageId> {
        if open.is_empty() {
            return HashSet::new();
        }
        let now = self.wall(who.0);
        match self.transact(vec![Call::MayReplay(open)], now, who.1).pop() {
            Some(Answer::Messages(may)) => may.into_iter().collect(),
            other => panic!("the store answered {other:?}"),
        }
    }

    /// One question of a round is answered; the last one has all of them written.
    fn told(&mut self, who: Who, route: usize, open: Open, told: Told) {
        let slot = &mut self.nodes[who.0].asker.rounds[route];
        let round = slot.as_mut().expect("a round");
        round.left -= 1;
        if !matches!(told, Told::Skipped) {
            round.told.push((open, told));
        }
        if round.left == 0 {
            let told = slot.take().map(|round| round.told).unwrap_or_default();
            if !told.is_empty() {
                self.write_answers(who, route, &told);
            }
        }
    }

    /// `Inquirer::write`. Nobody comes between its reads and what is written upon them.
    fn write_answers(&mut self, who: Who, route: usize, told: &[(Open, Told)]) {
        let fate = self.fate();
        if fate == Fate::CrashBefore {
            return self.crash(who.0);
        }
        if fate == Fate::Refused {
            self.fired.note(Fault::AnswersLost);
            return;
        }
        let now = self.wall(who.0);
        let mut ids: Vec<String> = listed_ids(told).into_iter().map(str::to_owned).collect();
        ids.sort_unstable();
        let messages = told.iter().map(|(open, _)| open.message.id).collect();
        let reads = vec![Call::Bound { route, ids, messages }, Call::Alike(listed_often(told))];
        let answers = self.transact(reads, now, who.1);
        let [Answer::Bound(bound), Answer::Messages(alike)] = &answers[..] else {
            panic!("the store answered {answers:?}")
        };
        let (mut bound, alike) = (bound.iter().cloned().collect(), alike.iter().copied().collect());
        let retry = self.character.lanes[route].retry;
        let seed = self.dice.below(u64::MAX);
        let mut verdicts = Verdicts::new(&retry, &alike, seed, now);
        for (open, told) in told {
            verdicts.judge(open, told, &mut bound);
        }
        let Verdicts { notes, settlements, reopened, .. } = verdicts;
        if !reopened.is_empty() {
            self.fired.note(Fault::ReopenedByProof);
        }
        self.count_proofs(&settlements);
        let reopened = reopened.into_iter().collect();
        let calls = vec![Call::Note(notes), Call::Reopen(reopened), Call::SettleAsked { route, settlements }];
        self.transact(calls, now, who.1);
        if fate == Fate::CrashAfter {
            self.crash(who.0);
        }
    }

    fn count_proofs(&mut self, settlements: &[Settlement]) {
        for s in settlements {
            match s.outcome.detail.as_deref() {
                Some(why) if why == NOT_THERE => self.fired.note(Fault::ProvenNotTaken),
                Some(why) if why.ends_with("by our reference") => self.fired.note(Fault::FoundByLook),
                Some(why) if why.starts_with("found") => self.fired.note(Fault::FoundByList),
                _ => {}
            }
        }
    }

    /// What was noted about attempts, as lines of the history.
    pub(super) fn noted(&mut self, who: u64, notes: &[Note]) {
        for note in notes {
            let (fault, word) = match (note.tried, note.finding) {
                (Tried::ReplayOver, _) => (Some(Fault::ReplayOver), "is past every replay"),
                (_, Some(Finding::Nothing)) => (Some(Fault::FoundNothing), "is not found"),
                (_, Some(Finding::Twice)) => (Some(Fault::FoundSeveral), "is found twice"),
                (_, Some(Finding::Alike)) => (Some(Fault::FoundAlike), "is found among others"),
                (Tried::Look { answered: false, .. }, _) => (None, "is asked about in vain"),
                (Tried::Look { .. }, _) => (None, "is found"),
                (Tried::Replay { .. } | Tried::Replayed { .. }, _) => (None, "is replayed in vain"),
            };
            if let Some(fault) = fault {
                self.fired.note(fault);
            }
            self.note(who, word, note.message.0, ("", note.number));
        }
    }

    /// `Inquirer::watch`.
    pub(crate) fn watch_clock(&mut self, who: Who) {
        let ladder = self.nodes[who.0].asker.ladder.as_ref().expect("it has started");
        let replays = ladder.means.values().any(|means| means.repeat.is_some());
        if self.model.broken == Broken::ClockUnwatched {
            return;
        }
        let (now, owner) = (self.moment(who.0), who.1);
        if !self.nodes[who.0].asker.watch.began() {
            let mut kept = None;
            if replays
                && let Some(Answer::Time(known)) = self.transact(vec![Call::ClockSeen], now.wall, owner).pop()
            {
                kept = known;
            }
            self.nodes[who.0].asker.watch.begin(kept, now);
        }
        match self.nodes[who.0].asker.watch.look(now) {
            Seen::Keep if replays => {
                self.transact(vec![Call::SeenClock], now.wall, owner);
            }
            Seen::Back(until) if replays => {
                self.fired.note(Fault::ClockWatched);
                let asker = &mut self.nodes[who.0].asker;
                asker.trusted_since = asker.trusted_since.max(Some(until));
                self.transact(vec![Call::DistrustUntil(until)], now.wall, owner);
            }
            Seen::Well | Seen::Keep | Seen::Back(_) => {}
        }
    }
}

fn route_of(open: &Open) -> usize {
    ROUTES.iter().position(|route| *route == open.standing.route).expect("a route")
}

fn is_replay(step: Step) -> bool {
    matches!(step, Step::Replay(..))
}

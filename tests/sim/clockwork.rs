//! The sweeps of a simulated process: `dispatch::sweep` as a sequence of reads and of transactions decided upon them.
//!
//! What is decided goes into a transaction of its own a moment later, so that others may come between.

use std::time::Duration;

use std::collections::HashSet;
use winback::dispatch::ladder::Waits;
use winback::dispatch::sweep::{DoubtEnd, is_done};
use winback::model::ids::RunId;
use winback::model::run::RunState;
use winback::model::state::Cause;
use winback::store::sweep::{OpenMessages, Withdrawn};

use super::calls::{Answer, Call};
use super::character::window;
use super::faults::Fault;
use super::tables::id;
use super::world::{Happening, Who, World};

/// `REJOIN_WITHIN` of `dispatch::sweep`.
const REJOIN_WITHIN: Duration = Duration::from_mins(10);

impl World {
    /// One sweep, as `Sweep::once`.
    pub(crate) fn sweep(&mut self, who: Who) {
        let now = self.wall(who.0);
        self.transact(vec![Call::SweepDead { owner: who.1, sole: false }], now, who.1);
        let rejoin = Call::Rejoin { since: now.minus(REJOIN_WITHIN) };
        self.transact(vec![rejoin], now, who.1);
        self.transact(vec![Call::AcceptByReceipt], now, who.1);
        self.roll_windows(who);
        for run in self.runs_in(&[RunState::Running, RunState::Paused]) {
            if self.model.committed.run(run).expires_at <= now.0 {
                self.fired.note(Fault::RunExpired);
                self.withdraw_all(who, run, Cause::Expire);
            }
        }
        for run in self.runs_in(&[RunState::Cancelling]) {
            self.withdraw_all(who, run, Cause::Cancel);
            let open = self.read_open(who, run);
            if !open.planned && open.waiting == 0 {
                self.decide_run(who, run, RunState::Cancelling, RunState::Cancelled);
            }
        }
        let returning = self.end_doubt(who);
        for run in self.runs_in(&[RunState::Running, RunState::Paused]) {
            let open = self.read_open(who, run);
            let row = *self.model.committed.run(run);
            if is_done(row.doubt, open) && !returning.contains(&RunId(run)) {
                self.decide(who, Call::FinishRun(run));
            }
        }
        if self.dice.chance(300) {
            for lane in 0..self.nodes[who.0].lanes.len() {
                let event = winback::dispatch::core::Event::Wake;
                self.after(1, Happening::Lane { who, lane, event });
            }
        }
        let pause = if self.troubled { self.dice.between(1_000, 8_000) } else { self.quiet_pause() };
        self.after(pause, Happening::Sweep(who));
    }

    /// The longer nothing goes wrong, the rarer a look is needed.
    pub(crate) fn quiet_pause(&mut self) -> u64 {
        ((self.now - self.character.horizon) / 8).clamp(1_000, 300_000)
    }

    fn roll_windows(&mut self, who: Who) {
        let now = self.wall(who.0);
        for place in 0..self.model.committed.windows.len() {
            let row = self.model.committed.windows[place];
            let run = self.model.committed.run(row.run);
            let open = matches!(run.state, RunState::Running | RunState::Paused) && run.expires_at > now.0;
            if open && row.closes_at <= now.0 {
                let (opens, closes) = window(row.key, now.0);
                let call = Call::RollWindow { window: id(place), opens, closes };
                self.transact(vec![call], now, who.1);
            }
        }
    }

    fn withdraw_all(&mut self, who: Who, run: i64, cause: Cause) {
        let now = self.wall(who.0);
        loop {
            let call = Call::Withdraw { run: RunId(run), cause };
            if self.transact(vec![call], now, who.1) == [Answer::Withdrawn(Withdrawn::default())] {
                return;
            }
        }
    }

    fn read_open(&mut self, who: Who, run: i64) -> OpenMessages {
        let now = self.wall(who.0);
        match self.transact(vec![Call::OpenMessages(RunId(run))], now, who.1).pop() {
            Some(Answer::Open(open)) => open,
            other => panic!("the store answered {other:?}"),
        }
    }

    /// Answers the runs of which something may still prove to have not been taken.
    fn end_doubt(&mut self, who: Who) -> HashSet<RunId> {
        let now = self.wall(who.0);
        let page = match self.transact(vec![Call::InDoubt], now, who.1).pop() {
            Some(Answer::InDoubt(page)) => page,
            other => panic!("the store answered {other:?}"),
        };
        let (mut resend, mut park, mut returning) = (Vec::new(), Vec::new(), HashSet::new());
        let ladder = self.nodes[who.0].asker.ladder.as_ref().expect("it has started");
        for (message, standing) in &page {
            match ladder.waits(message, standing, now) {
                Waits::Receipt(DoubtEnd::Resend, at) if at <= now => resend.push(message.id),
                Waits::Receipt(DoubtEnd::Park, at) if at <= now => park.push(message.id),
                _ if ladder.may_return(standing, now) => {
                    returning.insert(message.run);
                }
                _ => {}
            }
        }
        if !resend.is_empty() || !park.is_empty() {
            self.decide(who, Call::Doubt { resend, park });
        }
        returning
    }

    fn decide_run(&mut self, who: Who, run: i64, from: RunState, to: RunState) {
        self.decide(who, Call::SetRunState { run, from, to });
    }

    fn decide(&mut self, who: Who, call: Call) {
        let slow = if self.troubled { 20_000 } else { 30 };
        let delay = self.dice.pick(&[0, 0, 1, 30, slow]);
        self.after(delay, Happening::Later { who: Some(who), call });
    }

    pub(crate) fn runs_in(&self, states: &[RunState]) -> Vec<i64> {
        let runs = self.model.committed.runs.iter().enumerate();
        runs.filter(|(_, run)| states.contains(&run.state)).map(|(place, _)| id(place)).collect()
    }
}

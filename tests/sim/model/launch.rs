//! Runs of the model store; mirrors `store::runs`.

use winback::model::clock::Timestamp;
use winback::model::delivery::Delivery;
use winback::model::message::Verdict;
use winback::model::outcome::OutcomeClass;
use winback::model::run::RunState;
use winback::model::state::Dispatch;

use super::super::calls::{Answer, NewMessage, NewRun};
use super::super::tables::{Attempt, Message, RunRow, Window, at, id};
use super::{Broken, Model};

impl Model {
    /// `INSERT_RUN`: a launch key makes one run.
    pub(super) fn create_run(&mut self, new: &NewRun) -> Answer {
        let runs = &mut self.committed.runs;
        if runs.iter().any(|run| run.campaign == new.campaign && !run.key_given_up) {
            return Answer::Done(false);
        }
        runs.push(RunRow {
            campaign: new.campaign,
            key_given_up: false,
            state: RunState::Preparing,
            budget: new.budget,
            spent: 0,
            doubt: new.doubt,
            audience: new.audience,
            capped: new.capped,
            withheld: 0,
            prepared: 0,
            cursor: 0,
            starts_at: new.starts_at,
            expires_at: new.expires_at,
            finished_at: None,
            stopped_seq: 0,
        });
        Answer::Done(true)
    }

    /// `INSERT_WINDOW`: a run has each key once.
    pub(super) fn add_window(&mut self, run: i64, key: usize, opens_at: i64, closes_at: i64) -> Answer {
        let windows = &mut self.committed.windows;
        if !windows.iter().any(|w| w.run == run && w.key == key) {
            windows.push(Window { run, key, opens_at, closes_at });
        }
        Answer::Written
    }

    /// `ADVANCE`, `INSERT_MESSAGES`, `RESERVE`: a chunk, its codes and its cursor, or nothing.
    pub(super) fn write_planned(
        &mut self,
        run: i64,
        (from, to): (i64, i64),
        messages: &[NewMessage],
        withheld: i64,
        now: Timestamp,
    ) -> Answer {
        let row = &mut self.committed.runs[at(run)];
        if row.cursor != from || row.state != RunState::Preparing {
            return Answer::Done(false);
        }
        row.cursor = to;
        row.withheld += withheld;
        row.prepared += i64::try_from(messages.len()).expect("few");
        for new in messages {
            let window = self.committed.windows.iter().position(|w| w.run == run && w.key == new.window);
            let window = id(window.expect("windows are written before their messages"));
            self.committed.messages.push(planned(run, new, window, now));
            let message = id(self.committed.messages.len() - 1);
            if self.broken != Broken::CouponApart
                && let Some(coupon) = new.coupon
            {
                self.reserve(coupon, message, now);
            }
        }
        Answer::Done(true)
    }

    /// `RECENT`, since the beginning of time.
    pub(super) fn texts(&self, contacts: &[i64]) -> Vec<(i64, i64)> {
        let counts = |n: usize, m: &Message, contact: i64| {
            let goes = matches!(
                m.dispatch,
                Dispatch::Planned | Dispatch::Queued | Dispatch::Claimed | Dispatch::Submitting
            );
            m.contact == contact && ((m.submitted_at.is_some() && self.may_have_left(id(n), m)) || goes)
        };
        let messages = || self.committed.messages.iter().enumerate();
        let of = |contact: i64| messages().filter(|(n, m)| counts(*n, m, contact)).count();
        let texts = contacts.iter().map(|contact| (*contact, i64::try_from(of(*contact)).expect("few")));
        texts.filter(|(_, count)| *count > 0).collect()
    }

    /// `may_have_left!`, without what retention took.
    fn may_have_left(&self, message: i64, m: &Message) -> bool {
        let tables = &self.committed;
        let may = |a: &&Attempt| {
            a.message == message
                && a.outcome.is_none_or(OutcomeClass::costs)
                && tables.decided(message, a.number) != Some(Verdict::NotSent)
        };
        match m.dispatch {
            Dispatch::Submitting | Dispatch::Accepted | Dispatch::Ambiguous | Dispatch::Unknown => true,
            _ => m.possible_duplicate && tables.attempts.iter().any(|a| may(&a)),
        }
    }

    /// `RESERVE` for one code.
    pub(crate) fn reserve(&mut self, coupon: i64, message: i64, now: Timestamp) {
        let row = &mut self.committed.coupons[at(coupon)];
        if row.state == "available" {
            (row.state, row.message, row.changed_at) = ("reserved", Some(message), now.0);
        }
    }

    /// `ABANDON`.
    pub(super) fn abandon(&mut self, run: i64) -> Answer {
        let seq = self.committed.seq;
        let row = &mut self.committed.runs[at(run)];
        if row.state == RunState::Preparing {
            (row.state, row.key_given_up, row.stopped_seq) = (RunState::Cancelling, true, seq);
        }
        Answer::Written
    }

    /// `SET_STATE`: only from the state that was read.
    pub(super) fn set_run_state(&mut self, run: i64, from: RunState, to: RunState, now: Timestamp) -> Answer {
        let seq = self.committed.seq;
        let row = &mut self.committed.runs[at(run)];
        if row.state != from {
            return Answer::Done(false);
        }
        row.state = to;
        row.finished_at = matches!(to, RunState::Finished | RunState::Cancelled).then_some(now.0);
        if from == RunState::Running {
            row.stopped_seq = seq;
        }
        Answer::Done(true)
    }

    /// `ROLL_WINDOWS`.
    pub(super) fn roll_window(&mut self, window: i64, opens_at: i64, closes_at: i64) -> Answer {
        let row = &mut self.committed.windows[at(window)];
        (row.opens_at, row.closes_at) = (opens_at, closes_at);
        Answer::Written
    }
}

fn planned(run: i64, new: &NewMessage, window: i64, now: Timestamp) -> Message {
    Message {
        run,
        contact: new.contact,
        phone: new.phone,
        route: new.route,
        sender: new.sender,
        window,
        coupon: new.coupon,
        parts: new.parts,
        price: new.price,
        expires_at: new.expires_at,
        dispatch: Dispatch::Planned,
        delivery: Delivery::None,
        epoch: 0,
        owner: None,
        lease_until: None,
        attempts: 0,
        last_number: 0,
        not_before: now.0,
        possible_duplicate: false,
        conflict: false,
        reason: None,
        submitted_at: None,
        settled_at: None,
        delivery_at: None,
        resends: 0,
        resent_in: [0; 8],
    }
}

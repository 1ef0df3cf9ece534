//! What time does to the messages of the model store; mirrors `store::sweep`.

use winback::model::clock::Timestamp;
use winback::model::ids::{MessageId, RunId};
use winback::model::message::{CouponEffect, WhenInDoubt};
use winback::model::outcome::OutcomeClass;
use winback::model::run::RunState;
use winback::model::state::{Cause, Dispatch};
use winback::store::inquiries::Standing;
use winback::store::sweep::{InDoubt, OpenMessages, Withdrawn};

use super::super::calls::Answer;
use super::super::tables::{Message, Why, at, id};
use super::{Broken, Model};

impl Model {
    /// `FREE_CLAIMED`, `LOSE_SUBMITTING`, `CLOSE_LOST`.
    pub(super) fn sweep_dead(&mut self, owner: u64, sole: bool, now: Timestamp) -> Answer {
        if self.broken == Broken::NobodySweeps {
            return Answer::Swept(0, 0);
        }
        let gone = |m: &Message| {
            m.lease_until.is_some_and(|until| until <= now.0) || (sole && m.owner.is_some_and(|o| o != owner))
        };
        let (mut freed, mut lost) = (0, Vec::new());
        for (place, m) in self.committed.messages.iter_mut().enumerate() {
            if m.dispatch == Dispatch::Claimed && gone(m) {
                (m.dispatch, m.owner, m.lease_until) = (Dispatch::Queued, None, None);
                freed += 1;
            } else if m.dispatch == Dispatch::Submitting && gone(m) {
                (m.dispatch, m.settled_at) = (Dispatch::Ambiguous, Some(now.0));
                m.reason = Some(Why::plain("sight lost: no answer was stored"));
                m.attempts += 1;
                lost.push(id(place));
            }
        }
        for a in &mut self.committed.attempts {
            if a.outcome.is_none() && lost.contains(&a.message) {
                a.outcome = Some(OutcomeClass::Unknown);
                a.detail = Some("no answer was stored in time");
            }
        }
        for message in &lost {
            self.move_coupon(*message, CouponEffect::Quarantine, now);
        }
        Answer::Swept(freed, lost.len() as u64)
    }

    /// `EVIDENCE`, then a look back.
    pub(super) fn accept_by_receipt(&mut self, now: Timestamp) -> Answer {
        let evident = self.evident();
        Answer::Count(self.look_back(&evident, now))
    }

    /// `FINISH`.
    pub(super) fn finish_run(&mut self, run: i64, now: Timestamp) -> Answer {
        let waits = |m: &Message| {
            m.run == run && matches!(m.dispatch, Dispatch::Queued | Dispatch::Claimed | Dispatch::Submitting)
        };
        let busy = self.committed.messages.iter().any(waits);
        let seq = self.committed.seq;
        let row = &mut self.committed.runs[at(run)];
        let over = row.state == RunState::Paused && row.expires_at <= now.0;
        if busy || !(over || row.state == RunState::Running) {
            return Answer::Done(false);
        }
        (row.state, row.finished_at, row.stopped_seq) = (RunState::Finished, Some(now.0), seq);
        Answer::Done(true)
    }

    /// `RESEND` and `PARK`.
    pub(super) fn end_doubt(&mut self, resend: &[MessageId], park: &[MessageId], now: Timestamp) -> Answer {
        let (mut resent, seq) = (0, self.committed.seq);
        for message in resend {
            let m = self.committed.message(message.0);
            let may_go = may_resend(self.committed.run(m.run).state)
                && m.expires_at > now.0
                && !self.committed.is_suppressed(m.phone, m.sender);
            let m = self.committed.message_mut(message.0);
            if m.dispatch == Dispatch::Ambiguous && may_go {
                (m.dispatch, m.possible_duplicate, m.not_before) = (Dispatch::Queued, true, now.0);
                m.epoch += 1;
                m.resent_in[m.resends.min(7)] = seq;
                m.resends += 1;
                (m.owner, m.lease_until) = (None, None);
                resent += 1;
            }
        }
        for message in park {
            let m = self.committed.message_mut(message.0);
            if m.dispatch == Dispatch::Ambiguous {
                (m.dispatch, m.settled_at) = (Dispatch::Unknown, Some(now.0));
                m.reason = Some(Why::plain("parked in doubt"));
            }
        }
        Answer::Count(resent)
    }

    /// `WITHDRAW_PLANNED`, and where nothing is planned `WITHDRAW_QUEUED`.
    pub(super) fn withdraw(&mut self, run: i64, cause: Cause, now: Timestamp) -> Answer {
        let (to, reason) = match cause {
            Cause::Cancel => (Dispatch::Cancelled, "cancelled by the operator"),
            _ => (Dispatch::Expired, "deadline passed"),
        };
        let planned = self.withdraw_those(run, &[Dispatch::Planned], to, reason, now);
        if planned.messages > 0 {
            return Answer::Withdrawn(planned);
        }
        Answer::Withdrawn(self.withdraw_those(run, &[Dispatch::Queued, Dispatch::Claimed], to, reason, now))
    }

    fn withdraw_those(
        &mut self,
        run: i64,
        from: &[Dispatch],
        to: Dispatch,
        reason: &'static str,
        now: Timestamp,
    ) -> Withdrawn {
        let mut withdrawn = Withdrawn::default();
        for place in 0..self.committed.messages.len() {
            let m = &self.committed.messages[place];
            if m.run == run && from.contains(&m.dispatch) {
                let in_doubt = self.call_off(id(place), to, reason, now) == Dispatch::Unknown;
                withdrawn.messages += 1;
                withdrawn.in_doubt += usize::from(in_doubt);
                self.move_coupon(id(place), CouponEffect::Release, now);
            }
        }
        withdrawn
    }

    /// T5, and T17 for what may have arrived before; answers which.
    pub(super) fn call_off(
        &mut self,
        message: i64,
        to: Dispatch,
        reason: &'static str,
        now: Timestamp,
    ) -> Dispatch {
        let doubtful = self.broken != Broken::CallOffForgetsDoubt && self.committed.may_have_arrived(message);
        let m = self.committed.message_mut(message);
        (m.dispatch, m.settled_at) = (if doubtful { Dispatch::Unknown } else { to }, Some(now.0));
        m.reason = Some(Why { word: reason, code: None, doubtful });
        (m.owner, m.lease_until) = (None, None);
        m.dispatch
    }

    /// `IN_DOUBT`, the first page.
    pub(super) fn in_doubt(&self) -> Vec<(InDoubt, Standing)> {
        let mut page: Vec<(InDoubt, Standing)> = self
            .those(Dispatch::Ambiguous)
            .map(|message| {
                let m = self.committed.message(message);
                let run = self.committed.run(m.run);
                let stopped = matches!(run.state, RunState::Cancelling | RunState::Cancelled);
                let barred = stopped || self.committed.is_suppressed(m.phone, m.sender);
                let parks = barred && run.doubt == WhenInDoubt::Resend;
                let about = InDoubt {
                    id: MessageId(message),
                    run: RunId(m.run),
                    since: Timestamp(m.settled_at.unwrap_or(0)),
                    policy: if parks { WhenInDoubt::Park } else { run.doubt },
                    attempts: m.attempts,
                    expires_at: Timestamp(m.expires_at),
                };
                (about, self.standing(message))
            })
            .collect();
        page.sort_by_key(|(message, _)| (message.run, message.id));
        page
    }

    /// `HAS_PLANNED` and `OPEN_MESSAGES`.
    pub(super) fn open_messages(&self, run: i64) -> OpenMessages {
        let of_run = || self.committed.messages.iter().filter(|m| m.run == run);
        let mut open = OpenMessages { planned: false, waiting: 0, in_doubt: 0 };
        open.planned = of_run().any(|m| m.dispatch == Dispatch::Planned);
        if open.planned {
            return open;
        }
        for m in of_run() {
            match m.dispatch {
                Dispatch::Ambiguous => open.in_doubt += 1,
                Dispatch::Queued | Dispatch::Claimed | Dispatch::Submitting => open.waiting += 1,
                _ => {}
            }
        }
        open
    }

    pub(super) fn those(&self, state: Dispatch) -> impl Iterator<Item = i64> {
        let messages = self.committed.messages.iter().enumerate();
        messages.filter(move |(_, m)| m.dispatch == state).map(|(place, _)| id(place))
    }
}

/// The states of a run in which `RESEND` may queue a message of it again.
fn may_resend(state: RunState) -> bool {
    matches!(state, RunState::Running | RunState::Paused)
}

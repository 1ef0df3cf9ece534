//! Decisions of a person in the model store; mirrors `store::resolve`. What holds is decided by the real
//! `dispatch::resolve::decide`.

use std::collections::BTreeSet;

use winback::dispatch::resolve::{Kept, decide};
use winback::model::clock::Timestamp;
use winback::model::delivery::Delivery;
use winback::model::ids::{MessageId, RunId};
use winback::model::message::Verdict;
use winback::model::outcome::{OutcomeClass, Proof};
use winback::model::run::RunState;
use winback::store::resolve::{Candidate, Decision};

use super::super::calls::Answer;
use super::super::tables::{Decided, ReceiptRow, Why, at};
use super::Model;

impl Model {
    /// `CANDIDATES`, then `DECIDE`, `RECORD`, coupons, `PAY` and `REOPEN`.
    pub(super) fn resolve(&mut self, messages: &[MessageId], verdict: Verdict, now: Timestamp) -> Answer {
        let (mut changed, mut kept) = (Vec::new(), Vec::new());
        let messages: BTreeSet<MessageId> = messages.iter().copied().collect();
        for message in messages {
            match self.candidate(message).ok_or(Kept::Missing).and_then(|about| decide(&about, verdict, now))
            {
                Ok(decision) => {
                    self.decided(&decision, now);
                    changed.push(message);
                }
                Err(why) => kept.push((message, why)),
            }
        }
        Answer::Resolved(changed, kept)
    }

    fn candidate(&self, message: MessageId) -> Option<Candidate> {
        let tables = &self.committed;
        let m = tables.messages.get(at(message.0))?;
        let number = tables.open_copies(message.0).max().unwrap_or(m.last_number);
        let outcome = |number| tables.attempt(message.0, number).and_then(|a| a.outcome);
        let told = |r: &ReceiptRow| {
            r.message == Some(message.0)
                && r.state != Delivery::None
                && r.number
                    .and_then(outcome)
                    .is_none_or(|class| matches!(class.proof(), Proof::Accepted | Proof::Ambiguous))
        };
        Some(Candidate {
            id: message,
            run: RunId(m.run),
            dispatch: m.dispatch,
            epoch: m.epoch,
            number,
            not_before: Timestamp(m.not_before),
            expires_at: Timestamp(m.expires_at),
            run_state: tables.run(m.run).state,
            proven: tables.receipts.iter().any(told),
            suppressed: tables.is_suppressed(m.phone, m.sender),
            affordable: tables.run(m.run).budget.is_none_or(|most| tables.run(m.run).spent + m.price <= most),
            decided: tables.decided_last(message.0),
            answer_by: tables.inquiry(message.0, number).and_then(|i| i.answer_by).map(Timestamp),
            copies: i64::try_from(tables.open_copies(message.0).count()).expect("few attempts"),
            locked: false,
            again: m.possible_duplicate,
        })
    }

    fn decided(&mut self, decision: &Decision, now: Timestamp) {
        let (message, seq) = (decision.about.id.0, self.committed.seq);
        let m = self.committed.message_mut(message);
        let reason = match decision.verdict {
            Verdict::Accepted => "accepted by decision",
            Verdict::NotSent => "not sent, by decision",
            Verdict::Resend => "sent again by decision",
        };
        (m.dispatch, m.not_before, m.settled_at) = (decision.to, decision.due.0, Some(now.0));
        (m.reason, m.owner, m.lease_until) = (Some(Why::plain(reason)), None, None);
        m.epoch += 1;
        if decision.verdict == Verdict::Resend {
            m.possible_duplicate = true;
            m.resent_in[m.resends.min(7)] = seq;
            m.resends += 1;
        }
        let run = decision.about.run.0;
        let number = decision.about.number;
        self.committed.decisions.retain(|d| d.message != message || d.number != number);
        self.committed.decisions.push(Decided {
            message,
            number,
            run,
            when: now.0,
            verdict: decision.verdict,
        });
        self.move_coupon(message, decision.coupon, now);
        let outcome = self.committed.attempt(message, decision.about.number).and_then(|a| a.outcome);
        if decision.verdict == Verdict::NotSent && outcome.is_none_or(OutcomeClass::costs) {
            self.pay(message, -1);
        }
        let row = &mut self.committed.runs[at(run)];
        if let Some(state) = decision.run_to
            && row.state == RunState::Finished
        {
            (row.state, row.finished_at) = (state, None);
        }
    }
}

//! Proof of acceptance in the model store, and what follows from it; mirrors `store::evidence`.

use std::collections::{BTreeMap, BTreeSet};

use winback::model::clock::Timestamp;
use winback::model::delivery::Delivery;
use winback::model::message::{CouponEffect, Verdict};
use winback::model::outcome::{OutcomeClass, Proof};
use winback::model::state::Dispatch;

use super::super::tables::at;
use super::{Broken, Model};

/// An attempt that is proven, with the provider's id if the proof names it.
pub(super) type Proven = ((i64, i64), Option<i64>);

/// As `store::evidence::proves_acceptance`.
pub(super) fn proves_acceptance(outcome: Option<OutcomeClass>, report: Delivery) -> bool {
    match outcome.map(OutcomeClass::proof) {
        Some(Proof::Accepted) => false,
        None | Some(Proof::Ambiguous) => report != Delivery::None,
        Some(_) => matches!(report, Delivery::EnRoute | Delivery::Delivered | Delivery::Read),
    }
}

fn is_open(outcome: Option<OutcomeClass>) -> bool {
    matches!(outcome, None | Some(OutcomeClass::Unknown | OutcomeClass::Garbled))
}

impl Model {
    /// `DECIDED_UNSENT`: attempts whose money a decision gave back.
    pub(super) fn decided_unsent(&self, attempts: &[(i64, i64)]) -> BTreeSet<(i64, i64)> {
        let tables = &self.committed;
        let unsent = |(message, number): &&(i64, i64)| {
            tables.decided(*message, *number) == Some(Verdict::NotSent)
                && tables.attempt(*message, *number).is_some_and(|a| is_open(a.outcome))
        };
        attempts.iter().filter(unsent).copied().collect()
    }

    /// `prove`: `OUTCOMES`, `DECIDED_UNSENT`, `PAY`, `PROVE`, then the messages; answers how many changed.
    pub(super) fn prove(&mut self, proven: &[Proven], now: Timestamp) -> usize {
        let mut attempts: BTreeMap<(i64, i64), Option<i64>> = BTreeMap::new();
        for (attempt, pid) in proven {
            let known = attempts.entry(*attempt).or_default();
            *known = known.or(*pid);
        }
        let names: Vec<(i64, i64)> = attempts.keys().copied().collect();
        let returned = self.decided_unsent(&names);
        for (message, number) in &names {
            let outcome = self.committed.attempt(*message, *number).and_then(|a| a.outcome);
            let free = outcome.is_some_and(|class| !class.costs());
            if (free || returned.contains(&(*message, *number))) && self.broken != Broken::LateProofIsFree {
                self.pay(*message, 1);
            }
        }
        for ((message, number), pid) in &attempts {
            let Some(a) = self.committed.attempt_mut(*message, *number) else { continue };
            if a.outcome != Some(OutcomeClass::Accepted) {
                (a.outcome, a.answered_at) = (Some(OutcomeClass::Accepted), Some(now.0));
            }
            a.provider_id = a.provider_id.or(*pid);
        }
        let messages: BTreeSet<i64> = names.iter().map(|(message, _)| *message).collect();
        self.accept_late(&messages, now)
    }

    /// `LOOK_BACK`: messages one of whose attempts is proven by what is stored already.
    pub(super) fn look_back(&mut self, messages: &[i64], now: Timestamp) -> usize {
        let tables = &self.committed;
        let mut proven: Vec<Proven> = Vec::new();
        for a in tables.attempts.iter().filter(|a| messages.contains(&a.message)) {
            let told = |r: &super::super::tables::ReceiptRow| {
                r.message == Some(a.message)
                    && r.number == Some(a.number)
                    && proves_acceptance(a.outcome, r.state)
            };
            if a.outcome == Some(OutcomeClass::Accepted) || tables.receipts.iter().any(told) {
                proven.push(((a.message, a.number), None));
            }
        }
        self.prove(&proven, now)
    }

    /// `EVIDENCE`: messages in doubt with an attempt that is accepted, or in doubt and reported.
    pub(super) fn evident(&self) -> Vec<i64> {
        let tables = &self.committed;
        let told = |a: &super::super::tables::Attempt| {
            let reported = || {
                tables.receipts.iter().any(|r| {
                    r.message == Some(a.message) && r.number == Some(a.number) && r.state != Delivery::None
                })
            };
            a.outcome == Some(OutcomeClass::Accepted) || (is_open(a.outcome) && reported())
        };
        self.those(Dispatch::Ambiguous)
            .filter(|message| tables.attempts.iter().any(|a| a.message == *message && told(a)))
            .collect()
    }

    /// `ACCEPT_LATE`, `MOVE_COUPONS`, `RETAKE`, `CONTEST` (T11, T14).
    fn accept_late(&mut self, messages: &BTreeSet<i64>, now: Timestamp) -> usize {
        let mut changed = Vec::new();
        for message in messages {
            let m = self.committed.message_mut(*message);
            let closed = matches!(m.dispatch, Dispatch::Planned | Dispatch::Submitting | Dispatch::Accepted);
            if closed || m.last_number == 0 {
                continue;
            }
            (m.dispatch, m.settled_at, m.owner, m.lease_until) =
                (Dispatch::Accepted, Some(now.0), None, None);
            m.epoch += 1;
            m.reason = None;
            changed.push(*message);
        }
        let kept =
            changed.iter().filter(|message| self.move_coupon(**message, CouponEffect::Send, now)).count();
        if kept < changed.len() {
            // In the order of their ids, so that the first of two takes the code.
            for message in &changed {
                self.retake(*message, now);
            }
            for message in &changed {
                self.contest(*message, now);
            }
        }
        changed.len()
    }

    fn retake(&mut self, message: i64, now: Timestamp) {
        let Some(coupon) = self.committed.message(message).coupon else { return };
        let row = &mut self.committed.coupons[at(coupon)];
        if row.state == "available" && row.message.is_none() {
            (row.state, row.message, row.changed_at) = ("sent", Some(message), now.0);
        }
    }

    fn contest(&mut self, message: i64, now: Timestamp) {
        let Some(coupon) = self.committed.message(message).coupon else { return };
        let row = &mut self.committed.coupons[at(coupon)];
        if row.message != Some(message) && row.contested_by.is_none() {
            (row.contested_by, row.changed_at) = (Some(message), now.0);
        }
    }
}

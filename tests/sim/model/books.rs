//! Outcomes, codes and money of the model store; mirrors `store::settle`.

use std::collections::HashSet;

use winback::model::clock::Timestamp;
use winback::model::message::{CouponEffect, Settlement};
use winback::model::outcome::{OutcomeClass, Proof};
use winback::model::run::RunState;
use winback::model::state::Dispatch;
use winback::model::suppression::Reason;

use super::super::calls::Answer;
use super::super::tables::{EVERY, Why, at};
use super::sending::{number_of, word_of};
use super::{Broken, Model};

impl Model {
    /// `MOVE`, `CLOSE_ATTEMPTS`, coupons, money, opt-outs, late acceptances, parked receipts, a look back.
    /// `asked`: providers were asked for these.
    pub(super) fn settle(
        &mut self,
        route: usize,
        settlements: &[Settlement],
        asked: bool,
        now: Timestamp,
    ) -> Answer {
        let (mut moved, mut late): (Vec<_>, Vec<&Settlement>) = (Vec::new(), Vec::new());
        for s in settlements {
            if self.move_message(s, now) { moved.push((s, s.coupon)) } else { late.push(s) }
        }
        let late_attempts: Vec<_> = late.iter().map(|s| (s.message.0, s.number)).collect();
        let returned = self.decided_unsent(&late_attempts);
        let replayed: Vec<bool> = settlements.iter().map(|s| !asked && self.refused_late(s, &late)).collect();
        let said = settlements.iter().zip(replayed).filter(|(_, replayed)| !replayed).map(|(s, _)| s);
        let closed = said.filter(|s| self.close_attempt(s, now));
        let mut paid: HashSet<(i64, i64)> = closed.map(|s| (s.message.0, s.number)).collect();
        paid.retain(|attempt| !returned.contains(attempt));
        for s in late.iter().filter(|s| s.refund && paid.contains(&(s.message.0, s.number))) {
            if let Some(coupon) = self.end_doubt_by(s, now) {
                moved.push((s, coupon));
            }
        }
        for (s, coupon) in &moved {
            self.move_coupon(s.message.0, *coupon, now);
        }
        for s in settlements.iter().filter(|s| s.refund) {
            if paid.remove(&(s.message.0, s.number)) {
                self.pay(s.message.0, -1);
            }
        }
        for s in settlements.iter().filter(|s| s.outcome.class == OutcomeClass::BadRecipient) {
            let contact = self.committed.message(s.message.0).contact;
            self.committed.unreachable[at(contact)] = Some(now.0);
        }
        let refused = settlements.iter().filter(|s| s.outcome.class == OutcomeClass::OptedOut);
        let refused: Vec<_> = refused.map(|s| (s.message.0, s.number)).collect();
        self.suppress_refused(&refused, now);
        let accepted = late.iter().filter(|s| s.outcome.class == OutcomeClass::Accepted);
        let proven: Vec<_> = accepted
            .map(|s| ((s.message.0, s.number), s.outcome.provider_id.as_deref().map(number_of)))
            .collect();
        for ((message, number), _) in &proven {
            if returned.contains(&(*message, *number)) {
                self.pay(*message, 1);
            }
        }
        self.prove(&proven, now);
        self.join_parked(route, settlements, now);
        let unsent = moved.iter().filter(|(s, _)| s.to != Dispatch::Accepted);
        let unsent: Vec<i64> = unsent.map(|(s, _)| s.message.0).collect();
        self.look_back(&unsent, now);
        Answer::Written
    }

    /// `REPLAYED`.
    fn refused_late(&self, s: &Settlement, late: &[&Settlement]) -> bool {
        let same =
            |other: &&Settlement| other.message == s.message && other.number == s.number && other.refund;
        self.broken != Broken::RefusalEndsReplay
            && late.iter().any(same)
            && self.committed.inquiry(s.message.0, s.number).is_some_and(|i| i.replayed_at.is_some())
    }

    fn close_attempt(&mut self, s: &Settlement, now: Timestamp) -> bool {
        let loose = self.broken == Broken::EpochIgnored;
        let Some(a) = self.committed.attempt_mut(s.message.0, s.number) else { return false };
        if a.epoch != s.epoch && !loose {
            return false;
        }
        if a.outcome.is_some_and(|outcome| outcome.proof() != Proof::Ambiguous) {
            return false;
        }
        (a.answered_at, a.outcome) = (Some(now.0), Some(s.outcome.class));
        a.code = s.outcome.code.as_deref().map(number_of);
        a.detail = s.outcome.detail.as_deref().map(word_of);
        a.provider_id = s.outcome.provider_id.as_deref().map(number_of);
        true
    }

    fn move_message(&mut self, s: &Settlement, now: Timestamp) -> bool {
        let loose = self.broken == Broken::EpochIgnored;
        let ends = matches!(s.to, Dispatch::Rejected | Dispatch::Failed);
        let before = |number| number != self.committed.message(s.message.0).last_number;
        let doubtful = ends
            && self.broken != Broken::CallOffForgetsDoubt
            && self.committed.message(s.message.0).possible_duplicate
            && self.committed.open_copies(s.message.0).any(before);
        let m = self.committed.message_mut(s.message.0);
        if m.dispatch != Dispatch::Submitting || (m.epoch != s.epoch && !loose) {
            return false;
        }
        (m.dispatch, m.not_before, m.settled_at) = (s.to, s.not_before.0, Some(now.0));
        if doubtful {
            m.dispatch = Dispatch::Unknown;
        }
        m.attempts += i64::from(s.counts);
        let class = s.outcome.class;
        let told = (class.proof() != Proof::Accepted).then_some(class.as_str());
        let code = s.outcome.code.as_deref().map(number_of);
        m.reason = told.map(|word| Why { word, code, doubtful });
        (m.owner, m.lease_until) = (None, None);
        true
    }

    /// `END_DOUBT`: every attempt is known as not taken, and what would be queued in a run that is over has failed.
    /// Answers what its code does.
    fn end_doubt_by(&mut self, s: &Settlement, now: Timestamp) -> Option<CouponEffect> {
        let m = self.committed.message(s.message.0);
        let goes_on = matches!(self.committed.run(m.run).state, RunState::Running | RunState::Paused);
        let ends = m.dispatch == Dispatch::Ambiguous
            && m.epoch == s.epoch
            && self.committed.attempts.iter().filter(|a| a.message == s.message.0).all(|a| {
                a.outcome.is_some_and(|class| !matches!(class.proof(), Proof::Accepted | Proof::Ambiguous))
            });
        if !ends {
            return None;
        }
        let m = self.committed.message_mut(s.message.0);
        (m.dispatch, m.attempts) = (Dispatch::Submitting, m.attempts - 1);
        self.move_message(s, now);
        match (s.to, goes_on) {
            (Dispatch::Queued, true) => Some(CouponEffect::Reserve),
            (Dispatch::Queued, false) => {
                self.committed.message_mut(s.message.0).dispatch = Dispatch::Failed;
                Some(CouponEffect::Release)
            }
            _ => Some(s.coupon),
        }
    }

    /// `PAY` for one attempt.
    pub(super) fn pay(&mut self, message: i64, sign: i64) {
        let m = *self.committed.message(message);
        self.committed.runs[at(m.run)].spent += sign * m.price;
    }

    /// `MOVE_COUPONS`: a code that an earlier copy may have carried is never released, and one that somebody else was
    /// proven to carry goes there. Answers whether there was one to move.
    pub(super) fn move_coupon(&mut self, message: i64, effect: CouponEffect, now: Timestamp) -> bool {
        let m = *self.committed.message(message);
        let Some(coupon) = m.coupon else { return false };
        let doubtful = self.committed.may_have_arrived(message);
        let row = &mut self.committed.coupons[at(coupon)];
        if row.message != Some(message) || !matches!(row.state, "reserved" | "quarantined") {
            return false;
        }
        row.state = match effect {
            CouponEffect::Keep => return false,
            CouponEffect::Reserve => "reserved",
            CouponEffect::Send => "sent",
            CouponEffect::Release if doubtful => "quarantined",
            CouponEffect::Release => {
                row.message = row.contested_by.take();
                if row.message.is_some() { "sent" } else { "available" }
            }
            CouponEffect::Quarantine => "quarantined",
        };
        row.changed_at = now.0;
        true
    }

    /// `STILL_REFUSED`, then the numbers are suppressed.
    fn suppress_refused(&mut self, refused: &[(i64, i64)], now: Timestamp) {
        let phones = refused.iter().filter_map(|(message, number)| {
            let phone = self.committed.message(*message).phone;
            let since = self.committed.attempt(*message, *number)?.intent_at;
            (!self.freed_since(phone, since)).then_some(phone)
        });
        self.suppress_phones(&phones.collect::<Vec<_>>(), now);
    }

    /// `OPTED_OUT`, then the numbers are suppressed.
    pub(super) fn suppress_reported(&mut self, messages: &[i64], now: Timestamp) {
        let told = messages.iter().filter(|message| {
            let phone = self.committed.message(**message).phone;
            let own = self.committed.receipts.iter().filter(|r| r.message == Some(**message) && r.opted_out);
            own.into_iter().any(|r| !self.freed_since(phone, r.received_at))
        });
        let phones = told.map(|message| self.committed.message(*message).phone);
        self.suppress_phones(&phones.collect::<Vec<_>>(), now);
    }

    fn freed_since(&self, phone: u64, since: i64) -> bool {
        self.committed.suppressions.iter().any(|s| {
            s.phone == phone
                && s.lifted_at.is_some_and(|lifted| lifted > since)
                && s.lifted_by != Some("a firmer reason")
        })
    }

    fn suppress_phones(&mut self, phones: &[u64], now: Timestamp) {
        let list: Vec<_> = phones.iter().map(|phone| (*phone, EVERY, Reason::Provider, "provider")).collect();
        self.suppress(&list, now);
    }
}

//! Claims, intents and outcomes of the model store; mirrors `store::claims`, `store::intents` and `store::settle`.

use std::collections::HashMap;

use winback::model::clock::Timestamp;
use winback::model::encoding::Encoding;
use winback::model::ids::{ContactId, MessageId, RunId};
use winback::model::message::{Claimed, CouponEffect, Intent, Refusal, Settlement};
use winback::model::money::Micros;
use winback::model::outcome::{OutcomeClass, Proof};
use winback::model::phone::Phone;
use winback::model::run::RunState;
use winback::model::state::Dispatch;
use winback::model::suppression::Reason;
use winback::store::intents::Granted;

use super::super::calls::Answer;
use super::super::tables::{Attempt, EVERY, SENDERS, Tables, at, id};
use super::{Broken, Model};

/// Lease of an intent, `store::intents::LEASE`.
const INTENT_LEASE_MS: i64 = 90_000;

/// `store::intents::WINDOW_RECHECK_MS`.
const WINDOW_RECHECK_MS: i64 = 30_000;

/// `store::claims::WINDOWS_PER_FEED`.
const WINDOWS_PER_FEED: usize = 16;

/// Provider ids and codes as they are spelt in texts.
pub(crate) fn number_of(text: &str) -> i64 {
    text.trim_start_matches('p').parse().expect("the simulated provider writes numbers")
}

/// Every reason in words that a simulated outcome may have.
pub(crate) fn word_of(text: &str) -> &'static str {
    const WORDS: [&str; 3] = [
        "withheld before the first byte: the number was suppressed",
        "withheld before the first byte: too late after the intent",
        "withheld before the first byte: too late",
    ];
    WORDS.into_iter().find(|word| *word == text).unwrap_or_else(|| panic!("a new reason: {text}"))
}

impl Model {
    /// `CLAIM`, and `FEEDABLE` with `FEED` when the queue runs dry.
    pub(super) fn claim(
        &mut self,
        route: usize,
        owner: u64,
        lease_until: Timestamp,
        limit: usize,
        now: Timestamp,
    ) -> Vec<Claimed> {
        let mut claimed = self.take(route, owner, lease_until, limit, now);
        if claimed.len() < limit && self.feed(route, limit.max(1) * 2, now) > 0 {
            let missing = limit - claimed.len();
            claimed.extend(self.take(route, owner, lease_until, missing, now));
        }
        claimed.sort_by_key(|message| message.id);
        claimed
    }

    fn take(
        &mut self,
        route: usize,
        owner: u64,
        lease: Timestamp,
        limit: usize,
        now: Timestamp,
    ) -> Vec<Claimed> {
        let tables = &mut self.committed;
        let mut due: Vec<(i64, i64)> = Vec::new();
        for (place, m) in tables.messages.iter().enumerate() {
            let is_due = m.dispatch == Dispatch::Queued && m.route == route && m.not_before <= now.0;
            if is_due && tables.run(m.run).state == RunState::Running {
                due.push((m.not_before, id(place)));
            }
        }
        due.sort_unstable();
        due.truncate(limit);
        for (_, message) in &due {
            let m = tables.message_mut(*message);
            m.dispatch = Dispatch::Claimed;
            m.epoch += 1;
            (m.owner, m.lease_until) = (Some(owner), Some(lease.0));
        }
        due.iter().map(|(_, message)| claimed(tables, *message)).collect()
    }

    fn feed(&mut self, route: usize, want: usize, now: Timestamp) -> usize {
        let tables = &mut self.committed;
        let holds = |window: i64, tables: &Tables| {
            let planned = |m: &&super::super::tables::Message| {
                m.window == window && m.route == route && m.dispatch == Dispatch::Planned
            };
            tables.messages.iter().any(|m| planned(&m))
        };
        let mut open: Vec<(i64, i64)> = Vec::new();
        for (place, w) in tables.windows.iter().enumerate() {
            let run = tables.run(w.run);
            let runs = run.state == RunState::Running && run.starts_at <= now.0 && run.expires_at > now.0;
            if runs && w.opens_at <= now.0 && w.closes_at > now.0 && holds(id(place), tables) {
                open.push((w.closes_at, id(place)));
            }
        }
        open.sort_unstable();
        open.truncate(WINDOWS_PER_FEED);
        let mut fed = 0;
        for (_, window) in open {
            for m in &mut tables.messages {
                let planned = m.window == window && m.route == route && m.dispatch == Dispatch::Planned;
                if planned && fed < want {
                    (m.dispatch, m.not_before) = (Dispatch::Queued, now.0);
                    fed += 1;
                }
            }
        }
        fed
    }

    /// `RELEASE`.
    pub(super) fn release(&mut self, held: &[(MessageId, i64)]) -> Answer {
        for (message, epoch) in held {
            let m = self.committed.message_mut(message.0);
            if m.dispatch == Dispatch::Claimed && m.epoch == *epoch {
                (m.dispatch, m.owner, m.lease_until) = (Dispatch::Queued, None, None);
            }
        }
        Answer::Written
    }

    /// `POSTPONE` of `store::claims`.
    pub(super) fn postpone(&mut self, held: &[(MessageId, i64, Timestamp)]) -> Answer {
        for (message, epoch, due) in held {
            let m = self.committed.message_mut(message.0);
            if m.dispatch == Dispatch::Claimed && m.epoch == *epoch {
                (m.dispatch, m.owner, m.lease_until) = (Dispatch::Queued, None, None);
                m.not_before = due.0;
            }
        }
        Answer::Written
    }

    /// `GRANT`, `RECORD`, `SPEND`, then `WHY` for the rest.
    pub(super) fn intend(&mut self, route: usize, owner: u64, intents: &[Intent], now: Timestamp) -> Granted {
        let mut answer = Granted::default();
        // What `SUM(price) OVER (PARTITION BY run ORDER BY place)` adds up, refused ones included.
        let mut totals: HashMap<i64, i64> = HashMap::new();
        let mut spent: Vec<(i64, i64)> = Vec::new();
        let mut rest = Vec::new();
        for intent in intents {
            if !self.may_go(intent, now) {
                rest.push(intent);
                continue;
            }
            let m = *self.committed.message(intent.message.0);
            let run = *self.committed.run(m.run);
            let total = totals.entry(m.run).or_insert(run.spent);
            *total += m.price;
            if run.budget.is_some_and(|budget| *total > budget) && self.broken != Broken::BudgetIgnored {
                rest.push(intent);
                continue;
            }
            spent.push((m.run, m.price));
            self.record(route, owner, intent, now);
            answer.granted.push(intent.message);
        }
        for (run, price) in spent {
            self.committed.runs[at(run)].spent += price;
        }
        for intent in rest {
            answer.refused.push((intent.message, self.refuse(intent, now)));
        }
        answer
    }

    fn may_go(&self, intent: &Intent, now: Timestamp) -> bool {
        let tables = &self.committed;
        let m = tables.message(intent.message.0);
        let window = &tables.windows[at(m.window)];
        let holds = m.epoch == intent.epoch && m.dispatch == Dispatch::Claimed;
        let loose =
            self.broken == Broken::EpochIgnored && matches!(m.dispatch, Dispatch::Claimed | Dispatch::Queued);
        (holds || loose)
            && (tables.run(m.run).state == RunState::Running || self.broken == Broken::StoppedRunSends)
            && (window.opens_at <= now.0 && window.closes_at > now.0 || self.broken == Broken::WindowIgnored)
            && m.expires_at > now.0
            && (!tables.is_suppressed(m.phone, m.sender) || self.broken == Broken::NoSuppressionCheck)
    }

    fn record(&mut self, route: usize, owner: u64, intent: &Intent, now: Timestamp) {
        let m = self.committed.message_mut(intent.message.0);
        m.dispatch = Dispatch::Submitting;
        m.last_number = intent.number;
        m.submitted_at = Some(now.0);
        m.lease_until = Some(now.0 + INTENT_LEASE_MS);
        let (seq, stamp) = (self.committed.seq, self.committed.stamp);
        if self.committed.attempt(intent.message.0, intent.number).is_some() {
            assert_eq!(self.broken, Broken::EpochIgnored, "attempts have a key");
            return;
        }
        self.committed.attempts.push(Attempt {
            message: intent.message.0,
            number: intent.number,
            epoch: intent.epoch,
            route,
            owner,
            intent_at: now.0,
            answered_at: None,
            outcome: None,
            code: None,
            detail: None,
            provider_id: None,
            seq,
            stamp,
        });
    }

    /// `WHY`, and where the reason leads: `WITHDRAW`, `POSTPONE` of `store::intents`, `RELEASE`, or nowhere.
    fn refuse(&mut self, intent: &Intent, now: Timestamp) -> Refusal {
        let (message, tables) = (intent.message, &mut self.committed);
        let m = *tables.message(message.0);
        let window = tables.windows[at(m.window)];
        if m.dispatch != Dispatch::Claimed || m.epoch != intent.epoch {
            return Refusal::Stale;
        }
        let (refusal, to, reason) = if tables.is_suppressed(m.phone, m.sender) {
            (Refusal::Suppressed, Dispatch::Suppressed, "suppressed")
        } else if m.expires_at <= now.0 {
            (Refusal::Expired, Dispatch::Expired, "deadline passed")
        } else if tables.run(m.run).state != RunState::Running {
            self.release(&[(message, intent.epoch)]);
            return Refusal::RunStopped;
        } else if window.opens_at > now.0 || window.closes_at <= now.0 {
            let due = if window.opens_at > now.0 { window.opens_at } else { now.0 + WINDOW_RECHECK_MS };
            self.postpone(&[(message, intent.epoch, Timestamp(due))]);
            return Refusal::WindowClosed;
        } else {
            (Refusal::OverBudget, Dispatch::Blocked, "budget spent")
        };
        let m = tables.message_mut(message.0);
        (m.dispatch, m.reason, m.settled_at) = (to, Some((reason, None)), Some(now.0));
        (m.owner, m.lease_until) = (None, None);
        self.move_coupon(message.0, CouponEffect::Release, now);
        refusal
    }

    /// `CLOSE_ATTEMPTS`, `MOVE`, late acceptances, coupons, money, opt-outs, parked receipts.
    pub(super) fn settle(&mut self, route: usize, settlements: &[Settlement], now: Timestamp) -> Answer {
        for s in settlements {
            self.close_attempt(s, now);
        }
        let moved: Vec<bool> = settlements.iter().map(|s| self.move_message(s, now)).collect();
        let each = || settlements.iter().zip(&moved);
        for (s, _) in each().filter(|(s, moved)| !**moved && s.outcome.class == OutcomeClass::Accepted) {
            self.accept_late(s.message.0, now);
        }
        for (s, _) in each().filter(|(_, moved)| **moved) {
            self.move_coupon(s.message.0, s.coupon, now);
        }
        for (s, _) in each().filter(|(s, moved)| **moved && s.refund) {
            let m = *self.committed.message(s.message.0);
            self.committed.runs[at(m.run)].spent -= m.price;
        }
        for s in settlements.iter().filter(|s| s.outcome.class == OutcomeClass::BadRecipient) {
            let contact = self.committed.message(s.message.0).contact;
            self.committed.unreachable[at(contact)] = Some(now.0);
        }
        let refused = settlements.iter().filter(|s| s.outcome.class == OutcomeClass::OptedOut);
        let refused: Vec<i64> = refused.map(|s| s.message.0).collect();
        self.suppress_messages(&refused, now);
        self.join_parked(route, settlements, now);
        Answer::Written
    }

    fn close_attempt(&mut self, s: &Settlement, now: Timestamp) {
        let Some(a) = self.committed.attempt_mut(s.message.0, s.number) else { return };
        if a.outcome.is_some_and(|outcome| outcome != OutcomeClass::Unknown) {
            return;
        }
        (a.answered_at, a.outcome) = (Some(now.0), Some(s.outcome.class));
        a.code = s.outcome.code.as_deref().map(number_of);
        a.detail = s.outcome.detail.as_deref().map(word_of);
        a.provider_id = s.outcome.provider_id.as_deref().map(number_of);
    }

    fn move_message(&mut self, s: &Settlement, now: Timestamp) -> bool {
        let loose = self.broken == Broken::EpochIgnored;
        let m = self.committed.message_mut(s.message.0);
        if m.dispatch != Dispatch::Submitting || (m.epoch != s.epoch && !loose) {
            return false;
        }
        (m.dispatch, m.not_before, m.settled_at) = (s.to, s.not_before.0, Some(now.0));
        m.attempts += i64::from(s.counts);
        let class = s.outcome.class;
        let told = (class.proof() != Proof::Accepted).then_some(class.as_str());
        m.reason = told.map(|word| (word, s.outcome.code.as_deref().map(number_of)));
        (m.owner, m.lease_until) = (None, None);
        true
    }

    /// `ACCEPT_LATE`: proof of acceptance, whatever we thought (T11, T14).
    pub(super) fn accept_late(&mut self, message: i64, now: Timestamp) -> bool {
        let m = self.committed.message_mut(message);
        let closed = matches!(m.dispatch, Dispatch::Planned | Dispatch::Submitting | Dispatch::Accepted);
        if closed || m.last_number == 0 {
            return false;
        }
        (m.dispatch, m.settled_at, m.owner, m.lease_until) = (Dispatch::Accepted, Some(now.0), None, None);
        m.epoch += 1;
        self.move_coupon(message, CouponEffect::Send, now);
        true
    }

    /// `MOVE_COUPONS`: a code whose message may be a second copy is never released.
    pub(super) fn move_coupon(&mut self, message: i64, effect: CouponEffect, now: Timestamp) {
        let m = *self.committed.message(message);
        let Some(coupon) = m.coupon else { return };
        let to = match effect {
            CouponEffect::Keep => return,
            CouponEffect::Send => "sent",
            CouponEffect::Release if m.possible_duplicate => "quarantined",
            CouponEffect::Release => "available",
            CouponEffect::Quarantine => "quarantined",
        };
        let row = &mut self.committed.coupons[at(coupon)];
        if row.message == Some(message) && matches!(row.state, "reserved" | "quarantined") {
            (row.state, row.changed_at) = (to, now.0);
            if to == "available" {
                row.message = None;
            }
        }
    }

    /// `suppress_messages` of `store::settle`.
    pub(super) fn suppress_messages(&mut self, messages: &[i64], now: Timestamp) {
        let phones = messages.iter().map(|message| self.committed.message(*message).phone);
        let list: Vec<_> = phones.map(|phone| (phone, EVERY, Reason::Provider, "provider")).collect();
        self.suppress(&list, now);
    }
}

fn claimed(tables: &Tables, message: i64) -> Claimed {
    let m = tables.message(message);
    Claimed {
        id: MessageId(message),
        run: RunId(m.run),
        contact: ContactId(m.contact),
        phone: Phone::from_digits(m.phone).expect("a number"),
        epoch: m.epoch,
        attempts: m.attempts,
        last_number: m.last_number,
        parts: m.parts,
        encoding: Encoding::Gsm7,
        sender: SENDERS[m.sender].to_owned(),
        country: "US".to_owned(),
        body: body(m.coupon),
        price: Micros(m.price),
        expires_at: Timestamp(m.expires_at),
    }
}

/// The text of a message; the judge reads the code in it.
pub(crate) fn body(coupon: Option<i64>) -> String {
    coupon.map_or_else(String::new, |coupon| coupon.to_string())
}

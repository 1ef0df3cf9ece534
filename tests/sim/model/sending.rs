//! Claims and intents of the model store; mirrors `store::claims` and `store::intents`.

use std::collections::HashMap;

use winback::model::clock::Timestamp;
use winback::model::encoding::Encoding;
use winback::model::ids::{ContactId, MessageId, RunId};
use winback::model::message::{Claimed, CouponEffect, Full, Intent, Refusal};
use winback::model::money::Micros;
use winback::model::phone::Phone;
use winback::model::run::RunState;
use winback::model::state::Dispatch;
use winback::store::intents::Granted;

use super::super::calls::Answer;
use super::super::tables::{Attempt, Message, SENDERS, Tables, at, id};
use super::{Broken, Model};

/// Lease of an intent, `store::intents::LEASE`.
const INTENT_LEASE_MS: i64 = 90_000;

/// `store::intents::WINDOW_RECHECK_MS`.
const WINDOW_RECHECK_MS: i64 = 30_000;

/// Where everybody lives.
pub(crate) const COUNTRY: &str = "US";

/// What a lane asks for.
pub(super) struct Claim<'a> {
    pub(super) route: usize,
    pub(super) owner: u64,
    pub(super) lease: Timestamp,
    pub(super) full: &'a Full,
}

/// `store::claims::WINDOWS_PER_FEED`.
const WINDOWS_PER_FEED: usize = 16;

/// Provider ids and codes as they are spelt in texts.
pub(crate) fn number_of(text: &str) -> i64 {
    text.trim_start_matches('p').parse().expect("the simulated provider writes numbers")
}

/// What is said of an attempt that its provider has.
pub(crate) const FOUND_BY_REFERENCE: &str = "found at the provider by our reference";

/// What is said of one that its provider proved not to have.
pub(crate) const NOT_THERE: &str = "the provider was asked and has no such message";

/// Every reason in words that a simulated outcome may have.
pub(crate) fn word_of(text: &str) -> &'static str {
    const WORDS: [&str; 13] = [
        "withheld before the first byte: the number was suppressed",
        "withheld before the first byte: the hold on the store was lost",
        "withheld before the first byte: the daemon is stopping",
        "withheld before the first byte: the store could not be written",
        "withheld before the first byte: the provider asked to wait",
        "withheld before the first byte: the provider is unwell",
        "withheld before the first byte: too late after the intent",
        "withheld before the first byte: the store did not answer to the intent",
        "refused with others; the daemon stopped before it went by itself",
        "the request was refused as a whole; this message was not sent",
        FOUND_BY_REFERENCE,
        "found at the provider by recipient, text and time",
        NOT_THERE,
    ];
    WORDS.into_iter().find(|word| *word == text).unwrap_or_else(|| panic!("a new reason: {text}"))
}

impl Model {
    /// `CLAIM`, and `FEEDABLE` with `CLAIM_FRESH` or `FEED_OTHERS` when the queue runs dry.
    pub(super) fn claim(&mut self, claim: &Claim<'_>, limit: usize, now: Timestamp) -> Vec<Claimed> {
        let mut claimed = self.take(claim, limit, now);
        for window in if claimed.len() < limit { self.feedable(claim.route, now) } else { Vec::new() } {
            let missing = limit - claimed.len();
            if missing == 0 {
                break;
            }
            if *claim.full == Full::default() {
                claimed.extend(self.take_fresh(claim, window, missing, now));
            } else if self.feed(claim, window, missing * 2, now) > 0 {
                claimed.extend(self.take(claim, missing, now));
            }
        }
        claimed.sort_by_key(|message| message.id);
        claimed
    }

    /// `CLAIM_FRESH`.
    fn take_fresh(&mut self, claim: &Claim<'_>, window: i64, missing: usize, now: Timestamp) -> Vec<Claimed> {
        let tables = &mut self.committed;
        let planned =
            |m: &Message| m.window == window && m.route == claim.route && m.dispatch == Dispatch::Planned;
        let messages = tables.messages.iter().enumerate().filter(|(_, m)| planned(m));
        let fresh: Vec<i64> = messages.map(|(place, _)| id(place)).take(missing).collect();
        for message in &fresh {
            let m = tables.message_mut(*message);
            (m.dispatch, m.not_before) = (Dispatch::Claimed, now.0);
            m.epoch += 1;
            (m.owner, m.lease_until) = (Some(claim.owner), Some(claim.lease.0));
        }
        fresh.iter().map(|message| claimed(tables, *message)).collect()
    }

    fn take(&mut self, claim: &Claim<'_>, limit: usize, now: Timestamp) -> Vec<Claimed> {
        let tables = &mut self.committed;
        let mut due: Vec<(i64, i64)> = Vec::new();
        for (place, m) in tables.messages.iter().enumerate() {
            let is_due = m.dispatch == Dispatch::Queued && m.route == claim.route && m.not_before <= now.0;
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
            (m.owner, m.lease_until) = (Some(claim.owner), Some(claim.lease.0));
        }
        due.iter().map(|(_, message)| claimed(tables, *message)).collect()
    }

    /// `FEEDABLE`.
    fn feedable(&self, route: usize, now: Timestamp) -> Vec<i64> {
        let tables = &self.committed;
        let planned = |m: &Message, window: i64| {
            m.window == window && m.route == route && m.dispatch == Dispatch::Planned
        };
        let mut open: Vec<(i64, i64)> = Vec::new();
        for (place, w) in tables.windows.iter().enumerate() {
            let (run, window) = (tables.run(w.run), id(place));
            let runs = run.state == RunState::Running && run.starts_at <= now.0 && run.expires_at > now.0;
            let holds = || tables.messages.iter().any(|m| planned(m, window));
            if runs && w.opens_at <= now.0 && w.closes_at > now.0 && holds() {
                open.push((w.closes_at, window));
            }
        }
        open.sort_unstable();
        open.truncate(WINDOWS_PER_FEED);
        open.into_iter().map(|(_, window)| window).collect()
    }

    /// `FEED_OTHERS`. All of one country; what is looked at in vain is always less than `LOOK_PAST` here.
    fn feed(&mut self, claim: &Claim<'_>, window: i64, want: usize, now: Timestamp) -> usize {
        let (route, full) = (claim.route, claim.full);
        let has_room = |sender: usize| {
            !full.senders.iter().any(|name| name == SENDERS[sender])
                && !full.countries.iter().any(|name| name == COUNTRY)
        };
        let mut fed = 0;
        for m in &mut self.committed.messages {
            let planned = m.window == window && m.route == route && m.dispatch == Dispatch::Planned;
            if planned && has_room(m.sender) && fed < want {
                (m.dispatch, m.not_before) = (Dispatch::Queued, now.0);
                fed += 1;
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
        } else if tables.run(m.run).budget.is_some_and(|most| tables.run(m.run).spent + m.price > most) {
            (Refusal::OverBudget, Dispatch::Blocked, "budget spent")
        } else {
            self.release(&[(message, intent.epoch)]);
            return Refusal::RunStopped;
        };
        self.call_off(message.0, to, reason, now);
        self.move_coupon(message.0, CouponEffect::Release, now);
        refusal
    }
}

pub(super) fn claimed(tables: &Tables, message: i64) -> Claimed {
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
        country: COUNTRY.to_owned(),
        body: body(m.coupon),
        price: Micros(m.price),
        expires_at: Timestamp(m.expires_at),
    }
}

/// The text of a message; the judge reads the code in it.
pub(crate) fn body(coupon: Option<i64>) -> String {
    coupon.map_or_else(String::new, |coupon| coupon.to_string())
}

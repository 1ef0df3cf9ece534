//! Receipts, customers' texts and suppressions of the model store; mirrors `store::receipts`, `store::inbound` and
//! `store::suppressions`.

use std::collections::{BTreeMap, HashSet};

use winback::model::clock::Timestamp;
use winback::model::delivery::Delivery;
use winback::model::message::Settlement;
use winback::model::receipt::Receipt;
use winback::model::reference;
use winback::model::state::Dispatch;
use winback::model::suppression::Reason;
use winback::store::inbound::Reaction;

use super::super::calls::{Answer, Callback};
use super::super::tables::{
    EVERY, InboundRow, Named, Raw, ReceiptRow, SuppressionRow, TAG, at, id, scope_word,
};
use super::evidence::proves_acceptance;
use super::sending::number_of;
use super::{Broken, Model};

/// Sources of suppressions that a text causes, by route.
const INBOUND: [&str; 2] = ["inbound:north", "inbound:south"];

/// Every word of a simulated receipt.
const STATUSES: [&str; 6] = ["buffered", "delivered", "undelivered", "rejected", "expired", "read"];

/// A report whose attempt is known.
#[derive(Clone, Copy)]
struct Evidence {
    message: i64,
    number: i64,
    provider_id: Option<i64>,
    state: Delivery,
    opted_out: bool,
}

/// What a receipt calls its message.
pub(crate) fn named(receipt: &Receipt) -> Option<Named> {
    let text = receipt.reference.as_deref()?;
    Some(match reference::resolve(TAG, text) {
        Some((message, number)) => Named::Ours(message.0, number),
        None => Named::Foreign(number_of(text.trim_start_matches("other-"))),
    })
}

impl Model {
    /// `KEEP_RAW`, `BY_REFERENCE`, `BY_PROVIDER_ID`, `KEEP`, then the join.
    pub(super) fn receive(&mut self, callbacks: &[Callback], now: Timestamp) -> Answer {
        self.keep_raw(callbacks, "receipt");
        let mut seen = HashSet::new();
        let mut rows = Vec::new();
        for callback in callbacks {
            for r in &callback.receipts {
                if seen.insert((callback.route, &r.reference, &r.provider_id, &r.status, &r.code)) {
                    rows.push(self.read(callback, r));
                }
            }
        }
        // The statement sees the table as it was before it.
        let fresh: Vec<ReceiptRow> = rows.iter().filter(|row| !self.is_repeat(row)).copied().collect();
        self.committed.receipts.extend(fresh);
        let found: Vec<Evidence> = rows.iter().filter_map(evidence).collect();
        let proven = self.join(&found, now);
        let learnt =
            rows.iter().filter_map(|row| Some((row.route, row.provider_id?, row.message?, row.number?)));
        let learnt: Vec<_> =
            learnt.filter(|(.., message, number)| proven.contains(&(*message, *number))).collect();
        self.join_waiting(&learnt, now);
        Answer::Written
    }

    fn keep_raw(&mut self, callbacks: &[Callback], kind: &'static str) {
        for c in callbacks {
            if !self.committed.inbox.iter().any(|raw| raw.id == c.id) {
                let raw = Raw { id: c.id, route: c.route, kind, received_at: c.received_at.0 };
                self.committed.inbox.push(raw);
            }
        }
    }

    fn read(&self, callback: &Callback, receipt: &Receipt) -> ReceiptRow {
        let provider_id = receipt.provider_id.as_deref().map(number_of);
        let reference = named(receipt);
        let attempts = || self.committed.attempts.iter().filter(|a| a.route == callback.route);
        let found = match (reference, provider_id) {
            (Some(Named::Ours(message, number)), _) => {
                attempts().find(|a| a.message == message && a.number == number)
            }
            (_, Some(pid)) => {
                attempts().filter(|a| a.provider_id == Some(pid)).max_by_key(|a| (a.message, a.number))
            }
            _ => None,
        };
        let status = STATUSES.into_iter().find(|status| *status == receipt.status);
        ReceiptRow {
            inbox: callback.id,
            route: callback.route,
            received_at: callback.received_at.0,
            message: found.map(|a| a.message),
            number: found.map(|a| a.number),
            reference,
            provider_id,
            state: receipt.state,
            status: status.expect("a known status"),
            code: receipt.code.as_deref().map(number_of),
            opted_out: receipt.opted_out,
        }
    }

    /// The three conditions of `KEEP`.
    fn is_repeat(&self, g: &ReceiptRow) -> bool {
        self.committed.receipts.iter().any(|r| {
            if r.status != g.status || r.code != g.code || r.message != g.message {
                return false;
            }
            match (g.message, g.provider_id) {
                (Some(_), _) => r.number == g.number && r.state == g.state,
                (None, Some(pid)) => r.route == g.route && r.provider_id == Some(pid),
                (None, None) => {
                    r.provider_id.is_none()
                        && r.route == g.route
                        && r.inbox == g.inbox
                        && r.reference == g.reference
                }
            }
        })
    }

    /// `RAISE`, proof of what is not known as accepted, opt-outs told by receipts; answers the attempts that were proven.
    fn join(&mut self, found: &[Evidence], now: Timestamp) -> Vec<(i64, i64)> {
        let mut proven = Vec::new();
        let mut changed: BTreeMap<i64, Delivery> = BTreeMap::new();
        for e in found {
            let outcome = self.committed.attempt(e.message, e.number).map(|a| a.outcome);
            let last_wins = self.broken == Broken::LastReceiptWins;
            let m = self.committed.message_mut(e.message);
            changed.entry(e.message).or_insert(m.delivery);
            let joined = m.delivery.join(e.state);
            m.delivery = if last_wins { e.state } else { joined.state };
            m.conflict |= joined.conflict;
            let Some(outcome) = outcome else { continue };
            let awaited = outcome.is_none() && m.dispatch == Dispatch::Submitting;
            if !awaited && proves_acceptance(outcome, e.state) {
                proven.push(((e.message, e.number), e.provider_id));
            }
        }
        for (message, old) in changed {
            let m = self.committed.message_mut(message);
            if m.delivery != old {
                m.delivery_at = Some(now.0);
            }
        }
        self.prove(&proven, now);
        let refused: Vec<i64> = found.iter().filter(|e| e.opted_out).map(|e| e.message).collect();
        self.suppress_reported(&refused, now);
        proven.iter().map(|(attempt, _)| *attempt).collect()
    }

    /// `join_parked` of `store::receipts`.
    pub(super) fn join_parked(&mut self, route: usize, settlements: &[Settlement], now: Timestamp) {
        let id = |s: &Settlement| s.outcome.provider_id.as_deref().map(number_of);
        let named = settlements.iter().filter_map(|s| Some((route, id(s)?, s.message.0, s.number)));
        self.join_waiting(&named.collect::<Vec<_>>(), now);
    }

    /// `PARKED`, `UNPARK`, then the join. Ids are (route, provider id, message, number).
    fn join_waiting(&mut self, ids: &[(usize, i64, i64, i64)], now: Timestamp) {
        let mut found = Vec::new();
        for r in self.committed.receipts.iter_mut().filter(|r| r.message.is_none()) {
            let own = ids.iter().find(|(route, pid, ..)| r.route == *route && r.provider_id == Some(*pid));
            let Some((.., message, number)) = own else { continue };
            (r.message, r.number) = (Some(*message), Some(*number));
            found.extend(evidence(r).map(|e| Evidence { provider_id: None, ..e }));
        }
        self.join(&found, now);
    }

    /// `YOUNG`, `BY_PROVIDER_ID`, then as above.
    pub(super) fn rejoin(&mut self, since: Timestamp, now: Timestamp) -> Answer {
        let tables = &mut self.committed;
        let mut found = Vec::new();
        for r in tables.receipts.iter_mut().filter(|r| r.message.is_none() && r.received_at >= since.0) {
            let Some(pid) = r.provider_id else { continue };
            let own = tables.attempts.iter().find(|a| a.route == r.route && a.provider_id == Some(pid));
            let Some(own) = own else { continue };
            (r.message, r.number) = (Some(own.message), Some(own.number));
            found.extend(evidence(r).map(|e| Evidence { provider_id: None, ..e }));
        }
        self.join(&found, now);
        Answer::Count(found.len())
    }

    /// `KEEP_INBOUND`, then what each new text asks for.
    pub(super) fn listen(&mut self, callbacks: &[Callback], now: Timestamp) -> Answer {
        self.keep_raw(callbacks, "inbound");
        let mut kept = HashSet::new();
        for c in callbacks {
            for (text, reaction) in &c.inbound {
                let provider_id = number_of(text.provider_id.as_deref().expect("every text has an id"));
                let known = |row: &InboundRow| row.route == c.route && row.provider_id == provider_id;
                if self.committed.inbound.iter().any(known) {
                    continue;
                }
                kept.insert((c.id, text.from));
                self.committed.inbound.push(InboundRow {
                    inbox: c.id,
                    route: c.route,
                    received_at: c.received_at.0,
                    phone: text.from.digits(),
                    keyword: reaction.as_str(),
                    provider_id,
                });
            }
        }
        for c in callbacks {
            for (text, reaction) in &c.inbound {
                if !kept.contains(&(c.id, text.from)) {
                    continue;
                }
                let phone = text.from.digits();
                let reason = match reaction {
                    Reaction::Stop => Reason::Stop,
                    Reaction::Review => Reason::Review,
                    Reaction::Start => {
                        self.lift(phone, INBOUND[c.route], now);
                        continue;
                    }
                    Reaction::Keep => continue,
                };
                self.suppress(&[(phone, EVERY, reason, INBOUND[c.route])], now);
            }
        }
        Answer::Written
    }

    /// `REPLACE_WEAKER`, `INSERT`, `WITHDRAW` with its coupons.
    pub(super) fn suppress(&mut self, list: &[(u64, usize, Reason, &'static str)], now: Timestamp) {
        let mut lines: BTreeMap<(u64, &str), (usize, Reason, &'static str)> = BTreeMap::new();
        for (phone, scope, reason, source) in list {
            let word = scope_word(*scope);
            let kept = lines.entry((*phone, word)).or_insert((*scope, *reason, source));
            if kept.1.lifted_by_start() && !reason.lifted_by_start() {
                *kept = (*scope, *reason, source);
            }
        }
        for ((phone, _), (scope, reason, _)) in &lines {
            let yields = |s: &&mut SuppressionRow| {
                s.phone == *phone && s.scope == *scope && s.lifted_at.is_none() && s.reason.lifted_by_start()
            };
            if !reason.lifted_by_start()
                && let Some(weaker) = self.committed.suppressions.iter_mut().find(yields)
            {
                (weaker.lifted_at, weaker.lifted_by) = (Some(now.0), Some("a firmer reason"));
            }
        }
        let (seq, stamp) = (self.committed.seq, self.committed.stamp);
        for ((phone, _), (scope, reason, source)) in &lines {
            let (phone, scope, reason) = (*phone, *scope, *reason);
            let in_force = |s: &SuppressionRow| s.phone == phone && s.scope == scope && s.lifted_at.is_none();
            if !self.committed.suppressions.iter().any(in_force) {
                let created_at = now.0;
                let (lifted_at, lifted_by) = (None, None);
                self.committed.suppressions.push(SuppressionRow {
                    phone,
                    scope,
                    reason,
                    source,
                    created_at,
                    lifted_at,
                    lifted_by,
                    seq,
                    stamp,
                });
            }
            self.withdraw_suppressed(phone, scope, now);
        }
    }

    /// `WITHDRAW`, `RELEASE_COUPONS`, `QUARANTINE_COUPONS` of `store::suppressions`.
    fn withdraw_suppressed(&mut self, phone: u64, scope: usize, now: Timestamp) {
        for place in 0..self.committed.messages.len() {
            let m = self.committed.messages[place];
            let concerned = m.phone == phone && (scope == EVERY || scope == m.sender);
            if !concerned || !waits(m.dispatch) {
                continue;
            }
            let to = self.call_off(id(place), Dispatch::Suppressed, "suppressed", now);
            let Some(coupon) = m.coupon else { continue };
            let row = &mut self.committed.coupons[at(coupon)];
            if row.message != Some(id(place)) {
                continue;
            }
            match (row.state, to) {
                ("reserved", Dispatch::Unknown) => (row.state, row.changed_at) = ("quarantined", now.0),
                ("reserved" | "quarantined", Dispatch::Suppressed) => {
                    (row.message, row.changed_at) = (row.contested_by.take(), now.0);
                    row.state = if row.message.is_some() { "sent" } else { "available" };
                }
                _ => {}
            }
        }
    }

    /// `LIFT`: what a START from the number may end.
    pub(super) fn lift(&mut self, phone: u64, by: &'static str, now: Timestamp) -> Answer {
        let mut lifted = 0;
        for s in &mut self.committed.suppressions {
            if s.phone == phone && s.lifted_at.is_none() && s.reason.lifted_by_start() {
                (s.lifted_at, s.lifted_by) = (Some(now.0), Some(by));
                lifted += 1;
            }
        }
        Answer::Count(lifted)
    }
}

fn waits(state: Dispatch) -> bool {
    matches!(state, Dispatch::Planned | Dispatch::Queued | Dispatch::Claimed)
}

fn evidence(row: &ReceiptRow) -> Option<Evidence> {
    Some(Evidence {
        message: row.message?,
        number: row.number?,
        provider_id: row.provider_id,
        state: row.state,
        opted_out: row.opted_out,
    })
}

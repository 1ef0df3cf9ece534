//! The tables of the model store: plain rows, copied as memory, with the columns that decisions read. Runs no rule.
//!
//! Texts are numbers or constants, so that a copy of everything costs a microsecond. `seq` and `stamp` have no column in
//! the real store: they say in which order and at which instant of the true clock a row came about, for the judges.

use winback::model::delivery::Delivery;
use winback::model::doubt::Finding;
use winback::model::message::{Verdict, WhenInDoubt};
use winback::model::outcome::{OutcomeClass, Proof};
use winback::model::run::RunState;
use winback::model::state::Dispatch;
use winback::model::suppression::Reason;

/// The tag of every simulated store.
pub(crate) const TAG: &str = "test";

/// Names of routes.
pub(crate) const ROUTES: [&str; 2] = ["north", "south"];

/// Names of senders.
pub(crate) const SENDERS: [&str; 2] = ["+15005550001", "+15005550002"];

/// Scope of a suppression that holds for every sender; any other number is the place of a sender.
pub(crate) const EVERY: usize = usize::MAX;

/// A scope as the real store spells it.
pub(crate) fn scope_word(scope: usize) -> &'static str {
    if scope == EVERY { "all" } else { SENDERS[scope] }
}

/// Why a message is where it is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Why {
    pub(crate) word: &'static str,
    /// The provider's code.
    pub(crate) code: Option<i64>,
    /// Whether a copy sent before may have arrived.
    pub(crate) doubtful: bool,
}

impl Why {
    pub(crate) fn plain(word: &'static str) -> Self {
        Self { word, code: None, doubtful: false }
    }
}

/// A row of `messages`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Message {
    pub(crate) run: i64,
    pub(crate) contact: i64,
    pub(crate) phone: u64,
    pub(crate) route: usize,
    pub(crate) sender: usize,
    pub(crate) window: i64,
    pub(crate) coupon: Option<i64>,
    pub(crate) parts: u16,
    pub(crate) price: i64,
    pub(crate) expires_at: i64,
    pub(crate) dispatch: Dispatch,
    pub(crate) delivery: Delivery,
    pub(crate) epoch: i64,
    pub(crate) owner: Option<u64>,
    pub(crate) lease_until: Option<i64>,
    pub(crate) attempts: i64,
    pub(crate) last_number: i64,
    pub(crate) not_before: i64,
    pub(crate) possible_duplicate: bool,
    pub(crate) conflict: bool,
    pub(crate) reason: Option<Why>,
    pub(crate) submitted_at: Option<i64>,
    pub(crate) settled_at: Option<i64>,
    pub(crate) delivery_at: Option<i64>,
    /// Recorded decisions to send it again: how many, and in which operations; no column of the real store.
    pub(crate) resends: usize,
    pub(crate) resent_in: [u64; 8],
}

/// A row of `attempts`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Attempt {
    pub(crate) message: i64,
    pub(crate) number: i64,
    pub(crate) epoch: i64,
    pub(crate) route: usize,
    pub(crate) owner: u64,
    pub(crate) intent_at: i64,
    pub(crate) answered_at: Option<i64>,
    pub(crate) outcome: Option<OutcomeClass>,
    pub(crate) code: Option<i64>,
    pub(crate) detail: Option<&'static str>,
    pub(crate) provider_id: Option<i64>,
    pub(crate) seq: u64,
    pub(crate) stamp: u64,
}

/// What a receipt calls its message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Named {
    /// By our reference: message, attempt.
    Ours(i64, i64),
    /// By a text that is nobody's reference here.
    Foreign(i64),
}

/// A row of `receipts`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ReceiptRow {
    pub(crate) inbox: i64,
    pub(crate) route: usize,
    pub(crate) received_at: i64,
    pub(crate) message: Option<i64>,
    pub(crate) number: Option<i64>,
    pub(crate) reference: Option<Named>,
    pub(crate) provider_id: Option<i64>,
    pub(crate) state: Delivery,
    pub(crate) status: &'static str,
    pub(crate) code: Option<i64>,
    pub(crate) opted_out: bool,
}

/// A row of `inbox`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Raw {
    pub(crate) id: i64,
    pub(crate) route: usize,
    pub(crate) kind: &'static str,
    pub(crate) received_at: i64,
}

/// A row of `inbound`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct InboundRow {
    pub(crate) inbox: i64,
    pub(crate) route: usize,
    pub(crate) received_at: i64,
    pub(crate) phone: u64,
    pub(crate) keyword: &'static str,
    pub(crate) provider_id: i64,
}

/// A row of `suppressions`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SuppressionRow {
    pub(crate) phone: u64,
    pub(crate) scope: usize,
    pub(crate) reason: Reason,
    pub(crate) source: &'static str,
    pub(crate) created_at: i64,
    pub(crate) lifted_at: Option<i64>,
    pub(crate) lifted_by: Option<&'static str>,
    pub(crate) seq: u64,
    pub(crate) stamp: u64,
}

/// A row of `coupons`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Coupon {
    pub(crate) state: &'static str,
    pub(crate) message: Option<i64>,
    pub(crate) changed_at: i64,
    /// Proven late to carry it too.
    pub(crate) contested_by: Option<i64>,
}

impl Coupon {
    /// A code that nobody has had.
    pub(crate) fn fresh(changed_at: i64) -> Self {
        Self { state: "available", message: None, changed_at, contested_by: None }
    }
}

/// A row of `decisions`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Decided {
    pub(crate) message: i64,
    pub(crate) number: i64,
    pub(crate) run: i64,
    pub(crate) when: i64,
    pub(crate) verdict: Verdict,
}

/// A row of `inquiries`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Inquiry {
    pub(crate) message: i64,
    pub(crate) number: i64,
    pub(crate) looks: i64,
    pub(crate) looks_unanswered: i64,
    pub(crate) looked_at: Option<i64>,
    pub(crate) replays: i64,
    pub(crate) replays_unanswered: i64,
    pub(crate) replayed_at: Option<i64>,
    pub(crate) answer_by: Option<i64>,
    pub(crate) replay_over: bool,
    pub(crate) finding: Option<Finding>,
    /// Order and instant of the operation that last recorded a replay.
    pub(crate) replay_seq: u64,
    pub(crate) replay_stamp: u64,
}

/// A row of `renderings`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rendering {
    pub(crate) print: i64,
    pub(crate) since: i64,
}

/// A row of `runs`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RunRow {
    /// Which campaign; its launch key is made of it.
    pub(crate) campaign: i64,
    /// Set once an abandoned launch gave up its key.
    pub(crate) key_given_up: bool,
    pub(crate) state: RunState,
    pub(crate) budget: Option<i64>,
    pub(crate) spent: i64,
    pub(crate) doubt: WhenInDoubt,
    pub(crate) audience: i64,
    pub(crate) prepared: i64,
    pub(crate) capped: i64,
    pub(crate) withheld: i64,
    pub(crate) cursor: i64,
    pub(crate) starts_at: i64,
    pub(crate) expires_at: i64,
    pub(crate) finished_at: Option<i64>,
    /// Order of the statement that last stopped it.
    pub(crate) stopped_seq: u64,
}

/// A row of `run_windows`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Window {
    pub(crate) run: i64,
    pub(crate) key: usize,
    pub(crate) opens_at: i64,
    pub(crate) closes_at: i64,
}

/// Everything that the model store holds. Row ids are places from 1, as SQLite gives them where nothing is deleted.
#[derive(Debug, Default)]
pub(crate) struct Tables {
    pub(crate) messages: Vec<Message>,
    pub(crate) attempts: Vec<Attempt>,
    pub(crate) receipts: Vec<ReceiptRow>,
    pub(crate) inbox: Vec<Raw>,
    pub(crate) inbound: Vec<InboundRow>,
    pub(crate) suppressions: Vec<SuppressionRow>,
    pub(crate) coupons: Vec<Coupon>,
    pub(crate) runs: Vec<RunRow>,
    pub(crate) windows: Vec<Window>,
    pub(crate) decisions: Vec<Decided>,
    pub(crate) inquiries: Vec<Inquiry>,
    /// By route.
    pub(crate) renderings: [Option<Rendering>; ROUTES.len()],
    /// The time that was kept.
    pub(crate) clock_seen: Option<i64>,
    /// When each contact's number was found dead.
    pub(crate) unreachable: Vec<Option<i64>>,
    /// Operations so far.
    pub(crate) seq: u64,
    /// The true clock at the current operation, in milliseconds.
    pub(crate) stamp: u64,
}

/// The place of an id.
pub(crate) fn at(id: i64) -> usize {
    usize::try_from(id - 1).expect("ids count from 1")
}

/// The id of a place.
pub(crate) fn id(place: usize) -> i64 {
    i64::try_from(place).expect("a small table") + 1
}

impl Tables {
    /// Makes this a copy of `other` without giving memory back.
    pub(crate) fn copy(&mut self, other: &Self) {
        self.messages.clone_from(&other.messages);
        self.attempts.clone_from(&other.attempts);
        self.receipts.clone_from(&other.receipts);
        self.inbox.clone_from(&other.inbox);
        self.inbound.clone_from(&other.inbound);
        self.suppressions.clone_from(&other.suppressions);
        self.coupons.clone_from(&other.coupons);
        self.runs.clone_from(&other.runs);
        self.windows.clone_from(&other.windows);
        self.decisions.clone_from(&other.decisions);
        self.inquiries.clone_from(&other.inquiries);
        (self.renderings, self.clock_seen) = (other.renderings, other.clock_seen);
        self.unreachable.clone_from(&other.unreachable);
        (self.seq, self.stamp) = (other.seq, other.stamp);
    }

    pub(crate) fn message(&self, id: i64) -> &Message {
        &self.messages[at(id)]
    }

    pub(crate) fn message_mut(&mut self, id: i64) -> &mut Message {
        &mut self.messages[at(id)]
    }

    pub(crate) fn run(&self, id: i64) -> &RunRow {
        &self.runs[at(id)]
    }

    pub(crate) fn attempt(&self, message: i64, number: i64) -> Option<&Attempt> {
        self.attempts.iter().find(|a| a.message == message && a.number == number)
    }

    pub(crate) fn attempt_mut(&mut self, message: i64, number: i64) -> Option<&mut Attempt> {
        self.attempts.iter_mut().find(|a| a.message == message && a.number == number)
    }

    /// Copies of a message that may have arrived: of unknown fate, and not decided as not sent.
    pub(crate) fn open_copies(&self, message: i64) -> impl Iterator<Item = i64> {
        let open = move |a: &&Attempt| {
            a.message == message
                && a.outcome.is_none_or(|class| class.proof() == Proof::Ambiguous)
                && self.decided(message, a.number) != Some(Verdict::NotSent)
        };
        self.attempts.iter().filter(open).map(|a| a.number)
    }

    /// Whether a copy sent before may have arrived, whatever becomes of the next one.
    pub(crate) fn may_have_arrived(&self, message: i64) -> bool {
        self.message(message).possible_duplicate && self.open_copies(message).next().is_some()
    }

    /// What a person decided about a message last.
    pub(crate) fn decided_last(&self, message: i64) -> Option<Verdict> {
        let own = self.decisions.iter().filter(|d| d.message == message);
        own.max_by_key(|d| d.number).map(|d| d.verdict)
    }

    /// What a person decided about an attempt.
    pub(crate) fn decided(&self, message: i64, number: i64) -> Option<Verdict> {
        let own = self.decisions.iter().find(|d| d.message == message && d.number == number);
        own.map(|d| d.verdict)
    }

    /// What the provider was asked about an attempt.
    pub(crate) fn inquiry(&self, message: i64, number: i64) -> Option<&Inquiry> {
        self.inquiries.iter().find(|i| i.message == message && i.number == number)
    }

    /// The suppression in force that keeps `sender` from texting `phone`.
    pub(crate) fn suppression(&self, phone: u64, sender: usize) -> Option<&SuppressionRow> {
        let bars = |s: &&SuppressionRow| {
            s.phone == phone && s.lifted_at.is_none() && (s.scope == EVERY || s.scope == sender)
        };
        self.suppressions.iter().find(bars)
    }

    pub(crate) fn is_suppressed(&self, phone: u64, sender: usize) -> bool {
        self.suppression(phone, sender).is_some()
    }
}

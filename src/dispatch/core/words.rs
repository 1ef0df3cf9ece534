//! What a lane is told and what it asks for: its settings, events, effects and picture. No decision is made here.

use std::sync::Arc;
use std::time::Duration;

use crate::model::clock::Timestamp;
use crate::model::ids::{MessageId, RunId};
use crate::model::message::{Claimed, Full, Intent, Refusal, RetryPolicy, Settlement};
use crate::model::outcome::Outcome;
use crate::model::phone::Phone;

use super::super::pace::LaneLimits;

/// What a lane is told about itself.
#[derive(Clone, Debug)]
pub struct LaneConfig {
    /// The tag of the store, first part of every reference.
    pub tag: String,
    /// Submissions that may be under way at once.
    pub in_flight: usize,
    /// Recipients that fit into one request.
    pub per_request: usize,
    /// Its limits.
    pub limits: LaneLimits,
    /// Its retries.
    pub retry: RetryPolicy,
}

/// What happens to a lane.
#[derive(Clone, Debug)]
pub enum Event {
    /// Time has passed.
    Tick,
    /// There may be new work.
    Wake,
    /// The store answered a claim.
    Claimed(Vec<Claimed>),
    /// The store could not answer a claim.
    ClaimFailed,
    /// Intents were recorded, or refused; what is granted may go to the wire from now on.
    Intended {
        /// May go.
        granted: Vec<MessageId>,
        /// Must not go, and is no longer ours.
        refused: Vec<(MessageId, Refusal)>,
    },
    /// The store could not record intents; none of them may go, all are still claimed.
    IntendFailed(Vec<MessageId>),
    /// The wire answered.
    Answered(Vec<(MessageId, Answer)>),
    /// These numbers were suppressed a moment ago, each for every sender or for the one that is named.
    Suppressed(Vec<(Phone, String)>),
    /// The store can be written again, or cannot.
    StoreHealth(bool),
    /// Finish what is under way and take nothing new.
    Drain,
    /// The store may be another process's by now: as [`Event::Drain`], and nothing more goes to the wire.
    HoldLost,
}

/// What came of handing a message to the wire.
#[derive(Clone, Debug)]
pub enum Answer {
    /// This.
    Outcome(Outcome),
    /// Its request was refused as a whole, so that nobody knows which message is at fault: none of them was sent.
    Together(Outcome),
    /// Not one byte left, because it was too late.
    TooLate,
}

/// What a lane wants done.
#[derive(Clone, Debug)]
pub enum Effect {
    /// Take up to this many due messages, none of them fresh whose sender or country is full.
    Claim(usize, Full),
    /// Record these intents durably.
    Intend(Vec<Intent>),
    /// Hand one request to the wire, before the deadline on the lane's clock.
    Submit {
        /// The messages in the request, with the number of their attempt.
        messages: Vec<(Arc<Claimed>, i64)>,
        /// Instant of [`Moment::elapsed`] after which it must not be written any more.
        deadline: Duration,
    },
    /// Write these outcomes.
    Settle(Vec<Settlement>),
    /// Give these claimed messages back: (message, epoch).
    Release(Vec<(MessageId, i64)>),
    /// Give these claimed messages back until their sender or country has room again: (message, epoch, due).
    Postpone(Vec<(MessageId, i64, Timestamp)>),
    /// The text of this run is refused again and again.
    PauseRun(RunId),
    /// Come back at this instant of [`Moment::elapsed`], or earlier.
    WakeAt(Duration),
    /// Nothing is under way any more and nothing will be.
    Drained,
}

/// What a lane looks like from outside.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Picture {
    /// Claimed and waiting for permits.
    pub ready: usize,
    /// Between intent and stored outcome.
    pub under_way: usize,
    /// On the wire.
    pub on_wire: usize,
    /// Share of its limit at which it runs.
    pub rate_share: f64,
    /// Whether its breaker is open.
    pub broken: bool,
    /// Whether the store can be written.
    pub healthy: bool,
    /// Until when it is held back, by a provider that asked to wait or one that is unwell, as [`Moment::elapsed`].
    pub held_until: Duration,
}

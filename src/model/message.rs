//! A message on its way: what a lane holds between claim and outcome, and the small decisions recorded about it.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::clock::Timestamp;
use super::encoding::Encoding;
use super::ids::{ContactId, MessageId, RunId};
use super::money::Micros;
use super::outcome::Outcome;
use super::phone::Phone;
use super::state::{Cause, Dispatch};

/// A message taken from the store by a lane. Its text was frozen when the run was launched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claimed {
    /// The message.
    pub id: MessageId,
    /// The run it belongs to.
    pub run: RunId,
    /// Who receives it.
    pub contact: ContactId,
    /// Where it goes.
    pub phone: Phone,
    /// The fence: a change that names an older epoch is stale.
    pub epoch: i64,
    /// Submissions made so far, throttled ones not counted.
    pub attempts: i64,
    /// Number of the last attempt row, 0 if none; attempts are numbered from 1 and include throttled ones.
    pub last_number: i64,
    /// Parts it will be billed as.
    pub parts: u16,
    /// Its encoding.
    pub encoding: Encoding,
    /// The sender it goes out under.
    pub sender: String,
    /// The country whose limit it counts against.
    pub country: String,
    /// The text.
    pub body: String,
    /// What it will cost.
    pub price: Micros,
    /// After this instant it is useless.
    pub expires_at: Timestamp,
}

/// A wish to submit: becomes an attempt row if every guard still holds when it is committed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Intent {
    /// The message.
    pub message: MessageId,
    /// The epoch under which it was claimed.
    pub epoch: i64,
    /// Number of the attempt, from 1.
    pub number: i64,
    /// What the provider is told to call it.
    pub reference: String,
}

/// Senders and countries of a route that have no room soon: nothing more of theirs need be made ready.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Full {
    /// Senders.
    pub senders: Vec<String>,
    /// Countries.
    pub countries: Vec<String>,
}

/// Why an intent was not granted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Refusal {
    /// Someone else holds the message by now.
    Stale,
    /// The number is suppressed.
    Suppressed,
    /// The run was paused or cancelled.
    RunStopped,
    /// The lawful window closed.
    WindowClosed,
    /// Its last useful moment passed.
    Expired,
    /// The budget of the run would be exceeded.
    OverBudget,
}

/// What happens to a coupon code when its message settles.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CouponEffect {
    /// It stays with the message.
    Keep,
    /// Proof that nothing left of a message that waits again: the code waits with it.
    Reserve,
    /// The person has it.
    Send,
    /// Proof that nothing left: it may go to somebody else.
    Release,
    /// Nobody knows whether the person has it.
    Quarantine,
}

/// A decided outcome, ready to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settlement {
    /// The message.
    pub message: MessageId,
    /// The attempt that ended.
    pub number: i64,
    /// The epoch of that attempt.
    pub epoch: i64,
    /// What the wire said.
    pub outcome: Outcome,
    /// The state it leads to from `submitting`.
    pub to: Dispatch,
    /// When it may be tried again, if `to` is queued.
    pub not_before: Timestamp,
    /// Whether it counts as a spent attempt.
    pub counts: bool,
    /// What happens to its coupon.
    pub coupon: CouponEffect,
    /// Whether the money reserved at intent is given back.
    pub refund: bool,
}

/// What a campaign wants done with a message whose fate nobody knows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WhenInDoubt {
    /// Wait for evidence, then close as `unknown`. Never a second text.
    #[default]
    Park,
    /// Send again after a while, flagged as a possible duplicate.
    Resend,
    /// Leave it to a person.
    Ask,
}

impl WhenInDoubt {
    /// The word used in campaign files.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Park => "park",
            Self::Resend => "resend",
            Self::Ask => "ask",
        }
    }

    /// Reads the word.
    pub fn from_word(word: &str) -> Option<Self> {
        [Self::Park, Self::Resend, Self::Ask].into_iter().find(|policy| policy.as_str() == word)
    }
}

/// What a person says about a message in doubt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// The provider took it.
    Accepted,
    /// It never left: its code and its money return.
    NotSent,
    /// Nobody knows, and it is to be sent again, with the same code and marked as a possible duplicate.
    Resend,
}

impl Verdict {
    /// Every verdict.
    pub const ALL: [Verdict; 3] = [Self::Accepted, Self::NotSent, Self::Resend];

    /// The word as written, stored and shown.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::NotSent => "not-sent",
            Self::Resend => "resend",
        }
    }

    /// Reads the word.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|verdict| verdict.as_str() == word)
    }

    /// The change it asks for.
    pub fn cause(self) -> Cause {
        match self {
            Self::Accepted => Cause::DecideAccepted,
            Self::NotSent => Cause::DecideNotSent,
            Self::Resend => Cause::DecideResend,
        }
    }
}

/// How retries of proven non-submissions are spaced.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RetryPolicy {
    /// Submissions in all, throttled ones not counted.
    pub attempts: u32,
    /// Delay before the second submission.
    pub first_delay_ms: u64,
    /// Factor from one delay to the next.
    pub multiplier: f64,
    /// Longest delay.
    pub max_delay_ms: u64,
    /// Share by which a delay is varied at random, both ways.
    pub jitter: f64,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self { attempts: 6, first_delay_ms: 15_000, multiplier: 2.0, max_delay_ms: 3_600_000, jitter: 0.3 }
    }
}

impl RetryPolicy {
    /// Longest delay as a duration.
    pub fn max_delay(&self) -> Duration {
        Duration::from_millis(self.max_delay_ms)
    }
}

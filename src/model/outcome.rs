//! What became of one submission: a small closed set of classes, and what each of them proves.
//!
//! Provider definitions may refine which class an answer has; they can never add a class.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// The class of a provider's answer, or of its absence.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum OutcomeClass {
    /// The provider took the message.
    Accepted,
    /// Slow down; the message was not taken. Costs no attempt.
    Throttled,
    /// Certainly not sent: name not resolved, connection refused, or an answer the provider documents so.
    Unavailable,
    /// May have been sent: the connection broke or timed out after a byte had left.
    Unknown,
    /// This number will never work.
    BadRecipient,
    /// This text will not pass.
    BadContent,
    /// The person refused messages; the number is suppressed.
    OptedOut,
    /// Credentials, balance or sender: the whole route is broken, no message is at fault.
    Account,
    /// The answer makes no sense; treated as [`OutcomeClass::Unknown`].
    Garbled,
}

impl OutcomeClass {
    /// Every class, in the order in which documentation lists them.
    pub const ALL: [OutcomeClass; 9] = [
        Self::Accepted,
        Self::Throttled,
        Self::Unavailable,
        Self::Unknown,
        Self::BadRecipient,
        Self::BadContent,
        Self::OptedOut,
        Self::Account,
        Self::Garbled,
    ];

    /// What this class proves about the message.
    pub fn proof(self) -> Proof {
        match self {
            Self::Accepted => Proof::Accepted,
            Self::Throttled | Self::Unavailable => Proof::NotSent,
            Self::Account => Proof::RouteBroken,
            Self::BadRecipient | Self::BadContent | Self::OptedOut => Proof::Refused,
            Self::Unknown | Self::Garbled => Proof::Ambiguous,
        }
    }

    /// Whether a submission that ended so is paid for: all but those of which it is certain that nothing was taken.
    pub fn costs(self) -> bool {
        matches!(self.proof(), Proof::Accepted | Proof::Ambiguous)
    }

    /// Reads the class as it is written.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|class| class.as_str() == word)
    }

    /// The class as it is written in definitions, tables and logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Throttled => "throttled",
            Self::Unavailable => "unavailable",
            Self::Unknown => "unknown",
            Self::BadRecipient => "bad_recipient",
            Self::BadContent => "bad_content",
            Self::OptedOut => "opted_out",
            Self::Account => "account",
            Self::Garbled => "garbled",
        }
    }
}

/// What is certain after a submission; decides every next step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Proof {
    /// The provider has it.
    Accepted,
    /// Nothing was taken; the same message may go out again.
    NotSent,
    /// Refused for good; terminal.
    Refused,
    /// Nothing was taken and nothing will be until the route is mended.
    RouteBroken,
    /// Nobody knows; never resent blindly.
    Ambiguous,
}

/// One submission's result for one message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    /// The class.
    pub class: OutcomeClass,
    /// The provider's own id of the message, normalised as its definition says.
    pub provider_id: Option<String>,
    /// The provider's code or status, as given (`21610`, `http 502`).
    pub code: Option<String>,
    /// A short reason for people; never holds a phone number or a secret.
    pub detail: Option<String>,
    /// How long the provider asked us to wait, already clamped.
    pub retry_after: Option<Duration>,
}

impl Outcome {
    /// An outcome that has a class and nothing else.
    pub fn of(class: OutcomeClass) -> Self {
        Self { class, provider_id: None, code: None, detail: None, retry_after: None }
    }

    /// The same outcome with a reason for people.
    #[must_use]
    pub fn because(mut self, detail: impl Into<String>) -> Self {
        self.detail = Some(detail.into());
        self
    }
}

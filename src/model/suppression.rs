//! A number that must not be texted, and what may lift that.

use serde::{Deserialize, Serialize};

/// Why a number is suppressed. Only a STOP can be lifted by a START from the same number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// The person wrote STOP or a refusal.
    Stop,
    /// The person wrote a refusal inside a longer text; sending pauses until somebody has read it.
    Review,
    /// The provider says that the person opted out there.
    Provider,
    /// The operator's own list.
    Operator,
    /// A complaint; never lifted by a keyword.
    Complaint,
}

impl Reason {
    /// Every reason.
    pub const ALL: [Reason; 5] = [Self::Stop, Self::Review, Self::Provider, Self::Operator, Self::Complaint];

    /// The word as stored and shown.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Stop => "stop",
            Self::Review => "review",
            Self::Provider => "provider",
            Self::Operator => "operator",
            Self::Complaint => "complaint",
        }
    }

    /// Reads the word.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.as_str() == word)
    }

    /// Whether a START from the number itself lifts it.
    pub fn lifted_by_start(self) -> bool {
        matches!(self, Self::Stop | Self::Review | Self::Provider)
    }
}

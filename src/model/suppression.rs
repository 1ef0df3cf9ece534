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

    /// Whether an operator may lift it for this reason. What the person, or a provider on their word, has said is lifted
    /// only by their own START or by consent that they gave anew; the operator's own list and a text that had to be read
    /// are the operator's to judge.
    pub fn lifted_for(self, reason: &str) -> bool {
        match self {
            Self::Operator | Self::Review => !reason.trim().is_empty(),
            Self::Stop | Self::Provider | Self::Complaint => names_renewed_consent(reason),
        }
    }
}

/// How a reason begins that names consent given anew; what follows says where and when.
pub const RENEWED_CONSENT: &str = "renewed consent:";

fn names_renewed_consent(reason: &str) -> bool {
    let reason = reason.trim();
    let begins =
        reason.get(..RENEWED_CONSENT.len()).is_some_and(|so| so.eq_ignore_ascii_case(RENEWED_CONSENT));
    begins && reason[RENEWED_CONSENT.len()..].trim().chars().filter(|c| c.is_alphanumeric()).count() >= 4
}

#[cfg(test)]
mod tests {
    use super::Reason;

    #[test]
    fn what_a_person_refused_is_lifted_only_by_consent_given_anew() {
        let check = |reason: Reason, told: &str, lifted| {
            assert_eq!(reason.lifted_for(told), lifted, "{reason:?}: {told}");
        };
        for reason in [Reason::Stop, Reason::Provider, Reason::Complaint] {
            check(reason, "mistake", false);
            check(reason, "renewed consent", false);
            check(reason, "renewed consent: ", false);
            check(reason, "Renewed consent: paper form of 12 May", true);
        }
        for reason in [Reason::Operator, Reason::Review] {
            check(reason, "", false);
            check(reason, "listed by mistake", true);
        }
    }
}

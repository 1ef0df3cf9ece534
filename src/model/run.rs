//! One launch of a campaign: its frozen terms and where it stands.

use serde::{Deserialize, Serialize};

use super::clock::Timestamp;
use super::ids::RunId;
use super::message::WhenInDoubt;
use super::money::Micros;

/// Where a run stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunState {
    /// Its messages are being written; nothing is sent yet.
    Preparing,
    /// Messages go out as windows and limits allow.
    Running,
    /// Nothing new goes out until it is resumed.
    Paused,
    /// Waiting messages are being withdrawn.
    Cancelling,
    /// Withdrawn; what had left stays as it is.
    Cancelled,
    /// Nothing is left to send.
    Finished,
}

impl RunState {
    /// Every state.
    pub const ALL: [RunState; 6] =
        [Self::Preparing, Self::Running, Self::Paused, Self::Cancelling, Self::Cancelled, Self::Finished];

    /// The word as stored and shown.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Preparing => "preparing",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Cancelling => "cancelling",
            Self::Cancelled => "cancelled",
            Self::Finished => "finished",
        }
    }

    /// Reads the word.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == word)
    }

    /// Whether an operator's wish may lead from this state to `to`.
    pub fn may_become(self, to: RunState) -> bool {
        matches!(
            (self, to),
            (Self::Preparing, Self::Running)
                | (Self::Running, Self::Paused | Self::Finished)
                | (Self::Paused, Self::Running | Self::Finished)
                | (Self::Preparing | Self::Running | Self::Paused, Self::Cancelling)
                | (Self::Cancelling, Self::Cancelled)
        )
    }

    /// Where a run is after a person had a message in doubt of it sent again: one with nothing left to send has
    /// something again. `None` where nothing may be sent any more, or nothing was.
    pub fn after_resend(self) -> Option<RunState> {
        match self {
            Self::Running | Self::Finished => Some(Self::Running),
            Self::Paused => Some(Self::Paused),
            Self::Preparing | Self::Cancelling | Self::Cancelled => None,
        }
    }
}

/// The terms under which a run was launched; they never change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunTerms {
    /// Name of the campaign, from its file.
    pub campaign: String,
    /// What makes this launch the same launch when it is repeated: campaign and scheduled time.
    pub launch_key: String,
    /// Hash of the plan that was approved.
    pub plan_hash: String,
    /// The campaign file as it was, for everything that needs more than these terms.
    pub definition: String,
    /// The instant the segment was evaluated at.
    pub as_of: Timestamp,
    /// Currency of prices and budget.
    pub currency: String,
    /// Most it may spend.
    pub budget: Option<Micros>,
    /// What to do with messages whose fate nobody knows.
    pub when_in_doubt: WhenInDoubt,
    /// Messages that were approved; less those withheld for the cap since, it has as many.
    pub audience: i64,
    /// Contacts whom the plan left out because they had enough texts.
    pub capped: i64,
    /// Hash over everybody who would be texted were there no cap.
    pub audience_hash: String,
    /// Nothing goes out before this.
    pub starts_at: Timestamp,
    /// Nothing goes out after this.
    pub expires_at: Timestamp,
}

/// A run as stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    /// Its id.
    pub id: RunId,
    /// Its terms.
    pub terms: RunTerms,
    /// Where it stands.
    pub state: RunState,
    /// Money reserved by submissions so far.
    pub spent: Micros,
    /// Messages written so far.
    pub prepared: i64,
    /// Contacts left out while they were written, because they had enough texts; those of the plan are among them.
    pub withheld: i64,
    /// The last contact whose message was written.
    pub cursor: i64,
    /// When it was launched.
    pub created_at: Timestamp,
    /// When nothing was left to send.
    pub finished_at: Option<Timestamp>,
}

impl Run {
    /// Messages it has, or will have once all are written.
    pub fn messages(&self) -> i64 {
        if self.state == RunState::Preparing { self.terms.audience } else { self.prepared }
    }

    /// Whether what was written is what was approved: nobody more, and nobody less but for the cap.
    pub fn is_as_approved(&self) -> bool {
        let RunTerms { audience, capped, .. } = self.terms;
        self.prepared <= audience && self.prepared + self.withheld == audience + capped
    }
}

#[cfg(test)]
mod tests {
    use super::RunState;

    #[test]
    fn what_was_cancelled_is_never_sent_again_and_what_is_paused_stays_so() {
        let check = |from: RunState, to| assert_eq!(from.after_resend(), to, "{from:?}");
        check(RunState::Finished, Some(RunState::Running));
        check(RunState::Paused, Some(RunState::Paused));
        check(RunState::Cancelled, None);
        check(RunState::Cancelling, None);
    }

    #[test]
    fn what_has_ended_stays_ended() {
        for to in RunState::ALL {
            assert!(!RunState::Finished.may_become(to), "{to:?}");
            assert!(!RunState::Cancelled.may_become(to), "{to:?}");
            assert!(to == RunState::Cancelled || !RunState::Cancelling.may_become(to), "{to:?}");
        }
    }
}

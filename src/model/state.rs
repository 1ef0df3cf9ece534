//! The dispatch axis of a message: thirteen states and the one table that says which change is allowed.
//!
//! Nothing outside this module decides whether a state may change. SQL stores what [`next`] answered and names the
//! state it expects; `docs/states.md` is printed from [`TRANSITIONS`].

use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

/// Where a message stands on our side of the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Dispatch {
    /// Written by the planner; its window has not been opened for it yet.
    Planned,
    /// Due from `not_before` on.
    Queued,
    /// Held by one dispatcher; nothing was sent, so it may always be given back.
    Claimed,
    /// A durable intent exists; from now on a byte may have left.
    Submitting,
    /// The provider has it.
    Accepted,
    /// Refused for good by the provider.
    Rejected,
    /// Every attempt was spent without acceptance; nothing was sent.
    Failed,
    /// May have been sent; never resent blindly.
    Ambiguous,
    /// Closed in doubt by policy; counted as spent, refined if evidence arrives.
    Unknown,
    /// Withdrawn because the person must not be texted.
    Suppressed,
    /// Withdrawn by the operator.
    Cancelled,
    /// Its last useful moment passed before it could go out.
    Expired,
    /// Stopped by a rule: budget, country, content.
    Blocked,
}

impl Dispatch {
    /// Every state, in the order of the documentation.
    pub const ALL: [Dispatch; 13] = [
        Self::Planned,
        Self::Queued,
        Self::Claimed,
        Self::Submitting,
        Self::Accepted,
        Self::Rejected,
        Self::Failed,
        Self::Ambiguous,
        Self::Unknown,
        Self::Suppressed,
        Self::Cancelled,
        Self::Expired,
        Self::Blocked,
    ];

    /// The word as stored and shown.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Planned => "planned",
            Self::Queued => "queued",
            Self::Claimed => "claimed",
            Self::Submitting => "submitting",
            Self::Accepted => "accepted",
            Self::Rejected => "rejected",
            Self::Failed => "failed",
            Self::Ambiguous => "ambiguous",
            Self::Unknown => "unknown",
            Self::Suppressed => "suppressed",
            Self::Cancelled => "cancelled",
            Self::Expired => "expired",
            Self::Blocked => "blocked",
        }
    }

    /// Reads the stored word.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == word)
    }

    /// True when our side has nothing left to do; evidence may still refine it.
    pub fn is_terminal(self) -> bool {
        !matches!(self, Self::Planned | Self::Queued | Self::Claimed | Self::Submitting | Self::Ambiguous)
    }

    /// What the state means, in one line for documentation.
    fn meaning(self) -> &'static str {
        match self {
            Self::Planned => "written by the planner, waiting for its window",
            Self::Queued => "due from `not_before` on",
            Self::Claimed => "held by one dispatcher; nothing sent, safe to give back",
            Self::Submitting => "intent is durable; a byte may have left",
            Self::Accepted => "the provider has it",
            Self::Rejected => "refused for good by the provider",
            Self::Failed => "attempts spent, never accepted, nothing sent",
            Self::Ambiguous => "may have been sent; never resent blindly",
            Self::Unknown => "closed in doubt by policy; counted as spent",
            Self::Suppressed => "withdrawn: the person must not be texted",
            Self::Cancelled => "withdrawn by the operator",
            Self::Expired => "its last useful moment passed",
            Self::Blocked => "stopped by a rule: budget, country, content",
        }
    }
}

/// Why a state changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Cause {
    /// Its window is open and its time has come.
    Due,
    /// A dispatcher took it.
    Claim,
    /// The dispatcher gave it back, or its lease ran out.
    Release,
    /// The person opted out.
    Stop,
    /// The operator cancelled the run.
    Cancel,
    /// Its last useful moment passed.
    Expire,
    /// A rule forbids it.
    Block,
    /// The intent was committed.
    Intend,
    /// Proven not sent; attempts are left.
    NotSent,
    /// The provider accepted it.
    Accept,
    /// The provider refused it for good.
    Refuse,
    /// Proven not sent, and no attempt is left.
    Exhaust,
    /// Sight of it was lost: timeout, reset, crash.
    LoseSight,
    /// Later evidence shows that it was accepted.
    Evidence,
    /// Resend: proof of non-acceptance, or a recorded decision.
    Resend,
    /// The resolve window ended and the policy is to park.
    Park,
    /// A person says that the provider took it.
    DecideAccepted,
    /// A person says that it never left.
    DecideNotSent,
    /// A person wants it sent again.
    DecideResend,
    /// It was to be sent again and will not be, while a copy sent before may have arrived.
    CallOff,
    /// The store came back from a backup, and it may have been sent since.
    Restore,
}

/// One row of the transition table.
#[derive(Clone, Copy, Debug)]
pub struct Transition {
    /// The number under which documentation speaks of it.
    pub id: &'static str,
    /// States it may start from.
    pub from: &'static [Dispatch],
    /// What brings it about.
    pub cause: Cause,
    /// Where it leads.
    pub to: Dispatch,
    /// Who writes it.
    pub by: &'static str,
    /// What the same statement or transaction checks.
    pub guard: &'static str,
    /// When it must be on disk.
    pub durable: &'static str,
}

const WITHDRAWABLE: &[Dispatch] = &[Dispatch::Planned, Dispatch::Queued, Dispatch::Claimed];
const DOUBTFUL: &[Dispatch] = &[Dispatch::Ambiguous, Dispatch::Unknown];
const RESTORED: &[Dispatch] = &[Dispatch::Planned, Dispatch::Queued, Dispatch::Claimed, Dispatch::Ambiguous];
const BY_PERSON: &str = "operator, `winback message resolve`";
const BEFORE_TOLD: &str = "before the operator is told";
const BATCHED: &str = "batched";
const BEFORE_STOP_ANSWERED: &str = "before the STOP is answered";

/// Every allowed change. A change that is not here is an assertion, not a log line.
pub const TRANSITIONS: &[Transition] = &[
    Transition {
        id: "T2",
        from: &[Dispatch::Planned],
        cause: Cause::Due,
        to: Dispatch::Queued,
        by: "lane feed",
        guard: "run running, window open",
        durable: "lazily",
    },
    Transition {
        id: "T3",
        from: &[Dispatch::Queued],
        cause: Cause::Claim,
        to: Dispatch::Claimed,
        by: "lane",
        guard: "due; epoch + 1, owner, lease",
        durable: "not needed",
    },
    Transition {
        id: "T4",
        from: &[Dispatch::Claimed],
        cause: Cause::Release,
        to: Dispatch::Queued,
        by: "lane on stop, sweep on expired lease",
        guard: "epoch matches",
        durable: "not needed: nothing was sent",
    },
    Transition {
        id: "T5",
        from: WITHDRAWABLE,
        cause: Cause::Stop,
        to: Dispatch::Suppressed,
        by: "STOP, intent",
        guard: "still one of these states",
        durable: BEFORE_STOP_ANSWERED,
    },
    Transition {
        id: "T5",
        from: WITHDRAWABLE,
        cause: Cause::Cancel,
        to: Dispatch::Cancelled,
        by: "operator",
        guard: "still one of these states",
        durable: BATCHED,
    },
    Transition {
        id: "T5",
        from: WITHDRAWABLE,
        cause: Cause::Expire,
        to: Dispatch::Expired,
        by: "sweep, intent",
        guard: "still one of these states",
        durable: BATCHED,
    },
    Transition {
        id: "T5",
        from: WITHDRAWABLE,
        cause: Cause::Block,
        to: Dispatch::Blocked,
        by: "intent",
        guard: "still one of these states",
        durable: BATCHED,
    },
    Transition {
        id: "T6",
        from: &[Dispatch::Claimed],
        cause: Cause::Intend,
        to: Dispatch::Submitting,
        by: "lane",
        guard: "epoch, no suppression, window open, run running, budget left; attempt row inserted",
        durable: "fsynced before the first byte",
    },
    Transition {
        id: "T7",
        from: &[Dispatch::Submitting, Dispatch::Ambiguous],
        cause: Cause::NotSent,
        to: Dispatch::Queued,
        by: "settle, inquiry",
        guard: "proven not sent; from doubt: every attempt, and run running or paused",
        durable: BATCHED,
    },
    Transition {
        id: "T8",
        from: &[Dispatch::Submitting],
        cause: Cause::Accept,
        to: Dispatch::Accepted,
        by: "settle",
        guard: "provider id stored; parked receipts applied",
        durable: BATCHED,
    },
    Transition {
        id: "T9",
        from: &[Dispatch::Submitting, Dispatch::Ambiguous],
        cause: Cause::Refuse,
        to: Dispatch::Rejected,
        by: "settle",
        guard: "definitive refusal; from doubt: no other attempt open",
        durable: BATCHED,
    },
    Transition {
        id: "T9",
        from: &[Dispatch::Submitting, Dispatch::Ambiguous],
        cause: Cause::Exhaust,
        to: Dispatch::Failed,
        by: "settle, inquiry",
        guard: "proven not sent, attempts spent or run over; from doubt: no other attempt open",
        durable: BATCHED,
    },
    Transition {
        id: "T10",
        from: &[Dispatch::Submitting],
        cause: Cause::LoseSight,
        to: Dispatch::Ambiguous,
        by: "settle on timeout, boot sweep",
        guard: "attempt still open",
        durable: "before any decision is taken",
    },
    Transition {
        id: "T11",
        from: &[Dispatch::Ambiguous, Dispatch::Unknown],
        cause: Cause::Evidence,
        to: Dispatch::Accepted,
        by: "receipt, inquiry, resolve",
        guard: "evidence row referenced",
        durable: BATCHED,
    },
    Transition {
        id: "T12",
        from: &[Dispatch::Ambiguous],
        cause: Cause::Resend,
        to: Dispatch::Queued,
        by: "resolve",
        guard: "policy, with `possible_duplicate`; proof that nothing was taken is T7",
        durable: "before it is queued",
    },
    Transition {
        id: "T13",
        from: &[Dispatch::Ambiguous],
        cause: Cause::Park,
        to: Dispatch::Unknown,
        by: "resolve",
        guard: "resolve window over, policy `park`",
        durable: BATCHED,
    },
    Transition {
        id: "T14",
        from: &[
            Dispatch::Queued,
            Dispatch::Claimed,
            Dispatch::Rejected,
            Dispatch::Failed,
            Dispatch::Suppressed,
            Dispatch::Cancelled,
            Dispatch::Expired,
            Dispatch::Blocked,
        ],
        cause: Cause::Evidence,
        to: Dispatch::Accepted,
        by: "late outcome, receipt",
        guard: "an earlier attempt exists; facts are appended, never refused",
        durable: BATCHED,
    },
    Transition {
        id: "T15",
        from: DOUBTFUL,
        cause: Cause::DecideAccepted,
        to: Dispatch::Accepted,
        by: BY_PERSON,
        guard: "state and epoch as decided about; decision recorded",
        durable: BEFORE_TOLD,
    },
    Transition {
        id: "T15",
        from: DOUBTFUL,
        cause: Cause::DecideNotSent,
        to: Dispatch::Failed,
        by: BY_PERSON,
        guard: "the same, and no receipt says otherwise; the attempt's money returns, and the code unless an earlier copy may have carried it",
        durable: BEFORE_TOLD,
    },
    Transition {
        id: "T15",
        from: DOUBTFUL,
        cause: Cause::DecideResend,
        to: Dispatch::Queued,
        by: BY_PERSON,
        guard: "the same, and run neither cancelled nor past its end, number not suppressed, budget left; `possible_duplicate`, same code",
        durable: "before it is queued",
    },
    Transition {
        id: "T16",
        from: RESTORED,
        cause: Cause::Restore,
        to: Dispatch::Unknown,
        by: "`winback store restore`",
        guard: "due since the backup in an unfinished run: attempt row inserted under its old reference; or in doubt before",
        durable: "before the store is in place",
    },
    Transition {
        id: "T17",
        from: &[Dispatch::Queued, Dispatch::Claimed, Dispatch::Submitting],
        cause: Cause::CallOff,
        to: Dispatch::Unknown,
        by: "whoever writes T5 or T9",
        guard: "an earlier attempt may have been taken and is not decided as not sent; instead of what T5 and T9 lead to",
        durable: BATCHED,
    },
];

/// A change that the table does not know.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a message that is {} cannot change by {cause:?}", from.as_str())]
pub struct Impossible {
    /// The state it was in.
    pub from: Dispatch,
    /// What should have changed it.
    pub cause: Cause,
}

/// The state after `cause`, or the proof that this must never happen.
///
/// # Errors
/// [`Impossible`] when the table holds no such row.
pub fn next(from: Dispatch, cause: Cause) -> Result<Dispatch, Impossible> {
    TRANSITIONS
        .iter()
        .find(|row| row.cause == cause && row.from.contains(&from))
        .map(|row| row.to)
        .ok_or(Impossible { from, cause })
}

/// The page `docs/states.md`, printed from the tables above.
pub fn states_page() -> String {
    let mut page = String::from(
        "# Message states\n\nPrinted from `src/model/state.rs` and `src/model/delivery.rs`; a test compares this page with the code.\n\n\
         A message stands on two independent axes: *dispatch* is ours, *delivery* is what providers report.\n\n\
         ## Dispatch\n\n| state | meaning | terminal |\n|---|---|---|\n",
    );
    for state in Dispatch::ALL {
        let terminal = if state.is_terminal() { "yes" } else { "" };
        let _ = writeln!(page, "| {} | {} | {terminal} |", state.as_str(), state.meaning());
    }
    page.push_str(
        "\nT1 is the birth of a message: the planner inserts it as `planned`, once per run and contact, its text and coupon frozen.\n\n\
         | # | from | cause | to | written by | guard | durable |\n|---|---|---|---|---|---|---|\n",
    );
    for row in TRANSITIONS {
        let from: Vec<&str> = row.from.iter().map(|state| state.as_str()).collect();
        let _ = writeln!(
            page,
            "| {} | {} | {:?} | {} | {} | {} | {} |",
            row.id,
            from.join(", "),
            row.cause,
            row.to.as_str(),
            row.by,
            row.guard,
            row.durable
        );
    }
    page.push_str(
        "\n## Delivery\n\nThe rank only rises; an equal rank keeps the first report; a contradictory final report is kept and flagged.\n\n\
         | rank | state |\n|---|---|\n",
    );
    for state in super::delivery::Delivery::ALL {
        let _ = writeln!(page, "| {} | {} |", state.rank(), state.as_str());
    }
    page
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_that_may_have_left_is_never_queued_without_proof_or_decision() {
        let check = |from, cause, to: Option<Dispatch>| {
            assert_eq!(next(from, cause).ok(), to, "{from:?} by {cause:?}");
        };
        check(Dispatch::Submitting, Cause::Release, None);
        check(Dispatch::Submitting, Cause::Stop, None);
        check(Dispatch::Submitting, Cause::Resend, None);
        check(Dispatch::Unknown, Cause::Resend, None);
        check(Dispatch::Unknown, Cause::NotSent, None);
        check(Dispatch::Ambiguous, Cause::NotSent, Some(Dispatch::Queued));
        check(Dispatch::Accepted, Cause::NotSent, None);
        check(Dispatch::Queued, Cause::Intend, None);
        check(Dispatch::Planned, Cause::Evidence, None);
        check(Dispatch::Ambiguous, Cause::Resend, Some(Dispatch::Queued));
        check(Dispatch::Claimed, Cause::Intend, Some(Dispatch::Submitting));
        check(Dispatch::Unknown, Cause::Evidence, Some(Dispatch::Accepted));
        check(Dispatch::Unknown, Cause::DecideResend, Some(Dispatch::Queued));
        check(Dispatch::Planned, Cause::CallOff, None);
        for state in [Dispatch::Queued, Dispatch::Claimed, Dispatch::Submitting] {
            check(state, Cause::CallOff, Some(Dispatch::Unknown));
        }
        for cause in [Cause::DecideResend, Cause::DecideNotSent, Cause::DecideAccepted] {
            check(Dispatch::Accepted, cause, None);
            check(Dispatch::Submitting, cause, None);
            check(Dispatch::Failed, cause, None);
        }
    }

    #[test]
    fn one_cause_leads_to_one_state() {
        for state in Dispatch::ALL {
            for row in TRANSITIONS {
                let rows = TRANSITIONS.iter().filter(|r| r.cause == row.cause && r.from.contains(&state));
                assert!(rows.count() <= 1, "{state:?} by {:?}", row.cause);
            }
        }
    }

    #[test]
    fn every_state_but_the_first_can_be_reached_and_every_open_state_can_be_left() {
        for state in Dispatch::ALL {
            let reached = TRANSITIONS.iter().any(|row| row.to == state);
            assert!(reached || state == Dispatch::Planned, "{state:?}");
            let left = TRANSITIONS.iter().any(|row| row.from.contains(&state));
            assert!(left || state.is_terminal(), "{state:?}");
        }
    }
}

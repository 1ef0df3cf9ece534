//! Every kind of trouble that worlds have, counted: a simulation in which a fault never fired has not shown anything.

/// A kind of trouble.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    NoId,
    WrongId,
    TimeOutAfterAccepting,
    GarbledAnswer,
    Reset,
    Refusal,
    Throttle,
    Unavailable,
    BrokenAccount,
    NoReceipt,
    RepeatedReceipt,
    ContradictoryReceipt,
    LateReceipt,
    UnknownReceipt,
    OptOutReceipt,
    EarlyReceipt,
    UnansweredCallback,
    Crash,
    CrashBeforeCommit,
    CrashAfterCommit,
    CrashBetweenEffects,
    PowerCut,
    StoreError,
    CommitUnknown,
    Stopped,
    ClockJump,
    Drain,
    StaleIntent,
    LateSettlement,
    WithheldLate,
    WithheldStop,
    StopText,
    RepeatedStop,
    StartText,
    OperatorList,
    Pause,
    Resume,
    Cancel,
    LaunchDied,
    LaunchMoved,
    LaunchTwice,
    OverBudget,
    NoCodeLeft,
    Capped,
    WindowClosed,
    RunExpired,
    Resent,
    Parked,
    AcceptedByReceipt,
    RefusedTogether,
    FullSender,
    StopFound,
    Withheld,
    DecidedAccepted,
    DecidedNotSent,
    DecidedWrongly,
    DecidedResend,
    NotDecided,
    Unsent,
    LookUnanswered,
    LookSlow,
    NotShown,
    ShownTwice,
    FoundByLook,
    FoundByList,
    FoundNothing,
    FoundSeveral,
    FoundAlike,
    ProvenNotTaken,
    ReopenedByProof,
    ReplayKnown,
    ReplayTaken,
    ReplayUnanswered,
    ReplayBarred,
    ReplayWithheld,
    ReplayNoPermits,
    ReplayOver,
    ClockWatched,
    RenderedAnew,
    AnswersLost,
    DecidedOnTheWire,
}

impl Fault {
    pub(crate) const ALL: [Fault; 81] = [
        Self::NoId,
        Self::WrongId,
        Self::TimeOutAfterAccepting,
        Self::GarbledAnswer,
        Self::Reset,
        Self::Refusal,
        Self::Throttle,
        Self::Unavailable,
        Self::BrokenAccount,
        Self::NoReceipt,
        Self::RepeatedReceipt,
        Self::ContradictoryReceipt,
        Self::LateReceipt,
        Self::UnknownReceipt,
        Self::OptOutReceipt,
        Self::EarlyReceipt,
        Self::UnansweredCallback,
        Self::Crash,
        Self::CrashBeforeCommit,
        Self::CrashAfterCommit,
        Self::CrashBetweenEffects,
        Self::PowerCut,
        Self::StoreError,
        Self::CommitUnknown,
        Self::Stopped,
        Self::ClockJump,
        Self::Drain,
        Self::StaleIntent,
        Self::LateSettlement,
        Self::WithheldLate,
        Self::WithheldStop,
        Self::StopText,
        Self::RepeatedStop,
        Self::StartText,
        Self::OperatorList,
        Self::Pause,
        Self::Resume,
        Self::Cancel,
        Self::LaunchDied,
        Self::LaunchMoved,
        Self::LaunchTwice,
        Self::OverBudget,
        Self::NoCodeLeft,
        Self::Capped,
        Self::WindowClosed,
        Self::RunExpired,
        Self::Resent,
        Self::Parked,
        Self::AcceptedByReceipt,
        Self::RefusedTogether,
        Self::FullSender,
        Self::StopFound,
        Self::Withheld,
        Self::DecidedAccepted,
        Self::DecidedNotSent,
        Self::DecidedWrongly,
        Self::DecidedResend,
        Self::NotDecided,
        Self::Unsent,
        Self::LookUnanswered,
        Self::LookSlow,
        Self::NotShown,
        Self::ShownTwice,
        Self::FoundByLook,
        Self::FoundByList,
        Self::FoundNothing,
        Self::FoundSeveral,
        Self::FoundAlike,
        Self::ProvenNotTaken,
        Self::ReopenedByProof,
        Self::ReplayKnown,
        Self::ReplayTaken,
        Self::ReplayUnanswered,
        Self::ReplayBarred,
        Self::ReplayWithheld,
        Self::ReplayNoPermits,
        Self::ReplayOver,
        Self::ClockWatched,
        Self::RenderedAnew,
        Self::AnswersLost,
        Self::DecidedOnTheWire,
    ];
}

/// How often each fault fired.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fired([u32; Fault::ALL.len()]);

impl Default for Fired {
    fn default() -> Self {
        Self([0; Fault::ALL.len()])
    }
}

impl Fired {
    pub(crate) fn note(&mut self, fault: Fault) {
        self.0[fault as usize] += 1;
    }

    pub(crate) fn add(&mut self, other: &Self) {
        for (own, more) in self.0.iter_mut().zip(other.0) {
            *own += more;
        }
    }

    /// Faults that never fired.
    pub(crate) fn never(&self) -> Vec<Fault> {
        Fault::ALL.into_iter().filter(|fault| self.0[*fault as usize] == 0).collect()
    }

    pub(crate) fn each(&self) -> impl Iterator<Item = (Fault, u32)> {
        Fault::ALL.into_iter().zip(self.0)
    }
}

//! The operations of the store as data: what a history is made of, and what is played again on the real store.

use winback::dispatch::resolve::Kept;
use winback::model::clock::Timestamp;
use winback::model::ids::{MessageId, RunId};
use winback::model::message::{Claimed, Full, Intent, Settlement, Verdict, WhenInDoubt};
use winback::model::phone::Phone;
use winback::model::receipt::{Inbound, Receipt};
use winback::model::run::RunState;
use winback::model::state::Cause;
use winback::model::suppression::Reason;
use winback::store::inbound::Reaction;
use winback::store::inquiries::{Note, Open, Standing};
use winback::store::intents::Granted;
use winback::store::sweep::{InDoubt, OpenMessages, Withdrawn};

/// A callback of a provider.
#[derive(Clone, Debug)]
pub(crate) struct Callback {
    pub(crate) id: i64,
    pub(crate) route: usize,
    pub(crate) received_at: Timestamp,
    pub(crate) receipts: Vec<Receipt>,
    pub(crate) inbound: Vec<(Inbound, Reaction)>,
}

/// What a launch asks for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NewRun {
    pub(crate) campaign: i64,
    pub(crate) budget: Option<i64>,
    pub(crate) doubt: WhenInDoubt,
    pub(crate) audience: i64,
    pub(crate) capped: i64,
    pub(crate) starts_at: i64,
    pub(crate) expires_at: i64,
}

/// A message to be written by a launch.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NewMessage {
    pub(crate) contact: i64,
    pub(crate) phone: u64,
    pub(crate) route: usize,
    pub(crate) sender: usize,
    pub(crate) window: usize,
    pub(crate) coupon: Option<i64>,
    pub(crate) parts: u16,
    pub(crate) price: i64,
    pub(crate) expires_at: i64,
}

/// One operation of the store.
#[derive(Clone, Debug)]
pub(crate) enum Call {
    CreateRun(NewRun),
    AddWindow {
        run: i64,
        key: usize,
        opens: i64,
        closes: i64,
    },
    WritePlanned {
        run: i64,
        from: i64,
        to: i64,
        messages: Vec<NewMessage>,
        withheld: i64,
    },
    /// What a cap counts: texts of contacts that were sent or are on their way.
    Texts(Vec<i64>),
    AbandonLaunch(i64),
    SetRunState {
        run: i64,
        from: RunState,
        to: RunState,
    },
    RollWindow {
        window: i64,
        opens: i64,
        closes: i64,
    },
    Claim {
        route: usize,
        owner: u64,
        lease_until: Timestamp,
        limit: usize,
        full: Full,
    },
    Intend {
        route: usize,
        owner: u64,
        intents: Vec<Intent>,
    },
    Settle {
        route: usize,
        settlements: Vec<Settlement>,
    },
    /// What providers said that were asked.
    SettleAsked {
        route: usize,
        settlements: Vec<Settlement>,
    },
    /// Intents that were answered with an error.
    Unsent {
        route: usize,
        settlements: Vec<Settlement>,
    },
    Release(Vec<(MessageId, i64)>),
    Postpone(Vec<(MessageId, i64, Timestamp)>),
    Receive(Vec<Callback>),
    Listen(Vec<Callback>),
    Suppress {
        phone: Phone,
        scope: usize,
        reason: Reason,
    },
    Lift(Phone),
    SweepDead {
        owner: u64,
        sole: bool,
    },
    Rejoin {
        since: Timestamp,
    },
    AcceptByReceipt,
    FinishRun(i64),
    /// An operator decides.
    Resolve {
        messages: Vec<MessageId>,
        verdict: Verdict,
    },
    Doubt {
        resend: Vec<MessageId>,
        park: Vec<MessageId>,
    },
    Withdraw {
        run: RunId,
        cause: Cause,
    },
    /// A replay is about to leave.
    IntendReplay(Box<Open>),
    /// What was asked and found.
    Note(Vec<Note>),
    Reopen(Vec<(i64, &'static str)>),
    SeenClock,
    DistrustUntil(Timestamp),
    /// Since when requests of a route are rendered so.
    AlikeSince {
        route: usize,
        print: i64,
    },
    /// Reads.
    OpenDoubts,
    MayReplay(Vec<Open>),
    Bound {
        route: usize,
        ids: Vec<String>,
        messages: Vec<MessageId>,
    },
    Alike(Vec<MessageId>),
    ClockSeen,
    InDoubt,
    OpenMessages(RunId),
}

/// What the store answers.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Answer {
    Claimed(Vec<Claimed>),
    Intended(Granted),
    Written,
    /// Whether it was still so.
    Done(bool),
    Swept(u64, u64),
    Count(usize),
    Withdrawn(Withdrawn),
    InDoubt(Vec<(InDoubt, Standing)>),
    Doubts(Vec<Open>),
    Messages(Vec<MessageId>),
    /// Ids of the provider with the attempts that have them.
    Bound(Vec<(String, (i64, i64))>),
    Time(Option<Timestamp>),
    Open(OpenMessages),
    Texts(Vec<(i64, i64)>),
    Resolved(Vec<MessageId>, Vec<(MessageId, Kept)>),
}

impl Call {
    /// The word in a history.
    pub(crate) fn word(&self) -> &'static str {
        match self {
            Self::CreateRun(_) => "create run",
            Self::AddWindow { .. } => "add window",
            Self::WritePlanned { .. } => "write planned",
            Self::AbandonLaunch(_) => "abandon launch",
            Self::SetRunState { .. } => "set run state",
            Self::RollWindow { .. } => "roll window",
            Self::Claim { .. } => "claim",
            Self::Intend { .. } => "intend",
            Self::Settle { .. } => "settle",
            Self::Texts(_) => "read texts",
            Self::Unsent { .. } => "settle unsent",
            Self::SettleAsked { .. } => "settle as asked",
            Self::Rejoin { .. } => "rejoin",
            Self::FinishRun(_) => "finish run",
            Self::Resolve { .. } => "resolve",
            Self::Release(_) => "release",
            Self::Postpone(_) => "postpone",
            Self::Receive(_) => "receive",
            Self::Listen(_) => "listen",
            Self::Suppress { .. } => "suppress",
            Self::Lift(_) => "lift",
            Self::SweepDead { .. } => "sweep dead",
            Self::AcceptByReceipt => "accept by receipt",
            Self::Doubt { .. } => "end doubt",
            Self::Withdraw { .. } => "withdraw",
            Self::IntendReplay(_) => "record replay",
            Self::Note(_) => "note",
            Self::Reopen(_) => "reopen",
            Self::SeenClock => "keep the time",
            Self::DistrustUntil(_) => "distrust the clock",
            Self::AlikeSince { .. } => "render",
            Self::OpenDoubts => "read open doubt",
            Self::MayReplay(_) => "read what may be replayed",
            Self::Bound { .. } => "read ids",
            Self::Alike(_) => "read what looks alike",
            Self::ClockSeen => "read the time",
            Self::InDoubt => "read doubt",
            Self::OpenMessages(_) => "read open",
        }
    }
}

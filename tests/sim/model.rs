//! The model store: the operations of `winback::store` over plain rows, each written after the statements it models.
//!
//! Changes are conditional in the same way (state, epoch), so that the two can be held against each other row by row.
//! What is committed and what is durable are two copies; a crash keeps the first, a power cut only the second. A rule
//! can be broken on purpose, so that a test can show that the simulation notices.

mod books;
mod evidence;
mod inquiries;
mod launch;
pub(crate) mod reports;
mod resolve;
pub(crate) mod sending;
mod sweeps;

use winback::model::clock::Timestamp;

use super::calls::{Answer, Call};
use super::tables::Tables;
use sending::Claim;

/// The one rule that is taken out of the model, to see that the simulation notices.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Broken {
    /// The product as it is.
    #[default]
    Nothing,
    /// Intents are answered before they are committed.
    IntentAfterWire,
    /// The intent does not look at suppressions.
    NoSuppressionCheck,
    /// The last receipt wins.
    LastReceiptWins,
    /// Who held a message before may still change it.
    EpochIgnored,
    /// Codes are reserved in a transaction of their own.
    CouponApart,
    /// A commit is not synced: a power cut forgets it.
    NotDurable,
    /// The intent does not look at the budget.
    BudgetIgnored,
    /// The intent does not look at the window.
    WindowIgnored,
    /// The intent does not look at the state of the run.
    StoppedRunSends,
    /// A receipt is answered before it is committed.
    ReceiptAckedEarly,
    /// Nobody takes back what a dead process held.
    NobodySweeps,
    /// Proof that comes late is not paid for.
    LateProofIsFree,
    /// A launch trusts what it knew of a contact before its transaction.
    CapsCountedEarly,
    /// A replay does not look at suppressions.
    ReplayIgnoresStop,
    /// A replay leaves without being recorded.
    ReplayUnrecorded,
    /// Keys are relied on for ever.
    KeysOutlived,
    /// Nobody notices that the clock was set back.
    ClockUnwatched,
    /// That a provider has nothing proves something whatever its definition says.
    NothingProves,
    /// A provider is asked sooner than it shows what it took.
    AskedTooSoon,
    /// That the clock was set ahead does not matter to what a provider cannot have shown yet.
    ClockTakenAsSteady,
    /// What is not sent again after all is withdrawn as if it had never been sent.
    CallOffForgetsDoubt,
    /// A refusal that comes late ends doubt although the request left once more.
    RefusalEndsReplay,
}

/// A store without a database.
pub(crate) struct Model {
    /// What readers see.
    pub(crate) committed: Tables,
    /// What survives a power cut.
    pub(crate) durable: Tables,
    pub(crate) broken: Broken,
}

impl Model {
    /// An empty store.
    pub(crate) fn new(broken: Broken) -> Self {
        Self { committed: Tables::default(), durable: Tables::default(), broken }
    }

    /// Runs one operation; it is committed once the caller has run all of its transaction.
    pub(crate) fn apply(&mut self, call: &Call, now: Timestamp) -> Answer {
        self.committed.seq += 1;
        match call {
            Call::CreateRun(new) => self.create_run(new),
            Call::AddWindow { run, key, opens, closes } => self.add_window(*run, *key, *opens, *closes),
            Call::WritePlanned { run, from, to, messages, withheld } => {
                self.write_planned(*run, (*from, *to), messages, *withheld, now)
            }
            Call::Texts(contacts) => Answer::Texts(self.texts(contacts)),
            Call::AbandonLaunch(run) => self.abandon(*run),
            Call::SetRunState { run, from, to } => self.set_run_state(*run, *from, *to, now),
            Call::RollWindow { window, opens, closes } => self.roll_window(*window, *opens, *closes),
            Call::Claim { route, owner, lease_until, limit, full } => {
                let claim = Claim { route: *route, owner: *owner, lease: *lease_until, full };
                Answer::Claimed(self.claim(&claim, *limit, now))
            }
            Call::Intend { route, owner, intents } => {
                Answer::Intended(self.intend(*route, *owner, intents, now))
            }
            Call::Settle { route, settlements } | Call::Unsent { route, settlements } => {
                self.settle(*route, settlements, false, now)
            }
            Call::SettleAsked { route, settlements } => self.settle(*route, settlements, true, now),
            Call::Release(held) => self.release(held),
            Call::Postpone(held) => self.postpone(held),
            Call::Receive(callbacks) => self.receive(callbacks, now),
            Call::Listen(callbacks) => self.listen(callbacks, now),
            Call::Suppress { phone, scope, reason } => {
                self.suppress(&[(phone.digits(), *scope, *reason, "file")], now);
                Answer::Written
            }
            Call::Lift(phone) => self.lift(phone.digits(), "operator", now),
            Call::SweepDead { owner, sole } => self.sweep_dead(*owner, *sole, now),
            Call::Rejoin { since } => self.rejoin(*since, now),
            Call::FinishRun(run) => self.finish_run(*run, now),
            Call::Resolve { messages, verdict } => self.resolve(messages, *verdict, now),
            Call::AcceptByReceipt => self.accept_by_receipt(now),
            Call::Doubt { resend, park } => self.end_doubt(resend, park, now),
            Call::Withdraw { run, cause } => self.withdraw(run.0, *cause, now),
            Call::InDoubt => Answer::InDoubt(self.in_doubt()),
            Call::OpenMessages(run) => Answer::Open(self.open_messages(run.0)),
            other => self.apply_to_inquiries(other, now),
        }
    }

    fn apply_to_inquiries(&mut self, call: &Call, now: Timestamp) -> Answer {
        match call {
            Call::OpenDoubts => Answer::Doubts(self.open_doubts()),
            Call::MayReplay(open) => {
                let may = open.iter().filter(|open| self.may_repeat(open, now));
                Answer::Messages(may.map(|open| open.message.id).collect())
            }
            Call::IntendReplay(open) => self.intend_replay(open, now),
            Call::Note(notes) => self.note(notes),
            Call::Bound { route, ids, .. } => Answer::Bound(self.bound(*route, ids)),
            Call::Alike(messages) => Answer::Messages(self.alike(messages)),
            Call::Reopen(runs) => self.reopen(runs),
            Call::ClockSeen => Answer::Time(self.committed.clock_seen.map(Timestamp)),
            Call::SeenClock => {
                self.committed.clock_seen = Some(now.0);
                Answer::Written
            }
            Call::DistrustUntil(until) => self.distrust_until(*until, now),
            Call::AlikeSince { route, print } => self.alike_since(*route, *print, now),
            other => panic!("{} belongs elsewhere", other.word()),
        }
    }

    /// Makes what is committed survive a power cut.
    pub(crate) fn sync(&mut self) {
        self.durable.copy(&self.committed);
    }

    /// The power fails: what was not synced never happened.
    pub(crate) fn power_cut(&mut self) {
        self.committed.copy(&self.durable);
    }
}

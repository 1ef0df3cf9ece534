//! What a transaction did, as lines of the history.

use winback::dispatch::resolve::Kept;
use winback::model::ids::MessageId;
use winback::model::message::{Refusal, Settlement, Verdict};
use winback::store::sweep::Withdrawn;

use super::calls::{Answer, Call, Callback};
use super::faults::Fault;
use super::model::reports::named;
use super::tables::{Named, at};
use super::world::World;

impl World {
    /// Writes down one operation, and counts what it shows.
    pub(crate) fn tell(&mut self, who: u64, call: &Call, answer: &Answer) {
        match (call, answer) {
            (Call::InDoubt | Call::OpenMessages(_) | Call::Texts(_) | Call::AddWindow { .. }, _)
            | (_, Answer::Doubts(_) | Answer::Messages(_) | Answer::Bound(_) | Answer::Time(_)) => {}
            (Call::Note(notes), _) => self.noted(who, notes),
            (_, Answer::Claimed(messages)) => {
                for m in messages {
                    self.note(who, "claims", m.id.0, ("epoch", m.epoch));
                }
            }
            (_, Answer::Intended(granted)) => {
                for message in &granted.granted {
                    self.note(who, "intends", message.0, ("", 0));
                }
                for (message, refusal) in &granted.refused {
                    self.refused(who, message.0, *refusal);
                }
            }
            (Call::Resolve { verdict, .. }, Answer::Resolved(changed, kept)) => {
                self.resolved(who, *verdict, changed, kept);
            }
            (Call::Unsent { settlements, .. }, _) => {
                for s in settlements {
                    self.fired.note(Fault::Unsent);
                    self.note(who, "did not send", s.message.0, ("", s.number));
                }
            }
            (Call::Settle { settlements, .. } | Call::SettleAsked { settlements, .. }, _) => {
                self.settled(who, settlements);
            }
            (Call::Receive(callbacks), _) => self.received(who, callbacks),
            (Call::Doubt { resend, park }, _) => {
                for message in resend {
                    self.fired.note(Fault::Resent);
                    self.note(who, "resends", message.0, ("", 0));
                }
                for message in park {
                    self.fired.note(Fault::Parked);
                    self.note(who, "parks", message.0, ("", 0));
                }
            }
            (_, Answer::Swept(freed, lost)) => {
                if (*freed, *lost) != (0, 0) {
                    self.note(who, "frees claimed, loses sight of", 0, ("messages", (*lost).cast_signed()));
                }
            }
            (Call::Release(held), _) => {
                for (message, epoch) in held {
                    self.note(who, "gives back", message.0, ("epoch", *epoch));
                }
            }
            (Call::SetRunState { run, to, .. }, Answer::Done(done)) => {
                self.note(
                    who,
                    if *done { "run becomes" } else { "run was elsewhere, not" },
                    0,
                    (to.as_str(), *run),
                );
            }
            (_, Answer::Count(0) | Answer::Withdrawn(Withdrawn { messages: 0, .. })) => {}
            (Call::AcceptByReceipt, Answer::Count(_)) => {
                self.fired.note(Fault::AcceptedByReceipt);
                self.note(who, "accepts by receipt", 0, ("", 0));
            }
            (_, Answer::Count(count) | Answer::Withdrawn(Withdrawn { messages: count, .. })) => {
                self.note(who, call.word(), 0, ("count", i64::try_from(*count).expect("few")));
            }
            _ => self.note(who, call.word(), 0, ("", 0)),
        }
    }

    fn refused(&mut self, who: u64, message: i64, refusal: Refusal) {
        let (fault, word) = match refusal {
            Refusal::Stale => (Some(Fault::StaleIntent), "stale"),
            Refusal::OverBudget => (Some(Fault::OverBudget), "over budget"),
            Refusal::WindowClosed => (Some(Fault::WindowClosed), "window closed"),
            Refusal::Suppressed => (None, "suppressed"),
            Refusal::RunStopped => (None, "run stopped"),
            Refusal::Expired => (None, "expired"),
        };
        if let Some(fault) = fault {
            self.fired.note(fault);
        }
        self.note(who, "may not intend", message, (word, 0));
    }

    fn settled(&mut self, who: u64, settlements: &[Settlement]) {
        for s in settlements {
            let m = self.model.committed.message(s.message.0);
            if m.epoch != s.epoch {
                self.fired.note(Fault::LateSettlement);
            }
            if s.outcome.detail.as_deref().is_some_and(|why| why.ends_with("suppressed")) {
                self.fired.note(Fault::WithheldStop);
            }
            self.note(who, "settles", s.message.0, (s.outcome.class.as_str(), s.number));
        }
    }

    fn resolved(&mut self, who: u64, verdict: Verdict, changed: &[MessageId], kept: &[(MessageId, Kept)]) {
        for message in changed {
            let number = self.model.committed.message(message.0).last_number;
            let taken = self.provider.ledger.iter().any(|t| t.message == message.0 && t.number == number);
            self.fired.note(match verdict {
                Verdict::Accepted => Fault::DecidedAccepted,
                Verdict::NotSent => Fault::DecidedNotSent,
                Verdict::Resend => Fault::DecidedResend,
            });
            if taken && verdict == Verdict::NotSent {
                self.fired.note(Fault::DecidedWrongly);
            }
            self.note(who, "is decided as", message.0, (verdict.as_str(), number));
        }
        if !kept.is_empty() {
            self.fired.note(Fault::NotDecided);
        }
        if kept.iter().any(|(_, why)| *why == Kept::OnTheWire) {
            self.fired.note(Fault::DecidedOnTheWire);
        }
    }

    fn received(&mut self, who: u64, callbacks: &[Callback]) {
        for receipt in callbacks.iter().flat_map(|callback| &callback.receipts) {
            let message = match named(receipt) {
                Some(Named::Ours(message, _)) => message,
                _ => 0,
            };
            let state =
                self.model.committed.messages.get(at(message.max(1))).map_or("", |m| m.dispatch.as_str());
            self.note(who, "receives", message, (receipt.state.as_str(), 0));
            if message > 0 {
                self.note(who, "so that it is", message, (state, 0));
            }
        }
    }
}

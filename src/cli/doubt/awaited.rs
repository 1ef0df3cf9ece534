//! What a message in doubt waits for, in words and for machines.

use serde_json::{Value, json};

use crate::dispatch::ladder::{Ladder, Step, Waits};
use crate::dispatch::sweep::DoubtEnd;
use crate::model::clock::Timestamp;
use crate::model::doubt::Rung;
use crate::model::state::Dispatch;
use crate::store::resolve::Doubt;

/// What a message in doubt waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::cli) enum Awaited {
    /// An answer of its provider, a receipt, its campaign's policy, a person.
    Open(Waits),
    /// Nothing: it is parked. A late receipt or a person may still end it.
    Parked,
}

impl Awaited {
    pub(in crate::cli) fn of(doubt: &Doubt, ladder: &Ladder, now: Timestamp) -> Self {
        if doubt.dispatch == Dispatch::Unknown {
            return Self::Parked;
        }
        Self::Open(ladder.waits(&doubt.message, &doubt.standing, now))
    }

    pub(in crate::cli) fn words(self, doubt: &Doubt) -> String {
        match self {
            Self::Open(Waits::Receipt(DoubtEnd::Park, at)) => {
                format!("a receipt until {}, then it is parked", at.rfc3339())
            }
            Self::Open(Waits::Receipt(DoubtEnd::Resend, at)) => {
                format!("a receipt until {}, then it is sent again", at.rfc3339())
            }
            Self::Open(Waits::Person) => {
                let (campaign, id) = (&doubt.campaign, doubt.message.id);
                format!("a receipt, or your word, as {campaign} asks: winback message resolve {id} --as …")
            }
            Self::Open(Waits::Asked(step)) => {
                let due = step.due().rfc3339();
                match step {
                    Step::Look(ask, _) if ask.rung == Rung::Lookup => {
                        format!("a receipt, and a look-up by our reference at {due}")
                    }
                    Step::Look(..) => format!("a receipt, and a look at what the provider took, at {due}"),
                    Step::Replay(_, until) => {
                        let until = until.rfc3339();
                        format!("a receipt, and the same request under its key from {due} until {until}")
                    }
                }
            }
            Self::Parked => "nothing, it is parked; a late receipt or your word may still end it".to_owned(),
        }
    }

    /// Until when, or from when on if that is known only.
    pub(in crate::cli) fn until(self) -> Option<Timestamp> {
        match self {
            Self::Open(Waits::Receipt(_, at) | Waits::Asked(Step::Look(_, at) | Step::Replay(_, at))) => {
                Some(at)
            }
            Self::Open(Waits::Person) | Self::Parked => None,
        }
    }

    pub(in crate::cli) fn as_json(self) -> Value {
        let (what, then) = match self {
            Self::Open(Waits::Receipt(DoubtEnd::Park, _)) => ("receipt", Some("park")),
            Self::Open(Waits::Receipt(DoubtEnd::Resend, _)) => ("receipt", Some("resend")),
            Self::Open(Waits::Person) => ("operator", None),
            Self::Open(Waits::Asked(step)) => (step.rung().as_str(), None),
            Self::Parked => ("nothing", None),
        };
        json!({"what": what, "until": self.until().map(Timestamp::rfc3339), "then": then})
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::model::doubt::Ask;

    #[test]
    fn machines_read_which_rung_it_is_and_until_when() {
        let check = |waits, what: &str, until: Option<&str>, then: Option<&str>| {
            let told = Awaited::Open(waits).as_json();
            assert_eq!(told, json!({"what": what, "until": until, "then": then}));
        };
        let at = Timestamp(1_790_848_800_000);
        let text = Some("2026-10-01T10:00:00Z");
        let ask = |rung| {
            let (after, within) = (Duration::from_mins(1), Duration::from_hours(1));
            Waits::Asked(Step::Look(Ask { rung, after, within, authoritative: false }, at))
        };
        check(ask(Rung::Lookup), "lookup", text, None);
        check(ask(Rung::List), "list", text, None);
        check(Waits::Asked(Step::Replay(Timestamp(0), at)), "replay", text, None);
        check(Waits::Receipt(DoubtEnd::Park, at), "receipt", text, Some("park"));
        check(Waits::Receipt(DoubtEnd::Resend, at), "receipt", text, Some("resend"));
        check(Waits::Person, "operator", None, None);
    }
}

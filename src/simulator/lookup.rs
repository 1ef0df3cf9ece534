//! The newest accepted messages by their reference, for clients that ask what became of a submission.
//!
//! Kept in memory and bounded by count: the oldest is forgotten first, and after a restart nothing is known. The ledger
//! has all of them; a look-up never reads it.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::behaviour::{Behaviour, Status};
use super::wire::FoundMessage;
use crate::model::clock::Timestamp;

/// One accepted message as a look-up shows it.
#[derive(Debug)]
pub(super) struct Known {
    /// What its fate is drawn from.
    pub(super) key: u64,
    pub(super) id: Box<str>,
    pub(super) at: Timestamp,
    pub(super) to: Box<str>,
    pub(super) from: Box<str>,
    pub(super) text: Box<str>,
}

/// The newest accepted messages.
#[derive(Debug)]
pub(super) struct Lookup {
    limit: usize,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    by_reference: HashMap<Box<str>, Vec<Known>>,
    oldest_first: VecDeque<Box<str>>,
}

impl Lookup {
    /// Remembers up to `limit` messages.
    pub(super) fn new(limit: usize) -> Self {
        Self { limit, inner: Mutex::default() }
    }

    /// False when nothing is ever remembered, so that nobody need prepare it.
    pub(super) fn remembers(&self) -> bool {
        self.limit > 0
    }

    /// Adds messages, forgetting the oldest above the limit.
    pub(super) fn add(&self, messages: impl Iterator<Item = (Box<str>, Known)>) {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        for (reference, known) in messages {
            inner.oldest_first.push_back(reference.clone());
            inner.by_reference.entry(reference).or_default().push(known);
            if inner.oldest_first.len() > self.limit {
                inner.forget_oldest();
            }
        }
    }

    /// The remembered messages with this reference, oldest first, with their status at `now`.
    pub(super) fn find(&self, reference: &str, now: Timestamp, behaviour: &Behaviour) -> Vec<FoundMessage> {
        let inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let known = inner.by_reference.get(reference).map_or(&[][..], Vec::as_slice);
        known
            .iter()
            .map(|known| FoundMessage {
                id: known.id.to_string(),
                reference: reference.to_owned(),
                to: known.to.to_string(),
                from: known.from.to_string(),
                text: known.text.to_string(),
                at: known.at.0,
                status: status_after(behaviour, known.key, now.since(known.at)).as_str(),
            })
            .collect()
    }
}

impl Inner {
    fn forget_oldest(&mut self) {
        let Some(reference) = self.oldest_first.pop_front() else { return };
        if let Some(known) = self.by_reference.get_mut(&reference) {
            known.remove(0);
            if known.is_empty() {
                self.by_reference.remove(&reference);
            }
        }
    }
}

/// The latest status that the message's fate reports within `age`; known even if nobody wants receipts.
fn status_after(behaviour: &Behaviour, key: u64, age: Duration) -> Status {
    let steps = behaviour.fate(key).steps;
    let past = steps.iter().filter(|step| step.after <= age);
    past.max_by_key(|step| step.after).map_or(Status::Accepted, |step| step.status)
}

#[cfg(test)]
mod tests {
    use super::super::config::{Curve, SimulatorConfig};
    use super::*;

    fn known(nth: u64) -> Known {
        let text = |text: &str| text.into();
        Known {
            key: nth,
            id: format!("sim-{nth}").into(),
            at: Timestamp(0),
            to: text("+1"),
            from: text("s"),
            text: text("hi"),
        }
    }

    fn behaviour() -> Behaviour {
        let mut config = SimulatorConfig::default();
        config.receipts.delay = Curve::constant(Duration::from_secs(5));
        (config.receipts.undelivered, config.receipts.expired) = (0.0, 0.0);
        (config.receipts.rejected, config.receipts.never) = (0.0, 0.0);
        Behaviour::new(&config)
    }

    #[test]
    fn the_oldest_is_forgotten_first_and_repeats_are_all_shown() {
        let lookup = Lookup::new(3);
        let references = ["a", "b", "a", "a"];
        lookup.add((0..).zip(references).map(|(nth, reference)| (reference.into(), known(nth))));
        let ids = |reference| -> Vec<String> {
            lookup.find(reference, Timestamp(0), &behaviour()).into_iter().map(|m| m.id).collect()
        };
        assert_eq!(ids("a"), ["sim-2", "sim-3"]);
        assert_eq!(ids("b"), ["sim-1"]);
        assert!(ids("c").is_empty());
    }

    #[test]
    fn the_status_follows_the_time() {
        let lookup = Lookup::new(3);
        lookup.add(std::iter::once(("a".into(), known(0))));
        let status = |now| lookup.find("a", Timestamp(now), &behaviour())[0].status;
        assert_eq!(status(4_999), "accepted");
        assert_eq!(status(5_000), "delivered");
    }
}

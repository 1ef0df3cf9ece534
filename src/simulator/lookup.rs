//! The newest accepted messages by their reference, by what they said and by key, for clients that ask what became of a
//! submission or repeat it.
//!
//! Kept in memory and bounded by count: the oldest is forgotten first, and after a restart nothing is known; whoever asks
//! then is told so, rather than that there was no such message. The ledger has all of them; a look-up never reads it.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::behaviour::{Behaviour, Status};
use super::config::Lookups;
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
    /// The key it was submitted with, and a digest of its request.
    pub(super) repeat: Option<(Box<str>, Box<str>)>,
}

/// The newest accepted messages.
#[derive(Debug)]
pub(super) struct Lookup {
    limit: usize,
    told: Lookups,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    by_reference: HashMap<Box<str>, Vec<Known>>,
    oldest_first: VecDeque<Box<str>>,
    /// Answers by key.
    by_key: HashMap<Box<str>, First>,
    /// Something was accepted that is not known any more.
    forgetful: bool,
    asked: u64,
}

/// The first submission with a key.
#[derive(Clone, Debug)]
struct First {
    request: Box<str>,
    id: Box<str>,
    at: Timestamp,
}

/// What a look-up is about.
#[derive(Clone, Copy, Debug)]
pub(super) enum Wanted<'a> {
    /// One reference.
    Reference(&'a str),
    /// Everything for one recipient.
    Recipient(&'a str),
}

/// What a submission with a key is to a provider that remembers keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Repeated {
    /// Nothing that was accepted before.
    New,
    /// The same request again; the first one was given this id.
    Same(String),
    /// Another request under the same key.
    Different,
}

impl Lookup {
    /// Remembers up to `limit` messages. `continued` if others were accepted before that nobody remembers.
    pub(super) fn new(limit: usize, told: Lookups, continued: bool) -> Self {
        let inner = Inner { forgetful: continued || limit == 0, ..Inner::default() };
        Self { limit, told, inner: Mutex::new(inner) }
    }

    /// False when nothing is ever remembered, so that nobody need prepare it.
    pub(super) fn remembers(&self) -> bool {
        self.limit > 0
    }

    /// Adds messages, forgetting the oldest above the limit.
    pub(super) fn add(&self, messages: impl Iterator<Item = (Box<str>, Known)>) {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        for (reference, known) in messages {
            if let Some((key, request)) = known.repeat.clone() {
                let first = First { request, id: known.id.clone(), at: known.at };
                inner.by_key.entry(key).or_insert(first);
            }
            inner.oldest_first.push_back(reference.clone());
            inner.by_reference.entry(reference).or_default().push(known);
            if inner.oldest_first.len() > self.limit {
                inner.forget_oldest();
            }
        }
    }

    /// The remembered messages that are wanted and shown by now, oldest first, with their status; none if it cannot be
    /// known whether there is one.
    pub(super) fn find(
        &self,
        wanted: Wanted<'_>,
        now: Timestamp,
        behaviour: &Behaviour,
    ) -> Option<Vec<FoundMessage>> {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        inner.asked += 1;
        if inner.asked <= self.told.failing {
            return None;
        }
        let mut known: Vec<(&str, &Known)> = match wanted {
            Wanted::Reference(reference) => {
                let known = inner.by_reference.get(reference);
                known.into_iter().flatten().map(|known| (reference, known)).collect()
            }
            // Seldom asked, so that no index is kept for it.
            Wanted::Recipient(to) => {
                let all = inner.by_reference.iter();
                let all =
                    all.flat_map(|(reference, list)| list.iter().map(move |known| (&**reference, known)));
                all.filter(|(_, known)| *known.to == *to).collect()
            }
        };
        known.retain(|(_, known)| (self.told.after..=self.told.within).contains(&now.since(known.at)));
        known.sort_by_key(|(_, known)| known.at);
        if known.is_empty() && inner.forgetful {
            return None;
        }
        let shown = known.into_iter().map(|(reference, known)| FoundMessage {
            id: known.id.to_string(),
            reference: reference.to_owned(),
            to: known.to.to_string(),
            from: known.from.to_string(),
            text: known.text.to_string(),
            at: known.at.0,
            status: status_after(behaviour, known.key, now.since(known.at)).as_str(),
        });
        Some(shown.collect())
    }

    /// What a request with this key and digest is, to a provider that remembers keys for `lifetime`.
    pub(super) fn repeated(&self, key: &str, request: &str, lifetime: Duration, now: Timestamp) -> Repeated {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(first) = inner.by_key.get(key) else { return Repeated::New };
        if now.since(first.at) >= lifetime {
            inner.by_key.remove(key);
            return Repeated::New;
        }
        if *first.request == *request { Repeated::Same(first.id.to_string()) } else { Repeated::Different }
    }
}

impl Inner {
    fn forget_oldest(&mut self) {
        let Some(reference) = self.oldest_first.pop_front() else { return };
        self.forgetful = true;
        if let Some(known) = self.by_reference.get_mut(&reference) {
            if let Some((key, _)) = known.remove(0).repeat {
                self.by_key.remove(&key);
            }
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
            repeat: None,
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
        let lookup = Lookup::new(3, Lookups::default(), false);
        let ids = |wanted| -> Option<Vec<String>> {
            let found = lookup.find(wanted, Timestamp(0), &behaviour())?;
            Some(found.into_iter().map(|m| m.id).collect())
        };
        let ids_of = |reference| ids(Wanted::Reference(reference)).unwrap_or_default();
        assert_eq!(ids(Wanted::Reference("c")), Some(vec![]), "there is none");
        let references = ["a", "b", "a", "a"];
        lookup.add((0..).zip(references).map(|(nth, reference)| (reference.into(), known(nth))));
        assert_eq!(ids_of("a"), ["sim-2", "sim-3"]);
        assert_eq!(ids_of("b"), ["sim-1"]);
        assert_eq!(ids(Wanted::Recipient("+1")).map(|all| all.len()), Some(3));
        assert_eq!(ids(Wanted::Reference("c")), None, "there may have been one that is forgotten");
    }

    #[test]
    fn a_message_shows_up_late_and_is_forgotten_and_the_first_questions_may_fail() {
        let told = Lookups { after: Duration::from_secs(1), within: Duration::from_secs(9), failing: 2 };
        let lookup = Lookup::new(3, told, false);
        lookup.add(std::iter::once(("a".into(), known(0))));
        let seen =
            |now| lookup.find(Wanted::Reference("a"), Timestamp(now), &behaviour()).map(|all| all.len());
        assert_eq!([seen(5_000), seen(5_000)], [None, None]);
        assert_eq!([seen(999), seen(1_000), seen(9_000), seen(9_001)], [Some(0), Some(1), Some(1), Some(0)]);
    }

    #[test]
    fn a_key_stands_for_one_request_while_it_lives() {
        let lookup = Lookup::new(3, Lookups::default(), false);
        let key = Some((Box::from("k"), Box::from("same")));
        lookup.add(std::iter::once(("a".into(), Known { repeat: key, ..known(0) })));
        let lifetime = Duration::from_secs(10);
        let asked = |key, request, now| lookup.repeated(key, request, lifetime, Timestamp(now));
        assert_eq!(asked("other", "same", 0), Repeated::New);
        assert_eq!(asked("k", "another", 0), Repeated::Different);
        assert_eq!(asked("k", "same", 9_999), Repeated::Same("sim-0".to_owned()));
        assert_eq!(asked("k", "same", 10_000), Repeated::New, "forgotten");
    }

    #[test]
    fn the_status_follows_the_time() {
        let lookup = Lookup::new(3, Lookups::default(), false);
        lookup.add(std::iter::once(("a".into(), known(0))));
        let found = |now| lookup.find(Wanted::Reference("a"), Timestamp(now), &behaviour());
        let status = |now| found(now).expect("it is known")[0].status;
        assert_eq!(status(4_999), "accepted");
        assert_eq!(status(5_000), "delivered");
    }
}

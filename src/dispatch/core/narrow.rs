//! Messages whose sender or country has no room now: when each may go, and what need not be claimed meanwhile.
//!
//! Each message books the next free slot of its sender and country, so that a thousand of them do not come back at
//! once. Pure; it never says that a message may go: that is the pacer's.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use crate::model::ids::MessageId;
use crate::model::message::{Claimed, Full};

/// A message whose slot is nearer than this is kept at hand: giving it back and claiming it again would cost more.
const NEAR: Duration = Duration::from_secs(1);

/// Bookings that are kept in mind after their time; a message that comes later than this books anew.
const REMEMBERED: Duration = Duration::from_secs(10);

/// What is held back by narrow limits.
#[derive(Debug, Default)]
pub(super) struct Narrow {
    senders: HashMap<String, Duration>,
    countries: HashMap<String, Duration>,
    /// Kept at hand, by the time at which they may go.
    near: BTreeMap<(Duration, MessageId), Arc<Claimed>>,
    /// Slots that were booked: near ones and those of messages that were given back.
    booked: HashMap<MessageId, Duration>,
}

/// How long one message keeps its sender and its country busy; none where there is no limit.
pub(super) type Periods = (Option<Duration>, Option<Duration>);

impl Narrow {
    /// Holds a message back that may not go for `wait`. Answers the message and its slot if it is to be given back until
    /// then; else it is kept at hand.
    pub(super) fn hold(
        &mut self,
        message: Arc<Claimed>,
        wait: Duration,
        periods: Periods,
        now: Duration,
    ) -> Option<(Arc<Claimed>, Duration)> {
        self.booked.retain(|_, slot| *slot + REMEMBERED > now);
        // A message that comes a little early for its slot does not go to the end of the line.
        let slot = match self.booked.get(&message.id) {
            Some(_) => now + wait,
            None => self.book(&message, now + wait, periods),
        };
        self.booked.insert(message.id, slot);
        if slot > now + NEAR {
            return Some((message, slot));
        }
        self.near.insert((slot, message.id), message);
        None
    }

    fn book(&mut self, message: &Claimed, earliest: Duration, (sender, country): Periods) -> Duration {
        let free = |line: &HashMap<String, Duration>, name: &str| line.get(name).copied().unwrap_or_default();
        let slot =
            earliest.max(free(&self.senders, &message.sender)).max(free(&self.countries, &message.country));
        if let Some(period) = sender {
            self.senders.insert(message.sender.clone(), slot + period);
        }
        if let Some(period) = country {
            self.countries.insert(message.country.clone(), slot + period);
        }
        slot
    }

    /// A message got its permits.
    pub(super) fn went(&mut self, message: MessageId) {
        self.booked.remove(&message);
    }

    /// The messages at hand whose slot has come, the last one first.
    pub(super) fn due(&mut self, now: Duration) -> Vec<Arc<Claimed>> {
        let mut due = Vec::new();
        while let Some(first) = self.near.first_entry()
            && first.key().0 <= now
        {
            due.push(first.remove());
        }
        due.reverse();
        due
    }

    /// When the next slot comes.
    pub(super) fn next(&self, now: Duration) -> Option<Duration> {
        self.booked.values().copied().filter(|slot| *slot > now).min()
    }

    /// When the next message that was given back is due.
    pub(super) fn next_claim(&self, now: Duration) -> Option<Duration> {
        let away = self.booked.iter().filter(|(id, slot)| !self.near.contains_key(&(**slot, **id)));
        away.map(|(_, slot)| *slot).filter(|slot| *slot > now).min()
    }

    /// How many are kept at hand.
    pub(super) fn at_hand(&self) -> usize {
        self.near.len()
    }

    /// Senders and countries that have more waiting for them than can go soon.
    pub(super) fn full(&mut self, now: Duration) -> Full {
        let full = |line: &mut HashMap<String, Duration>| {
            line.retain(|_, free| *free > now);
            let mut names: Vec<_> =
                line.iter().filter(|(_, free)| **free > now + NEAR).map(|(name, _)| name.clone()).collect();
            names.sort_unstable();
            names
        };
        Full { senders: full(&mut self.senders), countries: full(&mut self.countries) }
    }

    /// Lets go of everything: the messages at hand.
    pub(super) fn clear(&mut self) -> Vec<Arc<Claimed>> {
        std::mem::take(self).near.into_values().collect()
    }
}

//! Row ids as distinct types, so that a message id never lands where a contact id is meant.

use std::sync::atomic::{AtomicI64, Ordering};

use serde::{Deserialize, Serialize};

use super::clock::Timestamp;

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident),+ $(,)?) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub i64);

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                self.0.fmt(f)
            }
        }
    )+};
}

ids! {
    /// A contact.
    ContactId,
    /// One launch of a campaign.
    RunId,
    /// One text for one contact in one run.
    MessageId,
    /// One submission of a message to a provider.
    AttemptId,
    /// A stock of coupon codes.
    PoolId,
    /// One coupon code.
    CouponId,
    /// One row of the receipt inbox.
    ReceiptId,
}

/// Makes ids that rise with time and never repeat, without asking the store: 41 bits of milliseconds, 10 bits that
/// tell processes apart, 12 bits that count.
#[derive(Debug)]
pub struct IdSource {
    process: i64,
    /// Milliseconds and count of the last id; counting past 4095 borrows the next millisecond.
    last: AtomicI64,
}

impl IdSource {
    /// A source for one process; `random` tells it from others.
    pub fn new(random: u64) -> Self {
        Self { process: i64::from((random & 0x3ff) as u16), last: AtomicI64::new(0) }
    }

    /// The next id, higher than every one before it.
    pub fn next(&self, now: Timestamp) -> i64 {
        let least = (now.0.max(0) & ((1 << 41) - 1)) << 12;
        let step = |last: i64| Some(least.max(last + 1));
        let last = self.last.fetch_update(Ordering::Relaxed, Ordering::Relaxed, step).unwrap_or(least);
        let ticket = least.max(last + 1);
        (ticket >> 12) << 22 | self.process << 12 | (ticket & 0xfff)
    }
}

/// The lowest id that any [`IdSource`] makes at an instant: what is below it was made before.
pub fn first_at(instant: Timestamp) -> i64 {
    (instant.0.max(0) & ((1 << 41) - 1)) << 22
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_rise_and_never_repeat_even_when_the_clock_stands_or_falls_back() {
        let source = IdSource::new(5);
        let mut last = 0;
        for step in 0..20_000_i64 {
            let id = source.next(Timestamp(1_000_000 - step % 3));
            assert!(id > last, "{step}");
            last = id;
        }
        let other = IdSource::new(6);
        assert_ne!(other.next(Timestamp(1)), IdSource::new(5).next(Timestamp(1)));
    }

    #[test]
    fn what_is_below_the_first_id_of_an_instant_was_made_before_it() {
        let at = Timestamp(1_700_000_000_000);
        for process in [0, 5, 1_023] {
            let earlier = IdSource::new(process).next(Timestamp(at.0 - 1));
            let then = IdSource::new(process).next(at);
            assert!(earlier < first_at(at) && first_at(at) <= then, "{process}");
        }
    }
}

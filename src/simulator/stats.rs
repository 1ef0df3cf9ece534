//! What the simulator counted since it started.
//!
//! Counters only; it never keeps a number, a text or a reference.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use serde::Serialize;

use super::behaviour::Answer;

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident),+ $(,)?) => {
        #[derive(Debug, Default)]
        pub(super) struct Stats {
            $(pub(super) $name: AtomicU64,)+
        }

        /// The counters at one moment, as `GET /stats` answers them.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
        pub struct StatsSnapshot {
            $($(#[$doc])* pub $name: u64,)+
        }

        impl Stats {
            /// The counters now; each is exact, but they are not read at one instant.
            pub(super) fn snapshot(&self) -> StatsSnapshot {
                StatsSnapshot { $($name: self.$name.load(Relaxed),)+ }
            }
        }
    };
}

counters! {
    /// Submissions in the ledger, whatever was answered to them.
    accepted,
    /// Parts of these submissions.
    accepted_parts,
    /// Requests with missing or wrong credentials.
    credentials,
    /// Submissions that are not well-formed.
    bad_request,
    /// Answered 429, by rate or by share.
    throttled,
    /// Answered 400 `bad_number`.
    bad_number,
    /// Answered 400 `bad_text`.
    bad_text,
    /// Answered 400 `opted_out`.
    opted_out,
    /// Answered 503 by share.
    unavailable,
    /// Answered 503 because too many receipts wait.
    backlog_full,
    /// Answered 503 because the ledger could not be written.
    ledger_failed,
    /// Answered 500.
    failed,
    /// Accepted and never answered.
    silent,
    /// Accepted, then the connection was reset.
    reset,
    /// Answered as a script says.
    scripted,
    /// Requests to where a redirect of a script points: somebody followed it.
    followed,
    /// Look-ups answered.
    lookups,
    /// Receipts put on the wire, repeats included.
    receipts_sent,
    /// Receipts answered with 2xx.
    receipts_acked,
    /// Receipts that used up their tries.
    receipts_given_up,
    /// Customer replies put on the wire, repeats included.
    replies_sent,
    /// Customer replies answered with 2xx.
    replies_acked,
    /// Customer replies that used up their tries.
    replies_given_up,
    /// Receipts and replies that wait to be sent or answered.
    pending,
}

impl Stats {
    /// Makes room for `wanted` callbacks; `None` when more than `limit` would wait.
    pub(super) fn reserve(stats: &Arc<Stats>, wanted: u64, limit: u64) -> Option<Room> {
        let before = stats.pending.fetch_add(wanted, Relaxed);
        let room = Room { stats: stats.clone(), taken: wanted };
        (wanted == 0 || before + wanted <= limit).then_some(room)
    }

    /// Counts an answer by what the client saw.
    pub(super) fn answered(&self, answer: Answer) {
        let counter = match answer {
            Answer::Accepted => return,
            Answer::Throttled => &self.throttled,
            Answer::BadNumber => &self.bad_number,
            Answer::BadText => &self.bad_text,
            Answer::OptedOut => &self.opted_out,
            Answer::Unavailable => &self.unavailable,
            Answer::Failed => &self.failed,
            Answer::Silent => &self.silent,
            Answer::Reset => &self.reset,
            Answer::Scripted(_) => &self.scripted,
        };
        counter.fetch_add(1, Relaxed);
    }
}

/// Room for the callbacks of one message; given back when dropped, unless the message was accepted.
#[derive(Debug)]
pub(super) struct Room {
    stats: Arc<Stats>,
    taken: u64,
}

impl Room {
    /// The callbacks are scheduled: each now gives its own place back when it is done.
    pub(super) fn keep(mut self) {
        self.taken = 0;
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        self.stats.pending.fetch_sub(self.taken, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::Stats;

    #[test]
    fn the_backlog_is_bounded_and_a_refusal_reserves_nothing() {
        let stats = Arc::new(Stats::default());
        let reserve = |wanted| Stats::reserve(&stats, wanted, 4);
        reserve(3).expect("fits").keep();
        assert!(reserve(2).is_none());
        drop(reserve(1).expect("fits"));
        reserve(1).expect("what was dropped is free again").keep();
        assert!(reserve(0).is_some(), "a message without callbacks needs no room");
        assert_eq!(stats.snapshot().pending, 4);
    }
}

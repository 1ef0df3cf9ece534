//! Parts in any second against what the account allows. Pure; the times are the provider's.

use std::collections::{BTreeMap, VecDeque};

use crate::dispatch::pace::Limit;
use crate::model::clock::Timestamp;

/// Lines of a ledger may be out of order by this much: a moment is noted before the line is written.
const DISORDER_MS: i64 = 2_000;

/// What arrives within a second may have left within this much more: connections queue and processors are busy.
const ARRIVAL_MS: f64 = 250.0;

/// Counts parts above the limit.
#[derive(Debug)]
pub(super) struct Pace {
    allowed: i64,
    waiting: BTreeMap<i64, i64>,
    second: VecDeque<(i64, i64)>,
    sum: i64,
    above: i64,
}

impl Pace {
    pub(super) fn new(limit: Limit) -> Self {
        let allowed = limit.parts_per_second * (1.0 + ARRIVAL_MS / 1_000.0) + f64::from(limit.burst);
        #[expect(clippy::cast_possible_truncation, reason = "a rate; the cast saturates")]
        let allowed = allowed.ceil() as i64;
        Self { allowed, waiting: BTreeMap::new(), second: VecDeque::new(), sum: 0, above: 0 }
    }

    pub(super) fn add(&mut self, at: Timestamp, parts: u32) {
        *self.waiting.entry(at.0).or_default() += i64::from(parts);
        while let Some(first) = self.waiting.first_entry()
            && *first.key() < at.0.saturating_sub(DISORDER_MS)
        {
            let (at, parts) = first.remove_entry();
            self.count(at, parts);
        }
    }

    /// Parts that were above the limit.
    pub(super) fn finish(mut self) -> i64 {
        while let Some((at, parts)) = self.waiting.pop_first() {
            self.count(at, parts);
        }
        self.above
    }

    fn count(&mut self, at: i64, parts: i64) {
        while let Some((_, past)) = self.second.pop_front_if(|(past, _)| *past <= at - 1_000) {
            self.sum -= past;
        }
        self.second.push_back((at, parts));
        self.sum += parts;
        self.above += (self.sum - self.allowed).clamp(0, parts);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_parts_above_rate_and_burst_count_whatever_the_order() {
        let above = |times: &[(i64, u32)]| {
            let mut pace = Pace::new(Limit { parts_per_second: 8.0, burst: 2 });
            for (at, parts) in times {
                pace.add(Timestamp(*at), *parts);
            }
            pace.finish()
        };
        assert_eq!(above(&[(0, 12)]), 0);
        assert_eq!(above(&[(0, 13)]), 1);
        assert_eq!(above(&[(0, 12), (999, 3)]), 3);
        assert_eq!(above(&[(0, 12), (1_000, 12)]), 0);
        assert_eq!(
            above(&[(5_000, 6), (3_500, 12), (4_200, 2)]),
            2,
            "the second line is older than the first"
        );
        assert_eq!(above(&[]), 0);
    }
}

//! Notices a wall clock that was set: back, which would make old keys look young, or ahead, which would make a provider
//! look as if it had had time enough. Pure: it is told the time.

use std::time::Duration;

use crate::model::clock::{Moment, Timestamp};

/// A clock that lags by no more than this was not set back: it is slewed, or read by another thread.
const SLACK: Duration = Duration::from_secs(2);

/// How often the time is kept for the next start. What is set back by less while nobody looks is within the fifth of
/// a key's lifetime that is not relied on.
const KEPT_EVERY: Duration = Duration::from_mins(1);

/// A clock that was further ahead than this dated nothing that could be taken for younger than it is: what is of a time
/// that has not come yet is never replayed, and a clock that once stood in another century must not end replays for good.
const FAR: Duration = Duration::from_hours(24 * 366);

/// The last time that was seen.
#[derive(Clone, Copy, Debug, Default)]
pub struct Watch {
    last: Option<Moment>,
    kept: Option<Timestamp>,
    /// Since when it has not been set, by the clock that does not stop.
    steady_since: Duration,
}

/// What follows from a look at the clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen {
    /// Nothing.
    Well,
    /// The time is to be kept.
    Keep,
    /// It was set back: what was recorded before this instant is of no known age.
    Back(Timestamp),
}

impl Watch {
    /// Begins with the time that was kept before the last end.
    pub fn begin(&mut self, kept: Option<Timestamp>, now: Moment) {
        (self.kept, self.steady_since) = (kept, now.elapsed);
        self.last = kept.map(|wall| Moment { wall, elapsed: now.elapsed });
    }

    /// Whether it has begun.
    pub fn began(&self) -> bool {
        self.last.is_some()
    }

    /// For how long it has been known not to have been set.
    pub fn steady(&self, now: Moment) -> Duration {
        now.elapsed.saturating_sub(self.steady_since)
    }

    /// Looks at the clock.
    pub fn look(&mut self, now: Moment) -> Seen {
        let expected = self.last.map(|last| last.wall.plus(now.elapsed.saturating_sub(last.elapsed)));
        self.last = Some(now);
        // Nobody knows what was done to it before the first look.
        if expected.is_none_or(|expected| now.wall.plus(SLACK) < expected || now.wall > expected.plus(SLACK))
        {
            self.steady_since = now.elapsed;
        }
        if let Some(expected) = expected.filter(|expected| now.wall.plus(SLACK) < *expected) {
            self.kept = Some(now.wall);
            return Seen::Back(expected.plus(Duration::from_millis(1)).min(now.wall.plus(FAR)));
        }
        if self.kept.is_none_or(|kept| now.wall >= kept.plus(KEPT_EVERY)) {
            self.kept = Some(now.wall);
            return Seen::Keep;
        }
        Seen::Well
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_was_set_back_is_noticed_however_long_nobody_looked_and_after_a_restart_too() {
        let at = |wall: u64, elapsed: u64| Moment {
            wall: Timestamp(0).plus(Duration::from_secs(wall)),
            elapsed: Duration::from_secs(elapsed),
        };
        let check = |kept: Option<u64>, looks: &[(u64, u64)], wanted: &[Seen]| {
            let mut watch = Watch::default();
            let first = at(looks[0].0, looks[0].1);
            watch.begin(kept.map(|kept| at(kept, 0).wall), first);
            let seen: Vec<Seen> =
                looks.iter().map(|(wall, elapsed)| watch.look(at(*wall, *elapsed))).collect();
            assert_eq!(seen, wanted, "{kept:?} {looks:?}");
        };
        let back = |seconds: u64| {
            Seen::Back(Timestamp(0).plus(Duration::from_secs(seconds)).plus(Duration::from_millis(1)))
        };
        check(None, &[(1_000, 5), (1_001, 6), (1_061, 66)], &[Seen::Keep, Seen::Well, Seen::Keep]);
        check(None, &[(1_000, 5), (9_000, 6), (9_001, 7)], &[Seen::Keep, Seen::Keep, Seen::Well]);
        check(None, &[(9_000, 5), (1_000, 6), (1_001, 7)], &[Seen::Keep, back(9_001), Seen::Well]);
        // Ten minutes later it shows one minute more.
        check(None, &[(9_000, 5), (9_060, 605)], &[Seen::Keep, back(9_600)]);
        check(None, &[(9_000, 5), (8_999, 6), (8_999, 7)], &[Seen::Keep, Seen::Well, Seen::Well]);
        check(Some(9_000), &[(1_000, 5)], &[back(9_000)]);
        check(Some(9_000), &[(9_030, 5), (9_060, 35)], &[Seen::Well, Seen::Keep]);
        let steady = |looks: &[(u64, u64)]| {
            let mut watch = Watch::default();
            watch.begin(Some(at(1_000, 0).wall), at(1_000, 5));
            let looks = looks.iter().map(|(wall, elapsed)| at(*wall, *elapsed));
            looks.map(|now| (watch.look(now), watch.steady(now).as_secs()).1).last()
        };
        assert_eq!(steady(&[(1_000, 5), (1_030, 35)]), Some(30));
        assert_eq!(steady(&[(1_000, 5), (1_090, 35), (1_095, 40)]), Some(5), "set ahead");
        assert_eq!(steady(&[(1_000, 5), (1_000, 35), (1_005, 40)]), Some(5), "set back");
        assert_eq!(steady(&[(4_000, 5), (4_010, 15)]), Some(10), "not before it was looked at");
        let far = Seen::Back(at(1_000, 0).wall.plus(FAR));
        check(Some(9_000_000_000), &[(1_000, 5)], &[far]);
    }
}

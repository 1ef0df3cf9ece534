//! Permits that are put by for a request which is not in the lane's own line and needs more of them than are ever there
//! at once. It hands out none by itself.

use std::time::Duration;

/// Whoever has not asked again for this long is not waiting, and nothing more is put by.
const ASKS_AGAIN: Duration = Duration::from_millis(250);

/// What nobody has come back for after this time is lost: handed over, it would leave beside what has gathered meanwhile.
const LEFT_BEHIND: Duration = Duration::from_secs(5);

/// Permits put by.
#[derive(Debug, Default)]
pub(super) struct Savings {
    /// Parts, so far.
    pub(super) saved: u32,
    /// For how many they are put by; 0 for nobody.
    wanted: u32,
    asked: Duration,
    /// Whether the last permit was put by, so that the next one is not.
    took: bool,
}

impl Savings {
    /// Somebody asks for as many. What was put by for another helps, but not without a permit of now: nothing that was
    /// saved leaves at once with what gathered meanwhile.
    pub(super) fn ask(&mut self, parts: u32, now: Duration) {
        self.forget(now);
        if parts != self.wanted {
            self.saved = self.saved.min(parts.saturating_sub(1));
        }
        (self.wanted, self.asked) = (parts, now);
    }

    /// Whether they are put by for somebody who still asks, and needs more.
    pub(super) fn are_for_more(&self, parts: u32, now: Duration) -> bool {
        self.wanted > parts && now < self.asked + ASKS_AGAIN
    }

    /// Whether the next permit is put by: every other one is, until there are enough.
    pub(super) fn takes(&mut self, now: Duration) -> bool {
        self.took = !self.took && self.saved < self.wanted && now < self.asked + ASKS_AGAIN;
        self.took
    }

    /// The request goes.
    pub(super) fn spend(&mut self, parts: u32) {
        self.saved -= parts;
        self.wanted = 0;
    }

    /// Drops what was put by for somebody who did not come back.
    pub(super) fn forget(&mut self, now: Duration) {
        if now >= self.asked + LEFT_BEHIND {
            self.saved = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_put_by_goes_with_nobody_but_who_waited_for_as_much() {
        let at = Duration::from_secs(100);
        let check = |asks: u32, later: Duration, left: u32| {
            let mut savings = Savings { saved: 3, wanted: 4, asked: at, took: false };
            savings.ask(asks, at + later);
            assert_eq!(savings.saved, left, "{asks} parts after {later:?}");
        };
        check(4, Duration::from_millis(200), 3);
        check(4, LEFT_BEHIND, 0);
        // One that needs fewer takes a permit of now for the last of its parts.
        check(1, Duration::from_millis(300), 0);
        check(3, Duration::from_millis(300), 2);
        check(9, Duration::from_millis(300), 3);
    }
}

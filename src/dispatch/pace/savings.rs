//! Permits that are put by for a request which is not in the lane's own line and needs more of them than are ever there
//! at once. It hands out none by itself.

use std::time::Duration;

/// Whoever has not asked again for this long is not waiting, and nothing more is put by.
const ASKS_AGAIN: Duration = Duration::from_millis(250);

/// What nobody has come back for after this time is anybody's.
const LEFT_BEHIND: Duration = Duration::from_mins(1);

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
    /// Somebody asks for as many.
    pub(super) fn ask(&mut self, parts: u32, now: Duration) {
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

    /// What was put by for somebody who did not come back; it is handed over.
    pub(super) fn left_behind(&mut self, now: Duration) -> u32 {
        if self.saved == 0 || now < self.asked + LEFT_BEHIND {
            return 0;
        }
        std::mem::take(&mut self.saved)
    }
}

//! Permits for requests that are not the lane's own.

use crate::model::clock::Moment;

use super::LaneCore;

impl LaneCore {
    /// Takes permits for a request that somebody else sends on this route at once; false while the lane itself must not
    /// send, or has none.
    pub fn lend(&mut self, parts: u32, sender: &str, country: &str, now: Moment) -> bool {
        let shut = self.draining || self.hold_lost || self.breaker.is_open();
        if shut || self.pause(now.elapsed).is_some() {
            return false;
        }
        self.gate.use_permits(parts, sender, country, now.elapsed).is_ok()
    }
}

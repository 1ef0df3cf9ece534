//! Permits for requests that are not the lane's own.

use crate::model::clock::Moment;

use super::LaneCore;

impl LaneCore {
    /// Takes permits for a request that somebody else sends on this route at once; false while the lane itself must not
    /// send, or has none. Where the lane would probe and has nothing to probe with, the request may try: else a breaker
    /// that opened with the last text of a run would stay open for good.
    pub fn lend(&mut self, parts: u32, sender: &str, country: &str, now: Moment) -> bool {
        let busy = self.breaker.is_open() && self.under_way() > 0;
        let shut = self.draining || self.hold_lost || busy;
        if shut || self.pause(now.elapsed).is_some() {
            return false;
        }
        self.gate.use_permits_beside(parts, sender, country, now.elapsed).is_ok()
    }
}

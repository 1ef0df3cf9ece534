//! The provider's own limit: so many parts a second, a few more at once.
//!
//! Pure arithmetic over a monotonic time that is passed in. It never waits.

use std::time::Duration;

/// A leaky bucket kept as one number: the moment at which it will be empty again (GCRA, as in ATM networks).
#[derive(Debug)]
pub(super) struct Throttle {
    per_part: Duration,
    depth: Duration,
    empty_at: Duration,
}

impl Throttle {
    /// Lets `rate` parts a second through and `burst` at once; the default burst is a tenth of a second's worth, at
    /// least ten parts. Counted over any second, at most `rate + burst` pass.
    pub(super) fn new(rate: u32, burst: Option<u32>) -> Self {
        let per_part = Duration::from_secs(1) / rate.max(1);
        let burst = burst.unwrap_or((rate / 10).max(10)).max(1);
        Self { per_part, depth: per_part * burst, empty_at: Duration::ZERO }
    }

    /// Takes `parts` at `now`, or says how long to wait; a refusal costs nothing. A text larger than the burst passes
    /// when the bucket is empty, for otherwise it never would.
    pub(super) fn take(&mut self, now: Duration, parts: u32) -> Result<(), Duration> {
        let level = self.empty_at.saturating_sub(now);
        let after = level + self.per_part * parts;
        let wait = after.saturating_sub(self.depth);
        if !level.is_zero() && !wait.is_zero() {
            return Err(wait);
        }
        self.empty_at = now + after;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_second_passes_the_rate_and_the_burst_at_most() {
        let mut throttle = Throttle::new(100, Some(5));
        let passed: Vec<Duration> = (0..3_000)
            .map(Duration::from_millis)
            .flat_map(|now| [now; 3])
            .filter(|&now| throttle.take(now, 1).is_ok())
            .collect();
        for (i, &from) in passed.iter().enumerate() {
            let within = passed[i..].iter().take_while(|&&at| at < from + Duration::from_secs(1)).count();
            assert!(within <= 105, "{within} in the second from {from:?}");
        }
        assert!(passed.len() >= 300, "{} in three seconds", passed.len());
    }

    #[test]
    fn a_refusal_names_the_wait_after_which_it_passes() {
        let mut throttle = Throttle::new(10, Some(1));
        assert_eq!(throttle.take(Duration::ZERO, 1), Ok(()));
        let wait = throttle.take(Duration::ZERO, 1).expect_err("the bucket is full");
        assert_eq!(wait, Duration::from_millis(100));
        assert_eq!(throttle.take(wait, 1), Ok(()));
    }

    #[test]
    fn a_text_longer_than_the_burst_is_not_refused_for_ever() {
        let mut throttle = Throttle::new(10, Some(2));
        assert_eq!(throttle.take(Duration::ZERO, 8), Ok(()));
        assert!(throttle.take(Duration::from_millis(500), 1).is_err());
        assert_eq!(throttle.take(Duration::from_millis(800), 8), Ok(()));
    }
}

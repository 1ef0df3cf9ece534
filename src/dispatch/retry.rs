//! How long to wait before a proven non-submission is tried again. Pure; a retry is a row, never a sleeping task.

use std::time::Duration;

use backoff::ExponentialBackoff;
use backoff::backoff::Backoff as _;
use rand::{Rng, RngExt as _};

use crate::model::message::RetryPolicy;

/// Delay before the submission that follows `attempts` spent ones (1 after the first), exponential with a cap.
///
/// `backoff` gives the interval; the jitter is drawn here, because its own source of randomness cannot be seeded and
/// may exceed the cap.
pub fn retry_delay(policy: &RetryPolicy, attempts: u32, rng: &mut impl Rng) -> Duration {
    let exponent = i32::try_from(attempts.saturating_sub(1)).unwrap_or(i32::MAX);
    let cap = policy.max_delay();
    let first = Duration::from_millis(policy.first_delay_ms);
    let grown = first.as_secs_f64() * policy.multiplier.max(1.0).powi(exponent);
    let interval = Duration::try_from_secs_f64(grown.min(cap.as_secs_f64())).unwrap_or(cap);
    let mut schedule = ExponentialBackoff {
        current_interval: interval,
        initial_interval: first,
        randomization_factor: 0.0,
        multiplier: policy.multiplier.max(1.0),
        max_interval: cap,
        max_elapsed_time: None,
        ..ExponentialBackoff::default()
    };
    let delay = schedule.next_backoff().unwrap_or(cap);
    let jitter = policy.jitter.clamp(0.0, 1.0);
    delay.mul_f64(rng.random_range(1.0 - jitter..=1.0 + jitter)).min(cap)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng as _;
    use rand::rngs::StdRng;

    #[test]
    fn delays_double_up_to_the_cap() {
        let policy = RetryPolicy {
            jitter: 0.0,
            first_delay_ms: 1_000,
            max_delay_ms: 10_000,
            ..RetryPolicy::default()
        };
        let mut rng = StdRng::seed_from_u64(1);
        let delays: Vec<u64> =
            (1..=6).map(|n| retry_delay(&policy, n, &mut rng).as_millis().try_into().unwrap()).collect();
        assert_eq!(delays, [1_000, 2_000, 4_000, 8_000, 10_000, 10_000]);
    }

    #[test]
    fn jitter_stays_within_its_share_and_under_the_cap_and_repeats_with_the_seed() {
        let policy = RetryPolicy { jitter: 0.5, ..RetryPolicy::default() };
        let draw = |seed| -> Vec<Duration> {
            let mut rng = StdRng::seed_from_u64(seed);
            (1..=40).map(|n| retry_delay(&policy, n, &mut rng)).collect()
        };
        assert_eq!(draw(7), draw(7));
        for (n, delay) in draw(7).into_iter().enumerate() {
            assert!(delay <= policy.max_delay(), "{n}");
            assert!(delay >= Duration::from_millis(policy.first_delay_ms / 2), "{n}");
        }
    }
}

//! Pacing in parts: one limit for the account, one for each sender and country that has its own.
//!
//! Time is passed in; nothing here waits. A throttle answer slows the account's limit, quiet time brings it back.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use governor::clock::Clock;
use governor::middleware::NoOpMiddleware;
use governor::nanos::Nanos;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter};
use serde::{Deserialize, Serialize};

/// Slowest share of its limit that a throttled lane falls to.
const SLOWEST: f64 = 1.0 / 64.0;

/// Share of its limit that a lane regains per second without a throttle answer.
const RECOVERY_PER_SECOND: f64 = 0.05;

/// A rate in parts.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limit {
    /// Parts per second in the long run.
    pub parts_per_second: f64,
    /// Parts that may go at once after a pause.
    #[serde(default = "one")]
    pub burst: u32,
}

fn one() -> u32 {
    1
}

/// Every limit of one lane.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LaneLimits {
    /// The account.
    pub account: Option<Limit>,
    /// Single senders.
    pub senders: HashMap<String, Limit>,
    /// Single countries.
    pub countries: HashMap<String, Limit>,
}

/// Hands out permits of one lane.
#[derive(Debug)]
pub struct Pacer {
    account: Bucket,
    senders: HashMap<String, Bucket>,
    countries: HashMap<String, Bucket>,
    /// Parts already permitted by the account and not used yet.
    credit: u32,
}

impl Pacer {
    /// A pacer whose limits start full.
    pub fn new(limits: &LaneLimits) -> Self {
        let buckets = |limits: &HashMap<String, Limit>| {
            limits.iter().map(|(name, limit)| (name.clone(), Bucket::new(Some(*limit)))).collect()
        };
        Self {
            account: Bucket::new(limits.account),
            senders: buckets(&limits.senders),
            countries: buckets(&limits.countries),
            credit: 0,
        }
    }

    /// Takes account permits ahead, up to `want` unused ones; answers how many are in hand.
    pub fn stock_up(&mut self, want: u32, now: Duration) -> u32 {
        let mut step = want.saturating_sub(self.credit).min(self.account.burst());
        while step > 0 && self.credit < want {
            if self.account.take(step, now).is_ok() {
                self.credit += step;
                step = step.min(want - self.credit);
            } else {
                step /= 2;
            }
        }
        self.credit
    }

    /// Uses `parts` of the permits in hand for one message, if its sender and country allow it now.
    ///
    /// # Errors
    /// How long to wait, and whether the account or a narrower limit says so.
    pub fn use_permits(
        &mut self,
        parts: u32,
        sender: &str,
        country: &str,
        now: Duration,
    ) -> Result<(), Hold> {
        if self.credit < parts {
            let missing = parts - self.credit;
            return Err(Hold::Account(self.account.period(missing.min(self.account.burst()).max(1))));
        }
        let mut narrow = [self.senders.get_mut(sender), self.countries.get_mut(country)];
        // All or nothing: what one of them gave while another refused stays in hand for the next message.
        for bucket in narrow.iter_mut().flatten() {
            bucket.hold_up_to_burst(parts, now).map_err(Hold::Narrow)?;
        }
        for bucket in narrow.into_iter().flatten() {
            bucket.use_held(parts);
        }
        self.credit -= parts;
        Ok(())
    }

    /// How long `parts` keep a sender and a country busy, each none without a limit of its own.
    pub fn narrow_periods(
        &self,
        parts: u32,
        sender: &str,
        country: &str,
    ) -> (Option<Duration>, Option<Duration>) {
        let period = |buckets: &HashMap<String, Bucket>, name| {
            buckets.get(name).map(|bucket: &Bucket| bucket.period(parts.min(bucket.burst())))
        };
        (period(&self.senders, sender), period(&self.countries, country))
    }

    /// Parts that could go within a second from a full burst; takes nothing. More than that need not be at hand.
    pub fn within_a_second(&self) -> u32 {
        self.account.within_a_second()
    }

    /// A throttle answer came: halve the account's rate.
    pub fn slow_down(&mut self, now: Duration) {
        self.credit = 0;
        self.account.scale(|factor| (factor / 2.0).max(SLOWEST), now);
    }

    /// Called as time passes: regains rate after throttling.
    pub fn recover(&mut self, now: Duration) {
        self.account.recover(now);
    }

    /// The share of its limit at which the lane runs, 1 when nothing throttles it.
    pub fn share(&self) -> f64 {
        self.account.factor
    }
}

/// Why a message cannot go now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hold {
    /// The account's own limit; nothing else can go either.
    Account(Duration),
    /// The limit of its sender or country; others may go.
    Narrow(Duration),
}

type Limiter = RateLimiter<NotKeyed, InMemoryState, LaneClock, NoOpMiddleware<Nanos>>;

/// One limit; without one it never says no.
#[derive(Debug)]
struct Bucket {
    limit: Option<Limit>,
    factor: f64,
    changed: Duration,
    clock: LaneClock,
    limiter: Option<Limiter>,
    /// Parts taken for a message that something else held back.
    held: u32,
}

impl Bucket {
    fn new(limit: Option<Limit>) -> Self {
        let clock = LaneClock::default();
        let limiter = limit.map(|limit| limiter(limit, 1.0, &clock));
        Self { limit, factor: 1.0, changed: Duration::ZERO, clock, limiter, held: 0 }
    }

    fn burst(&self) -> u32 {
        self.limit.map_or(u32::MAX, |limit| limit.burst.max(1))
    }

    fn take(&mut self, parts: u32, now: Duration) -> Result<(), Duration> {
        self.clock.set(now);
        let (Some(limiter), Some(count)) = (&self.limiter, NonZeroU32::new(parts)) else { return Ok(()) };
        match limiter.check_n(count) {
            Ok(Ok(())) => Ok(()),
            Ok(Err(not_until)) => Err(not_until.wait_time_from(self.clock.now())),
            Err(_) => Err(self.period(parts)),
        }
    }

    /// A message longer than the burst takes the whole burst: it cannot be sent in pieces.
    fn hold_up_to_burst(&mut self, parts: u32, now: Duration) -> Result<(), Duration> {
        let missing = parts.min(self.burst()).saturating_sub(self.held);
        self.take(missing, now)?;
        self.held += missing;
        Ok(())
    }

    fn use_held(&mut self, parts: u32) {
        self.held -= parts.min(self.burst()).min(self.held);
    }

    fn within_a_second(&self) -> u32 {
        let Some(limit) = self.limit else { return u32::MAX };
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a bound; the cast saturates"
        )]
        let second = (limit.parts_per_second * self.factor).ceil() as u32;
        self.burst().saturating_add(second)
    }

    fn period(&self, parts: u32) -> Duration {
        let Some(limit) = self.limit else { return Duration::ZERO };
        let rate = (limit.parts_per_second * self.factor).max(1e-6);
        Duration::try_from_secs_f64(f64::from(parts) / rate).unwrap_or(Duration::from_hours(1))
    }

    fn scale(&mut self, change: impl Fn(f64) -> f64, now: Duration) {
        let Some(limit) = self.limit else { return };
        self.factor = change(self.factor);
        self.changed = now;
        self.clock.set(now);
        let fresh = limiter(limit, self.factor, &self.clock);
        // A new limiter starts full; taking its burst at once keeps a change of rate from being a free burst.
        let _ = NonZeroU32::new(limit.burst.max(1)).map(|burst| fresh.check_n(burst));
        self.limiter = Some(fresh);
    }

    fn recover(&mut self, now: Duration) {
        let quiet = now.saturating_sub(self.changed);
        if self.factor < 1.0 && quiet >= Duration::from_secs(1) {
            let gain = RECOVERY_PER_SECOND * quiet.as_secs_f64();
            self.scale(|factor| (factor + gain).min(1.0), now);
        }
    }
}

fn limiter(limit: Limit, factor: f64, clock: &LaneClock) -> Limiter {
    let rate = (limit.parts_per_second * factor).max(1e-6);
    let period = Duration::try_from_secs_f64(1.0 / rate).unwrap_or(Duration::from_hours(24));
    let burst = NonZeroU32::new(limit.burst.max(1)).unwrap_or(NonZeroU32::MIN);
    let quota = Quota::with_period(period.max(Duration::from_nanos(1)))
        .unwrap_or_else(|| Quota::per_second(burst))
        .allow_burst(burst);
    RateLimiter::direct_with_clock(quota, clock.clone())
}

/// The time the lane was told, as governor wants it.
#[derive(Clone, Debug, Default)]
struct LaneClock(Arc<AtomicU64>);

impl LaneClock {
    /// Never moves back.
    fn set(&self, now: Duration) {
        self.0.fetch_max(u64::try_from(now.as_nanos()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }
}

impl Clock for LaneClock {
    type Instant = Nanos;

    fn now(&self) -> Nanos {
        Nanos::new(self.0.load(Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn account(parts_per_second: f64, burst: u32) -> LaneLimits {
        LaneLimits { account: Some(Limit { parts_per_second, burst }), ..LaneLimits::default() }
    }

    /// Sends messages of `parts` as fast as the pacer allows for `seconds`, looking every millisecond; answers the
    /// parts sent in each millisecond.
    fn drive(pacer: &mut Pacer, parts: u32, seconds: u32) -> Vec<u32> {
        let mut sent = Vec::new();
        for ms in 0..seconds * 1000 {
            let now = MS * ms;
            let mut this = 0;
            loop {
                pacer.stock_up(parts, now);
                if pacer.use_permits(parts, "s", "US", now).is_err() {
                    break;
                }
                this += parts;
            }
            sent.push(this);
        }
        sent
    }

    #[test]
    fn a_limit_in_parts_holds_over_time_and_in_every_second() {
        let check = |rate: f64, burst: u32, parts: u32| {
            let sent = drive(&mut Pacer::new(&account(rate, burst)), parts, 60);
            let total: u32 = sent.iter().sum();
            let expected = rate * 60.0 + f64::from(burst);
            assert!(f64::from(total) <= expected + 1e-9, "{rate}/s: {total} of {expected}");
            assert!(f64::from(total) >= rate * 60.0 * 0.99 - f64::from(parts), "{rate}/s: only {total}");
            let most = sent.windows(1000).map(|w| w.iter().sum::<u32>()).max().unwrap_or(0);
            let bound = rate + f64::from(burst.max(parts)) + 1e-9;
            assert!(f64::from(most) <= bound, "{rate}/s: {most} in one second");
        };
        check(1.0, 1, 1);
        check(10.0, 1, 1);
        check(10.0, 5, 3);
        check(100.0, 20, 2);
        check(5_000.0, 50, 1);
        check(2.0, 1, 3);
    }

    #[test]
    fn a_narrow_limit_holds_only_its_own_messages() {
        let mut limits = account(1_000.0, 1_000);
        limits.countries.insert("FR".to_owned(), Limit { parts_per_second: 1.0, burst: 1 });
        let mut pacer = Pacer::new(&limits);
        pacer.stock_up(10, Duration::ZERO);
        assert_eq!(pacer.use_permits(1, "s", "FR", Duration::ZERO), Ok(()));
        assert!(matches!(pacer.use_permits(1, "s", "FR", Duration::ZERO), Err(Hold::Narrow(_))));
        assert_eq!(pacer.use_permits(1, "s", "US", Duration::ZERO), Ok(()));
    }

    #[test]
    fn a_throttled_lane_slows_down_and_recovers_without_a_burst() {
        let mut pacer = Pacer::new(&account(100.0, 10));
        drive(&mut pacer, 1, 1);
        for _ in 0..3 {
            pacer.slow_down(Duration::from_secs(1));
        }
        assert!((pacer.share() - 0.125).abs() < 1e-9);
        assert_eq!(pacer.stock_up(10, Duration::from_secs(1)), 0, "no free burst");
        let mut last = pacer.share();
        for second in 2..40 {
            pacer.recover(Duration::from_secs(second));
            assert!(pacer.share() >= last);
            last = pacer.share();
        }
        assert!((last - 1.0).abs() < 1e-9, "back to its limit");
    }

    #[test]
    fn a_sender_does_not_pay_for_what_its_country_holds_back() {
        let mut limits = account(1_000.0, 1_000);
        limits.senders.insert("s".to_owned(), Limit { parts_per_second: 0.001, burst: 2 });
        limits.countries.insert("FR".to_owned(), Limit { parts_per_second: 0.001, burst: 1 });
        let mut pacer = Pacer::new(&limits);
        pacer.stock_up(100, Duration::ZERO);
        assert_eq!(pacer.use_permits(1, "s", "FR", Duration::ZERO), Ok(()));
        for _ in 0..20 {
            assert!(matches!(pacer.use_permits(1, "s", "FR", Duration::ZERO), Err(Hold::Narrow(_))));
        }
        assert_eq!(
            pacer.use_permits(1, "s", "US", Duration::ZERO),
            Ok(()),
            "its second permit is still there"
        );
        assert!(pacer.use_permits(1, "s", "US", Duration::ZERO).is_err());
    }

    #[test]
    fn no_limit_never_says_no() {
        let mut pacer = Pacer::new(&LaneLimits::default());
        assert_eq!(pacer.stock_up(1_000_000, Duration::ZERO), 1_000_000);
    }
}

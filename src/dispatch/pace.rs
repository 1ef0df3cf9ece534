//! Pacing in parts: one limit for the account, one for each sender and country that has its own.
//!
//! Time is passed in; nothing here waits. A throttle answer slows the account's limit, quiet time brings it back.

mod savings;

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

use savings::Savings;

/// Slowest share of its limit that a throttled lane falls to.
const SLOWEST: f64 = 1.0 / 64.0;

/// Share of its limit that a lane regains per second without a throttle answer.
const RECOVERY_PER_SECOND: f64 = 0.05;

/// Share of a limit that is used. What is left makes room for permits that a late timer makes up for, and for texts
/// that the network delays into the next second: no second of the provider's clock may hold more than limit and burst.
const USED: f64 = 0.992;

/// Permits that a late timer missed may be made up for this much later even where [`Pacer::new`] is told less, as long as
/// that is not a whole part: at a low limit a part is seldom, and a timer is late all the same.
const AT_LEAST: Duration = Duration::from_millis(40);

/// Most that is made up for on account of [`AT_LEAST`], in parts.
const NOT_A_PART: f64 = 0.9;

/// Permits are counted in shares of a part, so that being late by less than a part's time is made up for too.
const SHARES: f64 = 100.0;

/// Shortest time that one share takes; governor counts in whole nanoseconds.
const SHORTEST_SHARE_NS: f64 = 1_000.0;

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
    /// Parts that the account permitted for a message that something else holds back, or that needs more of them.
    credit: u32,
    savings: Savings,
}

impl Pacer {
    /// A pacer whose limits start full. Permits that nobody took in time may be taken up to `slack` later, beside the
    /// burst.
    pub fn new(limits: &LaneLimits, slack: Duration) -> Self {
        let buckets = |limits: &HashMap<String, Limit>| {
            limits.iter().map(|(name, limit)| (name.clone(), Bucket::new(Some(*limit), slack))).collect()
        };
        Self {
            account: Bucket::new(limits.account, slack),
            senders: buckets(&limits.senders),
            countries: buckets(&limits.countries),
            credit: 0,
            savings: Savings::default(),
        }
    }

    /// Uses the permits for one message of `parts`, if the account, its sender and its country allow it now. What one
    /// of them gave while another refused stays in hand for the next message.
    ///
    /// # Errors
    /// How long to wait before asking again, and whether the account or a narrower limit says so.
    pub fn use_permits(
        &mut self,
        parts: u32,
        sender: &str,
        country: &str,
        now: Duration,
    ) -> Result<(), Hold> {
        self.savings.forget(now);
        while self.credit < parts {
            // One by one: more than the burst never gathers.
            self.account.take(1, now).map_err(Hold::Account)?;
            if self.savings.takes(now) { self.savings.saved += 1 } else { self.credit += 1 }
        }
        self.use_narrow(parts, sender, country, now)?;
        self.credit -= parts;
        Ok(())
    }

    /// As [`Pacer::use_permits`] for a request beside the line of those who use that: while it is asked for again and
    /// again, every other permit is kept for it, so that it does not wait for ever behind messages that need fewer. Of
    /// several such requests, the one that needs most comes first.
    ///
    /// # Errors
    /// As [`Pacer::use_permits`].
    pub fn use_permits_beside(
        &mut self,
        parts: u32,
        sender: &str,
        country: &str,
        now: Duration,
    ) -> Result<(), Hold> {
        if self.savings.are_for_more(parts, now) {
            return Err(Hold::Account(self.account.period(1)));
        }
        self.savings.ask(parts, now);
        while self.savings.saved < parts {
            self.account.take(1, now).map_err(Hold::Account)?;
            self.savings.saved += 1;
        }
        self.use_narrow(parts, sender, country, now)?;
        self.savings.spend(parts);
        Ok(())
    }

    fn use_narrow(&mut self, parts: u32, sender: &str, country: &str, now: Duration) -> Result<(), Hold> {
        let mut narrow = [self.senders.get_mut(sender), self.countries.get_mut(country)];
        for bucket in narrow.iter_mut().flatten() {
            bucket.hold_up_to_burst(parts, now).map_err(Hold::Narrow)?;
        }
        for bucket in narrow.into_iter().flatten() {
            bucket.use_held(parts);
        }
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

    /// Parts that the account's limit lets go in such a span; takes nothing.
    pub fn within(&self, span: Duration) -> usize {
        let period = self.account.period(1).as_nanos();
        span.as_nanos()
            .checked_div(period)
            .map_or(usize::MAX, |parts| usize::try_from(parts).unwrap_or(usize::MAX))
    }

    /// A throttle answer came: halve the account's rate.
    pub fn slow_down(&mut self, now: Duration) {
        self.credit = 0;
        self.savings.saved = 0;
        self.account.scale(|factor| (factor / 2.0).max(SLOWEST), false, now);
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

impl Hold {
    /// How long it lasts.
    pub fn wait(self) -> Duration {
        match self {
            Self::Account(wait) | Self::Narrow(wait) => wait,
        }
    }
}

type Limiter = RateLimiter<NotKeyed, InMemoryState, LaneClock, NoOpMiddleware<Nanos>>;

/// One limit; without one it never says no.
#[derive(Debug)]
struct Bucket {
    limit: Option<Limit>,
    slack: Duration,
    factor: f64,
    changed: Duration,
    clock: LaneClock,
    limiter: Option<Shares>,
    /// Parts taken for a message that something else held back.
    held: u32,
}

impl Bucket {
    fn new(limit: Option<Limit>, slack: Duration) -> Self {
        let clock = LaneClock::default();
        let limiter = limit.map(|limit| Shares::new(limit, 1.0, slack, &clock));
        Self { limit, slack, factor: 1.0, changed: Duration::ZERO, clock, limiter, held: 0 }
    }

    fn burst(&self) -> u32 {
        self.limit.map_or(u32::MAX, |limit| limit.burst.max(1))
    }

    fn take(&mut self, parts: u32, now: Duration) -> Result<(), Duration> {
        self.clock.set(now);
        let Some(shares) = &self.limiter else { return Ok(()) };
        let Some(count) = NonZeroU32::new(parts.saturating_mul(shares.in_a_part)) else { return Ok(()) };
        match shares.limiter.check_n(count) {
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
        self.burst().saturating_add(whole((limit.parts_per_second * self.factor).ceil()))
    }

    fn period(&self, parts: u32) -> Duration {
        let Some(limit) = self.limit else { return Duration::ZERO };
        Duration::try_from_secs_f64(f64::from(parts) / used_rate(limit, self.factor))
            .unwrap_or(Duration::from_hours(1))
    }

    /// Changes the rate. What had gathered for the next part is kept if `keep`, else a low limit would never gather one.
    fn scale(&mut self, change: impl Fn(f64) -> f64, keep: bool, now: Duration) {
        let Some(limit) = self.limit else { return };
        self.factor = change(self.factor);
        self.changed = now;
        self.clock.set(now);
        let gathered = self.limiter.as_ref().filter(|_| keep).map_or(0.0, Shares::drain);
        let fresh = Shares::new(limit, self.factor, self.slack, &self.clock);
        // A new limiter starts full; emptied at once, a change of rate is no free burst.
        let kept = whole(gathered * f64::from(fresh.in_a_part));
        let spare = fresh.capacity.get().saturating_sub(kept);
        let _ = NonZeroU32::new(spare).map(|spare| fresh.limiter.check_n(spare));
        self.limiter = Some(fresh);
    }

    fn recover(&mut self, now: Duration) {
        let quiet = now.saturating_sub(self.changed);
        if self.factor < 1.0 && quiet >= Duration::from_secs(1) {
            let gain = RECOVERY_PER_SECOND * quiet.as_secs_f64();
            self.scale(|factor| (factor + gain).min(1.0), true, now);
        }
    }
}

/// A limiter that counts in shares of a part.
#[derive(Debug)]
struct Shares {
    limiter: Limiter,
    in_a_part: u32,
    /// The burst, and what may be made up for.
    capacity: NonZeroU32,
}

impl Shares {
    fn new(limit: Limit, factor: f64, slack: Duration, clock: &LaneClock) -> Self {
        let rate = used_rate(limit, factor);
        let in_a_part = (1e9 / (rate * SHORTEST_SHARE_NS)).clamp(1.0, SHARES).floor();
        // Rounded up: rounded down it would be faster than the limit.
        let period = Duration::try_from_secs_f64((1e9 / (rate * in_a_part)).ceil() / 1e9);
        let period = period.unwrap_or(Duration::from_hours(24)).max(Duration::from_nanos(1));
        let slack = (rate * slack.as_secs_f64()).max((rate * AT_LEAST.as_secs_f64()).min(NOT_A_PART));
        let capacity = in_a_part * (f64::from(limit.burst.max(1)) + slack);
        let capacity = NonZeroU32::new(whole(capacity)).unwrap_or(NonZeroU32::MIN);
        let quota = Quota::with_period(period).unwrap_or_else(|| Quota::per_second(capacity));
        let limiter = RateLimiter::direct_with_clock(quota.allow_burst(capacity), clock.clone());
        Self { limiter, in_a_part: whole(in_a_part), capacity }
    }
}

impl Shares {
    /// Takes all there is; answers how many parts that were.
    fn drain(&self) -> f64 {
        let (mut step, mut taken) = (self.capacity.get(), 0);
        while let Some(count) = NonZeroU32::new(step) {
            if matches!(self.limiter.check_n(count), Ok(Ok(()))) {
                taken += step;
            }
            step /= 2;
        }
        f64::from(taken) / f64::from(self.in_a_part)
    }
}

/// Parts per second that a limit gives out in the long run.
fn used_rate(limit: Limit, factor: f64) -> f64 {
    (limit.parts_per_second * factor * USED).max(1e-6)
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a bound; the cast saturates")]
fn whole(number: f64) -> u32 {
    number as u32
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
    const SLACK: Duration = Duration::from_millis(4);

    fn account(parts_per_second: f64, burst: u32) -> LaneLimits {
        LaneLimits { account: Some(Limit { parts_per_second, burst }), ..LaneLimits::default() }
    }

    fn pacer(limits: &LaneLimits) -> Pacer {
        Pacer::new(limits, SLACK)
    }

    /// Sends messages of `parts` as fast as the pacer allows for `seconds`, looking after each of `looks` in turn;
    /// answers the parts sent in each millisecond.
    fn drive(pacer: &mut Pacer, parts: u32, seconds: u32, looks: &[u32]) -> Vec<u32> {
        let mut sent = vec![0; seconds as usize * 1000];
        let (mut ms, mut looks) = (0, looks.iter().cycle());
        while let Some(this) = sent.get_mut(ms as usize) {
            while pacer.use_permits(parts, "s", "US", MS * ms).is_ok() {
                *this += parts;
            }
            ms += looks.next().expect("it never ends");
        }
        sent
    }

    #[test]
    fn a_limit_in_parts_holds_within_one_percent_over_a_minute_and_in_every_second() {
        let check = |rate: f64, burst: u32, parts: u32| {
            let late: &[u32] = if rate > 100.0 { &[4] } else { &[9] };
            for looks in [&[1][..], &[2, 1, 4], &[3], late] {
                let sent = drive(&mut pacer(&account(rate, burst)), parts, 60, looks);
                let total: u32 = sent.iter().sum();
                assert!(f64::from(total) <= rate * 60.0 + f64::from(burst), "{rate}/s {looks:?}: {total}");
                assert!(
                    f64::from(total) >= rate * 60.0 * 0.99 - f64::from(parts),
                    "{rate}/s {looks:?}: only {total}"
                );
                let (mut most, mut second) = (0, 0);
                for (at, parts) in sent.iter().enumerate() {
                    second += parts;
                    most = most.max(second);
                    second -= if at < 999 { 0 } else { sent[at - 999] };
                }
                let bound = rate + f64::from(burst.max(parts));
                assert!(f64::from(most) <= bound, "{rate}/s {looks:?}: {most} in one second");
            }
        };
        check(1.0, 1, 1);
        check(10.0, 1, 1);
        check(10.0, 5, 3);
        check(100.0, 1, 1);
        check(100.0, 20, 2);
        check(5_000.0, 1, 1);
        check(5_000.0, 50, 1);
        check(2.0, 1, 3);
        check(50_000.0, 1, 1);
        check(0.05, 1, 1);
    }

    #[test]
    fn a_narrow_limit_holds_only_its_own_messages() {
        let mut limits = account(1_000.0, 1_000);
        limits.countries.insert("FR".to_owned(), Limit { parts_per_second: 1.0, burst: 1 });
        let mut pacer = pacer(&limits);
        assert_eq!(pacer.use_permits(1, "s", "FR", Duration::ZERO), Ok(()));
        assert!(matches!(pacer.use_permits(1, "s", "FR", Duration::ZERO), Err(Hold::Narrow(_))));
        assert_eq!(pacer.use_permits(1, "s", "US", Duration::ZERO), Ok(()));
    }

    #[test]
    fn a_wait_ends_when_the_permits_are_there() {
        let check = |rate: f64, parts: u32, after: Duration| {
            let mut pacer = pacer(&account(rate, 1));
            while pacer.use_permits(parts, "s", "US", Duration::ZERO).is_ok() {}
            let Err(hold) = pacer.use_permits(parts, "s", "US", after) else { panic!("at once") };
            let at = after + hold.wait();
            assert!(pacer.use_permits(parts, "s", "US", at.saturating_sub(MS)).is_err(), "{rate}: too long");
            assert_eq!(pacer.use_permits(parts, "s", "US", at + MS / 1000), Ok(()), "{rate}: too short");
        };
        check(10.0, 1, Duration::ZERO);
        check(10.0, 1, MS * 60);
        check(0.1, 1, MS * 2_000);
    }

    #[test]
    fn a_throttled_lane_slows_down_and_recovers_without_a_burst() {
        let mut pacer = pacer(&account(100.0, 10));
        drive(&mut pacer, 1, 1, &[1]);
        for _ in 0..3 {
            pacer.slow_down(Duration::from_secs(1));
        }
        assert!((pacer.share() - 0.125).abs() < 1e-9);
        assert!(pacer.use_permits(1, "s", "US", Duration::from_secs(1)).is_err(), "no free burst");
        let mut last = pacer.share();
        for second in 2..40 {
            pacer.recover(Duration::from_secs(second));
            assert!(pacer.share() >= last);
            last = pacer.share();
        }
        assert!((last - 1.0).abs() < 1e-9, "back to its limit");
    }

    #[test]
    fn a_slow_lane_goes_on_while_it_recovers() {
        let mut pacer = pacer(&account(1.0, 1));
        assert_eq!(pacer.use_permits(1, "s", "US", Duration::ZERO), Ok(()));
        pacer.slow_down(Duration::ZERO);
        let mut sent = Vec::new();
        for ms in 0..6_000 {
            pacer.recover(MS * ms);
            if pacer.use_permits(1, "s", "US", MS * ms).is_ok() {
                sent.push(ms);
            }
        }
        assert!((2..=4).contains(&sent.len()), "one in about two seconds at half of one a second: {sent:?}");
    }

    #[test]
    fn a_sender_does_not_pay_for_what_its_country_holds_back() {
        let mut limits = account(1_000.0, 1_000);
        limits.senders.insert("s".to_owned(), Limit { parts_per_second: 0.001, burst: 2 });
        limits.countries.insert("FR".to_owned(), Limit { parts_per_second: 0.001, burst: 1 });
        let mut pacer = pacer(&limits);
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
        let mut pacer = pacer(&LaneLimits::default());
        assert_eq!(pacer.use_permits(1_000_000, "s", "US", Duration::ZERO), Ok(()));
    }
}

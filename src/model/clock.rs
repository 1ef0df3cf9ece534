//! Time: the only place that reads the system clock. Everything else is told what time it is.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize, Serializer};

/// An instant as UTC milliseconds since 1970, the one form in which times are stored and compared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(pub i64);

impl Timestamp {
    /// The latest instant that is ever stored; "no end".
    pub const MAX: Timestamp = Timestamp(i64::MAX);

    /// This instant moved forward by `span`, saturating.
    #[must_use]
    pub fn plus(self, span: Duration) -> Self {
        Self(self.0.saturating_add(i64::try_from(span.as_millis()).unwrap_or(i64::MAX)))
    }

    /// This instant moved back by `span`, saturating.
    #[must_use]
    pub fn minus(self, span: Duration) -> Self {
        Self(self.0.saturating_sub(i64::try_from(span.as_millis()).unwrap_or(i64::MAX)))
    }

    /// Time from `earlier` to this instant; zero if it lies in the future.
    pub fn since(self, earlier: Timestamp) -> Duration {
        Duration::from_millis(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }

    /// The instant as RFC 3339 text in UTC with whole seconds, for people and exports.
    pub fn rfc3339(self) -> String {
        match jiff::Timestamp::from_millisecond(self.0) {
            Ok(at) => at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
            Err(_) => "never".to_owned(),
        }
    }

    /// Serialises an instant, or none, as the RFC 3339 text that answers hold; give it as `serialize_with`. The bare number
    /// of milliseconds is what a store keeps.
    ///
    /// # Errors
    /// Those of the serialiser.
    pub fn as_text<'a, S: Serializer>(
        at: impl Into<Option<&'a Self>>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        at.into().map(|at| at.rfc3339()).serialize(serializer)
    }

    /// Reads RFC 3339 text; the offset is required, because a time without one is a guess.
    ///
    /// # Errors
    /// When the text is not an RFC 3339 instant.
    pub fn parse(text: &str) -> Result<Self, jiff::Error> {
        text.trim().parse::<jiff::Timestamp>().map(Self::from)
    }

    /// The same instant for calendar arithmetic; clamped to jiff's range.
    pub fn to_jiff(self) -> jiff::Timestamp {
        jiff::Timestamp::from_millisecond(self.0).unwrap_or(if self.0 < 0 {
            jiff::Timestamp::MIN
        } else {
            jiff::Timestamp::MAX
        })
    }
}

impl From<jiff::Timestamp> for Timestamp {
    fn from(at: jiff::Timestamp) -> Self {
        Self(at.as_millisecond())
    }
}

/// Where the time comes from: the machine, or a test's hand.
pub trait Clock: Send + Sync + std::fmt::Debug {
    /// Wall time, for everything that is stored or compared with a calendar. May jump.
    fn now(&self) -> Timestamp;

    /// Time since some fixed instant, for rates and deadlines. Never jumps, and counts time spent suspended.
    fn elapsed(&self) -> Duration;

    /// Both at once.
    fn moment(&self) -> Moment {
        Moment { wall: self.now(), elapsed: self.elapsed() }
    }
}

/// One reading of both clocks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Moment {
    /// Wall time.
    pub wall: Timestamp,
    /// Time since a fixed instant.
    pub elapsed: Duration,
}

/// The machine's clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        #[expect(clippy::disallowed_methods, reason = "this is the one place that reads the clock")]
        let now = SystemTime::now();
        let ms = now.duration_since(UNIX_EPOCH).map_or(0, |d| d.as_millis());
        Timestamp(i64::try_from(ms).unwrap_or(i64::MAX))
    }

    fn elapsed(&self) -> Duration {
        let since_boot = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
        let seconds = u64::try_from(since_boot.tv_sec).unwrap_or(0);
        Duration::new(seconds, u32::try_from(since_boot.tv_nsec).unwrap_or(0))
    }
}

/// The machine's clock, moved by a fixed span: a story told on another day runs at its natural speed.
#[derive(Clone, Copy, Debug)]
pub struct ShiftedClock {
    by_ms: i64,
}

impl ShiftedClock {
    /// A clock that shows `at` now and goes on from there.
    pub fn starting_at(at: Timestamp) -> Self {
        Self { by_ms: at.0.saturating_sub(SystemClock.now().0) }
    }
}

impl Clock for ShiftedClock {
    fn now(&self) -> Timestamp {
        Timestamp(SystemClock.now().0.saturating_add(self.by_ms))
    }

    fn elapsed(&self) -> Duration {
        SystemClock.elapsed()
    }
}

/// The machine's clock, moved by a span that may change at any time: a wall clock that somebody sets. For tests: a release
/// build has none.
#[cfg(debug_assertions)]
#[derive(Debug)]
pub struct SteeredClock {
    by_ms: AtomicI64,
}

#[cfg(debug_assertions)]
impl SteeredClock {
    /// A clock that is off by `by_ms` milliseconds.
    pub fn off_by(by_ms: i64) -> Self {
        Self { by_ms: AtomicI64::new(by_ms) }
    }

    /// Sets by how much it is off.
    pub fn steer(&self, by_ms: i64) {
        self.by_ms.store(by_ms, Ordering::SeqCst);
    }
}

#[cfg(debug_assertions)]
impl Clock for SteeredClock {
    fn now(&self) -> Timestamp {
        Timestamp(SystemClock.now().0.saturating_add(self.by_ms.load(Ordering::SeqCst)))
    }

    fn elapsed(&self) -> Duration {
        SystemClock.elapsed()
    }
}

/// A clock that moves only when it is told to: the same command at the same time gives the same answer.
#[derive(Debug)]
pub struct ManualClock(AtomicI64);

impl ManualClock {
    /// Starts at `now`.
    pub fn at(now: Timestamp) -> Self {
        Self(AtomicI64::new(now.0))
    }

    /// Jumps to `now`, forward or back.
    pub fn set(&self, now: Timestamp) {
        self.0.store(now.0, Ordering::SeqCst);
    }

    /// Moves forward by `span`.
    pub fn advance(&self, span: Duration) {
        self.set(self.now().plus(span));
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        Timestamp(self.0.load(Ordering::SeqCst))
    }

    fn elapsed(&self) -> Duration {
        Duration::from_millis(u64::try_from(self.0.load(Ordering::SeqCst)).unwrap_or(0))
    }
}

//! What the simulator is told: where it listens, how it fails, how fast, and what becomes of the texts it took.
//!
//! Plain data with defaults and one check. It never parses a command line and never reads the environment.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::SimulatorError;
use super::script::Script;
use super::target::Target;
use crate::telemetry::Secret;

/// Everything a simulated provider is configured with; the default behaves well and loses nothing.
#[derive(Clone, Debug)]
pub struct SimulatorConfig {
    /// Where to listen; port 0 takes any free port.
    pub listen: SocketAddr,
    /// The bearer token that submissions and look-ups must carry.
    pub key: Secret,
    /// The key under which receipts and customer replies are signed.
    pub signing_key: Secret,
    /// The ledger file; created if missing, continued if present.
    pub ledger: PathBuf,
    /// False skips the disk sync before an answer. For benchmarks that compare; such a ledger proves nothing after a
    /// power cut.
    pub sync: bool,
    /// The seed of every decision: same seed and same requests give each message the same answer, whatever their order.
    pub seed: u64,
    /// Misbehaviour by phases; what it leaves alone follows the shares below.
    pub script: Option<Script>,
    /// Parts taken per second before answering 429; `None` takes all.
    pub parts_per_second: Option<u32>,
    /// Parts taken at once above the steady rate; `None` means a tenth of a second's worth, at least ten.
    pub burst_parts: Option<u32>,
    /// Texts of more parts than this are refused as `bad_text`.
    pub parts_per_message: u32,
    /// Time from taking a submission to answering it.
    pub latency: Curve,
    /// How often submissions fail, and how.
    pub failures: Failures,
    /// What becomes of accepted messages, and how it is reported.
    pub receipts: Receipts,
    /// What customers answer.
    pub replies: Replies,
    /// How it answers whoever asks what became of a submission.
    pub lookups: Lookups,
    /// How long a submission with an `idempotency-key` is answered again as it was the first time; zero ignores keys.
    pub idempotent_for: Duration,
    /// Bounds on memory and sockets.
    pub limits: Limits,
    /// Callbacks go to loopback addresses only, unless this is true.
    pub remote_callbacks: bool,
    /// After the stop signal, keep sending receipts that fall due within this time.
    pub drain: Duration,
}

/// A delay that is usually short and sometimes long: log-normal through its median and 95th percentile.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Curve {
    /// Half of the delays are shorter; zero means no delay at all.
    pub median: Duration,
    /// One in twenty is longer; equal to the median means a constant delay.
    pub p95: Duration,
}

impl Curve {
    /// A curve through these two points.
    pub fn new(median: Duration, p95: Duration) -> Self {
        Self { median, p95 }
    }

    /// The same delay every time.
    pub fn constant(delay: Duration) -> Self {
        Self { median: delay, p95: delay }
    }
}

/// Shares of submissions (0 to 1) that do not simply succeed; what is left of 1 is accepted.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Failures {
    /// 429, not accepted, with [`Failures::retry_after`].
    pub throttled: f64,
    /// 400 `bad_number`.
    pub bad_number: f64,
    /// 400 `bad_text`.
    pub bad_text: f64,
    /// 400 `opted_out`.
    pub opted_out: f64,
    /// 503, not accepted.
    pub unavailable: f64,
    /// 500; see [`Failures::failed_accepts`].
    pub failed: f64,
    /// True when a submission was accepted before its 500, so that the answer lies.
    pub failed_accepts: bool,
    /// Accepted, then no answer until [`Failures::hold`] has passed and the connection closes.
    pub silent: f64,
    /// Accepted, then the connection is reset.
    pub reset: f64,
    /// What a 429 by share asks the client to wait; rounded up to whole seconds.
    pub retry_after: Duration,
    /// How long a silent connection is held open; zero means 90 s.
    pub hold: Duration,
}

/// Shares of accepted messages (0 to 1) by their end, and how receipts travel; the rest is delivered.
#[derive(Clone, Debug, PartialEq)]
pub struct Receipts {
    /// Ends `undelivered`.
    pub undelivered: f64,
    /// Ends `expired`, after [`Receipts::validity`].
    pub expired: f64,
    /// Ends `rejected`.
    pub rejected: f64,
    /// No final receipt ever comes.
    pub never: f64,
    /// Share that reports `en_route` first; independent of the end.
    pub en_route: f64,
    /// Time from acceptance to the final receipt.
    pub delay: Curve,
    /// When an undeliverable message expires. Real networks try for up to 72 hours; short here so that a rehearsal ends.
    pub validity: Duration,
    /// One address for the receipts of all messages, instead of each message's own `callback_url`.
    pub url: Option<String>,
    /// Receipts due at the same time for the same address that travel in one request.
    pub per_request: usize,
    /// How a callback that was not answered with 2xx is repeated; replies follow it too.
    pub retry: Retry,
}

/// How failed callbacks are repeated: the delay doubles from `first` up to `longest`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retry {
    /// Tries in all, the first included; after the last one the callback is given up and counted.
    pub attempts: u8,
    /// Delay before the second try.
    pub first: Duration,
    /// No delay is longer.
    pub longest: Duration,
    /// A callback that takes longer has failed.
    pub timeout: Duration,
}

/// Answers of customers to messages that were delivered.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Replies {
    /// Where they are posted; without it nobody answers.
    pub url: Option<String>,
    /// What they say and how often; shares of delivered messages.
    pub texts: Vec<ReplyText>,
    /// Time from delivery to the answer.
    pub delay: Curve,
}

/// One thing that customers answer.
#[derive(Clone, Debug, PartialEq)]
pub struct ReplyText {
    /// Share of delivered messages (0 to 1).
    pub share: f64,
    /// The words.
    pub text: String,
}

/// How look-ups are answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lookups {
    /// An accepted message shows up this long after its acceptance.
    pub after: Duration,
    /// What is older is not shown any more.
    pub within: Duration,
    /// The first so many look-ups are answered 503.
    pub failing: u64,
}

impl Default for Lookups {
    fn default() -> Self {
        Self { after: Duration::ZERO, within: Duration::from_hours(24 * 7), failing: 0 }
    }
}

/// Bounds on memory and sockets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Open client connections, and so requests in work; more wait in the listen queue.
    pub connections: usize,
    /// Receipts and replies waiting to be sent, about 150 bytes each; above it submissions get 503.
    pub pending: usize,
    /// Callbacks on the wire at once.
    pub callbacks_in_flight: usize,
    /// The newest accepted messages that a look-up can find, about 500 bytes each; zero turns look-up off.
    pub remembered: usize,
}

impl Default for SimulatorConfig {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 8490)),
            key: Secret::new("simulator"),
            signing_key: Secret::new("simulator-signing"),
            ledger: PathBuf::from("simulator-ledger.jsonl"),
            sync: true,
            seed: 1,
            script: None,
            parts_per_second: None,
            burst_parts: None,
            parts_per_message: 10,
            latency: Curve::default(),
            failures: Failures { retry_after: Duration::from_secs(1), ..Failures::default() },
            receipts: Receipts::default(),
            replies: Replies {
                url: None,
                texts: vec![ReplyText { share: 0.01, text: "STOP".to_owned() }],
                delay: Curve::new(Duration::from_secs(20), Duration::from_mins(2)),
            },
            lookups: Lookups::default(),
            idempotent_for: Duration::ZERO,
            limits: Limits::default(),
            remote_callbacks: false,
            drain: Duration::ZERO,
        }
    }
}

impl Default for Receipts {
    fn default() -> Self {
        Self {
            undelivered: 0.03,
            expired: 0.005,
            rejected: 0.005,
            never: 0.005,
            en_route: 0.0,
            delay: Curve::new(Duration::from_secs(4), Duration::from_secs(30)),
            validity: Duration::from_mins(1),
            url: None,
            per_request: 1,
            retry: Retry::default(),
        }
    }
}

impl Default for Retry {
    /// Twenty tries over some thirteen minutes: a daemon that restarts in between misses nothing.
    fn default() -> Self {
        Self {
            attempts: 20,
            first: Duration::from_millis(500),
            longest: Duration::from_mins(1),
            timeout: Duration::from_secs(15),
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self { connections: 4096, pending: 5_000_000, callbacks_in_flight: 512, remembered: 100_000 }
    }
}

impl SimulatorConfig {
    /// Refuses what could not be obeyed.
    ///
    /// # Errors
    /// [`SimulatorError::Config`] with the offending value and what would be right.
    pub fn check(&self) -> Result<(), SimulatorError> {
        self.check_shares()?;
        for (what, curve) in [
            ("latency", self.latency),
            ("receipt delay", self.receipts.delay),
            ("reply delay", self.replies.delay),
        ] {
            if curve.p95 < curve.median {
                return Err(wrong(format!("{what}: the 95th percentile must not be below the median")));
            }
        }
        for (what, at_least_one) in [
            ("connections", self.limits.connections),
            ("callbacks in flight", self.limits.callbacks_in_flight),
            ("receipts per request", self.receipts.per_request),
            ("attempts", usize::from(self.receipts.retry.attempts)),
            ("parts per second", self.parts_per_second.map_or(1, |rate| rate as usize)),
        ] {
            if at_least_one == 0 {
                return Err(wrong(format!("{what} must be at least 1")));
            }
        }
        if self.key.expose().is_empty() || self.signing_key.expose().is_empty() {
            return Err(wrong("the key and the signing key must not be empty".to_owned()));
        }
        for url in [&self.receipts.url, &self.replies.url].into_iter().flatten() {
            Target::check(url, self.remote_callbacks)
                .map_err(|reason| wrong(format!("callback address {url}: {reason}")))?;
        }
        Ok(())
    }

    fn check_shares(&self) -> Result<(), SimulatorError> {
        let (failures, receipts) = (&self.failures, &self.receipts);
        let replies: Vec<f64> = self.replies.texts.iter().map(|reply| reply.share).collect();
        for (what, shares) in [
            ("failure shares", &failures.shares()[..]),
            (
                "receipt shares",
                &[receipts.undelivered, receipts.expired, receipts.rejected, receipts.never][..],
            ),
            ("en_route share", &[receipts.en_route][..]),
            ("reply shares", &replies[..]),
        ] {
            let sum: f64 = shares.iter().sum();
            let each = shares.iter().all(|share| (0.0..=1.0).contains(share));
            // Ten shares of 0.1 add up to a little more than 1 in binary.
            if !each || sum > 1.0 + 1e-9 {
                return Err(wrong(format!("{what} must lie between 0 and 1 and add up to 1 at most")));
            }
        }
        Ok(())
    }
}

impl Failures {
    /// The shares alone, in the order in which one draw is compared with them.
    pub(super) fn shares(&self) -> [f64; 8] {
        [
            self.throttled,
            self.bad_number,
            self.bad_text,
            self.opted_out,
            self.unavailable,
            self.failed,
            self.silent,
            self.reset,
        ]
    }
}

fn wrong(reason: String) -> SimulatorError {
    SimulatorError::Config { reason }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_configuration_that_cannot_be_obeyed_is_refused_with_a_reason() {
        let check = |change: fn(&mut SimulatorConfig), expected: &str| {
            let mut config = SimulatorConfig::default();
            change(&mut config);
            let error = config.check().expect_err(expected).to_string();
            assert!(error.contains(expected), "{error}");
        };
        check(|c| c.failures.reset = 1.5, "failure shares");
        check(|c| c.failures.silent = f64::NAN, "failure shares");
        check(|c| (c.receipts.never, c.receipts.expired) = (0.6, 0.6), "receipt shares");
        check(|c| c.replies.texts[0].share = -0.1, "reply shares");
        check(|c| c.latency = Curve::new(Duration::from_secs(2), Duration::from_secs(1)), "latency");
        check(|c| c.limits.connections = 0, "connections");
        check(|c| c.parts_per_second = Some(0), "parts per second");
        check(|c| c.key = Secret::new(""), "must not be empty");
        check(|c| c.receipts.url = Some("https://127.0.0.1/r".to_owned()), "http");
        check(|c| c.replies.url = Some("http://10.0.0.1/in".to_owned()), "loopback");
        assert!(SimulatorConfig::default().check().is_ok());
    }
}

//! What the simulated provider decides: how it answers a submission and what becomes of the message.
//!
//! Pure: a decision is a function of the seed, the shares, and a submission's reference with how often it came, so two
//! runs that see the same submissions decide alike, however their threads interleave. It never touches a socket, a
//! file or a clock; new kinds of misbehaviour are faults of scripts.

use std::f64::consts::TAU;
use std::time::Duration;

use rand::rngs::Xoshiro256PlusPlus;
use rand::{RngExt, SeedableRng};

use super::config::{Curve, Failures, Receipts, Replies, SimulatorConfig};

/// The seeded rules that decide every submission.
#[derive(Clone, Debug)]
pub struct Behaviour {
    seed: u64,
    latency: Curve,
    failures: Failures,
    receipts: Receipts,
    replies: Replies,
}

/// What happens to one submission. Whether it is taken and what is answered are independent: a provider that takes a
/// message and then fails is the case that a sender must survive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decision {
    /// True when the message goes into the ledger.
    pub accepts: bool,
    /// What the client sees.
    pub answer: Answer,
    /// How long the client waits for it.
    pub latency: Duration,
}

/// What the client sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Answer {
    /// 202 with an id.
    Accepted,
    /// 429 with `Retry-After`.
    Throttled,
    /// 400 `bad_number`.
    BadNumber,
    /// 400 `bad_text`.
    BadText,
    /// 400 `opted_out`.
    OptedOut,
    /// 503.
    Unavailable,
    /// 500.
    Failed,
    /// Nothing, for a long time.
    Silent,
    /// A connection reset.
    Reset,
    /// As this fault of the script says.
    Scripted(usize),
}

impl Answer {
    /// The answers in the order of [`Failures::shares`].
    const FAILURES: [Answer; 8] = [
        Self::Throttled,
        Self::BadNumber,
        Self::BadText,
        Self::OptedOut,
        Self::Unavailable,
        Self::Failed,
        Self::Silent,
        Self::Reset,
    ];
}

/// A delivery status as it is written on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Status {
    /// Taken, nothing reported yet. Appears in look-ups only.
    Accepted,
    /// Handed to the network.
    EnRoute,
    /// On the handset.
    Delivered,
    /// Failed for good.
    Undelivered,
    /// Not delivered within its validity.
    Expired,
    /// Refused by the network.
    Rejected,
}

impl Status {
    /// The word on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::EnRoute => "en_route",
            Self::Delivered => "delivered",
            Self::Undelivered => "undelivered",
            Self::Expired => "expired",
            Self::Rejected => "rejected",
        }
    }
}

/// What becomes of one accepted message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fate {
    /// The receipts that will be sent; not necessarily in order of time, nor consistent with each other.
    pub steps: Vec<Step>,
    /// The customer's answer, if there is one.
    pub reply: Option<Reply>,
}

/// One receipt to come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// Time from acceptance.
    pub after: Duration,
    /// What it reports.
    pub status: Status,
    /// The network's error code, if any: `unreachable`, `unknown_number`, `blocked`, `validity`, `spam`.
    pub code: Option<&'static str>,
}

/// One answer of a customer to come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reply {
    /// Time from acceptance.
    pub after: Duration,
    /// Which of the configured texts.
    pub text: usize,
}

/// Separate streams of chance, so that changing the failure shares leaves the fates as they were.
#[derive(Clone, Copy)]
enum Stream {
    Decision = 1,
    Fate = 2,
    ScriptedAnswer = 3,
    ScriptedReceipts = 4,
}

impl Behaviour {
    /// The rules of a configuration.
    pub fn new(config: &SimulatorConfig) -> Self {
        let mut replies = config.replies.clone();
        if replies.url.is_none() {
            replies.texts.clear();
        }
        Self {
            seed: config.seed,
            latency: config.latency,
            failures: config.failures,
            receipts: config.receipts.clone(),
            replies,
        }
    }

    /// What every draw for a submission starts from: its reference and how often that came before.
    pub(super) fn key(reference: &str, times: u32) -> u64 {
        // FNV-1a, so that it is the same in every build.
        let step = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3);
        reference.bytes().chain(times.to_le_bytes()).fold(0xCBF2_9CE4_8422_2325, step)
    }

    /// Whether submissions of one reference may be answered differently, so that they must be counted.
    pub(super) fn is_random(&self) -> bool {
        self.failures.shares().iter().any(|share| *share > 0.0)
    }

    /// Which fault of a list befalls the submission with this key; none of them in what their shares leave.
    pub(super) fn fault(&self, key: u64, shares: &[(f64, usize)], receipts: bool) -> Option<usize> {
        if shares.is_empty() {
            return None;
        }
        let stream = if receipts { Stream::ScriptedReceipts } else { Stream::ScriptedAnswer };
        let mut draw = self.chance(key, stream).random::<f64>();
        let found = shares.iter().find(|(share, _)| {
            draw -= share;
            draw < 0.0
        });
        found.map(|(_, fault)| *fault)
    }

    /// A delay of the submission with this key from another curve.
    pub(super) fn latency(&self, key: u64, curve: Curve) -> Duration {
        draw(curve, &mut self.chance(key, Stream::Decision))
    }

    /// How the submission with this key is answered.
    pub fn decide(&self, key: u64) -> Decision {
        let mut rng = self.chance(key, Stream::Decision);
        let answer =
            pick(rng.random(), &self.failures.shares()).map_or(Answer::Accepted, |i| Answer::FAILURES[i]);
        let accepts = match answer {
            Answer::Accepted | Answer::Silent | Answer::Reset => true,
            Answer::Failed => self.failures.failed_accepts,
            Answer::Throttled
            | Answer::BadNumber
            | Answer::BadText
            | Answer::OptedOut
            | Answer::Unavailable
            | Answer::Scripted(_) => false,
        };
        Decision { accepts, answer, latency: draw(self.latency, &mut rng) }
    }

    /// What becomes of the submission with this key once it is accepted.
    pub fn fate(&self, key: u64) -> Fate {
        let mut rng = self.chance(key, Stream::Fate);
        let receipts = &self.receipts;
        let shares = [receipts.undelivered, receipts.expired, receipts.rejected, receipts.never];
        let end = pick(rng.random(), &shares);
        let after = draw(receipts.delay, &mut rng);
        let mut steps = Vec::with_capacity(2);
        if rng.random::<f64>() < receipts.en_route {
            let on_the_way = after.mul_f64(rng.random_range(0.05..0.5));
            steps.push(Step { after: on_the_way, status: Status::EnRoute, code: None });
        }
        steps.extend(match end {
            None => Some(Step { after, status: Status::Delivered, code: None }),
            Some(0) => {
                let code = ["unreachable", "unknown_number", "blocked"][rng.random_range(0..3)];
                Some(Step { after, status: Status::Undelivered, code: Some(code) })
            }
            Some(1) => {
                Some(Step { after: receipts.validity, status: Status::Expired, code: Some("validity") })
            }
            Some(2) => Some(Step { after, status: Status::Rejected, code: Some("spam") }),
            Some(_) => None,
        });
        let reply = if end.is_none() { self.reply(after, &mut rng) } else { None };
        Fate { steps, reply }
    }

    fn reply(&self, delivered: Duration, rng: &mut Xoshiro256PlusPlus) -> Option<Reply> {
        let mut left = rng.random::<f64>();
        let text = self.replies.texts.iter().position(|reply| {
            left -= reply.share;
            left < 0.0
        })?;
        Some(Reply { after: delivered.saturating_add(draw(self.replies.delay, rng)), text })
    }

    fn chance(&self, key: u64, stream: Stream) -> Xoshiro256PlusPlus {
        // The multipliers are odd, so that each (seed, key, stream) near another starts elsewhere;
        // seed_from_u64 mixes the result.
        let start = self
            .seed
            .wrapping_mul(0x9E37_79B9_7F4A_7C15)
            .wrapping_add(key.wrapping_mul(0xD1B5_4A32_D192_ED03))
            .wrapping_add((stream as u64).wrapping_mul(0x8CB9_2BA7_2F3D_8DD7));
        Xoshiro256PlusPlus::seed_from_u64(start)
    }
}

/// Which of the shares a draw from [0, 1) falls into; `None` is what they leave.
fn pick(mut draw: f64, shares: &[f64]) -> Option<usize> {
    shares.iter().position(|share| {
        draw -= share;
        draw < 0.0
    })
}

/// A delay from the curve: `exp(ln median + sigma * z)` with `z` standard normal by Box and Muller, and sigma such that
/// the 95th percentile (z = 1.6449) is met; cut at twenty times that percentile so that nothing waits for ever.
fn draw(curve: Curve, rng: &mut Xoshiro256PlusPlus) -> Duration {
    if curve.median.is_zero() || curve.p95 <= curve.median {
        return curve.median;
    }
    let sigma = (curve.p95.as_secs_f64() / curve.median.as_secs_f64()).ln() / 1.644_854;
    let radius = (-2.0 * (1.0 - rng.random::<f64>()).ln()).sqrt();
    let z = radius * (TAU * rng.random::<f64>()).cos();
    let longest = curve.p95.as_secs_f64() * 20.0;
    let delay = (curve.median.as_secs_f64() * (sigma * z).exp()).min(longest);
    Duration::try_from_secs_f64(delay).unwrap_or(curve.p95)
}

#[cfg(test)]
mod tests {
    use super::super::config::ReplyText;
    use super::*;

    fn hostile(seed: u64) -> Behaviour {
        let mut config = SimulatorConfig { seed, ..SimulatorConfig::default() };
        config.failures = Failures {
            throttled: 0.05,
            bad_number: 0.05,
            bad_text: 0.05,
            opted_out: 0.05,
            unavailable: 0.05,
            failed: 0.05,
            failed_accepts: true,
            silent: 0.05,
            reset: 0.05,
            ..config.failures
        };
        config.latency = Curve::new(Duration::from_millis(50), Duration::from_millis(400));
        config.receipts.en_route = 0.5;
        config.receipts.never = 0.1;
        config.replies.url = Some("http://127.0.0.1/in".to_owned());
        config.replies.texts = vec![ReplyText { share: 0.2, text: "STOP".to_owned() }];
        Behaviour::new(&config)
    }

    #[test]
    fn the_same_seed_decides_alike_and_another_seed_does_not() {
        let run = |seed| -> Vec<_> {
            let behaviour = hostile(seed);
            (0..500).map(|nth| (behaviour.decide(nth), behaviour.fate(nth))).collect()
        };
        assert_eq!(run(7), run(7));
        assert_ne!(run(7), run(8));
    }

    #[test]
    fn shares_come_out_as_configured() {
        let behaviour = hostile(3);
        let decisions: Vec<_> = (0..40_000).map(|nth| behaviour.decide(nth)).collect();
        let check = |answer, share: f64| {
            let found = decisions.iter().filter(|d| d.answer == answer).count();
            #[expect(clippy::cast_precision_loss, reason = "small counts")]
            let found = found as f64 / 40_000.0;
            assert!((found - share).abs() < 0.01, "{answer:?}: {found} instead of {share}");
        };
        for answer in Answer::FAILURES {
            check(answer, 0.05);
        }
        check(Answer::Accepted, 0.6);
        let lies = decisions.iter().filter(|d| d.accepts && d.answer != Answer::Accepted).count();
        assert!((5_600..6_400).contains(&lies), "failed, silent and reset were accepted: {lies}");
    }

    #[test]
    fn delays_follow_their_median_and_95th_percentile() {
        let behaviour = hostile(9);
        let mut delays: Vec<_> = (0..20_000).map(|nth| behaviour.decide(nth).latency).collect();
        delays.sort_unstable();
        let near = |found: Duration, wanted: u64| {
            let wanted = Duration::from_millis(wanted);
            assert!(found > wanted.mul_f64(0.9) && found < wanted.mul_f64(1.1), "{found:?}, {wanted:?}");
        };
        near(delays[10_000], 50);
        near(delays[19_000], 400);
        assert!(delays[19_999] <= Duration::from_secs(8));
    }

    #[test]
    fn only_a_delivered_message_is_answered_and_never_before_it_arrives() {
        let behaviour = hostile(5);
        let mut answered = 0;
        for fate in (0..5_000).map(|nth| behaviour.fate(nth)) {
            let Some(reply) = fate.reply else { continue };
            let last = fate.steps.last().expect("a reply follows a delivery");
            assert_eq!(last.status, Status::Delivered);
            assert!(reply.after >= last.after);
            answered += 1;
        }
        assert!((700..1_100).contains(&answered), "{answered}");
    }

    #[test]
    fn failure_shares_do_not_change_what_becomes_of_a_message() {
        let calm = Behaviour { failures: Failures::default(), ..hostile(4) };
        assert!((0..200).all(|nth| calm.fate(nth) == hostile(4).fate(nth)));
    }

    #[test]
    fn nobody_answers_without_an_address() {
        let behaviour = Behaviour::new(&SimulatorConfig::default());
        assert!((0..5_000).all(|nth| behaviour.fate(nth).reply.is_none()));
    }
}

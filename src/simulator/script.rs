//! Scripts of misbehaviour: phases, and in each of them faults with their shares. Scripts are data.
//!
//! What befalls one submission is drawn from the seed, its reference and how often that reference came, so that it does
//! not depend on who was faster. Only the phase depends on the order: it changes by count or time. Pure; a script is
//! carried out elsewhere.

mod reading;

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::behaviour::{Status, Step};
use super::config::Curve;
use crate::document::FileErrors;

/// The scripts that come with the simulator: name and text.
const BUILTIN: &[(&str, &str)] = &[
    ("absurd-waits", include_str!("scripts/absurd-waits.toml")),
    ("calm", include_str!("scripts/calm.toml")),
    ("brown-out", include_str!("scripts/brown-out.toml")),
    ("everything", include_str!("scripts/everything.toml")),
    ("garbage", include_str!("scripts/garbage.toml")),
    ("lost-answers", include_str!("scripts/lost-answers.toml")),
    ("receipts", include_str!("scripts/receipts.toml")),
    ("redirects", include_str!("scripts/redirects.toml")),
    ("refusals", include_str!("scripts/refusals.toml")),
    ("slow", include_str!("scripts/slow.toml")),
    ("throttling", include_str!("scripts/throttling.toml")),
    ("wrong-ids", include_str!("scripts/wrong-ids.toml")),
];

/// A script, read and checked.
#[derive(Clone, Debug, PartialEq)]
pub struct Script {
    /// What it plays, in a line.
    pub about: String,
    pub(super) phases: Vec<Phase>,
    /// Every fault once, with its name; phases point here.
    pub(super) faults: Vec<(String, Fault)>,
}

/// A stretch of a script.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Phase {
    pub(super) until: Until,
    /// Answer times; none leaves the simulator's own.
    pub(super) latency: Option<Curve>,
    /// Shares of submissions by fault.
    pub(super) answers: Vec<(f64, usize)>,
    /// Shares of accepted messages by what is odd about their receipts.
    pub(super) receipts: Vec<(f64, usize)>,
}

/// When a phase ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Until {
    /// After so many well-formed submissions.
    Requests(u64),
    /// After so long.
    Elapsed(Duration),
    /// Never.
    End,
}

/// One kind of misbehaviour.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Fault {
    Answer { kind: Answering, accepts: bool },
    Receipt(Reporting),
}

/// What is wrong with an answer.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Answering {
    /// 429 with or without a `Retry-After`.
    Throttle(Option<RetryAfter>),
    /// A status with an error word, or with none.
    Status { code: u16, error: Option<String> },
    /// A web page, as proxies and hotels answer.
    Html { code: u16 },
    /// The connection is reset.
    Reset,
    /// No answer for this long, then the connection closes.
    Silent(Duration),
    /// A good answer, one octet at a time.
    Drip(Duration),
    /// JSON that breaks off, in an answer that does not.
    Malformed,
    /// The connection breaks off in the middle of the answer.
    Truncated,
    /// More octets than `Content-Length` says.
    WrongLength,
    /// A good answer of this many octets.
    Huge(usize),
    /// Compressed, though nobody asked, to this many octets.
    Bomb(usize),
    /// Redirected there; the answer is in itself for nobody to follow.
    Redirect { code: u16, to: String },
    /// An id that no receipt will name.
    WrongId,
    /// The id that others got, too.
    SameId,
    /// 200 and nothing else.
    Empty,
}

/// What a `Retry-After` says.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum RetryAfter {
    /// Exactly this.
    Text(String),
    /// An HTTP date so many seconds from now.
    Date(i64),
}

/// What is wrong with the receipts of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reporting {
    /// They come before the answer.
    Early,
    /// They come this much later.
    Late(Duration),
    /// Each comes so many times.
    Repeated(u8),
    /// `en_route` comes after the end.
    Reordered,
    /// The opposite is reported, too.
    Contradictory,
    /// Another one comes for a message that was never sent.
    Stray,
    /// Another one comes that is signed with somebody else's key.
    Foreign,
    /// None come.
    Never,
}

/// A receipt of a message whose receipts are odd.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct OddStep {
    pub(super) step: Step,
    pub(super) twist: Twist,
}

/// What is odd about one receipt itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Twist {
    #[default]
    None,
    Stray,
    Foreign,
    SameId,
}

impl Script {
    /// A script that comes with the simulator.
    pub fn builtin(name: &str) -> Option<Result<Self, FileErrors>> {
        let (_, text) = BUILTIN.iter().find(|(known, _)| *known == name)?;
        Some(Self::parse(&format!("{name}.toml"), text))
    }

    /// The text of a script that comes with the simulator, as an example.
    pub fn text(name: &str) -> Option<&'static str> {
        BUILTIN.iter().find(|(known, _)| *known == name).map(|(_, text)| *text)
    }

    /// Names of the scripts that come with the simulator.
    pub fn names() -> impl Iterator<Item = &'static str> {
        BUILTIN.iter().map(|(name, _)| *name)
    }

    /// Names of its faults, as the counters show them.
    pub fn faults(&self) -> impl Iterator<Item = &str> {
        self.faults.iter().map(|(name, _)| name.as_str())
    }

    pub(super) fn answering(&self, fault: usize) -> Option<(&Answering, bool)> {
        match &self.faults.get(fault)?.1 {
            Fault::Answer { kind, accepts } => Some((kind, *accepts)),
            Fault::Receipt(_) => None,
        }
    }

    pub(super) fn reporting(&self, fault: usize) -> Option<Reporting> {
        match self.faults.get(fault)?.1 {
            Fault::Receipt(reporting) => Some(reporting),
            Fault::Answer { .. } => None,
        }
    }
}

impl Reporting {
    /// Makes odd receipts of those that were to come.
    pub(super) fn distort(self, steps: &[Step]) -> Vec<OddStep> {
        let plain = |step: Step| OddStep { step, twist: Twist::None };
        let end = steps.last().copied();
        let mut odd: Vec<OddStep> = steps.iter().copied().map(plain).collect();
        let Some(end) = end else { return odd };
        let moment = Duration::from_millis(200);
        let opposite = |status| match status {
            Status::Delivered => (Status::Undelivered, Some("unreachable")),
            _ => (Status::Delivered, None),
        };
        match self {
            Self::Early => odd.iter_mut().for_each(|odd| odd.step.after = Duration::ZERO),
            Self::Late(by) => odd.iter_mut().for_each(|odd| odd.step.after += by),
            Self::Repeated(times) => {
                odd = odd.iter().flat_map(|step| vec![*step; usize::from(times)]).collect();
            }
            Self::Reordered => {
                let after = end.after + moment;
                odd.push(plain(Step { after, status: Status::EnRoute, code: None }));
            }
            Self::Contradictory => {
                let (status, code) = opposite(end.status);
                odd.push(plain(Step { after: end.after + moment, status, code }));
            }
            Self::Stray => odd.push(OddStep { step: end, twist: Twist::Stray }),
            Self::Foreign => {
                let (status, code) = opposite(end.status);
                odd.push(OddStep { step: Step { status, code, ..end }, twist: Twist::Foreign });
            }
            Self::Never => odd.clear(),
        }
        odd
    }
}

/// Where a script stands, and what of it has happened.
#[derive(Debug)]
pub(super) struct Play {
    pub(super) script: Script,
    place: Mutex<Place>,
    fired: Vec<AtomicU64>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Place {
    phase: usize,
    requests: u64,
    since: Duration,
}

impl Play {
    pub(super) fn new(script: Script) -> Self {
        let fired = script.faults.iter().map(|_| AtomicU64::new(0)).collect();
        Self { script, place: Mutex::default(), fired }
    }

    /// The phase of the next submission, `now` after the start.
    pub(super) fn phase(&self, now: Duration) -> &Phase {
        let mut place = self.place.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            let phase = &self.script.phases[place.phase];
            let over = match phase.until {
                Until::Requests(most) => place.requests >= most,
                Until::Elapsed(most) => now.saturating_sub(place.since) >= most,
                Until::End => false,
            };
            if !over || place.phase + 1 == self.script.phases.len() {
                place.requests += 1;
                return phase;
            }
            *place = Place { phase: place.phase + 1, requests: 0, since: now };
        }
    }

    /// A fault was seen by the other side.
    pub(super) fn fire(&self, fault: usize) {
        if let Some(count) = self.fired.get(fault) {
            count.fetch_add(1, Relaxed);
        }
    }

    /// How often each fault was seen, in the order of the script.
    pub(super) fn fired(&self) -> Vec<Fired> {
        let counts = self.fired.iter().map(|count| count.load(Relaxed));
        let named = self.script.faults.iter().zip(counts);
        named.map(|((name, _), times)| Fired { fault: name.clone(), times }).collect()
    }
}

/// How often one fault of a script was seen by the other side.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Fired {
    /// The fault, with what tells it from others of its kind.
    pub fault: String,
    /// How often.
    pub times: u64,
}

#[cfg(test)]
mod tests;

//! Why a run is not faster: which limit binds now, and when it would be done with and without it. Pure: what the store
//! knows and the daemon measures is passed in.
//!
//! Each limit is taken away in turn; the one whose absence helps most is the one that binds. A route's account, its
//! messages under way and its lane serve all runs on it, first come first served: what goes before a run counts too, what
//! comes after it does not.

use serde::Serialize;

use crate::model::clock::Timestamp;
use crate::model::run::RunState;

/// A lane that does less than this share of what its limits allow is held by something else.
const FAR_BELOW: f64 = 0.75;

/// Messages under way above this share of their limit are as many as there can be.
pub const NEARLY_FULL: f64 = 0.9;

/// A route that loses more than this share of its submissions is worth a word.
const LOST: f64 = 0.1;

/// What is known of a run.
#[derive(Clone, Debug)]
pub struct Facts {
    /// The time.
    pub now: Timestamp,
    /// Where the run stands.
    pub state: RunState,
    /// Whether a daemon works on the store.
    pub daemon: bool,
    /// Whether it can write to the store.
    pub writable: bool,
    /// Messages that wait or are under way.
    pub messages: i64,
    /// Messages in doubt.
    pub in_doubt: i64,
    /// What they will cost, in millionths.
    pub cost: i64,
    /// What the budget still has, in millionths.
    pub budget_left: Option<i64>,
    /// Its routes.
    pub lanes: Vec<Lane>,
}

/// What is known of one route of a run.
#[derive(Clone, Debug)]
pub struct Lane {
    /// The route.
    pub route: String,
    /// Messages of this run that wait for it.
    pub messages: f64,
    /// Their parts.
    pub parts: f64,
    /// Parts of other running runs that go before the last of these.
    pub ahead: f64,
    /// Parts per second that the account allows.
    pub account: Option<f64>,
    /// Share of that at which a throttled lane runs.
    pub share: f64,
    /// Messages that may be on the wire.
    pub in_flight: f64,
    /// Seconds that an answer takes.
    pub answer_seconds: Option<f64>,
    /// Messages on the wire.
    pub on_wire: f64,
    /// Parts per second that were accepted, as measured.
    pub measured: Option<f64>,
    /// Share of the submissions of that time that were accepted.
    pub accepted: Option<f64>,
    /// Whether its breaker is open.
    pub broken: bool,
    /// Whether every place on the wire is taken, and no answer came while that was watched.
    pub silent: bool,
    /// Limits of single senders and countries.
    pub narrow: Vec<Narrow>,
    /// When something of it may go; none if something may go now.
    pub opens_at: Option<Timestamp>,
}

/// The limit of one sender or country.
#[derive(Clone, Debug)]
pub struct Narrow {
    /// Its name.
    pub name: String,
    /// Parts per second that it allows.
    pub allows: f64,
    /// Parts that wait for it.
    pub parts: f64,
}

/// What holds a run.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(tag = "limit", rename_all = "snake_case")]
pub enum Limit {
    /// Nothing: it has ended, or nothing of it waits.
    #[default]
    Nothing,
    /// No daemon is running.
    NoDaemon,
    /// The store cannot be written.
    Store,
    /// It is still being written.
    Launch,
    /// It is paused.
    Paused,
    /// It is being withdrawn.
    Cancelled,
    /// Its budget is spent.
    Budget,
    /// Lawful hours and its own window.
    Hours {
        /// When something may go, if nothing may now.
        opens_at: Option<String>,
    },
    /// The provider of a route is unwell.
    Breaker {
        /// The route.
        route: String,
    },
    /// The provider of a route answers none of the texts that take every place on the wire.
    Silence {
        /// The route.
        route: String,
        /// Messages that may be on the wire.
        in_flight: f64,
    },
    /// What the account of a route allows.
    Account {
        /// The route.
        route: String,
        /// Parts per second.
        allows: f64,
        /// Share at which the provider's throttling leaves it.
        share: f64,
        /// Parts of other runs that go first.
        ahead: f64,
    },
    /// What a sender or country allows.
    Narrow {
        /// The route.
        route: String,
        /// Which.
        name: String,
        /// Parts per second.
        allows: f64,
    },
    /// Messages under way and the time of an answer.
    InFlight {
        /// The route.
        route: String,
        /// Parts per second that these two allow.
        allows: f64,
        /// Messages that may be under way.
        in_flight: f64,
        /// Seconds that an answer takes.
        answer_seconds: f64,
    },
    /// This machine, or its store.
    Machine {
        /// The route.
        route: String,
        /// Parts per second that were submitted, as measured.
        measured: f64,
        /// What its limits would allow.
        allows: f64,
    },
}

/// The answer.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Slow {
    /// What binds.
    pub limit: Limit,
    /// When the run would be done.
    #[serde(serialize_with = "Timestamp::as_text")]
    pub done_at: Option<Timestamp>,
    /// When it would be done without that limit.
    #[serde(serialize_with = "Timestamp::as_text")]
    pub without_it: Option<Timestamp>,
    /// Every limit of its slowest route with the parts per second that it leaves to this run.
    pub limits: Vec<(Limit, f64)>,
    /// Messages that the budget will not cover.
    pub uncovered: bool,
    /// Routes of which a good part of the submissions is not accepted, each with that part.
    pub not_accepted: Vec<(String, f64)>,
}

/// When a lane would be done at so many parts of this run per second, within its hours or whatever the hour.
pub trait Finish {
    /// Within its hours; none if some of it would be too late.
    fn within_hours(&self, lane: &Lane, rate: Option<f64>) -> Option<Timestamp>;

    /// Were every hour lawful.
    fn at_any_hour(&self, lane: &Lane, rate: Option<f64>) -> Option<Timestamp>;
}

impl Lane {
    /// Parts per second that were submitted, accepted or not: limits count these.
    fn submitted(&self) -> Option<f64> {
        let share = self.accepted.unwrap_or(1.0);
        // Where nothing is accepted nobody knows how large it was.
        self.measured.filter(|_| share > 0.0).map(|measured| measured / share)
    }
}

/// Finds what holds a run.
pub fn slow(facts: &Facts, finish: &impl Finish) -> Slow {
    let uncovered = facts.budget_left.is_some_and(|left| left < facts.cost);
    let not_accepted = not_accepted(&facts.lanes);
    let mut answer = Slow { uncovered, not_accepted, ..Slow::default() };
    if let Some(limit) = stopped(facts) {
        answer.limit = limit;
        return answer;
    }
    let lanes = facts.lanes.iter().filter(|lane| lane.parts > 0.0);
    let judged = lanes.map(|lane| (lane, judge(facts, lane, finish)));
    // A route that would never be done is later than any other.
    let slowest = judged.max_by_key(|(_, judged)| judged.done_at.unwrap_or(Timestamp::MAX));
    let Some((_, judged)) = slowest else { return answer };
    Slow { uncovered, not_accepted: answer.not_accepted, ..judged }
}

/// Routes that lose a good part of what is submitted.
fn not_accepted(lanes: &[Lane]) -> Vec<(String, f64)> {
    let lost = lanes.iter().filter_map(|lane| Some((lane.route.clone(), 1.0 - lane.accepted?)));
    lost.filter(|(_, share)| *share > LOST).collect()
}

/// What stops a run as a whole.
fn stopped(facts: &Facts) -> Option<Limit> {
    Some(match facts.state {
        RunState::Cancelled | RunState::Finished => Limit::Nothing,
        RunState::Cancelling => Limit::Cancelled,
        RunState::Preparing => Limit::Launch,
        RunState::Paused => Limit::Paused,
        RunState::Running if facts.messages == 0 => Limit::Nothing,
        RunState::Running if !facts.daemon => Limit::NoDaemon,
        RunState::Running if !facts.writable => Limit::Store,
        RunState::Running if facts.budget_left.is_some_and(|left| left <= 0) => Limit::Budget,
        RunState::Running => return None,
    })
}

fn judge(facts: &Facts, lane: &Lane, finish: &impl Finish) -> Slow {
    let mut limits = limits(lane);
    limits.sort_by(|one, other| one.1.total_cmp(&other.1));
    let rate = limits.first().map(|(_, rate)| *rate);
    let done_at = finish.within_hours(lane, rate);
    let mut answer = Slow { done_at, limits: limits.clone(), ..Slow::default() };
    let route = || lane.route.clone();
    let unwell = match lane {
        Lane { broken: true, .. } => Some(Limit::Breaker { route: route() }),
        Lane { silent: true, in_flight, .. } => {
            Some(Limit::Silence { route: route(), in_flight: *in_flight })
        }
        _ => None,
    };
    if let Some(limit) = unwell {
        answer.limit = limit;
        // How long a provider stays unwell nobody knows.
        (answer.done_at, answer.without_it) = (None, done_at);
        return answer;
    }
    let at_any_hour = finish.at_any_hour(lane, rate);
    let faster = finish.within_hours(lane, limits.get(1).map(|(_, rate)| *rate));
    let gain = |without: Option<Timestamp>| {
        let done = done_at.unwrap_or(Timestamp::MAX);
        without.map_or(0, |without| done.0.saturating_sub(without.0).max(0))
    };
    let closed = lane.opens_at.filter(|opens| *opens > facts.now);
    let hours = Limit::Hours { opens_at: closed.map(Timestamp::rfc3339) };
    (answer.limit, answer.without_it) = match limits.into_iter().next() {
        Some((first, _)) if closed.is_none() && gain(faster) >= gain(at_any_hour) => (first, faster),
        _ => (hours, at_any_hour),
    };
    answer
}

/// What a route allows this run, in parts per second.
fn limits(lane: &Lane) -> Vec<(Limit, f64)> {
    let route = || lane.route.clone();
    // What goes first takes its time at the same pace: as long as if this run had only its share of it.
    let own = lane.parts / (lane.parts + lane.ahead).max(f64::MIN_POSITIVE);
    let mut limits = Vec::new();
    if let Some(allows) = lane.account {
        let limit = Limit::Account { route: route(), allows, share: lane.share, ahead: lane.ahead };
        limits.push((limit, allows * lane.share * own));
    }
    if let Some(answer_seconds) = lane.answer_seconds.filter(|seconds| *seconds > 0.0) {
        let each = lane.parts / lane.messages.max(1.0);
        let allows = lane.in_flight * each / answer_seconds;
        let limit = Limit::InFlight { route: route(), allows, in_flight: lane.in_flight, answer_seconds };
        limits.push((limit, allows * own));
    }
    for one in lane.narrow.iter().filter(|one| one.parts > 0.0) {
        let limit = Limit::Narrow { route: route(), name: one.name.clone(), allows: one.allows };
        limits.push((limit, one.allows * lane.parts / one.parts));
    }
    let least = limits.iter().map(|(_, rate)| *rate).fold(f64::INFINITY, f64::min);
    let full = lane.on_wire >= lane.in_flight * NEARLY_FULL;
    if let Some(measured) = lane.submitted().filter(|measured| *measured > 0.0 && !full) {
        let rate = measured * own;
        if lane.opens_at.is_none() && !lane.broken && rate < least * FAR_BELOW {
            let allows = if least.is_finite() { least } else { 0.0 };
            limits.push((Limit::Machine { route: route(), measured, allows }, rate));
        }
    }
    limits
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(1_000_000);

    /// Hours that close in 100 seconds and open again after 1,000.
    struct Clockwork;

    fn after(seconds: f64) -> Timestamp {
        Timestamp(NOW.0 + i64::try_from(std::time::Duration::from_secs_f64(seconds).as_millis()).unwrap())
    }

    impl Finish for Clockwork {
        fn within_hours(&self, lane: &Lane, rate: Option<f64>) -> Option<Timestamp> {
            let opens = lane.opens_at.map_or(0.0, |opens| opens.since(NOW).as_secs_f64());
            let takes = rate.map_or(0.0, |rate| lane.parts / rate);
            Some(after(opens + takes + if takes > 100.0 { 900.0 } else { 0.0 }))
        }

        fn at_any_hour(&self, lane: &Lane, rate: Option<f64>) -> Option<Timestamp> {
            Some(after(rate.map_or(0.0, |rate| lane.parts / rate)))
        }
    }

    fn lane() -> Lane {
        Lane {
            route: "us".to_owned(),
            messages: 1_000.0,
            parts: 1_000.0,
            ahead: 0.0,
            account: Some(20.0),
            share: 1.0,
            in_flight: 16.0,
            answer_seconds: Some(0.2),
            on_wire: 4.0,
            measured: Some(19.8),
            accepted: Some(1.0),
            broken: false,
            silent: false,
            narrow: Vec::new(),
            opens_at: None,
        }
    }

    fn facts(lanes: Vec<Lane>) -> Facts {
        Facts {
            now: NOW,
            state: RunState::Running,
            daemon: true,
            writable: true,
            messages: 1_000,
            in_doubt: 0,
            cost: 1_000,
            budget_left: None,
            lanes,
        }
    }

    fn name(limit: &Limit) -> String {
        serde_json::to_value(limit).unwrap()["limit"].as_str().unwrap().to_owned()
    }

    #[test]
    fn each_situation_has_the_limit_that_binds_and_the_time_without_it() {
        let check = |changed: Lane, wanted: &str, done: Option<f64>, without: Option<f64>| {
            let told = slow(&facts(vec![changed.clone()]), &Clockwork);
            let told = (name(&told.limit), told.done_at, told.without_it);
            assert_eq!(told, (wanted.to_owned(), done.map(after), without.map(after)), "{changed:?}");
        };
        check(lane(), "account", Some(50.0), Some(12.5));
        // Throttled to an eighth: too slow for what is left of the hours.
        check(Lane { share: 0.125, measured: Some(2.5), ..lane() }, "account", Some(1_300.0), Some(12.5));
        // Another run's texts go first on the same account.
        check(Lane { ahead: 500.0, ..lane() }, "account", Some(75.0), Some(18.75));
        let patient = Lane { answer_seconds: Some(2.0), on_wire: 16.0, measured: Some(8.0), ..lane() };
        check(patient.clone(), "in_flight", Some(1_025.0), Some(50.0));
        check(Lane { account: None, ..patient }, "in_flight", Some(1_025.0), Some(0.0));
        let narrow = vec![Narrow { name: "CA".to_owned(), allows: 1.0, parts: 90.0 }];
        check(Lane { narrow, measured: None, ..lane() }, "narrow", Some(90.0), Some(50.0));
        check(Lane { measured: Some(12.5), ..lane() }, "machine", Some(80.0), Some(50.0));
        check(Lane { account: Some(9.9), measured: None, ..lane() }, "account", Some(1_001.01), Some(12.5));
        check(Lane { opens_at: Some(after(600.0)), ..lane() }, "hours", Some(650.0), Some(50.0));
        // Without a limit that helps, the hours are what is left.
        let large = Lane { parts: 5_000.0, messages: 5_000.0, answer_seconds: None, ..lane() };
        check(Lane { account: Some(40.0), measured: None, ..large }, "account", Some(1_025.0), Some(0.0));
        check(Lane { broken: true, ..lane() }, "breaker", None, Some(50.0));
        let silent = Lane { silent: true, on_wire: 16.0, measured: Some(0.0), accepted: None, ..lane() };
        check(silent, "silence", None, Some(50.0));
    }

    #[test]
    fn lost_answers_are_not_blamed_on_the_machine() {
        let check = |measured: f64, accepted: Option<f64>, wanted: &str, lost: &[f64]| {
            let told = slow(&facts(vec![Lane { measured: Some(measured), accepted, ..lane() }]), &Clockwork);
            let shares: Vec<f64> = told.not_accepted.iter().map(|(_, share)| *share).collect();
            assert_eq!(
                (name(&told.limit).as_str(), shares.as_slice()),
                (wanted, lost),
                "{measured} {accepted:?}"
            );
        };
        // 20 parts are submitted each second, of which three quarters, or half, are accepted.
        check(15.0, Some(0.75), "account", &[0.25]);
        check(10.0, Some(0.5), "account", &[0.5]);
        check(0.0, Some(0.0), "account", &[1.0]);
        check(7.5, Some(0.75), "machine", &[0.25]);
        check(10.0, Some(1.0), "machine", &[]);
        check(10.0, None, "machine", &[]);
    }

    #[test]
    fn what_stops_a_run_as_a_whole_is_said_before_any_limit() {
        let check = |changed: Facts, wanted: &str| {
            assert_eq!(name(&slow(&changed, &Clockwork).limit), wanted, "{changed:?}");
        };
        let running = || facts(vec![lane()]);
        check(Facts { daemon: false, ..running() }, "no_daemon");
        check(Facts { writable: false, ..running() }, "store");
        check(Facts { state: RunState::Paused, daemon: false, ..running() }, "paused");
        check(Facts { state: RunState::Preparing, ..running() }, "launch");
        check(Facts { state: RunState::Cancelling, ..running() }, "cancelled");
        check(Facts { state: RunState::Finished, ..running() }, "nothing");
        check(Facts { messages: 0, lanes: Vec::new(), ..running() }, "nothing");
        check(Facts { budget_left: Some(0), ..running() }, "budget");
        check(Facts { budget_left: Some(500), ..running() }, "account");
        assert!(slow(&Facts { budget_left: Some(500), ..running() }, &Clockwork).uncovered);
        assert!(!slow(&running(), &Clockwork).uncovered);
    }

    #[test]
    fn the_route_that_ends_last_is_the_one_that_counts() {
        let other = Lane { route: "ca".to_owned(), account: Some(11.0), measured: None, ..lane() };
        let told = slow(&facts(vec![lane(), other]), &Clockwork);
        let Limit::Account { route, .. } = told.limit else { panic!("{told:?}") };
        assert_eq!(route, "ca");
    }
}

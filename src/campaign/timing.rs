//! When a run starts and ends, for the contacts of each zone. Reads no clock: the launch is passed in.

use std::time::Duration;

use jiff::ToSpan as _;
use jiff::civil::DateTime;
use jiff::tz::{Offset, TimeZone};
use serde::{Deserialize, Serialize};

use super::terms::Period;
use crate::model::clock::Timestamp;

/// A start that passed longer ago than this needs a person's word before anything is sent.
pub const ASKS_WHEN_LATE_BY: Duration = Duration::from_hours(24);

/// When a run starts and ends.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Timing {
    /// Nothing is sent before.
    pub start: Start,
    /// Nothing is sent from then on.
    pub end: End,
    /// In whose zone the times were written.
    pub zone: ScheduleZone,
}

/// The beginning of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Start {
    /// As soon as it is launched.
    Now,
    /// At one instant everywhere.
    Instant(Timestamp),
    /// At this local time, in each contact's zone.
    Local(DateTime),
}

/// The end of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum End {
    /// This long after the start.
    After(Period),
    /// At one instant everywhere.
    Instant(Timestamp),
    /// At this local time, in each contact's zone.
    Local(DateTime),
}

/// The zone in which a schedule was written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ScheduleZone {
    /// Each contact's own.
    Contact,
    /// This one, by its IANA name.
    Named(String),
}

impl Timing {
    /// The start for contacts in `zone`, of a run launched at `launched`. A local time that a clock change skips means
    /// the first moment after it as long again as it was into the gap; of one that comes twice, the first counts.
    pub fn starts_at(&self, zone: &TimeZone, launched: Timestamp) -> Timestamp {
        match self.start {
            Start::Now => launched,
            Start::Instant(at) => at,
            Start::Local(at) => instant(at, zone),
        }
    }

    /// The end for contacts in `zone`, of a run launched at `launched`.
    pub fn ends_at(&self, zone: &TimeZone, launched: Timestamp) -> Timestamp {
        match self.end {
            End::After(period) => match self.start {
                Start::Local(at) => {
                    at.checked_add(period.span()).map_or(Timestamp::MAX, |end| instant(end, zone))
                }
                Start::Now | Start::Instant(_) => period.after(self.starts_at(zone, launched), zone),
            },
            End::Instant(at) => at,
            End::Local(at) => instant(at, zone),
        }
    }

    /// The first start anywhere on earth.
    pub fn first_start(&self, launched: Timestamp) -> Timestamp {
        self.starts_at(&eastmost(), launched)
    }

    /// The last end anywhere on earth; what the run as a whole ends with.
    pub fn last_end(&self, launched: Timestamp) -> Timestamp {
        self.ends_at(&eastmost(), launched).max(self.ends_at(&westmost(), launched))
    }

    /// How long ago the start was, for contacts in `zone`; zero if it is still to come, or comes with the launch.
    /// Above [`ASKS_WHEN_LATE_BY`], ask before sending: the campaign was forgotten, not delayed.
    pub fn lateness(&self, now: Timestamp, zone: &TimeZone) -> Duration {
        now.since(self.starts_at(zone, now))
    }

    /// The start as text that is the same for every launch of this schedule.
    pub fn key(&self) -> String {
        match self.start {
            Start::Now => "now".to_owned(),
            Start::Instant(at) => at.rfc3339(),
            Start::Local(at) => at.strftime("%Y-%m-%dT%H:%M:%S").to_string(),
        }
    }

    /// Whether it ends before it starts for everybody.
    pub(super) fn is_empty(&self) -> bool {
        let some_launch = Timestamp(0);
        if self.start == Start::Now {
            return false;
        }
        let over = |zone: TimeZone| self.ends_at(&zone, some_launch) <= self.starts_at(&zone, some_launch);
        over(eastmost()) && over(westmost())
    }
}

/// The instant of a local time.
pub(super) fn instant(local: DateTime, zone: &TimeZone) -> Timestamp {
    let zoned = local.to_zoned(zone.clone());
    zoned.map_or(Timestamp::MAX, |zoned| zoned.timestamp().into())
}

/// The end of a local date: what is good until that day is good all day.
pub(super) fn end_of_day(date: jiff::civil::Date, zone: &TimeZone) -> Timestamp {
    let next = date.checked_add(1.day());
    next.map_or(Timestamp::MAX, |next| instant(next.at(0, 0, 0, 0), zone))
}

/// Where a local time comes first: Kiribati's Line Islands.
fn eastmost() -> TimeZone {
    TimeZone::fixed(Offset::constant(14))
}

/// Where it comes last: Baker Island.
fn westmost() -> TimeZone {
    TimeZone::fixed(Offset::constant(-12))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::campaign::zones::time_zone;

    fn timing(start: Start, end: End) -> Timing {
        Timing { start, end, zone: ScheduleZone::Contact }
    }

    fn at(text: &str) -> Timestamp {
        Timestamp::parse(text).expect("time")
    }

    #[test]
    fn ten_oclock_local_is_another_instant_in_every_zone() {
        let local =
            timing(Start::Local("2026-10-01T10:00".parse().expect("civil")), End::After(Period::WEEK));
        let check = |zone: &str, start: &str, end: &str| {
            let zone = time_zone(zone).expect("zone");
            assert_eq!(local.starts_at(&zone, Timestamp(0)).rfc3339(), start);
            assert_eq!(local.ends_at(&zone, Timestamp(0)).rfc3339(), end);
        };
        check("Asia/Tokyo", "2026-10-01T01:00:00Z", "2026-10-08T01:00:00Z");
        check("America/Los_Angeles", "2026-10-01T17:00:00Z", "2026-10-08T17:00:00Z");
        check("Pacific/Auckland", "2026-09-30T21:00:00Z", "2026-10-07T21:00:00Z");
        assert_eq!(local.first_start(Timestamp(0)).rfc3339(), "2026-09-30T20:00:00Z");
        assert_eq!(local.last_end(Timestamp(0)).rfc3339(), "2026-10-08T22:00:00Z");
    }

    #[test]
    fn local_times_that_clocks_skip_or_repeat_have_one_meaning() {
        let new_york = time_zone("America/New_York").expect("zone");
        let check = |local: &str, start: &str| {
            let timing = timing(Start::Local(local.parse().expect("civil")), End::After(Period::WEEK));
            assert_eq!(timing.starts_at(&new_york, Timestamp(0)).rfc3339(), start, "{local}");
        };
        check("2026-03-08T02:30", "2026-03-08T07:30:00Z");
        check("2026-11-01T01:30", "2026-11-01T05:30:00Z");
    }

    #[test]
    fn a_start_long_past_is_noticed() {
        let zone = time_zone("UTC").expect("zone");
        let now = at("2026-10-03T12:00:00Z");
        let check = |start: Start, hours: u64| {
            let late = timing(start, End::After(Period::WEEK)).lateness(now, &zone);
            assert_eq!(late, Duration::from_hours(hours), "{start:?}");
        };
        check(Start::Now, 0);
        check(Start::Instant(at("2026-10-04T00:00:00Z")), 0);
        check(Start::Instant(at("2026-10-02T10:00:00Z")), 26);
        check(Start::Local("2026-10-03T10:00".parse().expect("civil")), 2);
    }

    #[test]
    fn a_run_that_starts_now_ends_a_week_after_its_launch() {
        let now = timing(Start::Now, End::After(Period::WEEK));
        let launched = at("2026-10-03T12:00:00Z");
        assert_eq!(now.first_start(launched), launched);
        assert_eq!(now.last_end(launched).rfc3339(), "2026-10-10T12:00:00Z");
    }
}

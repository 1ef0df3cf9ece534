//! Spans of time reaching back from *as of*, and moments to compare with. Never reads the clock: *as of* is given.

use std::fmt;
use std::str::FromStr;

use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;
use jiff::{Span, ToSpan};

use crate::model::clock::Timestamp;

/// The instant a segment is asked for, and the shop's zone in which its days are counted.
#[derive(Clone, Debug)]
pub struct AsOf {
    /// Nothing that happened later counts.
    pub at: Timestamp,
    /// The zone of local dates and of periods longer than hours.
    pub zone: TimeZone,
}

impl AsOf {
    /// The local date of the instant.
    pub fn date(&self) -> Date {
        self.zone.to_datetime(self.at.to_jiff()).date()
    }

    /// The first instant of a local date. Where the clock skips midnight, the first instant after the gap.
    pub fn midnight(&self, date: Date) -> Timestamp {
        date.to_zoned(self.zone.clone()).map_or(Timestamp::MAX, |midnight| midnight.timestamp().into())
    }

    /// The first instant after a local date.
    pub fn next_midnight(&self, date: Date) -> Timestamp {
        date.tomorrow().map_or(Timestamp::MAX, |next| self.midnight(next))
    }

    /// The local date `days` before the date of the instant; clamped to the calendar.
    pub fn days_ago(&self, days: i64) -> Date {
        let days = days.clamp(-LONGEST_DAYS, LONGEST_DAYS);
        self.date().checked_sub(days.days()).unwrap_or(if days < 0 { Date::MAX } else { Date::MIN })
    }
}

/// More days than any history holds; keeps dates inside the calendar.
const LONGEST_DAYS: i64 = 1_000_000;

/// The unit of a [`Period`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// 3,600 seconds each, whatever the clocks do.
    Hour,
    /// The same local time on an earlier date.
    Day,
    /// Seven days.
    Week,
    /// The same day of an earlier month, or its last day if it is shorter.
    Month,
    /// Twelve months.
    Year,
}

/// Names of the units and how many of each make a hundred years, the longest period.
const UNITS: [(&str, Unit, i64); 5] = [
    ("hour", Unit::Hour, 876_600),
    ("day", Unit::Day, 36_525),
    ("week", Unit::Week, 5_218),
    ("month", Unit::Month, 1_200),
    ("year", Unit::Year, 100),
];

/// A span reaching back from *as of*: a positive number of units.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Period {
    /// How many units, from 1.
    pub count: i64,
    /// Of which length.
    pub unit: Unit,
}

/// A text that is not a period, or one longer than a hundred years.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "a period is a number and a unit, up to a hundred years: '24 hours', '30 days', '2 weeks', '6 months'"
)]
pub struct BadPeriod;

impl Period {
    /// The instant after which something lies inside the period. The earliest instant if the calendar ends before.
    pub fn start(self, as_of: &AsOf) -> Timestamp {
        let span: Span = match self.unit {
            Unit::Hour => self.count.hours(),
            Unit::Day => self.count.days(),
            Unit::Week => self.count.weeks(),
            Unit::Month => self.count.months(),
            Unit::Year => self.count.years(),
        };
        let now = as_of.at.to_jiff().to_zoned(as_of.zone.clone());
        now.checked_sub(span).map_or(Timestamp(i64::MIN), |start| start.timestamp().into())
    }
}

impl FromStr for Period {
    type Err = BadPeriod;

    /// `30 days`, `1 day`, `30days`; units in English, singular or plural.
    fn from_str(text: &str) -> Result<Self, BadPeriod> {
        let text = text.trim().to_ascii_lowercase();
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        let count: i64 = text[..digits].parse().map_err(|_| BadPeriod)?;
        let name = text[digits..].trim_start();
        let name = name.strip_suffix('s').unwrap_or(name);
        let (_, unit, most) = UNITS.iter().find(|(unit, ..)| *unit == name).ok_or(BadPeriod)?;
        if count < 1 || count > *most {
            return Err(BadPeriod);
        }
        Ok(Self { count, unit: *unit })
    }
}

impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = UNITS.iter().find(|(_, unit, _)| *unit == self.unit).map_or("", |(name, ..)| name);
        write!(f, "{} {name}{}", self.count, if self.count == 1 { "" } else { "s" })
    }
}

/// What an instant is compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// A whole local day in the shop's zone.
    Day(Date),
    /// A local time in the shop's zone; of two equal ones the earlier, in a gap the time moved behind it.
    Local(DateTime),
    /// An instant with an offset.
    At(Timestamp),
}

/// A text that is neither a date nor a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a date or time; write '2026-03-01', '2026-03-01 10:00' or '2026-03-01T10:00:00Z'")]
pub struct BadMoment;

impl Moment {
    /// First and last millisecond of the moment; equal unless it is a day.
    pub fn bounds(self, as_of: &AsOf) -> (Timestamp, Timestamp) {
        match self {
            Self::Day(date) => (as_of.midnight(date), before(as_of.next_midnight(date))),
            Self::Local(time) => {
                let at = time.to_zoned(as_of.zone.clone()).map_or(Timestamp::MAX, |at| at.timestamp().into());
                (at, at)
            }
            Self::At(at) => (at, at),
        }
    }
}

/// The last millisecond before an instant.
fn before(at: Timestamp) -> Timestamp {
    Timestamp(at.0.saturating_sub(1))
}

impl FromStr for Moment {
    type Err = BadMoment;

    fn from_str(text: &str) -> Result<Self, BadMoment> {
        // The calendar library takes more forms than we promise, so the shape is checked first.
        let shape: String = text.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
        if shape == "0000-00-00" {
            return text.parse().map(Self::Day).map_err(|_| BadMoment);
        }
        if !shape.starts_with("0000-00-00T00:00") && !shape.starts_with("0000-00-00 00:00") {
            return Err(BadMoment);
        }
        if !shape.bytes().all(|b| b"0-:.+TZ ".contains(&b)) {
            return Err(BadMoment);
        }
        let time_of_day = &text[11..];
        if time_of_day.contains(['Z', '+', '-']) {
            return Timestamp::parse(text).map(Self::At).map_err(|_| BadMoment);
        }
        text.parse().map(Self::Local).map_err(|_| BadMoment)
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Day(date) => write!(f, "{date}"),
            Self::Local(time) => write!(f, "{time}"),
            Self::At(at) => write!(f, "{}", at.to_jiff()),
        }
    }
}

#[cfg(test)]
mod tests {
    use jiff::tz::TimeZone;

    use super::{AsOf, BadPeriod, Moment, Period};
    use crate::model::clock::Timestamp;

    fn as_of(at: &str, zone: &str) -> AsOf {
        AsOf { at: Timestamp::parse(at).unwrap(), zone: TimeZone::get(zone).unwrap() }
    }

    #[test]
    fn periods_reach_back_by_the_shops_calendar() {
        let check = |period: &str, at: &str, zone: &str, start: &str| {
            let found = period.parse::<Period>().unwrap().start(&as_of(at, zone));
            assert_eq!(found, Timestamp::parse(start).unwrap(), "{period} before {at} in {zone}");
        };
        check("24 hours", "2026-03-08T20:00:00Z", "America/New_York", "2026-03-07T20:00:00Z");
        // One day earlier at the same local time: the clocks went forward, so 23 hours.
        check("1 day", "2026-03-08T20:00:00Z", "America/New_York", "2026-03-07T21:00:00Z");
        check("2 weeks", "2026-03-15T00:00:00Z", "UTC", "2026-03-01T00:00:00Z");
        check("1 month", "2026-03-31T12:00:00Z", "UTC", "2026-02-28T12:00:00Z");
        check("1 year", "2028-02-29T12:00:00Z", "UTC", "2027-02-28T12:00:00Z");
        check(" 30DAYS ", "2026-03-31T12:00:00Z", "Asia/Shanghai", "2026-03-01T12:00:00Z");
    }

    #[test]
    fn what_is_no_period_is_refused() {
        for text in [
            "",
            "30",
            "days",
            "0 days",
            "-1 days",
            "1.5 days",
            "30 d",
            "101 years",
            "9999999999999999999 days",
        ] {
            assert_eq!(text.parse::<Period>(), Err(BadPeriod), "{text}");
        }
    }

    #[test]
    fn a_date_is_the_whole_local_day_and_a_time_one_instant() {
        let check = |text: &str, zone: &str, first: &str, last: &str| {
            let moment: Moment = text.parse().unwrap();
            let expected = (Timestamp::parse(first).unwrap(), Timestamp::parse(last).unwrap());
            assert_eq!(moment.bounds(&as_of("2026-06-01T00:00:00Z", zone)), expected, "{text} in {zone}");
        };
        check("2026-03-01", "UTC", "2026-03-01T00:00:00Z", "2026-03-01T23:59:59.999Z");
        check("2026-03-01", "Asia/Shanghai", "2026-02-28T16:00:00Z", "2026-03-01T15:59:59.999Z");
        // 23 and 25 hours long, and a day that begins at one o'clock.
        check("2026-03-08", "America/New_York", "2026-03-08T05:00:00Z", "2026-03-09T03:59:59.999Z");
        check("2026-11-01", "America/New_York", "2026-11-01T04:00:00Z", "2026-11-02T04:59:59.999Z");
        check("2026-04-24", "Africa/Cairo", "2026-04-23T22:00:00Z", "2026-04-24T20:59:59.999Z");
        check("2026-03-01 10:00", "Asia/Shanghai", "2026-03-01T02:00:00Z", "2026-03-01T02:00:00Z");
        check("2026-03-01T10:00:30+08:00", "UTC", "2026-03-01T02:00:30Z", "2026-03-01T02:00:30Z");
    }

    #[test]
    fn what_is_no_moment_is_refused() {
        for text in
            ["", "2026", "2026-02-30", "20260301", "01.03.2026", "2026-03-01T10", "2026-03-01 25:00", "today"]
        {
            assert!(text.parse::<Moment>().is_err(), "{text}");
        }
        assert!("2026-03-01T10:00Z[Asia/Shanghai]".parse::<Moment>().is_err());
    }
}

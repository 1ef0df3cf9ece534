//! Days on which the law or a network allows no marketing texts. Computes dates; decides no hours.

use std::str::FromStr;

use jiff::ToSpan;
use jiff::civil::{Date, Weekday, date};

/// The holidays of one place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HolidaySet {
    /// Its name in the rules, like `FR` or `US-AL`.
    pub name: String,
    /// The days.
    pub days: Vec<Holiday>,
    /// Whether a fixed day on a Saturday also blocks the Friday before, and one on a Sunday the Monday after.
    pub observed: bool,
}

/// One yearly day. Written as `4 jul`, `3rd mon jan`, `last mon may`, `1st mon nov +1` (the day after) or
/// `easter-47`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holiday {
    /// The same date every year.
    Fixed {
        /// 1 to 12.
        month: i8,
        /// 1 to 31.
        day: i8,
    },
    /// A weekday of a month, and some days after it.
    Nth {
        /// 1 to 5 from the start of the month, -1 for the last.
        nth: i8,
        /// Which weekday.
        weekday: Weekday,
        /// 1 to 12.
        month: i8,
        /// Days after it.
        plus: i8,
    },
    /// Days from Easter Sunday of the western churches.
    Easter(i8),
}

/// A text that names no yearly day.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is no yearly day; write it like `4 jul`, `3rd mon jan`, `last mon may`, `1st mon nov +1` or `easter+1`"
)]
pub struct BadHoliday(pub String);

impl HolidaySet {
    /// Whether `day` is one of the holidays or an observed day for one.
    pub fn contains(&self, day: Date) -> bool {
        let fixed =
            |day: Option<Date>| day.is_some_and(|day| self.days.iter().any(|h| h.is_fixed() && h.is_on(day)));
        let observed = match day.weekday() {
            Weekday::Friday => fixed(day.tomorrow().ok()),
            Weekday::Monday => fixed(day.yesterday().ok()),
            _ => false,
        };
        self.days.iter().any(|holiday| holiday.is_on(day)) || (self.observed && observed)
    }
}

impl Holiday {
    /// Whether it falls on `day`.
    pub fn is_on(&self, day: Date) -> bool {
        match *self {
            Self::Fixed { month, day: of_month } => (day.month(), day.day()) == (month, of_month),
            Self::Nth { nth, weekday, month, plus } => date(day.year(), month, 1)
                .nth_weekday_of_month(nth, weekday)
                .and_then(|base| base.checked_add(plus.days()))
                .is_ok_and(|found| found == day),
            Self::Easter(offset) => {
                easter(day.year()).checked_add(offset.days()).is_ok_and(|found| found == day)
            }
        }
    }

    fn is_fixed(self) -> bool {
        matches!(self, Self::Fixed { .. })
    }
}

impl FromStr for Holiday {
    type Err = BadHoliday;

    fn from_str(text: &str) -> Result<Self, BadHoliday> {
        read(text).ok_or_else(|| BadHoliday(text.to_owned()))
    }
}

fn read(text: &str) -> Option<Holiday> {
    if let Some(offset) = text.strip_prefix("easter") {
        return Some(Holiday::Easter(if offset.is_empty() { 0 } else { offset.parse().ok()? }));
    }
    match *text.split_ascii_whitespace().collect::<Vec<_>>() {
        [day, month] => {
            let (day, month) = (day.parse().ok()?, month_of(month)?);
            // 2024 is a leap year, so that 29 February is a day.
            Date::new(2024, month, day).ok().map(|_| Holiday::Fixed { month, day })
        }
        [nth, weekday, month] => nth_of(nth, weekday, month, 0),
        [nth, weekday, month, plus] => nth_of(nth, weekday, month, plus.strip_prefix('+')?.parse().ok()?),
        _ => None,
    }
}

fn nth_of(nth: &str, weekday: &str, month: &str, plus: i8) -> Option<Holiday> {
    const NTH: [(&str, i8); 6] = [("1st", 1), ("2nd", 2), ("3rd", 3), ("4th", 4), ("5th", 5), ("last", -1)];
    const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
    let nth = NTH.iter().find(|(name, _)| *name == nth)?.1;
    let position = DAYS.iter().position(|day| *day == weekday)?;
    let weekday = Weekday::from_monday_zero_offset(i8::try_from(position).ok()?).ok()?;
    Some(Holiday::Nth { nth, weekday, month: month_of(month)?, plus })
}

fn month_of(name: &str) -> Option<i8> {
    const MONTHS: [&str; 12] =
        ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
    let position = MONTHS.iter().position(|month| *month == name)?;
    i8::try_from(position + 1).ok()
}

/// Easter Sunday in the Gregorian calendar (the anonymous algorithm of 1876, as Meeus gives it).
#[expect(clippy::many_single_char_names, reason = "the letters of the published algorithm")]
fn easter(year: i16) -> Date {
    let y = i32::from(year);
    let (a, b, c) = (y.rem_euclid(19), y.div_euclid(100), y.rem_euclid(100));
    let g = (b - (b + 8) / 25 + 1) / 3;
    let h = (19 * a + b - b / 4 - g + 15).rem_euclid(30);
    let l = (32 + 2 * (b % 4) + 2 * (c / 4) - h - c % 4).rem_euclid(7);
    let m = (a + 11 * h + 22 * l) / 451;
    let days_after_march_1 = h + l - 7 * m + 21;
    date(year, 3, 1).saturating_add(days_after_march_1.days())
}

#[cfg(test)]
mod tests {
    use jiff::civil::Date;

    use super::{Holiday, HolidaySet};

    #[test]
    fn yearly_days_fall_on_their_dates() {
        let check = |holiday: &str, on: &[&str]| {
            let parsed: Holiday = holiday.parse().unwrap_or_else(|e| panic!("{e}"));
            for year in ["2026", "2027"] {
                let start: Date = format!("{year}-01-01").parse().unwrap();
                let found: Vec<_> = start
                    .series(jiff::Span::new().days(1))
                    .take(365)
                    .filter(|day| parsed.is_on(*day))
                    .map(|day| day.to_string())
                    .collect();
                let expected: Vec<_> = on.iter().filter(|day| day.starts_with(year)).collect();
                assert_eq!(found.iter().collect::<Vec<_>>().len(), expected.len(), "{holiday} {year}");
                assert!(found.iter().all(|day| on.contains(&day.as_str())), "{holiday}: {found:?}");
            }
        };
        check("4 jul", &["2026-07-04", "2027-07-04"]);
        check("3rd mon jan", &["2026-01-19", "2027-01-18"]);
        check("last mon may", &["2026-05-25", "2027-05-31"]);
        check("4th thu nov", &["2026-11-26", "2027-11-25"]);
        check("1st mon nov +1", &["2026-11-03", "2027-11-02"]);
        check("easter", &["2026-04-05", "2027-03-28"]);
        check("easter-47", &["2026-02-17", "2027-02-09"]);
        check("easter+39", &["2026-05-14", "2027-05-06"]);
    }

    #[test]
    fn easter_is_right_over_the_centuries() {
        let check = |year: i16, expected: &str| assert_eq!(super::easter(year).to_string(), expected);
        check(1961, "1961-04-02");
        check(2000, "2000-04-23");
        check(2008, "2008-03-23");
        check(2019, "2019-04-21");
        check(2038, "2038-04-25");
        check(2285, "2285-03-22");
    }

    #[test]
    fn a_holiday_on_a_weekend_also_blocks_its_observed_day() {
        let check = |observed: bool, day: &str, expected: bool| {
            let set = HolidaySet { name: "test".into(), days: vec!["4 jul".parse().unwrap()], observed };
            assert_eq!(set.contains(day.parse().unwrap()), expected, "{day}");
        };
        check(true, "2026-07-04", true);
        check(true, "2026-07-03", true);
        check(false, "2026-07-03", false);
        check(true, "2027-07-05", true);
        check(true, "2027-07-02", false);
        check(true, "2025-07-04", true);
        check(true, "2025-07-03", false);
    }

    #[test]
    fn words_that_name_no_day_are_refused() {
        for text in ["", "july 4", "31 feb", "6th mon jan", "1st moon jan", "easter monday", "1st mon nov 1"]
        {
            assert!(text.parse::<Holiday>().is_err(), "{text}");
        }
    }
}

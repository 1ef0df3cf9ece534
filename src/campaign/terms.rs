//! Small terms of a campaign as people write them: periods, caps and budgets. Knows no contacts and no clock.

use std::fmt;
use std::str::FromStr;

use jiff::tz::TimeZone;
use jiff::{Span, ToSpan};
use serde::{Deserialize, Serialize};

use crate::model::clock::Timestamp;
use crate::model::money::Micros;

/// A span of time by the calendar: `24 hours`, `7 days`, `2 weeks`, `6 months`, `1 year`.
///
/// Hours are exact; the others keep the local time of day, whatever the clocks do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Period {
    count: u32,
    unit: Unit,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Unit {
    Hour,
    Day,
    Week,
    Month,
    Year,
}

/// Name of each unit and how many make ten years, the longest period.
const UNITS: [(&str, Unit, u32); 5] = [
    ("hour", Unit::Hour, 24 * 3_653),
    ("day", Unit::Day, 3_653),
    ("week", Unit::Week, 522),
    ("month", Unit::Month, 120),
    ("year", Unit::Year, 10),
];

/// Why a text is no term of a campaign.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadTerm {
    /// Not a period.
    #[error("a period is a number and a unit, like 24 hours, 7 days, 2 weeks, 6 months or 1 year")]
    Period,
    /// Too short or too long to mean anything.
    #[error("a period is from one hour to ten years long")]
    PeriodLength,
    /// Not a cap.
    #[error("a cap is a number of texts per period, like 2 per 7 days")]
    Cap,
    /// Not an amount of money.
    #[error("a budget is an amount and a currency, like 500 USD")]
    Budget,
    /// Nothing could be sent.
    #[error("a budget is more than zero; without the key nothing limits the cost")]
    NoBudget,
    /// Not a currency.
    #[error("a currency is three capital letters, like USD or EUR")]
    Currency,
}

impl Period {
    /// Seven days.
    pub const WEEK: Period = Period { count: 7, unit: Unit::Day };

    /// `at` moved forward by this period in `zone`, clamped to the calendar.
    pub fn after(self, at: Timestamp, zone: &TimeZone) -> Timestamp {
        self.moved(at, zone, 1)
    }

    /// `at` moved back by this period in `zone`, clamped to the calendar.
    pub fn before(self, at: Timestamp, zone: &TimeZone) -> Timestamp {
        self.moved(at, zone, -1)
    }

    /// For calendar arithmetic.
    pub fn span(self) -> Span {
        let count = i64::from(self.count);
        match self.unit {
            Unit::Hour => count.hours(),
            Unit::Day => count.days(),
            Unit::Week => count.weeks(),
            Unit::Month => count.months(),
            Unit::Year => count.years(),
        }
    }

    fn moved(self, at: Timestamp, zone: &TimeZone, sign: i64) -> Timestamp {
        let moved = at.to_jiff().to_zoned(zone.clone()).checked_add(self.span() * sign);
        let clamped = if sign < 0 { Timestamp(0) } else { Timestamp::MAX };
        moved.map_or(clamped, |zoned| zoned.timestamp().into())
    }
}

impl FromStr for Period {
    type Err = BadTerm;

    fn from_str(text: &str) -> Result<Self, BadTerm> {
        let (count, unit) = text.trim().split_once(char::is_whitespace).ok_or(BadTerm::Period)?;
        let unit = unit.trim_start();
        let singular = unit.strip_suffix('s').unwrap_or(unit);
        let known = UNITS.iter().find(|(name, ..)| *name == singular);
        let (_, unit, longest) = known.ok_or(BadTerm::Period)?;
        if count.is_empty() || !count.bytes().all(|b| b.is_ascii_digit()) {
            return Err(BadTerm::Period);
        }
        match count.parse() {
            Ok(count) if (1..=*longest).contains(&count) => Ok(Self { count, unit: *unit }),
            _ => Err(BadTerm::PeriodLength),
        }
    }
}

impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = UNITS.iter().find(|(_, unit, _)| *unit == self.unit).map_or("", |(name, ..)| name);
        let plural = if self.count == 1 { "" } else { "s" };
        write!(f, "{} {name}{plural}", self.count)
    }
}

/// Texts one contact may get from all campaigns within a period: `2 per 7 days`, or `1 per day`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Cap {
    /// Texts, this one included; at least one.
    pub count: u32,
    /// The time in which they count.
    pub period: Period,
}

impl FromStr for Cap {
    type Err = BadTerm;

    fn from_str(text: &str) -> Result<Self, BadTerm> {
        let (count, period) = text.split_once(" per ").ok_or(BadTerm::Cap)?;
        let count =
            count.trim().parse().ok().filter(|count| (1..=1_000).contains(count)).ok_or(BadTerm::Cap)?;
        let period = period.trim();
        let alone = UNITS.iter().any(|(name, ..)| *name == period);
        let period = if alone { format!("1 {period}").parse() } else { period.parse() };
        Ok(Self { count, period: period? })
    }
}

impl fmt::Display for Cap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} per {}", self.count, self.period)
    }
}

/// Money a run may spend: `500 USD`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Budget {
    /// How much, more than zero.
    pub amount: Micros,
    /// ISO 4217 code.
    pub currency: Currency,
}

impl FromStr for Budget {
    type Err = BadTerm;

    fn from_str(text: &str) -> Result<Self, BadTerm> {
        let (amount, currency) = text.trim().split_once(char::is_whitespace).ok_or(BadTerm::Budget)?;
        let amount: Micros = amount.parse().map_err(|_| BadTerm::Budget)?;
        if amount <= Micros(0) {
            return Err(BadTerm::NoBudget);
        }
        Ok(Self { amount, currency: currency.trim().parse()? })
    }
}

impl fmt::Display for Budget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.amount, self.currency)
    }
}

/// The code of a currency, as ISO 4217 has them; the form is checked, not whether the currency exists.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Currency(String);

impl Currency {
    /// Three capital letters.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for Currency {
    fn default() -> Self {
        Self("USD".to_owned())
    }
}

impl FromStr for Currency {
    type Err = BadTerm;

    fn from_str(text: &str) -> Result<Self, BadTerm> {
        if text.len() == 3 && text.bytes().all(|b| b.is_ascii_uppercase()) {
            Ok(Self(text.to_owned()))
        } else {
            Err(BadTerm::Currency)
        }
    }
}

impl fmt::Display for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

macro_rules! stored_as_written {
    ($($name:ident),+) => {$(
        impl TryFrom<String> for $name {
            type Error = BadTerm;

            fn try_from(text: String) -> Result<Self, BadTerm> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(term: $name) -> String {
                term.to_string()
            }
        }
    )+};
}

stored_as_written!(Period, Cap, Budget, Currency);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terms_are_read_as_people_write_them() {
        fn check<T: FromStr<Err = BadTerm> + fmt::Display>(text: &str, expected: Result<&str, BadTerm>) {
            let read = text.parse::<T>().map(|term| term.to_string());
            assert_eq!(read, expected.map(str::to_owned), "{text}");
        }
        check::<Period>("7 days", Ok("7 days"));
        check::<Period>(" 1  week ", Ok("1 week"));
        check::<Period>("1 years", Ok("1 year"));
        check::<Period>("0 days", Err(BadTerm::PeriodLength));
        check::<Period>("11 years", Err(BadTerm::PeriodLength));
        check::<Period>("99999999999 days", Err(BadTerm::PeriodLength));
        check::<Period>("-3 days", Err(BadTerm::Period));
        check::<Period>("7", Err(BadTerm::Period));
        check::<Period>("7 fortnights", Err(BadTerm::Period));
        check::<Cap>("2 per 7 days", Ok("2 per 7 days"));
        check::<Cap>("1 per day", Ok("1 per 1 day"));
        check::<Cap>("0 per day", Err(BadTerm::Cap));
        check::<Cap>("2 / week", Err(BadTerm::Cap));
        check::<Cap>("2 per moon", Err(BadTerm::Period));
        check::<Budget>("500 USD", Ok("500.00 USD"));
        check::<Budget>("12.5 EUR", Ok("12.50 EUR"));
        check::<Budget>("500", Err(BadTerm::Budget));
        check::<Budget>("0 USD", Err(BadTerm::NoBudget));
        check::<Budget>("1,000 USD", Err(BadTerm::Budget));
        check::<Budget>("500 usd", Err(BadTerm::Currency));
    }

    #[test]
    fn days_keep_the_local_time_over_a_clock_change_and_hours_do_not() {
        let zone = TimeZone::get("America/New_York").expect("zone");
        let check = |period: &str, from: &str, to: &str| {
            let period: Period = period.parse().expect("period");
            let (from, to) = (Timestamp::parse(from).expect("time"), Timestamp::parse(to).expect("time"));
            assert_eq!(period.after(from, &zone).rfc3339(), to.rfc3339());
            assert_eq!(period.before(to, &zone).rfc3339(), from.rfc3339());
        };
        check("7 days", "2026-10-30T10:00:00-04:00", "2026-11-06T10:00:00-05:00");
        check("24 hours", "2026-10-31T10:00:00-04:00", "2026-11-01T09:00:00-05:00");
    }
}

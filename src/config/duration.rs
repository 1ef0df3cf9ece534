//! Exact spans of time as people write them: `500 milliseconds`, `10 seconds`, `5 minutes`, `24 hours`, `3 days`.

use std::ops::RangeInclusive;
use std::time::Duration;

use crate::document::Value;

const UNITS: [(&str, u64); 5] =
    [("millisecond", 1), ("second", 1_000), ("minute", 60_000), ("hour", 3_600_000), ("day", 86_400_000)];

/// Reads a span of time within `range`; a day is 24 hours.
pub(super) fn duration(value: &Value<'_>, range: RangeInclusive<Duration>) -> Option<Duration> {
    let Some(read) = parse(value.text()?) else {
        let help = "write a whole number and a unit, like \"10 seconds\", \"5 minutes\" or \"24 hours\"";
        value.complain(format!("{} is not a span of time", value.name()), help);
        return None;
    };
    if !range.contains(&read) {
        let help = format!("{} to {} is possible", show(*range.start()), show(*range.end()));
        value.complain(format!("{} is out of range", value.name()), help);
        return None;
    }
    Some(read)
}

pub(super) fn parse(text: &str) -> Option<Duration> {
    let (count, unit) = text.trim().split_once(char::is_whitespace)?;
    let unit = unit.trim_start();
    let singular = unit.strip_suffix('s').unwrap_or(unit);
    let (_, length) = UNITS.iter().find(|(name, _)| *name == singular)?;
    let digits = !count.is_empty() && count.bytes().all(|b| b.is_ascii_digit());
    let count: u64 = digits.then(|| count.parse().ok()).flatten()?;
    Some(Duration::from_millis(count.checked_mul(*length)?))
}

/// The span in the largest unit that is exact.
fn show(span: Duration) -> String {
    let ms = u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
    let fits = UNITS.iter().rev().find(|(_, length)| ms >= *length && ms.is_multiple_of(*length));
    let (name, length) = fits.unwrap_or(&UNITS[1]);
    let count = ms / length;
    format!("{count} {name}{}", if count == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_read_and_shown_as_people_write_them() {
        let check = |text: &str, ms: Option<u64>, shown: &str| {
            let read = parse(text);
            assert_eq!(read, ms.map(Duration::from_millis), "{text}");
            assert_eq!(read.map(show).unwrap_or_default(), shown, "{text}");
        };
        check("10 seconds", Some(10_000), "10 seconds");
        check("1 hour", Some(3_600_000), "1 hour");
        check("90 minutes", Some(5_400_000), "90 minutes");
        check("24 hours", Some(86_400_000), "1 day");
        check("0 seconds", Some(0), "0 seconds");
        check("10", None, "");
        check("10s", None, "");
        check("-1 second", None, "");
        check("1.5 hours", None, "");
        check("99999999999999999999 days", None, "");
        check("18446744073709551615 days", None, "");
    }
}

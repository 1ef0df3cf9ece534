//! One field into one clean value: text, time or amount. Never decides which row is kept.

use std::borrow::Cow;

use jiff::civil::{Date, DateTime, Time};
use jiff::tz::TimeZone;
use unicode_normalization::{UnicodeNormalization, is_nfc};

use crate::model::clock::Timestamp;
use crate::model::money::Micros;

/// Longest name, e-mail address, identifier or tag, in characters.
pub(super) const MAX_SHORT: usize = 254;
/// Longest attribute or property, in characters.
pub(super) const MAX_LONG: usize = 2_000;

/// A value that is longer than the store should carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TooLong;

/// A value that is not what its column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Unreadable;

/// What a date without a time of day stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum DayPart {
    /// The first instant of the day: when something happened or began.
    Start,
    /// The last second of the day: when something ends.
    End,
}

/// The text in composed form (NFC), without control and direction characters and without spaces around it; a line
/// break or tab inside becomes a space. The apostrophe that spreadsheets and our own reject files put before
/// `= + - @` is taken away. Clean text comes back as it is.
pub(super) fn clean(raw: &str) -> Cow<'_, str> {
    let text = raw.trim_matches(|c: char| c.is_whitespace() || is_invisible(c));
    let text = match text.strip_prefix('\'') {
        Some(rest) if rest.starts_with(['=', '+', '-', '@']) => rest,
        _ => text,
    };
    if text.bytes().all(|byte| (b' '..0x7F).contains(&byte)) {
        return Cow::Borrowed(text);
    }
    if is_nfc(text) && !text.contains(is_invisible) {
        return Cow::Borrowed(text);
    }
    let spaced = text.chars().map(|c| if matches!(c, '\n' | '\r' | '\t') { ' ' } else { c });
    Cow::Owned(spaced.filter(|c| !is_invisible(*c)).nfc().collect())
}

/// The clean text, `None` if nothing is left.
pub(super) fn text(raw: &str, most: usize) -> Result<Option<String>, TooLong> {
    let clean = clean(raw);
    if clean.len() > most && clean.chars().count() > most {
        return Err(TooLong);
    }
    Ok((!clean.is_empty()).then(|| clean.into_owned()))
}

/// RFC 3339, or a date with or without a time, year first, read in `zone`; a local time that a clock change makes
/// ambiguous is the earlier one, one that it skips moves on by the gap.
pub(super) fn time(raw: &str, zone: &TimeZone, part: DayPart) -> Result<Timestamp, Unreadable> {
    let clean = clean(raw);
    if !clean.starts_with(|c: char| c.is_ascii_digit()) || clean.as_bytes().get(4) != Some(&b'-') {
        return Err(Unreadable);
    }
    if let Ok(at) = clean.parse::<jiff::Timestamp>() {
        return Ok(at.into());
    }
    let local = match (clean.len(), part) {
        (10, DayPart::Start) => clean.parse::<Date>().map(|day| day.to_datetime(Time::midnight())),
        (10, DayPart::End) => clean.parse::<Date>().map(|day| day.at(23, 59, 59, 0)),
        _ => clean.parse::<DateTime>(),
    };
    let at = local.and_then(|local| zone.to_timestamp(local)).map_err(|_| Unreadable)?;
    Ok(at.into())
}

/// An amount as shops write it: `1234.5`, `1,234.50`, `1.234,50`, `12,5`, with or without a currency beside it.
/// One comma with exactly three digits behind it can be either sign and is not read.
pub(super) fn amount(raw: &str) -> Result<Micros, Unreadable> {
    let clean = clean(raw);
    if let Ok(plain) = clean.parse() {
        return Ok(plain);
    }
    let bare = clean.trim_matches(|c: char| c.is_alphabetic() || c.is_whitespace() || "$€£¥₹".contains(c));
    let bare = bare.strip_prefix('-').map_or((false, bare), |rest| (true, rest));
    let (negative, digits) = (bare.0 || clean.starts_with('-'), bare.1);
    let digits = digits.trim_start_matches(|c: char| c.is_whitespace() || "$€£¥₹".contains(c));
    let plain = plain_decimal(digits).filter(|plain| !plain.starts_with('-')).ok_or(Unreadable)?;
    let value: Micros = plain.parse().map_err(|_| Unreadable)?;
    Ok(if negative { Micros(-value.0) } else { value })
}

/// Digits with signs between them into digits with at most a point.
fn plain_decimal(text: &str) -> Option<String> {
    let last = text.rfind(['.', ',']);
    let grouping = |whole: &str, sign: char| {
        let mut groups = whole.split(sign);
        groups.next().is_some_and(|first| (1..=3).contains(&first.len()))
            && groups.all(|group| group.len() == 3)
    };
    let spaceless = |whole: &str| whole.replace([' ', '\u{A0}', '\u{202F}', '\''], "");
    let Some(at) = last else { return Some(spaceless(text)) };
    let (whole, sign, fraction) = (spaceless(&text[..at]), char::from(text.as_bytes()[at]), &text[at + 1..]);
    let other = if sign == ',' { '.' } else { ',' };
    if whole.contains(sign) {
        // The same sign twice groups thousands: there is no fraction.
        let all = format!("{whole}{sign}{fraction}");
        return (!whole.contains(other) && grouping(&all, sign)).then(|| all.replace(sign, ""));
    }
    if whole.contains(other) {
        return grouping(&whole, other).then(|| format!("{}.{fraction}", whole.replace(other, "")));
    }
    (sign == '.' || fraction.len() != 3).then(|| format!("{whole}.{fraction}"))
}

/// Control characters, the byte order mark and direction marks: never part of a value, sometimes an attack on a reader.
fn is_invisible(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{FEFF}' | '\u{200E}' | '\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_cleaned_without_changing_what_they_say() {
        let check = |raw: &str, expected: &str| assert_eq!(clean(raw), expected, "{raw:?}");
        check("  Bea \t", "Bea");
        check("said \"x\"\nsecond", "said \"x\" second");
        check("Jose\u{301}", "José");
        check("\u{202E}evil\u{202C}\u{7}", "evil");
        check("'+14805550126", "+14805550126");
        check("'=1+1", "=1+1");
        check("'tis", "'tis");
        check("👩\u{200D}🚀", "👩\u{200D}🚀");
        check(" \u{feff} ", "");
    }

    #[test]
    fn a_text_is_bounded_in_characters() {
        assert_eq!(text(&"é".repeat(254), 254).map(|t| t.map(|t| t.chars().count())), Ok(Some(254)));
        assert_eq!(text(&"é".repeat(255), 254), Err(TooLong));
        assert_eq!(text("  ", 254), Ok(None));
    }

    #[test]
    fn times_are_read_year_first_and_in_the_shops_zone() {
        let zone = TimeZone::get("America/New_York").expect("a zone");
        let check = |raw: &str, part: DayPart, expected: Option<&str>| {
            assert_eq!(time(raw, &zone, part).ok().map(Timestamp::rfc3339).as_deref(), expected, "{raw}");
        };
        check("2016-12-15T10:00:00Z", DayPart::Start, Some("2016-12-15T10:00:00Z"));
        check("2016-12-15T10:00:00+02:00", DayPart::Start, Some("2016-12-15T08:00:00Z"));
        check(" 2016-12-15 10:00 ", DayPart::Start, Some("2016-12-15T15:00:00Z"));
        check("2016-12-15T10:00:30", DayPart::Start, Some("2016-12-15T15:00:30Z"));
        check("2016-12-15", DayPart::Start, Some("2016-12-15T05:00:00Z"));
        check("2016-12-15", DayPart::End, Some("2016-12-16T04:59:59Z"));
        check("2026-11-01 01:30", DayPart::Start, Some("2026-11-01T05:30:00Z"));
        for bad in [
            "",
            "12/15/2016",
            "15.12.2016",
            "20161215",
            "1481792400",
            "2016-13-01",
            "yesterday",
            "2016-12-15Z",
        ] {
            check(bad, DayPart::Start, None);
        }
    }

    #[test]
    fn amounts_are_read_as_shops_write_them_and_never_guessed() {
        let check = |raw: &str, expected: Option<&str>| {
            assert_eq!(amount(raw).ok().map(|micros| micros.to_string()).as_deref(), expected, "{raw}");
        };
        check("0.50", Some("0.50"));
        check("1234.5", Some("1234.50"));
        check("1,234.50", Some("1234.50"));
        check("1.234,50", Some("1234.50"));
        check("1 234,50 €", Some("1234.50"));
        check("$1,234,567", Some("1234567.00"));
        check("-$12.00", Some("-12.00"));
        check("$-12", Some("-12.00"));
        check("USD 12", Some("12.00"));
        check("12,5", Some("12.50"));
        check("1'234.50 CHF", Some("1234.50"));
        check("1.234", Some("1.234"));
        for bad in ["", "1,234", "1,23,4.5", "1.2.3", "12e3", "n/a", "--5", "1,2,3", "١٢"] {
            check(bad, None);
        }
    }
}

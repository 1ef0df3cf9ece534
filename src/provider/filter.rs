//! The filters a placeholder may pass through: one closed list, each a pure function from text to text.
//!
//! A filter never sees a secret's neighbours, never fails, and never depends on anything but its input.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::model::clock::Timestamp;

/// One filter, as in `{to|bare}` or `{validity|at_most:36000}`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Filter {
    /// `+1480…` becomes `1480…`.
    Bare,
    /// `+1480…` becomes `001480…`.
    DoubleZero,
    /// Percent-encodes everything but letters, digits and `-._~`; for a value inside another URL.
    UrlEncode,
    /// Standard base64 with padding, of the UTF-8 octets.
    Base64,
    /// Hexadecimal UTF-16BE, the octets of UCS-2.
    Ucs2Hex,
    /// Lower case, ASCII letters only.
    Lower,
    /// Upper case, ASCII letters only.
    Upper,
    /// Seconds into minutes, rounded up.
    Minutes,
    /// A number no larger than the one given.
    AtMost(u64),
    /// Writes the value as a JSON number instead of a string; last in its chain, alone in its value.
    Number,
    /// Milliseconds since 1970 into `2026-10-01`, UTC.
    Date,
    /// Milliseconds since 1970 into `2026-10-01T10:00:00Z`.
    Rfc3339,
    /// Milliseconds since 1970 into whole seconds.
    Epoch,
}

impl Filter {
    /// Every filter by name, in the order in which documentation lists them; `at_most` takes a number.
    pub const NAMES: [&str; 13] = [
        "bare",
        "double_zero",
        "urlencode",
        "base64",
        "ucs2_hex",
        "lower",
        "upper",
        "minutes",
        "at_most:N",
        "number",
        "date",
        "rfc3339",
        "epoch",
    ];

    /// Reads the written form.
    pub fn from_word(word: &str) -> Option<Self> {
        if let Some(number) = word.strip_prefix("at_most:") {
            return number.trim().parse().ok().map(Self::AtMost);
        }
        Some(match word {
            "bare" => Self::Bare,
            "double_zero" => Self::DoubleZero,
            "urlencode" => Self::UrlEncode,
            "base64" => Self::Base64,
            "ucs2_hex" => Self::Ucs2Hex,
            "lower" => Self::Lower,
            "upper" => Self::Upper,
            "minutes" => Self::Minutes,
            "number" => Self::Number,
            "date" => Self::Date,
            "rfc3339" => Self::Rfc3339,
            "epoch" => Self::Epoch,
            _ => return None,
        })
    }

    /// True for filters that read a number or a time; they need a placeholder that is one.
    pub fn wants_number(self) -> bool {
        matches!(
            self,
            Self::Minutes | Self::AtMost(_) | Self::Number | Self::Date | Self::Rfc3339 | Self::Epoch
        )
    }

    /// Applies the filter. Text that is no number passes the number filters unchanged.
    pub fn apply(self, text: &str) -> Cow<'_, str> {
        match self {
            Self::Bare => Cow::Borrowed(text.strip_prefix('+').unwrap_or(text)),
            Self::DoubleZero => match text.strip_prefix('+') {
                Some(digits) => Cow::Owned(format!("00{digits}")),
                None => Cow::Borrowed(text),
            },
            Self::UrlEncode => {
                let mut out = String::with_capacity(text.len() + 8);
                percent(text, &mut out);
                Cow::Owned(out)
            }
            Self::Base64 => Cow::Owned(STANDARD.encode(text)),
            Self::Ucs2Hex => Cow::Owned(ucs2_hex(text)),
            Self::Lower => Cow::Owned(text.to_ascii_lowercase()),
            Self::Upper => Cow::Owned(text.to_ascii_uppercase()),
            Self::Minutes => number(text, |seconds| seconds.div_ceil(60).to_string()),
            Self::AtMost(most) => number(text, |value| value.min(most).to_string()),
            Self::Number => Cow::Borrowed(text),
            Self::Date => number(text, |ms| moment(ms).rfc3339().chars().take(10).collect()),
            Self::Rfc3339 => number(text, |ms| moment(ms).rfc3339()),
            Self::Epoch => number(text, |ms| (ms / 1000).to_string()),
        }
    }
}

/// Appends `text` percent-encoded: all but the unreserved characters of RFC 3986. Valid in a query, a form and a path segment.
pub(crate) fn percent(text: &str, out: &mut String) {
    const KEEP: percent_encoding::AsciiSet =
        percent_encoding::NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
    out.extend(percent_encoding::utf8_percent_encode(text, &KEEP));
}

fn ucs2_hex(text: &str) -> String {
    use std::fmt::Write as _;
    let mut out = String::with_capacity(text.len() * 4);
    for unit in text.encode_utf16() {
        write!(out, "{unit:04X}").expect("writing to a String cannot fail");
    }
    out
}

fn number(text: &str, change: impl Fn(u64) -> String) -> Cow<'_, str> {
    text.parse().map_or(Cow::Borrowed(text), |value| Cow::Owned(change(value)))
}

fn moment(ms: u64) -> Timestamp {
    Timestamp(i64::try_from(ms).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use super::Filter;

    #[test]
    fn each_filter_does_what_its_line_in_the_guide_says() {
        let check = |name: &str, input: &str, output: &str| {
            let filter = Filter::from_word(name).expect(name);
            assert_eq!(filter.apply(input), output, "{name}");
        };
        check("bare", "+14155550100", "14155550100");
        check("bare", "ACME", "ACME");
        check("double_zero", "+4930123456", "004930123456");
        check("urlencode", "a b&c/ü~", "a%20b%26c%2F%C3%BC~");
        check("base64", "hi+you", "aGkreW91");
        check("ucs2_hex", "é€😀", "00E920ACD83DDE00");
        check("lower", "AbÄ", "abÄ");
        check("upper", "abä", "ABä");
        check("minutes", "61", "2");
        check("minutes", "60", "1");
        check("at_most:36000", "90000", "36000");
        check("at_most:36000", "600", "600");
        check("number", "12", "12");
        check("date", "1790848800000", "2026-10-01");
        check("rfc3339", "1790848800000", "2026-10-01T10:00:00Z");
        check("epoch", "1790848800123", "1790848800");
        check("minutes", "soon", "soon");
    }

    #[test]
    fn the_list_of_names_is_complete_and_true() {
        for name in Filter::NAMES {
            assert!(Filter::from_word(&name.replace(":N", ":7")).is_some(), "{name}");
        }
        assert_eq!(Filter::from_word("rot13"), None);
        assert_eq!(Filter::from_word("at_most:x"), None);
    }
}

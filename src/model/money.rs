//! Money as whole millionths of a currency unit, so that prices like 0.0079 add up exactly.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize, Serializer};

/// An amount in millionths of one unit of some currency; which currency is known from its context.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Micros(pub i64);

/// What is wrong with a text that should be an amount.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("`{0}` is not an amount; write digits with a point, like 12.50, with at most six decimals")]
pub struct BadAmount(pub String);

impl Micros {
    /// Price times a number of parts, saturating.
    #[must_use]
    pub fn times(self, count: i64) -> Self {
        Self(self.0.saturating_mul(count))
    }

    /// Sum, saturating.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }

    /// Serialises an amount, or none, as the decimal text that answers hold; give it as `serialize_with`. The bare number
    /// of millionths is what a store keeps.
    ///
    /// # Errors
    /// Those of the serialiser.
    pub fn as_text<'a, S: Serializer>(
        amount: impl Into<Option<&'a Self>>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        amount.into().map(ToString::to_string).serialize(serializer)
    }
}

impl FromStr for Micros {
    type Err = BadAmount;

    /// Plain decimal notation without thousands separators: `-12`, `12.5`, `0.0079`.
    fn from_str(text: &str) -> Result<Self, BadAmount> {
        let bad = || BadAmount(text.to_owned());
        let trimmed = text.trim();
        let (negative, digits) = match trimmed.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, trimmed),
        };
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
        if whole.is_empty() || fraction.len() > 6 || digits.ends_with('.') {
            return Err(bad());
        }
        let all_digits = |s: &str| s.bytes().all(|b| b.is_ascii_digit());
        if !all_digits(whole) || !all_digits(fraction) {
            return Err(bad());
        }
        let units: i64 = whole.parse().map_err(|_| bad())?;
        let millionths: i64 = format!("{fraction:0<6}").parse().map_err(|_| bad())?;
        let value = units.checked_mul(1_000_000).and_then(|v| v.checked_add(millionths)).ok_or_else(bad)?;
        Ok(Self(if negative { -value } else { value }))
    }
}

impl fmt::Display for Micros {
    /// At least two decimals, up to six when they matter: `12.50`, `0.0079`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.0 < 0 { "-" } else { "" };
        let (units, millionths) = (self.0.unsigned_abs() / 1_000_000, self.0.unsigned_abs() % 1_000_000);
        let fraction = format!("{millionths:06}");
        let keep = fraction.trim_end_matches('0').len().max(2);
        write!(f, "{sign}{units}.{}", &fraction[..keep])
    }
}

#[cfg(test)]
mod tests {
    use super::Micros;

    #[test]
    fn amounts_survive_reading_and_printing() {
        let check = |text: &str, micros: Option<i64>, shown: &str| {
            let parsed = text.parse::<Micros>();
            assert_eq!(parsed.as_ref().ok().map(|m| m.0), micros, "{text}");
            if let Ok(amount) = parsed {
                assert_eq!(amount.to_string(), shown, "{text}");
            }
        };
        check("12.5", Some(12_500_000), "12.50");
        check("0.0079", Some(7_900), "0.0079");
        check("-3", Some(-3_000_000), "-3.00");
        check("1,5", None, "");
        check("1.", None, "");
        check(".5", None, "");
        check("1.1234567", None, "");
        check("99999999999999", None, "");
    }
}

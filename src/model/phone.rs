//! A phone number in E.164, as a number that never prints itself.

use std::fmt;

use serde::{Deserialize, Serialize};

/// An E.164 number: its digits without the plus. `Debug` shows only the last two digits;
/// the whole number reaches a wire or a table through [`Phone::e164`] alone.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Phone(u64);

impl Phone {
    /// Takes the digits of an E.164 number; `None` unless it has 7 to 15 of them.
    pub fn from_digits(digits: u64) -> Option<Self> {
        (1_000_000..1_000_000_000_000_000).contains(&digits).then_some(Self(digits))
    }

    /// Reads strict E.164 text, `+` and digits, as stored or sent by a provider; the plus may be missing.
    pub fn from_e164(text: &str) -> Option<Self> {
        let digits = text.trim();
        let digits = digits.strip_prefix('+').unwrap_or(digits);
        if digits.is_empty() || digits.starts_with('0') || !digits.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        Self::from_digits(digits.parse().ok()?)
    }

    /// The number as `+` and digits.
    pub fn e164(self) -> String {
        format!("+{}", self.0)
    }

    /// The digits alone, the stored form.
    pub fn digits(self) -> u64 {
        self.0
    }
}

impl fmt::Debug for Phone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "+…{:02}", self.0 % 100)
    }
}

#[cfg(test)]
mod tests {
    use super::Phone;

    #[test]
    fn a_phone_shows_its_last_two_digits_only() {
        let phone = Phone::from_e164("+14805550126").expect("valid");
        assert_eq!(format!("{phone:?}"), "+…26");
        assert_eq!(phone.e164(), "+14805550126");
        assert_eq!(Phone::from_e164("14805550126"), Some(phone));
    }

    #[test]
    fn only_e164_is_taken() {
        for text in ["", "+", "0123456789", "+1 480 5550126", "12345", "+1234567890123456"] {
            assert_eq!(Phone::from_e164(text), None, "{text}");
        }
    }
}

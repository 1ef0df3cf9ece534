//! Places as the law names them: a country and, inside it, a state. Two letters each, nothing else.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A text that should be a two-letter code and is not. The text is left out: a shifted column may hold anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a country is two letters as in ISO 3166, like US or DE")]
pub struct BadCountry;

/// An ISO 3166-1 alpha-2 code in capitals. The form is checked, not whether the country exists.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Country([u8; 2]);

/// The second half of an ISO 3166-2 code, like the `FL` of `US-FL`; only meaningful next to its country.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Subregion([u8; 2]);

impl Country {
    /// The United States, the one country whose states have hours of their own.
    pub const US: Country = Country(*b"US");

    /// The code in capitals.
    pub fn as_str(&self) -> &str {
        letters(&self.0)
    }
}

impl Subregion {
    /// The code in capitals.
    pub fn as_str(&self) -> &str {
        letters(&self.0)
    }
}

macro_rules! two_letters {
    ($($name:ident),+) => {$(
        impl FromStr for $name {
            type Err = BadCountry;

            /// Two ASCII letters in either case, spaces around them ignored.
            fn from_str(text: &str) -> Result<Self, BadCountry> {
                capitals(text).map(Self).ok_or(BadCountry)
            }
        }

        impl TryFrom<String> for $name {
            type Error = BadCountry;

            fn try_from(text: String) -> Result<Self, BadCountry> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(code: $name) -> String {
                code.as_str().to_owned()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }
    )+};
}

two_letters!(Country, Subregion);

fn capitals(text: &str) -> Option<[u8; 2]> {
    match *text.trim().as_bytes() {
        [a, b] if a.is_ascii_alphabetic() && b.is_ascii_alphabetic() => {
            Some([a.to_ascii_uppercase(), b.to_ascii_uppercase()])
        }
        _ => None,
    }
}

fn letters(code: &[u8; 2]) -> &str {
    std::str::from_utf8(code).expect("the bytes are ASCII letters")
}

#[cfg(test)]
mod tests {
    use super::Country;

    #[test]
    fn a_country_is_two_letters_in_any_case() {
        let check = |text: &str, expected: Option<&str>| {
            let got = text.parse::<Country>().ok().map(|c| c.to_string());
            assert_eq!(got.as_deref(), expected, "{text}");
        };
        check("us", Some("US"));
        check(" De ", Some("DE"));
        check("USA", None);
        check("1A", None);
        check("Ü", None);
        check("", None);
    }

    #[test]
    fn a_country_travels_as_text() {
        assert_eq!(serde_json::to_string(&Country::US).unwrap(), "\"US\"");
        assert_eq!(serde_json::from_str::<Country>("\"us\"").unwrap(), Country::US);
        assert!(serde_json::from_str::<Country>("\"United States\"").is_err());
    }
}

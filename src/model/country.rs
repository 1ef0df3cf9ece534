//! Places as the law names them: a country and, inside it, a state. Two letters each, nothing else.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Why a text is no country. Two letters are repeated; any other text is left out: a shifted column may hold anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadCountry {
    /// Not two letters.
    #[error("a country is two letters as in ISO 3166, like US or DE")]
    Form,
    /// What many write for a country whose code is another.
    #[error("that is no country code of ISO 3166; did you mean {0}?")]
    Slip(Country),
    /// Two letters that stand for no country.
    #[error("{0} is no country; use two letters as in ISO 3166, like US or DE")]
    Unknown(Subregion),
}

/// Every country of ISO 3166-1, and the codes beside it that have telephones of their own: Ascension, Kosovo and
/// Tristan da Cunha. In alphabetical order.
const COUNTRIES: &str = "AC AD AE AF AG AI AL AM AO AQ AR AS AT AU AW AX AZ BA BB BD BE BF BG BH BI BJ BL BM BN BO BQ BR \
    BS BT BV BW BY BZ CA CC CD CF CG CH CI CK CL CM CN CO CR CU CV CW CX CY CZ DE DJ DK DM DO DZ EC EE EG EH ER ES ET FI \
    FJ FK FM FO FR GA GB GD GE GF GG GH GI GL GM GN GP GQ GR GS GT GU GW GY HK HM HN HR HT HU ID IE IL IM IN IO IQ IR IS \
    IT JE JM JO JP KE KG KH KI KM KN KP KR KW KY KZ LA LB LC LI LK LR LS LT LU LV LY MA MC MD ME MF MG MH MK ML MM MN MO \
    MP MQ MR MS MT MU MV MW MX MY MZ NA NC NE NF NG NI NL NO NP NR NU NZ OM PA PE PF PG PH PK PL PM PN PR PS PT PW PY QA \
    RE RO RS RU RW SA SB SC SD SE SG SH SI SJ SK SL SM SN SO SR SS ST SV SX SY SZ TA TC TD TF TG TH TJ TK TL TM TN TO TR \
    TT TV TW TZ UA UG UM US UY UZ VA VC VE VG VI VN VU WF WS XK YE YT ZA ZM ZW";

/// What people write for a country whose code is another: languages, car plates, old and three-letter codes.
const SLIPS: &[(&str, Country)] = &[
    ("BRA", Country(*b"BR")),
    ("CAN", Country(*b"CA")),
    ("CHN", Country(*b"CN")),
    ("CS", Country(*b"CZ")),
    ("DEU", Country(*b"DE")),
    ("EL", Country(*b"GR")),
    ("EN", Country(*b"GB")),
    ("ESP", Country(*b"ES")),
    ("FRA", Country(*b"FR")),
    ("GBR", Country(*b"GB")),
    ("GER", Country(*b"DE")),
    ("IND", Country(*b"IN")),
    ("ITA", Country(*b"IT")),
    ("JA", Country(*b"JP")),
    ("JPN", Country(*b"JP")),
    ("KO", Country(*b"KR")),
    ("KOR", Country(*b"KR")),
    ("MEX", Country(*b"MX")),
    ("SP", Country(*b"ES")),
    ("UK", Country(*b"GB")),
    ("USA", Country(*b"US")),
    ("ZH", Country(*b"CN")),
];

/// An ISO 3166-1 alpha-2 code in capitals, of a country that exists.
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

impl FromStr for Country {
    type Err = BadCountry;

    /// Two ASCII letters in either case, spaces around them ignored; they must be those of a country.
    fn from_str(text: &str) -> Result<Self, BadCountry> {
        let code = capitals(text);
        if let Some(code) = code
            && exists(code)
        {
            return Ok(Self(code));
        }
        let written = text.trim();
        if let Some((_, meant)) = SLIPS.iter().find(|(slip, _)| slip.eq_ignore_ascii_case(written)) {
            return Err(BadCountry::Slip(*meant));
        }
        Err(code.map_or(BadCountry::Form, |code| BadCountry::Unknown(Subregion(code))))
    }
}

impl FromStr for Subregion {
    type Err = BadCountry;

    /// Two ASCII letters in either case, spaces around them ignored.
    fn from_str(text: &str) -> Result<Self, BadCountry> {
        capitals(text).map(Self).ok_or(BadCountry::Form)
    }
}

macro_rules! two_letters {
    ($($name:ident),+) => {$(
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

/// Whether a country has this code. Codes are three bytes apart in the list, so half of what is left goes with each look.
fn exists(code: [u8; 2]) -> bool {
    let list = COUNTRIES.as_bytes();
    let (mut low, mut high) = (0, (list.len() + 1) / 3);
    while low < high {
        let middle = usize::midpoint(low, high);
        match list[middle * 3..middle * 3 + 2].cmp(&code[..]) {
            std::cmp::Ordering::Equal => return true,
            std::cmp::Ordering::Less => low = middle + 1,
            std::cmp::Ordering::Greater => high = middle,
        }
    }
    false
}

fn letters(code: &[u8; 2]) -> &str {
    std::str::from_utf8(code).expect("the bytes are ASCII letters")
}

#[cfg(test)]
mod tests {
    use super::{COUNTRIES, Country, SLIPS};

    #[test]
    fn every_country_is_known_and_nothing_else_is() {
        let listed: Vec<&str> = COUNTRIES.split(' ').collect();
        assert_eq!(listed.len(), 249 + 3, "ISO 3166-1 has 249 codes");
        assert!(listed.is_sorted() && listed.iter().all(|code| code.len() == 2), "{COUNTRIES}");
        let letters = || (b'A'..=b'Z').map(char::from);
        let all = letters().flat_map(|a| letters().map(move |b| format!("{a}{b}")));
        let known: Vec<String> = all.filter(|code| code.parse::<Country>().is_ok()).collect();
        assert_eq!(known, listed);
        for (slip, meant) in SLIPS {
            assert!(listed.contains(&meant.as_str()) && !listed.contains(slip), "{slip}");
        }
    }

    #[test]
    fn a_code_that_is_none_is_answered_with_the_one_that_was_meant_or_with_the_form() {
        let check = |text: &str, told: &str| {
            assert_eq!(text.parse::<Country>().expect_err(text).to_string(), told);
        };
        check("uk", "that is no country code of ISO 3166; did you mean GB?");
        check("USA", "that is no country code of ISO 3166; did you mean US?");
        check("XX", "XX is no country; use two letters as in ISO 3166, like US or DE");
        check("Germany", "a country is two letters as in ISO 3166, like US or DE");
    }

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

//! A coupon code: which characters it may have, how one is drawn, how a wrong one is noticed, and its states.
//!
//! Pure: it never stores a code, never picks one for a contact and never prints one whole.

use std::fmt;

use serde::{Deserialize, Serialize};
use unicode_normalization::UnicodeNormalization;

/// Most characters a code with a check character may have: beyond 30 two weights would be equal modulo 31.
pub const MAX_CHECKED: usize = 30;
/// Most characters of any code; longer ones are not typed by anybody.
pub const MAX_LENGTH: usize = 64;
/// Fewest random characters that are ever drawn, however few codes are live.
pub const MIN_DRAWN: usize = 6;

/// A code as it is looked up: NFKC, upper case, no spaces or hyphens. `Debug` shows its first four characters;
/// the whole code reaches a text or a table through [`CouponCode::reveal`] alone.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CouponCode(String);

/// Why a text is not a coupon code. Never carries the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadCode {
    /// Nothing is left after spaces and hyphens are dropped.
    #[error("the code is empty")]
    Empty,
    /// Something other than ASCII letters, digits and `_`.
    #[error("the code has characters other than A-Z, 0-9, `_`, `-` and spaces")]
    Characters,
    /// More than [`MAX_LENGTH`] characters.
    #[error("the code is longer than 64 characters")]
    TooLong,
}

impl CouponCode {
    /// Reads a code as a shop or a customer writes it.
    ///
    /// # Errors
    /// When nothing is left, a character is not allowed, or the code is too long.
    pub fn parse(text: &str) -> Result<Self, BadCode> {
        let kept = text.nfkc().filter(|c| !c.is_whitespace() && !is_hyphen(*c));
        let key: String = kept.take(MAX_LENGTH + 1).map(|c| c.to_ascii_uppercase()).collect();
        if key.is_empty() {
            return Err(BadCode::Empty);
        }
        if !key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') {
            return Err(BadCode::Characters);
        }
        if key.len() > MAX_LENGTH { Err(BadCode::TooLong) } else { Ok(Self(key)) }
    }

    /// The whole code, for the text that carries it and the row that keeps it.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for CouponCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}…", &self.0[..self.0.len().min(4)])
    }
}

/// The characters codes are drawn from. None has `0`, `O`, `1`, `I`; each character is one septet of an SMS.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Alphabet {
    /// 31 letters and digits that are not mistaken for each other; the only one with a check character.
    #[default]
    Standard,
    /// 26 letters and digits without vowels, so that no word appears by accident.
    Vowelless,
    /// 20 consonants, no digits.
    Consonants,
}

impl Alphabet {
    /// The characters, in the order of their values.
    pub fn characters(self) -> &'static [u8] {
        match self {
            Self::Standard => b"23456789ABCDEFGHJKLMNPQRSTUVWXY",
            Self::Vowelless => b"23456789BCDFGHJKMNPQRTVWXY",
            Self::Consonants => b"BCDFGHJKLMNPQRSTVWXZ",
        }
    }
}

/// How rarely one blind guess may hit a live code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GuessOdds {
    /// At most one in a million: coupons worth little (ten units of money or less).
    Million,
    /// At most one in a billion: codes worth as much as a gift.
    Billion,
}

impl GuessOdds {
    fn one_in(self) -> u128 {
        match self {
            Self::Million => 1_000_000,
            Self::Billion => 1_000_000_000,
        }
    }
}

/// The fewest random characters with which `live_codes` codes keep one blind guess within `odds`:
/// the shortest length with live codes / alphabet^length at or below the bound, never under [`MIN_DRAWN`].
/// A check character comes on top; it adds no secrecy.
pub fn length_for(alphabet: Alphabet, live_codes: u64, odds: GuessOdds) -> usize {
    let needed = u128::from(live_codes) * odds.one_in();
    let size = alphabet.characters().len() as u128;
    let mut space = 1_u128;
    let mut length = 0;
    while length < MIN_DRAWN || space < needed {
        space *= size;
        length += 1;
    }
    length
}

/// The form of the codes of a pool: what they are drawn from, how many random characters, with or without a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CodeShape {
    alphabet: Alphabet,
    length: usize,
    check: bool,
}

/// Why codes of some form cannot be drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadShape {
    /// Too short to be secret or too long to be typed.
    #[error("codes need 6 to 29 random characters, not {0}")]
    Length(usize),
    /// The check character works in an alphabet of 31 only.
    #[error("a check character needs the standard alphabet; leave the check out or use `standard`")]
    Check,
}

impl CodeShape {
    /// `length` random characters of `alphabet`, followed by a check character if `check`.
    ///
    /// # Errors
    /// When the length is outside 6 to 29 or the alphabet has no check character.
    pub fn new(alphabet: Alphabet, length: usize, check: bool) -> Result<Self, BadShape> {
        if !(MIN_DRAWN..MAX_CHECKED).contains(&length) {
            return Err(BadShape::Length(length));
        }
        if check && alphabet != Alphabet::Standard {
            return Err(BadShape::Check);
        }
        Ok(Self { alphabet, length, check })
    }

    /// Draws one code. Give the operating system's generator: a code is a secret. Uniqueness is the store's part:
    /// when its index refuses the code, draw again.
    pub fn draw(self, rng: &mut impl rand::CryptoRng) -> CouponCode {
        loop {
            let mut code = draw_characters(self.alphabet.characters(), self.length, rng);
            if SHUNNED.iter().any(|word| code.contains(word)) {
                continue;
            }
            if self.check {
                let check = check_character(&code)
                    .expect("the payload is 6 to 29 characters of the standard alphabet");
                code.push(check);
            }
            return CouponCode(code);
        }
    }
}

/// The check character of a payload of the standard alphabet, or `None` if it has another character or is longer
/// than 29. With values 0 to 30 and weights 1 to n from the left, n+1 for the check, the weighted sum is 0 modulo 31,
/// so every single wrong character and every swap of two different ones shows.
pub fn check_character(payload: &str) -> Option<char> {
    let weight = payload.len() + 1;
    if payload.is_empty() || weight > MAX_CHECKED {
        return None;
    }
    let sum = weighted_sum(payload)?;
    let characters = Alphabet::Standard.characters();
    let value =
        (0..characters.len()).find(|value| (sum + weight * value).is_multiple_of(characters.len()))?;
    Some(char::from(characters[value]))
}

/// What is wrong with a code that should end in its check character.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Mistyped {
    /// A character that no code of ours has, because it is easily mistaken for another.
    #[error("our codes have no `{0}`; look again: it may be another character")]
    Confusable(char),
    /// A `Z`, which stands for nothing but is often a misread 2.
    #[error("our codes have no `Z`; it may be a 2")]
    Zed,
    /// Other characters, or a length that no code of ours has.
    #[error("this is not the form of our codes")]
    Form,
    /// The check character does not fit: a wrong or swapped character.
    #[error("a character of the code is wrong or two are swapped")]
    Check,
}

/// Tells whether a code of the standard alphabet ends in its check character.
///
/// # Errors
/// What to tell the person who typed it.
pub fn verify(code: &CouponCode) -> Result<(), Mistyped> {
    let text = code.reveal();
    if let Some(found) = text.chars().find(|c| "O0I1".contains(*c)) {
        return Err(Mistyped::Confusable(found));
    }
    if text.contains('Z') {
        return Err(Mistyped::Zed);
    }
    if !(2..=MAX_CHECKED).contains(&text.len()) {
        return Err(Mistyped::Form);
    }
    match weighted_sum(text) {
        None => Err(Mistyped::Form),
        Some(sum) if sum.is_multiple_of(Alphabet::Standard.characters().len()) => Ok(()),
        Some(_) => Err(Mistyped::Check),
    }
}

/// Where a code stands in the ledger of its pool. The counts of all states add up to the stock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum CouponState {
    /// In stock.
    Available,
    /// Set aside for one message that has not left yet.
    Reserved,
    /// In a text that was accepted.
    Sent,
    /// Used by a customer.
    Redeemed,
    /// Past its end without use.
    Expired,
    /// Withdrawn by the shop.
    Voided,
    /// In a text of which nobody knows whether it left; counts as used.
    Quarantined,
}

impl CouponState {
    /// Every state, in the order in which the books are printed.
    pub const ALL: [Self; 7] = [
        Self::Available,
        Self::Reserved,
        Self::Sent,
        Self::Redeemed,
        Self::Expired,
        Self::Voided,
        Self::Quarantined,
    ];

    /// The state as stored and shown.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Available => "available",
            Self::Reserved => "reserved",
            Self::Sent => "sent",
            Self::Redeemed => "redeemed",
            Self::Expired => "expired",
            Self::Voided => "voided",
            Self::Quarantined => "quarantined",
        }
    }

    /// Reads the stored word.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == word)
    }
}

/// Words that a shop does not want to find in a code by accident; such a draw is thrown away.
const SHUNNED: [&str; 10] = ["ARSE", "CUNT", "DAMN", "DEAD", "DEATH", "FUCK", "NUDE", "RAPE", "SEX", "TURD"];

fn is_hyphen(c: char) -> bool {
    matches!(c, '-' | '\u{2010}'..='\u{2015}' | '\u{2212}' | '\u{00AD}')
}

/// Rejection sampling on five random bits, so that every character is equally likely.
fn draw_characters(characters: &[u8], length: usize, rng: &mut impl rand::CryptoRng) -> String {
    let mut code = String::with_capacity(length + 1);
    let mut bytes = [0_u8; 32];
    while code.len() < length {
        rng.fill_bytes(&mut bytes);
        let drawn = bytes.iter().filter_map(|byte| characters.get(usize::from(byte >> 3)));
        code.extend(drawn.take(length - code.len()).map(|b| char::from(*b)));
    }
    code
}

fn weighted_sum(text: &str) -> Option<usize> {
    let characters = Alphabet::Standard.characters();
    text.bytes().enumerate().try_fold(0, |sum, (at, byte)| {
        let value = characters.iter().position(|c| *c == byte)?;
        Some(sum + (at + 1) * value)
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rand::SeedableRng;
    use rand::rngs::StdRng;

    use super::*;

    fn code(text: &str) -> CouponCode {
        CouponCode::parse(text).expect("a code")
    }

    #[test]
    fn check_characters_match_the_published_vectors() {
        let check = |payload: &str, expected: char| {
            assert_eq!(check_character(payload), Some(expected), "{payload}");
            assert_eq!(verify(&code(&format!("{payload}{expected}"))), Ok(()), "{payload}");
        };
        check("22222222", '2');
        check("ABCDEFGH", '3');
        check("YYYYYYYY", '6');
        check("7KM9PQ2X", '5');
        check("SUMMER42", 'X');
        check("23456789", '4');
        assert_eq!(check_character("ABCDEFG0"), None, "a character outside the alphabet");
        assert_eq!(check_character(&"A".repeat(30)), None, "too long for distinct weights");
    }

    #[test]
    fn a_mistyped_code_says_what_to_look_at() {
        let check =
            |text: &str, expected: Result<(), Mistyped>| assert_eq!(verify(&code(text)), expected, "{text}");
        check("7km9-pq2x5", Ok(()));
        check("7KM9PQ2X6", Err(Mistyped::Check));
        check("7MK9PQ2X5", Err(Mistyped::Check));
        check("7KM9PQOX5", Err(Mistyped::Confusable('O')));
        check("7KM9PQZX5", Err(Mistyped::Zed));
        check("7KM9_Q2X5", Err(Mistyped::Form));
    }

    #[test]
    fn codes_are_compared_without_case_spaces_and_hyphens() {
        let check = |text: &str, expected: Result<&str, BadCode>| {
            assert_eq!(
                CouponCode::parse(text).as_ref().map(CouponCode::reveal),
                expected.as_ref().copied(),
                "{text}"
            );
        };
        check(" 7km9-pq2x5 ", Ok("7KM9PQ2X5"));
        check("７ＫＭ９", Ok("7KM9"));
        check("save\u{2011}20\u{a0}off", Ok("SAVE20OFF"));
        check("A_1", Ok("A_1"));
        check(" - ", Err(BadCode::Empty));
        check("SAVE20%", Err(BadCode::Characters));
        check("É5", Err(BadCode::Characters));
        check(&"A".repeat(65), Err(BadCode::TooLong));
    }

    #[test]
    fn a_code_never_prints_itself() {
        assert_eq!(format!("{:?}", code("7KM9PQ2X5")), "7KM9…");
    }

    #[test]
    fn lengths_follow_from_the_guessing_bound() {
        let check = |live: u64, odds: GuessOdds, expected: usize| {
            assert_eq!(length_for(Alphabet::Standard, live, odds), expected, "{live}");
        };
        check(1, GuessOdds::Million, 6);
        check(850_000, GuessOdds::Million, 8);
        check(1_000_000, GuessOdds::Million, 9);
        check(1_000_000, GuessOdds::Billion, 11);
        assert_eq!(length_for(Alphabet::Consonants, 1_000_000, GuessOdds::Million), 10);
        assert!(length_for(Alphabet::Consonants, u64::MAX, GuessOdds::Billion) < MAX_CHECKED);
    }

    #[test]
    fn drawn_codes_keep_their_shape_and_use_every_character_alike() {
        let mut rng = StdRng::seed_from_u64(7);
        for alphabet in [Alphabet::Standard, Alphabet::Vowelless, Alphabet::Consonants] {
            let shape = CodeShape::new(alphabet, 8, alphabet == Alphabet::Standard).expect("a shape");
            let mut seen = std::collections::BTreeMap::<u8, usize>::new();
            for _ in 0..5_000 {
                let drawn = shape.draw(&mut rng);
                assert_eq!(drawn.reveal().len(), if alphabet == Alphabet::Standard { 9 } else { 8 });
                drawn.reveal()[..8].bytes().for_each(|b| *seen.entry(b).or_default() += 1);
                assert!(alphabet != Alphabet::Standard || verify(&drawn).is_ok());
            }
            let expected = 40_000 / alphabet.characters().len();
            assert_eq!(seen.len(), alphabet.characters().len());
            assert!(seen.values().all(|n| n.abs_diff(expected) < expected / 5), "{alphabet:?}: {seen:?}");
        }
    }

    #[test]
    fn shapes_that_cannot_be_checked_or_are_too_short_are_refused() {
        assert_eq!(CodeShape::new(Alphabet::Standard, 5, true), Err(BadShape::Length(5)));
        assert_eq!(CodeShape::new(Alphabet::Standard, 30, false), Err(BadShape::Length(30)));
        assert_eq!(CodeShape::new(Alphabet::Consonants, 8, true), Err(BadShape::Check));
    }

    #[test]
    fn every_state_is_read_back_from_its_word() {
        for state in CouponState::ALL {
            assert_eq!(CouponState::from_word(state.as_str()), Some(state));
        }
        assert_eq!(CouponState::from_word("assigned"), None);
    }

    proptest! {
        #[test]
        fn every_wrong_character_and_every_swap_is_found(
            payload in "[2-9A-HJ-NP-Y]{1,29}", at in 0_usize..30, other in 0_usize..30, replacement in 0_usize..31,
        ) {
            let checked = format!("{payload}{}", check_character(&payload).expect("standard alphabet"));
            let mut bytes = checked.clone().into_bytes();
            let (at, other) = (at % bytes.len(), other % bytes.len());
            bytes.swap(at, other);
            let swapped = String::from_utf8(bytes.clone()).expect("ascii");
            prop_assert_eq!(verify(&code(&swapped)).is_ok(), swapped == checked);
            bytes.swap(at, other);
            bytes[at] = Alphabet::Standard.characters()[replacement];
            let wrong = String::from_utf8(bytes).expect("ascii");
            prop_assert_eq!(verify(&code(&wrong)).is_ok(), wrong == checked);
        }

        #[test]
        fn reading_a_code_twice_changes_nothing(text in ".{0,80}") {
            if let Ok(once) = CouponCode::parse(&text) {
                prop_assert_eq!(CouponCode::parse(once.reveal()), Ok(once.clone()));
            }
        }
    }
}

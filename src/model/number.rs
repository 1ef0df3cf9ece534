//! Reading a phone number as people write it into E.164, with its country and kind.
//!
//! *Possible* (the length fits), *valid* (the pattern fits) and *reachable* are three things; only a delivery
//! receipt says the last. Without a country code and a default country a number is an error, never a guess, and
//! no error ever holds the number.

mod pattern;
mod plan;
mod spelling;

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use super::country::Country;
use super::phone::Phone;
use plan::{Length, Plan, Territory};
use spelling::Spelling;

/// A number that could be read. Not [`valid`](Self::valid) means: the right length for E.164, but in no country's
/// plan; such a number is kept in the import log and never texted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Number {
    /// The number itself.
    pub phone: Phone,
    /// Its country; `None` for numbers of no country (+800) and for invalid numbers of shared calling codes.
    pub region: Option<Country>,
    /// Its kind; [`NumberKind::Unknown`] when not valid.
    pub kind: NumberKind,
    /// Whether it fits its country's numbering plan.
    pub valid: bool,
    /// Whether its digits tell the place of first assignment.
    pub geographic: bool,
    /// What was mended or left out while reading.
    pub warning: Option<NumberWarning>,
}

/// What is known about a number from its digits, as public numbering metadata groups it.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum NumberKind {
    /// A landline.
    FixedLine,
    /// A mobile.
    Mobile,
    /// One of the two; some plans, like that of country code 1, do not tell them apart.
    FixedLineOrMobile,
    /// Free for the caller.
    TollFree,
    /// Dear for the caller.
    PremiumRate,
    /// Cost shared between both ends.
    SharedCost,
    /// A number of an internet telephony service.
    Voip,
    /// A number that follows a person.
    PersonalNumber,
    /// A pager.
    Pager,
    /// One number for a whole company.
    Uan,
    /// A mailbox.
    Voicemail,
    /// Fits no pattern.
    Unknown,
}

/// Something a person should know about how a number was read; the number itself can be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NumberWarning {
    /// An extension was cut off; texts cannot reach extensions.
    Extension,
    /// Letters were read from the keypad, in a number that is never texted.
    Letters,
    /// The `1` that Mexican mobiles had after +52 until 2020 was taken out.
    OldMexicanMobile,
    /// It starts with `00`, which is not how its default country dials abroad.
    ForeignPrefix,
}

/// Why a text is no phone number. The text itself is left out on purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BadNumber {
    /// Nothing there.
    #[error("the phone number is empty")]
    Empty,
    /// Words or signs that no number has.
    #[error(
        "this is not a phone number; expected digits, spaces and dashes, best with a leading + and country code"
    )]
    NotANumber,
    /// Keypad letters outside a valid company number.
    #[error("there are letters in this phone number (O for 0, perhaps); write it in digits")]
    Letters,
    /// Scientific notation.
    #[error("a spreadsheet rounded this phone number (like 1.2E+10); export the column as text again")]
    Rounded,
    /// More than one number in the cell.
    #[error("there is more than one phone number here; keep one per row")]
    SeveralNumbers,
    /// National digits and nothing that tells the country.
    #[error("no country code; write the number with + and its country code, or name a default country")]
    NoCountry,
    /// A calling code that nobody has.
    #[error("no country has this calling code; check the digits after the +")]
    UnknownCountryCode,
    /// Fewer digits than any number has.
    #[error("too few digits for a phone number; is the area code missing?")]
    TooShort,
    /// More than the 15 digits of E.164.
    #[error("too many digits; a phone number has at most 15")]
    TooLong,
}

/// Calling codes whose mobile numbers carry the area code (libphonenumber's list).
const GEOGRAPHIC_MOBILE_CODES: [u16; 5] = [52, 54, 55, 62, 86];

/// Reads a number in any usual spelling; national spellings are those of `default_region`.
///
/// Order: a plus; the default country's way of dialling abroad; national digits, with or without country code and
/// trunk prefix. When that gives no valid number, `00` is tried as the international prefix, and a Mexican number
/// without its old mobile `1`; either only counts if the result is valid. Letters count only in company numbers,
/// like toll-free ones, which are never texted: a letter elsewhere is a typing error.
///
/// # Errors
/// When no number can be read; an implausible one is read and marked not valid.
pub fn parse(raw: &str, default_region: Option<Country>) -> Result<Number, BadNumber> {
    let plan = Plan::world();
    let spelling = spelling::read(raw)?;
    let home = default_region.and_then(|country| plan.home(country));
    let first = interpret(plan, &spelling, home);
    let mut number = match first {
        Ok(number) if number.valid => number,
        _ => second_guess(plan, &spelling, first.ok()).or(first.ok()).ok_or_else(|| reason(first))?,
    };
    // A mobile with a letter in it is far more often a typing error, like O for 0, than a vanity number.
    if spelling.letters && (!number.valid || number.kind.may_text()) {
        return Err(BadNumber::Letters);
    }
    if spelling.letters {
        number.warning = Some(NumberWarning::Letters);
    } else if spelling.extension {
        number.warning = Some(NumberWarning::Extension);
    }
    Ok(number)
}

fn reason(first: Result<Number, BadNumber>) -> BadNumber {
    first.err().unwrap_or(BadNumber::NotANumber)
}

fn interpret(plan: &Plan, spelling: &Spelling, home: Option<&Territory>) -> Result<Number, BadNumber> {
    let digits = spelling.digits.as_str();
    if spelling.plus {
        return international(plan, digits);
    }
    let home = home.ok_or(BadNumber::NoCountry)?;
    match home.international_prefix(digits) {
        Some(end) if !digits[end..].starts_with('0') => international(plan, &digits[end..]),
        _ => national(plan, digits, home),
    }
}

/// Spellings that are wrong by the book and common in lists.
fn second_guess(plan: &Plan, spelling: &Spelling, first: Option<Number>) -> Option<Number> {
    let from_abroad = spelling.digits.strip_prefix("00").and_then(|rest| international(plan, rest).ok());
    let mended = from_abroad.map(|number| Number { warning: Some(NumberWarning::ForeignPrefix), ..number });
    if let Some(number) = mended.filter(|number| number.valid) {
        return Some(number);
    }
    let all = first.or(mended)?.phone.digits();
    let without_one = all.checked_sub(5_210_000_000_000).filter(|&rest| rest < 10_000_000_000)?;
    let number = international(plan, &format!("52{without_one:010}")).ok()?;
    number.valid.then_some(Number { warning: Some(NumberWarning::OldMexicanMobile), ..number })
}

fn international(plan: &Plan, digits: &str) -> Result<Number, BadNumber> {
    if digits.len() <= 2 {
        return Err(BadNumber::TooShort);
    }
    let (territory, national) = plan.split(digits).ok_or(BadNumber::UnknownCountryCode)?;
    finish(plan, territory, national)
}

fn national(plan: &Plan, digits: &str, home: &Territory) -> Result<Number, BadNumber> {
    let mut code = [0; 3];
    if let Some(rest) = digits.strip_prefix(code_text(home.code, &mut code)) {
        let stripped = home.strip(rest);
        let better = !home.is_number(digits) && home.is_number(&stripped);
        if better || home.length(digits) == Length::TooLong {
            return international(plan, digits);
        }
    }
    finish(plan, home, digits)
}

/// The last steps of both ways: the national prefix, the classification, the limits of E.164.
fn finish(plan: &Plan, territory: &Territory, national: &str) -> Result<Number, BadNumber> {
    let stripped = territory.strip(national);
    let national = match territory.length(&stripped) {
        Length::Other => Cow::Borrowed(national),
        Length::Possible | Length::TooLong => stripped,
    };
    let mut code = [0; 3];
    let code_digits = code_text(territory.code, &mut code).len();
    if code_digits + national.len() > 15 {
        return Err(BadNumber::TooLong);
    }
    let width = u32::try_from(national.len()).map_err(|_| BadNumber::TooLong)?;
    let subscriber: u64 = national.parse().map_err(|_| BadNumber::TooShort)?;
    let digits = u64::from(territory.code) * 10_u64.pow(width) + subscriber;
    let phone = Phone::from_digits(digits).ok_or(BadNumber::TooShort)?;
    let (region, kind) = plan.classify(territory.code, &national);
    let geographic = match kind {
        NumberKind::FixedLine | NumberKind::FixedLineOrMobile => true,
        NumberKind::Mobile => GEOGRAPHIC_MOBILE_CODES.contains(&territory.code),
        _ => false,
    };
    Ok(Number { phone, region, kind, valid: kind != NumberKind::Unknown, geographic, warning: None })
}

/// A calling code as text, without an allocation.
fn code_text(code: u16, buffer: &mut [u8; 3]) -> &str {
    let mut rest = code;
    let mut at = buffer.len();
    while rest > 0 && at > 0 {
        at -= 1;
        buffer[at] = b'0' + u8::try_from(rest % 10).expect("a digit");
        rest /= 10;
    }
    std::str::from_utf8(&buffer[at..]).expect("ASCII digits")
}

impl Number {
    /// The calling code in front of the number, like 1 or 44.
    pub fn calling_code(&self) -> u16 {
        Plan::world().calling_code(self.phone.digits())
    }
}

impl NumberKind {
    /// Every kind.
    pub const ALL: [NumberKind; 12] = [
        Self::FixedLine,
        Self::Mobile,
        Self::FixedLineOrMobile,
        Self::TollFree,
        Self::PremiumRate,
        Self::SharedCost,
        Self::Voip,
        Self::PersonalNumber,
        Self::Pager,
        Self::Uan,
        Self::Voicemail,
        Self::Unknown,
    ];

    /// The kind as stored and shown.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::FixedLine => "fixed_line",
            Self::Mobile => "mobile",
            Self::FixedLineOrMobile => "fixed_line_or_mobile",
            Self::TollFree => "toll_free",
            Self::PremiumRate => "premium_rate",
            Self::SharedCost => "shared_cost",
            Self::Voip => "voip",
            Self::PersonalNumber => "personal_number",
            Self::Pager => "pager",
            Self::Uan => "uan",
            Self::Voicemail => "voicemail",
            Self::Unknown => "unknown",
        }
    }

    /// The kind that [`as_str`](Self::as_str) wrote.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == word)
    }

    /// Whether a marketing text may go to such a number unless a route says otherwise.
    pub fn may_text(self) -> bool {
        matches!(self, Self::Mobile | Self::FixedLineOrMobile)
    }
}

impl BadNumber {
    /// The reason in one word, for tables and JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Empty => "empty",
            Self::NotANumber => "not_a_number",
            Self::Letters => "letters",
            Self::Rounded => "rounded",
            Self::SeveralNumbers => "several_numbers",
            Self::NoCountry => "no_country",
            Self::UnknownCountryCode => "unknown_country_code",
            Self::TooShort => "too_short",
            Self::TooLong => "too_long",
        }
    }
}

impl NumberWarning {
    /// The warning in one word, for tables and JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Extension => "extension",
            Self::Letters => "letters",
            Self::OldMexicanMobile => "old_mexican_mobile",
            Self::ForeignPrefix => "foreign_prefix",
        }
    }
}

#[cfg(test)]
mod tests;

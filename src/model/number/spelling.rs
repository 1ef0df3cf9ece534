//! From the text in somebody's column to digits: what people and spreadsheets do to phone numbers.
//!
//! Knows signs, not numbering plans: it never decides what country a number is from or whether it exists.

use super::BadNumber;

/// The digits of a text, with what was noticed on the way.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Spelling {
    /// ASCII digits, without plus and extension; at least one.
    pub(super) digits: String,
    /// Whether the number starts with a plus, that is with a country code.
    pub(super) plus: bool,
    /// Whether an extension was cut off.
    pub(super) extension: bool,
    /// Whether letters were read as the digits of a keypad.
    pub(super) letters: bool,
}

/// No spelling of one number is longer; more text is somebody's notes.
const MOST_CHARACTERS: usize = 250;
/// Words that people write in front of a number.
const LABELS: [&str; 12] =
    ["tel", "phone", "ph", "mobile", "mob", "cell", "m", "t", "p", "sms", "whatsapp", "telephone"];
/// Words and signs that start an extension.
const EXTENSIONS: [&str; 10] = ["extension", "extn", "ext", "x", "ｘ", "#", "＃", "доб", "anexo", "int"];
/// An extension has no more digits than this; more of them are a second number.
const EXTENSION_DIGITS: usize = 6;

/// Reads one cell.
///
/// # Errors
/// When there is no number in it, more than one, or a number that a spreadsheet rounded.
pub(super) fn read(raw: &str) -> Result<Spelling, BadNumber> {
    let text = raw.trim_matches(separates);
    if text.is_empty() {
        return Err(BadNumber::Empty);
    }
    if text.len() > MOST_CHARACTERS {
        return Err(BadNumber::NotANumber);
    }
    if is_rounded(text) {
        return Err(BadNumber::Rounded);
    }
    let (text, parameters) = uri(text);
    let mut spelling = body(without_label(without_fraction(text))?)?;
    for parameter in parameters.split(';') {
        match parameter.split_once('=') {
            Some(("ext", _)) => spelling.extension = true,
            Some(("phone-context", context)) if context.starts_with('+') && !spelling.plus => {
                spelling.digits.insert_str(0, context[1..].trim());
                spelling.plus = true;
            }
            _ => {}
        }
    }
    if !spelling.digits.bytes().all(|b| b.is_ascii_digit()) || spelling.digits.is_empty() {
        return Err(BadNumber::NotANumber);
    }
    Ok(spelling)
}

fn body(text: &str) -> Result<Spelling, BadNumber> {
    let mut spelling =
        Spelling { digits: String::with_capacity(24), plus: false, extension: false, letters: false };
    for (at, sign) in text.char_indices() {
        if let Some(digit) = digit(sign) {
            spelling.digits.push(digit);
        } else if matches!(sign, '+' | '＋') {
            if !spelling.digits.is_empty() {
                return Err(BadNumber::SeveralNumbers);
            }
            spelling.plus = true;
        } else if separates(sign) {
            // Nothing to keep.
        } else if is_tail(&text[at..], spelling.digits.len())? {
            spelling.extension = true;
            break;
        } else if sign.is_ascii_alphabetic() && spelling.digits.len() >= 3 {
            spelling.letters = true;
            spelling.digits.push(key(sign));
        } else {
            return Err(BadNumber::NotANumber);
        }
    }
    Ok(spelling)
}

/// Whether an extension starts here: a word for it or a pause sign, then a few digits and nothing else.
fn is_tail(rest: &str, digits_before: usize) -> Result<bool, BadNumber> {
    if digits_before < 5 {
        return Ok(false);
    }
    let lower = rest.get(..rest.len().min(24)).unwrap_or(rest).to_lowercase();
    let pause = lower.strip_prefix([',', ';']);
    let Some(tail) = pause.or_else(|| EXTENSIONS.iter().find_map(|word| lower.strip_prefix(word))) else {
        return Ok(false);
    };
    let (mut digits, mut others) = (0, 0);
    for sign in tail.chars() {
        digits += usize::from(digit(sign).is_some());
        others += usize::from(digit(sign).is_none() && !separates(sign) && !matches!(sign, ':' | '=' | ','));
    }
    if pause.is_some() && digits > EXTENSION_DIGITS {
        return Err(BadNumber::SeveralNumbers);
    }
    Ok(others == 0 && (1..=EXTENSION_DIGITS).contains(&digits))
}

/// `1.48056E+10`: the digits after the sixth are gone.
fn is_rounded(text: &str) -> bool {
    let Some((mantissa, exponent)) = text.split_once(['e', 'E']) else { return false };
    let exponent = exponent.strip_prefix('+').unwrap_or(exponent);
    let digits = |s: &str| !s.is_empty() && s.bytes().all(|b| b.is_ascii_digit());
    let (whole, fraction) = mantissa.split_once(['.', ',']).unwrap_or((mantissa, "0"));
    whole.len() == 1 && digits(whole) && digits(fraction) && exponent.len() <= 2 && digits(exponent)
}

/// `14805550126.0`: a column that was once read as decimal numbers.
fn without_fraction(text: &str) -> &str {
    match text.strip_suffix(".0") {
        Some(whole)
            if whole.len() >= 7 && whole.trim_start_matches('+').bytes().all(|b| b.is_ascii_digit()) =>
        {
            whole
        }
        _ => text,
    }
}

/// Splits the parameters of a `tel:` address (RFC 3966) from its number.
fn uri(text: &str) -> (&str, &str) {
    let tel = text.get(..4).is_some_and(|scheme| scheme.eq_ignore_ascii_case("tel:"));
    let text = if tel { &text[4..] } else { text };
    match text.split_once(';') {
        Some((number, parameters)) if parameters.contains('=') => (number, parameters),
        _ => (text, ""),
    }
}

fn without_label(text: &str) -> Result<&str, BadNumber> {
    let number = text.trim_start_matches(char::is_alphabetic);
    let label = &text[..text.len() - number.len()];
    if label.is_empty() || LABELS.iter().any(|known| label.eq_ignore_ascii_case(known)) {
        return Ok(number.trim_start_matches([':', '.', ' ']));
    }
    Err(BadNumber::NotANumber)
}

fn separates(sign: char) -> bool {
    sign.is_whitespace()
        || matches!(
            sign,
            '-' | '.' | '(' | ')' | '[' | ']' | '/' | '\\' | '~' | '\'' | '"' | '`' | '·' | '_' | '|'
        )
        || matches!(sign, '\u{2010}'..='\u{2015}' | '\u{2212}' | '\u{30FC}' | '\u{FE58}' | '\u{FE63}' | '\u{FF0D}'..='\u{FF0F}')
        || matches!(
            sign,
            '\u{FF08}' | '\u{FF09}' | '\u{FF3B}' | '\u{FF3D}' | '\u{2018}'
                ..='\u{201F}' | '\u{2053}' | '\u{223C}' | '\u{FF5E}'
        )
        || matches!(sign, '\u{AD}' | '\u{61C}' | '\u{180E}' | '\u{200B}'..='\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2060}'..='\u{206F}' | '\u{FEFF}')
}

/// The ASCII digit that a decimal digit of any script stands for.
fn digit(sign: char) -> Option<char> {
    if sign.is_ascii() {
        return sign.is_ascii_digit().then_some(sign);
    }
    let code = u32::from(sign);
    let zero = ZEROS[..ZEROS.partition_point(|&zero| zero <= code)].last()?;
    char::from_digit(code - zero, 10)
}

/// The key of a telephone that carries this letter (ITU-T E.161).
fn key(letter: char) -> char {
    match letter.to_ascii_lowercase() {
        'a'..='c' => '2',
        'd'..='f' => '3',
        'g'..='i' => '4',
        'j'..='l' => '5',
        'm'..='o' => '6',
        'p'..='s' => '7',
        't'..='v' => '8',
        _ => '9',
    }
}

/// The zero of every run of decimal digits in Unicode (category Nd) beyond ASCII, ascending.
const ZEROS: [u32; 65] = [
    0x660, 0x6F0, 0x7C0, 0x966, 0x9E6, 0xA66, 0xAE6, 0xB66, 0xBE6, 0xC66, 0xCE6, 0xD66, 0xDE6, 0xE50, 0xED0,
    0xF20, 0x1040, 0x1090, 0x17E0, 0x1810, 0x1946, 0x19D0, 0x1A80, 0x1A90, 0x1B50, 0x1BB0, 0x1C40, 0x1C50,
    0xA620, 0xA8D0, 0xA900, 0xA9D0, 0xA9F0, 0xAA50, 0xABF0, 0xFF10, 0x104A0, 0x10D30, 0x11066, 0x110F0,
    0x11136, 0x111D0, 0x112F0, 0x11450, 0x114D0, 0x11650, 0x116C0, 0x11730, 0x118E0, 0x11950, 0x11C50,
    0x11D50, 0x11DA0, 0x16A60, 0x16AC0, 0x16B50, 0x1D7CE, 0x1D7D8, 0x1D7E2, 0x1D7EC, 0x1D7F6, 0x1E140,
    0x1E2F0, 0x1E950, 0x1FBF0,
];

#[cfg(test)]
mod tests {
    use super::{BadNumber, read};

    #[test]
    fn usual_spellings_give_the_same_digits() {
        let check = |raw: &str, digits: &str, plus: bool, extension: bool| {
            let got = read(raw).unwrap_or_else(|e| panic!("{raw}: {e}"));
            assert_eq!((got.digits.as_str(), got.plus, got.extension), (digits, plus, extension), "{raw}");
        };
        check("(480) 555-0126", "4805550126", false, false);
        check("480.555.0126", "4805550126", false, false);
        check("+1 (480) 555\u{2011}0126", "14805550126", true, false);
        check("tel:+1-480-555-0126", "14805550126", true, false);
        check("tel:+1-480-555-0126;ext=7", "14805550126", true, true);
        check("tel:555-0126;phone-context=+1480", "14805550126", true, false);
        check("Tel.: 480 555 0126", "4805550126", false, false);
        check("'14805550126", "14805550126", false, false);
        check("14805550126.0", "14805550126", false, false);
        check("\u{202a}+1\u{a0}480\u{2009}555\u{200b}0126\u{202c}", "14805550126", true, false);
        check("＋８１ ９０", "8190", true, false);
        check("٠٥٠١٢٣٤٥٦٧", "0501234567", false, false);
        check("480-555-0126 x9", "4805550126", false, true);
        check("480-555-0126 ext. 45", "4805550126", false, true);
        check("480-555-0126#12", "4805550126", false, true);
        check("480-555-0126,,12", "4805550126", false, true);
        check("555/0126", "5550126", false, false);
    }

    #[test]
    fn what_is_no_single_number_says_so() {
        let check = |raw: &str, expected: BadNumber| assert_eq!(read(raw), Err(expected), "{raw}");
        check("", BadNumber::Empty);
        check(" \u{200b}- ", BadNumber::Empty);
        check("call me", BadNumber::NotANumber);
        check("a@b.example", BadNumber::NotANumber);
        check("+", BadNumber::NotANumber);
        check("*100#", BadNumber::NotANumber);
        check("1.48056E+10", BadNumber::Rounded);
        check("4,48E10", BadNumber::Rounded);
        check("480 555 0126, 480 555 0127", BadNumber::SeveralNumbers);
        check("480 555 0126 +1 480 555 0127", BadNumber::SeveralNumbers);
        check(&"1".repeat(300), BadNumber::NotANumber);
    }

    #[test]
    fn letters_are_read_from_the_keypad() {
        let got = read("1-800-FLOWERS").unwrap();
        assert_eq!((got.digits.as_str(), got.letters), ("18003569377", true));
    }
}

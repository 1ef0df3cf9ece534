//! The GSM 7-bit default alphabet and its extension table: what a character costs, and its code on the wire.
//!
//! Source: 3GPP TS 23.038 sections 6.1.2.1 and 6.2.1. The national language shift tables are not here: most providers
//! refuse their headers. This module never decides how a whole text travels; that is [`super::parts`].

/// What `c` costs in the default alphabet: one septet, two for a character of the extension table (`€ [ ] { } ~ ^ | \`
/// and form feed), or `None` when only UCS-2 carries it. The escape U+001B announces an extension code and is no
/// character of its own, so it is `None` too.
pub fn septets(c: char) -> Option<u8> {
    match weight(c) {
        0 => None,
        cost => Some(cost),
    }
}

/// The septets of `text`, one in each octet, or `None` when a character needs UCS-2. This is also the form that SMPP
/// centres take with data coding 0.
pub fn encode(text: &str) -> Option<Vec<u8>> {
    let mut codes = Vec::with_capacity(text.len());
    for c in text.chars() {
        match weight(c) {
            1 => codes.push(CODES[c as usize]),
            2 => codes.extend([ESCAPE, extension_code(c)?]),
            _ => return None,
        }
    }
    Some(codes)
}

/// Septets of the whole text and how many of its characters cost two, or `None` when one needs UCS-2.
pub(super) fn weigh(text: &str) -> Option<(u32, u32)> {
    let (mut units, mut heavy) = (0, 0);
    if text.is_ascii() {
        // The hot path of every campaign in English: no branch for each character.
        let mut wrapped = 0;
        for octet in text.bytes() {
            let weight = u32::from(WEIGHTS[usize::from(octet)]);
            units += weight;
            heavy += weight >> 1;
            wrapped |= weight.wrapping_sub(1);
        }
        return (wrapped <= 1).then_some((units, heavy));
    }
    for c in text.chars() {
        let weight = weight(c);
        if weight == 0 {
            return None;
        }
        units += u32::from(weight);
        heavy += u32::from(weight >> 1);
    }
    Some((units, heavy))
}

/// The cost of `c` as a number that the hot path adds up: 0 means "not in the alphabet".
pub(super) fn weight(c: char) -> u8 {
    match WEIGHTS.get(c as usize) {
        Some(&cost) => cost,
        None if c == EURO => 2,
        None => 0,
    }
}

const ESCAPE: u8 = 0x1B;
const EURO: char = '€';
/// Code points below this bound are looked up; above it the alphabet has only the euro sign.
const BOUND: usize = 0x400;

/// Code to character, row by row as the standard prints it; the escape stands at its own place.
#[rustfmt::skip]
const BASIC: [char; 128] = [
    '@', '£', '$', '¥', 'è', 'é', 'ù', 'ì', 'ò', 'Ç', '\n', 'Ø', 'ø', '\r', 'Å', 'å',
    'Δ', '_', 'Φ', 'Γ', 'Λ', 'Ω', 'Π', 'Ψ', 'Σ', 'Θ', 'Ξ', '\u{1B}', 'Æ', 'æ', 'ß', 'É',
    ' ', '!', '"', '#', '¤', '%', '&', '\'', '(', ')', '*', '+', ',', '-', '.', '/',
    '0', '1', '2', '3', '4', '5', '6', '7', '8', '9', ':', ';', '<', '=', '>', '?',
    '¡', 'A', 'B', 'C', 'D', 'E', 'F', 'G', 'H', 'I', 'J', 'K', 'L', 'M', 'N', 'O',
    'P', 'Q', 'R', 'S', 'T', 'U', 'V', 'W', 'X', 'Y', 'Z', 'Ä', 'Ö', 'Ñ', 'Ü', '§',
    '¿', 'a', 'b', 'c', 'd', 'e', 'f', 'g', 'h', 'i', 'j', 'k', 'l', 'm', 'n', 'o',
    'p', 'q', 'r', 's', 't', 'u', 'v', 'w', 'x', 'y', 'z', 'ä', 'ö', 'ñ', 'ü', 'à',
];

/// Character and the code that follows the escape.
const EXTENSION: [(char, u8); 10] = [
    ('\u{0C}', 0x0A),
    ('^', 0x14),
    ('{', 0x28),
    ('}', 0x29),
    ('\\', 0x2F),
    ('[', 0x3C),
    ('~', 0x3D),
    (']', 0x3E),
    ('|', 0x40),
    (EURO, 0x65),
];

static CODES: [u8; BOUND] = codes();
static WEIGHTS: [u8; BOUND] = weights();

#[expect(clippy::cast_possible_truncation, reason = "the index is below 128")]
const fn codes() -> [u8; BOUND] {
    let mut codes = [0; BOUND];
    let mut code = 0;
    while code < BASIC.len() {
        codes[BASIC[code] as usize] = code as u8;
        code += 1;
    }
    codes
}

const fn weights() -> [u8; BOUND] {
    let mut weights = [0; BOUND];
    let mut code = 0;
    while code < BASIC.len() {
        weights[BASIC[code] as usize] = 1;
        code += 1;
    }
    weights[ESCAPE as usize] = 0;
    let mut index = 0;
    while index < EXTENSION.len() {
        let c = EXTENSION[index].0 as usize;
        if c < BOUND {
            weights[c] = 2;
        }
        index += 1;
    }
    weights
}

fn extension_code(c: char) -> Option<u8> {
    EXTENSION.iter().find(|(character, _)| *character == c).map(|(_, code)| *code)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(octets: &[u8]) -> String {
        let digit = |value: u8| char::from(b"0123456789ABCDEF"[usize::from(value)]);
        octets.iter().flat_map(|octet| [digit(octet >> 4), digit(octet & 0xF)]).collect()
    }

    /// Vectors of TS 23.038.
    #[test]
    fn text_has_the_codes_of_the_alphabet() {
        let check = |text: &str, codes: &str| {
            let septets = encode(text).unwrap();
            assert_eq!(hex(&septets), codes, "{text}");
        };
        check("hellohello", "68656C6C6F68656C6C6F");
        check("20€ off", "32301B65206F6666");
        check("1234567", "31323334353637");
        check("Ç{}", "091B281B29");
        check("", "");
    }

    #[test]
    fn every_character_costs_what_the_standard_says() {
        let check = |c: char, cost: Option<u8>| assert_eq!(septets(c), cost, "U+{:04X}", c as u32);
        for c in BASIC {
            check(c, (c != '\u{1B}').then_some(1));
        }
        for (c, _) in EXTENSION {
            check(c, Some(2));
        }
        for c in ['ç', 'á', '`', '\t', '\u{A0}', 'Α', '’', '–', '…', '中', '😀', '\u{3FF}', '\u{400}', '\0']
        {
            check(c, None);
        }
        let known = (0..=0x0010_FFFF).filter_map(char::from_u32).filter(|c| septets(*c).is_some()).count();
        assert_eq!(known, 127 + 10);
    }
}

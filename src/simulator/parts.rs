//! The provider's own count of parts.
//!
//! Deliberately not the count of the sending side: an oracle that shared its code would share its mistakes.
//! It never changes a text.

/// Characters of the GSM 7-bit default alphabet outside ASCII (3GPP TS 23.038, 6.2.1).
const BASIC: &str = "£¥èéùìòÇØøÅåΔΦΓΛΩΠΨΣΘΞÆæßÉ¤¡ÄÖÑÜ§¿äöñüà";

/// How many parts `text` is billed as: 160 septets or 70 UTF-16 units alone, 153 or 67 in a chain, and neither an escape
/// pair nor a surrogate pair is torn apart.
pub(super) fn count(text: &str) -> u32 {
    let gsm = text.chars().all(|c| septets(c).is_some());
    let (alone, chained) = if gsm { (160, 153) } else { (70, 67) };
    let width = |c: char| if gsm { septets(c).unwrap_or(1) } else { c.len_utf16() };
    if text.chars().map(width).sum::<usize>() <= alone {
        return 1;
    }
    let (mut parts, mut used) = (1, 0);
    for wide in text.chars().map(width) {
        if used + wide > chained {
            parts += 1;
            used = 0;
        }
        used += wide;
    }
    parts
}

/// Septets of one character: one, two behind an escape, or none outside the alphabet.
fn septets(c: char) -> Option<usize> {
    match c {
        '^' | '{' | '}' | '\\' | '[' | '~' | ']' | '|' | '€' | '\u{c}' => Some(2),
        '`' => None,
        '\n' | '\r' | ' '..='~' => Some(1),
        _ => BASIC.contains(c).then_some(1),
    }
}

#[cfg(test)]
mod tests {
    use super::count;

    #[test]
    fn a_text_is_billed_by_what_fits_into_a_part() {
        let check = |text: String, expected| assert_eq!(count(&text), expected, "{text}");
        check(String::new(), 1);
        check("a".repeat(160), 1);
        check("a".repeat(161), 2);
        check("a".repeat(306), 2);
        check("a".repeat(307), 3);
        check("€".repeat(80), 1);
        check("€".repeat(81), 2);
        // 152 septets, then an escape pair that may not be torn: the last septet of the part stays empty.
        check(format!("{}€{}", "a".repeat(152), "a".repeat(151)), 2);
        check(format!("{}€{}", "a".repeat(152), "a".repeat(152)), 3);
        check("好".repeat(70), 1);
        check("好".repeat(71), 2);
        check("好".repeat(135), 3);
        check("😀".repeat(35), 1);
        // 67 units hold 33 pairs.
        check("😀".repeat(66), 2);
        check("😀".repeat(67), 3);
        check(format!("{}`", "a".repeat(70)), 2);
    }
}

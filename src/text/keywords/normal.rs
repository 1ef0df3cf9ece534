//! The form in which texts and keywords are compared: people write ARRÊT, arret, “Arrêt!” and Ａｒｒｅｔ and mean one thing.

use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;

/// The words of `text`: compatibility forms resolved, lower case, without accents, quotes, punctuation and emoji.
///
/// An apostrophe joins what stands around it (`don't` is `dont`); every other sign divides. The vowel signs of Indic and
/// Thai writing are not accents and stay.
pub(super) fn words(text: &str) -> Vec<String> {
    let mut folded = String::with_capacity(text.len());
    for c in text.nfkc().filter(|c| !is_apostrophe(*c)).flat_map(char::to_lowercase).nfd() {
        match c {
            c if is_accent(c) || is_invisible(c) => {}
            'ı' => folded.push('i'),
            'ς' => folded.push('σ'),
            'æ' => folded.push_str("ae"),
            'ø' => folded.push('o'),
            'ł' => folded.push('l'),
            'đ' => folded.push('d'),
            'ß' => folded.push_str("ss"),
            c if c.is_alphanumeric() || is_combining_mark(c) => folded.push(c),
            _ => folded.push(' '),
        }
    }
    folded
        .split(' ')
        .map(|word| word.trim_start_matches(is_combining_mark).nfc().collect::<String>())
        .filter(|word| !word.is_empty())
        .collect()
}

fn is_apostrophe(c: char) -> bool {
    matches!(c, '\'' | '\u{2018}' | '\u{2019}' | '\u{2BC}' | '\u{60}' | '\u{B4}')
}

/// Accents of Latin, Greek and Cyrillic, Hebrew points, Arabic vowels and hamza, the Arabic stretching stroke, keycaps.
fn is_accent(c: char) -> bool {
    matches!(c,
        '\u{300}'..='\u{36F}' | '\u{591}'..='\u{5C7}' | '\u{640}' | '\u{64B}'..='\u{65F}' | '\u{670}' | '\u{20E3}')
}

fn is_invisible(c: char) -> bool {
    matches!(c,
        '\u{AD}' | '\u{200B}'..='\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2060}'..='\u{2069}' | '\u{FE00}'..='\u{FE0F}'
        | '\u{FEFF}')
}

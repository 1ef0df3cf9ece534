//! Smart replacement: typographic characters become their plain spelling when that keeps the whole text in GSM-7.
//!
//! A curly quote pasted from a word processor can triple the price of a campaign. Replacement never touches a link or a
//! protected span such as a coupon code, never alters a letter, and never applies by halves: a text that still needs
//! UCS-2, or that would make more parts, stays as it was. Folding letters (`ł` to `l`) alters words, so it is only ever
//! offered as a suggestion.

use std::borrow::Cow;
use std::ops::Range;

use unicode_normalization::{IsNormalized, UnicodeNormalization, is_nfc_quick};

use super::gsm7;
use super::parts::count;
use crate::model::encoding::Encoding;

/// The cheaper spelling of `text`, or `text` itself when there is none. `protected` are spans that must arrive
/// character for character, such as the coupon code; links are protected anyway.
pub fn replace(text: &str, protected: &[&str]) -> Replaced {
    match respell(text, protected, spelling) {
        Some(text) => Replaced { text, changed: true },
        None => Replaced { text: text.to_owned(), changed: false },
    }
}

/// As [`replace`], and Latin letters without a GSM-7 form lose their accents too. `None` when even that does not keep
/// the text in GSM-7, or would make more parts. For suggestions only: a person must agree to altered words.
pub fn fold(text: &str, protected: &[&str]) -> Option<String> {
    respell(text, protected, |c| spelling(c).or_else(|| folded(c)))
}

/// The outcome of [`replace`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replaced {
    /// The text to send, normalised to NFC if it was changed.
    pub text: String,
    /// Whether it differs from what was given; show the marketer the difference.
    pub changed: bool,
}

/// The GSM-7 spelling of a typographic character; empty for an invisible one; `None` for a letter, an ideograph, an
/// emoji and for everything that GSM-7 carries as it is.
///
/// The table merges what several providers replace on their own account; here it is in one place, so that a plan can
/// count what will be sent.
pub fn spelling(c: char) -> Option<&'static str> {
    punctuation(c).or_else(|| symbol(c)).or_else(|| fullwidth(c))
}

/// The GSM-7 letters nearest to a Latin letter that GSM-7 lacks: `ç` gives `c`, `Ł` gives `L`. `None` for other scripts,
/// which a transliteration would make unreadable to the people who use them.
pub fn folded(c: char) -> Option<&'static str> {
    let latin = matches!(c, '\u{C0}'..='\u{24F}' | '\u{1E00}'..='\u{1EFF}') && c.is_alphabetic();
    if !latin || gsm7::septets(c).is_some() {
        return None;
    }
    deunicode::deunicode_char(c)
        .filter(|ascii| !ascii.is_empty() && ascii.chars().all(|c| c.is_ascii_alphabetic()))
}

/// Applies `spelled` to every character that needs it, outside protected spans; all or nothing.
fn respell(text: &str, protected: &[&str], spelled: impl Fn(char) -> Option<&'static str>) -> Option<String> {
    let before = count(text);
    if before.encoding == Encoding::Gsm7 {
        return None;
    }
    let text = nfc(text);
    let kept = protected_spans(&text, protected);
    let mut plain = String::with_capacity(text.len());
    for (offset, c) in text.char_indices() {
        if gsm7::septets(c).is_some() {
            plain.push(c);
        } else if kept.iter().any(|span| span.contains(&offset)) {
            return None;
        } else {
            plain.push_str(spelled(c)?);
        }
    }
    // ½ is one unit and "1/2" is three: a short text may be dearer in plain spelling.
    let after = count(&plain);
    (after.encoding == Encoding::Gsm7 && after.parts <= before.parts).then_some(plain)
}

/// Octet ranges of `text` that must stay as they are: links, and every occurrence of a protected span.
fn protected_spans(text: &str, protected: &[&str]) -> Vec<Range<usize>> {
    let mut spans = links(text);
    for span in protected.iter().filter(|span| !span.is_empty()) {
        let span = nfc(span);
        spans.extend(text.match_indices(span.as_ref()).map(|(start, found)| start..start + found.len()));
    }
    spans
}

/// A link runs from its scheme, `www.` or a host with a path to the next white space, less the punctuation that closes
/// a sentence around it.
fn links(text: &str) -> Vec<Range<usize>> {
    let mut spans = Vec::new();
    let mut offset = 0;
    for word in text.split_inclusive(char::is_whitespace) {
        if let Some(start) = link_start(word) {
            let link = word[start..].trim_end().trim_end_matches(closes_sentence);
            spans.push(offset + start..offset + start + link.len());
        }
        offset += word.len();
    }
    spans
}

fn link_start(word: &str) -> Option<usize> {
    let lower = word.to_ascii_lowercase();
    let marked = ["https://", "http://", "www."].iter().filter_map(|mark| lower.find(mark)).min();
    marked.or_else(|| bare_host_start(word))
}

/// `shop.example/r` is a link without a scheme: labels joined by dots, then a slash.
fn bare_host_start(word: &str) -> Option<usize> {
    let host = &word[..word.find('/')?];
    let host_start = host.rfind(|c: char| !is_host(c)).map_or(0, |at| at + char_len(&host[at..]));
    let labels = host[host_start..].split('.');
    let is_host_name = labels.clone().count() > 1 && labels.clone().all(|label| !label.is_empty());
    is_host_name.then_some(host_start)
}

fn is_host(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '-' || c == '.'
}

fn char_len(text: &str) -> usize {
    text.chars().next().map_or(0, char::len_utf8)
}

fn closes_sentence(c: char) -> bool {
    matches!(
        c,
        '.' | ',' | ';' | ':' | '!' | '?' | '"' | '\'' | ')' | ']' | '>' | '…' | '’' | '”' | '»' | '›'
    ) || matches!(c, '。' | '，' | '、' | '！' | '？' | '；' | '：' | '）' | '」' | '』' | '】' | '》')
}

fn nfc(text: &str) -> Cow<'_, str> {
    match is_nfc_quick(text.chars()) {
        IsNormalized::Yes => Cow::Borrowed(text),
        _ => Cow::Owned(text.nfc().collect()),
    }
}

/// Quotes, dashes, spaces, line separators and characters that nobody sees.
#[rustfmt::skip]
fn punctuation(c: char) -> Option<&'static str> {
    Some(match c {
        '\u{AB}' | '\u{BB}' | '\u{201C}'..='\u{201F}' | '\u{2033}' | '\u{2036}' | '\u{275D}' | '\u{275E}'
        | '\u{301D}'..='\u{301F}' | '\u{2BA}' | '\u{2EE}' => "\"",
        '\u{2018}'..='\u{201B}' | '\u{2032}' | '\u{2035}' | '\u{275B}' | '\u{275C}' | '\u{FF40}' | '\u{2B9}'
        | '\u{2BB}'..='\u{2BD}' | '\u{2C8}' | '\u{2CA}' | '\u{2CB}' | '\u{60}' | '\u{B4}' => "'",
        '\u{2010}'..='\u{2015}' | '\u{2212}' | '\u{2043}' | '\u{2022}' | '\u{B7}' | '\u{2027}' | '\u{25CF}'
        | '\u{25AA}' | '\u{FE58}' | '\u{FE63}' => "-",
        '\u{2026}' => "...",
        '\u{2025}' => "..",
        '\u{A0}' | '\u{1680}' | '\u{2000}'..='\u{200A}' | '\u{202F}' | '\u{205F}' | '\u{3000}' | '\t' => " ",
        '\u{85}' | '\u{2028}' | '\u{2029}' | '\u{0B}' => "\n",
        '\u{AD}' | '\u{61C}' | '\u{180E}' | '\u{200B}'..='\u{200F}' | '\u{202A}'..='\u{202E}'
        | '\u{2060}'..='\u{2064}' | '\u{2066}'..='\u{2069}' | '\u{FEFF}' | '\u{FE00}'..='\u{FE0F}' => "",
        '\u{203C}' => "!!",
        '\u{2048}' => "?!",
        '\u{2049}' => "!?",
        '\u{1C3}' => "!",
        '\u{3002}' => ".",
        '\u{3001}' | '\u{60C}' => ",",
        _ => return None,
    })
}

/// Arrows, mathematics, marks and ligatures.
fn symbol(c: char) -> Option<&'static str> {
    Some(match c {
        '\u{2044}' | '\u{2215}' | '\u{29F8}' | '\u{F7}' => "/",
        '\u{2217}' | '\u{204E}' | '\u{2731}' | '\u{2605}' | '\u{2606}' => "*",
        '\u{D7}' | '\u{2715}' | '\u{2716}' => "x",
        '\u{2039}' | '\u{3008}' | '\u{2329}' => "<",
        '\u{203A}' | '\u{3009}' | '\u{232A}' => ">",
        '\u{2264}' => "<=",
        '\u{2265}' => ">=",
        '\u{2192}' | '\u{27A1}' => "->",
        '\u{2190}' => "<-",
        '\u{A6}' | '\u{2223}' | '\u{23D0}' => "|",
        '\u{2DC}' | '\u{223C}' => "~",
        '\u{2C6}' => "^",
        '\u{BC}' => "1/4",
        '\u{BD}' => "1/2",
        '\u{BE}' => "3/4",
        '\u{2153}' => "1/3",
        '\u{2154}' => "2/3",
        '\u{A9}' => "(c)",
        '\u{AE}' => "(R)",
        '\u{2122}' => "TM",
        '\u{2116}' => "No.",
        '\u{FB00}' => "ff",
        '\u{FB01}' => "fi",
        '\u{FB02}' => "fl",
        '\u{FB03}' => "ffi",
        '\u{FB04}' => "ffl",
        '\u{152}' => "OE",
        '\u{153}' => "oe",
        '\u{1E9E}' => "SS",
        _ => return None,
    })
}

/// `Ａ` U+FF21 is `A`: the whole visible range of ASCII stands again at U+FF01.
fn fullwidth(c: char) -> Option<&'static str> {
    const VISIBLE: &str = "!\"#$%&'()*+,-./0123456789:;<=>?@ABCDEFGHIJKLMNOPQRSTUVWXYZ[\\]^_`\
                           abcdefghijklmnopqrstuvwxyz{|}~";
    let index = (c as usize).checked_sub(0xFF01)?;
    VISIBLE.get(index..=index)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::text::vectors;

    #[test]
    fn replacement_agrees_with_every_vector() {
        let vectors = vectors::read(include_str!("../../tests/data/text/smart.jsonl"));
        assert_eq!(vectors.len(), 16);
        for vector in vectors {
            let id = &vector.id;
            let replaced = replace(&vector.text(), &[]);
            assert_eq!(replaced, Replaced { text: vector.result(), changed: vector.replaced }, "{id}");
            let count = count(&replaced.text);
            assert_eq!(
                (count.encoding, count.units, count.parts),
                (vector.encoding, vector.units, vector.parts),
                "{id}"
            );
        }
    }

    #[test]
    fn a_link_or_a_code_is_never_respelled() {
        let check = |text: &str, protected: &[&str], result: Option<&str>| {
            let replaced = replace(text, protected);
            assert_eq!(replaced.changed.then_some(replaced.text.as_str()), result, "{text}");
        };
        check("Don’t wait: https://x.example/a–b", &[], None);
        check("Don’t wait: https://x.example/a-b", &[], Some("Don't wait: https://x.example/a-b"));
        check("“https://x.example/a”", &[], Some("\"https://x.example/a\""));
        check("see HTTPS://X.EXAMPLE/é–… now", &[], None);
        check("see www.x.example/½", &[], None);
        check("see x.example/½", &[], None);
        check("（x.example/½）", &[], None);
        check("one half/½", &[], Some("one half/1/2"));
        check("a.b – c/d", &[], Some("a.b - c/d"));
        check("Code A–1 – today", &["A–1"], None);
        check("Code A-1 – today", &["A-1", ""], Some("Code A-1 - today"));
        check("Code A–1 – today", &[], Some("Code A-1 - today"));
    }

    #[test]
    fn a_plain_spelling_that_costs_more_parts_is_not_used() {
        assert!(replace(&"½".repeat(53), &[]).changed);
        assert!(!replace(&"½".repeat(70), &[]).changed);
    }

    #[test]
    fn every_spelling_is_itself_in_the_alphabet() {
        for c in (0..=0x0010_FFFF).filter_map(char::from_u32) {
            for plain in spelling(c).into_iter().chain(folded(c)) {
                assert!(
                    plain.chars().all(|c| gsm7::septets(c).is_some()),
                    "U+{:04X} gives {plain:?}",
                    c as u32
                );
                assert!(gsm7::septets(c).is_none(), "U+{:04X} needs no spelling", c as u32);
            }
        }
        assert_eq!(spelling('～'), Some("~"));
        assert_eq!(spelling('｀'), Some("'"));
        assert_eq!(spelling('！'), Some("!"));
    }

    #[test]
    fn letters_are_folded_only_on_request_and_only_latin_ones() {
        let check = |text: &str, result: Option<&str>| {
            assert!(!replace(text, &[]).changed, "{text}");
            assert_eq!(fold(text, &[]).as_deref(), result, "{text}");
        };
        check("Zażółć gęślą jaźń", Some("Zazolc gesla jazn"));
        check("Şimdi al, %20 indirim kazan", Some("Simdi al, %20 indirim kazan"));
        check("Mañana: promoción…", Some("Mañana: promocion..."));
        check("Скидка", None);
        check("惠券", None);
        check("Ça va 🎉", None);
    }

    proptest! {
        #[test]
        fn a_replacement_is_always_cheaper_or_absent(text in "[a-z “”½…é中ł/.:\u{301}]{0,120}", code in "[a-zł–]{0,3}") {
            let replaced = replace(&text, &[&code]);
            if replaced.changed {
                let (before, after) = (count(&text), count(&replaced.text));
                prop_assert_eq!((before.encoding, after.encoding), (Encoding::Ucs2, Encoding::Gsm7));
                prop_assert!(after.parts <= before.parts);
                prop_assert_eq!(replaced.text.matches(&code).count() >= nfc(&text).matches(&code).count(), true);
            } else {
                prop_assert_eq!(replaced.text, text);
            }
        }
    }
}

//! All that a person wants to know about one text before paying for it. Never changes the text; it only suggests.

use serde::Serialize;

use super::parts::{Count, Counting, Profile, Reference, count, count_with, layout};
use super::{gsm7, smart};
use crate::model::encoding::Encoding;

/// Measures `text` as it stands (rendering normalises to NFC before; this does not), names the characters that make it
/// dear and offers a cheaper spelling.
pub fn report(text: &str) -> TextReport {
    let layout = layout(text, Counting::default());
    let Count { encoding, units, parts } = layout.count;
    let joined_by_16_bits = Counting { profile: Profile::Gsm, reference: Reference::Bits16 };
    TextReport {
        encoding,
        parts,
        units,
        per_part: layout.per_part,
        parts_ref16: count_with(text, joined_by_16_bits).parts,
        cluster_split: layout.cluster_split,
        costly: costly(text, encoding),
        cheaper: cheaper(text),
    }
}

/// The answer of [`report()`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TextReport {
    /// How the whole text travels.
    pub encoding: Encoding,
    /// SMS it makes; 1 for an empty text.
    pub parts: u16,
    /// Septets or 16-bit units.
    pub units: u32,
    /// Units of each part in order.
    pub per_part: Vec<u16>,
    /// SMS it makes at a provider that joins parts with 16-bit references.
    pub parts_ref16: u16,
    /// A border falls inside one visible sign.
    pub cluster_split: bool,
    /// Every character that costs more than it must, in order.
    pub costly: Vec<Costly>,
    /// A cheaper way to say the same.
    pub cheaper: Option<Cheaper>,
}

/// One character that makes its text dearer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Costly {
    /// The character itself.
    pub char: char,
    /// Its Unicode name in numbers, such as `U+2019`, for characters that nobody can see.
    pub code_point: String,
    /// Its place in the text, counted in characters from 1.
    pub position: usize,
    /// What it does.
    pub why: Why,
    /// A cheaper spelling in GSM-7, empty when the character can simply go; none if there is no fair one.
    pub spelling: Option<&'static str>,
}

/// Why a character is dear.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Why {
    /// It turns the whole text into UCS-2, with 70 units in place of 160 septets.
    ForcesUcs2,
    /// It stands in the extension table of GSM-7.
    TwoSeptets,
}

/// A text in GSM-7 that says the same.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Cheaper {
    /// The text.
    pub text: String,
    /// Always GSM-7.
    pub encoding: Encoding,
    /// Never more than the original.
    pub parts: u16,
    /// Septets.
    pub units: u32,
    /// Letters lost their accents, so a person must agree; false when only punctuation and symbols changed.
    pub folds_letters: bool,
}

fn costly(text: &str, encoding: Encoding) -> Vec<Costly> {
    // Next to ideographs a full-width comma is right, and a plain one would save nothing.
    let ideographs = text.chars().any(is_ideographic);
    let cost = |(index, c): (usize, char)| {
        let (why, spelling) = match (gsm7::septets(c), encoding) {
            (None, _) if ideographs => (Why::ForcesUcs2, None),
            (None, _) => (Why::ForcesUcs2, smart::spelling(c).or_else(|| smart::folded(c))),
            (Some(2), Encoding::Gsm7) => (Why::TwoSeptets, one_septet(c)),
            _ => return None,
        };
        let code_point = format!("U+{:04X}", u32::from(c));
        Some(Costly { char: c, code_point, position: index + 1, why, spelling })
    };
    text.chars().enumerate().filter_map(cost).collect()
}

/// A character of one septet that reads much like one of two.
fn one_septet(c: char) -> Option<&'static str> {
    Some(match c {
        '[' | '{' => "(",
        ']' | '}' => ")",
        '~' => "-",
        '|' | '\\' => "/",
        '\u{0C}' => "\n",
        _ => return None,
    })
}

fn is_ideographic(c: char) -> bool {
    matches!(c, '\u{3040}'..='\u{30FF}' | '\u{3400}'..='\u{9FFF}' | '\u{AC00}'..='\u{D7A3}' | '\u{20000}'..='\u{3FFFF}')
}

fn cheaper(text: &str) -> Option<Cheaper> {
    let replaced = smart::replace(text, &[]);
    let folds_letters = !replaced.changed;
    let text = if replaced.changed { replaced.text } else { smart::fold(text, &[])? };
    let Count { encoding, units, parts } = count(&text);
    Some(Cheaper { text, encoding, parts, units, folds_letters })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    #[test]
    fn a_report_names_the_dear_characters_and_the_way_out() {
        let check = |text: &str, expected: Value| {
            assert_eq!(serde_json::to_value(report(text)).unwrap(), expected, "{text}");
        };
        check(
            "",
            json!({"encoding": "gsm7", "parts": 1, "units": 0, "per_part": [0], "parts_ref16": 1,
                   "cluster_split": false, "costly": [], "cheaper": null}),
        );
        check(
            "Don’t\u{200B} [x]",
            json!({"encoding": "ucs2", "parts": 1, "units": 10, "per_part": [10], "parts_ref16": 1,
                   "cluster_split": false,
                   "costly": [
                       {"char": "’", "code_point": "U+2019", "position": 4, "why": "forces_ucs2", "spelling": "'"},
                       {"char": "\u{200B}", "code_point": "U+200B", "position": 6, "why": "forces_ucs2", "spelling": ""},
                   ],
                   "cheaper": {"text": "Don't [x]", "encoding": "gsm7", "parts": 1, "units": 11, "folds_letters": false}}),
        );
        check(
            "20€ ~",
            json!({"encoding": "gsm7", "parts": 1, "units": 7, "per_part": [7], "parts_ref16": 1,
                   "cluster_split": false,
                   "costly": [
                       {"char": "€", "code_point": "U+20AC", "position": 3, "why": "two_septets", "spelling": null},
                       {"char": "~", "code_point": "U+007E", "position": 5, "why": "two_septets", "spelling": "-"},
                   ],
                   "cheaper": null}),
        );
    }

    #[test]
    fn folded_letters_are_marked_and_other_scripts_left_alone() {
        let polish = report("Zażółć – już");
        let cheaper = polish.cheaper.expect("Latin letters can be folded");
        assert_eq!((cheaper.text.as_str(), cheaper.folds_letters), ("Zazolc - juz", true));
        assert_eq!(polish.costly.iter().filter_map(|costly| costly.spelling).collect::<String>(), "zolc-z");

        let chinese = report("您好，20元券");
        assert_eq!(chinese.cheaper, None);
        assert!(chinese.costly.iter().all(|costly| costly.spelling.is_none()));
        assert_eq!(report("I ❤\u{FE0F} it").cheaper, None);
    }
}

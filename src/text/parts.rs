//! How many parts a text makes: encoding, units, and where the borders fall.
//!
//! Capacities follow 3GPP TS 23.040: 140 octets of user data, less the header that joins the parts. A part is filled
//! greedily and never divides an escape pair or a surrogate pair, so the answer is not a division. This module counts
//! the text as it will be sent: it never normalises, replaces or shortens it.

use serde::{Deserialize, Serialize};
use unicode_normalization::char::is_combining_mark;

use super::gsm7;
use crate::model::encoding::Encoding;

/// What a text costs, as the default counting of [`Counting`] sees it. Does not allocate.
pub fn count(text: &str) -> Count {
    count_with(text, Counting::default())
}

/// What a text costs on a route that counts in its own way. Does not allocate.
pub fn count_with(text: &str, counting: Counting) -> Count {
    let measure = Measure::of(text, counting.profile);
    let capacity = Capacity::of(measure.encoding, counting);
    let units = measure.units;
    let parts = if units <= u32::from(capacity.single) {
        1
    } else if measure.heavy == 0 {
        units.div_ceil(u32::from(capacity.joined))
    } else {
        let mut borders = 0;
        walk(text, measure.weights, capacity.joined, |_, _| borders += 1);
        borders + 1
    };
    Count { encoding: measure.encoding, units, parts: u16::try_from(parts).unwrap_or(u16::MAX) }
}

/// The parts of a text one by one, for people who want to see where it breaks.
pub fn layout(text: &str, counting: Counting) -> Layout {
    let count = count_with(text, counting);
    let measure = Measure::of(text, counting.profile);
    if count.parts == 1 {
        let units = u16::try_from(count.units).unwrap_or(u16::MAX);
        return Layout { count, per_part: vec![units], cluster_split: false };
    }
    let capacity = Capacity::of(measure.encoding, counting);
    let mut per_part = Vec::with_capacity(usize::from(count.parts));
    let mut cluster_split = false;
    let last = walk(text, measure.weights, capacity.joined, |border, filled| {
        per_part.push(filled);
        cluster_split |= inside_cluster(text, border);
    });
    per_part.push(last);
    Layout { count, per_part, cluster_split }
}

/// What a text costs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Count {
    /// How the whole text travels.
    pub encoding: Encoding,
    /// Septets (GSM-7), 16-bit code units (UCS-2) or characters (profile [`Profile::Cn`]) of the text.
    pub units: u32,
    /// SMS that the recipient's telephone joins; 1 for an empty text, which a campaign must refuse. A text of more than
    /// 255 cannot be sent at all (the header counts parts in one octet); the number is capped at 65,535.
    pub parts: u16,
}

/// What a text costs, part by part.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Layout {
    /// The sum.
    #[serde(flatten)]
    pub count: Count,
    /// Units of each part in order; one entry, the whole text, when there is only one part.
    pub per_part: Vec<u16>,
    /// A border falls inside one visible sign, such as a flag or a letter with a separate accent. The telephone joins
    /// the parts, so it shows well; a provider that keeps signs whole may count one part more.
    pub cluster_split: bool,
}

/// How a route counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Counting {
    /// What one unit is.
    pub profile: Profile,
    /// How much room the joining header takes.
    pub reference: Reference,
}

/// What a provider takes as one unit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Profile {
    /// Septets or 16-bit code units, as 3GPP TS 23.040 fills a part.
    #[default]
    Gsm,
    /// Mainland China: every character counts 1 whatever it is, 70 in a single message and 67 in each part of a longer
    /// one. The texts travel as UCS-2.
    Cn,
}

/// The size of the number that tells a telephone which parts belong together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, schemars::JsonSchema)]
pub enum Reference {
    /// A header of 6 octets: 153 septets or 67 units a part.
    #[default]
    #[serde(rename = "8-bit")]
    Bits8,
    /// A header of 7 octets: 152 septets or 66 units a part. Mainland China's counting does not know it.
    #[serde(rename = "16-bit")]
    Bits16,
}

/// One pass over the text.
struct Measure {
    encoding: Encoding,
    weights: fn(char) -> u8,
    units: u32,
    /// Characters that weigh two units; without any, parts are a plain division.
    heavy: u32,
}

impl Measure {
    fn of(text: &str, profile: Profile) -> Self {
        match profile {
            Profile::Gsm => Self::gsm7(text).unwrap_or_else(|| Self::ucs2(text)),
            Profile::Cn => Self {
                encoding: Encoding::Ucs2,
                weights: |_| 1,
                units: saturate(text.chars().count()),
                heavy: 0,
            },
        }
    }

    fn gsm7(text: &str) -> Option<Self> {
        let (units, heavy) = gsm7::weigh(text)?;
        Some(Self { encoding: Encoding::Gsm7, weights: gsm7::weight, units, heavy })
    }

    fn ucs2(text: &str) -> Self {
        let (mut units, mut heavy) = (0, 0);
        for c in text.chars() {
            units += 1;
            heavy += u32::from(c > '\u{FFFF}');
        }
        units += heavy;
        Self { encoding: Encoding::Ucs2, weights: utf16_weight, units, heavy }
    }
}

/// Units that fit into one message.
#[derive(Clone, Copy)]
struct Capacity {
    /// Alone, without a header.
    single: u16,
    /// Each part of several.
    joined: u16,
}

impl Capacity {
    /// 140 octets less the header, in septets or in 16-bit units (TS 23.040 section 9.2.3.24).
    fn of(encoding: Encoding, counting: Counting) -> Self {
        let (single, joined) = match (encoding, counting.profile, counting.reference) {
            (Encoding::Gsm7, _, Reference::Bits8) => (160, 153),
            (Encoding::Gsm7, _, Reference::Bits16) => (160, 152),
            (Encoding::Ucs2, Profile::Cn, _) | (Encoding::Ucs2, _, Reference::Bits8) => (70, 67),
            (Encoding::Ucs2, _, Reference::Bits16) => (70, 66),
        };
        Self { single, joined }
    }
}

/// Fills parts of `capacity` units; tells each border (octet offset of the first character behind it) with the units
/// of the part it closes, and returns the units of the last part.
fn walk(text: &str, weights: fn(char) -> u8, capacity: u16, mut border: impl FnMut(usize, u16)) -> u16 {
    let mut filled = 0;
    for (offset, c) in text.char_indices() {
        let weight = u16::from(weights(c));
        if filled + weight > capacity {
            border(offset, filled);
            filled = 0;
        }
        filled += weight;
    }
    filled
}

fn utf16_weight(c: char) -> u8 {
    1 + u8::from(c > '\u{FFFF}')
}

fn saturate(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

/// Whether a cut before octet `border` would divide one visible sign: the rules of Unicode annex 29 that matter in texts
/// (combining marks, joined emoji, skin tones, keycaps, flags, CR LF).
fn inside_cluster(text: &str, border: usize) -> bool {
    let (before, after) = text.split_at(border);
    let (Some(left), Some(right)) = (before.chars().next_back(), after.chars().next()) else {
        return false;
    };
    if is_regional(left) && is_regional(right) {
        let run = before.chars().rev().take_while(|c| is_regional(*c)).count();
        return run % 2 == 1;
    }
    extends(right) || left == '\u{200D}' || (left, right) == ('\r', '\n')
}

fn is_regional(c: char) -> bool {
    ('\u{1F1E6}'..='\u{1F1FF}').contains(&c)
}

fn extends(c: char) -> bool {
    is_combining_mark(c)
        || matches!(c,
            '\u{200D}' | '\u{0E33}' | '\u{0EB3}'      // joiner; Thai and Lao vowels that sit on the letter before
            | '\u{1160}'..='\u{11FF}'                 // Hangul vowels and finals written apart
            | '\u{1F3FB}'..='\u{1F3FF}'               // skin tones
            | '\u{E0020}'..='\u{E007F}') // tags of regional flags
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::vectors;
    use proptest::prelude::*;

    const BITS16: Counting = Counting { profile: Profile::Gsm, reference: Reference::Bits16 };

    #[test]
    fn parts_agree_with_every_published_vector() {
        let vectors = vectors::read(include_str!("../../tests/data/text/counting.jsonl"));
        assert_eq!(vectors.len(), 52);
        for vector in vectors {
            let (id, text) = (&vector.id, vector.text());
            let layout = layout(&text, Counting::default());
            assert_eq!(layout.count, count(&text), "{id}");
            assert_eq!(layout.count.encoding, vector.encoding, "{id}");
            assert_eq!(layout.count.units, vector.units, "{id}");
            assert_eq!(layout.count.parts, vector.parts, "{id}");
            assert_eq!(layout.per_part, vector.per_part, "{id}");
            assert_eq!(count_with(&text, BITS16).parts, vector.parts_ref16, "{id} with 16-bit references");
            assert_eq!(
                layout_parts(&text, BITS16),
                usize::from(vector.parts_ref16),
                "{id} with 16-bit references"
            );
        }
    }

    #[test]
    fn an_empty_text_is_one_part_of_nothing() {
        let layout = layout("", Counting::default());
        assert_eq!(layout.count, Count { encoding: Encoding::Gsm7, units: 0, parts: 1 });
        assert_eq!(layout.per_part, [0]);
    }

    #[test]
    fn mainland_china_counts_every_character_as_one() {
        let check = |text: String, units, per_part: &[u16]| {
            for reference in [Reference::Bits8, Reference::Bits16] {
                let layout = layout(&text, Counting { profile: Profile::Cn, reference });
                assert_eq!((layout.count.units, layout.per_part.as_slice()), (units, per_part), "{text}");
                assert_eq!(usize::from(layout.count.parts), per_part.len(), "{text}");
            }
        };
        check("a".repeat(70), 70, &[70]);
        check("a".repeat(71), 71, &[67, 4]);
        check("券".repeat(134), 134, &[67, 67]);
        check("😀".repeat(70), 70, &[70]);
        check("€".repeat(135), 135, &[67, 67, 1]);
    }

    #[test]
    fn a_border_inside_one_visible_sign_is_told() {
        let check = |head: usize, sign: &str, split: bool| {
            let text = format!("{}{sign}{}", "中".repeat(head), "文".repeat(20));
            assert_eq!(layout(&text, Counting::default()).cluster_split, split, "{head} before {sign:?}");
        };
        check(66, "e\u{323}", true);
        check(65, "e\u{323}", false);
        check(67, "e\u{323}", false);
        check(65, "👍🏽", true);
        check(65, "🇫🇷", true);
        check(63, "🇫🇷", false);
        check(63, "🇫🇷🇩🇪", false);
        check(61, "🇫🇷🇩🇪", true);
        check(65, "👨\u{200D}👩", true);
        check(64, "👨\u{200D}👩", true);
        check(66, "1\u{FE0F}\u{20E3}", true);
        check(66, "\r\n", true);
        check(67, "中", false);
        let gsm = format!("{}\r\n{}", "a".repeat(152), "b".repeat(20));
        assert!(layout(&gsm, Counting::default()).cluster_split);
    }

    fn layout_parts(text: &str, counting: Counting) -> usize {
        layout(text, counting).per_part.len()
    }

    proptest! {
        #[test]
        fn the_cheap_count_and_the_layout_never_disagree(text in "[a-z`{]{0,400}|[a-z€{é]{0,400}|[a-z€{é中😀]{0,400}", bits16: bool, cn: bool) {
            let counting = Counting {
                profile: if cn { Profile::Cn } else { Profile::Gsm },
                reference: if bits16 { Reference::Bits16 } else { Reference::Bits8 },
            };
            let count = count_with(&text, counting);
            let alphabet = text.chars().all(|c| gsm7::septets(c).is_some());
            prop_assert_eq!(count.encoding == Encoding::Gsm7, alphabet && !cn);
            let layout = layout(&text, counting);
            prop_assert_eq!(layout.count, count);
            prop_assert_eq!(layout.per_part.len(), usize::from(count.parts));
            prop_assert_eq!(layout.per_part.iter().map(|units| u32::from(*units)).sum::<u32>(), count.units);
        }
    }
}

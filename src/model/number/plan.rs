//! The numbering plans of the world: which digits are whose, and what kind of number they are.
//!
//! The patterns are those of the `phonenumber` crate's metadata; the matching is our own (see [`super::pattern`]),
//! because the crate matches only the beginning of a number and takes a lock and a cache look-up per pattern.
//! Follows libphonenumber's rules for national prefixes, regions and types step by step. Never guesses a country.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::OnceLock;

use phonenumber::metadata::{DATABASE, Descriptor, Metadata};

use super::NumberKind;
use super::pattern::{Automaton, Pattern};
use crate::model::country::Country;

/// All territories, by calling code and by country.
pub(super) struct Plan {
    by_code: Vec<Vec<Territory>>,
    by_country: HashMap<Country, (u16, usize)>,
}

/// One country's share of a calling code, or a calling code without a country.
pub(super) struct Territory {
    /// The calling code, 1 to 999.
    pub(super) code: u16,
    /// `None` for codes that belong to no country, like +800.
    pub(super) country: Option<Country>,
    meta: &'static Metadata,
    automaton: OnceLock<Automaton>,
    /// By slot: allowed lengths, bit n for n digits; 0 = any.
    lengths: [u32; SLOTS],
    possible: u32,
    local: u32,
}

/// How a number's length compares with what its territory uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Length {
    /// Some number has this length.
    Possible,
    /// Longer than every number.
    TooLong,
    /// Shorter, in between, or only dialled locally.
    Other,
}

const SLOTS: usize = 12;
const GENERAL: usize = 0;
const LEADING: usize = 1;
const FIXED: usize = 2;
const MOBILE: usize = 3;
/// Slots after the four above, in the order in which libphonenumber asks.
const SPECIAL: [NumberKind; 8] = [
    NumberKind::PremiumRate,
    NumberKind::TollFree,
    NumberKind::SharedCost,
    NumberKind::Voip,
    NumberKind::PersonalNumber,
    NumberKind::Pager,
    NumberKind::Uan,
    NumberKind::Voicemail,
];

impl Plan {
    /// The plan of the metadata that is compiled in; built on first use.
    pub(super) fn world() -> &'static Self {
        static WORLD: OnceLock<Plan> = OnceLock::new();
        WORLD.get_or_init(Self::read)
    }

    fn read() -> Self {
        let mut plan = Self { by_code: Vec::new(), by_country: HashMap::new() };
        for code in 0..1000 {
            let metas = if code == 0 { None } else { DATABASE.by_code(&code) };
            let territories: Vec<_> =
                metas.unwrap_or_default().into_iter().map(|meta| Territory::new(code, meta)).collect();
            for (index, territory) in territories.iter().enumerate() {
                plan.by_country.extend(territory.country.map(|country| (country, (code, index))));
            }
            plan.by_code.push(territories);
        }
        plan
    }

    /// The territory of a country; `None` if the metadata has none.
    pub(super) fn home(&self, country: Country) -> Option<&Territory> {
        let &(code, index) = self.by_country.get(&country)?;
        self.by_code[usize::from(code)].get(index)
    }

    /// The main territory of the calling code at the start of `digits`, and the digits after the code.
    pub(super) fn split<'d>(&self, digits: &'d str) -> Option<(&Territory, &'d str)> {
        (1..=3).find_map(|len| {
            let code: usize = digits.get(..len)?.parse().ok()?;
            let territory = self.by_code.get(code)?.first()?;
            Some((territory, &digits[len..]))
        })
    }

    /// The calling code at the start of a whole number; 0 if nobody has it.
    pub(super) fn calling_code(&self, digits: u64) -> u16 {
        let mut code = digits;
        while code > 999 {
            code /= 10;
        }
        let candidates = [code / 100, code / 10, code];
        let known = |code: &u64| usize::try_from(*code).is_ok_and(|at| !self.by_code[at].is_empty());
        candidates.into_iter().find(known).and_then(|code| u16::try_from(code).ok()).unwrap_or(0)
    }

    /// Whose number this is and of which kind: `national` without calling code and national prefix.
    pub(super) fn classify(&self, code: u16, national: &str) -> (Option<Country>, NumberKind) {
        let territories = &self.by_code[usize::from(code)];
        if let [only] = territories.as_slice() {
            return (only.country, Territory::kind(only.bits(national)));
        }
        for territory in territories {
            let bits = territory.bits(national);
            let kind = Territory::kind(bits);
            let owned = match territory.meta.leading_digits() {
                Some(_) => bits & (1 << LEADING) != 0,
                None => kind != NumberKind::Unknown,
            };
            if owned {
                return (territory.country, kind);
            }
        }
        (None, NumberKind::Unknown)
    }
}

impl Territory {
    fn new(code: u16, meta: &'static Metadata) -> Self {
        let mut lengths = [0; SLOTS];
        let mut local = 0;
        for (slot, descriptor) in descriptors(meta).into_iter().enumerate() {
            let Some(descriptor) = descriptor else { continue };
            lengths[slot] = mask(descriptor.possible_length());
            local |= mask(descriptor.possible_local_length());
        }
        let possible = lengths.iter().fold(0, |all, one| all | one);
        let country = meta.id().parse().ok();
        Self { code, country, meta, automaton: OnceLock::new(), lengths, possible, local: local & !possible }
    }

    /// Where the international prefix of this territory ends in `digits`, if they start with it.
    pub(super) fn international_prefix(&self, digits: &str) -> Option<usize> {
        let found = self.meta.international_prefix()?.find(digits)?;
        (found.start() == 0 && found.end() > 0).then_some(found.end())
    }

    /// Whether some number of this territory has these digits.
    pub(super) fn is_number(&self, national: &str) -> bool {
        self.bits(national) & (1 << GENERAL) != 0
    }

    /// The number without its national prefix, unless taking it away would spoil a good number.
    pub(super) fn strip<'d>(&self, national: &'d str) -> Cow<'d, str> {
        let Some(stripped) = self.without_prefix(national) else { return Cow::Borrowed(national) };
        if self.is_number(national) && !self.is_number(&stripped) {
            Cow::Borrowed(national)
        } else {
            stripped
        }
    }

    fn without_prefix<'d>(&self, national: &'d str) -> Option<Cow<'d, str>> {
        let Some(pattern) = self.meta.national_prefix_for_parsing() else {
            return national.strip_prefix(self.meta.national_prefix()?).map(Cow::Borrowed);
        };
        if pattern.as_str().bytes().all(|b| b.is_ascii_digit()) {
            return national.strip_prefix(pattern.as_str()).map(Cow::Borrowed);
        }
        let groups = pattern.captures(national)?;
        let whole = groups.get(0).filter(|found| found.start() == 0)?;
        match (self.meta.national_prefix_transform_rule(), groups.get(groups.len() - 1)) {
            (Some(rule), Some(_)) => Some(Cow::Owned(pattern.replace(national, rule).into_owned())),
            _ => Some(Cow::Borrowed(&national[whole.end()..])),
        }
    }

    /// Compares the length with those of all numbers of the territory.
    pub(super) fn length(&self, national: &str) -> Length {
        let bit = u32::try_from(national.len()).ok().and_then(|len| 1_u32.checked_shl(len));
        match bit {
            None => Length::TooLong,
            Some(bit) if self.local & bit != 0 => Length::Other,
            Some(bit) if self.possible & bit != 0 => Length::Possible,
            Some(bit) if bit > self.possible => Length::TooLong,
            Some(_) => Length::Other,
        }
    }

    fn kind(bits: u16) -> NumberKind {
        let has = |slot: usize| bits & (1 << slot) != 0;
        if !has(GENERAL) {
            return NumberKind::Unknown;
        }
        if let Some(special) = (0..SPECIAL.len()).find(|&at| has(MOBILE + 1 + at)) {
            return SPECIAL[special];
        }
        match (has(FIXED), has(MOBILE)) {
            (true, true) => NumberKind::FixedLineOrMobile,
            (true, false) => NumberKind::FixedLine,
            (false, true) => NumberKind::Mobile,
            (false, false) => NumberKind::Unknown,
        }
    }

    /// The slots whose pattern and length fit.
    fn bits(&self, national: &str) -> u16 {
        let mut values = [0_u8; 20];
        let Some(digits) = values.get_mut(..national.len()) else { return 0 };
        for (value, byte) in digits.iter_mut().zip(national.bytes()) {
            *value = byte - b'0';
        }
        let matched = self.automaton.get_or_init(|| self.compile()).matches(digits);
        let fits = |slot: usize| self.lengths[slot] == 0 || self.lengths[slot] & (1 << national.len()) != 0;
        (0..SLOTS).filter(|&slot| fits(slot)).fold(0, |bits, slot| bits | (matched & (1 << slot)))
    }

    fn compile(&self) -> Automaton {
        let whole = |descriptor: Option<&'static Descriptor>| {
            descriptor.map(|d| Pattern { text: d.national_number().as_str(), prefix: false })
        };
        let mut patterns = descriptors(self.meta).map(whole);
        patterns[LEADING] =
            self.meta.leading_digits().map(|pattern| Pattern { text: pattern.as_str(), prefix: true });
        Automaton::new(&patterns).expect("a test compiles every territory of the metadata")
    }
}

fn descriptors(meta: &'static Metadata) -> [Option<&'static Descriptor>; SLOTS] {
    let kinds = meta.descriptors();
    [
        Some(kinds.general()),
        None,
        kinds.fixed_line(),
        kinds.mobile(),
        kinds.premium_rate(),
        kinds.toll_free(),
        kinds.shared_cost(),
        kinds.voip(),
        kinds.personal_number(),
        kinds.pager(),
        kinds.uan(),
        kinds.voicemail(),
    ]
}

fn mask(lengths: &[u16]) -> u32 {
    lengths.iter().fold(0, |bits, &len| bits | 1_u32.checked_shl(len.into()).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::{MOBILE, NumberKind, Plan, SPECIAL, descriptors};

    /// Checks the automata against the metadata's own example numbers; compiles every territory on the way.
    #[test]
    fn every_example_number_of_every_territory_has_its_kind() {
        let plan = Plan::world();
        let mut seen = 0;
        for territory in plan.by_code.iter().flatten() {
            for (slot, descriptor) in descriptors(territory.meta).into_iter().enumerate().skip(2) {
                let Some(example) = descriptor.and_then(|d| d.example()) else { continue };
                let (country, kind) = plan.classify(territory.code, example);
                let expected = match slot.checked_sub(MOBILE + 1) {
                    Some(special) => kind == SPECIAL[special],
                    None => matches!(
                        kind,
                        NumberKind::FixedLine | NumberKind::Mobile | NumberKind::FixedLineOrMobile
                    ),
                };
                assert!(expected, "+{} {example}: slot {slot} but {kind:?}", territory.code);
                // Countries of one calling code may share numbers; then the first of them has it.
                let main = plan.by_code[usize::from(territory.code)][0].country == territory.country;
                assert!(country == territory.country || !main, "+{} {example}", territory.code);
                seen += 1;
            }
        }
        assert!(seen > 900, "only {seen} examples");
    }
}

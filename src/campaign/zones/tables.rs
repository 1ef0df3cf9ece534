//! The zone tables of `config/compliance/`, compiled in and parsed once into sorted arrays. Only looks up.

use std::collections::HashMap;
use std::sync::OnceLock;

use jiff::tz::TimeZoneDatabase;

use crate::model::country::{Country, Subregion};

const PHONE_ZONES: &str = include_str!("../../../config/compliance/phone-zones.txt");
const REGION_ZONES: &str = include_str!("../../../config/compliance/region-zones.txt");
const AREA_CODES: &str = include_str!("../../../config/compliance/area-codes.txt");

/// Lists live as long as the program: the tables are built once.
type ZoneList = &'static [&'static str];

/// Everything there is to look up.
pub(super) struct Tables {
    /// By number of digits, then ascending by prefix.
    prefixes: [Vec<(u32, ZoneList)>; LONGEST + 1],
    /// Ascending by country.
    regions: Vec<(Country, ZoneList)>,
    /// Ascending by code.
    areas: Vec<(u16, Area)>,
    /// Ascending by lower-case name.
    names: Vec<(String, &'static str)>,
}

/// One area code of country code 1.
#[derive(Clone, Copy)]
pub(super) struct Area {
    /// The state, for a place in the United States.
    pub(super) state: Option<Subregion>,
    /// The zones of an overlay: its own and all of the code that it overlays.
    pub(super) overlay: Option<ZoneList>,
}

/// Digits of the longest prefix in the table.
const LONGEST: usize = 9;

impl Tables {
    /// The compiled-in tables; parsed on first use.
    pub(super) fn get() -> &'static Self {
        static TABLES: OnceLock<Tables> = OnceLock::new();
        TABLES.get_or_init(Self::read)
    }

    fn read() -> Self {
        let mut lists = Lists::default();
        let mut prefixes: [Vec<(u32, ZoneList)>; LONGEST + 1] = Default::default();
        for (prefix, zones) in lines(PHONE_ZONES).filter_map(|line| line.split_once('|')) {
            let digits = prefix.parse().expect("the table is checked by a test");
            prefixes[prefix.len()].push((digits, lists.list(zones)));
        }
        for of_length in &mut prefixes {
            of_length.sort_unstable_by_key(|&(prefix, _)| prefix);
        }
        let mut regions: Vec<_> = lines(REGION_ZONES)
            .filter_map(|line| line.split_once('|'))
            .map(|(code, zones)| (code.parse().expect("the table is checked by a test"), lists.list(zones)))
            .collect();
        regions.sort_unstable_by_key(|&(country, _)| country);
        let mut areas: Vec<_> = lines(AREA_CODES).map(|line| area(line, &prefixes)).collect();
        areas.sort_unstable_by_key(|&(code, _)| code);
        Self { prefixes, regions, areas, names: names() }
    }

    /// The longest prefix of `digits` that has zones, with them.
    pub(super) fn prefix(&self, digits: u64) -> Option<(u64, ZoneList)> {
        let mut rest = digits;
        while rest >= 10_u64.pow(9) {
            rest /= 10;
        }
        while rest > 0 {
            let of_length = &self.prefixes[rest.ilog10() as usize + 1];
            let found = of_length.binary_search_by_key(&rest, |&(prefix, _)| prefix.into());
            if let Ok(at) = found {
                return Some((rest, of_length[at].1));
            }
            rest /= 10;
        }
        None
    }

    /// Every zone of a country.
    pub(super) fn region(&self, country: Country) -> ZoneList {
        let found = self.regions.binary_search_by_key(&country, |&(code, _)| code);
        found.map_or(&[], |at| self.regions[at].1)
    }

    /// What is known about an area code.
    pub(super) fn area(&self, code: u16) -> Option<Area> {
        let found = self.areas.binary_search_by_key(&code, |&(code, _)| code);
        found.ok().map(|at| self.areas[at].1)
    }

    /// The official spelling of a zone name.
    pub(super) fn name(&self, text: &str) -> Option<&'static str> {
        let lower = text.to_ascii_lowercase();
        let found = self.names.binary_search_by(|(name, _)| name.as_str().cmp(&lower));
        found.ok().map(|at| self.names[at].1)
    }
}

fn lines(table: &'static str) -> impl Iterator<Item = &'static str> {
    table.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'))
}

/// Thousands of rows share a few hundred lists.
#[derive(Default)]
struct Lists(HashMap<&'static str, ZoneList>);

impl Lists {
    fn list(&mut self, zones: &'static str) -> ZoneList {
        self.0.entry(zones).or_insert_with(|| leak(zones.split('&').collect()))
    }
}

fn leak(zones: Vec<&'static str>) -> ZoneList {
    Box::leak(zones.into_boxed_slice())
}

fn area(line: &'static str, prefixes: &[Vec<(u32, ZoneList)>; LONGEST + 1]) -> (u16, Area) {
    let mut columns = line.split_ascii_whitespace();
    let code = columns.next().and_then(|code| code.parse().ok()).expect("the table is checked by a test");
    let state = columns.nth(1).and_then(|state| state.parse().ok());
    let base = columns.next().and_then(|base| base.parse().ok());
    let overlay = base.map(|base: u16| leak(zones_below(&[code, base], prefixes)));
    (code, Area { state, overlay })
}

/// Every zone that any number of these area codes has in the prefix table.
fn zones_below(codes: &[u16], prefixes: &[Vec<(u32, ZoneList)>; LONGEST + 1]) -> Vec<&'static str> {
    let below = |prefix: u32, scale: u32| codes.iter().any(|&code| prefix / scale == 1000 + u32::from(code));
    let mut zones = Vec::new();
    // Four digits: country code 1 and the area code; then one digit more, and so on.
    let scales = std::iter::successors(Some(1_u32), |scale| scale.checked_mul(10));
    for (of_length, scale) in prefixes.iter().skip(4).zip(scales) {
        let found = of_length.iter().filter(|&&(prefix, _)| below(prefix, scale));
        zones.extend(found.flat_map(|&(_, list)| list));
    }
    zones.sort_unstable();
    zones.dedup();
    zones
}

fn names() -> Vec<(String, &'static str)> {
    let all = TimeZoneDatabase::bundled();
    let mut names: Vec<_> = all
        .available()
        .map(|name| {
            (name.as_str().to_ascii_lowercase(), &*Box::leak(name.as_str().to_owned().into_boxed_str()))
        })
        .collect();
    names.sort_unstable();
    names
}

#[cfg(test)]
mod tests {
    use super::super::time_zone;
    use super::{AREA_CODES, PHONE_ZONES, REGION_ZONES, Tables, lines};

    #[test]
    fn every_zone_of_the_tables_exists() {
        for line in lines(PHONE_ZONES).chain(lines(REGION_ZONES)) {
            let (key, zones) = line.split_once('|').expect("two columns");
            assert!(key.len() <= 9, "{line}");
            for zone in zones.split('&') {
                assert!(time_zone(zone).is_some(), "{zone}");
            }
        }
    }

    #[test]
    fn every_area_code_is_well_formed_and_every_state_has_one() {
        let tables = Tables::get();
        let mut states: Vec<_> = Vec::new();
        for line in lines(AREA_CODES) {
            let columns: Vec<_> = line.split(' ').collect();
            assert!(columns.len() == 3 || columns.len() == 4, "{line}");
            assert_eq!(columns[0].len(), 3, "{line}");
            assert!(columns[2] == "-" || columns[1] == "US", "{line}");
            let area = tables.area(columns[0].parse().unwrap()).unwrap();
            assert_eq!(area.overlay.is_some(), columns.len() == 4, "{line}");
            states.extend(area.state);
        }
        states.sort_unstable();
        states.dedup();
        assert_eq!(states.len(), 51, "50 states and DC");
    }

    #[test]
    fn the_longest_prefix_wins() {
        let check = |digits: u64, prefix: Option<u64>| {
            assert_eq!(Tables::get().prefix(digits).map(|(p, _)| p), prefix, "{digits}");
        };
        check(12_125_550_123, Some(1212));
        check(1, Some(1));
        check(99_912_345, None);
        check(0, None);
    }
}

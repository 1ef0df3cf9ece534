//! In which time zones a contact may live: what they said, else what their number tells, else their country.
//!
//! A number is a hint about where it was first assigned, so the answer is a set, and a text is allowed only when
//! every zone of it allows it. Never looks at addresses, and never picks one zone out of several.

mod tables;

use std::fmt;

use jiff::tz::{TimeZone, TimeZoneDatabase};
use serde::{Deserialize, Serialize};

use crate::model::country::{Country, Subregion};
use crate::model::number::{Number, NumberKind};
use tables::Tables;

/// What libphonenumber answers when it knows nothing.
pub const UNKNOWN_ZONE: &str = "Etc/Unknown";

/// The zones a contact may be in, and how we know; empty only when nothing is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Candidates {
    zones: Zones,
    source: ZoneSource,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Zones {
    One(&'static str),
    Many(&'static [&'static str]),
}

/// Where a contact's zones come from, best first.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum ZoneSource {
    /// The contact's own zone.
    Contact,
    /// The first digits of a geographic number.
    Prefix,
    /// All zones of the number's country.
    Region,
    /// Nothing is known; such a contact is held as `zone_unknown` unless the campaign names a zone for them.
    Unknown,
}

impl Candidates {
    /// The rule: the contact's own zone, if it names one; else the prefix of a geographic number; else every zone of
    /// the number's country; else nothing. Allocates only to look up a contact's own zone.
    pub fn of(contact_zone: Option<&str>, number: Option<&Number>) -> Self {
        if let Some(zone) = contact_zone.and_then(zone_name) {
            return Self { zones: Zones::One(zone), source: ZoneSource::Contact };
        }
        let number = number.filter(|number| number.valid);
        let region = number.and_then(|number| number.region).map_or(&[][..], region_zones);
        let prefix = number.filter(|number| number.geographic).map(prefix_zones).unwrap_or_default();
        // Some area codes are missing from the prefix table, and then only the calling code matches, with
        // the zones of all its countries; the zones of one country are closer to the truth.
        let coarse = !region.is_empty() && region.len() < prefix.zones.len() && prefix.code_only;
        let (zones, source) = match (prefix.zones.is_empty() || coarse, region.is_empty()) {
            (false, _) => (prefix.zones, ZoneSource::Prefix),
            (true, false) => (region, ZoneSource::Region),
            (true, true) => (&[][..], ZoneSource::Unknown),
        };
        Self { zones: Zones::Many(zones), source }
    }

    /// The zone names, as their source spells them.
    pub fn zones(&self) -> &[&'static str] {
        match &self.zones {
            Zones::One(zone) => std::slice::from_ref(zone),
            Zones::Many(zones) => zones,
        }
    }

    /// How we know.
    pub fn source(&self) -> ZoneSource {
        self.source
    }
}

impl ZoneSource {
    /// The source in one word, as shown and stored.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Contact => "contact",
            Self::Prefix => "prefix",
            Self::Region => "region",
            Self::Unknown => "unknown",
        }
    }
}

impl fmt::Display for ZoneSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// The zones that libphonenumber gives for a number: the prefix table for geographic numbers, else every zone of
/// the calling code. For comparison and for people; [`Candidates`] is what sending goes by.
pub fn libphonenumber_zones(number: &Number) -> &'static [&'static str] {
    const NONE: &[&str] = &[UNKNOWN_ZONE];
    if number.kind == NumberKind::Unknown {
        return NONE;
    }
    let tables = Tables::get();
    let digits = if number.geographic { number.phone.digits() } else { number.calling_code().into() };
    tables.prefix(digits).map_or(NONE, |(_, zones)| zones)
}

/// The state of a number of country code 1 by its area code; `None` outside the United States, for codes that
/// belong to no place, and for codes newer than the table.
pub fn us_state(number: &Number) -> Option<Subregion> {
    if number.region != Some(Country::US) || !number.geographic {
        return None;
    }
    Tables::get().area(area_code(number)?)?.state
}

/// Every zone of a country, from the time zone database's own table; empty for an unknown country.
pub fn region_zones(country: Country) -> &'static [&'static str] {
    Tables::get().region(country)
}

/// The time zone of an IANA name, old names included; the machine's own zone data first, because it may be newer.
pub fn time_zone(name: &str) -> Option<TimeZone> {
    jiff::tz::db().get(name).or_else(|_| TimeZoneDatabase::bundled().get(name)).ok()
}

/// The official spelling of an IANA zone name that was given in any case; `None` if there is no such zone.
pub fn zone_name(text: &str) -> Option<&'static str> {
    Tables::get().name(text.trim())
}

#[derive(Default)]
struct PrefixZones {
    zones: &'static [&'static str],
    code_only: bool,
}

fn prefix_zones(number: &Number) -> PrefixZones {
    let tables = Tables::get();
    let overlay = area_code(number).and_then(|code| tables.area(code)).and_then(|area| area.overlay);
    if let Some(zones) = overlay {
        return PrefixZones { zones, code_only: false };
    }
    let Some((prefix, zones)) = tables.prefix(number.phone.digits()) else { return PrefixZones::default() };
    PrefixZones { zones, code_only: prefix == u64::from(number.calling_code()) }
}

/// The three digits after country code 1.
fn area_code(number: &Number) -> Option<u16> {
    let digits = number.phone.digits();
    let code = (digits / 10_000_000).checked_sub(1000).filter(|_| digits / 10_000_000_000 == 1)?;
    u16::try_from(code).ok()
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::ZoneSource::{self, Contact, Prefix, Region, Unknown};
    use super::{Candidates, libphonenumber_zones, us_state, zone_name};
    use crate::model::number::parse;

    const NUMBERS: &str = include_str!("../../tests/data/number/numbers.jsonl");

    #[derive(Deserialize)]
    struct Vector {
        id: String,
        raw: String,
        default_region: Option<String>,
        zones: Option<Vec<String>>,
    }

    #[test]
    fn the_zones_of_a_number_are_those_of_libphonenumber() {
        for line in NUMBERS.lines() {
            let vector: Vector = serde_json::from_str(line).unwrap();
            let country = vector.default_region.and_then(|c| c.parse().ok());
            if let (Ok(number), Some(zones)) = (parse(&vector.raw, country), vector.zones) {
                assert_eq!(libphonenumber_zones(&number), zones, "{}", vector.id);
            }
        }
    }

    #[test]
    fn the_best_known_source_of_zones_wins() {
        let check = |contact: Option<&str>, raw: &str, zones: &[&str], source: ZoneSource| {
            let number = parse(raw, None).ok();
            let got = Candidates::of(contact, number.as_ref());
            assert_eq!((got.zones(), got.source()), (zones, source), "{contact:?} {raw}");
        };
        check(Some("europe/paris"), "+12125550123", &["Europe/Paris"], Contact);
        check(Some("Mars/Base"), "+12125550123", &["America/New_York"], Prefix);
        check(None, "+12125550123", &["America/New_York"], Prefix);
        check(None, "+18765550123", &["America/Jamaica"], Region);
        check(None, "+919876543210", &["Asia/Kolkata"], Region);
        check(None, "+493012345678", &["Europe/Berlin"], Prefix);
        check(None, "+80012345678", &[], Unknown);
        check(None, "+15555555555", &[], Unknown);
        check(None, "nonsense", &[], Unknown);
    }

    #[test]
    fn an_overlay_has_the_zones_of_the_code_it_shares_its_land_with() {
        let check = |raw: &str, zones: &[&str]| {
            let number = parse(raw, None).unwrap();
            let mut got = Candidates::of(None, Some(&number)).zones().to_vec();
            got.sort_unstable();
            assert_eq!(got, zones, "{raw}");
        };
        check("+13645550123", &["America/Chicago", "America/New_York"]);
        check("+14585550123", &["America/Denver", "America/Los_Angeles"]);
        check("+14485550123", &["America/Chicago", "America/New_York"]);
    }

    #[test]
    fn an_area_code_tells_the_state_only_inside_the_united_states() {
        let check = |raw: &str, state: Option<&str>| {
            let number = parse(raw, None).unwrap();
            assert_eq!(us_state(&number).map(String::from).as_deref(), state, "{raw}");
        };
        check("+13055550123", Some("FL"));
        check("+12145550123", Some("TX"));
        check("+12045550123", None);
        check("+17875550123", None);
        check("+18005550199", None);
        check("+442079460958", None);
    }

    #[test]
    fn old_zone_names_are_known_and_wrong_ones_are_not() {
        assert_eq!(zone_name("asia/CALCUTTA"), Some("Asia/Calcutta"));
        assert_eq!(zone_name(" US/Pacific "), Some("US/Pacific"));
        assert_eq!(zone_name("UTC"), Some("UTC"));
        assert_eq!(zone_name("Mars/Base"), None);
        assert_eq!(zone_name(""), None);
    }
}

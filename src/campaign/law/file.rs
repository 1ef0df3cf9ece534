//! The file of lawful hours, read and checked once; every mistake names the rule it is in.

use std::collections::HashMap;
use std::sync::Arc;

use serde::Deserialize;

use super::{Place, Rule, Rules};
use crate::campaign::holidays::{BadHoliday, HolidaySet};
use crate::campaign::window::Window;
use crate::campaign::zones;
use crate::model::country::Country;

/// The rules that are compiled in.
pub(super) const SHIPPED: &str = include_str!("../../../config/compliance/windows.toml");

/// What is wrong with a file of lawful hours.
#[derive(Debug, thiserror::Error)]
pub enum BadRules {
    /// Not TOML, or not of the expected shape.
    #[error("the lawful hours cannot be read: {0}")]
    Shape(#[from] toml::de::Error),
    /// A rule that cannot be meant.
    #[error("rule `{id}` of the lawful hours: {what}")]
    Rule {
        /// The rule.
        id: String,
        /// What is wrong and what to write instead.
        what: &'static str,
    },
    /// A holiday that is no day.
    #[error("holidays `{name}` of the lawful hours: {source}")]
    Holiday {
        /// The set.
        name: String,
        /// The day in question.
        source: BadHoliday,
    },
    /// A set builds on one that comes later or not at all.
    #[error("holidays `{0}` of the lawful hours extend a set that is not written above them")]
    Extends(String),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    version: String,
    groups: HashMap<String, Vec<Country>>,
    rule: Vec<RawRule>,
    holidays: Vec<RawHolidays>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(
    dead_code,
    reason = "basis, status, source and note are for readers of the file; reading them checks them"
)]
struct RawRule {
    id: String,
    region: String,
    subregion: Option<String>,
    hours: Option<Window>,
    holidays: Option<String>,
    clock: Option<String>,
    #[serde(default)]
    fallback: bool,
    #[serde(default)]
    exempt_with_consent: bool,
    valid_from: Option<jiff::civil::Date>,
    basis: Basis,
    status: Status,
    source: String,
    note: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Basis {
    Law,
    Carrier,
    Industry,
    Product,
}

#[derive(Deserialize)]
enum Status {
    V,
    S,
    U,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawHolidays {
    name: String,
    extends: Option<String>,
    observed: bool,
    days: Vec<String>,
}

pub(super) fn read(text: &str) -> Result<Rules, BadRules> {
    let file: File = toml::from_str(text)?;
    let mut sets: HashMap<String, Arc<HolidaySet>> = HashMap::new();
    for raw in file.holidays {
        let set = holidays(raw, &sets)?;
        sets.insert(set.name.clone(), Arc::new(set));
    }
    let rules = file.rule.iter().map(|raw| rule(raw, &file.groups, &sets)).collect::<Result<_, _>>()?;
    Ok(Rules { version: file.version, rules })
}

fn holidays(raw: RawHolidays, sets: &HashMap<String, Arc<HolidaySet>>) -> Result<HolidaySet, BadRules> {
    let mut days = match &raw.extends {
        Some(base) => sets.get(base).ok_or_else(|| BadRules::Extends(raw.name.clone()))?.days.clone(),
        None => Vec::new(),
    };
    for day in &raw.days {
        let day = day.parse().map_err(|source| BadRules::Holiday { name: raw.name.clone(), source })?;
        days.push(day);
    }
    Ok(HolidaySet { name: raw.name, days, observed: raw.observed })
}

fn rule(
    raw: &RawRule,
    groups: &HashMap<String, Vec<Country>>,
    sets: &HashMap<String, Arc<HolidaySet>>,
) -> Result<Rule, BadRules> {
    let bad = |what: &'static str| BadRules::Rule { id: raw.id.clone(), what };
    if raw.hours.is_none() && raw.holidays.is_none() {
        return Err(bad("gives neither `hours` nor `holidays`"));
    }
    let place = match (raw.region.as_str(), &raw.subregion) {
        ("*", None) => Place::Everywhere,
        (group, None) if groups.contains_key(group) => Place::Countries(groups[group].clone()),
        (country, subregion) => {
            let country = country.parse().map_err(|_| bad("`region` is no country, group or *"))?;
            match subregion {
                None => Place::Countries(vec![country]),
                Some(state) => {
                    let state = state.parse().map_err(|_| bad("`subregion` is two letters, like FL"))?;
                    Place::State(country, state)
                }
            }
        }
    };
    let holidays = match &raw.holidays {
        Some(name) => {
            Some(sets.get(name).ok_or_else(|| bad("names `holidays` that are not in the file"))?.clone())
        }
        None => None,
    };
    let clock = match &raw.clock {
        Some(name) => Some(zones::zone_name(name).ok_or_else(|| bad("`clock` is no IANA time zone"))?),
        None => None,
    };
    Ok(Rule {
        id: raw.id.clone(),
        place,
        hours: raw.hours,
        holidays,
        clock,
        fallback: raw.fallback,
        exempt: raw.exempt_with_consent,
        valid_from: raw.valid_from,
    })
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::{Place, SHIPPED, read};

    #[test]
    fn the_shipped_rules_are_sound() {
        let rules = read(SHIPPED).unwrap_or_else(|e| panic!("{e}")).rules;
        let mut ids = HashSet::new();
        for rule in &rules {
            assert!(ids.insert(&rule.id), "{} twice", rule.id);
            assert!(rule.hours.is_none_or(|hours| !hours.is_never()), "{}", rule.id);
            // With a clock, one window is asked in one zone; two rules of one place would have to agree on it.
            let peers = rules.iter().filter(|other| other.place == rule.place && other.hours.is_some());
            assert!(rule.clock.is_none() || peers.count() == 1, "{}", rule.id);
        }
        assert!(rules.last().is_some_and(|rule| rule.fallback && rule.place == Place::Everywhere));
    }

    #[test]
    fn a_mistake_names_its_rule() {
        let check = |edit: (&str, &str), expected: &str| {
            let text = SHIPPED.replacen(edit.0, edit.1, 1);
            let error = read(&text).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        };
        check(("hours = \"08:00-21:00\"\n", ""), "us-hours` of the lawful hours: gives neither");
        check(("subregion = \"AL\"", "subregion = \"Alabama\""), "us-al");
        check(("region = \"CA\"", "region = \"Canada\""), "ca-hours");
        check(("holidays = \"FR\"", "holidays = \"France\""), "fr-hol");
        check(("Asia/Seoul", "Asia/Seol"), "kr-hours");
        check(("\"24 jul\"", "\"pioneer day\""), "pioneer day");
        check(("extends = \"US\"", "extends = \"USA\""), "US-AL");
        check(("08:00-21:00", "21:00-08:00"), "ends before it starts");
        check(("basis = \"law\"", "basis = \"hearsay\""), "hearsay");
    }
}

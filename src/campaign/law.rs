//! Which hours the law, the networks and plain caution leave for marketing, by the recipient's place.
//!
//! The rules are data (`config/compliance/windows.toml`); this module only selects and intersects them. Replies to a
//! recipient's own text and transactional texts are no matter of this module.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use jiff::ToSpan;
use jiff::civil::Date;
use jiff::tz::TimeZone;

use super::holidays::HolidaySet;
use super::window::Window;
use super::zones;
use crate::model::clock::Timestamp;
use crate::model::country::{Country, Subregion};
use crate::model::number::Number;

mod file;

pub use file::BadRules;

/// Every rule we know, ready to be asked.
#[derive(Clone, Debug)]
pub struct Rules {
    version: String,
    rules: Vec<Rule>,
}

/// One rule, checked.
#[derive(Clone, Debug)]
struct Rule {
    id: String,
    place: Place,
    hours: Option<Window>,
    holidays: Option<Arc<HolidaySet>>,
    clock: Option<&'static str>,
    fallback: bool,
    exempt: bool,
    valid_from: Option<Date>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Place {
    Everywhere,
    Countries(Vec<Country>),
    State(Country, Subregion),
}

/// The place whose rules apply to a recipient; the second half of a schedule's key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LawRegion {
    country: Option<Country>,
    /// The state of the number and that of the address; both apply, since a mobile moves with its owner.
    states: [Option<Subregion>; 2],
}

/// What is left for marketing in one place.
#[derive(Clone, Debug)]
pub struct Lawful {
    /// The hours by weekday.
    pub window: Window,
    /// Days without any hour; a date counts if any set has it.
    pub holidays: Vec<Arc<HolidaySet>>,
    /// The zone whose clock counts, where a rule fixes one; otherwise every zone the recipient may be in.
    pub clock: Option<&'static str>,
    /// The ids of the rules that led here, in the order of the file.
    pub rules: Vec<String>,
}

/// Why a rule could not be switched off.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotSwitchedOff {
    /// No such rule.
    #[error("there is no rule `{0}` in the lawful hours; see config/compliance/windows.toml for their ids")]
    Unknown(String),
    /// The rule binds even with consent.
    #[error(
        "rule `{0}` applies even with consent; only rules marked `exempt_with_consent` can be switched off"
    )]
    Binding(String),
}

/// A plan looks this far ahead, so a rule counts this long before its first day.
const LOOK_AHEAD_DAYS: i32 = 8;

impl Rules {
    /// The rules the product ships with.
    pub fn load() -> Self {
        file::read(file::SHIPPED).expect("a test reads the shipped rules")
    }

    /// The version of the rules, to be kept with a plan.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// These rules without one that consent lifts.
    ///
    /// # Errors
    /// When there is no such rule, or consent does not lift it.
    pub fn switch_off(mut self, id: &str) -> Result<Self, NotSwitchedOff> {
        let at = self.rules.iter().position(|rule| rule.id == id);
        let at = at.ok_or_else(|| NotSwitchedOff::Unknown(id.to_owned()))?;
        if !self.rules[at].exempt {
            return Err(NotSwitchedOff::Binding(id.to_owned()));
        }
        self.rules.remove(at);
        Ok(self)
    }

    /// What all matching rules leave, the strictest value winning. An unknown state of the United States has the
    /// rules of all states.
    pub fn lawful(&self, region: LawRegion, now: Timestamp) -> Lawful {
        let today = now.to_jiff().to_zoned(TimeZone::UTC).date();
        let horizon = today.saturating_add(LOOK_AHEAD_DAYS.days());
        let mut lawful =
            Lawful { window: Window::ALWAYS, holidays: Vec::new(), clock: None, rules: Vec::new() };
        let mut has_hours = false;
        for rule in &self.rules {
            let later = rule.valid_from.is_some_and(|first| first > horizon);
            if later || !region.is_in(&rule.place) || (rule.fallback && has_hours) {
                continue;
            }
            if let Some(hours) = &rule.hours {
                lawful.window = lawful.window.intersect(hours);
                has_hours = true;
            }
            lawful.holidays.extend(rule.holidays.clone());
            lawful.clock = lawful.clock.or(rule.clock);
            lawful.rules.push(rule.id.clone());
        }
        lawful
    }
}

impl LawRegion {
    /// The place of a number: its country and, in the United States, the state of its area code.
    pub fn of(number: Option<&Number>) -> Self {
        let state = number.and_then(zones::us_state);
        Self { country: number.and_then(|number| number.region), states: [state, None] }
    }

    /// A place by its parts; without a state, a number of the United States has the rules of all states.
    pub fn new(country: Option<Country>, state: Option<Subregion>) -> Self {
        Self { country, states: [state, None] }
    }

    /// The same place with the state of the recipient's address, whose rules apply as well.
    #[must_use]
    pub fn with_address(self, state: Subregion) -> Self {
        match self.states[0] {
            Some(first) if first != state => {
                Self { states: [Some(first.min(state)), Some(first.max(state))], ..self }
            }
            _ => self,
        }
    }

    /// The country, if known.
    pub fn country(&self) -> Option<Country> {
        self.country
    }

    /// The state of the area code (or of the address, when that comes first in the alphabet).
    pub fn subregion(&self) -> Option<Subregion> {
        self.states[0]
    }

    fn is_in(&self, place: &Place) -> bool {
        match place {
            Place::Everywhere => true,
            Place::Countries(countries) => self.country.is_some_and(|country| countries.contains(&country)),
            Place::State(country, state) => {
                let anywhere = self.states[0].is_none();
                self.country == Some(*country) && (anywhere || self.states.contains(&Some(*state)))
            }
        }
    }
}

impl fmt::Display for LawRegion {
    /// `US-FL`, `US-FL+NY`, `US-*` for an unknown state, `FR`, or `*` for an unknown country.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(country) = self.country else { return f.write_str("*") };
        write!(f, "{country}")?;
        match self.states {
            [Some(state), None] => write!(f, "-{state}"),
            [Some(state), Some(other)] => write!(f, "-{state}+{other}"),
            _ if country == Country::US => f.write_str("-*"),
            _ => Ok(()),
        }
    }
}

/// A text that is no law region.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a law region is written like US-FL, US-FL+NY, US-*, FR or *")]
pub struct BadLawRegion;

impl FromStr for LawRegion {
    type Err = BadLawRegion;

    fn from_str(text: &str) -> Result<Self, BadLawRegion> {
        if text == "*" {
            return Ok(Self::new(None, None));
        }
        let (country, states) = text.split_once('-').unwrap_or((text, "*"));
        let country = country.parse().map_err(|_| BadLawRegion)?;
        if states == "*" {
            return Ok(Self::new(Some(country), None));
        }
        let (first, second) = states.split_once('+').map_or((states, None), |(a, b)| (a, Some(b)));
        let state = |code: &str| code.parse::<Subregion>().map_err(|_| BadLawRegion);
        let region = Self::new(Some(country), Some(state(first)?));
        second.map_or(Ok(region), |code| Ok(region.with_address(state(code)?)))
    }
}

#[cfg(test)]
mod tests {
    use super::{LawRegion, Lawful, NotSwitchedOff, Rules};
    use crate::model::clock::Timestamp;
    use crate::model::number::parse;

    fn lawful(region: &str) -> Lawful {
        let now = Timestamp::parse("2026-11-22T00:00:00Z").unwrap();
        Rules::load().lawful(region.parse().unwrap(), now)
    }

    #[test]
    fn every_place_has_the_intersection_of_its_rules() {
        let check = |region: &str, hours: &str| {
            assert_eq!(lawful(region).window.to_string(), hours, "{region}");
        };
        check("US-CA", "08:00-21:00");
        check("US-FL", "08:00-20:00");
        check("US-TX", "mon-sat 09:00-21:00, sun 12:00-21:00");
        check("US-AL", "mon-sat 08:00-20:00");
        check("US-PA", "mon-sat 09:00-21:00, sun 13:30-21:00");
        check("US-RI", "mon-fri 09:00-18:00, sat 10:00-17:00");
        check("US-FL+TX", "mon-sat 09:00-20:00, sun 12:00-20:00");
        check("US-*", "mon-fri 10:00-18:00, sat 10:00-17:00");
        check("CA", "mon-fri 09:00-21:30, sat-sun 10:00-18:00");
        check("FR", "mon-sat 08:00-22:00");
        check("RE", "mon-sat 08:00-22:00");
        check("DE", "08:00-20:00");
        check("GB", "08:00-20:00");
        check("IN", "10:00-21:00");
        check("AU", "mon-fri 09:00-20:00, sat 09:00-17:00");
        check("JP", "08:00-20:00");
        check("*", "08:00-20:00");
    }

    #[test]
    fn a_fallback_applies_only_where_nothing_else_gives_hours() {
        let check = |region: &str, ids: &[&str]| assert_eq!(lawful(region).rules, ids, "{region}");
        check("DE", &["eu-hours"]);
        check("FR", &["fr-hours", "fr-hol"]);
        check("JP", &["default-hours"]);
        check("US-UT", &["us-hours", "us-ut-hol"]);
    }

    #[test]
    fn holidays_close_the_days_of_their_place_only() {
        let check = |region: &str, day: &str, closed: bool| {
            let day: jiff::civil::Date = day.parse().unwrap();
            let holiday = lawful(region).holidays.iter().any(|set| set.contains(day));
            assert_eq!(holiday, closed, "{region} {day}");
        };
        for day in ["2026-04-06", "2026-05-14", "2026-05-25", "2027-03-29", "2027-05-06", "2027-05-17"] {
            check("FR", day, true);
            check("DE", day, false);
        }
        check("US-UT", "2026-07-24", true);
        check("US-CA", "2026-07-24", false);
        check("US-AL", "2026-07-03", true);
        check("US-*", "2026-07-24", true);
        check("BR", "2026-09-07", true);
    }

    #[test]
    fn a_fixed_clock_counts_where_a_rule_names_one() {
        assert_eq!(lawful("IN").clock, Some("Asia/Kolkata"));
        assert_eq!(lawful("US-CA").clock, None);
    }

    #[test]
    fn a_rule_counts_from_its_first_day_and_a_little_before() {
        let check = |now: &str, hours: &str| {
            let now = Timestamp::parse(now).unwrap();
            let window = Rules::load().lawful("IN".parse().unwrap(), now).window;
            assert_eq!(window.to_string(), hours, "{now:?}");
        };
        check("2025-10-01T00:00:00Z", "08:00-20:00");
        check("2025-10-06T00:00:00Z", "10:00-21:00");
        check("2026-10-06T00:00:00Z", "10:00-21:00");
    }

    #[test]
    fn only_rules_that_consent_lifts_can_be_switched_off() {
        let now = Timestamp::parse("2026-11-22T00:00:00Z").unwrap();
        let rules = Rules::load().switch_off("us-ri").unwrap();
        assert_eq!(rules.lawful("US-RI".parse().unwrap(), now).window.to_string(), "08:00-21:00");
        let refused = |id: &str| Rules::load().switch_off(id).unwrap_err();
        assert_eq!(refused("us-hours"), NotSwitchedOff::Binding("us-hours".into()));
        assert_eq!(refused("us-xx"), NotSwitchedOff::Unknown("us-xx".into()));
    }

    #[test]
    fn a_law_region_is_read_as_it_is_written() {
        for text in ["US-FL", "US-FL+NY", "US-*", "FR", "*"] {
            assert_eq!(text.parse::<LawRegion>().unwrap().to_string(), text);
        }
        for text in ["", "USA", "US-", "US-FLA", "US-FL+", "1"] {
            assert!(text.parse::<LawRegion>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_number_leads_to_the_law_of_its_place() {
        let check = |raw: &str, region: &str| {
            let number = parse(raw, None).ok();
            assert_eq!(LawRegion::of(number.as_ref()).to_string(), region, "{raw}");
        };
        check("+13055550123", "US-FL");
        check("+18005550199", "US-*");
        check("+12042345678", "CA");
        check("+33612345678", "FR");
        check("+80012345678", "*");
    }
}

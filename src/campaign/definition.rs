//! A campaign file, checked into what it means: whom to text, when, with which coupon and words, within which limits.
//!
//! Reading is pure: the shop's zone is passed in, and nothing is looked up. That the routes, the segment and the pool
//! exist, and that expression and templates are sound, is checked where those are known.

mod reading;
mod times;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::terms::{Budget, Cap, Period};
use super::timing::Timing;
use super::window::Window;
use crate::document::FileErrors;
use crate::model::clock::Timestamp;
use crate::model::message::WhenInDoubt;

/// Parts that a text may have at most, whatever a campaign says.
pub const MOST_PARTS: u16 = 10;

/// A campaign as its file describes it. A run keeps it as JSON, so a file may change while a run goes on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Definition {
    /// Its name: that of the file, without `.toml`.
    pub name: String,
    /// Whom to text.
    pub segment: Audience,
    /// Routes that may carry it, the preferred one first; at least one.
    pub routes: Vec<String>,
    /// When.
    pub timing: Timing,
    /// Its own hours, inside the lawful ones; none means all lawful hours.
    pub window: Option<Window>,
    /// Limits.
    pub limits: Limits,
    /// What to do with a message whose fate nobody knows.
    pub when_in_doubt: WhenInDoubt,
    /// The coupon that goes with it, if one does.
    pub coupon: Option<CouponTerms>,
    /// Whether typographic characters become plain ones where that makes a text cheaper.
    pub smart_text: bool,
    /// The words.
    pub text: Texts,
}

/// Whom a campaign texts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Audience {
    /// The segment of this name in the configuration.
    Named(String),
    /// Those for whom this holds.
    Expression(String),
}

/// What a campaign must not exceed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// Texts of all campaigns that a contact may get in a period.
    pub per_contact: Option<Cap>,
    /// Money.
    pub budget: Option<Budget>,
    /// Parts of one text; [`MOST_PARTS`] if the file does not say.
    pub parts: Option<u16>,
}

/// The coupon of a campaign.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CouponTerms {
    /// The stock its codes come from.
    pub pool: String,
    /// Until when a code is good.
    pub expiry: CouponExpiry,
}

/// Until when a code is good.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CouponExpiry {
    /// As its pool says.
    OfPool,
    /// This long after the start of the run for its contact.
    After(Period),
    /// Before this instant.
    At(Timestamp),
}

/// The words of a campaign in one or more languages.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Texts {
    /// The language for contacts whose own is not there; a key of `variants`.
    default: String,
    /// Templates by language, as the file spells it.
    variants: BTreeMap<String, String>,
}

/// Why stored text is no definition.
#[derive(Debug, thiserror::Error)]
#[error("the stored campaign cannot be read; it was written by another version of winback: {0}")]
pub struct BadDefinition(#[from] serde_json::Error);

impl Definition {
    /// Reads a campaign file. `file` is its path: the name comes from it, and complaints show it. `shop_zone` is the
    /// IANA zone of times that name no other.
    ///
    /// # Errors
    /// Everything that is wrong with the file, at once.
    pub fn parse(file: &str, text: &str, shop_zone: &str) -> Result<Self, FileErrors> {
        reading::definition(file, text, shop_zone)
    }

    /// The definition as JSON: the same definition always gives the same text.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("strings, numbers and maps with text keys are always JSON")
    }

    /// Reads what [`Definition::to_json`] wrote.
    ///
    /// # Errors
    /// When it is something else.
    pub fn from_json(json: &str) -> Result<Self, BadDefinition> {
        Ok(serde_json::from_str(json)?)
    }

    /// Campaign and scheduled start: launching twice with the same key makes one run. A campaign that starts `now` has
    /// one run for good, and another one after its file was copied to another name.
    pub fn launch_key(&self) -> String {
        format!("{}@{}", self.name, self.timing.key())
    }

    /// Language and template for a contact's locale: the locale itself, then without its last part (`pt-BR`, `pt`), then
    /// the default. Case, `_` for `-`, and an encoding behind a dot do not matter.
    pub fn text_for(&self, locale: Option<&str>) -> (&str, &str) {
        self.text.choose(locale)
    }

    /// Parts that its texts may have.
    pub fn most_parts(&self) -> u16 {
        self.limits.parts.unwrap_or(MOST_PARTS)
    }
}

impl Audience {
    /// What the file says, name or expression.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Named(text) | Self::Expression(text) => text,
        }
    }
}

impl Texts {
    /// Every language with its template, in alphabetical order.
    pub fn variants(&self) -> impl Iterator<Item = (&str, &str)> {
        self.variants.iter().map(|(language, template)| (language.as_str(), template.as_str()))
    }

    fn choose(&self, locale: Option<&str>) -> (&str, &str) {
        let wanted = locale.map(plain_locale).unwrap_or_default();
        let mut rest = wanted.as_str();
        while !rest.is_empty() {
            if let Some(found) = self.variants().find(|(language, _)| plain_locale(language) == rest) {
                return found;
            }
            rest = rest.rsplit_once('-').map_or("", |(shorter, _)| shorter);
        }
        let template = self.variants.get(&self.default).map_or("", String::as_str);
        (&self.default, template)
    }
}

/// A locale in the one form in which locales are compared.
fn plain_locale(locale: &str) -> String {
    let language = locale.trim().split(['.', '@']).next().unwrap_or_default();
    language.replace('_', "-").to_ascii_lowercase()
}

#[cfg(test)]
mod tests;

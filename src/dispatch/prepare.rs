//! One contact of an audience into a finished message, or the reason why not. Pure: no store, no clock.

use std::collections::{BTreeMap, HashMap};

use jiff::tz::TimeZone;
use serde::Serialize;

use crate::campaign::definition::{CouponExpiry, Definition};
use crate::campaign::law::{LawRegion, Rules};
use crate::campaign::schedule::ScheduleKey;
use crate::campaign::zones::{Candidates, time_zone};
use crate::model::clock::Timestamp;
use crate::model::contact::Contact;
use crate::model::ids::CouponId;
use crate::model::number::{self, Number, NumberKind};
use crate::store::runs::PlannedMessage;
use crate::store::segments::AudienceRow;
use crate::text::template::{RenderError, Template, TemplateError};
use crate::text::{parts, smart};

use super::terms::{NoRoute, Terms};

/// Why a contact of the audience is not texted.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Skip {
    /// The number is suppressed.
    Suppressed,
    /// No consent is on record.
    NoConsent,
    /// A provider said that the number does not exist.
    Unreachable,
    /// A kind of number that is not texted.
    NotMobile(NumberKind),
    /// It has had as many texts as the campaign's cap allows.
    Capped,
    /// No route of the campaign texts its country.
    NoRoute(String),
    /// A route would, but has no price for its country.
    NoPrice(String),
    /// Nobody knows what time it is there.
    ZoneUnknown,
    /// No lawful moment before the campaign ends.
    NoWindow,
    /// The text uses something that this contact does not have.
    Missing(String),
    /// The text would have more parts than the campaign allows.
    TooManyParts,
    /// The text came out empty or too long.
    Unfit,
    /// The pool has no code left.
    NoCode,
}

impl Skip {
    /// The reason as people read it.
    pub fn words(&self) -> String {
        match self {
            Self::Suppressed => "suppressed".to_owned(),
            Self::NoConsent => "no consent on record".to_owned(),
            Self::Unreachable => "number does not exist".to_owned(),
            Self::NotMobile(kind) => format!("not a mobile ({})", kind.as_str()),
            Self::Capped => "had enough texts".to_owned(),
            Self::NoRoute(country) => format!("no route to {country}"),
            Self::NoPrice(country) => format!("no price for {country}"),
            Self::ZoneUnknown => "time zone unknown".to_owned(),
            Self::NoWindow => "no lawful moment before the end".to_owned(),
            Self::Missing(name) => format!("no {name}"),
            Self::TooManyParts => "too many parts".to_owned(),
            Self::Unfit => "text empty or too long".to_owned(),
            Self::NoCode => "no code left".to_owned(),
        }
    }
}

/// A code that a message may carry.
#[derive(Clone, Copy, Debug)]
pub struct Code<'a> {
    /// Its row.
    pub id: CouponId,
    /// The code.
    pub text: &'a str,
}

/// What a message shows that is not sent because of the cap, when the pool is empty.
pub(super) const NO_CODE_NEEDED: Code<'static> = Code { id: CouponId(0), text: "0000000000" };

/// A finished message and what a plan says about it.
#[derive(Clone, Debug)]
pub struct Prepared {
    /// The message, ready to be stored.
    pub message: PlannedMessage,
    /// The language it was written in.
    pub language: String,
    /// Units of its encoding.
    pub units: u32,
    /// Whether typographic characters were replaced.
    pub smart: bool,
}

/// Turns contacts into messages for one run.
pub struct Preparer<'a> {
    terms: &'a Terms,
    rules: &'a Rules,
    templates: BTreeMap<String, Template>,
    /// Zones and law of a contact into the next interval, computed once each.
    slots: HashMap<ScheduleKey, Option<Slot>>,
    /// Those of them that nobody has asked for yet.
    fresh: Vec<(ScheduleKey, Slot)>,
    needs_attributes: bool,
    now: Timestamp,
}

/// What is wrong with a campaign's texts.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum TextsError {
    /// A template does not compile.
    #[error("text.{language}, {error}")]
    Template {
        /// Which one.
        language: String,
        /// Why.
        error: TemplateError,
    },
    /// A template uses a name that does not exist.
    #[error("text.{language}, line {line}, column {column}: there is no `{path}`; a text may use {known}")]
    Unknown {
        /// Which one.
        language: String,
        /// What it uses.
        path: String,
        /// Where.
        line: usize,
        /// Where.
        column: usize,
        /// What exists.
        known: String,
    },
    /// A template speaks of a coupon and the campaign has none.
    #[error("text.{language} uses `{path}`, but the campaign has no [coupon]; add one or remove it")]
    NoCoupon {
        /// Which one.
        language: String,
        /// What it uses.
        path: String,
    },
    /// A campaign hands out coupons that nobody would see.
    #[error(
        "text.{language} never shows coupon.code; the codes would be spent unseen. Show it, or remove [coupon]"
    )]
    CodeNotShown {
        /// Which one.
        language: String,
    },
}

/// Names that a text may use besides `attr.NAME`.
const KNOWN: &[&str] = &[
    "first_name",
    "last_name",
    "customer_id",
    "email",
    "locale",
    "stage",
    "country",
    "coupon.code",
    "coupon.value",
    "coupon.expires",
];

#[derive(Serialize)]
struct Values<'a> {
    first_name: Option<&'a str>,
    last_name: Option<&'a str>,
    customer_id: Option<&'a str>,
    email: Option<&'a str>,
    locale: Option<&'a str>,
    stage: Option<&'a str>,
    country: Option<&'a str>,
    attr: serde_json::Value,
    coupon: CouponValues<'a>,
}

#[derive(Serialize)]
struct CouponValues<'a> {
    code: Option<&'a str>,
    value: Option<&'a str>,
    expires: Option<String>,
}

/// Compiles the texts of a campaign and checks every name they use.
///
/// # Errors
/// The first thing that is wrong, with its place.
pub fn templates(definition: &Definition) -> Result<BTreeMap<String, Template>, TextsError> {
    let mut compiled = BTreeMap::new();
    for (language, source) in definition.text.variants() {
        let language = language.to_owned();
        let template = Template::compile(source)
            .map_err(|error| TextsError::Template { language: language.clone(), error })?;
        check_names(&language, &template, definition.coupon.is_some())?;
        compiled.insert(language, template);
    }
    Ok(compiled)
}

/// Whether a text may use this name. Any attribute may be used; whether a contact has it is seen when it is written.
pub fn is_known(path: &str) -> bool {
    KNOWN.contains(&path) || path.starts_with("attr.")
}

/// What a text may use, as a list to end a message with.
pub fn known_names() -> String {
    format!("{} and attr.NAME", KNOWN.join(", "))
}

fn check_names(language: &str, template: &Template, has_coupon: bool) -> Result<(), TextsError> {
    let language = language.to_owned();
    for variable in template.variables() {
        let (path, line, column) = (variable.path.clone(), variable.line, variable.column);
        if !is_known(&path) {
            return Err(TextsError::Unknown { language, path, line, column, known: known_names() });
        }
        if path.starts_with("coupon.") && !has_coupon {
            return Err(TextsError::NoCoupon { language, path });
        }
    }
    if has_coupon && !template.variables().iter().any(|variable| variable.path == "coupon.code") {
        return Err(TextsError::CodeNotShown { language });
    }
    Ok(())
}

impl<'a> Preparer<'a> {
    /// A preparer for a run under `terms`, as of `now`.
    ///
    /// # Errors
    /// When a text cannot be used.
    pub fn new(terms: &'a Terms, rules: &'a Rules, now: Timestamp) -> Result<Self, TextsError> {
        let templates = templates(&terms.definition)?;
        let uses_attr = |t: &Template| t.variables().iter().any(|v| v.path.starts_with("attr."));
        Ok(Self {
            needs_attributes: templates.values().any(uses_attr),
            templates,
            slots: HashMap::new(),
            fresh: Vec::new(),
            terms,
            rules,
            now,
        })
    }

    /// Whether messages carry codes.
    pub fn wants_codes(&self) -> bool {
        self.terms.pool.is_some()
    }

    /// The windows met so far: key, opening, closing.
    pub fn windows(&self) -> impl Iterator<Item = (&ScheduleKey, (Timestamp, Timestamp))> {
        self.slots.iter().filter_map(|(key, slot)| slot.map(|slot| (key, (slot.opens, slot.closes))))
    }

    /// Windows that were met since this was last asked: key, opening, closing.
    pub fn new_windows(&mut self) -> Vec<(String, Timestamp, Timestamp)> {
        let fresh = std::mem::take(&mut self.fresh);
        fresh.into_iter().map(|(key, slot)| (key.as_str().to_owned(), slot.opens, slot.closes)).collect()
    }

    /// Whether a contact has had as many texts as the campaign's cap allows.
    pub fn is_capped(&self, row: &AudienceRow) -> bool {
        let cap = self.terms.definition.limits.per_contact.as_ref();
        cap.is_some_and(|cap| row.recent >= i64::from(cap.count))
    }

    /// The message for one contact, whether or not the cap allows it: who is left out for the cap alone is counted.
    /// `code` is what it would carry; it is spent only if a message comes out and is sent.
    ///
    /// # Errors
    /// Why this contact is not texted.
    pub fn prepare(&mut self, row: &AudienceRow, code: Option<Code<'_>>) -> Result<Prepared, Skip> {
        let record = &row.contact.record;
        self.may_text(row)?;
        let number = number::parse(&record.phone.e164(), None).ok();
        let country = record.country.as_deref().unwrap_or_default();
        let (route, price) = self.terms.route_for(country).map_err(|why| match why {
            NoRoute::Country => Skip::NoRoute(country.to_owned()),
            NoRoute::Price => Skip::NoPrice(country.to_owned()),
        })?;
        let (key, slot, zone) = self.place(record.zone.as_deref(), number.as_ref())?;
        let code = code.or_else(|| self.is_capped(row).then_some(NO_CODE_NEEDED));
        if self.wants_codes() && code.is_none() {
            return Err(Skip::NoCode);
        }
        let text = self.text(&row.contact, code, slot.opens, &zone)?;
        let most = self.terms.definition.most_parts();
        if text.count.parts > most {
            return Err(Skip::TooManyParts);
        }
        let sender = sender(&route.senders, row.contact.id.0);
        Ok(Prepared {
            message: PlannedMessage {
                contact: row.contact.id,
                phone: record.phone,
                country: country.to_owned(),
                route: route.name.clone(),
                sender,
                window: key.as_str().to_owned(),
                coupon: code.map(|code| code.id),
                price: price.times(i64::from(text.count.parts)),
                body: text.body,
                encoding: text.count.encoding,
                parts: text.count.parts,
                expires_at: slot.ends,
            },
            language: text.language,
            units: text.count.units,
            smart: text.smart,
        })
    }

    fn may_text(&self, row: &AudienceRow) -> Result<(), Skip> {
        let record = &row.contact.record;
        if row.suppressed {
            return Err(Skip::Suppressed);
        }
        if record.consent.at().is_none_or(|at| at > self.now) {
            return Err(Skip::NoConsent);
        }
        if row.contact.unreachable_at.is_some() {
            return Err(Skip::Unreachable);
        }
        let kind = NumberKind::from_word(&record.number_kind).unwrap_or(NumberKind::Unknown);
        if !kind.may_text() {
            return Err(Skip::NotMobile(kind));
        }
        Ok(())
    }

    /// Where a contact is in time: its window, the interval it may be texted in, and the zone its dates are told in.
    fn place(
        &mut self,
        zone: Option<&str>,
        number: Option<&Number>,
    ) -> Result<(ScheduleKey, Slot, TimeZone), Skip> {
        let candidates = Candidates::of(zone, number);
        let first = candidates.zones().first().and_then(|name| time_zone(name)).ok_or(Skip::ZoneUnknown)?;
        let key = ScheduleKey::new(candidates.zones(), LawRegion::of(number));
        let slot = if let Some(known) = self.slots.get(&key) {
            *known
        } else {
            let interval = self.terms.next_interval(&key, self.rules, self.now).zip(self.terms.ends(&key));
            let slot = interval.map(|((opens, closes), ends)| Slot { opens, closes, ends });
            self.slots.insert(key.clone(), slot);
            self.fresh.extend(slot.map(|slot| (key.clone(), slot)));
            slot
        };
        Ok((key, slot.ok_or(Skip::NoWindow)?, first))
    }

    fn text(
        &self,
        contact: &Contact,
        code: Option<Code<'_>>,
        opens: Timestamp,
        zone: &TimeZone,
    ) -> Result<Text, Skip> {
        let record = &contact.record;
        let (language, _) = self.terms.definition.text_for(record.locale.as_deref());
        let template = self.templates.get(language).ok_or(Skip::Unfit)?;
        let pool = self.terms.pool.as_ref();
        let expires = self.coupon_expires(opens, zone).map(|at| shown_date(at, zone, language));
        let attr = if self.needs_attributes {
            serde_json::from_str(&record.attrs.to_json()).unwrap_or_default()
        } else {
            serde_json::Value::Object(serde_json::Map::new())
        };
        let values = Values {
            first_name: record.first_name.as_deref(),
            last_name: record.last_name.as_deref(),
            customer_id: record.customer_id.as_deref(),
            email: record.email.as_deref(),
            locale: record.locale.as_deref(),
            stage: record.stage.map(crate::model::stage::Stage::as_str),
            country: record.country.as_deref(),
            attr,
            coupon: CouponValues {
                code: code.map(|code| code.text),
                value: pool.map(|pool| pool.value.as_str()),
                expires,
            },
        };
        let body = template.render(&values).map_err(|error| match error {
            RenderError::Missing(path) => Skip::Missing(path),
            RenderError::TooLong | RenderError::Unfit { .. } => Skip::Unfit,
        })?;
        if body.trim().is_empty() {
            return Err(Skip::Unfit);
        }
        let (mut body, mut smart) = (body, false);
        if self.terms.definition.smart_text {
            let replaced = smart::replace(&body, &code.map_or(vec![], |code| vec![code.text]));
            (body, smart) = (replaced.text, replaced.changed);
        }
        Ok(Text { count: parts::count(&body), body, smart, language: language.to_owned() })
    }

    /// When the coupon in a message that may go out from `opens` on ends.
    fn coupon_expires(&self, opens: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
        let terms = self.terms.definition.coupon.as_ref()?;
        let of_pool = self.terms.pool.as_ref().and_then(|pool| pool.expires_at);
        let own = match terms.expiry {
            CouponExpiry::OfPool => None,
            CouponExpiry::After(period) => Some(period.after(opens, zone)),
            CouponExpiry::At(at) => Some(at),
        };
        // A text never promises more than the pool keeps.
        match (own, of_pool) {
            (Some(own), Some(pool)) => Some(own.min(pool)),
            (own, pool) => own.or(pool),
        }
    }
}

/// When contacts with one key may be texted.
#[derive(Clone, Copy, Debug)]
struct Slot {
    opens: Timestamp,
    closes: Timestamp,
    ends: Timestamp,
}

struct Text {
    body: String,
    count: parts::Count,
    smart: bool,
    language: String,
}

/// A date as people read it in a text: the last whole day on which the coupon is good.
fn shown_date(ends: Timestamp, zone: &TimeZone, language: &str) -> String {
    let last = ends.minus(std::time::Duration::from_millis(1)).to_jiff().to_zoned(zone.clone());
    let form = match language.split(['-', '_']).next().unwrap_or_default() {
        "en" => "%b %-d",
        "zh" | "ja" => "%-m月%-d日",
        "ko" => "%-m월 %-d일",
        "fr" | "es" | "pt" | "it" => "%-d/%-m",
        _ => "%-d.%-m.",
    };
    last.strftime(form).to_string()
}

/// The same contact always hears from the same sender.
fn sender(senders: &[String], contact: i64) -> String {
    if senders.is_empty() {
        return String::new();
    }
    // Fibonacci hashing spreads consecutive ids.
    let spread = contact.unsigned_abs().wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 33;
    let at = usize::try_from(spread).unwrap_or(0) % senders.len();
    senders[at].clone()
}

//! A row of a customer list into a clean draft of a contact, or the reason to reject it.
//!
//! Reads what the row says and nothing more: an empty field leaves what is known as it is, a consent that cannot be
//! read is never consent, and a full name is never cut into first and last (it becomes the attribute `name`).

use std::collections::HashMap;

use jiff::tz::TimeZone;

use super::extras;
use super::headers::{Columns, Field, HeaderError, Mapping, fold};
use super::reason::Reason;
use super::table::Row;
use super::value::{self, DayPart, MAX_SHORT};
use crate::model::clock::Timestamp;
use crate::model::contact::Consent;
use crate::model::country::Country;
use crate::model::number::{self, NumberKind, NumberWarning};
use crate::model::phone::Phone;
use crate::model::stage::Stage;

/// Distinct zone names remembered at once.
const MAX_ZONES: usize = 1_000;

/// The columns of a customer list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ContactField {
    /// The team's own key.
    CustomerId,
    /// The number to text; required.
    Phone,
    /// Given name.
    FirstName,
    /// Family name.
    LastName,
    /// E-mail address.
    Email,
    /// Language, with or without a region.
    Locale,
    /// IANA time zone.
    Zone,
    /// Country of the customer; tells how national phone numbers of the row are read.
    Country,
    /// Lifecycle stage.
    Stage,
    /// Tags between `|` or `,`.
    Tags,
    /// Yes or no.
    Consent,
    /// When consent was given.
    ConsentAt,
    /// When the customer came.
    CreatedAt,
}

impl Field for ContactField {
    const ALL: &'static [Self] = &[
        Self::CustomerId,
        Self::Phone,
        Self::FirstName,
        Self::LastName,
        Self::Email,
        Self::Locale,
        Self::Zone,
        Self::Country,
        Self::Stage,
        Self::Tags,
        Self::Consent,
        Self::ConsentAt,
        Self::CreatedAt,
    ];
    const EXTRA: Option<&'static str> = Some("attr.");

    fn word(self) -> &'static str {
        match self {
            Self::CustomerId => "customer_id",
            Self::Phone => "phone",
            Self::FirstName => "first_name",
            Self::LastName => "last_name",
            Self::Email => "email",
            Self::Locale => "locale",
            Self::Zone => "zone",
            Self::Country => "country",
            Self::Stage => "stage",
            Self::Tags => "tags",
            Self::Consent => "consent",
            Self::ConsentAt => "consent_at",
            Self::CreatedAt => "created_at",
        }
    }

    fn synonyms(self) -> &'static str {
        super::synonyms::contact(self)
    }
}

/// What holds for every row of a file.
#[derive(Clone, Debug)]
pub struct ContactOptions {
    /// Country of phone numbers that have no country code.
    pub country: Option<Country>,
    /// Zone of times that have none: the shop's.
    pub zone: TimeZone,
    /// When consent was given by rows that say yes and not when.
    pub consent_at: Option<Timestamp>,
    /// Today's end anywhere: consent that is dated later is a slip.
    pub latest_consent: Timestamp,
}

/// A contact as one row describes it. What is `None` or empty is not said
/// and leaves the stored value as it is. `Debug` shows the line only.
#[derive(Clone, PartialEq, Eq)]
pub struct ContactDraft {
    /// Where the row begins.
    pub line: u64,
    /// The team's own key.
    pub customer_id: Option<String>,
    /// The number, valid in its country's plan.
    pub phone: Phone,
    /// Country of the number; for numbers of no country, the one the row states.
    pub country: Option<Country>,
    /// Kind of the number. Kinds that must not be texted are kept: the plan skips them and says why.
    pub number_kind: NumberKind,
    /// What was mended or left out while reading the number.
    pub number_warning: Option<NumberWarning>,
    /// Given name.
    pub first_name: Option<String>,
    /// Family name.
    pub last_name: Option<String>,
    /// E-mail address as written.
    pub email: Option<String>,
    /// Language tag such as `en` or `pt-BR`.
    pub locale: Option<String>,
    /// IANA name of the time zone.
    pub zone: Option<String>,
    /// Lifecycle stage.
    pub stage: Option<Stage>,
    /// Tags to add, sorted, each once.
    pub tags: Vec<String>,
    /// Consent, if stated.
    pub consent: Consent,
    /// When the customer came.
    pub created_at: Option<Timestamp>,
    /// JSON object of attributes to set, keys sorted, every value a text.
    pub attrs: String,
}

impl std::fmt::Debug for ContactDraft {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ContactDraft").field("line", &self.line).finish_non_exhaustive()
    }
}

/// Reads the rows of one customer list.
#[derive(Debug)]
pub struct ContactReader {
    columns: Columns<ContactField>,
    options: ContactOptions,
    zones: HashMap<String, Option<String>>,
}

impl ContactReader {
    /// Finds the columns of the list.
    ///
    /// # Errors
    /// When no column, or more than one, is the phone, or other columns cannot be told apart.
    pub fn new(headers: &[String], mapping: &Mapping, options: ContactOptions) -> Result<Self, HeaderError> {
        let columns = Columns::find(headers, mapping)?;
        columns.require(ContactField::Phone, headers)?;
        Ok(Self { columns, options, zones: HashMap::new() })
    }

    /// Which column is what.
    pub fn columns(&self) -> &Columns<ContactField> {
        &self.columns
    }

    /// Reads one row.
    ///
    /// # Errors
    /// Why the row is rejected: the first reason found, those of its form, the country and the phone before others.
    pub fn read(&mut self, row: &Row) -> Result<ContactDraft, Reason> {
        if let Some(field) = self.columns.broken(row) {
            return Err(Reason::LineBreak { column: field.word() });
        }
        let stated = country(self.field(row, ContactField::Country))?;
        let default = stated.or(self.options.country);
        let number = number::parse(&value::clean(self.field(row, ContactField::Phone)), default)?;
        if !number.valid {
            return Err(Reason::PhoneInvalid);
        }
        Ok(ContactDraft {
            line: row.line(),
            customer_id: self.short(row, ContactField::CustomerId)?,
            phone: number.phone,
            country: number.region.or(stated),
            number_kind: number.kind,
            number_warning: number.warning,
            first_name: self.short(row, ContactField::FirstName)?,
            last_name: self.short(row, ContactField::LastName)?,
            email: self.short(row, ContactField::Email)?,
            locale: locale(self.field(row, ContactField::Locale))?,
            zone: self.zone(row)?,
            stage: stage(self.field(row, ContactField::Stage))?,
            tags: tags(self.field(row, ContactField::Tags))?,
            consent: self.consent(row)?,
            created_at: self.time(row, ContactField::CreatedAt)?,
            attrs: extras::object(self.columns.extras(), row)?,
        })
    }

    fn field<'r>(&self, row: &'r Row, field: ContactField) -> &'r str {
        self.columns.get(field).map_or("", |at| row.get(at))
    }

    fn short(&self, row: &Row, field: ContactField) -> Result<Option<String>, Reason> {
        let too_long = |_| Reason::TooLong { column: field.word().to_owned() };
        value::text(self.field(row, field), MAX_SHORT).map_err(too_long)
    }

    fn time(&self, row: &Row, field: ContactField) -> Result<Option<Timestamp>, Reason> {
        let raw = self.field(row, field);
        if raw.trim().is_empty() {
            return Ok(None);
        }
        let unreadable = |_| Reason::Time { column: field.word() };
        value::time(raw, &self.options.zone, DayPart::Start).map(Some).map_err(unreadable)
    }

    /// A no wins over a time beside it; a yes needs a time, its own or the file's.
    fn consent(&self, row: &Row) -> Result<Consent, Reason> {
        let told = self.told_consent(row)?;
        let ahead = told.at().is_some_and(|at| at > self.options.latest_consent);
        if ahead { Err(Reason::ConsentAhead) } else { Ok(told) }
    }

    fn told_consent(&self, row: &Row) -> Result<Consent, Reason> {
        let at = self.time(row, ContactField::ConsentAt)?;
        let given = at.map_or(Consent::Unstated, Consent::Given);
        let word = fold(self.field(row, ContactField::Consent));
        if word.is_empty() {
            return Ok(given);
        }
        match super::synonyms::yes_or_no(&word) {
            Some(true) => at.or(self.options.consent_at).map(Consent::Given).ok_or(Reason::ConsentUndated),
            Some(false) => Ok(Consent::Denied),
            None => Err(Reason::Consent),
        }
    }

    fn zone(&mut self, row: &Row) -> Result<Option<String>, Reason> {
        let raw = value::clean(self.field(row, ContactField::Zone));
        if raw.is_empty() {
            return Ok(None);
        }
        if let Some(known) = self.zones.get(raw.as_ref()) {
            return known.clone().map(Some).ok_or(Reason::Zone);
        }
        if self.zones.len() >= MAX_ZONES {
            self.zones.clear();
        }
        let found = TimeZone::get(&raw).ok().and_then(|zone| zone.iana_name().map(str::to_owned));
        self.zones.insert(raw.into_owned(), found.clone());
        found.map(Some).ok_or(Reason::Zone)
    }
}

/// Two letters; the `UK` and `EL` of everyday use are the `GB` and `GR` of ISO 3166.
pub(super) fn country(raw: &str) -> Result<Option<Country>, Reason> {
    let code = value::clean(raw).to_ascii_uppercase();
    let code = match code.as_str() {
        "" => return Ok(None),
        "UK" => "GB",
        "EL" => "GR",
        other => other,
    };
    code.parse().map(Some).map_err(|_| Reason::Country)
}

/// A language tag (BCP 47: language, script, region) in its usual letter case.
fn locale(raw: &str) -> Result<Option<String>, Reason> {
    let clean = value::clean(raw);
    if clean.is_empty() {
        return Ok(None);
    }
    let mut parts = clean.split(['-', '_']);
    let letters = |part: &str, least, most| {
        (least..=most).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_alphabetic())
    };
    let language = parts.next().filter(|part| letters(part, 2, 3)).ok_or(Reason::Locale)?;
    let mut tag = language.to_ascii_lowercase();
    for part in parts {
        let digits = part.len() == 3 && part.bytes().all(|byte| byte.is_ascii_digit());
        tag.push('-');
        if letters(part, 4, 4) && tag.len() == language.len() + 1 {
            tag.push_str(&part[..1].to_ascii_uppercase());
            tag.push_str(&part[1..].to_ascii_lowercase());
        } else if letters(part, 2, 2) || digits {
            tag.push_str(&part.to_ascii_uppercase());
        } else {
            return Err(Reason::Locale);
        }
    }
    Ok(Some(tag))
}

fn stage(raw: &str) -> Result<Option<Stage>, Reason> {
    let clean = value::clean(raw);
    if clean.is_empty() {
        return Ok(None);
    }
    Stage::from_word(&clean.to_ascii_lowercase()).map(Some).ok_or(Reason::Stage)
}

fn tags(raw: &str) -> Result<Vec<String>, Reason> {
    let mut tags = Vec::new();
    for part in raw.split(['|', ',']) {
        let tag = value::text(part, MAX_SHORT).map_err(|_| Reason::TooLong { column: "tags".to_owned() })?;
        tags.extend(tag);
    }
    tags.sort();
    tags.dedup();
    Ok(tags)
}

#[cfg(test)]
#[path = "contact_tests.rs"]
mod tests;

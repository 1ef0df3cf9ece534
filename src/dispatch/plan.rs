//! A dry run over the real audience: who, who not and why, what it costs, when it would be done, and a hash of it all.
//!
//! It writes nothing. Launch runs the same preparation again and refuses when the hash no longer holds.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde::Serialize;
use sha2::{Digest as _, Sha256};

use crate::campaign::law::Rules;
use crate::campaign::schedule::ScheduleKey;
use crate::model::clock::Timestamp;
use crate::model::hex::hex;
use crate::model::money::Micros;
use crate::segment::SegmentError;
use crate::store::runs::PlannedMessage;
use crate::store::segments::AudienceRow;
use crate::store::{Store, StoreError};

use super::audience::{Audience, Codes};
use super::finish::Load;
use super::prepare::{NO_CODE_NEEDED, Prepared, Preparer, Skip, TextsError};
use super::terms::{Terms, TermsError};

/// Longest texts that a plan shows.
const LONGEST: usize = 3;

/// A plan, as printed and approved.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Plan {
    /// What a launch may be bound to.
    pub hash: String,
    /// Hash over everybody who would be texted were there no cap.
    #[serde(skip)]
    pub audience_hash: String,
    /// The campaign.
    pub campaign: String,
    /// The instant the segment was asked at.
    #[serde(serialize_with = "Timestamp::as_text")]
    pub as_of: Timestamp,
    /// Contacts in the segment.
    pub audience: i64,
    /// Messages that would be sent.
    pub messages: i64,
    /// Their parts.
    pub parts: i64,
    /// Their cost.
    #[serde(serialize_with = "Micros::as_text")]
    pub cost: Micros,
    /// The currency of cost and budget.
    pub currency: String,
    /// Most that may be spent.
    #[serde(serialize_with = "Micros::as_text")]
    pub budget: Option<Micros>,
    /// Contacts that are not texted, by reason.
    pub skipped: BTreeMap<String, i64>,
    /// Messages by encoding.
    pub encodings: BTreeMap<&'static str, i64>,
    /// Messages by number of parts.
    pub parts_each: BTreeMap<u16, i64>,
    /// Messages by language.
    pub languages: BTreeMap<String, i64>,
    /// Messages, parts and cost by route and country.
    pub lines: Vec<PlanLine>,
    /// Coupon codes.
    pub coupons: Option<PlanCoupons>,
    /// The longest texts, codes hidden.
    pub longest: Vec<LongText>,
    /// When the first may go.
    #[serde(serialize_with = "Timestamp::as_text")]
    pub starts_at: Option<Timestamp>,
    /// When the last would have gone, under limits and windows.
    #[serde(serialize_with = "Timestamp::as_text")]
    pub finishes_at: Option<Timestamp>,
    /// Messages that would not make it before the campaign ends.
    pub too_late: i64,
}

impl Plan {
    /// Contacts left out because they had enough texts.
    pub fn capped(&self) -> i64 {
        self.skipped.get(&Skip::Capped.words()).copied().unwrap_or(0)
    }

    /// Whether it may be launched, and if not, why and what to do.
    ///
    /// # Errors
    /// The first reason against it.
    pub fn ready(&self) -> Result<(), NotReady> {
        if self.messages == 0 {
            return Err(NotReady::Nobody);
        }
        if let Some(coupons) = &self.coupons
            && coupons.available < coupons.needed
        {
            let missing = coupons.needed - coupons.available;
            return Err(NotReady::Coupons { pool: coupons.pool.clone(), missing });
        }
        match self.budget {
            Some(budget) if budget < self.cost => {
                Err(NotReady::Budget { cost: self.cost, budget, currency: self.currency.clone() })
            }
            _ => Ok(()),
        }
    }
}

/// Why a plan cannot be launched.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotReady {
    /// Nobody would be texted.
    #[error(
        "nobody would be texted; `winback plan` shows who is in the segment and why each contact is left out"
    )]
    Nobody,
    /// The pool is too small.
    #[error("pool {pool} misses {missing} codes; add them with `winback coupon generate` or `import`")]
    Coupons {
        /// Which pool.
        pool: String,
        /// How many.
        missing: i64,
    },
    /// The budget does not cover it.
    #[error(
        "it would cost {cost} {currency}, the budget is {budget} {currency}; raise limits.budget or narrow the segment"
    )]
    Budget {
        /// What it would cost.
        cost: Micros,
        /// What it may cost.
        budget: Micros,
        /// The currency.
        currency: String,
    },
}

/// Messages of one route to one country.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PlanLine {
    /// The route.
    pub route: String,
    /// The country.
    pub country: String,
    /// How many.
    pub messages: i64,
    /// Their parts.
    pub parts: i64,
    /// Their cost.
    #[serde(serialize_with = "Micros::as_text")]
    pub cost: Micros,
}

/// What a plan needs from its pool.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PlanCoupons {
    /// The pool.
    pub pool: String,
    /// Codes needed, those of contacts left out for want of one included.
    pub needed: i64,
    /// Codes there.
    pub available: i64,
}

/// One of the longest texts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LongText {
    /// Whose it is.
    pub contact: i64,
    /// Its parts.
    pub parts: u16,
    /// Its units.
    pub units: u32,
    /// Its encoding.
    pub encoding: &'static str,
    /// The text, its code hidden.
    pub text: String,
}

/// Why there is no plan.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The terms.
    #[error(transparent)]
    Terms(#[from] TermsError),
    /// The texts.
    #[error(transparent)]
    Texts(#[from] TextsError),
    /// The segment.
    #[error("{0}")]
    Segment(Box<SegmentError>),
}

impl From<SegmentError> for PlanError {
    fn from(error: SegmentError) -> Self {
        Self::Segment(Box::new(error))
    }
}

/// Makes the plan of a campaign. `progress` is told how many contacts were looked at, of how many.
///
/// # Errors
/// When the campaign cannot be planned at all; contacts that cannot be texted are counted, not errors.
pub async fn plan(
    store: &Store,
    terms: &Terms,
    rules: &Rules,
    now: Timestamp,
    mut progress: impl FnMut(i64, i64),
) -> Result<Plan, PlanError> {
    let mut preparer = Preparer::new(terms, rules, now)?;
    let audience = Audience::new(store, terms, 0)?;
    let total = audience.count().await?;
    let mut codes = Codes::new(store, terms);
    let mut sums = Sums::new(terms.fingerprint()?);
    let mut pages = audience.read_ahead();
    while let Some(page) = pages.next().await? {
        for row in &page {
            let code = codes.peek().await?;
            let capped = preparer.is_capped(row);
            let prepared = preparer.prepare(row, code);
            let spends = prepared.is_ok() && !capped;
            sums.add(row, &prepared, code.map(|code| code.text), capped);
            if spends {
                codes.spend();
            }
        }
        progress(sums.audience, total);
    }
    let windows: HashMap<&str, (Timestamp, Timestamp)> =
        preparer.windows().map(|(key, interval)| (key.as_str(), interval)).collect();
    let finish = super::finish::estimate(&sums.loads, &windows, terms, rules);
    let available = match &terms.pool {
        Some(pool) => Some(store.pool_counts(pool.id).await?.available),
        None => None,
    };
    Ok(sums.plan(terms, available, finish))
}

/// What a plan adds up, flat in the size of the audience.
#[derive(Clone)]
pub(super) struct Sums {
    /// Over every message.
    digest: Sha256,
    /// Over every message, and what would be one were there no cap.
    uncapped: Sha256,
    audience: i64,
    messages: i64,
    parts: i64,
    cost: Micros,
    without_code: i64,
    skipped: BTreeMap<Skip, i64>,
    encodings: BTreeMap<&'static str, i64>,
    parts_each: BTreeMap<u16, i64>,
    languages: BTreeMap<String, i64>,
    lines: BTreeMap<(String, String), (i64, i64, Micros)>,
    longest: BTreeSet<(u16, u32, i64, &'static str, String)>,
    /// Parts by route and window.
    loads: BTreeMap<(String, String), Load>,
}

impl Sums {
    pub(super) fn new(digest: Sha256) -> Self {
        Self {
            uncapped: digest.clone(),
            digest,
            audience: 0,
            messages: 0,
            parts: 0,
            cost: Micros(0),
            without_code: 0,
            skipped: BTreeMap::new(),
            encodings: BTreeMap::new(),
            parts_each: BTreeMap::new(),
            languages: BTreeMap::new(),
            lines: BTreeMap::new(),
            longest: BTreeSet::new(),
            loads: BTreeMap::new(),
        }
    }

    pub(super) fn add(
        &mut self,
        row: &AudienceRow,
        prepared: &Result<Prepared, Skip>,
        code: Option<&str>,
        capped: bool,
    ) {
        self.audience += 1;
        let prepared = match prepared {
            Ok(prepared) => prepared,
            Err(skip) => {
                self.without_code += i64::from(*skip == Skip::NoCode);
                *self.skipped.entry(skip.clone()).or_default() += 1;
                return;
            }
        };
        let message = &prepared.message;
        let code = code.unwrap_or(NO_CODE_NEEDED.text);
        digest(&mut self.uncapped, row, message, code);
        if capped {
            *self.skipped.entry(Skip::Capped).or_default() += 1;
            return;
        }
        digest(&mut self.digest, row, message, code);
        let shown = hide(&message.body, message.coupon.map(|_| code));
        self.messages += 1;
        let parts = i64::from(message.parts);
        self.parts += parts;
        self.cost = self.cost.plus(message.price);
        *self.encodings.entry(message.encoding.as_str()).or_default() += 1;
        *self.parts_each.entry(message.parts).or_default() += 1;
        count(&mut self.languages, &prepared.language);
        let line = self.lines.entry((message.route.clone(), message.country.clone())).or_default();
        *line = (line.0 + 1, line.1 + parts, line.2.plus(message.price));
        let load = self.loads.entry((message.route.clone(), message.window.clone())).or_default();
        load.messages += 1;
        load.parts += parts;
        let rank = (message.parts, prepared.units, -row.contact.id.0, message.encoding.as_str());
        let enters = self.longest.len() < LONGEST
            || self
                .longest
                .first()
                .is_some_and(|least| (least.0, least.1, least.2) < (rank.0, rank.1, rank.2));
        if enters {
            self.longest.insert((rank.0, rank.1, rank.2, rank.3, shown));
            if self.longest.len() > LONGEST {
                self.longest.pop_first();
            }
        }
    }

    /// The hash of every message added so far.
    pub(super) fn hash(&self) -> String {
        hex(&self.digest.clone().finalize()[..8])
    }

    /// The same, with what would be a message were there no cap.
    pub(super) fn audience_hash(&self) -> String {
        hex(&self.uncapped.clone().finalize()[..8])
    }

    fn plan(self, terms: &Terms, available: Option<i64>, finish: super::finish::Finish) -> Plan {
        let (hash, audience_hash) = (self.hash(), self.audience_hash());
        let needed = self.messages + self.without_code;
        let coupons = terms.pool.as_ref().zip(available);
        Plan {
            hash,
            audience_hash,
            campaign: terms.definition.name.clone(),
            as_of: terms.as_of.unwrap_or(terms.launched_at),
            audience: self.audience,
            messages: self.messages,
            parts: self.parts,
            cost: self.cost,
            currency: terms.currency.clone(),
            budget: terms.definition.limits.budget.as_ref().map(|budget| budget.amount),
            skipped: self.skipped.into_iter().map(|(skip, n)| (skip.words(), n)).collect(),
            encodings: self.encodings,
            parts_each: self.parts_each,
            languages: self.languages,
            lines: self
                .lines
                .into_iter()
                .map(|((route, country), (messages, parts, cost))| PlanLine {
                    route,
                    country,
                    messages,
                    parts,
                    cost,
                })
                .collect(),
            coupons: coupons.map(|(pool, available)| PlanCoupons {
                pool: pool.name.clone(),
                needed,
                available,
            }),
            longest: self
                .longest
                .into_iter()
                .rev()
                .map(|(parts, units, contact, encoding, text)| LongText {
                    contact: -contact,
                    parts,
                    units,
                    encoding,
                    text,
                })
                .collect(),
            starts_at: finish.starts_at,
            finishes_at: finish.finishes_at,
            too_late: finish.too_late,
        }
    }
}

/// Adds a message to a hash. Another code must not change it.
fn digest(into: &mut Sha256, row: &AudienceRow, message: &PlannedMessage, code: &str) {
    into.update(row.contact.id.0.to_le_bytes());
    let text = match message.coupon {
        Some(_) if !code.is_empty() => message.body.replace(code, "•"),
        _ => message.body.clone(),
    };
    for piece in [&message.route, &message.sender, &message.country, &message.window, &text] {
        into.update(piece.as_bytes());
        into.update([0]);
    }
    into.update(message.price.0.to_le_bytes());
}

/// A text without its code: a plan must not give codes away.
fn hide(body: &str, code: Option<&str>) -> String {
    match code {
        Some(code) if !code.is_empty() => body.replace(code, &"•".repeat(code.chars().count())),
        _ => body.to_owned(),
    }
}

fn count(sums: &mut BTreeMap<String, i64>, key: &str) {
    match sums.get_mut(key) {
        Some(n) => *n += 1,
        None => {
            sums.insert(key.to_owned(), 1);
        }
    }
}

/// The key of a window as the calendar wants it.
pub(super) fn schedule_key(text: &str) -> ScheduleKey {
    ScheduleKey::from_text(text)
}

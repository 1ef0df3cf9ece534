//! One batch of told contacts against what is stored: look up, join in memory, write only what changed.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

use serde::Serialize;

use super::{
    ALL_BY_CUSTOMER, ALL_BY_PHONE, INSERT, INSERT_TAGS, LINK_EVENTS, PARK_PHONES, TAGS_OF, UPDATE,
    UPDATE_KEYS,
};
use super::{Joining, contact, stored_phone, take_turn};
use crate::model::clock::Timestamp;
use crate::model::contact::ContactRecord;
use crate::model::ids::ContactId;
use crate::model::phone::Phone;
use crate::store::connection::{Tx, args};
use crate::store::{Store, StoreError, rows};

/// Most contacts that one call takes.
pub const MOST_CONTACTS: usize = 2_000;

/// What became of one told contact.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Written {
    /// Nobody had its key or number.
    Inserted,
    /// It told something new.
    Updated,
    /// Everything was known.
    Unchanged,
    /// Its key and its number belong to two different people; nothing was written.
    Conflict,
}

/// What became of a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upserted {
    /// One answer for each record, in the order given.
    pub written: Vec<Written>,
    /// Waiting events that found their contact.
    pub linked: u64,
}

impl Upserted {
    /// How many records had this answer.
    pub fn count(&self, what: Written) -> usize {
        self.written.iter().filter(|written| **written == what).count()
    }
}

impl Store {
    /// Writes up to [`MOST_CONTACTS`] told contacts in one transaction. A contact is found by its key, else by its
    /// number; [`ContactRecord::take_over`] joins what was told. A known key brings a new number along if that is
    /// free. A number never changes its key: that, and a key and number of two people, is a conflict. Events that
    /// waited for a key are joined to its contact. The same batch again changes nothing.
    ///
    /// # Errors
    /// When the batch is too large, holds NUL characters, or the store cannot be written.
    pub async fn upsert_contacts(
        &self,
        records: &[ContactRecord],
        now: Timestamp,
    ) -> Result<Upserted, StoreError> {
        rows::refuse_more_than(MOST_CONTACTS, records.len())?;
        let mut tx = self.begin().await?;
        take_turn(&mut tx, &Joining::Contacts).await?;
        let mut ledger = Ledger::default();
        load(&mut tx, records, &mut ledger).await?;
        let written = records.iter().map(|record| ledger.tell(record)).collect();
        let linked = write(&mut tx, &mut ledger.people, now).await?;
        tx.commit().await?;
        Ok(Upserted { written, linked })
    }

    /// What [`Store::upsert_contacts`] would answer for each record; writes nothing.
    ///
    /// # Errors
    /// When the batch is too large or the store cannot be read.
    pub async fn rehearse_contacts(&self, records: &[ContactRecord]) -> Result<Vec<Written>, StoreError> {
        rows::refuse_more_than(MOST_CONTACTS, records.len())?;
        let mut tx = self.begin().await?;
        let mut ledger = Ledger::default();
        load(&mut tx, records, &mut ledger).await?;
        tx.rollback().await?;
        Ok(records.iter().map(|record| ledger.tell(record)).collect())
    }
}

/// A person as this batch leaves them.
struct Person<'a> {
    id: Option<ContactId>,
    /// As it is stored, none if it is not; compared at the end, so that to and fro is no change.
    stored: Option<ContactRecord>,
    record: Cow<'a, ContactRecord>,
}

/// Everybody whom a batch may concern.
#[derive(Default)]
struct Ledger<'a> {
    people: Vec<Person<'a>>,
    by_phone: HashMap<Phone, usize>,
    by_customer: HashMap<String, usize>,
}

impl<'a> Ledger<'a> {
    fn add(&mut self, id: Option<ContactId>, record: Cow<'a, ContactRecord>) {
        let at = self.people.len();
        self.by_phone.insert(record.phone, at);
        if let Some(customer_id) = &record.customer_id {
            self.by_customer.insert(customer_id.clone(), at);
        }
        let stored = id.map(|_| record.as_ref().clone());
        self.people.push(Person { id, stored, record });
    }

    fn tell(&mut self, told: &'a ContactRecord) -> Written {
        let keyed = told.customer_id.as_ref().and_then(|id| self.by_customer.get(id)).copied();
        let numbered = self.by_phone.get(&told.phone).copied();
        let at = match (keyed, numbered) {
            (None, None) => {
                self.add(None, Cow::Borrowed(told));
                return Written::Inserted;
            }
            (Some(a), Some(b)) if a != b => return Written::Conflict,
            (None, Some(b)) if told.customer_id.is_some() && self.people[b].record.customer_id.is_some() => {
                return Written::Conflict;
            }
            (Some(at), _) | (None, Some(at)) => at,
        };
        let record = self.people[at].record.to_mut();
        let old_phone = record.phone;
        if !record.take_over(told) {
            return Written::Unchanged;
        }
        self.by_phone.remove(&old_phone);
        self.by_phone.insert(told.phone, at);
        if let Some(customer_id) = &told.customer_id {
            self.by_customer.insert(customer_id.clone(), at);
        }
        Written::Updated
    }
}

/// Brings in everybody who has one of the numbers or keys, with tags if tags are told.
async fn load<'a>(
    tx: &mut Tx,
    records: &'a [ContactRecord],
    ledger: &mut Ledger<'a>,
) -> Result<(), StoreError> {
    let mut phones: Vec<i64> = records.iter().map(|record| stored_phone(record.phone)).collect();
    phones.sort_unstable();
    let mut found = HashMap::new();
    for row in tx.rows(ALL_BY_PHONE, args![rows::json(&phones)?]).await? {
        let contact = contact(&row)?;
        found.insert(contact.id, contact.record);
    }
    let known: HashSet<&str> = found.values().filter_map(|record| record.customer_id.as_deref()).collect();
    let keys = records.iter().filter_map(|record| record.customer_id.as_deref());
    let mut keys: Vec<[&str; 1]> = keys.filter(|key| !known.contains(key)).map(|key| [key]).collect();
    keys.sort_unstable();
    keys.dedup();
    if !keys.is_empty() {
        for row in tx.rows(ALL_BY_CUSTOMER, args![rows::json(&keys)?]).await? {
            let contact = contact(&row)?;
            found.insert(contact.id, contact.record);
        }
    }
    if !found.is_empty() && records.iter().any(|record| !record.tags.is_empty()) {
        let ids: Vec<ContactId> = found.keys().copied().collect();
        for row in tx.rows(TAGS_OF, args![rows::json(&ids)?]).await? {
            if let Some(record) = found.get_mut(&ContactId(row.int(0)?)) {
                record.tags.push(row.text(1)?);
            }
        }
    }
    for (id, record) in found {
        ledger.add(Some(id), Cow::Owned(record));
    }
    Ok(())
}

/// Writes whoever differs from what is stored, in the order of their numbers: neighbours share index pages.
async fn write(tx: &mut Tx, people: &mut [Person<'_>], now: Timestamp) -> Result<u64, StoreError> {
    people.sort_unstable_by_key(|person| person.record.phone);
    let (mut updated, mut inserted, mut moved, mut parked) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let (mut tags, mut keys) = (Vec::new(), Vec::new());
    for Person { id, stored, record } in people.iter() {
        let stored = stored.as_ref();
        if stored == Some(record.as_ref()) {
            continue;
        }
        let phone = stored_phone(record.phone);
        let lines = if id.is_some() { &mut updated } else { &mut inserted };
        lines.push(Line::of(record, *id)?);
        tags.extend(record.tags.iter().map(|tag| (phone, tag.as_str())));
        let key = record.customer_id.as_deref();
        let keyed = stored.is_some_and(|stored| stored.customer_id.is_some());
        let numbered = stored.is_none_or(|stored| stored.phone == record.phone);
        keys.extend(key.filter(|_| !keyed).map(|key| [key]));
        if let Some(id) = id {
            if !numbered {
                parked.push(id);
            }
            if !numbered || (!keyed && key.is_some()) {
                moved.push((id, key, phone));
            }
        }
    }
    run(tx, PARK_PHONES, &parked, None).await?;
    run(tx, UPDATE_KEYS, &moved, None).await?;
    run(tx, UPDATE, &updated, Some(now)).await?;
    run(tx, INSERT, &inserted, Some(now)).await?;
    run(tx, INSERT_TAGS, &tags, None).await?;
    run(tx, LINK_EVENTS, &keys, None).await
}

async fn run<T: Serialize>(
    tx: &mut Tx,
    sql: &'static str,
    rows: &[T],
    now: Option<Timestamp>,
) -> Result<u64, StoreError> {
    if rows.is_empty() {
        return Ok(0);
    }
    let mut args = args![rows::json(rows)?];
    args.extend(now.map(|now| now.0.into()));
    tx.run(sql, args).await
}

/// A row of `UPDATE` and `INSERT`; serialised as an array in this order.
#[derive(Serialize)]
struct Line<'a>(
    i64,
    Option<&'a str>,
    Option<&'a str>,
    &'a str,
    Option<&'a str>,
    Option<&'a str>,
    Option<&'a str>,
    Option<&'a str>,
    Option<&'a str>,
    Option<&'static str>,
    Option<Timestamp>,
    String,
    Option<Timestamp>,
    Option<ContactId>,
);

impl<'a> Line<'a> {
    fn of(record: &'a ContactRecord, id: Option<ContactId>) -> Result<Self, StoreError> {
        let attrs = record.attrs.to_json();
        rows::refuse_nul(&attrs)?;
        Ok(Self(
            stored_phone(record.phone),
            record.customer_id.as_deref(),
            record.country.as_deref(),
            &record.number_kind,
            record.first_name.as_deref(),
            record.last_name.as_deref(),
            record.email.as_deref(),
            record.locale.as_deref(),
            record.zone.as_deref(),
            record.stage.map(crate::model::stage::Stage::as_str),
            record.consent.at(),
            attrs,
            record.created_at,
            id,
        ))
    }
}

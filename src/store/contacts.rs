//! Contacts and their tags: imports in batches, look-ups by number and by the shop's key.
//!
//! It stores what [`ContactRecord::take_over`] answers and never decides itself what newer knowledge is worth.

mod upsert;

use super::connection::{Row, Tx, args};
use super::dialect::{Pair, statements};
use super::{Store, StoreError, rows};
use crate::model::attributes::Attributes;
use crate::model::clock::Timestamp;
use crate::model::contact::{Consent, Contact, ContactRecord};
use crate::model::ids::ContactId;
use crate::model::phone::Phone;
use crate::model::stage::Stage;

pub use upsert::{MOST_CONTACTS, Upserted, Written};

/// The columns that [`contact`] reads, in its order.
macro_rules! contact_columns {
    () => {
        "c.id, c.customer_id, c.phone, c.country, c.number_kind, c.first_name, c.last_name, c.email, c.locale, \
         c.zone, c.stage, c.consent_at, c.attrs, c.unreachable_at, c.created_at, c.updated_at"
    };
}
pub(super) use contact_columns;

impl Store {
    /// The contact with this number.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn contact_by_phone(&self, phone: Phone) -> Result<Option<Contact>, StoreError> {
        let rows = self.pools.read(BY_PHONE, args![stored_phone(phone)]).await?;
        self.first_with_tags(&rows).await
    }

    /// The contact with this key of the shop.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn contact_by_customer_id(&self, customer_id: &str) -> Result<Option<Contact>, StoreError> {
        let rows = self.pools.read(BY_CUSTOMER, args![customer_id]).await?;
        self.first_with_tags(&rows).await
    }

    /// How many contacts there are.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn contact_count(&self) -> Result<i64, StoreError> {
        self.pools.read(COUNT, vec![]).await?.first().ok_or(StoreError::NoRow)?.int(0)
    }

    async fn first_with_tags(&self, rows: &[Row]) -> Result<Option<Contact>, StoreError> {
        let Some(row) = rows.first() else { return Ok(None) };
        let mut contact = contact(row)?;
        let list = rows::json(&[contact.id])?;
        for row in self.pools.read(TAGS_OF, args![list]).await? {
            contact.record.tags.push(row.text(1)?);
        }
        Ok(Some(contact))
    }
}

/// Keeps what joins events to contacts in one order on PostgreSQL, where several nodes may import at once: a contact
/// must not become visible while an event of the same customer is being stored as waiting.
pub(super) enum Joining {
    /// Contacts are written: alone.
    Contacts,
    /// Events are written: together with other events.
    Events,
}

/// Waits for the turn; SQLite has one writer and needs no wait.
pub(super) async fn take_turn(tx: &mut Tx, joining: &Joining) -> Result<(), StoreError> {
    let pair = match joining {
        Joining::Contacts => CONTACTS_TURN,
        Joining::Events => EVENTS_TURN,
    };
    tx.rows_of(pair, vec![]).await?;
    Ok(())
}

/// Reads a row of `contact_columns!`; tags are not in it.
pub(super) fn contact(row: &Row) -> Result<Contact, StoreError> {
    let record = ContactRecord {
        customer_id: row.opt_text(1)?,
        phone: read_phone(row.int(2)?)?,
        country: row.opt_text(3)?,
        number_kind: row.text(4)?,
        first_name: row.opt_text(5)?,
        last_name: row.opt_text(6)?,
        email: row.opt_text(7)?,
        locale: row.opt_text(8)?,
        zone: row.opt_text(9)?,
        stage: row.opt_text(10)?.map(read_stage).transpose()?,
        consent: row.opt_int(11)?.map_or(Consent::Unstated, |at| Consent::Given(Timestamp(at))),
        tags: Vec::new(),
        created_at: Some(Timestamp(row.int(14)?)),
        attrs: Attributes::from_json(&row.text(12)?)?,
    };
    Ok(Contact {
        id: ContactId(row.int(0)?),
        record,
        unreachable_at: row.opt_int(13)?.map(Timestamp),
        updated_at: Timestamp(row.int(15)?),
    })
}

/// The stored form of a number.
pub(super) fn stored_phone(phone: Phone) -> i64 {
    i64::try_from(phone.digits()).expect("a number has at most fifteen digits")
}

/// Reads the stored form of a number; an error never shows it.
pub(super) fn read_phone(stored: i64) -> Result<Phone, StoreError> {
    let phone = u64::try_from(stored).ok().and_then(Phone::from_digits);
    phone.ok_or_else(|| StoreError::Word { what: "phone number", word: "…".to_owned() })
}

pub(super) fn read_stage(word: String) -> Result<Stage, StoreError> {
    Stage::from_word(&word).ok_or(StoreError::Word { what: "stage", word })
}

/// Any number will do; it must be the same in both and used by nothing else.
const CONTACTS_TURN: Pair = Pair { sqlite: "SELECT 1", postgres: "SELECT pg_advisory_xact_lock(8480001)" };
const EVENTS_TURN: Pair =
    Pair { sqlite: "SELECT 1", postgres: "SELECT pg_advisory_xact_lock_shared(8480001)" };

statements! {
    BY_PHONE = concat!("SELECT ", contact_columns!(), " FROM contacts AS c WHERE c.phone = CAST($1 AS BIGINT)");
    BY_CUSTOMER = concat!("SELECT ", contact_columns!(), " FROM contacts AS c WHERE c.customer_id = $1");
    COUNT = "SELECT count(*) FROM contacts";
    /// `$1` ids.
    TAGS_OF = "SELECT t.contact_id, t.tag FROM jsonb_each(CAST($1 AS TEXT)) AS j CROSS JOIN contact_tags AS t \
               WHERE t.contact_id = CAST(j.value AS BIGINT) ORDER BY t.contact_id, t.tag";
    /// `$1` numbers. CROSS JOIN keeps SQLite from walking all contacts when its statistics are old.
    ALL_BY_PHONE = concat!(
        "SELECT ", contact_columns!(), " FROM jsonb_each(CAST($1 AS TEXT)) AS j CROSS JOIN contacts AS c ",
        "WHERE c.phone = CAST(j.value AS BIGINT)"
    );
    /// `$1` rows of one key.
    ALL_BY_CUSTOMER = concat!(
        "SELECT ", contact_columns!(), " FROM jsonb_each(CAST($1 AS TEXT)) AS j CROSS JOIN contacts AS c ",
        "WHERE c.customer_id = j.value ->> 0"
    );
    /// Takes numbers away from contacts that get another one, so that they can change hands. `$1` ids.
    PARK_PHONES = "UPDATE contacts SET phone = -id \
                   WHERE id IN (SELECT CAST(j.value AS BIGINT) FROM jsonb_each(CAST($1 AS TEXT)) AS j)";
    /// Gives contacts their key and number. `$1` rows of id, key, number. A new number has not been found unreachable
    /// yet.
    UPDATE_KEYS = "UPDATE contacts SET customer_id = u.customer_id, phone = u.phone, \
                     unreachable_at = CASE WHEN contacts.phone = u.phone THEN contacts.unreachable_at END \
                   FROM (SELECT CAST(j.value ->> 0 AS BIGINT) AS id, j.value ->> 1 AS customer_id, \
                           CAST(j.value ->> 2 AS BIGINT) AS phone FROM jsonb_each(CAST($1 AS TEXT)) AS j) AS u \
                   WHERE contacts.id = u.id";
    /// Everything but the key and the number, whose indexes would be rewritten. `$1` rows as [`upsert`] writes them,
    /// `$2` now.
    UPDATE = "UPDATE contacts SET country = u.country, number_kind = u.number_kind, first_name = u.first_name, \
                last_name = u.last_name, email = u.email, locale = u.locale, zone = u.zone, stage = u.stage, \
                consent_at = u.consent_at, attrs = u.attrs, \
                created_at = COALESCE(u.created_at, contacts.created_at), updated_at = CAST($2 AS BIGINT) \
              FROM (SELECT j.value ->> 2 AS country, j.value ->> 3 AS number_kind, j.value ->> 4 AS first_name, \
                      j.value ->> 5 AS last_name, j.value ->> 6 AS email, j.value ->> 7 AS locale, \
                      j.value ->> 8 AS zone, j.value ->> 9 AS stage, \
                      CAST(j.value ->> 10 AS BIGINT) AS consent_at, j.value ->> 11 AS attrs, \
                      CAST(j.value ->> 12 AS BIGINT) AS created_at, CAST(j.value ->> 13 AS BIGINT) AS id \
                    FROM jsonb_each(CAST($1 AS TEXT)) AS j) AS u \
              WHERE contacts.id = u.id";
    /// `$1` rows, `$2` now.
    INSERT = "INSERT INTO contacts (phone, customer_id, country, number_kind, first_name, last_name, email, locale, \
                zone, stage, consent_at, attrs, created_at, updated_at) \
              SELECT CAST(j.value ->> 0 AS BIGINT), j.value ->> 1, j.value ->> 2, j.value ->> 3, j.value ->> 4, \
                j.value ->> 5, j.value ->> 6, j.value ->> 7, j.value ->> 8, j.value ->> 9, \
                CAST(j.value ->> 10 AS BIGINT), j.value ->> 11, \
                COALESCE(CAST(j.value ->> 12 AS BIGINT), CAST($2 AS BIGINT)), CAST($2 AS BIGINT) \
              FROM jsonb_each(CAST($1 AS TEXT)) AS j";
    /// `$1` rows of number and tag.
    INSERT_TAGS = "INSERT INTO contact_tags (contact_id, tag) \
                   SELECT c.id, j.value ->> 1 FROM jsonb_each(CAST($1 AS TEXT)) AS j CROSS JOIN contacts AS c \
                   WHERE c.phone = CAST(j.value ->> 0 AS BIGINT) ON CONFLICT (contact_id, tag) DO NOTHING";
    /// Joins waiting events to contacts whose key became known. `$1` rows of one key.
    LINK_EVENTS = "UPDATE events SET contact_id = \
                     (SELECT c.id FROM contacts AS c WHERE c.customer_id = events.customer_id) \
                   WHERE contact_id IS NULL AND customer_id IN \
                     (SELECT j.value ->> 0 FROM jsonb_each(CAST($1 AS TEXT)) AS j)";
}

/// The statements whose texts differ.
pub(super) const PAIRS: &[super::dialect::Named] = &[
    ("CONTACTS_TURN", CONTACTS_TURN.sqlite, CONTACTS_TURN.postgres),
    ("EVENTS_TURN", EVENTS_TURN.sqlite, EVENTS_TURN.postgres),
];

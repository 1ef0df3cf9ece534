//! Events: kept once, joined to their contact, waiting for it if it is not known yet.

use serde::Serialize;

use super::connection::args;
use super::contacts::{Joining, stored_phone, take_turn};
use super::dialect::statements;
use super::{Backend, Store, StoreError, rows};
use crate::model::clock::Timestamp;
use crate::model::event::EventRecord;
use crate::model::money::Micros;

/// What became of a batch of events. The counts, and the number of unknown ones, add up to the number given.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InsertedEvents {
    /// New, and joined to a contact.
    pub joined: u64,
    /// New, and waiting for a contact with their key.
    pub waiting: u64,
    /// Known before, or given twice; nothing changed.
    pub repeated: u64,
    /// Places, in the batch, of those of a number that nobody has, without a key to wait by; not kept. Import the
    /// contacts, then these again.
    pub unknown: Vec<usize>,
}

impl InsertedEvents {
    /// How many rows were added.
    pub fn inserted(&self) -> u64 {
        self.joined + self.waiting
    }
}

impl Store {
    /// Keeps up to [`rows::MOST_EVENTS`] events in one transaction, each once by kind and id. An event belongs to the
    /// contact with its key; else to the one with its number, unless that has another key.
    ///
    /// # Errors
    /// When the batch is too large, holds NUL characters, or the store cannot be written.
    pub async fn insert_events(&self, events: &[EventRecord]) -> Result<InsertedEvents, StoreError> {
        self.put_events(events, true).await
    }

    /// What [`Store::insert_events`] would answer; keeps nothing.
    ///
    /// # Errors
    /// As [`Store::insert_events`].
    pub async fn rehearse_events(&self, events: &[EventRecord]) -> Result<InsertedEvents, StoreError> {
        self.put_events(events, false).await
    }

    async fn put_events(&self, events: &[EventRecord], keep: bool) -> Result<InsertedEvents, StoreError> {
        rows::refuse_more_than(rows::MOST_EVENTS, events.len())?;
        if events.is_empty() {
            return Ok(InsertedEvents::default());
        }
        let mut lines = events.iter().enumerate().map(Line::of).collect::<Result<Vec<_>, _>>()?;
        match self.backend() {
            // Neighbours share pages of the index by contact; those of a file are neighbours by id as they come.
            Backend::Sqlite => lines.sort_unstable_by(|a, b| (a.2, a.1, a.0).cmp(&(b.2, b.1, b.0))),
            // One order for every writer, so that two nodes never wait for each other in a ring.
            Backend::Postgres => lines.sort_unstable_by(|a, b| (a.1, a.0).cmp(&(b.1, b.0))),
        }
        let list = rows::json(&lines)?;
        let given = events.len() as u64;
        let mut tx = self.begin().await?;
        take_turn(&mut tx, &Joining::Events).await?;
        let mut counts = InsertedEvents {
            joined: tx.run(INSERT_JOINED, args![list.as_str()]).await?,
            ..Default::default()
        };
        if counts.joined < given {
            counts.waiting = tx.run(INSERT_WAITING, args![list.as_str()]).await?;
            if events.iter().any(|event| event.customer_id.is_none()) {
                let places = tx.rows(UNKNOWN, args![list]).await?;
                counts.unknown = places.iter().map(rows::place).collect::<Result<_, _>>()?;
            }
        }
        tx.close(keep).await?;
        counts.repeated = given.saturating_sub(counts.inserted() + counts.unknown.len() as u64);
        Ok(counts)
    }

    /// Every kind of event that was ever imported, sorted, at most a thousand. One look into the index for each kind,
    /// however many events there are.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn event_kinds(&self) -> Result<Vec<String>, StoreError> {
        self.pools.read(KINDS, vec![]).await?.iter().map(|row| row.text(0)).collect()
    }

    /// How many events wait for their contact.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn waiting_event_count(&self) -> Result<i64, StoreError> {
        self.pools.read(COUNT_WAITING, vec![]).await?.first().ok_or(StoreError::NoRow)?.int(0)
    }
}

/// A row of the batch; serialised as an array in this order.
#[derive(Serialize)]
struct Line<'a>(&'a str, &'a str, Option<&'a str>, Option<i64>, Timestamp, Option<Micros>, String, usize);

impl<'a> Line<'a> {
    fn of((place, event): (usize, &'a EventRecord)) -> Result<Self, StoreError> {
        let props = event.props.to_json();
        rows::refuse_nul(&props)?;
        Ok(Self(
            &event.event_id,
            &event.kind,
            event.customer_id.as_deref(),
            event.phone.map(stored_phone),
            event.occurred_at,
            event.value,
            props,
            place,
        ))
    }
}

/// The contact of the event `j`, null if nobody is known.
macro_rules! contact_of_event {
    () => {
        "COALESCE((SELECT k.id FROM contacts AS k WHERE k.customer_id = j.value ->> 2), \
         (SELECT n.id FROM contacts AS n WHERE n.phone = CAST(j.value ->> 3 AS BIGINT) \
            AND (n.customer_id IS NULL OR (j.value ->> 2) IS NULL)))"
    };
}

/// The columns that come straight from the event `j`.
macro_rules! event_columns {
    () => {
        "j.value ->> 2, j.value ->> 1, j.value ->> 0, CAST(j.value ->> 4 AS BIGINT), \
         CAST(j.value ->> 5 AS BIGINT), j.value ->> 6"
    };
}

statements! {
    /// `$1` rows. The limit is never reached: it makes both databases look up each contact once, by index.
    INSERT_JOINED = concat!(
        "INSERT INTO events (contact_id, customer_id, kind, event_id, occurred_at, value, props) ",
        "SELECT g.* FROM (SELECT ", contact_of_event!(), " AS contact_id, ", event_columns!(),
        " FROM jsonb_each(CAST($1 AS TEXT)) AS j LIMIT 1000000) AS g ",
        "WHERE g.contact_id IS NOT NULL ON CONFLICT (kind, event_id) DO NOTHING"
    );
    /// `$1` rows.
    INSERT_WAITING = concat!(
        "INSERT INTO events (contact_id, customer_id, kind, event_id, occurred_at, value, props) ",
        "SELECT CAST(NULL AS BIGINT), ", event_columns!(), " FROM jsonb_each(CAST($1 AS TEXT)) AS j ",
        "WHERE (j.value ->> 2) IS NOT NULL AND ", contact_of_event!(), " IS NULL ",
        "ON CONFLICT (kind, event_id) DO NOTHING"
    );
    /// `$1` rows.
    UNKNOWN = concat!(
        "SELECT CAST(j.value ->> 7 AS BIGINT) FROM jsonb_each(CAST($1 AS TEXT)) AS j ",
        "WHERE (j.value ->> 2) IS NULL AND ", contact_of_event!(), " IS NULL ORDER BY 1"
    );
    KINDS = "WITH RECURSIVE g(kind) AS (SELECT min(e.kind) FROM events AS e UNION ALL \
          SELECT (SELECT min(e.kind) FROM events AS e WHERE e.kind > g.kind) FROM g WHERE g.kind IS NOT NULL) \
        SELECT kind FROM g WHERE kind IS NOT NULL LIMIT 1000";
    COUNT_WAITING = "SELECT count(*) FROM events WHERE contact_id IS NULL";
}

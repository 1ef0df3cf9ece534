//! Events: kept once, joined to their contact, waiting for it if it is not known yet.

mod pack;

use std::ops::Range;

use serde::Serialize;

use super::connection::{Arg, Tx, args};
use super::contacts::{Joining, stored_phone, take_turn};
use super::dialect::{Pair, statements};
use super::{Backend, Store, StoreError, rows};
use crate::model::clock::Timestamp;
use crate::model::event::EventRecord;
use crate::model::money::Micros;

pub use pack::{EventPack, PackedEvent};

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
        let pack = EventPack::of(events)?;
        self.insert_packed(&pack, &(0..pack.len())).await
    }

    /// [`Store::insert_events`] for a part of a pack; unknown are places in the pack, in the order of [`EventPack::push`].
    ///
    /// # Errors
    /// When the part is too large, or the store cannot be written.
    pub async fn insert_packed(
        &self,
        pack: &EventPack,
        part: &Range<usize>,
    ) -> Result<InsertedEvents, StoreError> {
        self.put_events(pack, part, true).await
    }

    /// What [`Store::insert_packed`] would answer; keeps nothing.
    ///
    /// # Errors
    /// As [`Store::insert_packed`].
    pub async fn rehearse_packed(
        &self,
        pack: &EventPack,
        part: &Range<usize>,
    ) -> Result<InsertedEvents, StoreError> {
        self.put_events(pack, part, false).await
    }

    async fn put_events(
        &self,
        pack: &EventPack,
        part: &Range<usize>,
        keep: bool,
    ) -> Result<InsertedEvents, StoreError> {
        let places = pack.places(part);
        rows::refuse_more_than(rows::MOST_EVENTS, places.len())?;
        if places.is_empty() {
            return Ok(InsertedEvents::default());
        }
        let mut tx = self.begin().await?;
        take_turn(&mut tx, &Joining::Events).await?;
        let mut counts = match self.backend() {
            Backend::Sqlite => put_values(&mut tx, pack, places).await?,
            Backend::Postgres => put_list(&mut tx, pack, places).await?,
        };
        let given = places.len() as u64;
        if counts.inserted() < given {
            counts.unknown = unknown(&mut tx, pack, places).await?;
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

/// SQLite takes values as they are, in statements of a fixed number of rows: a list of them would have to be parsed, and
/// each value looked for in it. What is left empty of the last statement is no row. The values of a statement are put
/// together while the one before it runs.
async fn put_values(tx: &mut Tx, pack: &EventPack, places: &[u32]) -> Result<InsertedEvents, StoreError> {
    let of_a_kind = places.chunk_by(|one, other| pack.same_kind(*one, *other));
    let mut groups = of_a_kind.flat_map(|places| places.chunks(ROWS)).peekable();
    let (mut counts, mut ready) = (InsertedEvents::default(), None);
    while let Some(group) = groups.next() {
        let now = ready.take().map_or_else(|| values(pack, group), Ok)?;
        let next = async { groups.peek().map(|group| values(pack, group)).transpose() };
        let (joined, next) = tokio::join!(tx.run(INSERT_JOINED.sqlite, now), next);
        let joined = joined?;
        ready = next?;
        counts.joined += joined;
        if joined < group.len() as u64 {
            counts.waiting += tx.run(INSERT_WAITING.sqlite, values(pack, group)?).await?;
        }
    }
    Ok(counts)
}

/// The arguments of a statement with [`ROWS`] rows of six values, and one kind for all.
fn values(pack: &EventPack, group: &[u32]) -> Result<Vec<Arg>, StoreError> {
    let mut values = Vec::with_capacity(ROWS * 6 + 1);
    let mut kind = "";
    for place in group {
        let event = pack.get(*place)?;
        kind = event.kind;
        values.extend([
            Arg::from(event.event_id),
            Arg::Text(event.customer_id.map(str::to_owned)),
            Arg::from(event.phone.map(stored_phone)),
            Arg::from(event.occurred_at.0),
            Arg::from(event.value.map(|value| value.0)),
            Arg::from(event.props),
        ]);
    }
    values.resize(ROWS * 6, Arg::Int(None));
    values.push(Arg::from(kind));
    Ok(values)
}

/// PostgreSQL takes them as one list.
async fn put_list(tx: &mut Tx, pack: &EventPack, places: &[u32]) -> Result<InsertedEvents, StoreError> {
    let mut lines = places.iter().map(|place| Line::of(pack, *place)).collect::<Result<Vec<_>, _>>()?;
    // One order for every writer, so that two nodes never wait for each other in a ring.
    lines.sort_by(|a, b| (a.1, a.0).cmp(&(b.1, b.0)));
    let list = rows::json(&lines)?;
    let joined = tx.run(INSERT_JOINED.postgres, args![list.as_str()]).await?;
    let mut counts = InsertedEvents { joined, ..Default::default() };
    if joined < lines.len() as u64 {
        counts.waiting = tx.run(INSERT_WAITING.postgres, args![list]).await?;
    }
    Ok(counts)
}

/// The places of those that nobody can be found for; only an event without a key can be one.
async fn unknown(tx: &mut Tx, pack: &EventPack, places: &[u32]) -> Result<Vec<usize>, StoreError> {
    let mut by_number = Vec::new();
    for place in places {
        let event = pack.get(*place)?;
        if event.customer_id.is_none() {
            by_number.push((place, event.phone.map(stored_phone)));
        }
    }
    if by_number.is_empty() {
        return Ok(Vec::new());
    }
    let rows = tx.rows(UNKNOWN, args![rows::json(&by_number)?]).await?;
    rows.iter().map(rows::place).collect()
}

/// A row of the list; serialised as an array in this order.
#[derive(Serialize)]
struct Line<'a>(&'a str, &'a str, Option<&'a str>, Option<i64>, Timestamp, Option<Micros>, &'a str);

impl<'a> Line<'a> {
    fn of(pack: &'a EventPack, place: u32) -> Result<Self, StoreError> {
        let event = pack.get(place)?;
        Ok(Self(
            event.event_id,
            event.kind,
            event.customer_id,
            event.phone.map(stored_phone),
            event.occurred_at,
            event.value,
            event.props,
        ))
    }
}

/// Rows in one statement of SQLite, which takes at most 32,766 values in one. Before a statement changes a page it keeps a
/// copy, to be able to undo itself alone; rows of one statement share these copies.
const ROWS: usize = 4_000;

macro_rules! ten {
    ($what:expr) => {
        concat!(
            $what, ", ", $what, ", ", $what, ", ", $what, ", ", $what, ", ", $what, ", ", $what, ", ", $what,
            ", ", $what, ", ", $what
        )
    };
}

macro_rules! four {
    ($what:expr) => {
        concat!($what, ", ", $what, ", ", $what, ", ", $what)
    };
}

/// [`ROWS`] rows of id, key, number, time, worth, properties.
macro_rules! values {
    () => {
        concat!("WITH g(i, c, p, t, v, x) AS (VALUES ", four!(ten!(ten!(ten!("(?, ?, ?, ?, ?, ?)")))), ") ")
    };
}

/// The contact of an event with this key and number, null if nobody is known.
macro_rules! contact_of {
    ($key:literal, $phone:literal) => {
        concat!(
            "COALESCE((SELECT k.id FROM contacts AS k WHERE k.customer_id = ",
            $key,
            "), ",
            "(SELECT n.id FROM contacts AS n WHERE n.phone = ",
            $phone,
            " AND (n.customer_id IS NULL OR ",
            $key,
            " IS NULL)))"
        )
    };
}

/// The contact of the event `j` of a list.
macro_rules! contact_of_line {
    () => {
        contact_of!("(j.value ->> 2)", "CAST(j.value ->> 3 AS BIGINT)")
    };
}

/// The columns that come straight from the event `j` of a list.
macro_rules! event_columns {
    () => {
        "j.value ->> 2, j.value ->> 1, j.value ->> 0, CAST(j.value ->> 4 AS BIGINT), \
         CAST(j.value ->> 5 AS BIGINT), j.value ->> 6"
    };
}

macro_rules! into_events {
    () => {
        "INSERT INTO events (contact_id, customer_id, kind, event_id, occurred_at, value, props) "
    };
}

macro_rules! once {
    () => {
        " ON CONFLICT (kind, event_id) DO NOTHING"
    };
}

/// Events whose contact is known. SQLite: the values of [`ROWS`] events, then their kind; PostgreSQL: `$1` rows. The
/// limit is never reached: it makes both look up each contact once, by index.
const INSERT_JOINED: Pair = Pair {
    sqlite: concat!(
        values!(),
        into_events!(),
        "SELECT g.* FROM (SELECT ",
        contact_of!("g.c", "g.p"),
        " AS contact_id, g.c, ?, g.i, g.t, g.v, g.x FROM g WHERE g.i IS NOT NULL LIMIT 1000000) AS g ",
        "WHERE g.contact_id IS NOT NULL",
        once!()
    ),
    postgres: concat!(
        into_events!(),
        "SELECT g.* FROM (SELECT ",
        contact_of_line!(),
        " AS contact_id, ",
        event_columns!(),
        " FROM jsonb_each(CAST($1 AS TEXT)) AS j LIMIT 1000000) AS g WHERE g.contact_id IS NOT NULL",
        once!()
    ),
};

/// Events that wait for theirs; arguments as above.
const INSERT_WAITING: Pair = Pair {
    sqlite: concat!(
        values!(),
        into_events!(),
        "SELECT NULL, g.c, ?, g.i, g.t, g.v, g.x FROM g ",
        "WHERE g.i IS NOT NULL AND g.c IS NOT NULL AND ",
        contact_of!("g.c", "g.p"),
        " IS NULL",
        once!()
    ),
    postgres: concat!(
        into_events!(),
        "SELECT CAST(NULL AS BIGINT), ",
        event_columns!(),
        " FROM jsonb_each(CAST($1 AS TEXT)) AS j WHERE (j.value ->> 2) IS NOT NULL AND ",
        contact_of_line!(),
        " IS NULL",
        once!()
    ),
};

/// The statements whose texts differ.
pub(super) const PAIRS: &[super::dialect::Named] = &[
    ("events::INSERT_JOINED", INSERT_JOINED.sqlite, INSERT_JOINED.postgres),
    ("events::INSERT_WAITING", INSERT_WAITING.sqlite, INSERT_WAITING.postgres),
];

statements! {
    /// `$1` rows of a place and the number of an event without a key.
    UNKNOWN = "SELECT CAST(j.value ->> 0 AS BIGINT) FROM jsonb_each(CAST($1 AS TEXT)) AS j \
        WHERE NOT EXISTS (SELECT 1 FROM contacts AS n WHERE n.phone = CAST(j.value ->> 1 AS BIGINT)) ORDER BY 1";
    KINDS = "WITH RECURSIVE g(kind) AS (SELECT min(e.kind) FROM events AS e UNION ALL \
          SELECT (SELECT min(e.kind) FROM events AS e WHERE e.kind > g.kind) FROM g WHERE g.kind IS NOT NULL) \
        SELECT kind FROM g WHERE kind IS NOT NULL LIMIT 1000";
    COUNT_WAITING = "SELECT count(*) FROM events WHERE contact_id IS NULL";
}

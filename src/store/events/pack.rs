//! Many events in little memory, on their way into the store, in the order in which writing them costs least.
//!
//! Never looks into the store: whose an event is, the statements find out that write it.

use std::cmp::Ordering;
use std::ops::Range;

use crate::model::clock::Timestamp;
use crate::model::event::EventRecord;
use crate::model::money::Micros;
use crate::model::phone::Phone;
use crate::store::contacts::{read_phone, stored_phone};
use crate::store::{StoreError, rows};

/// Octets of texts after which a transaction is full, however few events they are.
const MOST_OCTETS: usize = 4 << 20;

/// No text is as long as this: there is none.
const NO_TEXT: u32 = u32::MAX;

/// An event as it goes into a pack and comes out of it; the fields are those of [`EventRecord`].
#[derive(Clone, Copy)]
pub struct PackedEvent<'a> {
    /// What happened.
    pub kind: &'a str,
    /// The shop's own id, unique within its kind.
    pub event_id: &'a str,
    /// Whose it is, by the shop's key.
    pub customer_id: Option<&'a str>,
    /// Whose it is, by number.
    pub phone: Option<Phone>,
    /// When it happened.
    pub occurred_at: Timestamp,
    /// What it was worth.
    pub value: Option<Micros>,
    /// A JSON object, its names in order.
    pub props: &'a str,
}

/// Events, their texts one behind the other.
#[derive(Default)]
pub struct EventPack {
    kinds: Vec<String>,
    text: String,
    rows: Vec<Packed>,
    /// Places in `rows`, as they are to be written.
    order: Vec<u32>,
}

/// Where the texts of an event lie, and its numbers.
struct Packed {
    text: usize,
    id: u32,
    key: u32,
    props: u32,
    kind: u16,
    has_value: bool,
    /// Zero if there is none; no number has these digits.
    phone: i64,
    occurred_at: i64,
    value: i64,
}

impl std::fmt::Debug for EventPack {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EventPack").field("events", &self.rows.len()).finish_non_exhaustive()
    }
}

impl EventPack {
    /// The events of a list.
    ///
    /// # Errors
    /// As [`EventPack::push`].
    pub fn of(events: &[EventRecord]) -> Result<Self, StoreError> {
        let mut pack = Self::default();
        for event in events {
            let props = event.props.to_json();
            pack.push(&PackedEvent {
                kind: &event.kind,
                event_id: &event.event_id,
                customer_id: event.customer_id.as_deref(),
                phone: event.phone,
                occurred_at: event.occurred_at,
                value: event.value,
                props: &props,
            })?;
        }
        Ok(pack)
    }

    /// Adds an event; answers how many octets it takes up.
    ///
    /// # Errors
    /// When it holds NUL characters or texts beyond all measure.
    pub fn push(&mut self, event: &PackedEvent<'_>) -> Result<usize, StoreError> {
        let key = event.customer_id.unwrap_or("");
        rows::refuse_nul(event.props)?;
        rows::refuse_nul_in(&[event.kind, event.event_id, key])?;
        let kind = self.kind(event.kind)?;
        let packed = Packed {
            text: self.text.len(),
            id: length(event.event_id)?,
            key: event.customer_id.map_or(Ok(NO_TEXT), length)?,
            props: length(event.props)?,
            kind,
            has_value: event.value.is_some(),
            phone: event.phone.map_or(0, stored_phone),
            occurred_at: event.occurred_at.0,
            value: event.value.unwrap_or_default().0,
        };
        let place = u32::try_from(self.rows.len()).map_err(|_| beyond_measure())?;
        for text in [event.event_id, key, event.props] {
            self.text.push_str(text);
        }
        let octets = self.text.len() - packed.text + size_of::<Packed>() + size_of::<u32>();
        self.rows.push(packed);
        self.order.push(place);
        Ok(octets)
    }

    /// How many events there are.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// True when there are none.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Puts the events of a customer beside each other, and customers in the order of their keys, as far as possible in
    /// that in which they came into the store. Whoever writes the pack in parts then meets each page of the index by
    /// customer once, instead of once for each event. Of two that are one event of one customer the
    /// earlier comes first.
    pub fn sort(&mut self) {
        let keys = || (0..self.rows.len()).filter_map(|place| self.texts(place).1);
        let first = keys().next().unwrap_or("");
        let shared =
            keys().fold(first.len(), |shared, key| alike(&first.as_bytes()[..shared], key.as_bytes()));
        let mut order: Vec<(u16, u64, u32)> = (self.order.iter())
            .map(|place| (self.row(*place).kind, head(self.key(*place), shared), *place))
            .collect();
        order.sort_unstable_by(|a, b| (a.0, a.1).cmp(&(b.0, b.1)).then_with(|| self.compare(a.2, b.2)));
        self.order.clear();
        self.order.extend(order.into_iter().map(|(_, _, place)| place));
    }

    /// The events in order, cut where a transaction would become too large.
    pub fn parts(&self) -> Vec<Range<usize>> {
        let (mut parts, mut start, mut octets) = (Vec::new(), 0, 0);
        for (at, place) in self.order.iter().enumerate() {
            let (id, key, props) = self.texts(*place as usize);
            let more = id.len() + key.map_or(0, str::len) + props.len();
            if at - start == rows::MOST_EVENTS || (at > start && octets + more > MOST_OCTETS) {
                parts.push(start..at);
                (start, octets) = (at, 0);
            }
            octets += more;
        }
        if start < self.order.len() {
            parts.push(start..self.order.len());
        }
        parts
    }

    /// The places of a part of the events in order.
    pub(super) fn places(&self, part: &Range<usize>) -> &[u32] {
        self.order.get(part.clone()).unwrap_or_default()
    }

    /// The event at a place.
    pub(super) fn get(&self, place: u32) -> Result<PackedEvent<'_>, StoreError> {
        let row = self.row(place);
        let (event_id, customer_id, props) = self.texts(place as usize);
        Ok(PackedEvent {
            kind: &self.kinds[usize::from(row.kind)],
            event_id,
            customer_id,
            phone: (row.phone != 0).then(|| read_phone(row.phone)).transpose()?,
            occurred_at: Timestamp(row.occurred_at),
            value: row.has_value.then_some(Micros(row.value)),
            props,
        })
    }

    /// Whether two events are of one kind.
    pub(super) fn same_kind(&self, one: u32, other: u32) -> bool {
        self.row(one).kind == self.row(other).kind
    }

    fn row(&self, place: u32) -> &Packed {
        &self.rows[place as usize]
    }

    fn texts(&self, place: usize) -> (&str, Option<&str>, &str) {
        let row = &self.rows[place];
        let id = row.text + row.id as usize;
        let key = id + if row.key == NO_TEXT { 0 } else { row.key as usize };
        let of_key = (row.key != NO_TEXT).then(|| &self.text[id..key]);
        (&self.text[row.text..id], of_key, &self.text[key..key + row.props as usize])
    }

    fn key(&self, place: u32) -> &str {
        self.texts(place as usize).1.unwrap_or("")
    }

    fn compare(&self, one: u32, other: u32) -> Ordering {
        let told = |place: u32| {
            let (id, key, _) = self.texts(place as usize);
            (key, self.row(place).phone, id, place)
        };
        told(one).cmp(&told(other))
    }

    fn kind(&mut self, kind: &str) -> Result<u16, StoreError> {
        let known = self.kinds.iter().rposition(|known| known == kind);
        if known.is_none() {
            self.kinds.push(kind.to_owned());
        }
        u16::try_from(known.unwrap_or(self.kinds.len() - 1)).map_err(|_| beyond_measure())
    }
}

fn length(text: &str) -> Result<u32, StoreError> {
    u32::try_from(text.len()).ok().filter(|length| *length != NO_TEXT).ok_or_else(beyond_measure)
}

fn beyond_measure() -> StoreError {
    StoreError::Refused("too much was given at once; give it in smaller batches".to_owned())
}

/// How many octets two texts begin with alike.
fn alike(one: &[u8], other: &[u8]) -> usize {
    one.iter().zip(other).take_while(|(one, other)| one == other).count()
}

/// The eight octets of a key behind what all keys share: nearly always enough to compare two of them.
fn head(key: &str, shared: usize) -> u64 {
    let mut head = [0; 8];
    let rest = key.as_bytes().get(shared..).unwrap_or_default();
    let many = rest.len().min(head.len());
    head[..many].copy_from_slice(&rest[..many]);
    u64::from_be_bytes(head)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pack(events: &[(&str, Option<&str>, &str)]) -> EventPack {
        let mut pack = EventPack::default();
        for (event_id, customer_id, props) in events {
            let (event_id, customer_id, props) = (*event_id, *customer_id, *props);
            let (occurred_at, value, phone) = (Timestamp(7), Some(Micros(-1)), None);
            let event =
                PackedEvent { kind: "order", event_id, customer_id, phone, occurred_at, value, props };
            pack.push(&event).expect("taken");
        }
        pack
    }

    fn ids(pack: &EventPack) -> Vec<&str> {
        pack.order.iter().map(|place| pack.texts(*place as usize).0).collect()
    }

    #[test]
    fn what_is_told_comes_out_as_it_went_in() {
        let pack = pack(&[("1", Some("a"), "{}"), ("2", None, "{\"x\":\"y\"}"), ("3", Some("é"), "{}")]);
        let told = |place| {
            let event = pack.get(place).expect("packed");
            (event.kind, event.event_id, event.customer_id, event.props, event.occurred_at.0, event.value)
        };
        let value = Some(Micros(-1));
        assert_eq!(told(0), ("order", "1", Some("a"), "{}", 7, value));
        assert_eq!(told(1), ("order", "2", None, "{\"x\":\"y\"}", 7, value));
        assert_eq!(told(2), ("order", "3", Some("é"), "{}", 7, value));
    }

    #[test]
    fn events_of_a_customer_are_neighbours_and_the_earlier_of_two_comes_first() {
        let check = |keys: &[&str], expected: &[&str]| {
            let events: Vec<_> =
                keys.iter().map(|key| (*key, (!key.is_empty()).then_some(*key), "{}")).collect();
            let mut pack = pack(&events);
            pack.sort();
            assert_eq!(ids(&pack), expected);
        };
        check(&["c2", "c10", "c1", "c2"], &["c1", "c10", "c2", "c2"]);
        // Longer than eight octets behind what they share, and one that is all that they share.
        check(&["k-00000000b", "k-00000000a", "k-", "k-0"], &["k-", "k-0", "k-00000000a", "k-00000000b"]);
        check(&["b", "", "a"], &["", "a", "b"]);
        let mut twice = pack(&[("2", Some("a"), "{}"), ("1", Some("a"), "{1}"), ("1", Some("a"), "{2}")]);
        twice.sort();
        assert_eq!(twice.order, [1, 2, 0]);
    }

    #[test]
    fn a_part_is_bounded_in_events_and_in_octets() {
        let wide = "x".repeat(MOST_OCTETS / 2);
        let events = [("1", None, wide.as_str()), ("2", None, &wide), ("3", None, "{}"), ("4", None, &wide)];
        assert_eq!(pack(&events).parts(), [0..1, 1..3, 3..4]);
        let many = vec![("1", None, "{}"); rows::MOST_EVENTS + 1];
        assert_eq!(pack(&many).parts(), [0..rows::MOST_EVENTS, rows::MOST_EVENTS..rows::MOST_EVENTS + 1]);
        assert!(pack(&[]).parts().is_empty());
    }
}

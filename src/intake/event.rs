//! A row of a list of orders, logins or other events into a clean draft of an event, or the reason to reject it.
//!
//! Never looks up whose event it is: the store does, by customer id, else by phone number.

use jiff::tz::TimeZone;
use sha2::{Digest, Sha256};

use super::extras;
use super::headers::{Columns, Field, HeaderError, Mapping};
use super::reason::Reason;
use super::table::Row;
use super::value::{self, DayPart, MAX_SHORT};
use crate::model::clock::Timestamp;
use crate::model::country::Country;
use crate::model::money::Micros;
use crate::model::number;
use crate::model::phone::Phone;

/// The columns of a list of events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventField {
    /// What makes a repeated row known; required unless ids are made from the rows.
    EventId,
    /// Whose event it is.
    CustomerId,
    /// Whose event it is, by number.
    Phone,
    /// When it happened; required.
    OccurredAt,
    /// What it was worth.
    Value,
}

impl Field for EventField {
    const ALL: &'static [Self] =
        &[Self::EventId, Self::CustomerId, Self::Phone, Self::OccurredAt, Self::Value];
    const EXTRA: Option<&'static str> = Some("prop.");

    fn word(self) -> &'static str {
        match self {
            Self::EventId => "event_id",
            Self::CustomerId => "customer_id",
            Self::Phone => "phone",
            Self::OccurredAt => "occurred_at",
            Self::Value => "value",
        }
    }

    fn synonyms(self) -> &'static str {
        super::synonyms::event(self)
    }
}

/// What holds for every row of a file.
#[derive(Clone, Debug)]
pub struct EventOptions {
    /// What happened, such as `order`; part of ids that are made from rows.
    pub kind: String,
    /// Country of phone numbers that have no country code.
    pub country: Option<Country>,
    /// Zone of times that have none: the shop's.
    pub zone: TimeZone,
    /// Make ids from what the rows say, for files without an id. Two rows that say the same are then one event.
    pub ids_from_rows: bool,
    /// Today's end anywhere: an event that is dated later is a slip, and would keep its customer active until then.
    pub latest: Timestamp,
}

/// An event as a row describes it. `Debug` shows the line only.
#[derive(Clone, PartialEq, Eq)]
pub struct EventDraft {
    /// Where the row begins.
    pub line: u64,
    /// The event's own key: a second row with it changes nothing.
    pub event_id: String,
    /// Whose event it is; wins over the phone.
    pub customer_id: Option<String>,
    /// Whose event it is, by number.
    pub phone: Option<Phone>,
    /// When it happened.
    pub occurred_at: Timestamp,
    /// What it was worth; may be negative, for returns.
    pub value: Option<Micros>,
    /// JSON object of the other columns, keys sorted, every value a text.
    pub props: String,
}

impl std::fmt::Debug for EventDraft {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EventDraft").field("line", &self.line).finish_non_exhaustive()
    }
}

/// Reads the rows of one list of events.
#[derive(Debug)]
pub struct EventReader {
    columns: Columns<EventField>,
    options: EventOptions,
}

impl EventReader {
    /// Finds the columns of the list.
    ///
    /// # Errors
    /// When the id, the time or the customer has no column, or columns cannot be told apart.
    pub fn new(headers: &[String], mapping: &Mapping, options: EventOptions) -> Result<Self, HeaderError> {
        let columns = Columns::find(headers, mapping)?;
        columns.require(EventField::OccurredAt, headers)?;
        if !options.ids_from_rows {
            columns.require(EventField::EventId, headers)?;
        }
        if columns.get(EventField::Phone).is_none() {
            columns.require(EventField::CustomerId, headers)?;
        }
        Ok(Self { columns, options })
    }

    /// Which column is what.
    pub fn columns(&self) -> &Columns<EventField> {
        &self.columns
    }

    /// What happened, according to the options.
    pub fn kind(&self) -> &str {
        &self.options.kind
    }

    /// Reads one row.
    ///
    /// # Errors
    /// Why the row is rejected. A phone number matters only in a row without a customer id.
    pub fn read(&self, row: &Row) -> Result<EventDraft, Reason> {
        if let Some(field) = self.columns.broken(row) {
            return Err(Reason::LineBreak { column: field.word() });
        }
        let customer_id = self.short(row, EventField::CustomerId)?;
        let phone = match self.phone(row) {
            Err(reason) if customer_id.is_none() => return Err(reason),
            read => read.ok().flatten(),
        };
        if customer_id.is_none() && phone.is_none() {
            return Err(Reason::CustomerMissing);
        }
        let mut draft = EventDraft {
            line: row.line(),
            event_id: self.short(row, EventField::EventId)?.unwrap_or_default(),
            customer_id,
            phone,
            occurred_at: self.occurred_at(row)?,
            value: self.value(row)?,
            props: extras::object(self.columns.extras(), row)?,
        };
        if draft.event_id.is_empty() && self.options.ids_from_rows {
            draft.event_id = id_of(&draft, &self.options.kind);
        }
        let missing = Reason::Missing { column: EventField::EventId.word() };
        if draft.event_id.is_empty() { Err(missing) } else { Ok(draft) }
    }

    fn field<'r>(&self, row: &'r Row, field: EventField) -> &'r str {
        self.columns.get(field).map_or("", |at| row.get(at))
    }

    fn short(&self, row: &Row, field: EventField) -> Result<Option<String>, Reason> {
        let too_long = |_| Reason::TooLong { column: field.word().to_owned() };
        value::text(self.field(row, field), MAX_SHORT).map_err(too_long)
    }

    fn phone(&self, row: &Row) -> Result<Option<Phone>, Reason> {
        let raw = value::clean(self.field(row, EventField::Phone));
        if raw.is_empty() {
            return Ok(None);
        }
        Ok(Some(number::parse(&raw, self.options.country)?.phone))
    }

    fn occurred_at(&self, row: &Row) -> Result<Timestamp, Reason> {
        let (raw, column) = (self.field(row, EventField::OccurredAt), EventField::OccurredAt.word());
        if raw.trim().is_empty() {
            return Err(Reason::Missing { column });
        }
        let at = value::time(raw, &self.options.zone, DayPart::Start).map_err(|_| Reason::Time { column })?;
        if at > self.options.latest { Err(Reason::EventAhead) } else { Ok(at) }
    }

    fn value(&self, row: &Row) -> Result<Option<Micros>, Reason> {
        let raw = self.field(row, EventField::Value);
        if raw.trim().is_empty() {
            return Ok(None);
        }
        value::amount(raw).map(Some).map_err(|_| Reason::Amount)
    }
}

/// An id from everything the row says: the start of a SHA-256 over kind, customer, time, value and properties.
fn id_of(draft: &EventDraft, kind: &str) -> String {
    let phone = draft.phone.map(|phone| phone.digits().to_string());
    let value = draft.value.map(|value| value.0.to_string());
    let time = draft.occurred_at.0.to_string();
    let parts = [
        Some(kind),
        draft.customer_id.as_deref(),
        phone.as_deref(),
        Some(&time),
        value.as_deref(),
        Some(&draft.props),
    ];
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part.unwrap_or("").as_bytes());
        // No value has a zero byte: the table rejects it. So two different rows never run into one text.
        hash.update([0]);
    }
    let mut id = String::from("row-");
    for byte in &hash.finalize()[..16] {
        id.push(char::from(HEX[usize::from(byte >> 4)]));
        id.push(char::from(HEX[usize::from(byte & 15)]));
    }
    id
}

const HEX: &[u8; 16] = b"0123456789abcdef";

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;
    use crate::intake::source::Source;
    use crate::intake::table::{Next, Table, TableOptions};

    fn read(text: &str, ids_from_rows: bool) -> Result<Vec<Result<EventDraft, Reason>>, HeaderError> {
        let source = Source::from_reader("test", Cursor::new(text.to_owned()), None).expect("opens");
        let mut table = Table::open(source, &TableOptions::default()).expect("opens");
        let options = EventOptions {
            kind: "order".to_owned(),
            country: "US".parse().ok(),
            zone: TimeZone::UTC,
            ids_from_rows,
            latest: Timestamp::parse("2017-01-02T00:00:00Z").expect("a time"),
        };
        let reader = EventReader::new(table.headers(), &Mapping::default(), options)?;
        let (mut row, mut all) = (Row::default(), Vec::new());
        while table.next_row(&mut row).expect("reads") == Next::Row {
            all.push(reader.read(&row));
        }
        Ok(all)
    }

    #[test]
    fn an_order_is_read_with_its_other_columns_as_properties() {
        let text = "Order No.;Customer ID;Date;Total;Items;Store\n77;9;2017-01-01 10:00;12,50 €;3;\n";
        let read = read(text, false).expect("columns").remove(0).expect("a draft");
        assert_eq!((read.event_id.as_str(), read.customer_id.as_deref()), ("77", Some("9")));
        assert_eq!(
            (read.occurred_at.rfc3339().as_str(), read.value),
            ("2017-01-01T10:00:00Z", Some(Micros(12_500_000)))
        );
        assert_eq!(read.props, r#"{"items":"3"}"#);
    }

    #[test]
    fn a_row_that_says_too_little_is_rejected_with_the_reason() {
        let check = |row: &str, expected: Result<(), Reason>| {
            let text = format!("order_id,customer_id,phone,time,value\n{row}\n");
            let read = read(&text, false).expect("columns").remove(0);
            assert_eq!(read.map(drop), expected, "{row}");
        };
        check("1,9,,2017-01-01,", Ok(()));
        check("1,,(480) 555-0126,2017-01-01,-3", Ok(()));
        check("1,9,n/a,2017-01-01,5", Ok(()));
        check(",9,,2017-01-01,5", Err(Reason::Missing { column: "event_id" }));
        check("1,,,2017-01-01,5", Err(Reason::CustomerMissing));
        check("1,9,,,5", Err(Reason::Missing { column: "occurred_at" }));
        check("1,9,,2017-01-02,5", Ok(()));
        check("1,9,,2017-01-02 00:01,5", Err(Reason::EventAhead));
        check("1,9,,2071-01-01,5", Err(Reason::EventAhead));
        check("\"1\n2\",9,,2017-01-01,5", Err(Reason::LineBreak { column: "event_id" }));
        check("1,9,,1/2/2017,5", Err(Reason::Time { column: "occurred_at" }));
        check("1,9,,2017-01-01,five", Err(Reason::Amount));
        check("1,,n/a,2017-01-01,5", Err(Reason::Phone(number::BadNumber::NotANumber)));
    }

    #[test]
    fn a_file_without_ids_is_refused_or_gets_ids_that_repeat() {
        let text = "customer_id,time,value\n9,2017-01-01,5\n9,2017-01-01,5.00\n9,2017-01-01,6\n";
        let error = read(text, false).expect_err("no ids").to_string();
        assert!(error.contains("--map event_id="), "{error}");
        let ids: Vec<_> =
            read(text, true).expect("columns").into_iter().map(|d| d.expect("a draft").event_id).collect();
        assert_eq!(ids[0], ids[1], "the same event written in two ways");
        assert_ne!(ids[0], ids[2]);
        assert_eq!(ids[0].len(), 36);
    }

    /// Counted independently with Python's csv module and decimal.
    #[test]
    fn the_example_year_of_orders_is_read_in_full() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/journey/orders.csv.gz");
        let mut table = Table::open(Source::open(path.as_ref()).expect("opens"), &TableOptions::default())
            .expect("a table");
        let options = EventOptions {
            kind: "order".to_owned(),
            country: None,
            zone: TimeZone::UTC,
            ids_from_rows: false,
            latest: Timestamp::MAX,
        };
        let reader = EventReader::new(table.headers(), &Mapping::default(), options).expect("columns");
        let (mut row, mut count, mut total) = (Row::default(), 0, Micros::default());
        while table.next_row(&mut row).expect("reads") == Next::Row {
            let draft = reader.read(&row).expect("a draft");
            (count, total) = (count + 1, total.plus(draft.value.expect("a value")));
        }
        assert_eq!((count, total.to_string().as_str()), (155_848, "4596039.58"));
        assert_eq!(Some(table.progress().read()), table.progress().total());
    }
}

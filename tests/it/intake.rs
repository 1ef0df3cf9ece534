//! Whole files into both databases: what is counted, what is rejected, and that a second or broken import does no harm.

mod contacts;
mod events;
mod stock;

use std::io::{Cursor, Write};
use std::path::Path;
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::task::Poll;

use jiff::tz::TimeZone;
use winback::intake::contact::{ContactOptions, ContactReader};
use winback::intake::event::{EventOptions, EventReader};
use winback::intake::headers::Mapping;
use winback::intake::import::{
    ContactImport, EventImport, Handling, ImportError, OpenRejects, Rejections, import_contacts,
    import_events,
};
use winback::intake::source::Source;
use winback::intake::table::{Table, TableOptions};
use winback::model::clock::Timestamp;
use winback::store::Store;

use crate::support::stores::Bench;

const NOW: Timestamp = Timestamp(1_700_000_000_000);
const LATER: Timestamp = Timestamp(NOW.0 + 60_000);

/// A file of the example year.
pub(crate) fn journey(name: &str) -> Table {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/journey").join(name);
    let source = Source::open(&path).expect("the file is there");
    Table::open(source, &TableOptions::default()).expect("a table")
}

/// A file out of bytes.
fn table(bytes: impl Into<Vec<u8>>) -> Table {
    let source = Source::from_reader("test", Cursor::new(bytes.into()), None).expect("opens");
    Table::open(source, &TableOptions::default()).expect("a table")
}

/// Imports customers of a shop in the United States.
pub(crate) async fn contacts(
    store: &Store,
    table: Table,
    now: Timestamp,
    handling: Handling<'_>,
) -> Result<ContactImport, ImportError> {
    let options = ContactOptions {
        country: "US".parse().ok(),
        zone: TimeZone::UTC,
        consent_at: None,
        latest_consent: Timestamp::MAX,
    };
    let reader = ContactReader::new(table.headers(), &Mapping::default(), options).expect("columns");
    import_contacts(store, table, reader, now, handling).await
}

/// Imports orders.
pub(crate) async fn orders(
    store: &Store,
    table: Table,
    handling: Handling<'_>,
) -> Result<EventImport, ImportError> {
    let options = EventOptions {
        kind: "order".to_owned(),
        country: "US".parse().ok(),
        zone: TimeZone::UTC,
        ids_from_rows: false,
        latest: Timestamp::MAX,
    };
    let reader = EventReader::new(table.headers(), &Mapping::default(), options).expect("columns");
    import_events(store, table, reader, handling).await
}

/// Shows the first `show` rejects.
fn showing(show: usize) -> Handling<'static> {
    Handling { show, ..Handling::default() }
}

fn rehearsal(show: usize) -> Handling<'static> {
    Handling { dry_run: true, show, ..Handling::default() }
}

/// Rejects as `line word`.
fn first(rejected: &Rejections) -> Vec<String> {
    rejected.first.iter().map(|row| format!("{} {}", row.line, row.reason.word())).collect()
}

/// Polls an import so often and then drops it, as if the program died there; what it answered if it was done before.
async fn cut_short<T>(polls: usize, import: impl Future<Output = T>) -> Option<T> {
    let (mut import, mut left) = (pin!(import), polls);
    std::future::poll_fn(|context| {
        if left == 0 {
            return Poll::Ready(None);
        }
        left -= 1;
        import.as_mut().poll(context).map(Some)
    })
    .await
}

/// A file in memory that a reject writer can own.
#[derive(Clone, Default)]
struct Paper(Arc<Mutex<Vec<u8>>>);

impl Paper {
    fn open(&self) -> OpenRejects<'static> {
        let paper = self.clone();
        Box::new(move || Ok(Box::new(paper)))
    }

    fn text(&self) -> String {
        String::from_utf8(self.0.lock().expect("not poisoned").clone()).expect("text")
    }
}

impl Write for Paper {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().expect("not poisoned").write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Contacts and tags without row ids and without the times of the imports.
async fn people(bench: &Bench) -> Vec<String> {
    let mut sql = bench.sql().await;
    let mut lines = sql
        .lines(
            "SELECT customer_id, phone, country, number_kind, first_name, last_name, email, locale, zone, stage, \
             consent_at, unreachable_at, attrs FROM contacts ORDER BY phone",
        )
        .await;
    lines.extend(
        sql.lines(
            "SELECT c.phone, t.tag FROM contact_tags AS t JOIN contacts AS c ON c.id = t.contact_id ORDER BY 1, 2",
        )
        .await,
    );
    lines
}

/// The times of the imports.
async fn times(bench: &Bench) -> Vec<String> {
    bench.lines("SELECT id, created_at, updated_at FROM contacts ORDER BY id").await
}

/// Events without row ids, with the number of their contact.
async fn happened(bench: &Bench) -> Vec<String> {
    let sql = "SELECT c.phone, e.customer_id, e.kind, e.event_id, e.occurred_at, e.value, e.props \
               FROM events AS e LEFT JOIN contacts AS c ON c.id = e.contact_id ORDER BY e.kind, e.event_id";
    bench.lines(sql).await
}

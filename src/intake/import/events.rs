//! A list of orders, logins or other events into the store. Whose an event is, the store finds out.

use super::desk::Desk;
use super::feed::Feed;
use super::{Handling, ImportError, Rejections};
use crate::intake::event::{EventDraft, EventReader};
use crate::intake::reason::Reason;
use crate::intake::table::{Row, Table};
use crate::model::attributes::Attributes;
use crate::model::event::EventRecord;
use crate::store::{MOST_EVENTS, Store};

/// What became of a list of events. Joined, waiting, repeated and rejected rows add up to all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EventImport {
    /// Rows of the file.
    pub rows: u64,
    /// New, and joined to a contact.
    pub joined: u64,
    /// New, of a customer id that nobody has yet; kept until its contact is imported.
    pub waiting: u64,
    /// Known before, by kind and id.
    pub repeated: u64,
    /// Rows that could not be used.
    pub rejected: Rejections,
}

impl EventImport {
    /// Events that are new in the store.
    pub fn inserted(&self) -> u64 {
        self.joined + self.waiting
    }
}

/// Imports a list of events, each once by its kind and id. One with a number only that nobody has is rejected, because
/// it could not wait for its contact: import the contacts first.
///
/// # Errors
/// When the file cannot be read on, or the store or the reject file cannot be written.
pub async fn import_events(
    store: &Store,
    table: Table,
    reader: EventReader,
    handling: Handling<'_>,
) -> Result<EventImport, ImportError> {
    let mut desk = Desk::new(&table, handling);
    let read = move |row: &Row| reader.read(row).map(|draft| record(draft, reader.kind()));
    let mut feed = Feed::start(table, MOST_EVENTS, desk.keeps_rows(), read);
    let mut done = EventImport::default();
    while let Some(batch) = feed.next().await? {
        let kept = if desk.dry_run() {
            store.rehearse_events(&batch.drafts).await?
        } else {
            store.insert_events(&batch.drafts).await?
        };
        done.joined += kept.joined;
        done.waiting += kept.waiting;
        done.repeated += kept.repeated;
        desk.end_batch(batch.origins, batch.bad, &kept.unknown, &Reason::CustomerUnknown).await?;
    }
    (done.rows, done.rejected) = desk.finish()?;
    Ok(done)
}

fn record(draft: EventDraft, kind: &str) -> EventRecord {
    EventRecord {
        kind: kind.to_owned(),
        event_id: draft.event_id,
        customer_id: draft.customer_id,
        phone: draft.phone,
        occurred_at: draft.occurred_at,
        value: draft.value,
        props: Attributes::from_json(&draft.props).expect("a draft has a JSON object"),
    }
}

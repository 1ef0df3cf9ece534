//! A list of orders, logins or other events into the store. Whose an event is, the store finds out.

use super::desk::Desk;
use super::feed::{Feed, Kept, Most};
use super::{Handling, ImportError, Rejections};
use crate::intake::event::{EventDraft, EventReader};
use crate::intake::reason::Reason;
use crate::intake::table::{Row, RowFault, Table};
use crate::store::events::{EventPack, PackedEvent};
use crate::store::{MOST_EVENTS, Store};

/// Events that are sorted together before they are written. Each page of the index by customer is written once for all
/// of them, and each of the index by id once for each of their transactions.
const MOST_SORTED: usize = 200_000;

/// Bytes after which they are fewer. While one such batch is written, the next is read.
const MOST_BYTES: usize = 28 << 20;

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
    let read = move |row: &Row, pack: &mut EventPack| add(pack, &reader.read(row)?, reader.kind());
    // What a dry run compares, it compares with the store alone: in one go, as far as that is possible.
    let rows = if desk.dry_run() { MOST_EVENTS } else { MOST_SORTED };
    let most = Most { rows, bytes: MOST_BYTES };
    let mut feed = Feed::gather(table, most, desk.keeps_rows(), read, EventPack::sort);
    let mut done = EventImport::default();
    while let Some(batch) = feed.next().await? {
        let (mut unknown, mut written) = (Vec::new(), 0);
        for part in batch.drafts.parts() {
            if written > 0 {
                desk.end_part(&batch.slip, written).await;
            }
            let kept = if desk.dry_run() {
                store.rehearse_packed(&batch.drafts, &part).await?
            } else {
                store.insert_packed(&batch.drafts, &part).await?
            };
            written += part.len();
            done.joined += kept.joined;
            done.waiting += kept.waiting;
            done.repeated += kept.repeated;
            unknown.extend(kept.unknown);
        }
        unknown.sort_unstable();
        desk.end_batch(batch.slip, &unknown, &Reason::CustomerUnknown).await?;
    }
    (done.rows, done.rejected) = desk.finish()?;
    Ok(done)
}

fn add(pack: &mut EventPack, draft: &EventDraft, kind: &str) -> Result<Kept, Reason> {
    let added = pack.push(&PackedEvent {
        kind,
        event_id: &draft.event_id,
        customer_id: draft.customer_id.as_deref(),
        phone: draft.phone,
        occurred_at: draft.occurred_at,
        value: draft.value,
        props: &draft.props,
    });
    // The only one refused would hold a zero byte, for which its row is rejected before it is a draft.
    let bytes = added.map_err(|_| Reason::Row(RowFault::ZeroByte))?;
    // Whose key nobody has, waits; only one that is found by its number can be nobody's.
    Ok(Kept { bytes, refusable: draft.customer_id.is_none() })
}

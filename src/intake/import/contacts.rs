//! A customer list into contacts. What a row means for a known contact is decided in `model::contact`.

use std::collections::{BTreeMap, HashSet};

use super::desk::Desk;
use super::feed::Feed;
use super::{Handling, ImportError, Rejections};
use crate::intake::contact::{ContactDraft, ContactReader};
use crate::intake::reason::Reason;
use crate::intake::table::{Row, Table};
use crate::model::attributes::Attributes;
use crate::model::clock::Timestamp;
use crate::model::contact::ContactRecord;
use crate::model::number::NumberWarning;
use crate::model::phone::Phone;
use crate::store::Store;
use crate::store::contacts::{MOST_CONTACTS, Upserted, Written};

/// Numbers of one file that are remembered to count repeats (some 35 MiB).
const MOST_REMEMBERED: usize = 2_000_000;

/// Most contacts in a batch while events wait for theirs: joining these takes its time, and a batch must stay short.
const MOST_WITH_WAITING: usize = 200;

/// What became of a customer list. Inserted, updated, unchanged and rejected rows add up to all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ContactImport {
    /// Rows of the file.
    pub rows: u64,
    /// Rows that made a new contact.
    pub inserted: u64,
    /// Rows that told something new about a known one.
    pub updated: u64,
    /// Rows that told nothing new.
    pub unchanged: u64,
    /// Of these three, rows with a number that an earlier row has; counted for the first two million numbers.
    pub repeats: u64,
    /// Waiting events that found their contact; none in a dry run.
    pub linked: u64,
    /// Rows whose number was read with a doubt, by [`NumberWarning::as_str`].
    pub warnings: BTreeMap<&'static str, u64>,
    /// Rows that could not be used.
    pub rejected: Rejections,
}

/// Imports a customer list. Rows about one contact join in the order of the file, wherever batches end; a row whose
/// number and customer id are those of two contacts is rejected. The same file again changes nothing, as long as each
/// customer has one number in it: where numbers change hands within a file, the second reading starts from the last
/// holder and may take a row that the first one refused.
///
/// # Errors
/// When the file cannot be read on, or the store or the reject file cannot be written.
pub async fn import_contacts(
    store: &Store,
    table: Table,
    mut reader: ContactReader,
    now: Timestamp,
    handling: Handling<'_>,
) -> Result<ContactImport, ImportError> {
    let mut desk = Desk::new(&table, handling);
    let mut seen = HashSet::new();
    let read = move |row: &Row| reader.read(row).map(|draft| Told::of(draft, &mut seen));
    let most = if store.waiting_event_count().await? == 0 { MOST_CONTACTS } else { MOST_WITH_WAITING };
    let mut feed = Feed::start(table, most, desk.keeps_rows(), read);
    let mut done = ContactImport::default();
    while let Some(batch) = feed.next().await? {
        let (records, notes): (Vec<_>, Vec<_>) =
            batch.drafts.into_iter().map(|told| (told.record, (told.repeat, told.warning))).unzip();
        let upserted = if desk.dry_run() {
            Upserted { written: store.rehearse_contacts(&records).await?, linked: 0 }
        } else {
            store.upsert_contacts(&records, now).await?
        };
        let conflicts = done.count(&upserted, &notes);
        desk.end_batch(batch.slip, &conflicts, &Reason::PhoneTaken).await?;
    }
    (done.rows, done.rejected) = desk.finish()?;
    Ok(done)
}

impl ContactImport {
    /// Counts a batch; answers the places of the rows that the store refused.
    fn count(&mut self, upserted: &Upserted, notes: &[(bool, Option<NumberWarning>)]) -> Vec<usize> {
        self.linked += upserted.linked;
        let mut conflicts = Vec::new();
        for (at, (written, (repeat, warning))) in upserted.written.iter().zip(notes).enumerate() {
            match written {
                Written::Inserted => self.inserted += 1,
                Written::Updated => self.updated += 1,
                Written::Unchanged => self.unchanged += 1,
                Written::Conflict => {
                    conflicts.push(at);
                    continue;
                }
            }
            self.repeats += u64::from(*repeat);
            if let Some(warning) = warning {
                *self.warnings.entry(warning.as_str()).or_default() += 1;
            }
        }
        conflicts
    }
}

/// A row on its way to the store.
struct Told {
    record: ContactRecord,
    /// An earlier row has its number.
    repeat: bool,
    warning: Option<NumberWarning>,
}

impl Told {
    fn of(draft: ContactDraft, seen: &mut HashSet<Phone>) -> Self {
        let full = seen.len() >= MOST_REMEMBERED;
        let repeat = if full { seen.contains(&draft.phone) } else { !seen.insert(draft.phone) };
        Self { repeat, warning: draft.number_warning, record: record(draft) }
    }
}

fn record(draft: ContactDraft) -> ContactRecord {
    ContactRecord {
        customer_id: draft.customer_id,
        phone: draft.phone,
        country: draft.country.map(|country| country.to_string()),
        number_kind: draft.number_kind.as_str().to_owned(),
        first_name: draft.first_name,
        last_name: draft.last_name,
        email: draft.email,
        locale: draft.locale,
        zone: draft.zone,
        stage: draft.stage,
        consent: draft.consent,
        tags: draft.tags,
        created_at: draft.created_at,
        attrs: Attributes::from_json(&draft.attrs).expect("a draft has a JSON object"),
    }
}

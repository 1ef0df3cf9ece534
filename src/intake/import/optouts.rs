//! A list of numbers that must not be texted into suppressions. Never lifts one.

use super::desk::Desk;
use super::feed::Feed;
use super::{Handling, ImportError, Rejections};
use crate::intake::optout::{OptoutDraft, OptoutReader};
use crate::intake::reason::Reason;
use crate::intake::table::{Row, Table};
use crate::model::clock::Timestamp;
use crate::model::suppression;
use crate::store::suppressions::{EVERY_SENDER, NewSuppression};
use crate::store::{MOST_ROWS, Store};

/// What became of a list of opt-outs. Added, known and rejected rows add up to all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OptoutImport {
    /// Rows of the file.
    pub rows: u64,
    /// In force from now on, or from now on for a reason that no START lifts.
    pub added: u64,
    /// In force before.
    pub already: u64,
    /// Messages that will not leave.
    pub withdrawn: u64,
    /// Rows whose number could not be read.
    pub rejected: Rejections,
}

/// Suppresses every number of the file for every sender, in the operator's name: only the operator can lift that, no
/// START does. Messages to them that have not left are withdrawn. `source` says where the list comes from; it is kept
/// as evidence, together with the time and the reason that a row states.
///
/// # Errors
/// When the file cannot be read on, or the store or the reject file cannot be written.
pub async fn import_optouts(
    store: &Store,
    source: &str,
    table: Table,
    reader: OptoutReader,
    now: Timestamp,
    handling: Handling<'_>,
) -> Result<OptoutImport, ImportError> {
    let mut desk = Desk::new(&table, handling);
    let source = source.to_owned();
    let read = move |row: &Row| reader.read(row).map(|draft| suppression(&draft, &source));
    let mut feed = Feed::start(table, MOST_ROWS, desk.keeps_rows(), read);
    let mut done = OptoutImport::default();
    while let Some(batch) = feed.next().await? {
        let kept = if desk.dry_run() {
            store.rehearse_suppress(&batch.drafts, now).await?
        } else {
            store.suppress(&batch.drafts, now).await?
        };
        done.added += kept.added;
        done.already += kept.already;
        done.withdrawn += kept.withdrawn;
        // The store takes every number, so that nothing is refused.
        desk.end_batch(batch.slip, &[], &Reason::PhoneInvalid).await?;
    }
    (done.rows, done.rejected) = desk.finish()?;
    Ok(done)
}

fn suppression(draft: &OptoutDraft, source: &str) -> NewSuppression {
    let at = draft.at.map(|at| format!(", {}", at.rfc3339())).unwrap_or_default();
    let why = draft.reason.as_deref().map(|why| format!(": {why}")).unwrap_or_default();
    NewSuppression {
        phone: draft.phone,
        scope: EVERY_SENDER.to_owned(),
        reason: suppression::Reason::Operator,
        source: format!("{source}{at}{why}"),
    }
}

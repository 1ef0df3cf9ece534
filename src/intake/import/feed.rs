//! A thread that reads rows ahead of the writer, in batches of bounded size. Never touches the store.

use std::panic::resume_unwind;

use tokio::sync::mpsc;
use tokio::task::{JoinHandle, spawn_blocking};

use super::ImportError;
use crate::intake::IntakeError;
use crate::intake::reason::Reason;
use crate::intake::table::{Next, Row, Table};

/// Bytes of rows after which a batch is full, however few they are.
const MOST_BYTES: usize = 4 << 20;

/// Where a draft comes from.
#[derive(Debug)]
pub(super) struct Origin {
    /// Where its row begins.
    pub(super) line: u64,
    /// The row itself, if rejected rows are to be written.
    pub(super) row: Option<Row>,
}

/// Rows that are written together.
pub(super) struct Batch<T> {
    /// What the good rows say.
    pub(super) drafts: Vec<T>,
    /// Where each draft comes from.
    pub(super) origins: Vec<Origin>,
    /// The bad rows.
    pub(super) bad: Vec<(Origin, Reason)>,
}

impl<T> Batch<T> {
    fn new() -> Self {
        Self { drafts: Vec::new(), origins: Vec::new(), bad: Vec::new() }
    }
}

/// The reading half of an import. Dropped, it stops the thread at its next batch.
pub(super) struct Feed<T> {
    batches: mpsc::Receiver<Batch<T>>,
    reader: JoinHandle<Result<(), IntakeError>>,
}

impl<T: Send + 'static> Feed<T> {
    /// Starts reading batches of at most `most` rows; `read` turns a row into a draft.
    pub(super) fn start(
        table: Table,
        most: usize,
        keep_rows: bool,
        read: impl FnMut(&Row) -> Result<T, Reason> + Send + 'static,
    ) -> Self {
        let (sender, batches) = mpsc::channel(1);
        let reader = spawn_blocking(move || read_all(table, most, keep_rows, read, &sender));
        Self { batches, reader }
    }

    /// The next batch, `None` at the end of the file. Not to be asked again after that.
    pub(super) async fn next(&mut self) -> Result<Option<Batch<T>>, ImportError> {
        if let Some(batch) = self.batches.recv().await {
            return Ok(Some(batch));
        }
        match (&mut self.reader).await {
            Ok(ended) => Ok(ended.map(|()| None)?),
            Err(failed) => {
                Err(failed.try_into_panic().map_or(ImportError::Stopped, |cause| resume_unwind(cause)))
            }
        }
    }
}

fn read_all<T>(
    mut table: Table,
    most: usize,
    keep_rows: bool,
    mut read: impl FnMut(&Row) -> Result<T, Reason>,
    sender: &mpsc::Sender<Batch<T>>,
) -> Result<(), IntakeError> {
    let (mut row, mut batch, mut bytes) = (Row::default(), Batch::new(), 0);
    loop {
        let draft = match table.next_row(&mut row)? {
            Next::Row => read(&row),
            Next::Bad(fault) => Err(fault.into()),
            Next::End => break,
        };
        bytes += row.size();
        let origin = Origin { line: row.line(), row: keep_rows.then(|| row.clone()) };
        match draft {
            Ok(draft) => {
                batch.drafts.push(draft);
                batch.origins.push(origin);
            }
            Err(reason) => batch.bad.push((origin, reason)),
        }
        if batch.drafts.len() + batch.bad.len() < most && bytes < MOST_BYTES {
            continue;
        }
        bytes = 0;
        if sender.blocking_send(std::mem::replace(&mut batch, Batch::new())).is_err() {
            // Nobody writes any more: the import was given up.
            return Ok(());
        }
    }
    if !(batch.drafts.is_empty() && batch.bad.is_empty()) {
        // As above.
        let _ = sender.blocking_send(batch);
    }
    Ok(())
}

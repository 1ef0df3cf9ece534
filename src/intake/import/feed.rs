//! A thread that reads rows ahead of the writer, in batches of bounded size. Never touches the store.

use std::panic::resume_unwind;

use tokio::runtime::Handle;
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
    /// The row itself, if it was rejected, or may be, and rejected rows are to be written.
    pub(super) row: Option<Row>,
}

/// Rows that are read together.
pub(super) struct Batch<D> {
    /// What the good rows say.
    pub(super) drafts: D,
    /// What is booked when they are written.
    pub(super) slip: Slip,
}

/// Where the rows of a batch come from.
#[derive(Default)]
pub(super) struct Slip {
    /// Where each draft comes from.
    pub(super) origins: Vec<Origin>,
    /// The bad rows.
    pub(super) bad: Vec<(Origin, Reason)>,
    /// Bytes of the source that had been read when the batch was full.
    pub(super) read_to: u64,
}

impl Slip {
    fn rows(&self) -> usize {
        self.origins.len() + self.bad.len()
    }
}

/// When a batch is full.
#[derive(Clone, Copy)]
pub(super) struct Most {
    /// Rows.
    pub(super) rows: usize,
    /// Bytes that they keep in memory.
    pub(super) bytes: usize,
}

/// What a good row leaves in a batch.
pub(super) struct Kept {
    /// Bytes in memory.
    pub(super) bytes: usize,
    /// Whether the store may yet refuse it.
    pub(super) refusable: bool,
}

/// The reading half of an import: one batch ahead of the writing one. Dropped, it stops the thread at its next batch.
pub(super) struct Feed<D> {
    batches: mpsc::Receiver<Batch<D>>,
    reader: JoinHandle<Result<(), IntakeError>>,
}

impl<T: Send + 'static> Feed<Vec<T>> {
    /// Starts reading batches of at most `most` rows; `read` turns a row into a draft.
    pub(super) fn start(
        table: Table,
        most: usize,
        keep_rows: bool,
        mut read: impl FnMut(&Row) -> Result<T, Reason> + Send + 'static,
    ) -> Self {
        let gather = move |row: &Row, drafts: &mut Vec<T>| {
            drafts.push(read(row)?);
            Ok(Kept { bytes: row.size(), refusable: true })
        };
        Self::gather(table, Most { rows: most, bytes: MOST_BYTES }, keep_rows, gather, |_| ())
    }
}

impl<D: Default + Send + 'static> Feed<D> {
    /// Starts reading batches; `read` adds what a row says to the drafts, `close` has the last word on those of a batch.
    pub(super) fn gather(
        table: Table,
        most: Most,
        keep_rows: bool,
        read: impl FnMut(&Row, &mut D) -> Result<Kept, Reason> + Send + 'static,
        close: impl FnMut(&mut D) + Send + 'static,
    ) -> Self {
        let (sender, batches) = mpsc::channel(1);
        let runtime = Handle::current();
        let reading = Reading { table, most, keep_rows, read, close };
        let reader = spawn_blocking(move || reading.all(&runtime, &sender));
        Self { batches, reader }
    }

    /// The next batch, `None` at the end of the file. Not to be asked again after that.
    pub(super) async fn next(&mut self) -> Result<Option<Batch<D>>, ImportError> {
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

/// What the thread works with.
struct Reading<R, C> {
    table: Table,
    most: Most,
    keep_rows: bool,
    read: R,
    close: C,
}

impl<R, C> Reading<R, C> {
    /// Reads to the end of the file. A batch is begun when the one before it is being written, and not earlier: there are
    /// never more than two.
    fn all<D: Default>(mut self, runtime: &Handle, sender: &mpsc::Sender<Batch<D>>) -> Result<(), IntakeError>
    where
        R: FnMut(&Row, &mut D) -> Result<Kept, Reason>,
        C: FnMut(&mut D),
    {
        let mut row = Row::default();
        // Without a place nobody writes any more: the import was given up.
        while let Ok(place) = runtime.block_on(sender.reserve()) {
            let mut batch = Batch { drafts: D::default(), slip: Slip::default() };
            let ended = self.batch(&mut row, &mut batch)?;
            if batch.slip.rows() > 0 {
                (self.close)(&mut batch.drafts);
                batch.slip.read_to = self.table.progress().read();
                place.send(batch);
            }
            if ended {
                break;
            }
        }
        Ok(())
    }

    /// Fills a batch; answers whether the file ended.
    fn batch<D>(&mut self, row: &mut Row, batch: &mut Batch<D>) -> Result<bool, IntakeError>
    where
        R: FnMut(&Row, &mut D) -> Result<Kept, Reason>,
    {
        let mut bytes = 0;
        while batch.slip.rows() < self.most.rows && bytes < self.most.bytes {
            let kept = match self.table.next_row(row)? {
                Next::Row => (self.read)(row, &mut batch.drafts),
                Next::Bad(fault) => Err(fault.into()),
                Next::End => return Ok(true),
            };
            let keep = self.keep_rows && kept.as_ref().map_or(true, |kept| kept.refusable);
            let origin = Origin { line: row.line(), row: keep.then(|| row.clone()) };
            bytes += size_of::<Origin>() + if keep { row.size() } else { 0 };
            match kept {
                Ok(kept) => {
                    bytes += kept.bytes;
                    batch.slip.origins.push(origin);
                }
                Err(reason) => batch.slip.bad.push((origin, reason)),
            }
        }
        Ok(false)
    }
}

//! The books of one import: rows and rejected rows counted, written and told. Never touches the store.

use std::io::Write;

use super::feed::{Origin, Slip};
use super::{Handling, ImportError, OpenRejects, Rejected, Rejections, Step};
use crate::intake::reason::Reason;
use crate::intake::rejects::Rejects;
use crate::intake::table::Table;

/// Keeps the books.
pub(super) struct Desk<'a> {
    handling: Handling<'a>,
    headers: Vec<String>,
    total: Option<u64>,
    file: Option<Rejects<Box<dyn Write + Send>>>,
    rejected: Rejections,
    rows: u64,
    /// Bytes of the source up to the end of the last batch.
    bytes: u64,
}

impl<'a> Desk<'a> {
    pub(super) fn new(table: &Table, handling: Handling<'a>) -> Self {
        let (headers, total) = (table.headers().to_vec(), table.progress().total());
        Self { handling, headers, total, file: None, rejected: Rejections::default(), rows: 0, bytes: 0 }
    }

    /// Whether nothing is to be written to the store.
    pub(super) fn dry_run(&self) -> bool {
        self.handling.dry_run
    }

    /// Whether rows are needed after they were read.
    pub(super) fn keeps_rows(&self) -> bool {
        self.handling.rejects.is_some()
    }

    /// Between two transactions of a batch: `written` of its rows are in.
    pub(super) async fn end_part(&mut self, slip: &Slip, written: usize) {
        let (written, all) = (written as u64, slip.origins.len().max(1) as u64);
        let bytes = self.bytes + slip.read_to.saturating_sub(self.bytes) * written / all;
        self.tell(bytes, self.rows + written).await;
    }

    /// Ends a batch: `refused` are the places of those good rows that the store did not take, in order.
    pub(super) async fn end_batch(
        &mut self,
        slip: Slip,
        refused: &[usize],
        reason: &Reason,
    ) -> Result<(), ImportError> {
        let Slip { origins, mut bad, read_to } = slip;
        self.rows += (origins.len() + bad.len()) as u64;
        self.bytes = read_to;
        if !refused.is_empty() {
            let is_refused = |at: &usize| refused.binary_search(at).is_ok();
            let origins = origins.into_iter().enumerate().filter(|(at, _)| is_refused(at));
            bad.extend(origins.map(|(_, origin)| (origin, reason.clone())));
            bad.sort_by_key(|(origin, _)| origin.line);
        }
        for (origin, reason) in bad {
            self.reject(&origin, reason)?;
        }
        self.tell(self.bytes, self.rows).await;
        Ok(())
    }

    /// Tells how far the import is, and leaves the store to others for a while.
    async fn tell(&mut self, bytes: u64, rows: u64) {
        if let Some(tell) = &mut self.handling.progress {
            tell(Step { bytes, total: self.total, rows });
        }
        if !self.handling.pause.is_zero() {
            tokio::time::sleep(self.handling.pause).await;
        }
    }

    /// Closes the books: rows read, rows rejected.
    pub(super) fn finish(self) -> Result<(u64, Rejections), ImportError> {
        if let Some(file) = self.file {
            file.finish()?.flush()?;
        }
        Ok((self.rows, self.rejected))
    }

    fn reject(&mut self, origin: &Origin, reason: Reason) -> Result<(), ImportError> {
        if let Some(row) = &origin.row {
            if let Some(open) = self.handling.rejects.take() {
                self.file = Some(opened(open, &self.headers)?);
            }
            if let Some(file) = &mut self.file {
                file.write(row, &reason).map_err(std::io::Error::from)?;
            }
        }
        self.rejected.count += 1;
        *self.rejected.by_reason.entry(reason.word()).or_default() += 1;
        if self.rejected.first.len() < self.handling.show {
            self.rejected.first.push(Rejected { line: origin.line, reason });
        }
        Ok(())
    }
}

fn opened(open: OpenRejects<'_>, headers: &[String]) -> Result<Rejects<Box<dyn Write + Send>>, ImportError> {
    Ok(Rejects::new(open()?, headers).map_err(std::io::Error::from)?)
}

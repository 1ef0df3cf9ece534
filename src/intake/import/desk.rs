//! The books of one import: rows and rejected rows counted, written and told. Never touches the store.

use std::io::Write;

use super::feed::Origin;
use super::{Handling, ImportError, OpenRejects, Rejected, Rejections, Step};
use crate::intake::reason::Reason;
use crate::intake::rejects::Rejects;
use crate::intake::source::Progress;
use crate::intake::table::Table;

/// Keeps the books.
pub(super) struct Desk<'a> {
    handling: Handling<'a>,
    headers: Vec<String>,
    progress: Progress,
    file: Option<Rejects<Box<dyn Write + Send>>>,
    rejected: Rejections,
    rows: u64,
}

impl<'a> Desk<'a> {
    pub(super) fn new(table: &Table, handling: Handling<'a>) -> Self {
        let (headers, progress) = (table.headers().to_vec(), table.progress());
        Self { handling, headers, progress, file: None, rejected: Rejections::default(), rows: 0 }
    }

    /// Whether nothing is to be written to the store.
    pub(super) fn dry_run(&self) -> bool {
        self.handling.dry_run
    }

    /// Whether rows are needed after they were read.
    pub(super) fn keeps_rows(&self) -> bool {
        self.handling.rejects.is_some()
    }

    /// Ends a batch: `origins` are its good rows, `refused` the places of those the store did not take, in order.
    pub(super) async fn end_batch(
        &mut self,
        origins: Vec<Origin>,
        mut bad: Vec<(Origin, Reason)>,
        refused: &[usize],
        reason: &Reason,
    ) -> Result<(), ImportError> {
        self.rows += (origins.len() + bad.len()) as u64;
        if !refused.is_empty() {
            let is_refused = |at: &usize| refused.binary_search(at).is_ok();
            let origins = origins.into_iter().enumerate().filter(|(at, _)| is_refused(at));
            bad.extend(origins.map(|(_, origin)| (origin, reason.clone())));
            bad.sort_by_key(|(origin, _)| origin.line);
        }
        for (origin, reason) in bad {
            self.reject(&origin, reason)?;
        }
        if let Some(tell) = &mut self.handling.progress {
            tell(Step { bytes: self.progress.read(), total: self.progress.total(), rows: self.rows });
        }
        if !self.handling.pause.is_zero() {
            tokio::time::sleep(self.handling.pause).await;
        }
        Ok(())
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

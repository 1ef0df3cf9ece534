//! Where a launch stands with writing its run, and a chunk of it: messages, their codes, their windows and the cursor in one
//! transaction, or nothing of them.

use std::collections::HashMap;

use crate::dispatch::plan::Sums;
use crate::dispatch::prepare::{Code, Preparer};
use crate::model::clock::Timestamp;
use crate::model::ids::RunId;
use crate::model::run::Run;
use crate::store::batch::Batch;
use crate::store::runs::{PlannedChunk, PlannedMessage};
use crate::store::segments::AudienceRow;
use crate::store::{Store, StoreError};
use crate::telemetry::fault;

/// The messages of one page of the audience.
pub(super) struct Chunk {
    /// The last contact that was looked at.
    to: i64,
    messages: Vec<PlannedMessage>,
    /// Contacts left out for the cap.
    withheld: i64,
    /// Windows that were met in it for the first time: key, opening, closing.
    windows: Vec<(String, Timestamp, Timestamp)>,
}

impl Chunk {
    pub(super) fn new(page: &[AudienceRow]) -> Self {
        let to = page.last().map_or(0, |row| row.contact.id.0);
        Self { to, messages: Vec::with_capacity(page.len()), withheld: 0, windows: Vec::new() }
    }

    /// Adds what a contact gets, if anything; answers whether the code is spent.
    pub(super) fn add(
        &mut self,
        preparer: &mut Preparer<'_>,
        sums: &mut Sums,
        row: &AudienceRow,
        code: Option<Code<'_>>,
    ) -> bool {
        let capped = preparer.is_capped(row);
        let prepared = preparer.prepare(row, code);
        sums.add(row, &prepared, code.map(|code| code.text), capped);
        let Ok(prepared) = prepared else { return false };
        if capped {
            self.withheld += 1;
        } else {
            self.messages.push(prepared.message);
        }
        !capped
    }

    pub(super) fn with_windows(mut self, preparer: &mut Preparer<'_>) -> Self {
        self.windows = preparer.new_windows();
        self
    }
}

/// Where a launch stands with writing its run.
#[derive(Clone)]
pub(super) struct Book {
    pub(super) store: Store,
    pub(super) run: RunId,
    pub(super) now: Timestamp,
    pub(super) audience: i64,
    pub(super) cursor: i64,
    pub(super) written: i64,
    /// Rows of the run's windows, by key.
    windows: HashMap<String, i64>,
}

impl Book {
    pub(super) fn of(store: &Store, run: &Run, now: Timestamp) -> Self {
        Self {
            store: store.clone(),
            run: run.id,
            now,
            audience: run.terms.audience,
            cursor: run.cursor,
            written: run.prepared,
            windows: HashMap::new(),
        }
    }

    /// Writes a chunk in a transaction of its own; `false` when somebody else did, or the run is no longer prepared.
    pub(super) async fn write_alone(&mut self, chunk: &Chunk) -> Result<bool, StoreError> {
        let mut batch = self.store.batch().await?;
        batch.hold_run(self.run).await?;
        self.write(batch, chunk).await
    }

    /// Ends a transaction with a chunk and the windows that it needs; answers as [`Book::write_alone`].
    pub(super) async fn write(&mut self, mut batch: Batch, chunk: &Chunk) -> Result<bool, StoreError> {
        if !chunk.windows.is_empty() {
            self.windows = batch.add_windows(self.run, &chunk.windows).await?;
        }
        let Chunk { to, messages, withheld, .. } = chunk;
        let planned =
            PlannedChunk { run: self.run, from: self.cursor, to: *to, messages, withheld: *withheld };
        if !batch.write_planned(&planned, &self.windows, self.now).await? {
            return Ok(false);
        }
        fault::point("before-chunk");
        batch.commit().await?;
        fault::point("after-chunk");
        self.cursor = *to;
        self.written += i64::try_from(messages.len()).unwrap_or(0);
        Ok(true)
    }
}

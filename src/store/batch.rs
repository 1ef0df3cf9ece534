//! One write transaction that carries the changes of many messages: claims, intents, outcomes, receipts, STOPs.
//!
//! The writer opens a [`Batch`], runs the requests that wait, and commits once; what a method answers is true only
//! after [`Batch::commit`] returned.
//!
//! Locks on PostgreSQL, in this order: messages, then coupons, then runs; rows of one table by rising id where a statement
//! locks them for their own sake. So do outcomes, receipts, evidence, decisions, STOPs and withdrawals. Two begin with
//! the run: a launch, whose messages nobody else sees yet, and an intent, whose money is counted run by run and whose
//! messages are its own claims. A meeting of these with the others can end as a deadlock, which the server resolves and
//! the writer answers by doing its group again.

use std::sync::Arc;

use serde::Serialize;

use super::connection::{Arg, Row, Tx};
use super::dialect::{LOCK_RUNS, statements};
use super::{Store, StoreError, rows};
use crate::model::phone::Phone;

statements! {
    /// Runs of the messages that begin the rows of `$1`.
    RUNS_OF = "SELECT DISTINCT m.run_id FROM jsonb_each(CAST($1 AS TEXT)) AS j CROSS JOIN messages AS m \
        WHERE m.id = CAST(j.value ->> 0 AS BIGINT)";
}

/// A write transaction; dropped without a commit it changes nothing.
pub struct Batch {
    pub(super) tx: Tx,
    pub(super) tag: String,
    pub(super) former: Arc<[String]>,
    pub(super) suppressed: Vec<(Phone, &'static str)>,
}

impl Store {
    /// Starts a write transaction.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub async fn batch(&self) -> Result<Batch, StoreError> {
        let (tag, former) = (self.tag().to_owned(), Arc::clone(&self.former));
        Ok(Batch { tx: self.begin().await?, tag, former, suppressed: Vec::new() })
    }
}

impl Batch {
    /// Makes everything durable (fsynced on SQLite, `synchronous_commit` on PostgreSQL).
    ///
    /// # Errors
    /// When the store cannot be written; then nothing of the batch happened.
    pub async fn commit(self) -> Result<(), StoreError> {
        self.tx.commit().await
    }

    /// Locks the runs of messages, of which each row names one first, so that their money is counted by one node at a time
    /// and none of them is cancelled or finished until the batch ends. SQLite has a single writer anyway.
    pub(super) async fn hold_runs(&mut self, messages: &Arg) -> Result<(), StoreError> {
        if self.tx.is_alone() {
            return Ok(());
        }
        let runs = self.tx.rows(RUNS_OF, vec![messages.clone()]).await?;
        let runs = runs.iter().map(|row| Ok((row.int(0)?,))).collect::<Result<Vec<_>, StoreError>>()?;
        self.tx.rows_of(LOCK_RUNS, vec![json_rows(&runs)?]).await?;
        Ok(())
    }

    /// The numbers that this batch suppresses, each with its scope, for whoever must know as soon as it is committed.
    pub(super) fn suppressed(&mut self) -> Vec<(Phone, &'static str)> {
        std::mem::take(&mut self.suppressed)
    }
}

/// Rows as the JSON list that multi-row statements read.
pub(super) fn json_rows<T: Serialize>(rows: &[T]) -> Result<Arg, StoreError> {
    Ok(Arg::from(rows::json(rows)?))
}

/// Reads a stored word back into its type.
pub(super) fn word<T>(
    row: &Row,
    at: usize,
    what: &'static str,
    read: fn(&str) -> Option<T>,
) -> Result<T, StoreError> {
    let word = row.text(at)?;
    read(&word).ok_or(StoreError::Word { what, word })
}

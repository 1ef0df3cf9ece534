//! Whole files into the store: one thread reads and checks rows, the caller's task writes them batch by batch.
//!
//! Each batch is one short transaction, or several if it was sorted first, so that others get their turn and memory stays
//! flat. An import that breaks off leaves the transactions it had written; run it again, and it ends as if nothing had happened. Never stops at a bad row:
//! it is counted, shown and written to the reject file, and the rest goes on.

mod contacts;
mod coupons;
mod desk;
mod events;
mod feed;
mod optouts;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io::{self, Write};
use std::time::Duration;

use super::IntakeError;
use super::reason::Reason;
use crate::store::StoreError;

pub use contacts::{ContactImport, import_contacts};
pub use coupons::{CouponImport, import_coupons};
pub use events::{EventImport, import_events};
pub use optouts::{OptoutImport, import_optouts};

/// How an import is carried out, and who hears of it. The default writes, shows nothing and tells nobody.
#[derive(Default)]
pub struct Handling<'a> {
    /// Write nothing, but say what would happen. Each batch is compared with the store alone: what an earlier batch of
    /// the same file would have changed (a number that changes hands, a row that comes again much later) is not seen.
    pub dry_run: bool,
    /// How many rejected rows to keep for showing.
    pub show: usize,
    /// How long to leave the store to others after each transaction. A daemon in another process that writes to the same
    /// SQLite file looks for its turn every 25 ms at first; 30 ms lets it in every time.
    pub pause: Duration,
    /// Opens the file for rejected rows; called at the first one, so that there is no file without any.
    pub rejects: Option<OpenRejects<'a>>,
    /// Told after each transaction how far the import is.
    pub progress: Option<&'a mut (dyn FnMut(Step) + Send)>,
}

/// Opens the output for rejected rows.
pub type OpenRejects<'a> = Box<dyn FnOnce() -> io::Result<Box<dyn Write + Send>> + Send + 'a>;

impl std::fmt::Debug for Handling<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Handling").field("dry_run", &self.dry_run).finish_non_exhaustive()
    }
}

/// How far an import is. Reading runs ahead of this by up to two batches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// Bytes read; of a compressed file, compressed bytes.
    pub bytes: u64,
    /// Bytes in all, if that is known.
    pub total: Option<u64>,
    /// Rows written or rejected.
    pub rows: u64,
}

/// The rejected rows of one import.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rejections {
    /// How many.
    pub count: u64,
    /// How many for each reason, by [`Reason::word`].
    pub by_reason: BTreeMap<Cow<'static, str>, u64>,
    /// The first ones, in the order of the file; as many as were asked for.
    pub first: Vec<Rejected>,
}

/// One rejected row, without any of its values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejected {
    /// Where it begins.
    pub line: u64,
    /// Why.
    pub reason: Reason,
}

/// Why an import broke off. What was written before stays; run it again once the cause is gone.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// The file cannot be read on.
    #[error(transparent)]
    Intake(#[from] IntakeError),
    /// The store cannot be written.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The reject file cannot be written.
    #[error("the file for rejected rows cannot be written: {0}")]
    Rejects(#[from] io::Error),
    /// The program is ending.
    #[error("the import was stopped; run it again to finish it")]
    Stopped,
}

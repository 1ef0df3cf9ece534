//! A list of coupon codes into one pool. Never gives a code a worth that its pool does not have.

use super::desk::Desk;
use super::feed::Feed;
use super::{Handling, ImportError, Rejections};
use crate::intake::coupon::{CouponDraft, CouponReader};
use crate::intake::reason::Reason;
use crate::intake::table::{Row, Table};
use crate::intake::value;
use crate::model::clock::Timestamp;
use crate::model::money::Micros;
use crate::store::coupons::{NewCode, Pool};
use crate::store::{MOST_ROWS, Store};

/// What became of a list of codes. Added, repeated and rejected rows add up to all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CouponImport {
    /// Rows of the file.
    pub rows: u64,
    /// New in stock.
    pub added: u64,
    /// In this pool before.
    pub repeated: u64,
    /// Rows that could not be used.
    pub rejected: Rejections,
}

/// Imports codes into `pool`, in the spelling of the file. Where a row says what its code is worth, that must be what
/// the pool says, if that is an amount. A code of another pool is rejected.
///
/// # Errors
/// When the file cannot be read on, or the store or the reject file cannot be written.
pub async fn import_coupons(
    store: &Store,
    pool: &Pool,
    table: Table,
    mut reader: CouponReader,
    now: Timestamp,
    handling: Handling<'_>,
) -> Result<CouponImport, ImportError> {
    let mut desk = Desk::new(&table, handling);
    let (worth, end) = (value::amount(&pool.value).ok(), pool.expires_at);
    let read = move |row: &Row| reader.read(row).and_then(|draft| new_code(&draft, worth, end));
    let mut feed = Feed::start(table, MOST_ROWS, desk.keeps_rows(), read);
    let mut done = CouponImport::default();
    while let Some(batch) = feed.next().await? {
        let kept = if desk.dry_run() {
            store.rehearse_codes(pool.id, &batch.drafts).await?
        } else {
            store.add_codes(pool.id, &batch.drafts, now).await?
        };
        done.added += kept.added;
        done.repeated += kept.repeated;
        desk.end_batch(batch.slip, &kept.elsewhere, &Reason::CodeInPool).await?;
    }
    (done.rows, done.rejected) = desk.finish()?;
    Ok(done)
}

fn new_code(draft: &CouponDraft, worth: Option<Micros>, end: Option<Timestamp>) -> Result<NewCode, Reason> {
    if worth.is_some() && draft.value.is_some() && draft.value != worth {
        return Err(Reason::CodeWorth);
    }
    let expires_at = draft.expires_at.filter(|at| Some(*at) != end);
    Ok(NewCode { code: draft.spelling.reveal().to_owned(), expires_at })
}

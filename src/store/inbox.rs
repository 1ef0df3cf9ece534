//! Raw callbacks as they came, to be read again, and the end of those that match nothing. What they mean is applied as any
//! receipt is, not here.

use std::collections::BTreeSet;

use crate::model::clock::Timestamp;
use crate::model::ids;

use super::batch::{Batch, json_rows};
use super::connection::args;
use super::dialect::statements;
use super::receipts::RawCallback;
use super::{Store, StoreError};

/// A kept callback.
#[derive(Clone, Debug)]
pub struct KeptCallback {
    /// Its number; later ones are higher.
    pub id: i64,
    /// When it came.
    pub received_at: Timestamp,
    /// The request.
    pub raw: RawCallback,
}

impl Batch {
    /// Ends up to `most` receipts that came before an instant and match no text, with the calls they came in; answers
    /// how many receipts. What these calls said of known texts stays in the receipts of those.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub async fn forget_unmatched(&mut self, before: Timestamp, most: i64) -> Result<usize, StoreError> {
        let gone = self.tx.rows(FORGET, args![ids::first_at(before), most]).await?;
        let calls = gone.iter().map(|row| row.int(0)).collect::<Result<BTreeSet<_>, _>>()?;
        let calls: Vec<_> = calls.into_iter().map(|id| (id,)).collect();
        if !calls.is_empty() {
            self.tx.run(FORGET_CALLS, vec![json_rows(&calls)?]).await?;
        }
        Ok(gone.len())
    }

    /// Ends receipt calls that hold no receipt (repeats, and reports of nothing), after one number and up to another;
    /// answers how many.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub async fn forget_empty(&mut self, after: i64, last: i64) -> Result<u64, StoreError> {
        self.tx.run(FORGET_EMPTY, args![after, last]).await
    }
}

impl Store {
    /// The last of the next `most` calls after a number that came before an instant, and how many these are; `None` if
    /// there is none.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn calls_before(
        &self,
        before: Timestamp,
        after: i64,
        most: i64,
    ) -> Result<Option<(i64, i64)>, StoreError> {
        let rows = self.pools.read(CALLS_BEFORE, args![after, ids::first_at(before), most]).await?;
        let row = rows.first().ok_or(StoreError::NoRow)?;
        row.opt_int(0)?.map(|last| Ok((last, row.int(1)?))).transpose()
    }

    /// Whether [`Batch::forget_unmatched`] would find something; takes no turn to write.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn has_unmatched(&self, before: Timestamp) -> Result<bool, StoreError> {
        Ok(!self.pools.read(UNMATCHED, args![ids::first_at(before)]).await?.is_empty())
    }

    /// Receipt callbacks of a route since an instant, in the order of their numbers, from the one after `after`.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn kept_receipts(
        &self,
        route: &str,
        since: Timestamp,
        after: i64,
        limit: i64,
    ) -> Result<Vec<KeptCallback>, StoreError> {
        let rows = self.pools.read(KEPT, args![route, since.0, after, limit]).await?;
        rows.iter()
            .map(|row| {
                Ok(KeptCallback {
                    id: row.int(0)?,
                    received_at: Timestamp(row.int(1)?),
                    raw: RawCallback {
                        kind: "receipt",
                        method: row.text(2)?,
                        url: row.text(3)?,
                        path_ref: row.opt_text(4)?,
                        content_type: row.opt_text(5)?,
                        body: row.text(6)?,
                        body_encoding: if row.text(7)? == "base64" { "base64" } else { "utf8" },
                    },
                })
            })
            .collect()
    }
}

statements! {
    /// `$1` route, `$2` since, `$3` the last number seen, `$4` how many.
    KEPT = "SELECT id, received_at, method, url, path_ref, content_type, body, body_encoding FROM inbox \
        WHERE route = $1 AND kind = 'receipt' AND received_at >= $2 AND id > $3 ORDER BY id LIMIT CAST($4 AS BIGINT)";
    /// `$1` the first number that is young enough.
    UNMATCHED = "SELECT id FROM receipts WHERE message_id IS NULL AND inbox_id < $1 ORDER BY inbox_id LIMIT 1";
    /// `$1` the first number that is young enough, `$2` most. Numbers rise with time.
    FORGET = "DELETE FROM receipts WHERE message_id IS NULL AND id IN (\
        SELECT id FROM receipts WHERE message_id IS NULL AND inbox_id < $1 ORDER BY inbox_id LIMIT CAST($2 AS BIGINT)) RETURNING inbox_id";
    /// `$1` numbers of calls; those with more of these receipts go with the last of them.
    FORGET_CALLS = "DELETE FROM inbox WHERE id IN (\
          SELECT CAST(j.value ->> 0 AS BIGINT) FROM jsonb_each(CAST($1 AS TEXT)) AS j) \
        AND NOT EXISTS (SELECT 1 FROM receipts AS r WHERE r.inbox_id = inbox.id AND r.message_id IS NULL)";
    /// `$1` the last number seen, `$2` the first number that is young enough, `$3` most.
    CALLS_BEFORE = "SELECT max(g.id), count(*) FROM (\
        SELECT id FROM inbox WHERE id > $1 AND id < $2 ORDER BY id LIMIT CAST($3 AS BIGINT)) AS g";
    /// `$1`, `$2` the numbers after which and up to which.
    FORGET_EMPTY = "DELETE FROM inbox WHERE id > $1 AND id <= $2 AND kind = 'receipt' \
        AND NOT EXISTS (SELECT 1 FROM receipts AS r WHERE r.inbox_id = inbox.id)";
}

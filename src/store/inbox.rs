//! Raw callbacks as they came, to be read again. Never writes: what they mean is applied as any receipt is.

use crate::model::clock::Timestamp;

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

impl Store {
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
        WHERE route = $1 AND kind = 'receipt' AND received_at >= $2 AND id > $3 ORDER BY id LIMIT $4";
}

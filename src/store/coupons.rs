//! The stock of coupon codes: pools, their codes, and books that balance.
//!
//! Codes change hands together with messages, which is written with those; here they only come in and are counted.

use serde::Serialize;

use super::connection::{Row, Tx, args};
use super::dialect::statements;
use super::{Store, StoreError, rows};
use crate::model::clock::Timestamp;
use crate::model::ids::{CouponId, MessageId, PoolId};

/// A stock of codes that are worth the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pool {
    /// Its row.
    pub id: PoolId,
    /// Its name in campaign files.
    pub name: String,
    /// What a code is worth, as customers read it.
    pub value: String,
    /// When its codes end, unless a code says otherwise.
    pub expires_at: Option<Timestamp>,
    /// When it was created.
    pub created_at: Timestamp,
}

/// A code on its way into a pool.
#[derive(Clone, PartialEq, Eq)]
pub struct NewCode {
    /// The code, in the spelling that is printed.
    pub code: String,
    /// When it ends, if that differs from its pool.
    pub expires_at: Option<Timestamp>,
}

impl std::fmt::Debug for NewCode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NewCode").field("expires_at", &self.expires_at).finish_non_exhaustive()
    }
}

/// What became of a batch of codes. The counts, and the number of those elsewhere, add up to the number given.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AddedCodes {
    /// New in stock.
    pub added: u64,
    /// In this pool before, or given twice; nothing changed.
    pub repeated: u64,
    /// Places, in the batch, of those in another pool; not added, because one code must not mean two things.
    pub elsewhere: Vec<usize>,
}

/// The codes of a pool by state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct PoolCounts {
    /// Nobody has it.
    pub available: i64,
    /// Printed in a message that has not been accepted yet.
    pub reserved: i64,
    /// Somebody has it.
    pub sent: i64,
    /// Used.
    pub redeemed: i64,
    /// Ended unused.
    pub expired: i64,
    /// Withdrawn by the operator.
    pub voided: i64,
    /// Nobody knows whether somebody has it.
    pub quarantined: i64,
}

impl PoolCounts {
    /// All codes that ever came in: the books balance when the states add up to it.
    pub fn stock(&self) -> i64 {
        self.available
            + self.reserved
            + self.sent
            + self.redeemed
            + self.expired
            + self.voided
            + self.quarantined
    }
}

/// One code as stored.
#[derive(Clone, PartialEq, Eq)]
pub struct StoredCode {
    /// Its row.
    pub id: CouponId,
    /// The code.
    pub code: String,
    /// Its state, as a word.
    pub state: String,
    /// The message it is or was printed in.
    pub message: Option<MessageId>,
    /// When it ends, if that differs from its pool.
    pub expires_at: Option<Timestamp>,
    /// When its state last changed.
    pub changed_at: Timestamp,
}

impl std::fmt::Debug for StoredCode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StoredCode").field("id", &self.id).field("state", &self.state).finish_non_exhaustive()
    }
}

impl Store {
    /// Creates a pool; the same pool again changes nothing.
    ///
    /// # Errors
    /// [`StoreError::Refused`] when a pool of this name has another value or expiry.
    pub async fn create_pool(
        &self,
        name: &str,
        value: &str,
        expires_at: Option<Timestamp>,
        now: Timestamp,
    ) -> Result<Pool, StoreError> {
        let mut tx = self.begin().await?;
        tx.run(INSERT_POOL, args![name, value, expires_at.map(|at| at.0), now.0]).await?;
        let rows = tx.rows(POOL, args![name]).await?;
        let pool = read_pool(rows.first().ok_or(StoreError::NoRow)?)?;
        tx.commit().await?;
        if pool.value == value && pool.expires_at == expires_at {
            return Ok(pool);
        }
        let until = pool.expires_at.map_or("no expiry".to_owned(), |at| format!("expiry {}", at.rfc3339()));
        Err(StoreError::Refused(format!(
            "pool `{name}` exists with value {} and {until}; a pool never changes what its codes are worth, \
             so choose another name",
            pool.value
        )))
    }

    /// The pool of this name.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn pool(&self, name: &str) -> Result<Option<Pool>, StoreError> {
        self.pools.read(POOL, args![name]).await?.first().map(read_pool).transpose()
    }

    /// Every pool, by name.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn coupon_pools(&self) -> Result<Vec<Pool>, StoreError> {
        self.pools.read(POOLS, vec![]).await?.iter().map(read_pool).collect()
    }

    /// Adds up to [`rows::MOST_ROWS`] codes to a pool in one transaction; a code exists once in the whole store.
    ///
    /// # Errors
    /// When there is no such pool, the batch is too large, or the store cannot be written.
    pub async fn add_codes(
        &self,
        pool: PoolId,
        codes: &[NewCode],
        now: Timestamp,
    ) -> Result<AddedCodes, StoreError> {
        self.put_codes(pool, codes, now, true).await
    }

    /// What [`Store::add_codes`] would answer; keeps nothing.
    ///
    /// # Errors
    /// As [`Store::add_codes`].
    pub async fn rehearse_codes(&self, pool: PoolId, codes: &[NewCode]) -> Result<AddedCodes, StoreError> {
        self.put_codes(pool, codes, Timestamp(0), false).await
    }

    async fn put_codes(
        &self,
        pool: PoolId,
        codes: &[NewCode],
        now: Timestamp,
        keep: bool,
    ) -> Result<AddedCodes, StoreError> {
        rows::refuse_more_than(rows::MOST_ROWS, codes.len())?;
        let lines: Vec<_> =
            codes.iter().enumerate().map(|(n, c)| (c.code.as_str(), c.expires_at, n)).collect();
        let list = rows::json(&lines)?;
        let given = codes.len() as u64;
        let mut tx = self.begin().await?;
        let added = tx.run(INSERT_CODES, args![list.as_str(), pool.0, now.0]).await?;
        let elsewhere = if added < given { find_elsewhere(&mut tx, list, pool).await? } else { vec![] };
        tx.close(keep).await?;
        let repeated = given.saturating_sub(added + elsewhere.len() as u64);
        Ok(AddedCodes { added, repeated, elsewhere })
    }

    /// The codes of a pool by state.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn pool_counts(&self, pool: PoolId) -> Result<PoolCounts, StoreError> {
        let mut counts = PoolCounts::default();
        for row in self.pools.read(COUNT_BY_STATE, args![pool.0]).await? {
            let state = row.text(0)?;
            let slot = match state.as_str() {
                "available" => &mut counts.available,
                "reserved" => &mut counts.reserved,
                "sent" => &mut counts.sent,
                "redeemed" => &mut counts.redeemed,
                "expired" => &mut counts.expired,
                "voided" => &mut counts.voided,
                "quarantined" => &mut counts.quarantined,
                _ => return Err(StoreError::Word { what: "coupon state", word: state }),
            };
            *slot = row.int(1)?;
        }
        Ok(counts)
    }

    /// Codes of a pool in the order they came in, from the one after `after`; only those of one state if it is named.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn codes(
        &self,
        pool: PoolId,
        state: Option<&str>,
        after: Option<CouponId>,
        limit: i64,
    ) -> Result<Vec<StoredCode>, StoreError> {
        let after = after.map_or(0, |id| id.0);
        let args = args![pool.0, state.map(str::to_owned), after, limit];
        self.pools.read(CODES, args).await?.iter().map(read_code).collect()
    }
}

async fn find_elsewhere(tx: &mut Tx, list: String, pool: PoolId) -> Result<Vec<usize>, StoreError> {
    tx.rows(ELSEWHERE, args![list, pool.0]).await?.iter().map(rows::place).collect()
}

fn read_pool(row: &Row) -> Result<Pool, StoreError> {
    Ok(Pool {
        id: PoolId(row.int(0)?),
        name: row.text(1)?,
        value: row.text(2)?,
        expires_at: row.opt_int(3)?.map(Timestamp),
        created_at: Timestamp(row.int(4)?),
    })
}

fn read_code(row: &Row) -> Result<StoredCode, StoreError> {
    Ok(StoredCode {
        id: CouponId(row.int(0)?),
        code: row.text(1)?,
        state: row.text(2)?,
        message: row.opt_int(3)?.map(MessageId),
        expires_at: row.opt_int(4)?.map(Timestamp),
        changed_at: Timestamp(row.int(5)?),
    })
}

statements! {
    INSERT_POOL = "INSERT INTO pools (name, value, expires_at, created_at) VALUES ($1, $2, $3, $4) \
                   ON CONFLICT (name) DO NOTHING";
    POOL = "SELECT id, name, value, expires_at, created_at FROM pools WHERE name = $1";
    POOLS = "SELECT id, name, value, expires_at, created_at FROM pools ORDER BY name";
    /// `$1` rows of code, expiry and place, `$2` pool, `$3` now.
    INSERT_CODES = "INSERT INTO coupons (pool_id, code, state, expires_at, created_at, changed_at) \
                    SELECT CAST($2 AS BIGINT), j.value ->> 0, 'available', CAST(j.value ->> 1 AS BIGINT), \
                      CAST($3 AS BIGINT), CAST($3 AS BIGINT) \
                    FROM jsonb_each(CAST($1 AS TEXT)) AS j WHERE true ON CONFLICT (code) DO NOTHING";
    /// `$1` rows of code, expiry and place, `$2` pool.
    ELSEWHERE = "SELECT CAST(j.value ->> 2 AS BIGINT) FROM jsonb_each(CAST($1 AS TEXT)) AS j \
                   CROSS JOIN coupons AS c \
                 WHERE c.code = j.value ->> 0 AND c.pool_id <> CAST($2 AS BIGINT) ORDER BY 1";
    COUNT_BY_STATE = "SELECT state, count(*) FROM coupons WHERE pool_id = $1 GROUP BY state";
    /// `$1` pool, `$2` state or null, `$3` the last id seen, `$4` how many.
    CODES = "SELECT id, code, state, message_id, expires_at, changed_at FROM coupons \
             WHERE pool_id = $1 AND (CAST($2 AS TEXT) IS NULL OR state = $2) AND id > $3 ORDER BY id LIMIT CAST($4 AS BIGINT)";
}

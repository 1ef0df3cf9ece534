//! Numbers that must not be texted: in force from the moment their transaction commits, kept for good as evidence.
//!
//! Suppressing withdraws in the same transaction every message that has not left. What a word from a customer means,
//! and what a START may lift, is decided in `text` and `model`.

use std::collections::BTreeMap;

use serde::Serialize;

use super::connection::{Row, Tx, args};
use super::contacts::{read_phone, stored_phone};
use super::dialect::statements;
use super::evidence::{in_doubt_all_the_same, may_have_arrived};
use super::{Store, StoreError, rows};
use crate::model::clock::Timestamp;
use crate::model::phone::Phone;
use crate::model::state::Dispatch;
use crate::model::suppression::Reason;

/// The scope of a suppression that holds for every sender; any other scope is the name of one sender.
pub const EVERY_SENDER: &str = "all";

/// A number to be suppressed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewSuppression {
    /// The number.
    pub phone: Phone,
    /// [`EVERY_SENDER`] or one sender.
    pub scope: String,
    /// Why.
    pub reason: Reason,
    /// Where that was learned: a route, a file, a person.
    pub source: String,
}

/// What suppressing did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Suppressed {
    /// In force from now on.
    pub added: u64,
    /// In force before, for a reason at least as firm.
    pub already: u64,
    /// Messages that will not leave.
    pub withdrawn: u64,
}

/// A period during which a number must not be texted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Suppression {
    /// Its row.
    pub id: i64,
    /// The number.
    pub phone: Phone,
    /// [`EVERY_SENDER`] or one sender.
    pub scope: String,
    /// Why.
    pub reason: Reason,
    /// Where that was learned.
    pub source: String,
    /// Its beginning.
    pub created_at: Timestamp,
    /// Its end, none while it is in force.
    pub lifted_at: Option<Timestamp>,
    /// Who ended it.
    pub lifted_by: Option<String>,
}

impl Suppression {
    /// Whether it was in force at an instant.
    pub fn holds_at(&self, at: Timestamp) -> bool {
        self.created_at <= at && self.lifted_at.is_none_or(|lifted| lifted > at)
    }
}

impl Store {
    /// Suppresses up to [`rows::MOST_ROWS`] numbers in one transaction; see [`suppress_in`].
    ///
    /// # Errors
    /// When the batch is too large or the store cannot be written.
    pub async fn suppress(&self, list: &[NewSuppression], now: Timestamp) -> Result<Suppressed, StoreError> {
        let mut tx = self.begin().await?;
        let done = suppress_in(&mut tx, list, now).await?;
        tx.commit().await?;
        Ok(done)
    }

    /// What [`Store::suppress`] would do; keeps nothing.
    ///
    /// # Errors
    /// As [`Store::suppress`].
    pub async fn rehearse_suppress(
        &self,
        list: &[NewSuppression],
        now: Timestamp,
    ) -> Result<Suppressed, StoreError> {
        let mut tx = self.begin().await?;
        let done = suppress_in(&mut tx, list, now).await?;
        tx.rollback().await?;
        Ok(done)
    }

    /// Ends what a START from this number may end; see [`lift_in`].
    ///
    /// # Errors
    /// When the store cannot be written.
    pub async fn lift(&self, phone: Phone, by: &str, now: Timestamp) -> Result<u64, StoreError> {
        let mut tx = self.begin().await?;
        let lifted = lift_in(&mut tx, phone, by, now).await?;
        tx.commit().await?;
        Ok(lifted)
    }

    /// Ends these suppressions of a number, where they are still in force; answers how many. Whether they may be ended is
    /// the caller's to know.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub async fn lift_rows(
        &self,
        phone: Phone,
        list: &[i64],
        by: &str,
        now: Timestamp,
    ) -> Result<u64, StoreError> {
        let list: Vec<(i64,)> = list.iter().map(|id| (*id,)).collect();
        let mut tx = self.begin().await?;
        let lifted = tx.run(LIFT_ROWS, args![stored_phone(phone), by, now.0, rows::json(&list)?]).await?;
        tx.commit().await?;
        Ok(lifted)
    }

    /// Suppressions, in force and lifted, in the order they were made, from the one after `after`.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn suppressions(&self, after: i64, limit: i64) -> Result<Vec<Suppression>, StoreError> {
        self.pools.read(PAGE, args![after, limit]).await?.iter().map(read_suppression).collect()
    }

    /// The history of one number, oldest first.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn suppressions_of(&self, phone: Phone) -> Result<Vec<Suppression>, StoreError> {
        let rows = self.pools.read(OF_PHONE, args![stored_phone(phone)]).await?;
        rows.iter().map(read_suppression).collect()
    }

    /// Whether this sender must not text this number; [`EVERY_SENDER`] asks about the whole number alone.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn is_suppressed(&self, phone: Phone, sender: &str) -> Result<bool, StoreError> {
        Ok(!self.pools.read(IN_FORCE, args![stored_phone(phone), sender]).await?.is_empty())
    }

    /// What is in force against these numbers, each with the sender that wants to text it: number and scope.
    ///
    /// # Errors
    /// When the list is too long or the store cannot be read.
    pub async fn suppressed_among(
        &self,
        pairs: &[(Phone, String)],
    ) -> Result<Vec<(Phone, String)>, StoreError> {
        rows::refuse_more_than(rows::MOST_ROWS, pairs.len())?;
        let pairs: Vec<_> = pairs.iter().map(|(phone, sender)| (stored_phone(*phone), sender)).collect();
        let rows = self.pools.read(AMONG, args![rows::json(&pairs)?]).await?;
        rows.iter().map(|row| Ok((read_phone(row.int(0)?)?, row.text(1)?))).collect()
    }
}

/// Suppresses numbers inside the caller's transaction: adds what is not in force yet, replaces a reason that a START
/// could lift by one that it cannot, and withdraws the messages concerned. Their coupons return to stock, except
/// those of messages that may have been sent once: these are quarantined.
pub(crate) async fn suppress_in(
    tx: &mut Tx,
    list: &[NewSuppression],
    now: Timestamp,
) -> Result<Suppressed, StoreError> {
    rows::refuse_more_than(rows::MOST_ROWS, list.len())?;
    if list.is_empty() {
        return Ok(Suppressed::default());
    }
    let lines = firmest(list);
    let given = rows::json(&lines)?;
    let firm: Vec<_> = lines.iter().filter(|line| !line.reason().lifted_by_start()).collect();
    if !firm.is_empty() {
        tx.run(REPLACE_WEAKER, args![rows::json(&firm)?, now.0, words(Reason::lifted_by_start)?]).await?;
    }
    let added = tx.run(INSERT, args![given.as_str(), now.0]).await?;
    let withdrawn = withdraw(tx, given, now).await?;
    Ok(Suppressed { added, already: (list.len() as u64).saturating_sub(added), withdrawn })
}

/// Ends, inside the caller's transaction, every suppression of a number that a START from it may end.
pub(crate) async fn lift_in(tx: &mut Tx, phone: Phone, by: &str, now: Timestamp) -> Result<u64, StoreError> {
    tx.run(LIFT, args![stored_phone(phone), by, now.0, words(Reason::lifted_by_start)?]).await
}

/// A row of the batch; serialised as an array in this order.
#[derive(Serialize)]
struct Line<'a>(i64, &'a str, Reason, &'a str);

impl Line<'_> {
    fn reason(&self) -> Reason {
        self.2
    }
}

/// Each number and scope once, with its first reason that a START cannot lift, else with its first reason.
fn firmest(list: &[NewSuppression]) -> Vec<Line<'_>> {
    let mut lines = BTreeMap::new();
    for new in list {
        let line = Line(stored_phone(new.phone), &new.scope, new.reason, &new.source);
        let kept = lines.entry((line.0, line.1)).or_insert_with(|| Line(line.0, line.1, line.2, line.3));
        if kept.reason().lifted_by_start() && !line.reason().lifted_by_start() {
            *kept = line;
        }
    }
    lines.into_values().collect()
}

/// The reasons that `which` picks, as one argument.
fn words(which: fn(Reason) -> bool) -> Result<String, StoreError> {
    let words: Vec<[&str; 1]> =
        Reason::ALL.into_iter().filter(|reason| which(*reason)).map(|reason| [reason.as_str()]).collect();
    rows::json(&words)
}

async fn withdraw(tx: &mut Tx, list: String, now: Timestamp) -> Result<u64, StoreError> {
    let rows = tx.rows(WITHDRAW, args![list, now.0]).await?;
    let (mut free, mut doubtful) = (Vec::new(), Vec::new());
    for row in &rows {
        // The message is named too: a coupon that has another message by now is not ours to move.
        let Some(coupon) = row.opt_int(1)? else { continue };
        let to = if row.text(2)? == Dispatch::Unknown.as_str() { &mut doubtful } else { &mut free };
        to.push((coupon, row.int(0)?));
    }
    if !free.is_empty() {
        tx.run(RELEASE_COUPONS, args![rows::json(&free)?, now.0]).await?;
    }
    if !doubtful.is_empty() {
        tx.run(QUARANTINE_COUPONS, args![rows::json(&doubtful)?, now.0]).await?;
    }
    Ok(rows.len() as u64)
}

fn read_suppression(row: &Row) -> Result<Suppression, StoreError> {
    let reason = row.text(3)?;
    let reason =
        Reason::from_word(&reason).ok_or(StoreError::Word { what: "suppression reason", word: reason })?;
    Ok(Suppression {
        id: row.int(0)?,
        phone: read_phone(row.int(1)?)?,
        scope: row.text(2)?,
        reason,
        source: row.text(4)?,
        created_at: Timestamp(row.int(5)?),
        lifted_at: row.opt_int(6)?.map(Timestamp),
        lifted_by: row.opt_text(7)?,
    })
}

statements! {
    /// `$1` rows of number, scope, reason, source; `$2` now.
    INSERT = "INSERT INTO suppressions (phone, scope, reason, source, created_at) \
              SELECT CAST(j.value ->> 0 AS BIGINT), j.value ->> 1, j.value ->> 2, j.value ->> 3, CAST($2 AS BIGINT) \
              FROM jsonb_each(CAST($1 AS TEXT)) AS j WHERE true \
              ON CONFLICT (phone, scope) WHERE lifted_at IS NULL DO NOTHING";
    /// `$1` rows of number, scope, reason, source; `$2` now; `$3` the reasons that yield.
    REPLACE_WEAKER = "UPDATE suppressions SET lifted_at = CAST($2 AS BIGINT), lifted_by = 'a firmer reason' \
                      WHERE lifted_at IS NULL \
                        AND reason IN (SELECT w.value ->> 0 FROM jsonb_each(CAST($3 AS TEXT)) AS w) \
                        AND id IN (SELECT s.id FROM jsonb_each(CAST($1 AS TEXT)) AS j CROSS JOIN suppressions AS s \
                                   WHERE s.phone = CAST(j.value ->> 0 AS BIGINT) AND s.scope = j.value ->> 1 \
                                     AND s.lifted_at IS NULL)";
    /// `$1` number, `$2` by whom, `$3` now, `$4` the reasons that yield.
    LIFT = "UPDATE suppressions SET lifted_at = CAST($3 AS BIGINT), lifted_by = $2 \
            WHERE phone = CAST($1 AS BIGINT) AND lifted_at IS NULL \
              AND reason IN (SELECT w.value ->> 0 FROM jsonb_each(CAST($4 AS TEXT)) AS w)";
    /// `$1` number, `$2` by whom, `$3` now, `$4` rows.
    LIFT_ROWS = "UPDATE suppressions SET lifted_at = CAST($3 AS BIGINT), lifted_by = $2 \
                 WHERE phone = CAST($1 AS BIGINT) AND lifted_at IS NULL \
                   AND id IN (SELECT CAST(w.value ->> 0 AS BIGINT) FROM jsonb_each(CAST($4 AS TEXT)) AS w)";
    /// T5 and T17. `$1` rows of number, scope, reason, source; `$2` now. What may be leaving is not touched.
    WITHDRAW = concat!("UPDATE messages SET dispatch = CASE WHEN ", may_have_arrived!(), " THEN 'unknown' ELSE 'suppressed' END, \
                  reason = 'suppressed' || CASE WHEN ", may_have_arrived!(), " THEN ", in_doubt_all_the_same!(), " ELSE '' END, \
                  owner = NULL, lease_until = NULL, settled_at = CAST($2 AS BIGINT) \
                WHERE dispatch IN ('planned', 'queued', 'claimed') \
                  AND id IN (SELECT m.id FROM jsonb_each(CAST($1 AS TEXT)) AS j CROSS JOIN messages AS m \
                             WHERE m.phone = CAST(j.value ->> 0 AS BIGINT) \
                               AND m.dispatch IN ('planned', 'queued', 'claimed') \
                               AND (j.value ->> 1 = 'all' OR j.value ->> 1 = m.sender)) \
                RETURNING id, coupon_id, dispatch");
    /// `$1` rows of coupon and message, `$2` now. A code that a text proven late carries too goes to that text.
    RELEASE_COUPONS = "UPDATE coupons SET state = CASE WHEN contested_by IS NULL THEN 'available' ELSE 'sent' END, \
                         message_id = contested_by, contested_by = NULL, changed_at = CAST($2 AS BIGINT) \
                       FROM (SELECT CAST(j.value ->> 0 AS BIGINT) AS coupon, CAST(j.value ->> 1 AS BIGINT) AS message \
                             FROM jsonb_each(CAST($1 AS TEXT)) AS j) AS w \
                       WHERE coupons.id = w.coupon AND message_id = w.message AND state IN ('reserved', 'quarantined')";
    /// `$1` rows of coupon and message, `$2` now.
    QUARANTINE_COUPONS = "UPDATE coupons SET state = 'quarantined', changed_at = CAST($2 AS BIGINT) \
                          FROM (SELECT CAST(j.value ->> 0 AS BIGINT) AS coupon, \
                                  CAST(j.value ->> 1 AS BIGINT) AS message \
                                FROM jsonb_each(CAST($1 AS TEXT)) AS j) AS w \
                          WHERE coupons.id = w.coupon AND message_id = w.message AND state = 'reserved'";
    PAGE = "SELECT id, phone, scope, reason, source, created_at, lifted_at, lifted_by FROM suppressions \
            WHERE id > $1 ORDER BY id LIMIT CAST($2 AS BIGINT)";
    OF_PHONE = "SELECT id, phone, scope, reason, source, created_at, lifted_at, lifted_by FROM suppressions \
                WHERE phone = $1 ORDER BY id";
    /// `$1` rows of number, sender.
    AMONG = "SELECT DISTINCT s.phone, s.scope FROM jsonb_each(CAST($1 AS TEXT)) AS j CROSS JOIN suppressions AS s \
             WHERE s.phone = CAST(j.value ->> 0 AS BIGINT) AND s.lifted_at IS NULL \
               AND s.scope IN ('all', j.value ->> 1)";
    /// `$1` number, `$2` sender.
    IN_FORCE = "SELECT id FROM suppressions WHERE phone = $1 AND lifted_at IS NULL AND scope IN ('all', $2) LIMIT 1";
}

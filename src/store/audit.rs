//! What an audit asks: the facts of messages that a provider says it took, and where every message stands.
//!
//! Only reads, in pages that the caller bounds; it judges nothing.

use crate::model::clock::Timestamp;
use crate::model::ids::{CouponId, MessageId, RunId};
use crate::model::money::Micros;
use crate::model::phone::Phone;
use crate::model::run::RunState;
use crate::model::state::Dispatch;

use super::batch::{json_rows, word};
use super::claims::phone;
use super::connection::{Row, args};
use super::dialect::statements;
use super::evidence::open_copy;
use super::{Store, StoreError};

/// A text that reached its provider this long after a STOP was not on its way any more when the STOP came.
const ON_ITS_WAY_MS: i64 = 10_000;

statements! {
    /// `$1` rows of (place, message, attempt, when it was taken), `$2` how long a text may be on its way. A STOP counts
    /// that was recorded before the intent, or long before the provider took the text, and was not lifted until then.
    /// What was lifted is read once for a page: an index finds only what is in force.
    TAKEN = "WITH lifted AS MATERIALIZED (\
          SELECT phone, scope, created_at, lifted_at FROM suppressions WHERE lifted_at IS NOT NULL) \
        SELECT CAST(j.value ->> 0 AS BIGINT), m.id, m.run_id, m.phone, m.body, m.price, m.window_id, w.key, \
          m.coupon_id, c.code, \
          CASE WHEN a.message_id IS NULL THEN CAST(0 AS BIGINT) ELSE CAST(1 AS BIGINT) END, \
          CASE WHEN EXISTS (SELECT 1 FROM suppressions AS s WHERE s.phone = m.phone AND s.lifted_at IS NULL \
            AND s.scope IN ('all', m.sender) AND (s.created_at < a.intent_at \
              OR s.created_at + $2 < CAST(j.value ->> 3 AS BIGINT))) \
            OR m.phone IN (SELECT phone FROM lifted) AND EXISTS (SELECT 1 FROM lifted AS s WHERE s.phone = m.phone \
            AND s.scope IN ('all', m.sender) AND ((s.created_at < a.intent_at AND s.lifted_at > a.intent_at) \
              OR (s.created_at + $2 < CAST(j.value ->> 3 AS BIGINT) AND s.lifted_at > CAST(j.value ->> 3 AS BIGINT)))) \
          THEN CAST(1 AS BIGINT) ELSE CAST(0 AS BIGINT) END, \
          CASE WHEN m.body = '' AND r.pruned > 0 THEN CAST(1 AS BIGINT) ELSE CAST(0 AS BIGINT) END, \
          CASE WHEN m.coupon_id IS NOT NULL AND (c.id IS NULL OR c.message_id <> m.id OR m.dispatch = 'accepted' \
            AND (c.message_id IS NULL OR c.state NOT IN ('sent', 'redeemed', 'expired'))) \
          THEN CAST(1 AS BIGINT) ELSE CAST(0 AS BIGINT) END \
        FROM jsonb_each(CAST($1 AS TEXT)) AS j JOIN messages AS m ON m.id = CAST(j.value ->> 1 AS BIGINT) \
        JOIN runs AS r ON r.id = m.run_id JOIN run_windows AS w ON w.id = m.window_id \
        LEFT JOIN attempts AS a ON a.message_id = m.id AND a.number = CAST(j.value ->> 2 AS BIGINT) \
        LEFT JOIN coupons AS c ON c.id = m.coupon_id";
    /// Codes that somebody was given by a message that does not say so. `$1` the run or 0 for all, `$2` the last message
    /// seen, `$3` how many.
    ESTRANGED = "SELECT m.id, m.phone FROM coupons AS c JOIN messages AS m ON m.id = c.message_id \
        WHERE c.state <> 'available' AND m.coupon_id IS NULL \
          AND (CAST($1 AS BIGINT) = 0 OR m.run_id = CAST($1 AS BIGINT)) \
          AND m.id > $2 GROUP BY m.id, m.phone ORDER BY m.id LIMIT CAST($3 AS BIGINT)";
    /// `$1` the last message seen, `$2` the run or 0 for all, `$3` how many.
    STANDING = concat!("SELECT m.id, m.phone, m.dispatch, m.possible_duplicate, r.state, \
          CASE WHEN m.possible_duplicate = 1 AND (m.body <> '' OR r.pruned = 0) THEN (SELECT count(*) FROM attempts AS a \
            WHERE a.message_id = m.id AND (a.outcome IS NULL OR a.outcome IN ('accepted', 'unknown', 'garbled'))) END, \
          CASE WHEN m.possible_duplicate = 1 THEN (SELECT count(*) FROM attempts AS a WHERE a.message_id = m.id AND ",
            open_copy!(), ") ELSE 0 END \
        FROM messages AS m JOIN runs AS r ON r.id = m.run_id \
        WHERE m.id > $1 AND (CAST($2 AS BIGINT) = 0 OR m.run_id = CAST($2 AS BIGINT)) ORDER BY m.id LIMIT CAST($3 AS BIGINT)");
}

/// What our own tables say of one text that a provider took.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TakenFacts {
    /// Where the question stood in its page.
    pub place: usize,
    /// The message.
    pub message: MessageId,
    /// Its run.
    pub run: RunId,
    /// Where it was to go.
    pub phone: Phone,
    /// Its text.
    pub body: String,
    /// Its price.
    pub price: Micros,
    /// Its window.
    pub window: i64,
    /// What the window is computed from.
    pub window_key: String,
    /// The code reserved for it.
    pub coupon: Option<(CouponId, String)>,
    /// Whether the intent of this attempt was recorded.
    pub intended: bool,
    /// Whether the number had said STOP before.
    pub stopped: bool,
    /// Whether retention took its text and its attempts away.
    pub pruned: bool,
    /// Whether its code is somebody else's in the books, or it is accepted while its code is not given out to it.
    pub code_elsewhere: bool,
}

/// Where one message stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// The message.
    pub message: MessageId,
    /// Where it goes.
    pub phone: Phone,
    /// Its state.
    pub dispatch: Dispatch,
    /// Whether it was decided that it may be sent twice.
    pub possible_duplicate: bool,
    /// Where its run stands.
    pub run: RunState,
    /// Of what was sent again, the attempts that may have been taken; none where retention took them away.
    pub copies: Option<i64>,
    /// Of these, those of which nobody knows or has decided what became of them.
    pub open_copies: i64,
}

impl Store {
    /// The facts of taken texts: (message, attempt, when it was taken). A message that is not there has no answer.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn taken_facts(
        &self,
        texts: &[(MessageId, i64, Timestamp)],
    ) -> Result<Vec<TakenFacts>, StoreError> {
        let asked = texts.iter().enumerate();
        let rows: Vec<_> =
            asked.map(|(at, (message, number, when))| (at, message.0, number, when.0)).collect();
        let rows = self.pools.read(TAKEN, vec![json_rows(&rows)?, ON_ITS_WAY_MS.into()]).await?;
        rows.iter().map(facts).collect()
    }

    /// Messages after `after`, with where they go, that hold a code in the books of its pool and not in their own row, by
    /// id; of all runs or of one.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn estranged_codes(
        &self,
        run: Option<RunId>,
        after: MessageId,
        limit: i64,
    ) -> Result<Vec<(MessageId, Phone)>, StoreError> {
        let run = run.map_or(0, |run| run.0);
        let rows = self.pools.read(ESTRANGED, args![run, after.0, limit]).await?;
        rows.iter().map(|row| Ok((MessageId(row.int(0)?), phone(row.int(1)?)?))).collect()
    }

    /// Where messages after `after` stand, by id; of all runs or of one.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn standing(
        &self,
        run: Option<RunId>,
        after: MessageId,
        limit: i64,
    ) -> Result<Vec<Standing>, StoreError> {
        let run = run.map_or(0, |run| run.0);
        let rows = self.pools.read(STANDING, args![after.0, run, limit]).await?;
        rows.iter()
            .map(|row| {
                Ok(Standing {
                    message: MessageId(row.int(0)?),
                    phone: phone(row.int(1)?)?,
                    dispatch: word(row, 2, "dispatch state", Dispatch::from_word)?,
                    possible_duplicate: row.int(3)? == 1,
                    run: word(row, 4, "run state", RunState::from_word)?,
                    copies: row.opt_int(5)?,
                    open_copies: row.int(6)?,
                })
            })
            .collect()
    }
}

fn facts(row: &Row) -> Result<TakenFacts, StoreError> {
    let coupon = row.opt_int(8)?.map(CouponId).zip(row.opt_text(9)?);
    Ok(TakenFacts {
        place: usize::try_from(row.int(0)?).unwrap_or(usize::MAX),
        message: MessageId(row.int(1)?),
        run: RunId(row.int(2)?),
        phone: phone(row.int(3)?)?,
        body: row.text(4)?,
        price: Micros(row.int(5)?),
        window: row.int(6)?,
        window_key: row.text(7)?,
        coupon,
        intended: row.int(10)? == 1,
        stopped: row.int(11)? == 1,
        pruned: row.int(12)? == 1,
        code_elsewhere: row.int(13)? == 1,
    })
}

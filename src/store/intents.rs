//! The fence: an intent is granted only if every rule still holds in the statement that records it (T6).
//!
//! After the commit a byte may leave; before it, nothing can. What is refused says why, so that the lane lets go.

use std::collections::HashMap;
use std::time::Duration;

use crate::model::clock::Timestamp;
use crate::model::ids::MessageId;
use crate::model::message::{CouponEffect, Intent, Refusal};
use crate::model::state::{Cause, Dispatch, next};

use super::batch::{Batch, json_rows};
use super::claims::sum_by_run;
use super::connection::args;
use super::dialect::statements;
use super::evidence::{in_doubt_all_the_same, may_have_arrived};
use super::{Store, StoreError};

/// A message whose window closed before it could go waits this long before its lane looks again, unless the next
/// opening is known.
const WINDOW_RECHECK_MS: i64 = 30_000;

/// Longest time for which an answer may be awaited.
pub const LONGEST_ANSWER: Duration = Duration::from_mins(1);

/// A submitting message may be taken for lost only after send deadline, [`LONGEST_ANSWER`] and slack.
const LEASE: Duration = Duration::from_secs(90);

/// What keeps a message `q` of a run `r` with a window `w` at the instant `$2`, the strictest reason first. One text for
/// what refuses an intent and for what explains a wait.
macro_rules! gate {
    () => {
        "WHEN EXISTS (SELECT 1 FROM suppressions AS s WHERE s.phone = q.phone AND s.lifted_at IS NULL \
            AND s.scope IN ('all', q.sender)) THEN 'suppressed' \
          WHEN q.expires_at <= $2 THEN 'expired' \
          WHEN r.state <> 'running' THEN 'run_stopped' \
          WHEN w.opens_at > $2 OR w.closes_at <= $2 THEN 'window_closed' "
    };
}

statements! {
    /// `$1` rows of (message, epoch, number, reference), `$2` now, `$3` end of the lease. The money of a run is counted in row order; the
    /// first message that would exceed the budget ends the spending.
    GRANT = "UPDATE messages SET dispatch = 'submitting', last_number = g.number, submitted_at = $2, \
          lease_until = $3 FROM (\
        SELECT q.id AS message_id, c.epoch AS epoch, c.number AS number, r.budget AS budget, \
          r.spent + SUM(q.price) OVER (PARTITION BY q.run_id ORDER BY c.place) AS total \
        FROM (SELECT CAST(j.key AS BIGINT) AS place, CAST(j.value ->> 0 AS BIGINT) AS id, \
                CAST(j.value ->> 1 AS BIGINT) AS epoch, CAST(j.value ->> 2 AS BIGINT) AS number \
              FROM jsonb_each(CAST($1 AS TEXT)) AS j) AS c \
        JOIN messages AS q ON q.id = c.id AND q.epoch = c.epoch AND q.dispatch = 'claimed' \
        JOIN runs AS r ON r.id = q.run_id AND r.state = 'running' \
        JOIN run_windows AS w ON w.id = q.window_id AND w.opens_at <= $2 AND w.closes_at > $2 \
        WHERE q.expires_at > $2 AND NOT EXISTS (SELECT 1 FROM suppressions AS s \
          WHERE s.phone = q.phone AND s.lifted_at IS NULL AND s.scope IN ('all', q.sender))) AS g \
        WHERE messages.id = g.message_id AND messages.dispatch = 'claimed' AND messages.epoch = g.epoch \
          AND (g.budget IS NULL OR g.total <= g.budget) \
        RETURNING id, run_id, price";
    /// `$1` rows of (message, epoch, number, reference), `$2` route, `$3` owner, `$4` now.
    RECORD = "INSERT INTO attempts (message_id, number, epoch, route, owner, reference, intent_at) \
        SELECT CAST(j.value ->> 0 AS BIGINT), CAST(j.value ->> 2 AS BIGINT), CAST(j.value ->> 1 AS BIGINT), \
          $2, $3, j.value ->> 3, $4 FROM jsonb_each(CAST($1 AS TEXT)) AS j WHERE true";
    /// `$1` rows of (run, amount).
    SPEND = "UPDATE runs SET spent = spent + g.amount FROM (\
        SELECT CAST(j.value ->> 0 AS BIGINT) AS run_id, CAST(j.value ->> 1 AS BIGINT) AS amount \
        FROM jsonb_each(CAST($1 AS TEXT)) AS j) AS g WHERE runs.id = g.run_id";
    /// Why the rest was not granted, the strictest reason first. What nothing keeps any more, because what kept it has
    /// changed since, is given back and tried again.
    WHY = concat!("SELECT q.id, CASE \
          WHEN q.dispatch <> 'claimed' OR q.epoch <> CAST(j.value ->> 1 AS BIGINT) THEN 'stale' ", gate!(),
          "WHEN r.budget IS NOT NULL AND r.spent + q.price > r.budget THEN 'over_budget' ELSE 'run_stopped' END \
        FROM jsonb_each(CAST($1 AS TEXT)) AS j \
        JOIN messages AS q ON q.id = CAST(j.value ->> 0 AS BIGINT) \
        JOIN runs AS r ON r.id = q.run_id JOIN run_windows AS w ON w.id = q.window_id");
    /// What keeps one waiting message. `$1` message, `$2` now.
    GATE = concat!("SELECT CASE ", gate!(),
          "WHEN r.budget IS NOT NULL AND r.spent + q.price > r.budget THEN 'over_budget' ELSE '' END, \
          w.opens_at FROM messages AS q JOIN runs AS r ON r.id = q.run_id JOIN run_windows AS w ON w.id = q.window_id \
        WHERE q.id = $1");
    /// T5 and T17 for single messages. `$1` rows of (message, epoch, state, reason), `$2` now.
    WITHDRAW = concat!("UPDATE messages SET dispatch = CASE WHEN ", may_have_arrived!(), " THEN 'unknown' ELSE g.state END, \
          reason = g.reason || CASE WHEN ", may_have_arrived!(), " THEN ", in_doubt_all_the_same!(), " ELSE '' END, \
          settled_at = $2, owner = NULL, lease_until = NULL \
        FROM (SELECT CAST(j.value ->> 0 AS BIGINT) AS message_id, CAST(j.value ->> 1 AS BIGINT) AS fence, \
                j.value ->> 2 AS state, j.value ->> 3 AS reason FROM jsonb_each(CAST($1 AS TEXT)) AS j) AS g \
        WHERE messages.id = g.message_id AND messages.epoch = g.fence AND messages.dispatch = 'claimed' RETURNING id");
    /// T4 with a new due time. `$1` rows of (message, epoch), `$2` now, `$3` fallback wait.
    POSTPONE = "UPDATE messages SET dispatch = 'queued', owner = NULL, lease_until = NULL, not_before = (\
          SELECT CASE WHEN w.opens_at > $2 THEN w.opens_at ELSE $2 + $3 END FROM run_windows AS w \
          WHERE w.id = messages.window_id) \
        FROM (SELECT CAST(j.value ->> 0 AS BIGINT) AS message_id, CAST(j.value ->> 1 AS BIGINT) AS fence \
              FROM jsonb_each(CAST($1 AS TEXT)) AS j) AS g \
        WHERE messages.id = g.message_id AND messages.epoch = g.fence AND messages.dispatch = 'claimed'";
}

/// The answer to a batch of intents, in no particular order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Granted {
    /// Recorded and, after the commit, durable: these may go to the wire.
    pub granted: Vec<MessageId>,
    /// Not granted, and already moved to where the reason leads.
    pub refused: Vec<(MessageId, Refusal)>,
}

impl Store {
    /// What would refuse the intent of a message if it were its turn now, and when its window opens.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn gate(
        &self,
        message: MessageId,
        now: Timestamp,
    ) -> Result<(Option<Refusal>, Timestamp), StoreError> {
        let rows = self.pools.read(GATE, args![message.0, now.0]).await?;
        let row = rows.first().ok_or(StoreError::NoRow)?;
        Ok((refusal(&row.text(0)?), Timestamp(row.int(1)?)))
    }
}

impl Batch {
    /// Records intents of one lane under every guard of T6.
    ///
    /// # Errors
    /// When the store cannot be written; then nothing may go to the wire.
    pub async fn intend(
        &mut self,
        route: &str,
        owner: &str,
        intents: &[Intent],
        now: Timestamp,
    ) -> Result<Granted, StoreError> {
        if intents.is_empty() {
            return Ok(Granted::default());
        }
        let rows: Vec<_> =
            intents.iter().map(|i| (i.message.0, i.epoch, i.number, i.reference.as_str())).collect();
        let all = json_rows(&rows)?;
        self.hold_runs(&all).await?;

        let mut prices: HashMap<i64, (i64, i64)> = HashMap::with_capacity(intents.len());
        for row in self.tx.rows(GRANT, args![all, now.0, now.plus(LEASE).0]).await? {
            prices.insert(row.int(0)?, (row.int(1)?, row.int(2)?));
        }
        let (granted, rest): (Vec<_>, Vec<_>) = rows.into_iter().partition(|row| prices.contains_key(&row.0));
        if !granted.is_empty() {
            self.tx.run(RECORD, args![json_rows(&granted)?, route, owner, now.0]).await?;
            let spent = sum_by_run(prices.values().copied());
            self.tx.run(SPEND, vec![json_rows(&spent)?]).await?;
        }
        let refused = if rest.is_empty() { Vec::new() } else { self.refuse(&rest, now).await? };
        Ok(Granted { granted: granted.iter().map(|row| MessageId(row.0)).collect(), refused })
    }

    /// Moves what was not granted to where its reason leads.
    async fn refuse(
        &mut self,
        rest: &[(i64, i64, i64, &str)],
        now: Timestamp,
    ) -> Result<Vec<(MessageId, Refusal)>, StoreError> {
        let mut refused = Vec::with_capacity(rest.len());
        let (mut withdrawn, mut released, mut postponed) = (Vec::new(), Vec::new(), Vec::new());
        let epochs: HashMap<i64, i64> = rest.iter().map(|row| (row.0, row.1)).collect();
        for row in self.tx.rows(WHY, args![json_rows(rest)?, now.0]).await? {
            let (id, word) = (row.int(0)?, row.text(1)?);
            let refusal = refusal(&word).ok_or(StoreError::Word { what: "refusal", word })?;
            let epoch = epochs.get(&id).copied().ok_or(StoreError::NoRow)?;
            match cause(refusal) {
                Some(cause) => {
                    let to =
                        next(Dispatch::Claimed, cause).map_err(|e| StoreError::Refused(e.to_string()))?;
                    withdrawn.push((id, epoch, to.as_str(), reason(refusal)));
                }
                None if refusal == Refusal::WindowClosed => postponed.push((id, epoch)),
                None if refusal == Refusal::RunStopped => released.push((MessageId(id), epoch)),
                None => {}
            }
            refused.push((MessageId(id), refusal));
        }
        if !withdrawn.is_empty() {
            let gone = self.tx.rows(WITHDRAW, args![json_rows(&withdrawn)?, now.0]).await?;
            let codes = gone.iter().map(|row| Ok((MessageId(row.int(0)?), CouponEffect::Release)));
            self.apply_coupons(&codes.collect::<Result<Vec<_>, StoreError>>()?, now).await?;
        }
        if !postponed.is_empty() {
            self.tx.run(POSTPONE, args![json_rows(&postponed)?, now.0, WINDOW_RECHECK_MS]).await?;
        }
        self.release(&released).await?;
        Ok(refused)
    }
}

fn refusal(word: &str) -> Option<Refusal> {
    Some(match word {
        "stale" => Refusal::Stale,
        "suppressed" => Refusal::Suppressed,
        "expired" => Refusal::Expired,
        "run_stopped" => Refusal::RunStopped,
        "window_closed" => Refusal::WindowClosed,
        "over_budget" => Refusal::OverBudget,
        _ => return None,
    })
}

fn cause(refusal: Refusal) -> Option<Cause> {
    match refusal {
        Refusal::Suppressed => Some(Cause::Stop),
        Refusal::Expired => Some(Cause::Expire),
        Refusal::OverBudget => Some(Cause::Block),
        Refusal::Stale | Refusal::RunStopped | Refusal::WindowClosed => None,
    }
}

fn reason(refusal: Refusal) -> &'static str {
    match refusal {
        Refusal::Suppressed => "suppressed",
        Refusal::Expired => "deadline passed",
        Refusal::OverBudget => "budget spent",
        Refusal::Stale => "held by another",
        Refusal::RunStopped => "run stopped",
        Refusal::WindowClosed => "window closed",
    }
}

//! What time does to messages: dead owners, deadlines, doubt that grew old, runs with nothing left to do.
//!
//! Every sweep works in bounded chunks found through partial indexes; none of them looks at history.

use crate::model::clock::Timestamp;
use crate::model::ids::{MessageId, RunId};
use crate::model::message::{CouponEffect, WhenInDoubt};
use crate::model::state::{Cause, Dispatch, next};

use super::batch::{Batch, json_rows, word};
use super::connection::{Row, args};
use super::dialect::{LOCK_RUNS, statements};
use super::evidence::{in_doubt_all_the_same, may_have_arrived};
use super::inquiries::{Standing, last_attempt, standing, standing_at};
use super::{Store, StoreError};

/// What the campaign of a run `r` wants done with the doubt about a message `m`. What was cancelled is never sent again,
/// nor is anything to a number that must not be texted.
macro_rules! policy_of_run {
    () => {
        "CASE WHEN r.when_in_doubt = 'resend' AND (r.state IN ('cancelling', 'cancelled') OR EXISTS (\
            SELECT 1 FROM suppressions AS s WHERE s.phone = m.phone AND s.lifted_at IS NULL AND s.scope IN ('all', m.sender))) \
          THEN 'park' ELSE r.when_in_doubt END"
    };
}
pub(super) use policy_of_run;

statements! {
    /// T4 for owners that are gone, and for leases that ran out, whoever holds them: a commit whose answer was lost leaves
    /// rows that their own process does not know of. `$1` now, `$2` most, `$3` the owner that is alive: itself.
    FREE_CLAIMED = "UPDATE messages SET dispatch = 'queued', owner = NULL, lease_until = NULL WHERE dispatch = 'claimed' \
        AND id IN (SELECT id FROM messages WHERE dispatch IN ('queued', 'claimed', 'submitting', 'ambiguous') \
        AND dispatch = 'claimed' AND (lease_until <= $1 OR ($4 = 1 AND owner <> $3)) \
        ORDER BY run_id, id LIMIT CAST($2 AS BIGINT))";
    /// T10 for owners that are gone. A peer waits for lease, deadline and timeout; a sole owner need not (`$4` = 1).
    LOSE_SUBMITTING = "UPDATE messages SET dispatch = 'ambiguous', attempts = attempts + 1, settled_at = $1, reason = 'sight lost: no answer was stored' \
        WHERE dispatch = 'submitting' AND id IN (SELECT id FROM messages WHERE dispatch IN ('queued', 'claimed', 'submitting', 'ambiguous') \
        AND dispatch = 'submitting' AND (lease_until <= $1 OR ($4 = 1 AND owner <> $3)) ORDER BY run_id, id LIMIT CAST($2 AS BIGINT)) RETURNING id";
    /// Whether either of these finds something; as they, `$2` and `$3` without `most`.
    DEAD = "SELECT 1 WHERE EXISTS (SELECT 1 FROM messages WHERE dispatch IN ('queued', 'claimed', 'submitting', 'ambiguous') \
        AND dispatch IN ('claimed', 'submitting') AND (lease_until <= $1 OR ($3 = 1 AND owner <> $2)))";
    CLOSE_LOST = "UPDATE attempts SET outcome = 'unknown', detail = 'no answer was stored in time' \
        WHERE outcome IS NULL AND message_id IN (\
        SELECT CAST(j.value ->> 0 AS BIGINT) FROM jsonb_each(CAST($1 AS TEXT)) AS j)";
    /// Messages in doubt with an attempt that is accepted, or in doubt and reported.
    EVIDENCE = "SELECT m.id FROM messages AS m WHERE m.dispatch IN ('queued', 'claimed', 'submitting', 'ambiguous') \
        AND m.dispatch = 'ambiguous' AND EXISTS (SELECT 1 FROM attempts AS a WHERE a.message_id = m.id \
          AND (a.outcome = 'accepted' OR ((a.outcome IS NULL OR a.outcome IN ('unknown', 'garbled')) \
            AND EXISTS (SELECT 1 FROM receipts AS r WHERE r.message_id = a.message_id AND r.number = a.number \
              AND r.state <> 'none')))) ORDER BY m.run_id, m.id LIMIT CAST($1 AS BIGINT)";
    /// The same among the messages in `$1`.
    EVIDENCE_AMONG = "SELECT m.id FROM jsonb_each(CAST($1 AS TEXT)) AS j CROSS JOIN messages AS m \
        WHERE m.id = CAST(j.value ->> 0 AS BIGINT) AND m.dispatch = 'ambiguous' AND EXISTS (\
          SELECT 1 FROM attempts AS a WHERE a.message_id = m.id \
          AND (a.outcome = 'accepted' OR ((a.outcome IS NULL OR a.outcome IN ('unknown', 'garbled')) \
            AND EXISTS (SELECT 1 FROM receipts AS r WHERE r.message_id = a.message_id AND r.number = a.number \
              AND r.state <> 'none')))) ORDER BY m.id";
    /// Messages in doubt, run by run; nothing else that is open is walked, and no history.
    IN_DOUBT = concat!("SELECT m.id, m.run_id, m.settled_at, ", policy_of_run!(), ", m.attempts, m.expires_at, ", standing!(), " \
        FROM messages AS m JOIN runs AS r ON r.id = m.run_id ", last_attempt!(), "WHERE m.dispatch IN ('ambiguous', 'unknown') \
        AND m.dispatch = 'ambiguous' AND (m.run_id, m.id) > ($1, $2) ORDER BY m.run_id, m.id LIMIT CAST($3 AS BIGINT)");
    /// T12 by decision. `$1` message ids, `$2` now. What must not be sent any more by now stays in doubt.
    RESEND = "UPDATE messages SET dispatch = 'queued', possible_duplicate = 1, not_before = $2, \
        epoch = epoch + 1, owner = NULL, lease_until = NULL WHERE dispatch = 'ambiguous' \
        AND id IN (SELECT CAST(j.value ->> 0 AS BIGINT) FROM jsonb_each(CAST($1 AS TEXT)) AS j) \
        AND expires_at > $2 AND EXISTS (SELECT 1 FROM runs AS r WHERE r.id = messages.run_id AND r.state IN ('running', 'paused')) \
        AND NOT EXISTS (SELECT 1 FROM suppressions AS s WHERE s.phone = messages.phone AND s.lifted_at IS NULL \
          AND s.scope IN ('all', messages.sender))";
    /// T13. `$1` message ids, `$2` now.
    PARK = "UPDATE messages SET dispatch = 'unknown', settled_at = $2, reason = 'parked in doubt' WHERE dispatch = 'ambiguous' \
        AND id IN (SELECT CAST(j.value ->> 0 AS BIGINT) FROM jsonb_each(CAST($1 AS TEXT)) AS j)";
    /// T5, and T17 for what was queued, for a whole run, in chunks. `$1` run, `$2` state, `$3` reason, `$4` now, `$5` most.
    WITHDRAW_PLANNED = "UPDATE messages SET dispatch = $2, reason = $3, settled_at = $4 WHERE dispatch = 'planned' \
        AND id IN (SELECT m.id FROM run_windows AS w JOIN messages AS m ON m.window_id = w.id AND m.dispatch = 'planned' \
        WHERE w.run_id = $1 LIMIT CAST($5 AS BIGINT)) RETURNING id, dispatch";
    WITHDRAW_QUEUED = concat!("UPDATE messages SET dispatch = CASE WHEN ", may_have_arrived!(), " THEN 'unknown' ELSE $2 END, \
          reason = CAST($3 AS TEXT) || CASE WHEN ", may_have_arrived!(), " THEN ", in_doubt_all_the_same!(), " ELSE '' END, \
          settled_at = $4, owner = NULL, lease_until = NULL \
        WHERE dispatch IN ('queued', 'claimed') AND id IN (SELECT id FROM messages WHERE run_id = $1 \
        AND dispatch IN ('queued', 'claimed', 'submitting', 'ambiguous') AND dispatch IN ('queued', 'claimed') LIMIT CAST($5 AS BIGINT)) \
        RETURNING id, dispatch");
    /// Whether a run still has something that waits or is under way.
    HAS_PLANNED = "SELECT 1 WHERE EXISTS (SELECT 1 FROM run_windows AS w JOIN messages AS m \
        ON m.window_id = w.id AND m.dispatch = 'planned' WHERE w.run_id = $1)";
    OPEN_MESSAGES = "SELECT dispatch, count(*) FROM messages WHERE run_id = $1 \
        AND dispatch IN ('queued', 'claimed', 'submitting', 'ambiguous') GROUP BY dispatch";
    /// `$1` run, `$2` now. Whatever was queued meanwhile, by a decision say, keeps it open. One that is paused stays so until
    /// it is over: what is decided about it must not go out before somebody has it go on.
    FINISH = "UPDATE runs SET state = 'finished', finished_at = $2 \
        WHERE id = $1 AND (state = 'running' OR (state = 'paused' AND expires_at <= $2)) \
        AND NOT EXISTS (SELECT 1 FROM messages WHERE run_id = $1 AND dispatch IN ('queued', 'claimed', 'submitting', 'ambiguous') \
          AND dispatch IN ('queued', 'claimed', 'submitting'))";
    EXPIRED_RUNS = "SELECT id FROM runs WHERE state IN ('preparing', 'running', 'paused', 'cancelling') \
        AND state IN ('running', 'paused') AND expires_at <= $1 ORDER BY id LIMIT CAST($2 AS BIGINT)";
}

/// A message whose fate is unknown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InDoubt {
    /// The message.
    pub id: MessageId,
    /// Its run.
    pub run: RunId,
    /// Since when.
    pub since: Timestamp,
    /// What its campaign wants done.
    pub policy: WhenInDoubt,
    /// Submissions made so far.
    pub attempts: i64,
    /// After this it is useless.
    pub expires_at: Timestamp,
}

/// What was withdrawn of a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Withdrawn {
    /// Messages that will not be sent, or not again.
    pub messages: usize,
    /// Of these, those that are in doubt: a copy sent before may have arrived.
    pub in_doubt: usize,
}

/// Whose leftovers a sweep may take.
#[derive(Clone, Copy, Debug)]
pub struct Sweeper<'a> {
    /// The process that sweeps; its own messages are left alone until their leases run out.
    pub owner: &'a str,
    /// True when no other process can be alive (the lock of the store was just taken, and is one that only death frees):
    /// leases need not run out first.
    pub sole: bool,
}

impl Batch {
    /// Takes back what dead owners held and what nobody remembers: claimed messages are queued again (T4), submitting ones become ambiguous
    /// (T10). Answers how many of each; repeat until both are zero.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub async fn sweep_dead(
        &mut self,
        sweeper: Sweeper<'_>,
        now: Timestamp,
        most: i64,
    ) -> Result<(u64, u64), StoreError> {
        let sole = i64::from(sweeper.sole);
        let freed = self.tx.run(FREE_CLAIMED, args![now.0, most, sweeper.owner, sole]).await?;
        let lost = self.tx.rows(LOSE_SUBMITTING, args![now.0, most, sweeper.owner, sole]).await?;
        let lost = ids(&lost)?;
        if !lost.is_empty() {
            self.tx.run(CLOSE_LOST, vec![json_rows(&lost)?]).await?;
            let effects: Vec<_> = lost.iter().map(|id| (MessageId(id.0), CouponEffect::Quarantine)).collect();
            self.apply_coupons(&effects, now).await?;
        }
        Ok((freed, lost.len() as u64))
    }

    /// First rung of the ladder: messages in doubt whose proof is already here are accepted (T11).
    ///
    /// # Errors
    /// When the store cannot be written.
    pub async fn accept_by_receipt(&mut self, now: Timestamp, most: i64) -> Result<usize, StoreError> {
        let rows = self.tx.rows(EVIDENCE, args![most]).await?;
        let messages = ids(&rows)?;
        self.hold(&messages).await?;
        self.look_back(&messages, now).await
    }

    /// The same for messages that [`Store::proven`] named.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub async fn accept_proven(
        &mut self,
        messages: &[MessageId],
        now: Timestamp,
    ) -> Result<usize, StoreError> {
        let messages: Vec<_> = messages.iter().map(|id| (id.0,)).collect();
        self.hold(&messages).await?;
        self.look_back(&messages, now).await
    }

    /// Sends messages in doubt again, as their campaign decided; flagged as possible duplicates (T12).
    ///
    /// # Errors
    /// When the store cannot be written.
    pub async fn resend(&mut self, messages: &[MessageId], now: Timestamp) -> Result<u64, StoreError> {
        debug_assert_eq!(next(Dispatch::Ambiguous, Cause::Resend), Ok(Dispatch::Queued));
        let rows: Vec<_> = messages.iter().map(|m| (m.0,)).collect();
        self.tx.run(RESEND, args![json_rows(&rows)?, now.0]).await
    }

    /// Closes messages in doubt (T13); their codes stay in quarantine, their money counts as spent.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub async fn park(&mut self, messages: &[MessageId], now: Timestamp) -> Result<u64, StoreError> {
        debug_assert_eq!(next(Dispatch::Ambiguous, Cause::Park), Ok(Dispatch::Unknown));
        let rows: Vec<_> = messages.iter().map(|m| (m.0,)).collect();
        self.tx.run(PARK, args![json_rows(&rows)?, now.0]).await
    }

    /// Withdraws up to `most` waiting messages of a run and gives their codes back (T5). Those that had been sent before and
    /// may have arrived are in doubt (T17). Answers how many.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub async fn withdraw(
        &mut self,
        run: RunId,
        cause: Cause,
        now: Timestamp,
        most: i64,
    ) -> Result<Withdrawn, StoreError> {
        debug_assert_eq!(next(Dispatch::Queued, Cause::CallOff), Ok(Dispatch::Unknown));
        let to = next(Dispatch::Planned, cause).map_err(|e| StoreError::Refused(e.to_string()))?;
        let reason = match to {
            Dispatch::Cancelled => "cancelled by the operator",
            Dispatch::Expired => "deadline passed",
            _ => "withdrawn",
        };
        let args = args![run.0, to.as_str(), reason, now.0, most];
        let mut rows = self.tx.rows(WITHDRAW_PLANNED, args.clone()).await?;
        if rows.is_empty() {
            rows = self.tx.rows(WITHDRAW_QUEUED, args).await?;
        }
        let effects: Vec<_> =
            ids(&rows)?.into_iter().map(|id| (MessageId(id.0), CouponEffect::Release)).collect();
        self.apply_coupons(&effects, now).await?;
        let mut withdrawn = Withdrawn { messages: rows.len(), in_doubt: 0 };
        for row in &rows {
            let state = word(row, 1, "dispatch state", Dispatch::from_word)?;
            withdrawn.in_doubt += usize::from(state == Dispatch::Unknown);
        }
        Ok(withdrawn)
    }
}

impl Store {
    /// Whether [`Batch::sweep_dead`] would find something; takes no turn to write.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn has_dead(&self, sweeper: Sweeper<'_>, now: Timestamp) -> Result<bool, StoreError> {
        let args = args![now.0, sweeper.owner, i64::from(sweeper.sole)];
        Ok(!self.pools.read(DEAD, args).await?.is_empty())
    }

    /// Whether [`Batch::accept_by_receipt`] would find something; takes no turn to write.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn has_evidence(&self) -> Result<bool, StoreError> {
        Ok(!self.pools.read(EVIDENCE, args![1]).await?.is_empty())
    }

    /// Those of some messages in doubt whose proof is already here.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn proven(
        &self,
        messages: impl Iterator<Item = MessageId>,
    ) -> Result<Vec<MessageId>, StoreError> {
        let messages: Vec<_> = messages.map(|id| (id.0,)).collect();
        let rows = self.pools.read(EVIDENCE_AMONG, vec![json_rows(&messages)?]).await?;
        rows.iter().map(|row| Ok(MessageId(row.int(0)?))).collect()
    }

    /// Messages in doubt after the one in `after`, by run and id, each with its last attempt.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn in_doubt(
        &self,
        after: (RunId, MessageId),
        limit: i64,
    ) -> Result<Vec<(InDoubt, Standing)>, StoreError> {
        let rows = self.pools.read(IN_DOUBT, args![after.0.0, after.1.0, limit]).await?;
        rows.iter()
            .map(|row| {
                let message = InDoubt {
                    id: MessageId(row.int(0)?),
                    run: RunId(row.int(1)?),
                    since: Timestamp(row.opt_int(2)?.unwrap_or(0)),
                    policy: word(row, 3, "policy", WhenInDoubt::from_word)?,
                    attempts: row.int(4)?,
                    expires_at: Timestamp(row.int(5)?),
                };
                Ok((message, standing_at(row, 6, message.since)?))
            })
            .collect()
    }

    /// How many messages of a run wait, are under way, or are in doubt.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn open_messages(&self, run: RunId) -> Result<OpenMessages, StoreError> {
        let planned = !self.pools.read(HAS_PLANNED, args![run.0]).await?.is_empty();
        let mut open = OpenMessages { planned, waiting: 0, in_doubt: 0 };
        if planned {
            return Ok(open);
        }
        for row in self.pools.read(OPEN_MESSAGES, args![run.0]).await? {
            let count = row.int(1)?;
            match word(&row, 0, "dispatch state", Dispatch::from_word)? {
                Dispatch::Ambiguous => open.in_doubt += count,
                _ => open.waiting += count,
            }
        }
        Ok(open)
    }

    /// Ends a run, unless something of it was queued since it was looked at; answers whether it did.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub async fn finish_run(&self, run: RunId, now: Timestamp) -> Result<bool, StoreError> {
        let mut tx = self.begin().await?;
        // PostgreSQL sees what another has committed only in a statement that begins after it holds the row.
        tx.rows_of(LOCK_RUNS, vec![json_rows(&[(run.0,)])?]).await?;
        let finished = tx.run(FINISH, args![run.0, now.0]).await?;
        tx.commit().await?;
        Ok(finished == 1)
    }

    /// Runs whose deadline has passed.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn expired_runs(&self, now: Timestamp, limit: i64) -> Result<Vec<RunId>, StoreError> {
        let rows = self.pools.read(EXPIRED_RUNS, args![now.0, limit]).await?;
        rows.iter().map(|row| Ok(RunId(row.int(0)?))).collect()
    }
}

/// What keeps a run from being finished.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpenMessages {
    /// Some wait for their window; the other counts are then not looked at.
    pub planned: bool,
    /// Queued, claimed or submitting.
    pub waiting: i64,
    /// Ambiguous.
    pub in_doubt: i64,
}

fn ids(rows: &[Row]) -> Result<Vec<(i64,)>, StoreError> {
    rows.iter().map(|row| Ok((row.int(0)?,))).collect()
}

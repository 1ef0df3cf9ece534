//! Outcomes into states: attempts closed, messages moved, coupons and money following, in one transaction.
//!
//! What an outcome means was decided before it came here; a late outcome of an older epoch is appended as a fact and
//! never refused (T14).

use std::collections::{HashMap, HashSet};

use crate::model::clock::Timestamp;
use crate::model::ids::MessageId;
use crate::model::message::{CouponEffect, Settlement};
use crate::model::outcome::{OutcomeClass, Proof};
use crate::model::state::Dispatch;
use crate::model::suppression::Reason;

use super::StoreError;
use super::batch::{Batch, json_rows, word};
use super::connection::{Row, args};
use super::dialect::{STATE_OF, statements};
use super::evidence::{Proven, in_doubt_all_the_same, may_have_arrived, open_copy};

/// Whether an outcome `g` ends a row of `messages` of which an earlier copy may have arrived.
macro_rules! refused_again {
    () => {
        concat!(
            "g.state IN ('rejected', 'failed') AND messages.possible_duplicate = 1 AND (SELECT count(*) FROM attempts AS a \
              WHERE a.message_id = messages.id AND a.number <> messages.last_number AND ",
            open_copy!(),
            ") > 0"
        )
    };
}

statements! {
    /// `$1` rows of (message, number, class, code, detail, provider id, epoch), `$2` now. An intent that was refused has no
    /// attempt; the one that bears its number may be of whoever claimed the message since.
    CLOSE_ATTEMPTS = "UPDATE attempts SET answered_at = $2, outcome = g.class, code = g.code, detail = g.detail, \
          provider_id = g.provider_id FROM (\
        SELECT CAST(j.value ->> 0 AS BIGINT) AS message, CAST(j.value ->> 1 AS BIGINT) AS num, j.value ->> 2 AS class, \
          j.value ->> 3 AS code, j.value ->> 4 AS detail, j.value ->> 5 AS provider_id, CAST(j.value ->> 6 AS BIGINT) AS fence \
        FROM jsonb_each(CAST($1 AS TEXT)) AS j) AS g \
        WHERE attempts.message_id = g.message AND attempts.number = g.num AND attempts.epoch = g.fence \
          AND (attempts.outcome IS NULL OR attempts.outcome IN ('unknown', 'garbled')) RETURNING message_id, number";
    /// T7 to T10, and T17 for a refusal of what was sent before: that attempt itself is not closed yet. `$1` rows of
    /// (message, epoch, state, due, counts, reason), `$2` now.
    MOVE = concat!("UPDATE messages SET dispatch = CASE WHEN ", refused_again!(), " THEN 'unknown' ELSE g.state END, \
          not_before = g.due, attempts = attempts + g.counts, \
          reason = g.reason || CASE WHEN ", refused_again!(), " THEN ", in_doubt_all_the_same!(), " ELSE '' END, settled_at = $2, owner = NULL, lease_until = NULL FROM (\
        SELECT CAST(j.value ->> 0 AS BIGINT) AS message, CAST(j.value ->> 1 AS BIGINT) AS fence, j.value ->> 2 AS state, \
          CAST(j.value ->> 3 AS BIGINT) AS due, CAST(j.value ->> 4 AS BIGINT) AS counts, j.value ->> 5 AS reason \
        FROM jsonb_each(CAST($1 AS TEXT)) AS j) AS g \
        WHERE messages.id = g.message AND messages.epoch = g.fence AND messages.dispatch = 'submitting' RETURNING id, epoch");
    /// T7 and T9 for doubt that a late answer ends: it was about the last attempt, counted when sight of it was lost, and
    /// every other one is known as not taken. Nothing is queued in a run that is over: it has failed. Arguments as those
    /// of `MOVE`.
    END_DOUBT = "UPDATE messages SET dispatch = CASE WHEN g.state <> 'queued' OR EXISTS (SELECT 1 FROM runs AS r \
            WHERE r.id = messages.run_id AND r.state IN ('running', 'paused')) THEN g.state ELSE 'failed' END, not_before = g.due, attempts = attempts + g.counts - 1, \
          reason = g.reason, settled_at = $2, owner = NULL, lease_until = NULL FROM (\
        SELECT CAST(j.value ->> 0 AS BIGINT) AS message, CAST(j.value ->> 1 AS BIGINT) AS fence, j.value ->> 2 AS state, \
          CAST(j.value ->> 3 AS BIGINT) AS due, CAST(j.value ->> 4 AS BIGINT) AS counts, j.value ->> 5 AS reason \
        FROM jsonb_each(CAST($1 AS TEXT)) AS j) AS g \
        WHERE messages.id = g.message AND messages.epoch = g.fence AND messages.dispatch = 'ambiguous' \
          AND NOT EXISTS (SELECT 1 FROM attempts AS a WHERE a.message_id = messages.id \
            AND (a.outcome IS NULL OR a.outcome IN ('accepted', 'unknown', 'garbled'))) RETURNING id, epoch, dispatch";
    /// `$1` rows of (message, coupon state), `$2` now. A code that an earlier copy may have carried is never released, and
    /// one that a text proven late carries too goes to that text and not back on the shelf. Materialized: PostgreSQL would begin
    /// with every reserved code.
    MOVE_COUPONS = concat!("WITH g AS MATERIALIZED (\
          SELECT messages.coupon_id AS coupon, messages.id AS message, j.value ->> 1 AS state, \
            CASE WHEN ", may_have_arrived!(), " THEN 1 ELSE 0 END AS doubtful \
          FROM jsonb_each(CAST($1 AS TEXT)) AS j JOIN messages ON messages.id = CAST(j.value ->> 0 AS BIGINT) \
          WHERE messages.coupon_id IS NOT NULL) \
        UPDATE coupons SET changed_at = $2, \
          state = CASE WHEN g.state = 'available' AND g.doubtful = 1 THEN 'quarantined' \
            WHEN g.state = 'available' AND coupons.contested_by IS NOT NULL THEN 'sent' ELSE g.state END, \
          message_id = CASE WHEN g.state = 'available' AND g.doubtful = 0 THEN coupons.contested_by \
            ELSE coupons.message_id END, \
          contested_by = CASE WHEN g.state = 'available' AND g.doubtful = 0 THEN NULL ELSE coupons.contested_by END \
        FROM g WHERE coupons.id = g.coupon AND coupons.message_id = g.message \
          AND coupons.state IN ('reserved', 'quarantined')");
    /// `$1` message ids, each once for every attempt, `$2` 1 to charge their prices and -1 to give them back.
    PAY = "UPDATE runs SET spent = spent + CAST($2 AS BIGINT) * g.amount FROM (\
        SELECT m.run_id AS run, CAST(SUM(m.price) AS BIGINT) AS amount FROM jsonb_each(CAST($1 AS TEXT)) AS j \
        JOIN messages AS m ON m.id = CAST(j.value ->> 0 AS BIGINT) GROUP BY m.run_id) AS g WHERE runs.id = g.run";
    /// `$1` message ids, `$2` now.
    MARK_UNREACHABLE = "UPDATE contacts SET unreachable_at = $2 WHERE id IN (\
        SELECT m.contact_id FROM jsonb_each(CAST($1 AS TEXT)) AS j \
        JOIN messages AS m ON m.id = CAST(j.value ->> 0 AS BIGINT))";
    /// Of attempts, those whose request went out once more under its key. `$1` rows of (message, number).
    REPLAYED = "SELECT i.message_id, i.number FROM jsonb_each(CAST($1 AS TEXT)) AS j \
        JOIN inquiries AS i ON i.message_id = CAST(j.value ->> 0 AS BIGINT) AND i.number = CAST(j.value ->> 1 AS BIGINT) \
        WHERE i.replayed_at IS NOT NULL";
    /// Numbers of attempts that were refused because the person opted out, unless that was lifted since they were made: a
    /// refusal may be written late, and again. `$1` rows of (message, number).
    STILL_REFUSED = "SELECT DISTINCT m.phone FROM jsonb_each(CAST($1 AS TEXT)) AS j \
        CROSS JOIN messages AS m JOIN attempts AS a ON a.message_id = m.id AND a.number = CAST(j.value ->> 1 AS BIGINT) \
        WHERE m.id = CAST(j.value ->> 0 AS BIGINT) AND NOT EXISTS (SELECT 1 FROM suppressions AS s \
          WHERE s.phone = m.phone AND s.lifted_at IS NOT NULL AND s.lifted_at > a.intent_at \
            AND s.lifted_by <> 'a firmer reason')";
}

impl Batch {
    /// Writes decided outcomes of one route: answers to requests as they left.
    ///
    /// # Errors
    /// When the store cannot be written; then the outcomes must be kept and written again.
    pub async fn settle(
        &mut self,
        route: &str,
        settlements: &[Settlement],
        now: Timestamp,
    ) -> Result<(), StoreError> {
        self.settle_as(route, settlements, false, now).await
    }

    /// Writes outcomes that providers were asked for: they are about everything that left for an attempt, replays too.
    ///
    /// # Errors
    /// As [`Batch::settle`].
    pub async fn settle_asked(
        &mut self,
        route: &str,
        settlements: &[Settlement],
        now: Timestamp,
    ) -> Result<(), StoreError> {
        self.settle_as(route, settlements, true, now).await
    }

    async fn settle_as(
        &mut self,
        route: &str,
        settlements: &[Settlement],
        asked: bool,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        if settlements.is_empty() {
            return Ok(());
        }
        let moves: Vec<_> = settlements.iter().map(move_row).collect();
        let moved = self.tx.rows(MOVE, args![json_rows(&moves)?, now.0]).await?;
        let moved = moved
            .iter()
            .map(|row| Ok((row.int(0)?, row.int(1)?)))
            .collect::<Result<HashSet<_>, StoreError>>()?;
        let (mut moved, late): (Vec<_>, Vec<_>) = settlements
            .iter()
            .map(|s| (s, s.coupon))
            .partition(|(s, _)| moved.contains(&(s.message.0, s.epoch)));
        let late: Vec<&Settlement> = late.into_iter().map(|(s, _)| s).collect();
        // What was settled before, or taken by somebody else, is not locked by the statement above.
        self.hold(&late.iter().map(|s| (s.message.0,)).collect::<Vec<_>>()).await?;
        let late_attempts: Vec<_> = late.iter().map(|s| (s.message.0, s.number)).collect();
        let returned = self.decided_unsent(&late_attempts).await?;
        let replayed = if asked { HashSet::new() } else { self.replayed(&late).await? };
        let mut closed = self.close_attempts(settlements, &replayed, now).await?;
        closed.retain(|attempt| !returned.contains(attempt));
        moved.extend(self.end_doubt(&late, &closed, now).await?);
        let effects: Vec<_> = moved.iter().map(|(s, coupon)| (s.message, *coupon)).collect();
        self.apply_coupons(&effects, now).await?;
        self.follow_up(settlements, closed, now).await?;
        let proven: Vec<_> = late
            .iter()
            .filter(|s| s.outcome.class == OutcomeClass::Accepted)
            .map(|s| Proven::by(s))
            .collect();
        let owed: Vec<_> = proven.iter().map(Proven::attempt).filter(|one| returned.contains(one)).collect();
        self.pay(&owed, 1).await?;
        self.prove(&proven, now).await?;
        self.join_parked(route, settlements, now).await?;
        // Proof for an earlier attempt may have come while this one was under way.
        let unsent: Vec<_> =
            moved.iter().filter(|(s, _)| s.to != Dispatch::Accepted).map(|(s, _)| (s.message.0,)).collect();
        self.look_back(&unsent, now).await?;
        Ok(())
    }

    /// Ends doubt whose late answer says that nothing was taken; answers those settlements that did, and what their codes
    /// do: whoever waits again has its code reserved again.
    async fn end_doubt<'s>(
        &mut self,
        late: &[&'s Settlement],
        closed: &HashSet<(i64, i64)>,
        now: Timestamp,
    ) -> Result<Vec<(&'s Settlement, CouponEffect)>, StoreError> {
        let answers = |s: &Settlement| s.refund && closed.contains(&(s.message.0, s.number));
        let late: Vec<&Settlement> = late.iter().copied().filter(|s| answers(s)).collect();
        if late.is_empty() {
            return Ok(Vec::new());
        }
        self.hold_runs(&json_rows(&late.iter().map(|s| (s.message.0,)).collect::<Vec<_>>())?).await?;
        let moves: Vec<_> = late.iter().map(|s| move_row(s)).collect();
        let mut ended = HashMap::new();
        for row in self.tx.rows(END_DOUBT, args![json_rows(&moves)?, now.0]).await? {
            let to = word(&row, 2, "dispatch state", Dispatch::from_word)?;
            ended.insert((row.int(0)?, row.int(1)?), to);
        }
        self.prunable(&ended.keys().map(|(id, _)| (*id,)).collect::<Vec<_>>()).await?;
        let effect = |s: &Settlement, to: Dispatch| match to {
            Dispatch::Queued => CouponEffect::Reserve,
            _ if s.to == Dispatch::Queued => CouponEffect::Release,
            _ => s.coupon,
        };
        let to = |s: &Settlement| ended.get(&(s.message.0, s.epoch)).copied();
        Ok(late.into_iter().filter_map(|s| Some((s, effect(s, to(s)?)))).collect())
    }

    /// Locks messages on PostgreSQL, so that their attempts change under one hand.
    pub(super) async fn hold(&mut self, messages: &[(i64,)]) -> Result<(), StoreError> {
        if !messages.is_empty() {
            self.tx.rows_of(STATE_OF, vec![json_rows(messages)?]).await?;
        }
        Ok(())
    }

    /// Attempts whose late refusal says nothing: the same request left once more since, and may have been taken then.
    async fn replayed(&mut self, late: &[&Settlement]) -> Result<HashSet<(i64, i64)>, StoreError> {
        let refused: Vec<_> = late.iter().filter(|s| s.refund).map(|s| (s.message.0, s.number)).collect();
        if refused.is_empty() {
            return Ok(HashSet::new());
        }
        let rows = self.tx.rows(REPLAYED, vec![json_rows(&refused)?]).await?;
        rows.iter().map(|row| Ok((row.int(0)?, row.int(1)?))).collect()
    }

    /// Writes outcomes to their attempts, but for those that say nothing; answers those (message, number) that had none
    /// or were in doubt before.
    async fn close_attempts(
        &mut self,
        settlements: &[Settlement],
        but: &HashSet<(i64, i64)>,
        now: Timestamp,
    ) -> Result<HashSet<(i64, i64)>, StoreError> {
        let attempts: Vec<_> = settlements
            .iter()
            .filter(|s| !but.contains(&(s.message.0, s.number)))
            .map(|s| {
                let o = &s.outcome;
                (s.message.0, s.number, o.class.as_str(), &o.code, &o.detail, &o.provider_id, s.epoch)
            })
            .collect();
        let rows = self.tx.rows(CLOSE_ATTEMPTS, args![json_rows(&attempts)?, now.0]).await?;
        rows.iter().map(|row| Ok((row.int(0)?, row.int(1)?))).collect()
    }

    /// Settles intents that may be on disk and were not sent. Those that are not there are left as they are.
    ///
    /// # Errors
    /// As [`Batch::settle`].
    pub async fn unsent(
        &mut self,
        route: &str,
        settlements: &[Settlement],
        now: Timestamp,
    ) -> Result<(), StoreError> {
        // A server may still be busy with the commit whose answer was lost; it holds the rows until it is done.
        let messages: Vec<_> = settlements.iter().map(|s| (s.message.0,)).collect();
        self.hold(&messages).await?;
        self.settle(route, settlements, now).await
    }

    /// Money, dead numbers and opt-outs that follow from outcomes. Money goes back once for each attempt that `closed`
    /// says was paid for until now, wherever its message is.
    async fn follow_up(
        &mut self,
        settlements: &[Settlement],
        mut closed: HashSet<(i64, i64)>,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let mut refunds =
            settlements.iter().filter(|s| s.refund).map(|s| (s.message.0, s.number)).collect::<Vec<_>>();
        refunds.retain(|attempt| closed.remove(attempt));
        self.pay(&refunds, -1).await?;
        let of = |class: OutcomeClass| -> Vec<(i64,)> {
            settlements.iter().filter(|s| s.outcome.class == class).map(|s| (s.message.0,)).collect()
        };
        let dead = of(OutcomeClass::BadRecipient);
        if !dead.is_empty() {
            self.tx.run(MARK_UNREACHABLE, args![json_rows(&dead)?, now.0]).await?;
        }
        let refused = settlements.iter().filter(|s| s.outcome.class == OutcomeClass::OptedOut);
        let refused: Vec<_> = refused.map(|s| (s.message.0, s.number)).collect();
        if !refused.is_empty() {
            let rows = self.tx.rows(STILL_REFUSED, vec![json_rows(&refused)?]).await?;
            self.suppress_rows(&rows, now).await?;
        }
        Ok(())
    }

    /// Charges (1) or gives back (-1) the price of attempts, named by message and number.
    pub(super) async fn pay(&mut self, attempts: &[(i64, i64)], sign: i64) -> Result<(), StoreError> {
        if !attempts.is_empty() {
            self.tx.run(PAY, args![json_rows(attempts)?, sign]).await?;
        }
        Ok(())
    }

    /// Suppresses numbers of whose owners a provider says that they opted out.
    pub(super) async fn suppress_rows(&mut self, rows: &[Row], now: Timestamp) -> Result<(), StoreError> {
        let phones =
            rows.iter().map(|row| super::claims::phone(row.int(0)?)).collect::<Result<Vec<_>, _>>()?;
        self.suppress(&phones, Reason::Provider, "provider", now).await
    }

    /// Moves coupon codes along with their messages; answers how many moved.
    pub(super) async fn apply_coupons(
        &mut self,
        effects: &[(MessageId, CouponEffect)],
        now: Timestamp,
    ) -> Result<u64, StoreError> {
        let rows: Vec<_> = effects
            .iter()
            .filter_map(|(message, effect)| coupon_state(*effect).map(|s| (message.0, s)))
            .collect();
        if rows.is_empty() {
            return Ok(0);
        }
        self.tx.run(MOVE_COUPONS, args![json_rows(&rows)?, now.0]).await
    }
}

fn move_row(s: &Settlement) -> (i64, i64, &'static str, i64, i64, Option<String>) {
    let reason = match s.outcome.class.proof() {
        Proof::Accepted => None,
        _ => Some(match &s.outcome.code {
            Some(code) => format!("{} ({code})", s.outcome.class.as_str()),
            None => s.outcome.class.as_str().to_owned(),
        }),
    };
    (s.message.0, s.epoch, s.to.as_str(), s.not_before.0, i64::from(s.counts), reason)
}

fn coupon_state(effect: CouponEffect) -> Option<&'static str> {
    match effect {
        CouponEffect::Keep => None,
        CouponEffect::Reserve => Some("reserved"),
        CouponEffect::Send => Some("sent"),
        CouponEffect::Release => Some("available"),
        CouponEffect::Quarantine => Some("quarantined"),
    }
}

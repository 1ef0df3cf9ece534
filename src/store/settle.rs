//! Outcomes into states: attempts closed, messages moved, coupons and money following, in one transaction.
//!
//! What an outcome means was decided before it came here; a late outcome of an older epoch is appended as a fact and
//! never refused (T14).

use std::collections::HashSet;

use crate::model::clock::Timestamp;
use crate::model::ids::MessageId;
use crate::model::message::{CouponEffect, Settlement};
use crate::model::outcome::{OutcomeClass, Proof};
use crate::model::suppression::Reason;

use super::StoreError;
use super::batch::{Batch, json_rows};
use super::connection::args;
use super::dialect::statements;

statements! {
    /// `$1` rows of (message, number, class, code, detail, provider id), `$2` now.
    CLOSE_ATTEMPTS = "UPDATE attempts SET answered_at = $2, outcome = g.class, code = g.code, detail = g.detail, \
          provider_id = g.provider_id FROM (\
        SELECT CAST(j.value ->> 0 AS BIGINT) AS message, CAST(j.value ->> 1 AS BIGINT) AS num, j.value ->> 2 AS class, \
          j.value ->> 3 AS code, j.value ->> 4 AS detail, j.value ->> 5 AS provider_id \
        FROM json_each(CAST($1 AS TEXT)) AS j) AS g \
        WHERE attempts.message_id = g.message AND attempts.number = g.num \
          AND (attempts.outcome IS NULL OR attempts.outcome = 'unknown')";
    /// T7 to T10. `$1` rows of (message, epoch, state, due, counts, reason), `$2` now.
    MOVE = "UPDATE messages SET dispatch = g.state, not_before = g.due, attempts = attempts + g.counts, \
          reason = g.reason, settled_at = $2, owner = NULL, lease_until = NULL FROM (\
        SELECT CAST(j.value ->> 0 AS BIGINT) AS message, CAST(j.value ->> 1 AS BIGINT) AS fence, j.value ->> 2 AS state, \
          CAST(j.value ->> 3 AS BIGINT) AS due, CAST(j.value ->> 4 AS BIGINT) AS counts, j.value ->> 5 AS reason \
        FROM json_each(CAST($1 AS TEXT)) AS j) AS g \
        WHERE messages.id = g.message AND messages.epoch = g.fence AND messages.dispatch = 'submitting' RETURNING id";
    /// T11 and T14: proof of acceptance. `$1` message ids, `$2` now.
    ACCEPT_LATE = "UPDATE messages SET dispatch = 'accepted', settled_at = $2, owner = NULL, lease_until = NULL, \
          epoch = epoch + 1 \
        WHERE dispatch IN ('ambiguous', 'unknown', 'queued', 'claimed', 'rejected', 'failed', 'suppressed', \
          'cancelled', 'expired', 'blocked') AND last_number > 0 \
          AND id IN (SELECT CAST(j.value ->> 0 AS BIGINT) FROM json_each(CAST($1 AS TEXT)) AS j) RETURNING id";
    /// `$1` rows of (message, coupon state), `$2` now. A code whose message may be a second copy is never released.
    MOVE_COUPONS = "UPDATE coupons SET changed_at = $2, \
          state = CASE WHEN g.state = 'available' AND g.doubtful = 1 THEN 'quarantined' ELSE g.state END, \
          message_id = CASE WHEN g.state = 'available' AND g.doubtful = 0 THEN NULL ELSE coupons.message_id END \
        FROM (SELECT m.coupon_id AS coupon, m.id AS message, m.possible_duplicate AS doubtful, j.value ->> 1 AS state \
              FROM json_each(CAST($1 AS TEXT)) AS j JOIN messages AS m ON m.id = CAST(j.value ->> 0 AS BIGINT) \
              WHERE m.coupon_id IS NOT NULL) AS g \
        WHERE coupons.id = g.coupon AND coupons.message_id = g.message \
          AND coupons.state IN ('reserved', 'quarantined')";
    /// `$1` message ids.
    REFUND = "UPDATE runs SET spent = spent - g.amount FROM (\
        SELECT m.run_id AS run, CAST(SUM(m.price) AS BIGINT) AS amount FROM json_each(CAST($1 AS TEXT)) AS j \
        JOIN messages AS m ON m.id = CAST(j.value ->> 0 AS BIGINT) GROUP BY m.run_id) AS g WHERE runs.id = g.run";
    /// `$1` message ids, `$2` now.
    MARK_UNREACHABLE = "UPDATE contacts SET unreachable_at = $2 WHERE id IN (\
        SELECT m.contact_id FROM json_each(CAST($1 AS TEXT)) AS j \
        JOIN messages AS m ON m.id = CAST(j.value ->> 0 AS BIGINT))";
    /// `$1` message ids.
    PHONES = "SELECT DISTINCT m.phone FROM json_each(CAST($1 AS TEXT)) AS j \
        JOIN messages AS m ON m.id = CAST(j.value ->> 0 AS BIGINT)";
}

impl Batch {
    /// Writes decided outcomes of one route.
    ///
    /// # Errors
    /// When the store cannot be written; then the outcomes must be kept and written again.
    pub async fn settle(
        &mut self,
        route: &str,
        settlements: &[Settlement],
        now: Timestamp,
    ) -> Result<(), StoreError> {
        if settlements.is_empty() {
            return Ok(());
        }
        let attempts: Vec<_> = settlements
            .iter()
            .map(|s| {
                let o = &s.outcome;
                (s.message.0, s.number, o.class.as_str(), &o.code, &o.detail, &o.provider_id)
            })
            .collect();
        self.tx.run(CLOSE_ATTEMPTS, args![json_rows(&attempts)?, now.0]).await?;
        let moves: Vec<_> = settlements.iter().map(move_row).collect();
        let moved = self.tx.rows(MOVE, args![json_rows(&moves)?, now.0]).await?;
        let moved = moved.iter().map(|row| row.int(0)).collect::<Result<HashSet<i64>, _>>()?;

        let late = settlements.iter().filter(|s| !moved.contains(&s.message.0));
        let late: Vec<_> =
            late.filter(|s| s.outcome.class == OutcomeClass::Accepted).map(|s| s.message).collect();
        self.accept_late(&late, now).await?;
        let effects: Vec<_> = settlements
            .iter()
            .filter(|s| moved.contains(&s.message.0))
            .map(|s| (s.message, s.coupon))
            .collect();
        self.apply_coupons(&effects, now).await?;
        self.follow_up(settlements, &moved, now).await?;
        self.join_parked(route, settlements, now).await
    }

    /// Money, dead numbers and opt-outs that follow from outcomes.
    async fn follow_up(
        &mut self,
        settlements: &[Settlement],
        moved: &HashSet<i64>,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let of = |wanted: &dyn Fn(&Settlement) -> bool| -> Vec<(i64,)> {
            settlements.iter().filter(|s| wanted(s)).map(|s| (s.message.0,)).collect()
        };
        let refunds = of(&|s| s.refund && moved.contains(&s.message.0));
        self.refund(&refunds).await?;
        let dead = of(&|s| s.outcome.class == OutcomeClass::BadRecipient);
        if !dead.is_empty() {
            self.tx.run(MARK_UNREACHABLE, args![json_rows(&dead)?, now.0]).await?;
        }
        let refused = of(&|s| s.outcome.class == OutcomeClass::OptedOut);
        if !refused.is_empty() {
            self.suppress_messages(&refused, now).await?;
        }
        Ok(())
    }

    /// Gives back the money that each of these messages reserved at its last intent.
    pub(super) async fn refund(&mut self, messages: &[(i64,)]) -> Result<(), StoreError> {
        if !messages.is_empty() {
            self.tx.run(REFUND, vec![json_rows(messages)?]).await?;
        }
        Ok(())
    }

    /// Suppresses the numbers of messages whose provider says that the person opted out.
    pub(super) async fn suppress_messages(
        &mut self,
        messages: &[(i64,)],
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let rows = self.tx.rows(PHONES, vec![json_rows(messages)?]).await?;
        let phones =
            rows.iter().map(|row| super::claims::phone(row.int(0)?)).collect::<Result<Vec<_>, _>>()?;
        self.suppress(&phones, Reason::Provider, "provider", now).await
    }

    /// Marks messages as accepted on evidence (T11, T14); answers those that changed.
    pub(super) async fn accept_late(
        &mut self,
        messages: &[MessageId],
        now: Timestamp,
    ) -> Result<Vec<i64>, StoreError> {
        if messages.is_empty() {
            return Ok(Vec::new());
        }
        let ids: Vec<_> = messages.iter().map(|m| (m.0,)).collect();
        let rows = self.tx.rows(ACCEPT_LATE, args![json_rows(&ids)?, now.0]).await?;
        let changed = rows.iter().map(|row| row.int(0)).collect::<Result<Vec<_>, _>>()?;
        let effects: Vec<_> = changed.iter().map(|id| (MessageId(*id), CouponEffect::Send)).collect();
        self.apply_coupons(&effects, now).await?;
        Ok(changed)
    }

    /// Moves coupon codes along with their messages.
    pub(super) async fn apply_coupons(
        &mut self,
        effects: &[(MessageId, CouponEffect)],
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let rows: Vec<_> = effects
            .iter()
            .filter_map(|(message, effect)| coupon_state(*effect).map(|s| (message.0, s)))
            .collect();
        if !rows.is_empty() {
            self.tx.run(MOVE_COUPONS, args![json_rows(&rows)?, now.0]).await?;
        }
        Ok(())
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
        CouponEffect::Send => Some("sent"),
        CouponEffect::Release => Some("available"),
        CouponEffect::Quarantine => Some("quarantined"),
    }
}

//! Proof that a submission was accepted, whenever it comes: its attempt, its message, its code and its money follow.
//!
//! What a report proves is decided by what is known about its attempt, not by where its message is. Proof that comes
//! again changes nothing, and no proof is refused: what it contradicts is flagged.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::model::clock::Timestamp;
use crate::model::delivery::Delivery;
use crate::model::ids::MessageId;
use crate::model::message::{CouponEffect, Settlement};
use crate::model::outcome::{OutcomeClass, Proof};

use super::StoreError;
use super::batch::{Batch, json_rows, word};
use super::connection::{Row, args};
use super::dialect::statements;

/// What makes an attempt `a` a copy that may have arrived: its fate is unknown, and nobody has decided that it was not
/// sent.
macro_rules! open_copy {
    () => {
        "(a.outcome IS NULL OR a.outcome IN ('unknown', 'garbled')) AND NOT EXISTS (SELECT 1 FROM decisions AS e \
          WHERE e.message_id = a.message_id AND e.number = a.number AND e.verdict = 'not-sent')"
    };
}
pub(super) use open_copy;

/// Whether an earlier copy of a row of `messages` may have arrived, whatever becomes of the next one (T17). Only what was
/// sent again has one, so that nobody else's attempts are looked at; counted, because PostgreSQL would look for those of
/// everybody where it is asked whether there are any.
macro_rules! may_have_arrived {
    () => {
        concat!(
            "messages.possible_duplicate = 1 AND (SELECT count(*) FROM attempts AS a WHERE a.message_id = messages.id AND ",
            $crate::store::evidence::open_copy!(),
            ") > 0"
        )
    };
}
pub(super) use may_have_arrived;

/// How the reason of a message ends that is called off while an earlier copy of it may have arrived.
macro_rules! in_doubt_all_the_same {
    () => {
        "'; a copy sent before may have arrived'"
    };
}
pub(super) use in_doubt_all_the_same;

statements! {
    /// `$1` rows of (message, number).
    OUTCOMES = "SELECT a.message_id, a.number, a.outcome FROM jsonb_each(CAST($1 AS TEXT)) AS j \
        JOIN attempts AS a ON a.message_id = CAST(j.value ->> 0 AS BIGINT) AND a.number = CAST(j.value ->> 1 AS BIGINT)";
    /// Attempts that were decided to be not sent and are not known as accepted: their money was given back. `$1` rows of
    /// (message, number).
    DECIDED_UNSENT = "SELECT d.message_id, d.number FROM jsonb_each(CAST($1 AS TEXT)) AS j \
        JOIN decisions AS d ON d.message_id = CAST(j.value ->> 0 AS BIGINT) AND d.number = CAST(j.value ->> 1 AS BIGINT) \
        JOIN attempts AS a ON a.message_id = d.message_id AND a.number = d.number \
        WHERE d.verdict = 'not-sent' AND (a.outcome IS NULL OR a.outcome IN ('unknown', 'garbled'))";
    /// Every attempt of messages with what was reported about it. `$1` message ids.
    LOOK_BACK = "SELECT a.message_id, a.number, a.outcome, COALESCE(r.state, 'none') FROM jsonb_each(CAST($1 AS TEXT)) AS j \
        JOIN attempts AS a ON a.message_id = CAST(j.value ->> 0 AS BIGINT) \
        LEFT JOIN receipts AS r ON r.message_id = a.message_id AND r.number = a.number";
    /// `$1` rows of (message, number, provider id), `$2` now.
    PROVE = "UPDATE attempts SET outcome = 'accepted', \
          answered_at = CASE WHEN attempts.outcome = 'accepted' THEN attempts.answered_at ELSE $2 END, \
          provider_id = COALESCE(attempts.provider_id, g.pid) FROM (\
        SELECT CAST(j.value ->> 0 AS BIGINT) AS message, CAST(j.value ->> 1 AS BIGINT) AS num, j.value ->> 2 AS pid \
        FROM jsonb_each(CAST($1 AS TEXT)) AS j) AS g \
        WHERE attempts.message_id = g.message AND attempts.number = g.num";
    /// T11 and T14. `$1` message ids, `$2` now.
    ACCEPT_LATE = "UPDATE messages SET dispatch = 'accepted', reason = NULL, settled_at = $2, owner = NULL, \
          lease_until = NULL, epoch = epoch + 1 \
        WHERE dispatch IN ('ambiguous', 'unknown', 'queued', 'claimed', 'rejected', 'failed', 'suppressed', \
          'cancelled', 'expired', 'blocked') AND last_number > 0 \
          AND id IN (SELECT CAST(j.value ->> 0 AS BIGINT) FROM jsonb_each(CAST($1 AS TEXT)) AS j) RETURNING id";
    /// Codes that were given back and that nobody has taken since. `$1` message ids, `$2` now.
    RETAKE = "UPDATE coupons SET state = 'sent', message_id = g.message, changed_at = $2 FROM (\
        SELECT m.coupon_id AS coupon, MIN(m.id) AS message FROM jsonb_each(CAST($1 AS TEXT)) AS j \
        JOIN messages AS m ON m.id = CAST(j.value ->> 0 AS BIGINT) WHERE m.coupon_id IS NOT NULL \
        GROUP BY m.coupon_id) AS g \
        WHERE coupons.id = g.coupon AND coupons.state = 'available' AND coupons.message_id IS NULL";
    /// Codes that somebody else has by now. `$1` message ids, `$2` now.
    CONTEST = "UPDATE coupons SET contested_by = g.message, changed_at = $2 FROM (\
        SELECT c.id AS coupon, MIN(m.id) AS message FROM jsonb_each(CAST($1 AS TEXT)) AS j \
        JOIN messages AS m ON m.id = CAST(j.value ->> 0 AS BIGINT) JOIN coupons AS c ON c.id = m.coupon_id \
        WHERE c.message_id IS NULL OR c.message_id <> m.id GROUP BY c.id) AS g \
        WHERE coupons.id = g.coupon AND coupons.contested_by IS NULL";
}

/// An attempt of which it is proven that the provider took it.
#[derive(Clone, Debug)]
pub(super) struct Proven {
    message: i64,
    number: i64,
    provider_id: Option<String>,
}

impl Proven {
    /// Proof by a report.
    pub(super) fn new(message: i64, number: i64, provider_id: Option<String>) -> Self {
        Self { message, number, provider_id }
    }

    /// Its message and number.
    pub(super) fn attempt(&self) -> (i64, i64) {
        (self.message, self.number)
    }

    /// Proof by an answer.
    pub(super) fn by(settlement: &Settlement) -> Self {
        Self::new(settlement.message.0, settlement.number, settlement.outcome.provider_id.clone())
    }
}

/// What is known about attempts, by message and number; none where the answer has not come yet.
pub(super) type Outcomes = HashMap<(i64, i64), Option<OutcomeClass>>;

/// Whether a report proves that a provider took an attempt which is not known as accepted. A refusal may be reported
/// as a refusal too; only a report that the text is under way or arrived overturns it.
pub(super) fn proves_acceptance(outcome: Option<OutcomeClass>, report: Delivery) -> bool {
    match outcome.map(OutcomeClass::proof) {
        Some(Proof::Accepted) => false,
        None | Some(Proof::Ambiguous) => report != Delivery::None,
        Some(Proof::NotSent | Proof::Refused | Proof::RouteBroken) => {
            matches!(report, Delivery::EnRoute | Delivery::Delivered | Delivery::Read)
        }
    }
}

impl Batch {
    /// What is known about attempts (message, number). Their messages must be locked.
    pub(super) async fn outcomes(&mut self, attempts: &BTreeSet<(i64, i64)>) -> Result<Outcomes, StoreError> {
        if attempts.is_empty() {
            return Ok(Outcomes::new());
        }
        let list: Vec<_> = attempts.iter().collect();
        let rows = self.tx.rows(OUTCOMES, vec![json_rows(&list)?]).await?;
        rows.iter().map(|row| Ok(((row.int(0)?, row.int(1)?), outcome(row)?))).collect()
    }

    /// Those of these attempts (message, number) whose money a decision gave back, while nobody knows their fate.
    pub(super) async fn decided_unsent(
        &mut self,
        attempts: &[(i64, i64)],
    ) -> Result<Vec<(i64, i64)>, StoreError> {
        if attempts.is_empty() {
            return Ok(Vec::new());
        }
        let rows = self.tx.rows(DECIDED_UNSENT, vec![json_rows(attempts)?]).await?;
        rows.iter().map(|row| Ok((row.int(0)?, row.int(1)?))).collect()
    }

    /// Accepts what attempts prove (T11, T14), and charges those whose money had been given back. Answers how many
    /// messages changed. The messages must be locked.
    pub(super) async fn prove(&mut self, proven: &[Proven], now: Timestamp) -> Result<usize, StoreError> {
        if proven.is_empty() {
            return Ok(0);
        }
        let mut attempts: BTreeMap<(i64, i64), Option<&str>> = BTreeMap::new();
        for one in proven {
            let id = attempts.entry((one.message, one.number)).or_default();
            *id = id.or(one.provider_id.as_deref());
        }
        let outcomes = self.outcomes(&attempts.keys().copied().collect()).await?;
        let free = |known: &Option<OutcomeClass>| known.is_some_and(|class| !class.costs());
        let mut refunded: Vec<_> =
            outcomes.iter().filter(|(_, o)| free(o)).map(|(attempt, _)| *attempt).collect();
        let list: Vec<_> = attempts.keys().copied().collect();
        refunded.extend(self.decided_unsent(&list).await?);
        refunded.sort_unstable();
        self.pay(&refunded, 1).await?;
        let rows: Vec<_> = attempts.iter().map(|((message, number), id)| (message, number, id)).collect();
        self.tx.run(PROVE, args![json_rows(&rows)?, now.0]).await?;
        let messages: BTreeSet<i64> = attempts.keys().map(|(message, _)| *message).collect();
        self.accept_late(&messages.into_iter().map(|id| (id,)).collect::<Vec<_>>(), now).await
    }

    /// Accepts messages one of whose attempts is proven by what is stored already; answers how many changed.
    pub(super) async fn look_back(
        &mut self,
        messages: &[(i64,)],
        now: Timestamp,
    ) -> Result<usize, StoreError> {
        if messages.is_empty() {
            return Ok(0);
        }
        let mut proven = Vec::new();
        for row in self.tx.rows(LOOK_BACK, vec![json_rows(messages)?]).await? {
            let outcome = outcome(&row)?;
            let report = word(&row, 3, "delivery state", Delivery::from_word)?;
            if outcome == Some(OutcomeClass::Accepted) || proves_acceptance(outcome, report) {
                proven.push(Proven::new(row.int(0)?, row.int(1)?, None));
            }
        }
        self.prove(&proven, now).await
    }

    async fn accept_late(&mut self, messages: &[(i64,)], now: Timestamp) -> Result<usize, StoreError> {
        let rows = self.tx.rows(ACCEPT_LATE, args![json_rows(messages)?, now.0]).await?;
        let changed = rows.iter().map(|row| row.int(0)).collect::<Result<Vec<_>, _>>()?;
        let effects: Vec<_> = changed.iter().map(|id| (MessageId(*id), CouponEffect::Send)).collect();
        let kept = self.apply_coupons(&effects, now).await?;
        let ids: Vec<_> = changed.iter().map(|id| (*id,)).collect();
        if kept < changed.len() as u64 {
            self.tx.run(RETAKE, args![json_rows(&ids)?, now.0]).await?;
            self.tx.run(CONTEST, args![json_rows(&ids)?, now.0]).await?;
        }
        self.prunable(&ids).await?;
        Ok(changed.len())
    }
}

fn outcome(row: &Row) -> Result<Option<OutcomeClass>, StoreError> {
    let Some(word) = row.opt_text(2)? else { return Ok(None) };
    OutcomeClass::from_word(&word).map(Some).ok_or(StoreError::Word { what: "outcome", word })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_attempt_is_not_accepted_because_its_refusal_is_reported_twice() {
        use OutcomeClass as C;
        let check = |outcome, report, proves| {
            assert_eq!(proves_acceptance(outcome, report), proves, "{outcome:?} {report:?}");
        };
        for refused in [C::BadRecipient, C::Unavailable, C::Throttled, C::Account] {
            check(Some(refused), Delivery::Rejected, false);
            check(Some(refused), Delivery::Undelivered, false);
            check(Some(refused), Delivery::Delivered, true);
        }
        for doubtful in [None, Some(C::Unknown), Some(C::Garbled)] {
            check(doubtful, Delivery::Undelivered, true);
            check(doubtful, Delivery::EnRoute, true);
            check(doubtful, Delivery::None, false);
        }
        check(Some(C::Accepted), Delivery::Delivered, false);
    }
}

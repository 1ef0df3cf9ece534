//! Messages in doubt as a person sees them, and the writing of what that person decided.
//!
//! What a verdict leads to is decided in `model` and `dispatch`; a row that has changed since it was looked at is left
//! alone. Facts stay as they are: a decision is a row of its own beside the attempt it is about.

use std::collections::{BTreeMap, HashSet};

use crate::model::clock::Timestamp;
use crate::model::ids::{MessageId, RunId};
use crate::model::message::{CouponEffect, Verdict, WhenInDoubt};
use crate::model::outcome::OutcomeClass;
use crate::model::phone::Phone;
use crate::model::run::RunState;
use crate::model::state::Dispatch;

use super::batch::{Batch, json_rows, word};
use super::claims::phone;
use super::connection::{Arg, Row, args};
use super::dialect::statements;
use super::evidence::open_copy;
use super::inquiries::{Standing, last_attempt, standing, standing_at};
use super::status::{AttemptView, attempt_at};
use super::sweep::{InDoubt, policy_of_run};
use super::{Store, StoreError};

/// How the reason of a message ends that was to be sent again and is not (T17).
pub const SENT_BEFORE: &str = "; a copy sent before may have arrived";

/// Which attempt of a message `m` is in doubt: the last that may have arrived, which need not be the last that was made.
macro_rules! open_number {
    () => {
        concat!(
            "COALESCE((SELECT max(a.number) FROM attempts AS a WHERE a.message_id = m.id AND ",
            open_copy!(),
            "), m.last_number)"
        )
    };
}

/// What a decision about an attempt keeps of the one before it.
macro_rules! decided_anew {
    () => {
        " ON CONFLICT (message_id, number) DO UPDATE SET verdict = excluded.verdict, decided_at = excluded.decided_at, \
          decided_by = excluded.decided_by, reason = COALESCE(excluded.reason || '; ', '') || 'before, ' \
            || decisions.decided_by || ' had decided: ' || decisions.verdict"
    };
}

statements! {
    /// `$1`, `$2` run and message after which to begin, `$3` the last run that is meant, `$4` most.
    DOUBTS = concat!("SELECT m.id, m.run_id, m.settled_at, ", policy_of_run!(), ", m.attempts, m.dispatch, r.campaign, \
          m.phone, m.route, m.possible_duplicate, b.number, b.reference, b.intent_at, b.answered_at, b.outcome, b.code, \
          b.detail, b.provider_id, i.detail, m.expires_at, ", standing!(), " FROM messages AS m JOIN runs AS r ON r.id = m.run_id ",
          last_attempt!(), "LEFT JOIN attempts AS b ON b.message_id = m.id AND b.number = ", open_number!(), " WHERE m.dispatch IN ('ambiguous', 'unknown') AND (m.run_id, m.id) > ($1, $2) AND m.run_id <= $3 \
        ORDER BY m.run_id, m.id LIMIT CAST($4 AS BIGINT)");
    /// What a decision about the messages in `$1` depends on.
    CANDIDATES = concat!("SELECT m.id, m.run_id, m.dispatch, m.epoch, m.open_number, m.not_before, m.expires_at, r.state, \
          CAST(CASE WHEN EXISTS (SELECT 1 FROM receipts AS e LEFT JOIN attempts AS a ON a.message_id = e.message_id \
              AND a.number = e.number WHERE e.message_id = m.id AND e.state <> 'none' \
              AND (a.outcome IS NULL OR a.outcome IN ('accepted', 'unknown', 'garbled'))) \
            THEN 1 ELSE 0 END AS BIGINT), \
          CAST(CASE WHEN EXISTS (SELECT 1 FROM suppressions AS s WHERE s.phone = m.phone AND s.lifted_at IS NULL \
            AND s.scope IN ('all', m.sender)) THEN 1 ELSE 0 END AS BIGINT), \
          (SELECT d.verdict FROM decisions AS d WHERE d.message_id = m.id ORDER BY d.number DESC LIMIT 1), \
          i.answer_by, \
          (SELECT count(*) FROM attempts AS a WHERE a.message_id = m.id AND ", open_copy!(), "), \
          (SELECT count(*) FROM coupons AS c WHERE c.id = m.coupon_id AND c.message_id = m.id AND c.state = 'quarantined'), \
          m.possible_duplicate, \
          CAST(CASE WHEN r.budget IS NULL OR r.spent + m.price <= r.budget THEN 1 ELSE 0 END AS BIGINT) \
        FROM (SELECT m.*, ", open_number!(), " AS open_number FROM jsonb_each(CAST($1 AS TEXT)) AS j \
          CROSS JOIN messages AS m WHERE m.id = CAST(j.value ->> 0 AS BIGINT)) AS m JOIN runs AS r ON r.id = m.run_id \
        LEFT JOIN inquiries AS i ON i.message_id = m.id AND i.number = m.open_number");
    /// T15. `$1` rows of (message, state, epoch, next state, due, again, reason), `$2` now.
    DECIDE = "UPDATE messages SET dispatch = g.goal, not_before = g.due, reason = g.reason, settled_at = $2, \
          possible_duplicate = messages.possible_duplicate | g.again, epoch = messages.epoch + 1, owner = NULL, \
          lease_until = NULL FROM (\
        SELECT CAST(j.value ->> 0 AS BIGINT) AS message, j.value ->> 1 AS was, CAST(j.value ->> 2 AS BIGINT) AS fence, \
          j.value ->> 3 AS goal, CAST(j.value ->> 4 AS BIGINT) AS due, CAST(j.value ->> 5 AS BIGINT) AS again, \
          j.value ->> 6 AS reason FROM jsonb_each(CAST($1 AS TEXT)) AS j) AS g \
        WHERE messages.id = g.message AND messages.dispatch = g.was AND messages.epoch = g.fence \
          AND messages.dispatch IN ('ambiguous', 'unknown') RETURNING id";
    /// Of a copy that was to be sent again and was not, something else may be decided. `$1` rows of (message, number, run,
    /// verdict), `$2` now, `$3` by whom, `$4` reason.
    RECORD = concat!("INSERT INTO decisions (message_id, number, run_id, decided_at, verdict, decided_by, reason) \
        SELECT CAST(j.value ->> 0 AS BIGINT), CAST(j.value ->> 1 AS BIGINT), CAST(j.value ->> 2 AS BIGINT), \
          CAST($2 AS BIGINT), j.value ->> 3, $3, $4 FROM jsonb_each(CAST($1 AS TEXT)) AS j WHERE true", decided_anew!());
    /// Every copy that may have arrived is decided as not sent, whatever was decided about it before. `$1` message ids,
    /// `$2` now, `$3` by whom, `$4` reason.
    RECORD_COPIES = concat!("INSERT INTO decisions (message_id, number, run_id, decided_at, verdict, decided_by, reason) \
        SELECT a.message_id, a.number, m.run_id, CAST($2 AS BIGINT), 'not-sent', CAST($3 AS TEXT), CAST($4 AS TEXT) \
        FROM jsonb_each(CAST($1 AS TEXT)) AS j JOIN messages AS m ON m.id = CAST(j.value ->> 0 AS BIGINT) \
        JOIN attempts AS a ON a.message_id = m.id \
        WHERE ", open_copy!(), decided_anew!(), " RETURNING message_id, number");
    /// Codes of messages of which no copy was sent: back on the shelf, or to the text that was proven to carry one too.
    /// `$1` message ids, `$2` now.
    FREE_CODES = "UPDATE coupons SET changed_at = $2, \
          state = CASE WHEN coupons.contested_by IS NOT NULL THEN 'sent' ELSE 'available' END, \
          message_id = coupons.contested_by, contested_by = NULL FROM (\
        SELECT m.coupon_id AS coupon, m.id AS message FROM jsonb_each(CAST($1 AS TEXT)) AS j \
        JOIN messages AS m ON m.id = CAST(j.value ->> 0 AS BIGINT) WHERE m.coupon_id IS NOT NULL) AS g \
        WHERE coupons.id = g.coupon AND coupons.message_id = g.message AND coupons.state IN ('reserved', 'quarantined')";
    /// Messages of a run that ended and of which an earlier copy may have arrived, with their code or paid for. `$1` run,
    /// `$2` the last message seen, `$3` most.
    LOCKED = concat!("SELECT m.id FROM messages AS m WHERE m.run_id = $1 AND m.id > $2 AND m.dispatch IN ('rejected', 'failed', \
          'suppressed', 'cancelled', 'expired', 'blocked') \
          AND (EXISTS (SELECT 1 FROM coupons AS c WHERE c.id = m.coupon_id AND c.message_id = m.id AND c.state = 'quarantined') \
            OR EXISTS (SELECT 1 FROM attempts AS a WHERE a.message_id = m.id AND ", open_copy!(), ")) \
        ORDER BY m.id LIMIT CAST($3 AS BIGINT)");
    /// A run with nothing left to send has something again. `$1` rows of (run, state).
    REOPEN = "UPDATE runs SET state = g.state, finished_at = NULL, pruned = CASE WHEN pruned = 2 THEN 1 ELSE pruned END \
        FROM (\
        SELECT CAST(j.value ->> 0 AS BIGINT) AS run, j.value ->> 1 AS state FROM jsonb_each(CAST($1 AS TEXT)) AS j) AS g \
        WHERE runs.id = g.run AND runs.state = 'finished'";
    DECISIONS_OF = "SELECT number, decided_at, verdict, decided_by, reason FROM decisions WHERE message_id = $1 \
        ORDER BY number";
}

/// A message in doubt, open or parked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Doubt {
    /// The message, and since when its state is what it is.
    pub message: InDoubt,
    /// Ambiguous, or unknown once it is parked.
    pub dispatch: Dispatch,
    /// Its campaign.
    pub campaign: String,
    /// Where it goes.
    pub phone: Phone,
    /// The route.
    pub route: String,
    /// Whether it may have been sent twice already.
    pub possible_duplicate: bool,
    /// The attempt whose fate nobody knows.
    pub attempt: Option<AttemptView>,
    /// What its provider was asked about that.
    pub standing: Standing,
    /// What the provider said last, in words.
    pub answered: Option<String>,
}

/// What a decision about one message depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// The message.
    pub id: MessageId,
    /// Its run.
    pub run: RunId,
    /// Where it stands.
    pub dispatch: Dispatch,
    /// Its fence.
    pub epoch: i64,
    /// Number of the attempt that is in doubt; of its last one where none is.
    pub number: i64,
    /// When it may go.
    pub not_before: Timestamp,
    /// After this it is useless.
    pub expires_at: Timestamp,
    /// Where its run stands.
    pub run_state: RunState,
    /// Whether a receipt shows that it was accepted.
    pub proven: bool,
    /// Whether its number must not be texted.
    pub suppressed: bool,
    /// Whether the budget of its run has room for one more copy.
    pub affordable: bool,
    /// What was decided about it last.
    pub decided: Option<Verdict>,
    /// The same request went out again, and its answer may come until then.
    pub answer_by: Option<Timestamp>,
    /// Copies of which nobody knows, or has decided, that they were not taken.
    pub copies: i64,
    /// Whether its code is in quarantine.
    pub locked: bool,
    /// Whether it was sent again, so that an earlier copy may have arrived.
    pub again: bool,
}

/// A decision, ready to be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decision {
    /// What it is about, as it was when it was looked at.
    pub about: Candidate,
    /// What was said.
    pub verdict: Verdict,
    /// Where that leads.
    pub to: Dispatch,
    /// Where its run is afterwards, if it is to go out again.
    pub run_to: Option<RunState>,
    /// When it may go.
    pub due: Timestamp,
    /// What happens to its coupon.
    pub coupon: CouponEffect,
    /// Whether it is about every copy that may have arrived. Of a message that has ended it is about these alone.
    pub every_copy: bool,
}

/// A recorded decision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DecisionView {
    /// The attempt it is about.
    pub number: i64,
    /// When.
    pub decided_at: Timestamp,
    /// What was said.
    pub verdict: Verdict,
    /// By whom.
    pub decided_by: String,
    /// Why.
    pub reason: Option<String>,
}

impl Store {
    /// Messages in doubt after the one in `after`, by run and id, up to the run `last`.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn doubts(
        &self,
        after: (RunId, MessageId),
        last: RunId,
        limit: i64,
    ) -> Result<Vec<Doubt>, StoreError> {
        let rows = self.pools.read(DOUBTS, args![after.0.0, after.1.0, last.0, limit]).await?;
        rows.iter().map(doubt).collect()
    }

    /// Messages of a run after `after` that ended and whose code is in quarantine all the same: an earlier copy may have
    /// carried it.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn locked_codes(
        &self,
        run: RunId,
        after: MessageId,
        limit: i64,
    ) -> Result<Vec<MessageId>, StoreError> {
        let rows = self.pools.read(LOCKED, args![run.0, after.0, limit]).await?;
        rows.iter().map(|row| Ok(MessageId(row.int(0)?))).collect()
    }

    /// What people decided about a message, attempt by attempt.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn decisions_of(&self, message: MessageId) -> Result<Vec<DecisionView>, StoreError> {
        let rows = self.pools.read(DECISIONS_OF, args![message.0]).await?;
        rows.iter()
            .map(|row| {
                Ok(DecisionView {
                    number: row.int(0)?,
                    decided_at: Timestamp(row.int(1)?),
                    verdict: word(row, 2, "verdict", Verdict::from_word)?,
                    decided_by: row.text(3)?,
                    reason: row.opt_text(4)?,
                })
            })
            .collect()
    }
}

impl Batch {
    /// What decisions about these messages depend on; they and their runs are locked until the batch ends, so that none of them
    /// is cancelled or finished meanwhile. Messages that do not exist are not in the answer.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn candidates(&mut self, messages: &[MessageId]) -> Result<Vec<Candidate>, StoreError> {
        let ids: Vec<_> = messages.iter().map(|id| (id.0,)).collect();
        // Before their runs, as whoever writes an outcome does.
        self.hold(&ids).await?;
        let ids = json_rows(&ids)?;
        self.hold_runs(&ids).await?;
        self.tx.rows(CANDIDATES, vec![ids]).await?.iter().map(candidate).collect()
    }

    /// Opens runs again that had nothing left to send, each as what. Rows of (run, state).
    ///
    /// # Errors
    /// When the store cannot be written.
    pub async fn reopen(&mut self, runs: &[(i64, &str)]) -> Result<(), StoreError> {
        if !runs.is_empty() {
            self.tx.run(REOPEN, vec![json_rows(runs)?]).await?;
        }
        Ok(())
    }

    /// Writes decisions about messages that still stand where they stood; answers those that were written.
    ///
    /// # Errors
    /// When the store cannot be written; then nothing of it happened.
    pub async fn decide(
        &mut self,
        decisions: &[Decision],
        by: &str,
        reason: Option<&str>,
        now: Timestamp,
    ) -> Result<Vec<MessageId>, StoreError> {
        if decisions.is_empty() {
            return Ok(Vec::new());
        }
        let (ended, open): (Vec<&Decision>, Vec<&Decision>) =
            decisions.iter().partition(|one| one.to == one.about.dispatch);
        let rows: Vec<_> = open.iter().map(|one| decide_row(one)).collect();
        let moved = self.tx.rows(DECIDE, args![json_rows(&rows)?, now.0]).await?;
        let moved = moved.iter().map(|row| row.int(0)).collect::<Result<HashSet<i64>, _>>()?;
        let open = open.into_iter().filter(|one| moved.contains(&one.about.id.0));
        let open: Vec<&Decision> = open.collect();
        let records: Vec<_> = open
            .iter()
            .map(|one| (one.about.id.0, one.about.number, one.about.run.0, one.verdict.as_str()))
            .collect();
        let reason = reason.map(str::to_owned);
        self.tx.run(RECORD, args![json_rows(&records)?, now.0, by, reason.clone()]).await?;
        let unsent = open.iter().filter(|one| one.verdict == Verdict::NotSent);
        let unsent = unsent.map(|one| (one.about.id.0, one.about.number)).collect();
        let done: Vec<&Decision> = open.into_iter().chain(ended).collect();
        if done.is_empty() {
            return Ok(Vec::new());
        }
        let copies = self.unsend_copies(&done, args![now.0, by, reason], now).await?;
        let effects = done.iter().filter(|one| !one.every_copy);
        let effects: Vec<_> = effects.map(|one| (one.about.id, one.coupon)).collect();
        self.apply_coupons(&effects, now).await?;
        self.prunable(&done.iter().map(|one| (one.about.id.0,)).collect::<Vec<_>>()).await?;
        // An answer that came late may have given the money back already.
        let paid = self.outcomes(&unsent).await?.into_iter();
        let paid = paid.filter(|(_, outcome)| outcome.is_none_or(OutcomeClass::costs));
        self.pay(&paid.map(|(attempt, _)| attempt).chain(copies).collect::<Vec<_>>(), -1).await?;
        let reopened: BTreeMap<i64, &str> =
            done.iter().filter_map(|one| one.run_to.map(|state| (one.about.run.0, state.as_str()))).collect();
        self.reopen(&reopened.into_iter().collect::<Vec<_>>()).await?;
        Ok(done.iter().map(|one| one.about.id).collect())
    }
}

impl Batch {
    /// Records of every copy that may have arrived that it was not sent, where a decision is about all, and frees the
    /// codes; answers those copies.
    async fn unsend_copies(
        &mut self,
        done: &[&Decision],
        told: Vec<Arg>,
        now: Timestamp,
    ) -> Result<Vec<(i64, i64)>, StoreError> {
        let ids: Vec<_> = done.iter().filter(|one| one.every_copy).map(|one| (one.about.id.0,)).collect();
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let args = args![json_rows(&ids)?].into_iter().chain(told).collect();
        let rows = self.tx.rows(RECORD_COPIES, args).await?;
        self.tx.run(FREE_CODES, args![json_rows(&ids)?, now.0]).await?;
        rows.iter().map(|row| Ok((row.int(0)?, row.int(1)?))).collect()
    }
}

fn decide_row(one: &Decision) -> (i64, &'static str, i64, &'static str, i64, i64, &'static str) {
    let reason = match one.verdict {
        Verdict::Accepted => "accepted by decision",
        Verdict::NotSent => "not sent, by decision",
        Verdict::Resend => "sent again by decision",
    };
    let again = i64::from(one.verdict == Verdict::Resend);
    (one.about.id.0, one.about.dispatch.as_str(), one.about.epoch, one.to.as_str(), one.due.0, again, reason)
}

fn doubt(row: &Row) -> Result<Doubt, StoreError> {
    let message = InDoubt {
        id: MessageId(row.int(0)?),
        run: RunId(row.int(1)?),
        since: Timestamp(row.opt_int(2)?.unwrap_or(0)),
        policy: word(row, 3, "policy", WhenInDoubt::from_word)?,
        attempts: row.int(4)?,
        expires_at: Timestamp(row.int(19)?),
    };
    Ok(Doubt {
        message,
        dispatch: word(row, 5, "dispatch state", Dispatch::from_word)?,
        campaign: row.text(6)?,
        phone: phone(row.int(7)?)?,
        route: row.text(8)?,
        possible_duplicate: row.int(9)? == 1,
        attempt: row.opt_int(10)?.map(|_| attempt_at(row, 10)).transpose()?,
        standing: standing_at(row, 20, message.since)?,
        answered: row.opt_text(18)?,
    })
}

fn candidate(row: &Row) -> Result<Candidate, StoreError> {
    let decided = row.opt_text(10)?;
    let known = |word: String| Verdict::from_word(&word).ok_or(StoreError::Word { what: "verdict", word });
    Ok(Candidate {
        id: MessageId(row.int(0)?),
        run: RunId(row.int(1)?),
        dispatch: word(row, 2, "dispatch state", Dispatch::from_word)?,
        epoch: row.int(3)?,
        number: row.int(4)?,
        not_before: Timestamp(row.int(5)?),
        expires_at: Timestamp(row.int(6)?),
        run_state: word(row, 7, "run state", RunState::from_word)?,
        proven: row.int(8)? == 1,
        suppressed: row.int(9)? == 1,
        decided: decided.map(known).transpose()?,
        answer_by: row.opt_int(11)?.map(Timestamp),
        copies: row.int(12)?,
        locked: row.int(13)? > 0,
        again: row.int(14)? == 1,
        affordable: row.int(15)? == 1,
    })
}

#[cfg(test)]
mod tests {
    use super::super::evidence::in_doubt_all_the_same;

    #[test]
    fn the_statements_and_the_commands_know_a_reason_by_the_same_words() {
        assert_eq!(in_doubt_all_the_same!(), format!("'{}'", super::SENT_BEFORE));
    }
}

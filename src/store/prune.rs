//! Retention: what is old and ended loses its text, its attempts, its receipts and the calls they came in.
//!
//! What proofs, reports and caps still need stays: one row for each message with who, when and where it stands, its code,
//! its run and its money, what people decided, and every suppression. So does everything about a message in doubt: it
//! may still be decided, and sent. A file does not shrink; what is freed is used again.

use serde::Serialize;

use crate::model::clock::Timestamp;
use crate::model::ids::RunId;
use crate::model::phone::Phone;

use super::batch::{Batch, json_rows};
use super::claims::phone;
use super::connection::{Row, args};
use super::dialect::{LOCK_RUNS, statements};
use super::{Store, StoreError};

statements! {
    /// `$1` ended before, `$2` the last run seen.
    RUNS = "SELECT id, campaign FROM runs WHERE state IN ('finished', 'cancelled') AND finished_at < $1 AND pruned < 2 \
        AND id > $2 ORDER BY id LIMIT 1";
    /// A run that goes on again keeps everything. `$1` run.
    BEGIN_RUN = "UPDATE runs SET pruned = 1 WHERE id = $1 AND state IN ('finished', 'cancelled')";
    END_RUN = "UPDATE runs SET pruned = 2 WHERE id = $1 AND pruned = 1 AND state IN ('finished', 'cancelled')";
    /// What was in doubt when retention came has ended: it comes again. `$1` rows of (message).
    PRUNABLE = "UPDATE runs SET pruned = 1 WHERE pruned = 2 AND id IN (SELECT m.run_id \
        FROM jsonb_each(CAST($1 AS TEXT)) AS j JOIN messages AS m ON m.id = CAST(j.value ->> 0 AS BIGINT))";
    /// Messages of a run that have a text and will never be sent. `$1` run, `$2` the last contact seen, `$3` most.
    PAGE = "SELECT id, contact_id, phone, country, route, sender, body, parts, price, dispatch, delivery, reason, \
          possible_duplicate, conflict, submitted_at, delivery_at, coupon_id FROM messages \
        WHERE run_id = $1 AND contact_id > $2 AND body <> '' \
          AND dispatch IN ('accepted', 'rejected', 'failed', 'suppressed', 'cancelled', 'expired', 'blocked') \
        ORDER BY contact_id LIMIT CAST($3 AS BIGINT)";
    /// `$1` message ids.
    ATTEMPTS = "SELECT a.message_id, a.number, a.reference, a.intent_at, a.answered_at, a.outcome, a.code, a.detail, \
          a.provider_id FROM jsonb_each(CAST($1 AS TEXT)) AS j CROSS JOIN attempts AS a \
        WHERE a.message_id = CAST(j.value ->> 0 AS BIGINT) ORDER BY a.message_id, a.number";
    RECEIPTS = "SELECT r.message_id, r.inbox_id, r.received_at, r.number, r.state, r.status, r.code \
        FROM jsonb_each(CAST($1 AS TEXT)) AS j CROSS JOIN receipts AS r \
        WHERE r.message_id = CAST(j.value ->> 0 AS BIGINT) ORDER BY r.message_id, r.id";
    /// `$1` numbers of calls.
    CALLS = "SELECT i.id, i.received_at, i.method, i.url, i.body, i.body_encoding \
        FROM jsonb_each(CAST($1 AS TEXT)) AS j CROSS JOIN inbox AS i \
        WHERE i.id = CAST(j.value ->> 0 AS BIGINT) ORDER BY i.id";
    DROP_RECEIPTS = "DELETE FROM receipts WHERE message_id IN (\
        SELECT CAST(j.value ->> 0 AS BIGINT) FROM jsonb_each(CAST($1 AS TEXT)) AS j)";
    DROP_ATTEMPTS = "DELETE FROM attempts WHERE message_id IN (\
        SELECT CAST(j.value ->> 0 AS BIGINT) FROM jsonb_each(CAST($1 AS TEXT)) AS j)";
    DROP_INQUIRIES = "DELETE FROM inquiries WHERE message_id IN (\
        SELECT CAST(j.value ->> 0 AS BIGINT) FROM jsonb_each(CAST($1 AS TEXT)) AS j)";
    /// Calls that hold nothing any more.
    DROP_CALLS = "DELETE FROM inbox WHERE id IN (\
        SELECT CAST(j.value ->> 0 AS BIGINT) FROM jsonb_each(CAST($1 AS TEXT)) AS j \
        WHERE NOT EXISTS (SELECT 1 FROM receipts AS r WHERE r.inbox_id = CAST(j.value ->> 0 AS BIGINT)))";
    DROP_TEXTS = "UPDATE messages SET body = '' WHERE id IN (\
        SELECT CAST(j.value ->> 0 AS BIGINT) FROM jsonb_each(CAST($1 AS TEXT)) AS j)";
}

/// A message with everything that is about to go.
#[derive(Clone, Debug, Serialize)]
pub struct OldMessage {
    /// Its id.
    pub message: i64,
    /// Who received it.
    pub contact: i64,
    /// Where it went, in E.164.
    pub phone: String,
    /// The country it was billed for.
    pub country: String,
    /// The route.
    pub route: String,
    /// Under which sender.
    pub sender: String,
    /// Its text.
    pub text: String,
    /// Its parts.
    pub parts: i64,
    /// Its price, in millionths.
    pub price_millionths: i64,
    /// Where it stands.
    pub state: String,
    /// What was reported.
    pub delivery: String,
    /// Why it stands there.
    pub reason: Option<String>,
    /// Whether it may have been sent twice.
    pub possible_duplicate: bool,
    /// Whether its final receipts contradict each other.
    pub conflict: bool,
    /// When its last intent was recorded.
    #[serde(serialize_with = "Timestamp::as_text")]
    pub submitted_at: Option<Timestamp>,
    /// When its delivery state last rose.
    #[serde(serialize_with = "Timestamp::as_text")]
    pub delivery_at: Option<Timestamp>,
    /// Its code, by its row.
    pub coupon: Option<i64>,
    /// Its submissions.
    pub attempts: Vec<OldAttempt>,
    /// What was reported about it.
    pub receipts: Vec<OldReceipt>,
}

/// One submission.
#[derive(Clone, Debug, Serialize)]
pub struct OldAttempt {
    /// Its number.
    pub number: i64,
    /// Our reference.
    pub reference: String,
    /// When its intent was recorded.
    #[serde(serialize_with = "Timestamp::as_text")]
    pub intent_at: Timestamp,
    /// When its answer was stored.
    #[serde(serialize_with = "Timestamp::as_text")]
    pub answered_at: Option<Timestamp>,
    /// The class of the answer.
    pub outcome: Option<String>,
    /// The provider's code.
    pub code: Option<String>,
    /// The reason in words.
    pub detail: Option<String>,
    /// The provider's id.
    pub provider_id: Option<String>,
}

/// One report.
#[derive(Clone, Debug, Serialize)]
pub struct OldReceipt {
    /// The call it came in.
    pub call: i64,
    /// When.
    #[serde(serialize_with = "Timestamp::as_text")]
    pub received_at: Timestamp,
    /// About which attempt.
    pub number: Option<i64>,
    /// What it says.
    pub state: String,
    /// The provider's word.
    pub status: String,
    /// The provider's code.
    pub code: Option<String>,
}

/// A raw call.
#[derive(Clone, Debug, Serialize)]
pub struct OldCall {
    /// Its number.
    pub call: i64,
    /// When it came.
    #[serde(serialize_with = "Timestamp::as_text")]
    pub received_at: Timestamp,
    /// HTTP method.
    pub method: String,
    /// Path and query.
    pub url: String,
    /// The body.
    pub body: String,
    /// `utf8` or `base64`.
    pub body_encoding: String,
}

/// What one transaction of retention takes away.
#[derive(Clone, Debug, Default)]
pub struct OldPage {
    /// The messages, by contact.
    pub messages: Vec<OldMessage>,
    /// The calls in which their receipts came. One of these stays as long as it holds another's receipt.
    pub calls: Vec<OldCall>,
}

/// How much was taken away.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Pruned {
    /// Messages that lost their text.
    pub messages: u64,
    /// Attempts.
    pub attempts: u64,
    /// Receipts.
    pub receipts: u64,
    /// Raw calls.
    pub calls: u64,
}

impl Store {
    /// The next run after `after` that ended before an instant and still has something to lose.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn next_old_run(
        &self,
        before: Timestamp,
        after: RunId,
    ) -> Result<Option<(RunId, String)>, StoreError> {
        let rows = self.pools.read(RUNS, args![before.0, after.0]).await?;
        rows.first().map(|row| Ok((RunId(row.int(0)?), row.text(1)?))).transpose()
    }
}

impl Batch {
    /// What of a run can go next, after the contact `after`; none at its end, or if it goes on again.
    ///
    /// # Errors
    /// When the store cannot be used.
    pub async fn old_page(
        &mut self,
        run: RunId,
        after: i64,
        most: i64,
    ) -> Result<Option<OldPage>, StoreError> {
        self.tx.rows_of(LOCK_RUNS, vec![json_rows(&[(run.0,)])?]).await?;
        if self.tx.run(BEGIN_RUN, args![run.0]).await? == 0 {
            return Ok(None);
        }
        let rows = self.tx.rows(PAGE, args![run.0, after, most]).await?;
        let mut messages = rows.iter().map(message).collect::<Result<Vec<_>, _>>()?;
        if messages.is_empty() {
            self.tx.run(END_RUN, args![run.0]).await?;
            return Ok(None);
        }
        let ids = json_rows(&messages.iter().map(|one| (one.message,)).collect::<Vec<_>>())?;
        let mut by_id: std::collections::HashMap<i64, &mut OldMessage> =
            messages.iter_mut().map(|one| (one.message, one)).collect();
        for row in self.tx.rows(ATTEMPTS, vec![ids.clone()]).await? {
            if let Some(one) = by_id.get_mut(&row.int(0)?) {
                one.attempts.push(attempt(&row)?);
            }
        }
        let mut calls = Vec::new();
        for row in self.tx.rows(RECEIPTS, vec![ids]).await? {
            if let Some(one) = by_id.get_mut(&row.int(0)?) {
                calls.push((row.int(1)?,));
                one.receipts.push(receipt(&row)?);
            }
        }
        calls.sort_unstable();
        calls.dedup();
        let calls = self.tx.rows(CALLS, vec![json_rows(&calls)?]).await?;
        Ok(Some(OldPage { messages, calls: calls.iter().map(call).collect::<Result<_, _>>()? }))
    }

    /// Has retention come again to the runs of messages whose doubt has ended: it had left them their texts.
    pub(super) async fn prunable(&mut self, messages: &[(i64,)]) -> Result<(), StoreError> {
        if !messages.is_empty() {
            self.tx.run(PRUNABLE, vec![json_rows(messages)?]).await?;
        }
        Ok(())
    }

    /// Takes a page away that [`Batch::old_page`] answered in the same batch.
    ///
    /// # Errors
    /// When the store cannot be written; then nothing of it is gone.
    pub async fn prune(&mut self, page: &OldPage) -> Result<Pruned, StoreError> {
        let ids = json_rows(&page.messages.iter().map(|one| (one.message,)).collect::<Vec<_>>())?;
        let receipts = self.tx.run(DROP_RECEIPTS, vec![ids.clone()]).await?;
        self.tx.run(DROP_INQUIRIES, vec![ids.clone()]).await?;
        let attempts = self.tx.run(DROP_ATTEMPTS, vec![ids.clone()]).await?;
        let calls = json_rows(&page.calls.iter().map(|one| (one.call,)).collect::<Vec<_>>())?;
        let calls = self.tx.run(DROP_CALLS, vec![calls]).await?;
        let messages = self.tx.run(DROP_TEXTS, vec![ids]).await?;
        Ok(Pruned { messages, attempts, receipts, calls })
    }
}

fn message(row: &Row) -> Result<OldMessage, StoreError> {
    Ok(OldMessage {
        message: row.int(0)?,
        contact: row.int(1)?,
        phone: Phone::e164(phone(row.int(2)?)?),
        country: row.text(3)?,
        route: row.text(4)?,
        sender: row.text(5)?,
        text: row.text(6)?,
        parts: row.int(7)?,
        price_millionths: row.int(8)?,
        state: row.text(9)?,
        delivery: row.text(10)?,
        reason: row.opt_text(11)?,
        possible_duplicate: row.int(12)? == 1,
        conflict: row.int(13)? == 1,
        submitted_at: row.opt_int(14)?.map(Timestamp),
        delivery_at: row.opt_int(15)?.map(Timestamp),
        coupon: row.opt_int(16)?,
        attempts: Vec::new(),
        receipts: Vec::new(),
    })
}

fn attempt(row: &Row) -> Result<OldAttempt, StoreError> {
    Ok(OldAttempt {
        number: row.int(1)?,
        reference: row.text(2)?,
        intent_at: Timestamp(row.int(3)?),
        answered_at: row.opt_int(4)?.map(Timestamp),
        outcome: row.opt_text(5)?,
        code: row.opt_text(6)?,
        detail: row.opt_text(7)?,
        provider_id: row.opt_text(8)?,
    })
}

fn receipt(row: &Row) -> Result<OldReceipt, StoreError> {
    Ok(OldReceipt {
        call: row.int(1)?,
        received_at: Timestamp(row.int(2)?),
        number: row.opt_int(3)?,
        state: row.text(4)?,
        status: row.text(5)?,
        code: row.opt_text(6)?,
    })
}

fn call(row: &Row) -> Result<OldCall, StoreError> {
    Ok(OldCall {
        call: row.int(0)?,
        received_at: Timestamp(row.int(1)?),
        method: row.text(2)?,
        url: row.text(3)?,
        body: row.text(4)?,
        body_encoding: row.text(5)?,
    })
}

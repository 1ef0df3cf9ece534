//! Where a run stands, message by message and in sums, read without disturbing the writer.

use crate::model::clock::Timestamp;
use crate::model::delivery::Delivery;
use crate::model::ids::{ContactId, MessageId, RunId};
use crate::model::money::Micros;
use crate::model::phone::Phone;
use crate::model::run::Run;
use crate::model::state::Dispatch;

use super::batch::word;
use super::claims::phone;
use super::connection::{Row, args};
use super::dialect::statements;
use super::evidence::open_copy;
use super::{Store, StoreError, runs};

/// More receipts that wait are counted as this many, so that a look at the number stays cheap.
pub const MOST_WAITING: i64 = 100_001;

statements! {
    /// Copies of what was sent again are counted attempt by attempt; where retention has taken these away, as one.
    TALLY = concat!("SELECT g.dispatch, g.delivery, g.route, count(*), CAST(COALESCE(sum(g.parts), 0) AS BIGINT), \
          CAST(COALESCE(sum(g.price), 0) AS BIGINT), CAST(COALESCE(sum(g.conflict), 0) AS BIGINT), \
          CAST(COALESCE(sum(CASE WHEN g.again = 1 AND COALESCE(g.copies, 2) >= 2 THEN 1 ELSE 0 END), 0) AS BIGINT), \
          CAST(COALESCE(sum(g.again * g.price), 0) AS BIGINT), \
          CAST(COALESCE(sum(g.again * g.price * COALESCE(g.copies, CASE WHEN g.dispatch = 'accepted' THEN 1 ELSE 0 END)), 0) \
            AS BIGINT) \
        FROM (SELECT m.dispatch, m.delivery, m.route, m.parts, m.price, m.conflict, m.possible_duplicate AS again, \
            CASE WHEN m.possible_duplicate = 1 AND m.body <> '' THEN (SELECT count(*) FROM attempts AS a \
              WHERE a.message_id = m.id AND (a.outcome = 'accepted' OR (", open_copy!(), "))) END AS copies \
          FROM messages AS m WHERE m.run_id = $1) AS g \
        GROUP BY g.dispatch, g.delivery, g.route ORDER BY g.dispatch, g.delivery, g.route");
    REASONS = "SELECT dispatch, COALESCE(reason, ''), count(*) FROM messages WHERE run_id = $1 \
        AND dispatch IN ('rejected', 'failed', 'ambiguous', 'unknown', 'suppressed', 'cancelled', 'expired', 'blocked') \
        GROUP BY dispatch, reason ORDER BY count(*) DESC, dispatch, reason LIMIT 50";
    /// A code that a text carries and somebody else has is contested.
    CODES = "SELECT g.word, count(*) FROM (\
          SELECT CASE WHEN c.message_id = m.id THEN c.state ELSE 'contested' END AS word FROM messages AS m \
          JOIN coupons AS c ON c.id = m.coupon_id AND (c.message_id = m.id OR c.contested_by = m.id) \
          WHERE m.run_id = $1) AS g GROUP BY g.word ORDER BY g.word";
    /// Accepted because a person said so, and no receipt has said it since.
    ACCEPTED_BY_DECISION = "SELECT count(*) FROM decisions AS d JOIN messages AS m ON m.id = d.message_id \
        WHERE d.run_id = $1 AND d.verdict = 'accepted' AND m.delivery = 'none'";
    MESSAGES = "SELECT id, run_id, contact_id, phone, route, country, parts, price, dispatch, delivery, attempts, \
          possible_duplicate, conflict, reason, not_before, submitted_at, delivery_at, body, \
          CAST(CASE WHEN dispatch = 'accepted' AND EXISTS (SELECT 1 FROM coupons AS c WHERE c.id = messages.coupon_id \
            AND (c.message_id IS NULL OR c.message_id <> messages.id)) THEN 1 ELSE 0 END AS BIGINT) FROM messages \
        WHERE run_id = $1 AND id > $2 AND ($3 = '' OR dispatch = $3) ORDER BY id LIMIT CAST($4 AS BIGINT)";
    MESSAGE = "SELECT id, run_id, contact_id, phone, route, country, parts, price, dispatch, delivery, attempts, \
          possible_duplicate, conflict, reason, not_before, submitted_at, delivery_at, body, \
          CAST(CASE WHEN dispatch = 'accepted' AND EXISTS (SELECT 1 FROM coupons AS c WHERE c.id = messages.coupon_id \
            AND (c.message_id IS NULL OR c.message_id <> messages.id)) THEN 1 ELSE 0 END AS BIGINT) FROM messages WHERE id = $1";
    /// `$1` run, `$2` contact.
    MESSAGE_OF = "SELECT id FROM messages WHERE run_id = $1 AND contact_id = $2";
    ATTEMPTS_OF = "SELECT number, reference, intent_at, answered_at, outcome, code, detail, provider_id FROM attempts \
        WHERE message_id = $1 ORDER BY number";
    RECEIPTS_OF = "SELECT received_at, state, status, code FROM receipts WHERE message_id = $1 ORDER BY id";
    /// `$1` the most that are counted.
    WAITING_RECEIPTS = "SELECT count(*) FROM (SELECT 1 FROM receipts WHERE message_id IS NULL LIMIT CAST($1 AS BIGINT)) AS g";
}

/// Messages of a run that share states and route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tally {
    /// Our side.
    pub dispatch: Dispatch,
    /// Their side.
    pub delivery: Delivery,
    /// The route.
    pub route: String,
    /// How many.
    pub messages: i64,
    /// Their parts.
    pub parts: i64,
    /// Their price.
    pub price: Micros,
    /// How many have contradictory final receipts.
    pub conflicts: i64,
    /// How many may have arrived twice.
    pub possible_duplicates: i64,
    /// The price of those that were sent again or are to be, each once.
    pub resent_price: Micros,
    /// The price of every copy of these that was taken or may have been.
    pub copies_price: Micros,
}

/// What is known of a run in sums, of one instant.
#[derive(Clone, Debug)]
pub struct Numbers {
    /// The run.
    pub run: Run,
    /// Its messages by state and route.
    pub tallies: Vec<Tally>,
    /// Why messages ended without acceptance: (state, reason, how many), most first.
    pub reasons: Vec<(Dispatch, String, i64)>,
    /// Messages that only a person says were accepted.
    pub accepted_by_decision: i64,
    /// Codes bound to its messages, by state; `contested` are those that somebody else has.
    pub codes: Vec<(String, i64)>,
}

/// A message as people look at it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MessageView {
    /// Its id.
    pub id: MessageId,
    /// Its run.
    pub run: RunId,
    /// Who receives it.
    pub contact: ContactId,
    /// Where it goes.
    pub phone: Phone,
    /// The route.
    pub route: String,
    /// The country it is billed for.
    pub country: String,
    /// Its parts.
    pub parts: i64,
    /// Its price.
    pub price: Micros,
    /// Our side.
    pub dispatch: Dispatch,
    /// Their side.
    pub delivery: Delivery,
    /// Spent attempts.
    pub attempts: i64,
    /// Whether it may have been sent twice.
    pub possible_duplicate: bool,
    /// Whether final receipts contradict each other.
    pub conflict: bool,
    /// Why it is where it is.
    pub reason: Option<String>,
    /// When it may go.
    pub not_before: Timestamp,
    /// When the last intent was recorded.
    pub submitted_at: Option<Timestamp>,
    /// When its delivery state last rose.
    pub delivery_at: Option<Timestamp>,
    /// Its text.
    pub body: String,
    /// Whether it was accepted with a code that somebody else has: proof came after the code had been given back.
    pub code_contested: bool,
}

/// One submission of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttemptView {
    /// Its number, from 1.
    pub number: i64,
    /// Our reference.
    pub reference: String,
    /// When the intent was recorded.
    pub intent_at: Timestamp,
    /// When the answer was stored.
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

/// One receipt of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReceiptView {
    /// When it came.
    pub received_at: Timestamp,
    /// What it reports.
    pub state: String,
    /// The provider's word.
    pub status: String,
    /// The provider's code.
    pub code: Option<String>,
}

impl Store {
    /// A run in numbers, all of one instant: money, states and codes fit each other while texts go out.
    ///
    /// # Errors
    /// When the store cannot be read, or has no such run.
    pub async fn numbers(&self, run: RunId) -> Result<Numbers, StoreError> {
        let mut look = self.pools.look().await?;
        let numbers = Numbers {
            run: runs::seen(&mut look, run).await?.ok_or(StoreError::NoRow)?,
            tallies: look.rows(TALLY, args![run.0]).await?.iter().map(tally).collect::<Result<_, _>>()?,
            reasons: look.rows(REASONS, args![run.0]).await?.iter().map(reason).collect::<Result<_, _>>()?,
            accepted_by_decision: look
                .rows(ACCEPTED_BY_DECISION, args![run.0])
                .await?
                .first()
                .ok_or(StoreError::NoRow)?
                .int(0)?,
            codes: look
                .rows(CODES, args![run.0])
                .await?
                .iter()
                .map(|row| Ok((row.text(0)?, row.int(1)?)))
                .collect::<Result<_, StoreError>>()?,
        };
        look.rollback().await?;
        Ok(numbers)
    }

    /// Messages of a run after `after`, by id; all of them or those in one state.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn messages(
        &self,
        run: RunId,
        state: Option<Dispatch>,
        after: MessageId,
        limit: i64,
    ) -> Result<Vec<MessageView>, StoreError> {
        let state = state.map_or("", Dispatch::as_str);
        let rows = self.pools.read(MESSAGES, args![run.0, after.0, state, limit]).await?;
        rows.iter().map(view).collect()
    }

    /// One message with its attempts and receipts.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn message(
        &self,
        id: MessageId,
    ) -> Result<Option<(MessageView, Vec<AttemptView>, Vec<ReceiptView>)>, StoreError> {
        let rows = self.pools.read(MESSAGE, args![id.0]).await?;
        let Some(row) = rows.first() else { return Ok(None) };
        let attempts = self.pools.read(ATTEMPTS_OF, args![id.0]).await?;
        let receipts = self.pools.read(RECEIPTS_OF, args![id.0]).await?;
        let attempts = attempts.iter().map(|row| attempt_at(row, 0)).collect::<Result<_, _>>()?;
        let receipts = receipts.iter().map(receipt).collect::<Result<_, _>>()?;
        Ok(Some((view(row)?, attempts, receipts)))
    }

    /// The message of a run to a contact.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn message_of(&self, run: RunId, contact: ContactId) -> Result<Option<MessageId>, StoreError> {
        let rows = self.pools.read(MESSAGE_OF, args![run.0, contact.0]).await?;
        rows.first().map(|row| Ok(MessageId(row.int(0)?))).transpose()
    }

    /// Receipts whose message is not known yet, counted up to [`MOST_WAITING`].
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn waiting_receipts(&self) -> Result<i64, StoreError> {
        self.pools.read(WAITING_RECEIPTS, args![MOST_WAITING]).await?.first().ok_or(StoreError::NoRow)?.int(0)
    }
}

fn tally(row: &Row) -> Result<Tally, StoreError> {
    Ok(Tally {
        dispatch: word(row, 0, "dispatch state", Dispatch::from_word)?,
        delivery: word(row, 1, "delivery state", Delivery::from_word)?,
        route: row.text(2)?,
        messages: row.int(3)?,
        parts: row.int(4)?,
        price: Micros(row.int(5)?),
        conflicts: row.int(6)?,
        possible_duplicates: row.int(7)?,
        resent_price: Micros(row.int(8)?),
        copies_price: Micros(row.int(9)?),
    })
}

fn reason(row: &Row) -> Result<(Dispatch, String, i64), StoreError> {
    Ok((word(row, 0, "dispatch state", Dispatch::from_word)?, row.text(1)?, row.int(2)?))
}

fn view(row: &Row) -> Result<MessageView, StoreError> {
    Ok(MessageView {
        id: MessageId(row.int(0)?),
        run: RunId(row.int(1)?),
        contact: ContactId(row.int(2)?),
        phone: phone(row.int(3)?)?,
        route: row.text(4)?,
        country: row.text(5)?,
        parts: row.int(6)?,
        price: Micros(row.int(7)?),
        dispatch: word(row, 8, "dispatch state", Dispatch::from_word)?,
        delivery: word(row, 9, "delivery state", Delivery::from_word)?,
        attempts: row.int(10)?,
        possible_duplicate: row.int(11)? == 1,
        conflict: row.int(12)? == 1,
        reason: row.opt_text(13)?,
        not_before: Timestamp(row.int(14)?),
        submitted_at: row.opt_int(15)?.map(Timestamp),
        delivery_at: row.opt_int(16)?.map(Timestamp),
        body: row.text(17)?,
        code_contested: row.int(18)? == 1,
    })
}

/// The attempt whose columns begin at `at`.
pub(super) fn attempt_at(row: &Row, at: usize) -> Result<AttemptView, StoreError> {
    Ok(AttemptView {
        number: row.int(at)?,
        reference: row.text(at + 1)?,
        intent_at: Timestamp(row.int(at + 2)?),
        answered_at: row.opt_int(at + 3)?.map(Timestamp),
        outcome: row.opt_text(at + 4)?,
        code: row.opt_text(at + 5)?,
        detail: row.opt_text(at + 6)?,
        provider_id: row.opt_text(at + 7)?,
    })
}

fn receipt(row: &Row) -> Result<ReceiptView, StoreError> {
    Ok(ReceiptView {
        received_at: Timestamp(row.int(0)?),
        state: row.text(1)?,
        status: row.text(2)?,
        code: row.opt_text(3)?,
    })
}

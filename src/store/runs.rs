//! Runs: born once per launch, filled in chunks that survive a crash, paused, cancelled, finished.

use std::collections::HashMap;

use crate::model::clock::Timestamp;
use crate::model::encoding::Encoding;
use crate::model::ids::{ContactId, CouponId, PoolId, RunId};
use crate::model::message::WhenInDoubt;
use crate::model::money::Micros;
use crate::model::phone::Phone;
use crate::model::run::{Run, RunState, RunTerms};
use crate::segment::condition::may_have_left;

use super::batch::{Batch, json_rows, word};
use super::connection::{Row, Tx, args};
use super::dialect::{AVAILABLE_CODES, LOCK_CAPS, LOCK_RUNS, statements};
use super::{Store, StoreError};

statements! {
    /// Launching twice makes one run: the key is unique.
    INSERT_RUN = "INSERT INTO runs (campaign, launch_key, plan_hash, state, definition, as_of, currency, budget, \
          when_in_doubt, audience, starts_at, expires_at, created_at, capped, audience_hash) \
        VALUES ($1, $2, $3, 'preparing', $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14) \
        ON CONFLICT (launch_key) DO NOTHING RETURNING id";
    RUN_BY_KEY = "SELECT id, campaign, launch_key, plan_hash, state, definition, as_of, currency, budget, spent, \
          when_in_doubt, audience, prepared, cursor, starts_at, expires_at, created_at, finished_at, \
          capped, withheld, audience_hash FROM runs WHERE launch_key = $1";
    RUN_BY_ID = "SELECT id, campaign, launch_key, plan_hash, state, definition, as_of, currency, budget, spent, \
          when_in_doubt, audience, prepared, cursor, starts_at, expires_at, created_at, finished_at, \
          capped, withheld, audience_hash FROM runs WHERE id = $1";
    RUNS_OF_CAMPAIGN = "SELECT id, campaign, launch_key, plan_hash, state, definition, as_of, currency, budget, spent, \
          when_in_doubt, audience, prepared, cursor, starts_at, expires_at, created_at, finished_at, \
          capped, withheld, audience_hash FROM runs WHERE campaign = $1 ORDER BY id DESC LIMIT CAST($2 AS BIGINT)";
    RECENT_RUNS = "SELECT id, campaign, launch_key, plan_hash, state, definition, as_of, currency, budget, spent, \
          when_in_doubt, audience, prepared, cursor, starts_at, expires_at, created_at, finished_at, \
          capped, withheld, audience_hash FROM runs WHERE id < $1 ORDER BY id DESC LIMIT CAST($2 AS BIGINT)";
    OPEN_RUNS = "SELECT id, campaign, launch_key, plan_hash, state, definition, as_of, currency, budget, spent, \
          when_in_doubt, audience, prepared, cursor, starts_at, expires_at, created_at, finished_at, \
          capped, withheld, audience_hash FROM runs WHERE state IN ('preparing', 'running', 'paused', 'cancelling') ORDER BY id";
    /// What moved away under a launch is withdrawn, and may be launched again under the same key. `$1` run.
    ABANDON = "UPDATE runs SET state = 'cancelling', launch_key = launch_key || '#' || CAST(id AS TEXT) \
        WHERE id = $1 AND state = 'preparing'";
    /// `$1` run.
    FREE_KEY = "UPDATE runs SET launch_key = launch_key || '#' || CAST(id AS TEXT) WHERE id = $1";
    SET_STATE = "UPDATE runs SET state = $2, finished_at = $4 WHERE id = $1 AND state = $3";
    /// The cursor fences the planner: a chunk is written once, however often it is tried.
    ADVANCE = "UPDATE runs SET cursor = $3, prepared = prepared + $4, withheld = withheld + $5 \
        WHERE id = $1 AND cursor = $2 AND state = 'preparing'";
    /// Texts that count towards the cap of contacts: those on their way, and those that left since or may have. `$1` rows
    /// of (contact), `$2` since when.
    RECENT = concat!("SELECT m.contact_id, count(*) FROM jsonb_each(CAST($1 AS TEXT)) AS j \
        JOIN messages AS m ON m.contact_id = CAST(j.value ->> 0 AS BIGINT) \
        WHERE (m.submitted_at >= $2 AND ", may_have_left!(), ") \
          OR m.dispatch IN ('planned', 'queued', 'claimed', 'submitting') GROUP BY m.contact_id");
    INSERT_WINDOW = "INSERT INTO run_windows (run_id, key, opens_at, closes_at) \
        SELECT $2, j.value ->> 0, CAST(j.value ->> 1 AS BIGINT), CAST(j.value ->> 2 AS BIGINT) \
        FROM jsonb_each(CAST($1 AS TEXT)) AS j WHERE true ON CONFLICT (run_id, key) DO NOTHING";
    WINDOWS = "SELECT id, key FROM run_windows WHERE run_id = $1";
    /// T1. `$1` rows, `$2` run, `$3` now.
    INSERT_MESSAGES = "INSERT INTO messages (run_id, contact_id, phone, country, route, sender, window_id, coupon_id, \
          body, encoding, parts, price, expires_at, dispatch, not_before) \
        SELECT $2, CAST(j.value ->> 0 AS BIGINT), CAST(j.value ->> 1 AS BIGINT), j.value ->> 2, j.value ->> 3, \
          j.value ->> 4, CAST(j.value ->> 5 AS BIGINT), CAST(j.value ->> 6 AS BIGINT), j.value ->> 7, j.value ->> 8, \
          CAST(j.value ->> 9 AS BIGINT), CAST(j.value ->> 10 AS BIGINT), CAST(j.value ->> 11 AS BIGINT), 'planned', $3 \
        FROM jsonb_each(CAST($1 AS TEXT)) AS j WHERE true ON CONFLICT (run_id, contact_id) DO NOTHING";
    /// `$1` rows of (coupon, contact), `$2` run, `$3` now.
    RESERVE = "UPDATE coupons SET state = 'reserved', message_id = g.message, changed_at = $3 FROM (\
        SELECT CAST(j.value ->> 0 AS BIGINT) AS coupon, m.id AS message FROM jsonb_each(CAST($1 AS TEXT)) AS j \
        JOIN messages AS m ON m.run_id = $2 AND m.contact_id = CAST(j.value ->> 1 AS BIGINT)) AS g \
        WHERE coupons.id = g.coupon AND coupons.state = 'available'";
    /// Windows of open runs that have closed.
    CLOSED_WINDOWS = "SELECT w.id, w.run_id, w.key FROM runs AS r CROSS JOIN run_windows AS w WHERE w.run_id = r.id \
        AND r.state IN ('preparing', 'running', 'paused', 'cancelling') AND r.state IN ('running', 'paused') AND r.expires_at > $1 AND w.closes_at <= $1 ORDER BY w.run_id, w.id LIMIT CAST($2 AS BIGINT)";
    /// `$1` rows of (window, opens, closes).
    ROLL_WINDOWS = "UPDATE run_windows SET opens_at = g.opens, closes_at = g.closes FROM (\
        SELECT CAST(j.value ->> 0 AS BIGINT) AS id, CAST(j.value ->> 1 AS BIGINT) AS opens, \
          CAST(j.value ->> 2 AS BIGINT) AS closes FROM jsonb_each(CAST($1 AS TEXT)) AS j) AS g \
        WHERE run_windows.id = g.id";
}

/// One message to be written by the planner.
#[derive(Clone, Debug)]
pub struct PlannedMessage {
    /// Who receives it.
    pub contact: ContactId,
    /// Where it goes.
    pub phone: Phone,
    /// The country whose price and limit apply.
    pub country: String,
    /// The route it goes out on.
    pub route: String,
    /// The sender it goes out under.
    pub sender: String,
    /// The key of its window.
    pub window: String,
    /// The code it carries.
    pub coupon: Option<CouponId>,
    /// Its text, final.
    pub body: String,
    /// Its encoding.
    pub encoding: Encoding,
    /// Its parts.
    pub parts: u16,
    /// Its price.
    pub price: Micros,
    /// When it becomes useless.
    pub expires_at: Timestamp,
}

/// A chunk of planned messages and the move of the cursor that belongs to it.
#[derive(Clone, Debug)]
pub struct PlannedChunk<'a> {
    /// The run.
    pub run: RunId,
    /// Where the cursor stood when the chunk was read.
    pub from: i64,
    /// The last contact that was looked at.
    pub to: i64,
    /// The messages.
    pub messages: &'a [PlannedMessage],
    /// Contacts between the two that were left out for the cap.
    pub withheld: i64,
}

/// A window of a run: contacts with the same zones and law.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WindowRow {
    /// Its row.
    pub id: i64,
    /// The run.
    pub run: RunId,
    /// What it was computed from.
    pub key: String,
}

impl Store {
    /// Creates the run of a launch, or answers the one that this launch already made.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub async fn create_run(&self, terms: &RunTerms, now: Timestamp) -> Result<(Run, bool), StoreError> {
        let mut tx = self.begin().await?;
        let made = tx
            .rows(
                INSERT_RUN,
                args![
                    terms.campaign.as_str(),
                    terms.launch_key.as_str(),
                    terms.plan_hash.as_str(),
                    terms.definition.as_str(),
                    terms.as_of.0,
                    terms.currency.as_str(),
                    terms.budget.map(|b| b.0),
                    terms.when_in_doubt.as_str(),
                    terms.audience,
                    terms.starts_at.0,
                    terms.expires_at.0,
                    now.0,
                    terms.capped,
                    terms.audience_hash.as_str()
                ],
            )
            .await?;
        let rows = tx.rows(RUN_BY_KEY, args![terms.launch_key.as_str()]).await?;
        let run = run(rows.first().ok_or(StoreError::NoRow)?)?;
        tx.commit().await?;
        Ok((run, !made.is_empty()))
    }

    /// A run by its launch key.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn run_by_key(&self, launch_key: &str) -> Result<Option<Run>, StoreError> {
        self.pools.read(RUN_BY_KEY, args![launch_key]).await?.first().map(run).transpose()
    }

    /// A run by its id.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn run(&self, id: RunId) -> Result<Option<Run>, StoreError> {
        self.pools.read(RUN_BY_ID, args![id.0]).await?.first().map(run).transpose()
    }

    /// The latest runs of a campaign, newest first.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn runs_of(&self, campaign: &str, limit: i64) -> Result<Vec<Run>, StoreError> {
        self.pools.read(RUNS_OF_CAMPAIGN, args![campaign, limit]).await?.iter().map(run).collect()
    }

    /// The latest runs of all campaigns, newest first.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn recent_runs(&self, limit: i64) -> Result<Vec<Run>, StoreError> {
        self.runs_before(RunId(i64::MAX), limit).await
    }

    /// The latest runs of all campaigns before `before`, newest first.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn runs_before(&self, before: RunId, limit: i64) -> Result<Vec<Run>, StoreError> {
        self.pools.read(RECENT_RUNS, args![before.0, limit]).await?.iter().map(run).collect()
    }

    /// Runs that still have something to do.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn open_runs(&self) -> Result<Vec<Run>, StoreError> {
        self.pools.read(OPEN_RUNS, vec![]).await?.iter().map(run).collect()
    }

    /// Moves a run from the state it is in to another; `false` when somebody else moved it first.
    ///
    /// # Errors
    /// When the move is not allowed or the store cannot be written.
    pub async fn set_run_state(&self, run: &Run, to: RunState, now: Timestamp) -> Result<bool, StoreError> {
        if !run.state.may_become(to) {
            return Err(StoreError::Refused(format!(
                "run {} of {} is {}; it cannot become {}",
                run.id,
                run.terms.campaign,
                run.state.as_str(),
                to.as_str()
            )));
        }
        let ended = matches!(to, RunState::Finished | RunState::Cancelled).then_some(now.0);
        let mut tx = self.begin().await?;
        let changed = tx.run(SET_STATE, args![run.id.0, to.as_str(), run.state.as_str(), ended]).await?;
        tx.commit().await?;
        Ok(changed == 1)
    }

    /// Gives up a launch whose audience moved while it was written: its run is to be cancelled and its key is free.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub async fn abandon_launch(&self, run: RunId) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        tx.run(ABANDON, args![run.0]).await?;
        tx.commit().await
    }

    /// Lets its campaign be launched again for the same start. In the copy of a rehearsal alone: in a store that sends,
    /// the key is what keeps two launches from texting everybody twice.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub async fn free_launch_key(&self, run: RunId) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        tx.run(FREE_KEY, args![run.0]).await?;
        tx.commit().await
    }

    /// Windows that have closed and must be moved to their next opening.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn closed_windows(&self, now: Timestamp, limit: i64) -> Result<Vec<WindowRow>, StoreError> {
        let rows = self.pools.read(CLOSED_WINDOWS, args![now.0, limit]).await?;
        rows.iter()
            .map(|row| Ok(WindowRow { id: row.int(0)?, run: RunId(row.int(1)?), key: row.text(2)? }))
            .collect()
    }

    /// Moves windows to their next opening: (window, opens, closes).
    ///
    /// # Errors
    /// When the store cannot be written.
    pub async fn roll_windows(&self, windows: &[(i64, Timestamp, Timestamp)]) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        tx.run(ROLL_WINDOWS, vec![json_rows(windows)?]).await?;
        tx.commit().await
    }
}

impl Batch {
    /// Codes that nobody has, locked until this batch ends.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn available_codes(
        &mut self,
        pool: PoolId,
        count: usize,
    ) -> Result<Vec<(CouponId, String)>, StoreError> {
        let count = i64::try_from(count).unwrap_or(i64::MAX);
        let rows = self.tx.rows_of(AVAILABLE_CODES, args![pool.0, count]).await?;
        rows.iter().map(|row| Ok((CouponId(row.int(0)?), row.text(1)?))).collect()
    }

    /// Begins a chunk: whoever else writes this run waits until this batch ends, and holds no codes meanwhile.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn hold_run(&mut self, run: RunId) -> Result<(), StoreError> {
        self.tx.rows_of(LOCK_RUNS, vec![json_rows(&[(run.0,)])?]).await?;
        Ok(())
    }

    /// Makes sure a run has the given windows (key, opens, closes); answers the row of every key it has.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub async fn add_windows(
        &mut self,
        run: RunId,
        windows: &[(String, Timestamp, Timestamp)],
    ) -> Result<HashMap<String, i64>, StoreError> {
        self.tx.run(INSERT_WINDOW, args![json_rows(windows)?, run.0]).await?;
        let rows = self.tx.rows(WINDOWS, args![run.0]).await?;
        rows.iter().map(|row| Ok((row.text(1)?, row.int(0)?))).collect()
    }

    /// Texts of contacts that left since an instant or may have, and those on their way: what a cap counts. Until this batch ends nobody else
    /// who asks gets an answer, so that two launches cannot both find that there is room.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn recent_texts(
        &mut self,
        contacts: &[ContactId],
        since: Timestamp,
    ) -> Result<HashMap<ContactId, i64>, StoreError> {
        self.tx.rows_of(LOCK_CAPS, vec![]).await?;
        let ids: Vec<_> = contacts.iter().map(|contact| (contact.0,)).collect();
        let rows = self.tx.rows(RECENT, args![json_rows(&ids)?, since.0]).await?;
        rows.iter().map(|row| Ok((ContactId(row.int(0)?), row.int(1)?))).collect()
    }

    /// Writes a chunk of planned messages, reserves their codes and moves the cursor; `false` when this chunk was
    /// written before or the run is no longer being prepared.
    ///
    /// # Errors
    /// When somebody else has one of the codes by now ([`StoreError::CodesTaken`]) or the store cannot be written.
    pub async fn write_planned(
        &mut self,
        chunk: &PlannedChunk<'_>,
        windows: &HashMap<String, i64>,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let written = i64::try_from(chunk.messages.len()).unwrap_or(i64::MAX);
        if self.tx.run(ADVANCE, args![chunk.run.0, chunk.from, chunk.to, written, chunk.withheld]).await? == 0
        {
            return Ok(false);
        }
        let mut rows = Vec::with_capacity(chunk.messages.len());
        for m in chunk.messages {
            let window = windows.get(&m.window).ok_or(StoreError::NoRow)?;
            let coupon = m.coupon.map(|c| c.0);
            let to = (m.contact.0, m.phone.digits(), &m.country, &m.route, &m.sender);
            rows.push((
                to.0,
                to.1,
                to.2,
                to.3,
                to.4,
                window,
                coupon,
                &m.body,
                m.encoding.as_str(),
                m.parts,
                m.price,
                m.expires_at,
            ));
        }
        self.tx.run(INSERT_MESSAGES, args![json_rows(&rows)?, chunk.run.0, now.0]).await?;
        let reserved: Vec<_> =
            chunk.messages.iter().filter_map(|m| m.coupon.map(|c| (c.0, m.contact.0))).collect();
        if !reserved.is_empty() {
            let bound = self.tx.run(RESERVE, args![json_rows(&reserved)?, chunk.run.0, now.0]).await?;
            if bound != reserved.len() as u64 {
                return Err(StoreError::CodesTaken);
            }
        }
        Ok(true)
    }
}

/// One run, as a transaction sees it.
pub(super) async fn seen(tx: &mut Tx, id: RunId) -> Result<Option<Run>, StoreError> {
    tx.rows(RUN_BY_ID, args![id.0]).await?.first().map(run).transpose()
}

fn run(row: &Row) -> Result<Run, StoreError> {
    Ok(Run {
        id: RunId(row.int(0)?),
        terms: RunTerms {
            campaign: row.text(1)?,
            launch_key: row.text(2)?,
            plan_hash: row.text(3)?,
            definition: row.text(5)?,
            as_of: Timestamp(row.int(6)?),
            currency: row.text(7)?,
            budget: row.opt_int(8)?.map(Micros),
            when_in_doubt: word(row, 10, "policy", WhenInDoubt::from_word)?,
            audience: row.int(11)?,
            capped: row.int(18)?,
            audience_hash: row.text(20)?,
            starts_at: Timestamp(row.int(14)?),
            expires_at: Timestamp(row.int(15)?),
        },
        state: word(row, 4, "run state", RunState::from_word)?,
        spent: Micros(row.int(9)?),
        prepared: row.int(12)?,
        withheld: row.int(19)?,
        cursor: row.int(13)?,
        created_at: Timestamp(row.int(16)?),
        finished_at: row.opt_int(17)?.map(Timestamp),
    })
}

//! From planned to claimed: opening windows feed a lane's queue, a lane takes what its permits allow.

use std::collections::{BTreeSet, HashMap};

use crate::model::clock::Timestamp;
use crate::model::encoding::Encoding;
use crate::model::ids::{ContactId, MessageId, RunId};
use crate::model::message::{Claimed, Full};
use crate::model::money::Micros;
use crate::model::phone::Phone;

use super::batch::{Batch, json_rows, word};
use super::connection::{Row, args};
use super::dialect::{CLAIM, CLAIM_FRESH, statements};
use super::{Store, StoreError};

/// Windows looked at in one feed; each is drained before the next, the one that closes first leading.
const WINDOWS_PER_FEED: i64 = 16;

/// Planned messages of one window that are looked at in vain for one whose sender and country have room.
const LOOK_PAST: i64 = 2_000;

statements! {
    /// Windows of running runs that are open now and still hold planned messages of a route.
    FEEDABLE = "SELECT w.id FROM runs AS r CROSS JOIN run_windows AS w WHERE w.run_id = r.id \
        AND r.state IN ('preparing', 'running', 'paused', 'cancelling') AND r.state = 'running' AND r.starts_at <= $2 AND r.expires_at > $2 AND w.opens_at <= $2 AND w.closes_at > $2 \
        AND EXISTS (SELECT 1 FROM messages AS m WHERE m.window_id = w.id AND m.route = $1 AND m.dispatch = 'planned') \
        ORDER BY w.closes_at, w.id LIMIT CAST($3 AS BIGINT)";
    /// T2 past senders and countries that have no room. `$4` most, `$5` how many are looked at, `$6` senders, `$7` countries.
    FEED_OTHERS = "UPDATE messages SET dispatch = 'queued', not_before = $3 WHERE dispatch = 'planned' AND id IN (\
        SELECT g.id FROM (SELECT id, sender, country FROM messages WHERE window_id = $1 AND route = $2 \
          AND dispatch = 'planned' ORDER BY id LIMIT CAST($5 AS BIGINT)) AS g \
        WHERE NOT EXISTS (SELECT 1 FROM jsonb_each(CAST($6 AS TEXT)) AS j WHERE j.value ->> 0 = g.sender) \
          AND NOT EXISTS (SELECT 1 FROM jsonb_each(CAST($7 AS TEXT)) AS j WHERE j.value ->> 0 = g.country) \
        ORDER BY g.id LIMIT CAST($4 AS BIGINT))";
    /// T4. `$1` rows of (message, epoch).
    RELEASE = "UPDATE messages SET dispatch = 'queued', owner = NULL, lease_until = NULL FROM (\
        SELECT CAST(j.value ->> 0 AS BIGINT) AS message, CAST(j.value ->> 1 AS BIGINT) AS fence \
        FROM jsonb_each(CAST($1 AS TEXT)) AS j) AS g \
        WHERE messages.id = g.message AND messages.epoch = g.fence AND messages.dispatch = 'claimed'";
    /// T4 with a due time. `$1` rows of (message, epoch, due).
    POSTPONE = "UPDATE messages SET dispatch = 'queued', owner = NULL, lease_until = NULL, not_before = g.due FROM (\
        SELECT CAST(j.value ->> 0 AS BIGINT) AS message, CAST(j.value ->> 1 AS BIGINT) AS fence, \
          CAST(j.value ->> 2 AS BIGINT) AS due FROM jsonb_each(CAST($1 AS TEXT)) AS j) AS g \
        WHERE messages.id = g.message AND messages.epoch = g.fence AND messages.dispatch = 'claimed'";
    /// Those of the routes in `$1` that have something to claim at `$2`.
    WITH_WORK = "SELECT j.value ->> 0 FROM jsonb_each(CAST($1 AS TEXT)) AS j \
        WHERE EXISTS (SELECT 1 FROM messages AS m JOIN runs AS r ON r.id = m.run_id \
            WHERE m.route = j.value ->> 0 AND m.dispatch = 'queued' AND m.not_before <= $2 AND r.state = 'running') \
          OR EXISTS (SELECT 1 FROM runs AS r CROSS JOIN run_windows AS w WHERE w.run_id = r.id \
            AND r.state IN ('preparing', 'running', 'paused', 'cancelling') AND r.state = 'running' \
            AND r.starts_at <= $2 AND r.expires_at > $2 AND w.opens_at <= $2 AND w.closes_at > $2 \
            AND EXISTS (SELECT 1 FROM messages AS m WHERE m.window_id = w.id AND m.route = j.value ->> 0 AND m.dispatch = 'planned'))";
    /// When the next text of a run may go: a retry that is due, or the window of something planned. `$1` run, `$2` now.
    NEXT_TEXT = "SELECT min(t.at) FROM (\
        SELECT min(m.not_before) AS at FROM messages AS m WHERE m.run_id = $1 \
          AND m.dispatch IN ('queued', 'claimed', 'submitting', 'ambiguous') AND m.dispatch = 'queued' \
        UNION ALL \
        SELECT min(w.opens_at) AS at FROM run_windows AS w WHERE w.run_id = $1 AND w.closes_at > $2 \
          AND EXISTS (SELECT 1 FROM messages AS m WHERE m.window_id = w.id AND m.dispatch = 'planned')) AS t";
}

/// What a lane asks for.
#[derive(Clone, Debug)]
pub struct ClaimRequest {
    /// The route.
    pub route: String,
    /// Who holds the messages from now on.
    pub owner: String,
    /// When the lease ends unless it is renewed.
    pub lease_until: Timestamp,
    /// How many at most.
    pub limit: usize,
    /// Whose messages are left where they are: they would only wait in the queue.
    pub full: Full,
}

impl Batch {
    /// Takes up to `limit` messages: those that are due again first, then fresh ones from open windows.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub async fn claim(
        &mut self,
        request: &ClaimRequest,
        now: Timestamp,
    ) -> Result<Vec<Claimed>, StoreError> {
        let mut claimed = self.take(request, request.limit, now).await?;
        if claimed.len() < request.limit {
            self.take_fresh(request, &mut claimed, now).await?;
        }
        claimed.sort_by_key(|message| message.id);
        Ok(claimed)
    }

    /// Gives messages back (T4); those that somebody else holds by now are left alone.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub async fn release(&mut self, held: &[(MessageId, i64)]) -> Result<(), StoreError> {
        if !held.is_empty() {
            self.tx.run(RELEASE, vec![json_rows(held)?]).await?;
        }
        Ok(())
    }

    /// Gives messages back (T4) and says when each of them is due again.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub async fn postpone(&mut self, held: &[(MessageId, i64, Timestamp)]) -> Result<(), StoreError> {
        if !held.is_empty() {
            self.tx.run(POSTPONE, vec![json_rows(held)?]).await?;
        }
        Ok(())
    }

    async fn take(
        &mut self,
        request: &ClaimRequest,
        limit: usize,
        now: Timestamp,
    ) -> Result<Vec<Claimed>, StoreError> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let args = args![request.route.as_str(), now.0, limit, request.owner.as_str(), request.lease_until.0];
        self.tx.rows_of(CLAIM, args).await?.iter().map(claimed).collect()
    }

    /// Takes planned messages of open windows, queued and claimed in one step unless some must be passed over.
    async fn take_fresh(
        &mut self,
        request: &ClaimRequest,
        taken: &mut Vec<Claimed>,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let (route, owner, lease) = (request.route.as_str(), request.owner.as_str(), request.lease_until.0);
        for window in self.tx.rows(FEEDABLE, args![route, now.0, WINDOWS_PER_FEED]).await? {
            let missing = request.limit - taken.len();
            if missing == 0 {
                break;
            }
            let window = window.int(0)?;
            if request.full == Full::default() {
                let limit = i64::try_from(missing).unwrap_or(i64::MAX);
                let rows =
                    self.tx.rows_of(CLAIM_FRESH, args![window, route, now.0, limit, owner, lease]).await?;
                for row in &rows {
                    taken.push(claimed(row)?);
                }
            } else if self.feed_others(request, window, missing * 2, now).await? > 0 {
                taken.extend(self.take(request, missing, now).await?);
            }
        }
        Ok(())
    }

    /// Queues messages of one window past senders and countries that have no room; answers how many.
    async fn feed_others(
        &mut self,
        request: &ClaimRequest,
        window: i64,
        want: usize,
        now: Timestamp,
    ) -> Result<u64, StoreError> {
        let names = |list: &[String]| json_rows(&list.iter().map(|name| (name,)).collect::<Vec<_>>());
        let (senders, countries) = (names(&request.full.senders)?, names(&request.full.countries)?);
        let want = i64::try_from(want).unwrap_or(i64::MAX);
        let mut args = args![window, request.route.as_str(), now.0, want, want.saturating_add(LOOK_PAST)];
        args.extend([senders, countries]);
        self.tx.run(FEED_OTHERS, args).await
    }
}

impl Store {
    /// Those of some routes whose lanes have something to claim.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn routes_with_work(
        &self,
        routes: &[String],
        now: Timestamp,
    ) -> Result<BTreeSet<String>, StoreError> {
        let names = json_rows(&routes.iter().map(|name| (name,)).collect::<Vec<_>>())?;
        self.pools.read(WITH_WORK, args![names, now.0]).await?.iter().map(|row| row.text(0)).collect()
    }

    /// When the next text of a run may go; in the past if only limits hold it, `None` while nothing of it waits.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn next_text(&self, run: RunId, now: Timestamp) -> Result<Option<Timestamp>, StoreError> {
        let rows = self.pools.read(NEXT_TEXT, args![run.0, now.0]).await?;
        Ok(rows.first().ok_or(StoreError::NoRow)?.opt_int(0)?.map(Timestamp))
    }
}

pub(super) fn claimed(row: &Row) -> Result<Claimed, StoreError> {
    Ok(Claimed {
        id: MessageId(row.int(0)?),
        run: RunId(row.int(1)?),
        contact: ContactId(row.int(2)?),
        phone: phone(row.int(3)?)?,
        epoch: row.int(4)?,
        attempts: row.int(5)?,
        last_number: row.int(6)?,
        parts: u16::try_from(row.int(7)?).unwrap_or(u16::MAX),
        encoding: word(row, 8, "encoding", encoding)?,
        sender: row.text(9)?,
        country: row.text(10)?,
        body: row.text(11)?,
        price: Micros(row.int(12)?),
        expires_at: Timestamp(row.int(13)?),
    })
}

pub(super) fn encoding(word: &str) -> Option<Encoding> {
    [Encoding::Gsm7, Encoding::Ucs2].into_iter().find(|encoding| encoding.as_str() == word)
}

pub(super) fn phone(digits: i64) -> Result<Phone, StoreError> {
    u64::try_from(digits)
        .ok()
        .and_then(Phone::from_digits)
        .ok_or(StoreError::Word { what: "phone", word: "a number out of range".to_owned() })
}

/// Sums by run, for the ledgers that are kept per run.
pub(super) fn sum_by_run(rows: impl IntoIterator<Item = (i64, i64)>) -> Vec<(i64, i64)> {
    let mut sums: HashMap<i64, i64> = HashMap::new();
    for (run, amount) in rows {
        *sums.entry(run).or_default() += amount;
    }
    let mut sums: Vec<(i64, i64)> = sums.into_iter().collect();
    sums.sort_unstable();
    sums
}

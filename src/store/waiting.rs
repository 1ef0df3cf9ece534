//! What of a run still waits, by everything that may limit it: route, window, sender, country. Only reads, for a person
//! who asks.

use crate::model::clock::Timestamp;
use crate::model::ids::RunId;

use super::connection::{Row, args};
use super::dialect::statements;
use super::{Store, StoreError};

statements! {
    /// `$1` run.
    PLANNED = "SELECT m.route, w.key, w.opens_at, w.closes_at, m.sender, m.country, count(*), CAST(sum(m.parts) AS BIGINT), \
          CAST(sum(m.price) AS BIGINT), min(m.not_before) FROM run_windows AS w CROSS JOIN messages AS m \
        WHERE w.run_id = $1 AND m.window_id = w.id AND m.dispatch = 'planned' \
        GROUP BY m.route, w.key, w.opens_at, w.closes_at, m.sender, m.country";
    QUEUED = "SELECT m.route, w.key, w.opens_at, w.closes_at, m.sender, m.country, count(*), CAST(sum(m.parts) AS BIGINT), \
          CAST(sum(m.price) AS BIGINT), min(m.not_before) FROM messages AS m CROSS JOIN run_windows AS w \
        WHERE m.run_id = $1 AND m.dispatch IN ('queued', 'claimed', 'submitting', 'ambiguous') \
          AND m.dispatch IN ('queued', 'claimed', 'submitting') AND w.id = m.window_id \
        GROUP BY m.route, w.key, w.opens_at, w.closes_at, m.sender, m.country";
    /// What other running runs could send now. `$1` run, `$2` now.
    OTHERS = "SELECT g.route, CAST(sum(g.parts) AS BIGINT) FROM (\
          SELECT m.route, m.parts FROM messages AS m CROSS JOIN runs AS r \
          WHERE m.dispatch IN ('queued', 'claimed', 'submitting', 'ambiguous') AND m.dispatch IN ('queued', 'claimed') \
            AND m.run_id <> $1 AND m.not_before <= $2 AND r.id = m.run_id AND r.state = 'running' \
          UNION ALL \
          SELECT m.route, m.parts FROM runs AS r CROSS JOIN run_windows AS w CROSS JOIN messages AS m \
          WHERE r.state IN ('preparing', 'running', 'paused', 'cancelling') AND r.state = 'running' AND r.id <> $1 \
            AND r.starts_at <= $2 AND w.run_id = r.id AND w.opens_at <= $2 AND w.closes_at > $2 AND m.window_id = w.id \
            AND m.dispatch = 'planned') AS g GROUP BY g.route";
}

/// Messages of a run that wait for the same things.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// The route.
    pub route: String,
    /// What their window is computed from.
    pub window: String,
    /// When it opens or opened, or the first of them is due, whichever is later.
    pub opens_at: Timestamp,
    /// When it closes.
    pub closes_at: Timestamp,
    /// The sender.
    pub sender: String,
    /// The country.
    pub country: String,
    /// How many.
    pub messages: i64,
    /// Their parts.
    pub parts: i64,
    /// What they cost, in millionths.
    pub cost: i64,
}

impl Store {
    /// Everything of a run that waits or is under way.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn waiting(&self, run: RunId) -> Result<Vec<Waiting>, StoreError> {
        let mut rows = self.pools.read(PLANNED, args![run.0]).await?;
        rows.extend(self.pools.read(QUEUED, args![run.0]).await?);
        rows.iter().map(waiting).collect()
    }

    /// Parts of other running runs that could go now, by route.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn waiting_beside(&self, run: RunId, now: Timestamp) -> Result<Vec<(String, i64)>, StoreError> {
        let rows = self.pools.read(OTHERS, args![run.0, now.0]).await?;
        rows.iter().map(|row| Ok((row.text(0)?, row.int(1)?))).collect()
    }
}

fn waiting(row: &Row) -> Result<Waiting, StoreError> {
    Ok(Waiting {
        route: row.text(0)?,
        window: row.text(1)?,
        opens_at: Timestamp(row.int(2)?.max(row.int(9)?)),
        closes_at: Timestamp(row.int(3)?),
        sender: row.text(4)?,
        country: row.text(5)?,
        messages: row.int(6)?,
        parts: row.int(7)?,
        cost: row.int(8)?,
    })
}

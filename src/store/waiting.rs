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
    /// What other running runs could send now, and when its window closes; what is queued goes before all that is not.
    /// `$1` run, `$2` now.
    OTHERS = "SELECT g.route, g.run_id, g.closes_at, CAST(sum(g.parts) AS BIGINT) FROM (\
          SELECT m.route, m.run_id, CAST(0 AS BIGINT) AS closes_at, m.parts FROM messages AS m CROSS JOIN runs AS r \
          WHERE m.dispatch IN ('queued', 'claimed', 'submitting', 'ambiguous') AND m.dispatch IN ('queued', 'claimed') \
            AND m.run_id <> $1 AND m.not_before <= $2 AND r.id = m.run_id AND r.state = 'running' \
          UNION ALL \
          SELECT m.route, m.run_id, w.closes_at, m.parts FROM runs AS r CROSS JOIN run_windows AS w CROSS JOIN messages AS m \
          WHERE r.state IN ('preparing', 'running', 'paused', 'cancelling') AND r.state = 'running' AND r.id <> $1 \
            AND r.starts_at <= $2 AND w.run_id = r.id AND w.opens_at <= $2 AND w.closes_at > $2 AND m.window_id = w.id \
            AND m.dispatch = 'planned') AS g GROUP BY g.route, g.run_id, g.closes_at";
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

/// What another run could send now, on one route in one window.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Beside {
    /// The route.
    pub route: String,
    /// The run.
    pub run: RunId,
    /// When its window closes; before everything where it is queued already.
    pub closes_at: Timestamp,
    /// How many parts.
    pub parts: i64,
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

    /// What of other running runs could go now.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn waiting_beside(&self, run: RunId, now: Timestamp) -> Result<Vec<Beside>, StoreError> {
        let rows = self.pools.read(OTHERS, args![run.0, now.0]).await?;
        let beside = |row: &Row| {
            let (route, run) = (row.text(0)?, RunId(row.int(1)?));
            Ok(Beside { route, run, closes_at: Timestamp(row.int(2)?), parts: row.int(3)? })
        };
        rows.iter().map(beside).collect()
    }
}

impl Beside {
    /// Whether a lane takes this before the last of a run's texts on the same route: what was queued before, then the
    /// window that closes first, then the older run.
    pub fn goes_before(&self, run: RunId, last_closes_at: Timestamp) -> bool {
        (self.closes_at, self.run.0) < (last_closes_at, run.0)
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

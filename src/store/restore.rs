//! A store that comes back from a backup: it does not know what was sent after the backup was made, so whatever may have
//! gone out since is in doubt, and nothing goes out before a person says so.
//!
//! A message waits on only where the backup itself proves that it cannot have left: its window or its turn has not come
//! yet. It sends nothing, and ends no doubt.

use std::time::Duration;

use crate::model::clock::Timestamp;
use crate::model::ids::MessageId;
use crate::model::message::CouponEffect;
use crate::model::reference;
use crate::model::state::{Cause, Dispatch, next};

use super::backup::MADE_AT;
use super::batch::{Batch, json_rows};
use super::connection::{Row, args};
use super::dialect::statements;
use super::sweep::Sweeper;
use super::{INSERT_META, SET_META, Store, StoreError};

/// Former tags, oldest first, between spaces: receipts that name references of theirs still find their messages.
pub(super) const FORMER_TAGS: &str = "former_tags";

/// The tag of a store that is just coming back: whoever was interrupted goes on with it.
const RETURNING: &str = "returning_from";

/// When a store came back, when its backup was made, and whether launches since then are known (1) or not (0).
const RETURNED: &str = "returned";

/// Messages in one transaction, so that nobody else waits long for a turn to write.
const CHUNK: i64 = 2_000;

/// Two machines' clocks may differ by this much: what was due only so long ago may not have been due elsewhere.
const CLOCKS_DIFFER: Duration = Duration::from_mins(10);

/// Why a message is in doubt.
const SINCE_BACKUP: &str = "may have been sent since the backup";

/// The process that the attempts belong to which may have been made since.
const OWNER: &str = "restore";

/// What a person vouches for about the time since the backup.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Assured {
    /// No daemon sent anything.
    pub nothing_sent: bool,
    /// No campaign was launched, so no code was given out either.
    pub nothing_launched: bool,
}

/// What became of a store that came back.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Restored {
    /// What it knows was before this.
    pub made_at: Option<Timestamp>,
    /// Runs that wait to be resumed.
    pub paused: u64,
    /// Launches in the middle; they are withdrawn.
    pub withdrawn: u64,
    /// Messages that may have been sent since.
    pub in_doubt: i64,
    /// Messages that were in doubt, or on the wire, when the backup was made.
    pub were_in_doubt: i64,
    /// Messages that cannot have been sent since; they go out when their run is resumed.
    pub waiting: i64,
    /// Codes that nobody had, and that a launch may have given out since.
    pub codes: u64,
}

/// When a store came back from a backup, and what it does not know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Returned {
    /// When it came back.
    pub at: Timestamp,
    /// What it knows was before this.
    pub made_at: Timestamp,
    /// Whether somebody vouched that nothing was launched in between.
    pub launches_known: bool,
}

statements! {
    PAUSE = "UPDATE runs SET state = 'paused' WHERE state IN ('preparing', 'running', 'paused', 'cancelling') AND state = 'running'";
    PAUSED = "SELECT count(*) FROM runs WHERE state IN ('preparing', 'running', 'paused', 'cancelling') AND state = 'paused'";
    /// A launch that cannot have sent anything may be made again under its key. `$1` now.
    FREE_KEYS = "UPDATE runs SET launch_key = launch_key || '#' || CAST(id AS TEXT) \
        WHERE state IN ('preparing', 'running', 'paused', 'cancelling') AND state = 'preparing' AND (starts_at > $1 OR $2 = 1)";
    WITHDRAW = "UPDATE runs SET state = 'cancelling' \
        WHERE state IN ('preparing', 'running', 'paused', 'cancelling') AND state = 'preparing'";
    /// T16 for what was in doubt before: it may have been ended, or sent again, since. No policy and no question to a
    /// provider knows of that. `$1` now, `$2` why, `$3` most.
    PARK = "UPDATE messages SET dispatch = 'unknown', settled_at = $1, reason = $2, epoch = epoch + 1 \
        WHERE dispatch = 'ambiguous' AND id IN (SELECT id FROM messages \
          WHERE dispatch IN ('queued', 'claimed', 'submitting', 'ambiguous') AND dispatch = 'ambiguous' LIMIT CAST($3 AS BIGINT))";
    /// Planned messages that may have gone out. `$1` the latest instant at which one can have been due, `$2` most.
    PLANNED = "SELECT m.id, m.last_number FROM runs AS r CROSS JOIN run_windows AS w CROSS JOIN messages AS m \
        WHERE r.state IN ('preparing', 'running', 'paused', 'cancelling') AND r.state <> 'cancelling' AND r.starts_at <= $1 \
          AND w.run_id = r.id AND w.opens_at <= $1 AND m.window_id = w.id AND m.dispatch = 'planned' LIMIT CAST($2 AS BIGINT)";
    /// The same for messages that were further.
    WAITED = "SELECT m.id, m.last_number FROM messages AS m CROSS JOIN runs AS r CROSS JOIN run_windows AS w \
        WHERE m.dispatch IN ('queued', 'claimed', 'submitting', 'ambiguous') AND m.dispatch IN ('queued', 'claimed') \
          AND (m.dispatch = 'claimed' OR m.not_before <= $1) AND r.id = m.run_id AND r.state <> 'cancelling' \
          AND r.starts_at <= $1 AND w.id = m.window_id AND w.opens_at <= $1 LIMIT CAST($2 AS BIGINT)";
    /// T16. `$1` rows of (message, number, reference), `$2` now, `$3` why.
    MOVE = "UPDATE messages SET dispatch = 'unknown', last_number = g.number, attempts = attempts + 1, epoch = epoch + 1, \
          owner = NULL, lease_until = NULL, submitted_at = $2, settled_at = $2, reason = $3 FROM (\
        SELECT CAST(j.value ->> 0 AS BIGINT) AS message, CAST(j.value ->> 1 AS BIGINT) AS number \
        FROM jsonb_each(CAST($1 AS TEXT)) AS j) AS g \
        WHERE messages.id = g.message AND messages.dispatch IN ('planned', 'queued', 'claimed')";
    /// The attempt that may have been made, under the reference that it would have had. `$1` as above, `$2` when at the
    /// earliest, `$3` by whom, `$4` why nobody knows.
    ATTEMPT = "INSERT INTO attempts (message_id, number, epoch, route, owner, reference, intent_at, outcome, detail) \
        SELECT m.id, CAST(j.value ->> 1 AS BIGINT), m.epoch, m.route, $3, j.value ->> 2, $2, 'unknown', $4 \
        FROM jsonb_each(CAST($1 AS TEXT)) AS j CROSS JOIN messages AS m WHERE m.id = CAST(j.value ->> 0 AS BIGINT)";
    DOUBTS = "SELECT (SELECT count(*) FROM messages WHERE dispatch IN ('queued', 'claimed', 'submitting', 'ambiguous') \
          AND dispatch = 'submitting') + (SELECT count(*) FROM messages WHERE dispatch IN ('ambiguous', 'unknown'))";
    WAITING = "SELECT (SELECT count(*) FROM messages WHERE dispatch IN ('queued', 'claimed', 'submitting', 'ambiguous') \
          AND dispatch = 'queued') \
        + (SELECT count(*) FROM runs AS r CROSS JOIN run_windows AS w CROSS JOIN messages AS m WHERE w.run_id = r.id \
          AND r.state IN ('preparing', 'running', 'paused', 'cancelling') AND r.state = 'paused' \
          AND m.window_id = w.id AND m.dispatch = 'planned')";
    /// `$1` now, `$2` most.
    VOID_CODES = "UPDATE coupons SET state = 'voided', changed_at = $1 WHERE state = 'available' AND id IN (\
        SELECT id FROM coupons WHERE state = 'available' ORDER BY pool_id, id LIMIT CAST($2 AS BIGINT))";
    /// An attempt under a reference of a former tag, or the last one before it: the store that was lost may have tried
    /// again. `$1` rows of (place, route, message, number, tag).
    BY_FORMER_REFERENCE = "SELECT CAST(j.value ->> 0 AS BIGINT), a.message_id, a.number, a.outcome \
        FROM jsonb_each(CAST($1 AS TEXT)) AS j CROSS JOIN attempts AS a \
        WHERE a.message_id = CAST(j.value ->> 2 AS BIGINT) AND a.route = j.value ->> 1 AND a.number = (\
          SELECT max(b.number) FROM attempts AS b WHERE b.message_id = CAST(j.value ->> 2 AS BIGINT) \
            AND b.number <= CAST(j.value ->> 3 AS BIGINT) AND substr(b.reference, 1, 5) = (j.value ->> 4) || '-')";
}

impl Store {
    /// Makes a store safe that came back from a backup: every unfinished run is paused, and what may have gone out since
    /// is in doubt. Its references get the `tag` from now on. Interrupted, it is to be done again.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub async fn come_back(
        &self,
        tag: &str,
        assured: Assured,
        now: Timestamp,
    ) -> Result<Restored, StoreError> {
        let made_at = self.meta(MADE_AT).await?.and_then(|text| text.parse().ok()).map(Timestamp);
        let before = self.returned().await?;
        // What came back once knows at least of that moment.
        let newest = self.newest_time().await?.max(before.map(|before| before.at));
        let made_at = made_at.or(newest);
        let old = self.retag(tag).await?;
        let mut restored = Restored { made_at, ..Restored::default() };
        let latest = now.plus(CLOCKS_DIFFER);
        let mut batch = self.batch().await?;
        batch.tx.run(PAUSE, vec![]).await?;
        batch.commit().await?;
        restored.were_in_doubt = self.count(DOUBTS).await?;
        if !assured.nothing_sent {
            let since = made_at.unwrap_or(now);
            restored.in_doubt = self.doubt_all(&old, since, latest, now).await?;
        }
        self.free_claimed(now).await?;
        if !assured.nothing_sent {
            self.park_doubt(now).await?;
        }
        let mut batch = self.batch().await?;
        let known = i64::from(assured.nothing_sent);
        batch.tx.run(FREE_KEYS, args![latest.0, known]).await?;
        restored.withdrawn = batch.tx.run(WITHDRAW, vec![]).await?;
        batch.commit().await?;
        // Codes of a launch that sent nothing are in nobody's hands.
        let launches_known = assured.nothing_launched || assured.nothing_sent;
        if !launches_known {
            restored.codes = self.void_codes(now).await?;
        }
        (restored.paused, restored.waiting) =
            (self.count(PAUSED).await?.unsigned_abs(), self.count(WAITING).await?);
        // Launches that were unknown when it came back before are so still.
        let unknown = before.filter(|before| !before.launches_known).map(|before| before.made_at);
        let since = made_at.unwrap_or(now);
        let since = unknown.map_or(since, |unknown| unknown.min(since));
        let known = launches_known && unknown.is_none();
        let told = format!("{} {} {}", now.0, since.0, i64::from(known));
        let mut batch = self.batch().await?;
        batch.tx.run(SET_META, args![RETURNED, told]).await?;
        batch.tx.run(super::UNSET_META, args![RETURNING]).await?;
        batch.tx.run(super::UNSET_META, args![MADE_AT]).await?;
        batch.commit().await?;
        Ok(restored)
    }

    /// When this store last came back from a backup.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn returned(&self) -> Result<Option<Returned>, StoreError> {
        let Some(told) = self.meta(RETURNED).await? else { return Ok(None) };
        let mut numbers = told.split(' ').map(|number| number.parse::<i64>().ok());
        let mut number = || numbers.next().flatten().ok_or(StoreError::Unreadable);
        let (at, made_at) = (Timestamp(number()?), Timestamp(number()?));
        Ok(Some(Returned { at, made_at, launches_known: number()? == 1 }))
    }

    /// Gives the store another tag; answers the one it had when it was lost.
    async fn retag(&self, tag: &str) -> Result<String, StoreError> {
        if let Some(old) = self.meta(RETURNING).await? {
            return Ok(old);
        }
        if self.tags().any(|had| had == tag) {
            return Err(StoreError::Refused("that tag was this store's before; draw another one".to_owned()));
        }
        let old = self.tag().to_owned();
        let former: Vec<&str> = self.tags().skip(1).chain([old.as_str()]).collect();
        let mut batch = self.batch().await?;
        batch.tx.run(SET_META, args![FORMER_TAGS, former.join(" ")]).await?;
        batch.tx.run(SET_META, args!["tag", tag]).await?;
        batch.tx.run(INSERT_META, args![RETURNING, old.as_str()]).await?;
        batch.commit().await?;
        Ok(old)
    }

    /// Puts everything in doubt that may have gone out; answers how many messages.
    async fn doubt_all(
        &self,
        old: &str,
        since: Timestamp,
        latest: Timestamp,
        now: Timestamp,
    ) -> Result<i64, StoreError> {
        let mut total = 0;
        for question in [PLANNED, WAITED] {
            loop {
                let mut batch = self.batch().await?;
                let rows = batch.tx.rows(question, args![latest.0, CHUNK]).await?;
                if rows.is_empty() {
                    break;
                }
                batch.may_have_gone(&rows, old, since, now).await?;
                batch.commit().await?;
                total += i64::try_from(rows.len()).unwrap_or(0);
            }
        }
        Ok(total)
    }

    /// Gives back what a lost process held, and loses sight of what it had on the wire.
    async fn free_claimed(&self, now: Timestamp) -> Result<(), StoreError> {
        loop {
            let mut batch = self.batch().await?;
            let swept = batch.sweep_dead(Sweeper { owner: OWNER, sole: true }, now, CHUNK).await?;
            batch.commit().await?;
            if swept == (0, 0) {
                return Ok(());
            }
        }
    }

    /// Closes what was in doubt before; only evidence or a person ends it now.
    async fn park_doubt(&self, now: Timestamp) -> Result<(), StoreError> {
        debug_assert_eq!(next(Dispatch::Ambiguous, Cause::Restore), Ok(Dispatch::Unknown));
        // What was on the wire may have its receipt here already.
        while self.has_evidence().await? {
            let mut batch = self.batch().await?;
            let accepted = batch.accept_by_receipt(now, CHUNK).await?;
            batch.commit().await?;
            if accepted == 0 {
                break;
            }
        }
        loop {
            let mut batch = self.batch().await?;
            let parked = batch.tx.run(PARK, args![now.0, SINCE_BACKUP, CHUNK]).await?;
            batch.commit().await?;
            if parked == 0 {
                return Ok(());
            }
        }
    }

    async fn void_codes(&self, now: Timestamp) -> Result<u64, StoreError> {
        let mut total = 0;
        loop {
            let mut batch = self.batch().await?;
            let some = batch.tx.run(VOID_CODES, args![now.0, CHUNK]).await?;
            batch.commit().await?;
            if some == 0 {
                return Ok(total);
            }
            total += some;
        }
    }

    async fn count(&self, statement: &'static str) -> Result<i64, StoreError> {
        self.pools.read(statement, vec![]).await?.first().ok_or(StoreError::NoRow)?.int(0)
    }
}

impl Batch {
    /// T16: an attempt is written that may have been made, under its old reference, so that receipts for it are joined;
    /// its money is spent and its code belongs to nobody else until the doubt ends.
    async fn may_have_gone(
        &mut self,
        rows: &[Row],
        old: &str,
        since: Timestamp,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        debug_assert_eq!(next(Dispatch::Planned, Cause::Restore), Ok(Dispatch::Unknown));
        let why = format!("the store is back from a backup of {}", since.rfc3339());
        let mut attempts = Vec::with_capacity(rows.len());
        for row in rows {
            let (message, number) = (row.int(0)?, row.int(1)? + 1);
            attempts.push((message, number, reference::compose(old, MessageId(message), number)));
        }
        let list = json_rows(&attempts)?;
        self.tx.run(MOVE, args![list.clone(), now.0, SINCE_BACKUP]).await?;
        self.tx.run(ATTEMPT, args![list, since.0, OWNER, why]).await?;
        self.pay(&attempts.iter().map(|one| (one.0, one.1)).collect::<Vec<_>>(), 1).await?;
        let effects: Vec<_> =
            attempts.iter().map(|one| (MessageId(one.0), CouponEffect::Quarantine)).collect();
        self.apply_coupons(&effects, now).await?;
        Ok(())
    }

    /// Attempts that references of former tags name: rows of (place, message, number, outcome).
    pub(super) async fn by_former_reference(
        &mut self,
        named: &[(i64, &str, i64, i64, String)],
    ) -> Result<Vec<Row>, StoreError> {
        if named.is_empty() {
            return Ok(Vec::new());
        }
        self.tx.rows(BY_FORMER_REFERENCE, vec![json_rows(named)?]).await
    }
}

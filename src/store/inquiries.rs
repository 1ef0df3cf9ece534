//! Messages in doubt as their provider is asked about them: what may be asked, what was asked, what came of it.
//!
//! What an answer means is decided in `dispatch`; an outcome that follows is written as every other one
//! ([`Batch::settle`]). Here is what survives a restart: how often and when each attempt was asked about.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Duration;

use serde_json::{Value, json};

use crate::model::clock::Timestamp;
use crate::model::doubt::{Asked, Finding};
use crate::model::ids::{MessageId, RunId};
use crate::model::message::Claimed;
use crate::model::run::RunState;

use super::batch::{Batch, json_rows, word};
use super::claims::claimed;
use super::connection::{Arg, Row, args};
use super::dialect::statements;
use super::intents::LONGEST_ANSWER;
use super::{Store, StoreError};

/// A replay may be on the wire for this long: the longest answer, and slack.
pub const REPLAY_ANSWER: Duration = LONGEST_ANSWER.saturating_add(Duration::from_secs(30));

/// Under which key of the store the latest known time is kept.
const CLOCK: &str = "clock_seen";

/// What is known about the last attempt of a message `m` with attempt `a` and inquiry `i`.
macro_rules! standing {
    () => {
        "m.route, m.last_number, COALESCE(a.intent_at, 0), \
          CAST(CASE WHEN a.number IS NOT NULL AND (a.outcome IS NULL OR a.outcome IN ('unknown', 'garbled')) \
            THEN 1 ELSE 0 END AS BIGINT), \
          CAST(CASE WHEN EXISTS (SELECT 1 FROM attempts AS o WHERE o.message_id = m.id AND o.number <> m.last_number \
            AND (o.outcome IS NULL OR o.outcome IN ('accepted', 'unknown', 'garbled'))) OR a.owner = 'restore' \
            THEN 0 ELSE 1 END AS BIGINT), \
          COALESCE(i.looks, 0), i.looked_at, COALESCE(i.replays, 0), i.replayed_at, i.finding, \
          COALESCE(i.looks_unanswered, 0), COALESCE(i.replays_unanswered, 0), COALESCE(i.replay_over, 0)"
    };
}
pub(super) use standing;

/// How [`standing`] finds attempt and inquiry.
macro_rules! last_attempt {
    () => {
        "LEFT JOIN attempts AS a ON a.message_id = m.id AND a.number = m.last_number \
         LEFT JOIN inquiries AS i ON i.message_id = m.id AND i.number = m.last_number "
    };
}
pub(super) use last_attempt;

statements! {
    /// Messages in doubt after one, run by run. `$1`, `$2` run and message, `$3` most.
    OPEN = concat!("SELECT m.id, m.run_id, m.contact_id, m.phone, m.epoch, m.attempts, m.last_number, m.parts, m.encoding, \
          m.sender, m.country, m.body, m.price, m.expires_at, a.reference, m.settled_at, r.state, ", standing!(), " \
        FROM messages AS m JOIN runs AS r ON r.id = m.run_id ", last_attempt!(), "\
        WHERE m.dispatch IN ('ambiguous', 'unknown') AND m.dispatch = 'ambiguous' AND (m.run_id, m.id) > ($1, $2) \
        ORDER BY m.run_id, m.id LIMIT CAST($3 AS BIGINT)");
    /// `$1` rows of (message, number, looks, unanswered looks, looked at, replays, unanswered replays, replayed at, answer by,
    /// replay over, finding, detail): counts are added, what is said replaces what was said.
    NOTE = "INSERT INTO inquiries (message_id, number, looks, looks_unanswered, looked_at, replays, replays_unanswered, \
          replayed_at, answer_by, replay_over, finding, detail) \
        SELECT CAST(j.value ->> 0 AS BIGINT), CAST(j.value ->> 1 AS BIGINT), CAST(j.value ->> 2 AS BIGINT), \
          CAST(j.value ->> 3 AS BIGINT), CAST(j.value ->> 4 AS BIGINT), CAST(j.value ->> 5 AS BIGINT), \
          CAST(j.value ->> 6 AS BIGINT), CAST(j.value ->> 7 AS BIGINT), CAST(j.value ->> 8 AS BIGINT), \
          CAST(j.value ->> 9 AS BIGINT), j.value ->> 10, j.value ->> 11 \
        FROM jsonb_each(CAST($1 AS TEXT)) AS j WHERE true \
        ON CONFLICT (message_id, number) DO UPDATE SET looks = inquiries.looks + excluded.looks, \
          looks_unanswered = inquiries.looks_unanswered + excluded.looks_unanswered, \
          looked_at = COALESCE(excluded.looked_at, inquiries.looked_at), \
          replays = inquiries.replays + excluded.replays, \
          replays_unanswered = inquiries.replays_unanswered + excluded.replays_unanswered, \
          replayed_at = COALESCE(excluded.replayed_at, inquiries.replayed_at), \
          answer_by = COALESCE(excluded.answer_by, inquiries.answer_by), \
          replay_over = inquiries.replay_over | excluded.replay_over, \
          finding = COALESCE(excluded.finding, inquiries.finding), detail = COALESCE(excluded.detail, inquiries.detail)";
    /// Which messages may go once more under the key they had: every guard of an intent but the money, which is spent
    /// already. A run with nothing left to send is not over. `$1` rows of (message, epoch, number), `$2` now.
    MAY_REPEAT = "SELECT q.id FROM jsonb_each(CAST($1 AS TEXT)) AS j CROSS JOIN messages AS q \
        JOIN runs AS r ON r.id = q.run_id AND r.state IN ('running', 'finished') \
        JOIN run_windows AS w ON w.id = q.window_id AND w.opens_at <= $2 AND w.closes_at > $2 \
        WHERE q.id = CAST(j.value ->> 0 AS BIGINT) AND q.epoch = CAST(j.value ->> 1 AS BIGINT) \
          AND q.last_number = CAST(j.value ->> 2 AS BIGINT) AND q.dispatch = 'ambiguous' AND q.expires_at > $2 \
          AND NOT EXISTS (SELECT 1 FROM suppressions AS s WHERE s.phone = q.phone AND s.lifted_at IS NULL \
            AND s.scope IN ('all', q.sender)) \
          AND NOT EXISTS (SELECT 1 FROM inquiries AS i WHERE i.message_id = q.id AND i.number = q.last_number \
            AND i.replay_over = 1) \
          AND NOT EXISTS (SELECT 1 FROM attempts AS o WHERE o.message_id = q.id AND (o.owner = 'restore' \
            OR (o.number <> q.last_number AND (o.outcome IS NULL OR o.outcome IN ('accepted', 'unknown', 'garbled')))))";
    /// Attempts that have these provider's ids. `$1` rows of (provider id), `$2` route.
    BOUND = "SELECT j.value ->> 0, a.message_id, a.number FROM jsonb_each(CAST($1 AS TEXT)) AS j \
        JOIN attempts AS a ON a.route = $2 AND a.provider_id = j.value ->> 0";
    /// Messages that are not the only one which a text found at the provider could be: another one for the same number
    /// has the same words and an attempt on the same route that may have been taken and has no id. `$1` message ids.
    ALIKE = "SELECT q.id FROM jsonb_each(CAST($1 AS TEXT)) AS j CROSS JOIN messages AS q \
        WHERE q.id = CAST(j.value ->> 0 AS BIGINT) AND EXISTS (\
          SELECT 1 FROM messages AS o JOIN attempts AS a ON a.message_id = o.id AND a.route = q.route \
            AND a.provider_id IS NULL AND (a.outcome IS NULL OR a.outcome IN ('accepted', 'unknown', 'garbled')) \
          WHERE o.phone = q.phone AND o.id <> q.id AND o.body = q.body)";
    /// `$1` message ids.
    MARK_TWICE = "UPDATE messages SET possible_duplicate = 1 WHERE id IN (\
        SELECT CAST(j.value ->> 0 AS BIGINT) FROM jsonb_each(CAST($1 AS TEXT)) AS j)";
    RENDERING = "SELECT print, since FROM renderings WHERE route = $1";
    RENDERINGS = "SELECT route, since FROM renderings";
    /// It never becomes earlier. `$1` route, `$2` print, `$3` now.
    RENDER_ANEW = "INSERT INTO renderings (route, print, since) VALUES ($1, $2, $3) ON CONFLICT (route) DO UPDATE \
        SET print = excluded.print, since = CASE WHEN renderings.since > excluded.since THEN renderings.since \
          ELSE excluded.since END WHERE renderings.print <> excluded.print";
    /// `$1` when.
    RENDERED_SINCE = "UPDATE renderings SET since = $1 WHERE since < $1";
}

/// The last attempt of a message, and what its provider was asked about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Its route.
    pub route: String,
    /// Its number.
    pub number: i64,
    /// When it was recorded as intended.
    pub intent_at: Timestamp,
    /// Since when it is in doubt.
    pub since: Timestamp,
    /// Whether its fate is unknown; else what is unknown is that of an earlier one.
    pub open: bool,
    /// Whether every other attempt is known as not taken. Never so after a restore: the store that was lost may have
    /// made attempts that this one knows nothing of.
    pub alone: bool,
    /// What was asked.
    pub asked: Asked,
}

/// A message in doubt with everything that a question about it needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Open {
    /// The message as a lane would hold it, its last attempt uncounted.
    pub message: Claimed,
    /// Our reference of its last attempt.
    pub reference: String,
    /// Where its run stands.
    pub run_state: RunState,
    /// Its last attempt.
    pub standing: Standing,
}

/// What was done about an attempt in doubt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tried {
    /// Its provider was asked by a look-up or a list.
    Look {
        /// When.
        at: Timestamp,
        /// Whether it answered.
        answered: bool,
    },
    /// It is about to be replayed.
    Replay {
        /// When.
        at: Timestamp,
    },
    /// A replay that was noted before has come to its end.
    Replayed {
        /// Whether the provider answered it.
        answered: bool,
    },
    /// It was found to be past every replay, for good.
    ReplayOver,
}

/// Something that was asked, or found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// The message.
    pub message: MessageId,
    /// The attempt.
    pub number: i64,
    /// What was done.
    pub tried: Tried,
    /// What came of it, if that ends nothing.
    pub finding: Option<Finding>,
    /// The same in words.
    pub detail: Option<String>,
}

impl Store {
    /// Messages in doubt after the one in `after`, by run and id, ready to be asked about.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn open_doubts(&self, after: (RunId, MessageId), limit: i64) -> Result<Vec<Open>, StoreError> {
        let rows = self.pools.read(OPEN, args![after.0.0, after.1.0, limit]).await?;
        rows.iter().map(open).collect()
    }

    /// For which of these [`Batch::intend_replay`] would allow it; takes no turn to write.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn may_replay(&self, open: &[&Open], now: Timestamp) -> Result<HashSet<MessageId>, StoreError> {
        if open.is_empty() {
            return Ok(HashSet::new());
        }
        let rows = self.pools.read(MAY_REPEAT, repeat_args(open, now)?).await?;
        rows.iter().map(|row| Ok(MessageId(row.int(0)?))).collect()
    }

    /// The latest instant at which [`Store::seen_clock`] was told what time it is.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn clock_seen(&self) -> Result<Option<Timestamp>, StoreError> {
        let rows = self.pools.read(super::META, args![CLOCK]).await?;
        let Some(row) = rows.first() else { return Ok(None) };
        Ok(row.text(0)?.parse().ok().map(Timestamp))
    }

    /// Keeps what time it is, so that a clock that is set back is noticed after a restart, too.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub async fn seen_clock(&self, now: Timestamp) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        tx.run(super::SET_META, args![CLOCK, now.0.to_string()]).await?;
        tx.commit().await
    }

    /// Has nothing replayed, on any route, that was recorded before an instant: the clock that dated it was wrong then, or
    /// is now. As if every request had looked different until then.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub async fn distrust_until(&self, until: Timestamp, now: Timestamp) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        tx.run(RENDERED_SINCE, args![until.0]).await?;
        tx.run(super::SET_META, args![CLOCK, now.0.to_string()]).await?;
        tx.commit().await
    }

    /// Since when the requests of a route are rendered as `print` says; from `now` on, if they were rendered otherwise.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub async fn alike_since(
        &self,
        route: &str,
        print: &str,
        now: Timestamp,
    ) -> Result<Timestamp, StoreError> {
        let known = self.pools.read(RENDERING, args![route]).await?;
        if let Some(row) = known.first()
            && row.text(0)? == print
        {
            return Ok(Timestamp(row.int(1)?));
        }
        let mut tx = self.begin().await?;
        tx.run(RENDER_ANEW, args![route, print, now.0]).await?;
        let known = tx.rows(RENDERING, args![route]).await?;
        tx.commit().await?;
        Ok(Timestamp(known.first().ok_or(StoreError::NoRow)?.int(1)?))
    }

    /// Since when the requests of each route are rendered alike, as the last daemon found.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn renderings(&self) -> Result<BTreeMap<String, Timestamp>, StoreError> {
        let rows = self.pools.read(RENDERINGS, vec![]).await?;
        rows.iter().map(|row| Ok((row.text(0)?, Timestamp(row.int(1)?)))).collect()
    }
}

impl Batch {
    /// Records what was asked and found.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub async fn note(&mut self, notes: &[Note]) -> Result<(), StoreError> {
        if notes.is_empty() {
            return Ok(());
        }
        let rows: Vec<_> = notes.iter().map(note_row).collect();
        self.tx.run(NOTE, vec![json_rows(&rows)?]).await?;
        let twice: Vec<_> =
            notes.iter().filter(|n| n.finding == Some(Finding::Twice)).map(|n| (n.message.0,)).collect();
        if !twice.is_empty() {
            self.tx.run(MARK_TWICE, vec![json_rows(&twice)?]).await?;
        }
        Ok(())
    }

    /// Records that the last attempt of a message is about to be replayed, if every rule still allows that it goes out;
    /// answers whether. After the commit, and not before, the request may leave.
    ///
    /// # Errors
    /// When the store cannot be written; then nothing may leave.
    pub async fn intend_replay(&mut self, open: &Open, now: Timestamp) -> Result<bool, StoreError> {
        let id = open.message.id;
        self.hold(&[(id.0,)]).await?;
        self.hold_runs(&json_rows(&[(id.0,)])?).await?;
        if self.tx.rows(MAY_REPEAT, repeat_args(&[open], now)?).await?.is_empty() {
            return Ok(false);
        }
        let note = Note {
            message: id,
            number: open.standing.number,
            tried: Tried::Replay { at: now },
            finding: Some(Finding::NoAnswer),
            detail: Some("replayed; no answer is stored yet".to_owned()),
        };
        self.note(&[note]).await?;
        Ok(true)
    }

    /// Those of these messages that are not the only text of ours which a text found at the provider could be.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn alike(&mut self, messages: &[MessageId]) -> Result<HashSet<MessageId>, StoreError> {
        if messages.is_empty() {
            return Ok(HashSet::new());
        }
        let ids: Vec<_> = messages.iter().map(|id| (id.0,)).collect();
        let rows = self.tx.rows(ALIKE, vec![json_rows(&ids)?]).await?;
        rows.iter().map(|row| Ok(MessageId(row.int(0)?))).collect()
    }

    /// Which attempts (message, number) have these ids of the provider on a route. `messages` are locked until the batch
    /// ends: whatever is written about them follows.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn bound(
        &mut self,
        route: &str,
        provider_ids: &HashSet<&str>,
        messages: &[MessageId],
    ) -> Result<HashMap<String, (i64, i64)>, StoreError> {
        self.hold(&messages.iter().map(|id| (id.0,)).collect::<Vec<_>>()).await?;
        if provider_ids.is_empty() {
            return Ok(HashMap::new());
        }
        let ids: Vec<_> = provider_ids.iter().map(|id| (*id,)).collect();
        let rows = self.tx.rows(BOUND, args![json_rows(&ids)?, route]).await?;
        rows.iter().map(|row| Ok((row.text(0)?, (row.int(1)?, row.int(2)?)))).collect()
    }
}

/// What [`standing`] selects, from the column `first` on.
pub(super) fn standing_at(row: &Row, first: usize, since: Timestamp) -> Result<Standing, StoreError> {
    let count = |at: usize| Ok::<u32, StoreError>(u32::try_from(row.int(first + at)?).unwrap_or(u32::MAX));
    let time = |at: usize| Ok::<_, StoreError>(row.opt_int(first + at)?.map(Timestamp));
    let finding = row.opt_text(first + 9)?;
    let known = |word: String| Finding::from_word(&word).ok_or(StoreError::Word { what: "finding", word });
    Ok(Standing {
        route: row.text(first)?,
        number: row.int(first + 1)?,
        intent_at: Timestamp(row.int(first + 2)?),
        since,
        open: row.int(first + 3)? == 1,
        alone: row.int(first + 4)? == 1,
        asked: Asked {
            looks: count(5)?,
            looked_at: time(6)?,
            replays: count(7)?,
            replayed_at: time(8)?,
            finding: finding.map(known).transpose()?,
            looks_unanswered: count(10)?,
            replays_unanswered: count(11)?,
            replay_over: row.int(first + 12)? == 1,
        },
    })
}

fn repeat_args(open: &[&Open], now: Timestamp) -> Result<Vec<Arg>, StoreError> {
    let rows: Vec<_> =
        open.iter().map(|one| (one.message.id.0, one.message.epoch, one.standing.number)).collect();
    Ok(args![json_rows(&rows)?, now.0])
}

/// As [`NOTE`] reads it. A replay counts as unanswered until its answer is there.
fn note_row(note: &Note) -> Value {
    let (mut looks, mut replays, mut over) = ([0, 0], [0, 0], 0);
    let (mut looked_at, mut replayed_at, mut answer_by) = (None, None, None);
    match note.tried {
        Tried::Look { at, answered } => {
            looks[usize::from(!answered)] = 1;
            looked_at = Some(at);
        }
        Tried::Replay { at } => {
            replays[1] = 1;
            (replayed_at, answer_by) = (Some(at), Some(at.plus(REPLAY_ANSWER)));
        }
        Tried::Replayed { answered } => {
            if answered {
                replays = [1, -1];
            }
            answer_by = Some(Timestamp(0));
        }
        Tried::ReplayOver => over = 1,
    }
    json!([
        note.message,
        note.number,
        looks[0],
        looks[1],
        looked_at,
        replays[0],
        replays[1],
        replayed_at,
        answer_by,
        over,
        note.finding.map(Finding::as_str),
        note.detail
    ])
}

fn open(row: &Row) -> Result<Open, StoreError> {
    let mut message = claimed(row)?;
    // Counted when sight of it was lost; whatever is found out now counts it again.
    message.attempts -= 1;
    Ok(Open {
        message,
        reference: row.opt_text(14)?.unwrap_or_default(),
        run_state: word(row, 16, "run state", RunState::from_word)?,
        standing: standing_at(row, 17, Timestamp(row.opt_int(15)?.unwrap_or(0)))?,
    })
}

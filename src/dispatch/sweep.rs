//! What time does to runs and messages, once a second: windows roll on, deadlines pass, doubt grows old, runs end.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::campaign::law::Rules;
use crate::campaign::schedule::ScheduleKey;
use crate::model::clock::{Clock, Timestamp};
use crate::model::ids::{MessageId, RunId};
use crate::model::message::WhenInDoubt;
use crate::model::run::{Run, RunState};
use crate::model::state::Cause;
use crate::store::inquiries::Standing;
use crate::store::log::LONG;
use crate::store::sweep::{InDoubt, OpenMessages, Sweeper, Withdrawn};
use crate::store::{Store, StoreError};

use super::bell::Bell;
use super::ladder::{Ladder, Waits};
use super::launch::{LaunchError, resume};
use super::terms::Terms;

/// Rows changed in one transaction, so that nobody else waits longer than 100 ms for a turn to write.
const CHUNK: i64 = 2_000;

/// Chunks of what is forgotten, or in doubt, that one sweep looks at, so that the next one is not late.
const CHUNKS: usize = 10;

/// Receipts that wait are looked at again while they are younger than this; the youngest `CHUNK` of them.
const REJOIN_WITHIN: Duration = Duration::from_mins(10);

/// How often everything is looked at.
const PERIOD: Duration = Duration::from_secs(1);

/// How long a message stays in doubt before its campaign's policy decides.
#[derive(Clone, Copy, Debug)]
pub struct DoubtPolicy {
    /// Evidence is awaited this long before a message is closed as unknown.
    pub park_after: Duration,
    /// Evidence is awaited this long before a message is sent again, where the campaign wants that.
    pub resend_after: Duration,
    /// Submissions in all, resends included.
    pub attempts: u32,
}

/// A launch that has written nothing for this long has lost its process.
pub const STALLED: Duration = Duration::from_secs(30);

/// How far launches had come, and since when.
#[derive(Debug, Default)]
pub struct Stalled(HashMap<RunId, (i64, Duration)>);

/// How a policy ends doubt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DoubtEnd {
    /// It is sent again, marked as a possible duplicate.
    Resend,
    /// It is closed as unknown.
    Park,
}

impl DoubtPolicy {
    /// How and when the doubt about a message ends by itself, if no evidence comes first; `None` where a person decides. What
    /// is useless by then is not sent again.
    pub fn ends(&self, message: &InDoubt, now: Timestamp) -> Option<(DoubtEnd, Timestamp)> {
        let spent = u32::try_from(message.attempts).unwrap_or(u32::MAX);
        let resend = message.since.plus(self.resend_after);
        match message.policy {
            WhenInDoubt::Resend if spent < self.attempts && resend.max(now) < message.expires_at => {
                Some((DoubtEnd::Resend, resend))
            }
            WhenInDoubt::Park | WhenInDoubt::Resend => {
                Some((DoubtEnd::Park, message.since.plus(self.park_after)))
            }
            WhenInDoubt::Ask => None,
        }
    }
}

/// Whether a run has nothing left to send: nothing waits, and nothing in doubt will be sent again.
pub fn is_done(policy: WhenInDoubt, open: OpenMessages) -> bool {
    let waits_for_resend = policy == WhenInDoubt::Resend && open.in_doubt > 0;
    !open.planned && open.waiting == 0 && !waits_for_resend
}

/// What one sweep leaves to the next of its look at what is in doubt.
#[derive(Clone, Debug, Default)]
pub struct Rest {
    /// The last message that was looked at; none at the start of a pass.
    after: Option<(RunId, MessageId)>,
    /// Runs of which something may still prove to have not been taken: what this pass has found so far.
    returning: HashSet<RunId>,
    /// What the last whole pass found; none before there was one.
    returned: Option<HashSet<RunId>>,
}

impl Rest {
    /// Whether something in doubt of a run may go out again, as far as is known.
    fn may_return(&self, run: RunId) -> bool {
        self.returning.contains(&run) || self.returned.as_ref().is_none_or(|runs| runs.contains(&run))
    }

    /// Ends a pass.
    fn wrap(&mut self) {
        self.after = None;
        self.returned = Some(std::mem::take(&mut self.returning));
    }
}

/// What a sweep needs to know.
pub struct Sweep {
    /// The store.
    pub store: Store,
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// The law.
    pub rules: Arc<Rules>,
    /// This process.
    pub owner: String,
    /// How doubt ends.
    pub ladder: Arc<Ladder>,
    /// How long receipts that match no text are kept.
    pub keep_unmatched: Duration,
    /// Calls up to this number were looked through for those that hold nothing; 0 at the start.
    pub looked_through: AtomicI64,
    /// How far the look at what is in doubt has come; [`Rest::default`] at the start.
    pub rest: Mutex<Rest>,
    /// The routes that have lanes here.
    pub routes: Vec<String>,
    /// Rung when lanes may have new work.
    pub bell: Bell,
}

impl Sweep {
    /// At the start of a daemon: takes back what dead processes held. `sole` when its lock proves that whoever else had
    /// messages is gone; a lock that can be lost by a process that lives proves nothing, and leases must run out (T10).
    /// Answers (given back, in doubt).
    ///
    /// # Errors
    /// When the store cannot be written.
    pub async fn boot(&self, sole: bool) -> Result<(u64, u64), StoreError> {
        let (freed, lost) = self.dead(sole).await?;
        self.evidence().await?;
        Ok((freed, lost))
    }

    /// Sweeps every second until `stop`, and beside that goes on with launches that were left. Errors are told and the
    /// next second tries again.
    pub async fn run(self, stop: CancellationToken) {
        // A launch may take minutes; windows and deadlines must not wait for it.
        tokio::join!(self.sweep(&stop), self.launches(&stop), self.wake_lanes(&stop));
    }

    async fn launches(&self, stop: &CancellationToken) {
        let mut seen = Stalled::default();
        while stop.run_until_cancelled(tokio::time::sleep(PERIOD)).await.is_some() {
            match stop.run_until_cancelled(self.resume(&mut seen)).await {
                Some(Err(error)) => tracing::error!(%error, "a launch that was left could not go on"),
                Some(Ok(())) => {}
                None => return,
            }
        }
    }

    /// Goes on with launches whose process seems to be gone: they have not written for [`STALLED`]. Should it be alive
    /// after all, the cursor keeps the two from writing anything twice. One whose run is over is withdrawn.
    ///
    /// # Errors
    /// When the store cannot be used or a launch cannot go on; the others are tried first.
    pub async fn resume(&self, seen: &mut Stalled) -> Result<(), LaunchError> {
        let (now, mut answer) = (self.clock.moment(), Ok(()));
        let mut runs = self.store.open_runs().await?;
        runs.retain(|run| run.state == RunState::Preparing);
        seen.0.retain(|id, _| runs.iter().any(|run| run.id == *id));
        for run in runs {
            let (id, campaign) = (run.id.0, run.terms.campaign.clone());
            if run.terms.expires_at <= now.wall {
                self.store.abandon_launch(run.id).await?;
                tracing::warn!(
                    run = id,
                    campaign,
                    "a launch was left until its run was over; it is withdrawn"
                );
                continue;
            }
            let last = seen.0.entry(run.id).or_insert((run.cursor, now.elapsed));
            if last.0 != run.cursor {
                *last = (run.cursor, now.elapsed);
            }
            if now.elapsed.saturating_sub(last.1) < STALLED {
                continue;
            }
            last.1 = now.elapsed;
            tracing::warn!(
                run = id,
                campaign,
                written = run.prepared,
                "a launch was left in the middle; it goes on"
            );
            match resume(&self.store, run, false, &self.rules, now.wall, |_, _| {}).await {
                Ok(_) => self.bell.ring(),
                Err(error) => answer = Err(error),
            }
        }
        answer
    }

    async fn sweep(&self, stop: &CancellationToken) {
        let mut last = None;
        while stop.run_until_cancelled(tokio::time::sleep(PERIOD)).await.is_some() {
            let failed = self.once().await.err().map(|error| error.to_string());
            // What fails again in the same way has been told.
            if let Some(error) = failed.as_ref().filter(|_| failed != last) {
                tracing::error!(%error, "a sweep failed; it is tried again each second");
            }
            last = failed;
        }
    }

    /// One sweep.
    ///
    /// # Errors
    /// When the store cannot be used.
    pub async fn once(&self) -> Result<(), StoreError> {
        let now = self.clock.now();
        let doubt = async |now| {
            let rest = self.doubt(now).await?;
            self.finish(now, &rest).await
        };
        // What one step cannot do keeps no other from being done.
        let steps = [
            self.dead(false).await.map(|_| ()),
            self.rejoin(now).await,
            self.roll_windows(now).await,
            self.expire(now).await,
            self.cancel(now).await,
            doubt(now).await,
            self.forget(now).await,
            self.store.shorten_log(LONG).await.map(|_| ()),
        ];
        steps.into_iter().collect()
    }

    /// Wakes those lanes that have something to claim; two hundred without work then cost one look. A sweep may take
    /// longer than its second, and lanes must not wait for it.
    async fn wake_lanes(&self, stop: &CancellationToken) {
        let mut told = false;
        while stop.run_until_cancelled(tokio::time::sleep(PERIOD)).await.is_some() {
            let looked = self.store.routes_with_work(&self.routes, self.clock.now()).await;
            let failed = looked.is_err();
            match looked {
                Ok(routes) => self.bell.ring_for(routes),
                Err(error) => {
                    if !told {
                        tracing::error!(%error, "the store does not say which lanes have work; all of them look");
                    }
                    self.bell.ring();
                }
            }
            told = failed;
        }
    }

    async fn dead(&self, sole: bool) -> Result<(u64, u64), StoreError> {
        let (mut freed, mut lost) = (0, 0);
        loop {
            let (sweeper, now) = (Sweeper { owner: &self.owner, sole }, self.clock.now());
            // A turn to write is asked for only where there is something to write, here and below.
            if !self.store.has_dead(sweeper, now).await? {
                return Ok((freed, lost));
            }
            let mut batch = self.store.batch().await?;
            let swept = batch.sweep_dead(sweeper, now, CHUNK).await?;
            batch.commit().await?;
            freed += swept.0;
            lost += swept.1;
            // What it cannot move, it must not ask for again and again.
            if swept == (0, 0) {
                return Ok((freed, lost));
            }
        }
    }

    async fn rejoin(&self, now: Timestamp) -> Result<(), StoreError> {
        let since = now.minus(REJOIN_WITHIN);
        if !self.store.can_rejoin(since, CHUNK).await? {
            return Ok(());
        }
        let mut batch = self.store.batch().await?;
        if batch.rejoin(since, now, CHUNK).await? > 0 {
            batch.commit().await?;
        }
        Ok(())
    }

    async fn evidence(&self) -> Result<(), StoreError> {
        if !self.store.has_evidence().await? {
            return Ok(());
        }
        let mut batch = self.store.batch().await?;
        let accepted = batch.accept_by_receipt(self.clock.now(), CHUNK).await?;
        if accepted > 0 {
            batch.commit().await?;
            tracing::info!(messages = accepted, "in doubt, now accepted: a receipt is here");
        }
        Ok(())
    }

    /// Ends receipts that waited too long for their text, and calls as old that hold none: nothing depends on them any
    /// more. A flood of them takes several sweeps.
    async fn forget(&self, now: Timestamp) -> Result<(), StoreError> {
        let before = now.minus(self.keep_unmatched);
        for _ in 0..CHUNKS {
            if !self.store.has_unmatched(before).await? {
                break;
            }
            let mut batch = self.store.batch().await?;
            let forgotten = batch.forget_unmatched(before, CHUNK).await?;
            if forgotten > 0 {
                batch.commit().await?;
                tracing::info!(receipts = forgotten, "matched no text in all the time they were kept");
            }
            if i64::try_from(forgotten).is_ok_and(|forgotten| forgotten < CHUNK) {
                break;
            }
        }
        for _ in 0..CHUNKS {
            let after = self.looked_through.load(Ordering::Relaxed);
            let Some((last, calls)) = self.store.calls_before(before, after, CHUNK).await? else { break };
            let mut batch = self.store.batch().await?;
            let forgotten = batch.forget_empty(after, last).await?;
            if forgotten > 0 {
                batch.commit().await?;
                tracing::info!(calls = forgotten, "held no receipt in all the time they were kept");
            }
            self.looked_through.store(last, Ordering::Relaxed);
            if calls < CHUNK {
                break;
            }
        }
        Ok(())
    }

    /// Moves windows that have closed to their next opening.
    async fn roll_windows(&self, now: Timestamp) -> Result<(), StoreError> {
        let closed = self.store.closed_windows(now, CHUNK).await?;
        let mut rolled = Vec::with_capacity(closed.len());
        let mut terms: Option<(RunId, Terms)> = None;
        for window in closed {
            if terms.as_ref().is_none_or(|(run, _)| *run != window.run) {
                let Some(run) = self.store.run(window.run).await? else { continue };
                match Terms::read(&run.terms.definition) {
                    Ok(read) => terms = Some((window.run, read)),
                    Err(error) => {
                        // Its own windows stay closed; every other run goes on.
                        tracing::error!(run = window.run.0, %error, "a run cannot be read");
                        continue;
                    }
                }
            }
            let Some((_, terms)) = &terms else { continue };
            let (opens, closes) = next_window(&window.key, terms, &self.rules, now);
            rolled.push((window.id, opens, closes));
        }
        if !rolled.is_empty() {
            self.store.roll_windows(&rolled).await?;
        }
        Ok(())
    }

    async fn expire(&self, now: Timestamp) -> Result<(), StoreError> {
        for run in self.store.expired_runs(now, CHUNK).await? {
            self.withdraw(run, Cause::Expire).await?;
        }
        Ok(())
    }

    async fn cancel(&self, now: Timestamp) -> Result<(), StoreError> {
        for run in self.store.open_runs().await? {
            if run.state == RunState::Cancelling {
                cancel(&self.store, &run, now).await?;
            }
        }
        Ok(())
    }

    async fn withdraw(&self, run: RunId, cause: Cause) -> Result<(), StoreError> {
        withdraw(&self.store, run, cause, self.clock.now()).await.map(|_| ())
    }

    /// Ends doubt: what is proven already is accepted, and what nobody can be asked about any more ends as its campaign
    /// decided. Where there is more than one sweep can look at, the next goes on from there.
    async fn doubt(&self, now: Timestamp) -> Result<Rest, StoreError> {
        let mut rest = self.rest.lock().unwrap_or_else(PoisonError::into_inner).clone();
        for _ in 0..CHUNKS {
            let after = rest.after.unwrap_or((RunId(0), MessageId(0)));
            let page = self.store.in_doubt(after, CHUNK).await?;
            rest.after = page.last().map(|(last, _)| (last.run, last.id));
            self.end_doubt(&page, &mut rest.returning, now).await?;
            if i64::try_from(page.len()).is_ok_and(|read| read < CHUNK) {
                rest.wrap();
                break;
            }
        }
        self.rest.lock().unwrap_or_else(PoisonError::into_inner).clone_from(&rest);
        Ok(rest)
    }

    /// Ends the doubt about some messages, where it ends now.
    async fn end_doubt(
        &self,
        page: &[(InDoubt, Standing)],
        returning: &mut HashSet<RunId>,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        if page.is_empty() {
            return Ok(());
        }
        let proven = self.store.proven(page.iter().map(|(message, _)| message.id)).await?;
        let (mut resend, mut park) = (Vec::new(), Vec::new());
        for (message, standing) in page {
            // In the order of their ids, as they were asked for.
            if proven.binary_search(&message.id).is_ok() {
                continue;
            }
            match self.ladder.waits(message, standing, now) {
                Waits::Receipt(DoubtEnd::Resend, at) if at <= now => resend.push(message.id),
                Waits::Receipt(DoubtEnd::Park, at) if at <= now => park.push(message.id),
                _ if self.ladder.may_return(standing, now) => {
                    returning.insert(message.run);
                }
                _ => {}
            }
        }
        if !proven.is_empty() {
            let mut batch = self.store.batch().await?;
            let accepted = batch.accept_proven(&proven, now).await?;
            batch.commit().await?;
            tracing::info!(messages = accepted, "in doubt, now accepted: a receipt is here");
        }
        if !resend.is_empty() || !park.is_empty() {
            let mut batch = self.store.batch().await?;
            batch.resend(&resend, now).await?;
            batch.park(&park, now).await?;
            batch.commit().await?;
            tracing::warn!(resent = resend.len(), parked = park.len(), "doubt ended by policy");
        }
        Ok(())
    }

    /// Ends runs that have nothing left to send.
    async fn finish(&self, now: Timestamp, rest: &Rest) -> Result<(), StoreError> {
        for run in self.store.open_runs().await? {
            let goes_on = match run.state {
                RunState::Running => true,
                // Until it is over, somebody may have it go on.
                RunState::Paused => run.terms.expires_at <= now,
                _ => false,
            };
            if !goes_on {
                continue;
            }
            let open = self.store.open_messages(run.id).await?;
            let returns = open.in_doubt > 0 && rest.may_return(run.id);
            if !returns
                && is_done(run.terms.when_in_doubt, open)
                && self.store.finish_run(run.id, now).await?
            {
                tracing::info!(run = run.id.0, campaign = run.terms.campaign, "nothing left to send");
            }
        }
        Ok(())
    }
}

/// Withdraws what waits of a run that is being cancelled, and ends it once nothing is on the wire: what comes back from
/// there unsent is withdrawn too. Answers what was withdrawn.
///
/// # Errors
/// When the store cannot be written; what was withdrawn stays withdrawn.
pub async fn cancel(store: &Store, run: &Run, now: Timestamp) -> Result<Withdrawn, StoreError> {
    let withdrawn = withdraw(store, run.id, Cause::Cancel, now).await?;
    let open = store.open_messages(run.id).await?;
    if !open.planned && open.waiting == 0 {
        store.set_run_state(run, RunState::Cancelled, now).await?;
    }
    Ok(withdrawn)
}

/// Withdraws everything of a run that still waits; answers what that was.
///
/// # Errors
/// When the store cannot be written; what was withdrawn stays withdrawn.
pub async fn withdraw(
    store: &Store,
    run: RunId,
    cause: Cause,
    now: Timestamp,
) -> Result<Withdrawn, StoreError> {
    let mut total = Withdrawn::default();
    loop {
        let mut batch = store.batch().await?;
        let withdrawn = batch.withdraw(run, cause, now, CHUNK).await?;
        batch.commit().await?;
        if withdrawn.messages == 0 {
            return Ok(total);
        }
        total.messages += withdrawn.messages;
        total.in_doubt += withdrawn.in_doubt;
    }
}

/// The next lawful interval of a window; one that never comes opens at the end of time.
pub(super) fn next_window(key: &str, terms: &Terms, rules: &Rules, now: Timestamp) -> (Timestamp, Timestamp) {
    let closed = (Timestamp::MAX, Timestamp::MAX);
    let key = ScheduleKey::from_text(key);
    terms.next_interval(&key, rules, now).unwrap_or(closed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_waits_for_its_doubt_until_a_whole_pass_has_seen_nothing_that_may_return() {
        let mut rest = Rest::default();
        assert!(rest.may_return(RunId(1)), "not looked at yet");
        rest.returning.insert(RunId(1));
        rest.wrap();
        assert!(rest.may_return(RunId(1)) && !rest.may_return(RunId(2)));
        rest.returning.insert(RunId(2));
        assert!(rest.may_return(RunId(1)), "the next pass has not come so far");
        assert!(rest.may_return(RunId(2)));
        rest.wrap();
        assert!(!rest.may_return(RunId(1)) && rest.may_return(RunId(2)));
    }
}

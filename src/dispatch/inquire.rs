//! Asks providers about messages in doubt: look-ups, replays and lists, a few at a time for each route, beside the lanes
//! and never in their way.
//!
//! What is asked next is decided in [`super::ladder`] and by [`question`], what an answer says in [`Told`], what it leads
//! to in [`Verdicts`] and [`super::settle`]: these do nothing themselves, so that a simulation can play them. Whatever was
//! asked is in the store; a replay is there before it leaves.

mod due;
mod verdicts;
mod watch;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::{self, FuturesUnordered};
use tokio_util::sync::CancellationToken;

use crate::model::clock::{Clock, Moment};
use crate::model::ids::MessageId;
use crate::model::message::RetryPolicy;
use crate::model::outcome::OutcomeClass;
use crate::model::suppression::Reason;
use crate::provider::{Adapter, Submission, Transport};
use crate::store::inquiries::Open;
use crate::store::suppressions::{EVERY_SENDER, NewSuppression};
use crate::store::{Store, StoreError};

use super::ladder::{Ladder, Step};
use super::permits::Permits;
use super::submission::submission;

use due::{Question, Rounds};

pub use due::{Trust, instead, may_leave, question};
pub use verdicts::{Told, Verdicts, listed_ids, listed_often};
pub use watch::{Seen, Watch};

/// How often is looked for messages to ask about.
const PERIOD: Duration = Duration::from_secs(1);

/// Questions under way at once on one route.
pub const IN_FLIGHT: usize = 4;

/// Most questions for one route in a round; less where its account is slower.
const ROUND: usize = 32;

/// The provider of one route, ready to be asked.
#[derive(Debug)]
pub struct Respondent {
    /// How it is asked.
    pub adapter: Arc<Adapter>,
    /// Connections of its own, so that no question waits for a submission or keeps one waiting.
    pub transport: Transport,
    /// The lane whose limits a replay keeps.
    pub permits: Permits,
    /// Parts per second of the account; as many questions.
    pub per_second: Option<f64>,
    /// How what was not taken is tried again.
    pub retry: RetryPolicy,
}

/// Asks every route that can be asked.
pub struct Inquirer {
    /// The store.
    pub store: Store,
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// What can be asked, and when.
    pub ladder: Arc<Ladder>,
    /// The routes.
    pub routes: HashMap<String, Respondent>,
    /// Where providers call back.
    pub public_url: Option<String>,
    /// Cancelled when the store may be another process's: nothing is sent from then on.
    pub lost: CancellationToken,
    /// Feeds the jitter of what goes out again.
    pub seed: u64,
}

impl Inquirer {
    /// Asks until `stop`. Errors are told and the next round tries again.
    pub async fn run(self, stop: CancellationToken) {
        if self.routes.is_empty() {
            return stop.cancelled().await;
        }
        let (mut busy, mut rounds) = (HashSet::new(), Rounds::default());
        let mut under_way = FuturesUnordered::new();
        let mut tick = tokio::time::interval(PERIOD);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                // Not before: a task that ends by itself ends the daemon.
                () = self.lost.cancelled() => return stop.cancelled().await,
                Some((route, passed)) = under_way.next() => {
                    busy.remove(&route);
                    rounds.pass(route, passed);
                }
                _ = tick.tick() => match self.due(&mut rounds, &busy).await {
                    Ok(due) => for (route, questions) in due {
                        busy.insert(route.clone());
                        under_way.push(self.round(route, questions));
                    },
                    Err(error) => tracing::error!(%error, "messages in doubt could not be read; tried again in a second"),
                },
            }
        }
    }

    /// Answers which messages were passed over.
    async fn round(&self, route: String, questions: Vec<Question>) -> (String, Vec<MessageId>) {
        let passed = self.ask(&route, questions).await.unwrap_or_else(|error| {
            tracing::error!(route, %error, "what a provider said about messages in doubt could not be written");
            Vec::new()
        });
        (route, passed)
    }

    /// Asks about messages of one route and writes what came of it; answers those about which nothing was asked.
    async fn ask(&self, route: &str, questions: Vec<Question>) -> Result<Vec<MessageId>, StoreError> {
        let Some(respondent) = self.routes.get(route) else { return Ok(Vec::new()) };
        let asked = questions.into_iter().map(|question| self.one(respondent, question));
        let told: Vec<(Open, Told)> = stream::iter(asked).buffer_unordered(IN_FLIGHT).collect().await;
        let (skipped, told): (Vec<_>, Vec<_>) =
            told.into_iter().partition(|(_, told)| matches!(told, Told::Skipped));
        self.write(route, &respondent.retry, told).await?;
        Ok(skipped.into_iter().map(|(open, _)| open.message.id).collect())
    }

    async fn one(&self, respondent: &Respondent, question: Question) -> (Open, Told) {
        let Question { open, step, found } = question;
        let url = self.public_url.as_deref();
        let request =
            submission(&respondent.adapter, url, &open.message, open.reference.clone(), self.clock.now());
        let told = match step {
            Step::Look(ask, _) => {
                let (adapter, transport) = (&respondent.adapter, &respondent.transport);
                let began = self.clock.elapsed();
                let answer = adapter.look_up(transport, &request, open.standing.intent_at).await;
                let took = self.clock.elapsed().saturating_sub(began);
                Told::of_look(ask, answer.map_err(|error| error.to_string()), took)
            }
            Step::Replay(..) => match self.replay(respondent, &open, (step, found), request).await {
                Ok(told) => told,
                Err(error) => {
                    tracing::error!(message = open.message.id.0, %error, "a replay could not be recorded, so it was not sent");
                    Told::Skipped
                }
            },
        };
        (open, told)
    }

    /// Sends the very same request again, if everything that keeps a message from going out allows it and its lane has
    /// permits. An answer other than "accepted" proves nothing about the first one.
    async fn replay(
        &self,
        respondent: &Respondent,
        open: &Open,
        (step, found): (Step, Moment),
        submission: Submission,
    ) -> Result<Told, StoreError> {
        let (message, asked) = (&open.message, self.clock.elapsed());
        if self.store.may_replay(&[open], self.clock.now()).await?.is_empty()
            || !respondent.permits.take(message.parts.into(), &message.sender, &message.country).await
        {
            return Ok(Told::Skipped);
        }
        let now = self.clock.now();
        let mut batch = self.store.batch().await?;
        if !batch.intend_replay(open, now).await? {
            return Ok(Told::Skipped);
        }
        batch.commit().await?;
        // A STOP may have come since; and who slept meanwhile must not send late.
        let stopped = self.store.suppressed_among(&[(message.phone, message.sender.clone())]).await?;
        let may_leave = may_leave(step, found, asked, self.clock.moment());
        if !may_leave || !stopped.is_empty() || self.lost.is_cancelled() {
            return Ok(Told::withheld());
        }
        let sent = respondent.adapter.submit(&respondent.transport, &[submission], self.clock.now()).await;
        let outcome = sent.outcomes.into_iter().next();
        if outcome.as_ref().is_some_and(|outcome| outcome.class == OutcomeClass::OptedOut) {
            // It says nothing of the first submission, and forbids the next.
            let stop = NewSuppression {
                phone: message.phone,
                scope: EVERY_SENDER.to_owned(),
                reason: Reason::Provider,
                source: "provider".to_owned(),
            };
            self.store.suppress(&[stop], self.clock.now()).await?;
        }
        Ok(Told::of_replay(outcome))
    }

    /// Writes what providers said, and what follows from it, in one transaction.
    async fn write(
        &self,
        route: &str,
        retry: &RetryPolicy,
        told: Vec<(Open, Told)>,
    ) -> Result<(), StoreError> {
        if told.is_empty() {
            return Ok(());
        }
        let mut batch = self.store.batch().await?;
        let messages: Vec<MessageId> = told.iter().map(|(open, _)| open.message.id).collect();
        let mut bound = batch.bound(route, &listed_ids(&told), &messages).await?;
        let alike = batch.alike(&listed_often(&told)).await?;
        let mut verdicts = Verdicts::new(retry, &alike, self.seed, self.clock.now());
        for (open, told) in &told {
            verdicts.judge(open, told, &mut bound);
        }
        let Verdicts { notes, settlements, reopened, .. } = verdicts;
        batch.note(&notes).await?;
        batch.reopen(&reopened.into_iter().collect::<Vec<_>>()).await?;
        batch.settle_asked(route, &settlements, self.clock.now()).await?;
        batch.commit().await?;
        if !settlements.is_empty() {
            tracing::info!(route, messages = settlements.len(), "in doubt no more: the provider was asked");
        }
        Ok(())
    }
}

impl Respondent {
    /// Questions in one round, which takes a second or longer.
    fn round(&self) -> usize {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "clamped to small numbers"
        )]
        let rate = self.per_second.map_or(ROUND, |rate| rate.clamp(1.0, 1_000.0) as usize);
        rate.min(ROUND)
    }
}

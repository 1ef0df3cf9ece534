//! Asks providers about messages in doubt: look-ups, replays and lists, a few at a time for each route, beside the lanes
//! and never in their way.
//!
//! What is asked next is decided in [`super::ladder`], what an answer leads to in [`super::settle`]. Whatever was asked is
//! in the store; a replay is there before it leaves.

mod due;
mod verdicts;
mod watch;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::{self, FuturesUnordered};
use tokio_util::sync::CancellationToken;

use crate::model::clock::{Clock, Moment, Timestamp};
use crate::model::doubt::{Ask, Rung};
use crate::model::ids::MessageId;
use crate::model::message::RetryPolicy;
use crate::model::outcome::{Outcome, OutcomeClass, Proof};
use crate::model::suppression::Reason;
use crate::provider::{Adapter, Found, Submission, Transport};
use crate::store::inquiries::Open;
use crate::store::suppressions::{EVERY_SENDER, NewSuppression};
use crate::store::{Store, StoreError};

use super::ladder::{Ladder, Step};
use super::permits::Permits;
use super::submission::submission;

use due::{Question, Rounds};
use verdicts::Verdicts;

/// How often is looked for messages to ask about.
const PERIOD: Duration = Duration::from_secs(1);

/// Questions under way at once on one route.
pub const IN_FLIGHT: usize = 4;

/// A replay whose permits are older than this does not leave: it would go beside those of the next seconds.
const REPLAY_DEADLINE: Duration = Duration::from_secs(2);

/// Most questions for one route in a round; less where its account is slower.
const ROUND: usize = 32;

/// A provider that needs longer to say that it has nothing may have the message in front of itself, unread.
const PROMPT: Duration = Duration::from_secs(5);

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

/// What came of one question.
enum Told {
    /// The provider has these, which could be the message.
    Found(Ask, Vec<Found>),
    /// It did not answer, or said nothing that says anything.
    Silence(String),
    /// A replay was answered as accepted.
    Accepted(Outcome),
    /// A replay ended otherwise; whether the provider answered it.
    Replayed { answered: bool, detail: String },
    /// Nothing was asked.
    Skipped,
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

    /// Asks everything that is due now, once; for tests.
    ///
    /// # Errors
    /// When the store cannot be used.
    pub async fn once(&self) -> Result<(), StoreError> {
        let due = self.due(&mut Rounds::default(), &HashSet::new()).await?;
        for (route, questions) in due {
            self.ask(&route, questions).await?;
        }
        Ok(())
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
                match answer {
                    Ok(found) if found.is_empty() && took > PROMPT => {
                        let detail = "the provider has nothing, after so long a time that it proves nothing";
                        Told::Silence(detail.to_owned())
                    }
                    Ok(found) => Told::Found(ask, found),
                    Err(error) => Told::Silence(error.to_string()),
                }
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
        let dead = matches!(step, Step::Replay(_, until) if self.latest(found) >= until);
        let late = dead || self.clock.elapsed().saturating_sub(asked) > REPLAY_DEADLINE;
        if late || !stopped.is_empty() || self.lost.is_cancelled() {
            let detail = "a replay was withheld before its first byte".to_owned();
            return Ok(Told::Replayed { answered: false, detail });
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
        Ok(match outcome {
            Some(outcome) if outcome.class == OutcomeClass::Accepted => Told::Accepted(outcome),
            outcome => {
                let class = outcome.as_ref().map_or("nothing", |outcome| outcome.class.as_str());
                // Everything but a refusal says that the provider was not asked, or does not say.
                let answered = outcome.as_ref().is_some_and(|one| one.class.proof() == Proof::Refused);
                Told::Replayed { answered, detail: format!("a replay was answered as {class}") }
            }
        })
    }

    /// How late it may be at most, whatever was done to the clock since an earlier look at it.
    fn latest(&self, then: Moment) -> Timestamp {
        let now = self.clock.moment();
        now.wall.max(then.wall.plus(now.elapsed.saturating_sub(then.elapsed)))
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
        let listed = |told: &Told| matches!(told, Told::Found(ask, _) if ask.rung == Rung::List);
        let ids = told.iter().filter(|(_, told)| listed(told)).flat_map(|(_, told)| match told {
            Told::Found(_, found) => found.as_slice(),
            _ => &[],
        });
        let ids: HashSet<&str> = ids.map(|one| one.provider_id.as_str()).collect();
        let messages: Vec<MessageId> = told.iter().map(|(open, _)| open.message.id).collect();
        let mut bound = batch.bound(route, &ids, &messages).await?;
        let several = told.iter().filter(|(_, told)| listed(told) && told.copies() > 1);
        let alike = batch.alike(&several.map(|(open, _)| open.message.id).collect::<Vec<_>>()).await?;
        let mut verdicts = Verdicts::new(self, retry, &alike);
        for (open, told) in &told {
            verdicts.judge(open, told, &mut bound);
        }
        let Verdicts { notes, settlements, reopened, .. } = verdicts;
        batch.note(&notes).await?;
        batch.reopen(&reopened.into_iter().collect::<Vec<_>>()).await?;
        batch.settle(route, &settlements, self.clock.now()).await?;
        batch.commit().await?;
        if !settlements.is_empty() {
            tracing::info!(route, messages = settlements.len(), "in doubt no more: the provider was asked");
        }
        Ok(())
    }
}

impl Told {
    /// How many the provider has.
    fn copies(&self) -> usize {
        if let Self::Found(_, found) = self { found.len() } else { 0 }
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

//! Asks providers about messages in doubt: look-ups, replays and lists, a few at a time for each route, beside the lanes
//! and never in their way.
//!
//! What is asked next is decided in [`super::ladder`], what an answer leads to in [`super::settle`]. Whatever was asked is
//! in the store; a replay is there before it leaves.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::{self, FuturesUnordered};
use rand::SeedableRng as _;
use rand::rngs::StdRng;
use tokio_util::sync::CancellationToken;

use crate::model::clock::Clock;
use crate::model::doubt::{Ask, Finding, Rung};
use crate::model::ids::{MessageId, RunId};
use crate::model::message::{RetryPolicy, Settlement};
use crate::model::outcome::{Outcome, OutcomeClass};
use crate::provider::{Adapter, Found, Submission, Transport};
use crate::store::inquiries::{Note, Open};
use crate::store::{Store, StoreError};

use super::ladder::{Ladder, Step, next};
use super::lane::LONGEST_VALIDITY;
use super::permits::Permits;
use super::settle::settle;

/// How often is looked for messages to ask about.
const PERIOD: Duration = Duration::from_secs(1);

/// Questions under way at once on one route.
pub const IN_FLIGHT: usize = 4;

/// Most questions for one route in a round; less where its account is slower.
const ROUND: usize = 32;

/// Messages read at once, and how often in a round.
const PAGE: i64 = 500;
const PAGES: usize = 4;

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

/// Where the last round ended.
type Cursor = (RunId, MessageId);

/// What came of one question.
enum Told {
    /// The provider has these, which could be the message.
    Found(Ask, Vec<Found>),
    /// A replay was answered as accepted.
    Accepted(Outcome),
    /// No answer that says anything. A replay is noted already.
    NoAnswer { looked: bool, detail: String },
    /// Nothing was asked.
    Skipped,
}

impl Inquirer {
    /// Asks until `stop`. Errors are told and the next round tries again.
    pub async fn run(self, stop: CancellationToken) {
        if self.routes.is_empty() {
            return stop.cancelled().await;
        }
        let (mut busy, mut cursor) = (HashSet::new(), (RunId(0), MessageId(0)));
        let mut under_way = FuturesUnordered::new();
        let mut tick = tokio::time::interval(PERIOD);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.lost.cancelled() => return,
                Some(route) = under_way.next() => {
                    busy.remove(&route);
                }
                _ = tick.tick() => match self.due(&mut cursor, &busy).await {
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
        let due = self.due(&mut (RunId(0), MessageId(0)), &HashSet::new()).await?;
        for (route, questions) in due {
            self.ask(&route, questions).await?;
        }
        Ok(())
    }

    /// Questions that are due, by route; a route that is busy gets none.
    async fn due(
        &self,
        cursor: &mut Cursor,
        busy: &HashSet<String>,
    ) -> Result<BTreeMap<String, Vec<(Open, Step)>>, StoreError> {
        let mut due: BTreeMap<String, Vec<(Open, Step)>> = BTreeMap::new();
        for _ in 0..PAGES {
            let page = self.store.open_doubts(*cursor, PAGE).await?;
            let full = i64::try_from(page.len()).is_ok_and(|read| read == PAGE);
            for open in page {
                *cursor = (open.message.run, open.message.id);
                let route = &open.standing.route;
                let Some(respondent) = self.routes.get(route).filter(|_| !busy.contains(route)) else {
                    continue;
                };
                let now = self.clock.now();
                let step = self.ladder.means.get(route).and_then(|means| next(means, &open.standing, now));
                let Some(step) = step.filter(|step| step.due() <= now) else { continue };
                let questions = due.entry(route.clone()).or_default();
                if questions.len() < respondent.round() {
                    questions.push((open, step));
                }
            }
            if !full {
                *cursor = (RunId(0), MessageId(0));
                break;
            }
        }
        Ok(due)
    }

    async fn round(&self, route: String, questions: Vec<(Open, Step)>) -> String {
        if let Err(error) = self.ask(&route, questions).await {
            tracing::error!(route, %error, "what a provider said about messages in doubt could not be written");
        }
        route
    }

    /// Asks about messages of one route and writes what came of it.
    async fn ask(&self, route: &str, questions: Vec<(Open, Step)>) -> Result<(), StoreError> {
        let Some(respondent) = self.routes.get(route) else { return Ok(()) };
        let asked = questions.into_iter().map(|(open, step)| self.one(respondent, open, step));
        let told: Vec<(Open, Told)> = stream::iter(asked).buffer_unordered(IN_FLIGHT).collect().await;
        self.write(route, &respondent.retry, told).await
    }

    async fn one(&self, respondent: &Respondent, open: Open, step: Step) -> (Open, Told) {
        let submission = self.submission(respondent, &open);
        let told = match step {
            Step::Look(ask, _) => {
                let (adapter, transport) = (&respondent.adapter, &respondent.transport);
                match adapter.look_up(transport, &submission, open.standing.intent_at).await {
                    Ok(found) => Told::Found(ask, found),
                    Err(error) => Told::NoAnswer { looked: true, detail: error.to_string() },
                }
            }
            Step::Replay(..) => match self.replay(respondent, &open, step, submission).await {
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
        step: Step,
        submission: Submission,
    ) -> Result<Told, StoreError> {
        let message = &open.message;
        if !self.store.may_replay(open, self.clock.now()).await?
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
        let late = matches!(step, Step::Replay(_, until) if self.clock.now() >= until);
        if late || !stopped.is_empty() || self.lost.is_cancelled() {
            let detail = "a replay was withheld before its first byte".to_owned();
            return Ok(Told::NoAnswer { looked: false, detail });
        }
        let sent = respondent.adapter.submit(&respondent.transport, &[submission], self.clock.now()).await;
        let outcome = sent.outcomes.into_iter().next();
        Ok(match outcome {
            Some(outcome) if outcome.class == OutcomeClass::Accepted => Told::Accepted(outcome),
            outcome => {
                let class = outcome.as_ref().map_or("nothing", |outcome| outcome.class.as_str());
                Told::NoAnswer { looked: false, detail: format!("a replay was answered as {class}") }
            }
        })
    }

    /// The message as it went out, but for what depends on time.
    fn submission(&self, respondent: &Respondent, open: &Open) -> Submission {
        let (message, reference) = (&open.message, open.reference.clone());
        let callback_url =
            self.public_url.as_deref().and_then(|url| respondent.adapter.callback_url(url, &reference));
        Submission {
            callback_url,
            reference,
            to: message.phone,
            sender: message.sender.clone(),
            text: message.body.clone(),
            encoding: message.encoding,
            parts: message.parts,
            validity: Some(message.expires_at.since(self.clock.now()).min(LONGEST_VALIDITY)),
        }
    }

    /// Writes what providers said, and what follows from it, in one transaction.
    async fn write(
        &self,
        route: &str,
        retry: &RetryPolicy,
        told: Vec<(Open, Told)>,
    ) -> Result<(), StoreError> {
        if told.iter().all(|(_, told)| matches!(told, Told::Skipped)) {
            return Ok(());
        }
        let mut batch = self.store.batch().await?;
        let ids = told.iter().flat_map(|(_, told)| match told {
            Told::Found(ask, found) if ask.rung == Rung::List => found.as_slice(),
            _ => &[],
        });
        let ids: HashSet<&str> = ids.map(|one| one.provider_id.as_str()).collect();
        let messages: Vec<MessageId> = told.iter().map(|(open, _)| open.message.id).collect();
        let mut bound = batch.bound(route, &ids, &messages).await?;
        let mut verdicts = Verdicts::new(self, retry);
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

/// What follows from what providers said.
struct Verdicts<'a> {
    inquirer: &'a Inquirer,
    retry: &'a RetryPolicy,
    rng: StdRng,
    notes: Vec<Note>,
    settlements: Vec<Settlement>,
    /// Runs that have something to send again.
    reopened: BTreeMap<i64, &'static str>,
}

impl<'a> Verdicts<'a> {
    fn new(inquirer: &'a Inquirer, retry: &'a RetryPolicy) -> Self {
        let rng = StdRng::seed_from_u64(inquirer.seed);
        let (notes, settlements, reopened) = (Vec::new(), Vec::new(), BTreeMap::new());
        Self { inquirer, retry, rng, notes, settlements, reopened }
    }

    /// Judges one answer. `bound` says which attempts have which ids; a message that gets one is added.
    fn judge(&mut self, open: &Open, told: &Told, bound: &mut HashMap<String, (i64, i64)>) {
        let own = (open.message.id.0, open.standing.number);
        match told {
            Told::Skipped => {}
            Told::Accepted(outcome) => self.settle(open, outcome.clone(), self.retry.attempts),
            Told::NoAnswer { looked, detail } => {
                self.note(open, *looked, Some(Finding::NoAnswer), detail.clone());
            }
            Told::Found(ask, found) => {
                let free = |one: &&Found| bound.get(&one.provider_id).is_none_or(|whose| *whose == own);
                let found: Vec<&Found> = found.iter().filter(free).collect();
                let finding = match found.len() {
                    0 if ask.authoritative => None,
                    0 => Some(Finding::Nothing),
                    1 => None,
                    _ => Some(Finding::Twice),
                };
                self.note(open, true, finding, words(ask, found.len()));
                match found.first() {
                    None if ask.authoritative => self.not_taken(open),
                    // Of two with our reference both are ours; of two that look alike nobody knows.
                    Some(first) if found.len() == 1 || ask.rung == Rung::Lookup => {
                        bound.insert(first.provider_id.clone(), own);
                        let why = format!("found at the provider by {}", by(ask));
                        let outcome = Outcome::of(OutcomeClass::Accepted).because(why);
                        let outcome = Outcome { provider_id: Some(first.provider_id.clone()), ..outcome };
                        self.settle(open, outcome, self.retry.attempts);
                    }
                    _ => {}
                }
                if found.len() > 1 {
                    tracing::error!(
                        message = open.message.id.0,
                        copies = found.len(),
                        "the provider has this text more than once: a duplicate has happened"
                    );
                }
            }
        }
    }

    /// It goes out again, unless its run or its time is over.
    fn not_taken(&mut self, open: &Open) {
        let why = "the provider was asked and has no such message";
        let outcome = Outcome::of(OutcomeClass::Unavailable).because(why);
        let late = open.message.expires_at <= self.inquirer.clock.now();
        match open.run_state.after_resend().filter(|_| !late) {
            Some(state) => {
                self.reopened.insert(open.message.run.0, state.as_str());
                self.settle(open, outcome, self.retry.attempts);
            }
            None => self.settle(open, outcome, 0),
        }
    }

    fn settle(&mut self, open: &Open, outcome: Outcome, attempts: u32) {
        let policy = RetryPolicy { attempts, ..*self.retry };
        let now = self.inquirer.clock.now();
        match settle(&open.message, open.standing.number, outcome, &policy, now, &mut self.rng) {
            Ok(settlement) => self.settlements.push(settlement),
            Err(error) => tracing::error!(message = open.message.id.0, %error, "an answer leads nowhere"),
        }
    }

    fn note(&mut self, open: &Open, looked: bool, finding: Option<Finding>, detail: String) {
        self.notes.push(Note {
            message: open.message.id,
            number: open.standing.number,
            looked_at: looked.then(|| self.inquirer.clock.now()),
            replayed_at: None,
            finding,
            detail: Some(detail),
        });
    }
}

fn by(ask: &Ask) -> &'static str {
    if ask.rung == Rung::Lookup { "our reference" } else { "recipient, text and time" }
}

fn words(ask: &Ask, found: usize) -> String {
    let by = by(ask);
    match found {
        0 if ask.authoritative => {
            format!("the provider has nothing by {by}, which proves that it took nothing")
        }
        0 => format!("the provider has nothing by {by}, which proves nothing"),
        1 => format!("the provider has it by {by}"),
        _ => format!("the provider has it {found} times by {by}: a duplicate has happened"),
    }
}

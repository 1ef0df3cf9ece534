//! The running stream of one route: moves bytes and rows for the decisions of [`LaneCore`], in batches.
//!
//! It decides nothing itself. Every answer of the writer and of the wire becomes an event; every effect becomes a
//! request to one of them.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::StreamExt as _;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use rand::SeedableRng as _;
use rand::rngs::StdRng;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::model::clock::{Clock, Timestamp};
use crate::model::ids::{MessageId, RunId};
use crate::model::message::{Claimed, Full, Intent, Settlement};
use crate::model::outcome::{Outcome, OutcomeClass};
use crate::model::run::RunState;
use crate::provider::{Adapter, Submission, Transport};
use crate::store::claims::ClaimRequest;
use crate::store::writer::{Done, Work, WriteError, Writer};
use crate::store::{MOST_ROWS, Store};
use crate::telemetry::metrics::LaneMetrics;
use crate::telemetry::{Metrics, fault};

use super::bell::Bell;
use super::permits::{Loan, Permits};
use super::settle::unsent;
use super::submission::submission;

use super::core::{Answer, Effect, Event, LaneConfig, LaneCore};

/// How long a claim holds without being renewed.
const CLAIM_LEASE: Duration = Duration::from_secs(30);

/// Wait before outcomes and releases that could not be written are written again.
const WRITE_AGAIN: Duration = Duration::from_millis(500);

/// Answers taken from the wire in one go.
const ANSWERS_AT_ONCE: usize = 512;

/// How long the answer that comes first waits for others: looked at one by one, each wakes the lane, the writer and
/// whoever waits for it.
const GATHER: Duration = Duration::from_millis(1);

/// How often the store is asked whether a number whose message waits for its place on the wire was suppressed.
const LOOK_FOR_STOPS: Duration = Duration::from_millis(250);

/// What every lane of a process shares.
#[derive(Clone)]
pub struct LaneContext {
    /// The store, for the rare changes that are not a lane's own.
    pub store: Store,
    /// The writer.
    pub writer: Writer,
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// The metrics.
    pub metrics: Arc<Metrics>,
    /// This process, among others that may work on the store.
    pub owner: String,
    /// Where providers call back.
    pub public_url: Option<String>,
    /// Rung when there may be new work.
    pub bell: Bell,
    /// Cancelled when the store may be another process's: nothing goes to the wire from then on.
    pub lost: CancellationToken,
}

/// One lane, ready to run.
pub struct Lane {
    context: LaneContext,
    route: String,
    adapter: Arc<Adapter>,
    transport: Transport,
    core: LaneCore,
    metrics: Arc<LaneMetrics>,
    rng: StdRng,
    permits: (Permits, mpsc::Receiver<Loan>),
}

type Pending = FuturesUnordered<BoxFuture<'static, Option<Event>>>;

impl Lane {
    /// A lane for `route`; `seed` feeds the jitter of its retries.
    pub fn new(
        context: LaneContext,
        route: &str,
        adapter: Arc<Adapter>,
        transport: Transport,
        config: LaneConfig,
        seed: u64,
    ) -> Self {
        let core = LaneCore::new(config);
        let metrics = Arc::new(context.metrics.lane(route, OutcomeClass::ALL.map(OutcomeClass::as_str)));
        let (rng, permits) = (StdRng::seed_from_u64(seed), Permits::new());
        Self { context, route: route.to_owned(), adapter, transport, core, metrics, rng, permits }
    }

    /// Its permits, for whoever else sends on its route.
    pub fn permits(&self) -> Permits {
        self.permits.0.clone()
    }

    /// Runs until `stop`, then finishes what is under way and gives the rest back.
    pub async fn run(mut self, stop: CancellationToken) {
        let (answers, mut answered) = mpsc::unbounded_channel::<(MessageId, Answer)>();
        let mut pending = Pending::new();
        let mut health = self.context.writer.health();
        let mut suppressed = self.context.writer.suppressed();
        let mut look = tokio::time::interval(LOOK_FOR_STOPS);
        look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut ear = self.context.bell.ear(&self.route);
        let mut arrived = Vec::with_capacity(ANSWERS_AT_ONCE);
        let lost = self.context.lost.clone();
        let (mut draining, mut gone) = (false, false);
        let mut wake = self.handle(Event::Wake, &answers, &mut pending);
        while !(wake.drained && pending.is_empty()) {
            let timer = wake.at.saturating_sub(self.context.clock.elapsed());
            let event = tokio::select! {
                biased;
                // Before the stop that follows from it.
                () = lost.cancelled(), if !gone => {
                    (draining, gone) = (true, true);
                    Event::HoldLost
                }
                () = stop.cancelled(), if !draining => {
                    draining = true;
                    Event::Drain
                }
                told = suppressed.recv() => match told {
                    Ok((phone, scope)) => Event::Suppressed(vec![(phone, scope.to_owned())]),
                    // Too many to follow: whatever has not left is taken back and asks for its intent again.
                    Err(_) => Event::Suppressed(self.core.before_the_wire()),
                },
                Some(loan) = self.permits.1.recv() => {
                    let now = self.context.clock.moment();
                    // Who asked may be gone.
                    let _ = loan.reply.send(self.core.lend(loan.parts, &loan.sender, &loan.country, now));
                    continue;
                }
                _ = look.tick(), if self.core.under_way() > 0 => {
                    pending.extend(self.look_for_stops());
                    continue;
                }
                Ok(()) = health.changed() => Event::StoreHealth(*health.borrow_and_update()),
                _ = answered.recv_many(&mut arrived, ANSWERS_AT_ONCE) => {
                    tokio::time::sleep(GATHER).await;
                    gather(&mut answered, &mut arrived);
                    Event::Answered(std::mem::take(&mut arrived))
                }
                Some(done) = pending.next() => match done {
                    Some(event) => event,
                    None => Event::Tick,
                },
                () = ear.heard(), if !draining => Event::Wake,
                () = tokio::time::sleep(timer) => Event::Tick,
            };
            let next = self.handle(event, &answers, &mut pending);
            wake = Wake { at: next.at, drained: wake.drained || next.drained };
        }
        tracing::info!(route = self.route, "lane stopped");
    }

    /// One step of the core, and its effects set in motion.
    fn handle(
        &mut self,
        event: Event,
        answers: &mpsc::UnboundedSender<(MessageId, Answer)>,
        pending: &mut Pending,
    ) -> Wake {
        let now = self.context.clock.moment();
        let mut wake = Wake { at: now.elapsed + Duration::from_secs(1), drained: false };
        for effect in self.core.step(event, now, &mut self.rng) {
            match effect {
                Effect::Claim(limit, full) => pending.push(self.claim(limit, full)),
                Effect::Intend(intents) => pending.push(self.intend(intents)),
                Effect::Submit { messages, deadline } => {
                    self.submit(&messages, deadline, now.wall, answers.clone());
                }
                Effect::Settle(settlements) => pending.push(self.settle(settlements)),
                Effect::Release(held) => pending.push(self.write_until_done(Work::Release(held))),
                Effect::Postpone(held) => pending.push(self.write_until_done(Work::Postpone(held))),
                Effect::PauseRun(run) => pending.push(self.pause_run(run)),
                Effect::WakeAt(at) => wake.at = at,
                Effect::Drained => wake.drained = true,
            }
        }
        self.show();
        wake
    }

    /// Asks the store about the numbers of messages between intent and wire: a command or another process suppresses
    /// without this one's writer.
    fn look_for_stops(&self) -> Option<BoxFuture<'static, Option<Event>>> {
        let waiting = self.core.before_the_wire();
        if waiting.is_empty() {
            return None;
        }
        let store = self.context.store.clone();
        Some(Box::pin(async move {
            let mut stopped = Vec::new();
            for some in waiting.chunks(MOST_ROWS) {
                // A store that does not answer grants no intents either; what has one goes by its deadline.
                let asked = tokio::time::timeout(LOOK_FOR_STOPS * 2, store.suppressed_among(some)).await;
                stopped.extend(asked.ok().and_then(Result::ok).unwrap_or_default());
            }
            (!stopped.is_empty()).then_some(Event::Suppressed(stopped))
        }))
    }

    fn claim(&self, limit: usize, full: Full) -> BoxFuture<'static, Option<Event>> {
        let (writer, route) = (self.context.writer.clone(), self.route.clone());
        let lease_until = self.context.clock.now().plus(CLAIM_LEASE);
        let owner = self.context.owner.clone();
        Box::pin(async move {
            let request = ClaimRequest { route, owner, lease_until, limit, full };
            Some(match writer.write(Work::Claim(request)).await {
                Ok(Done::Claimed(messages)) => Event::Claimed(messages),
                _ => Event::ClaimFailed,
            })
        })
    }

    fn intend(&self, intents: Vec<Intent>) -> BoxFuture<'static, Option<Event>> {
        let (writer, route, owner) =
            (self.context.writer.clone(), self.route.clone(), self.context.owner.clone());
        let now = self.context.clock.now();
        Box::pin(async move {
            let messages: Vec<MessageId> = intents.iter().map(|intent| intent.message).collect();
            let mut withheld = Vec::with_capacity(intents.len());
            for intent in &intents {
                match unsent(intent, now) {
                    Ok(settlement) => withheld.push(settlement),
                    // Its lease ends, and it is in doubt then.
                    Err(error) => {
                        tracing::error!(message = intent.message.0, %error, "an intent that is not sent leads nowhere");
                    }
                }
            }
            let work = Work::Intend { route: route.clone(), owner, intents };
            Some(match writer.write(work).await {
                Ok(Done::Intended(answer)) => {
                    Event::Intended { granted: answer.granted, refused: answer.refused }
                }
                answer => {
                    // The intents may be on disk and only the answer lost; then nobody else would ever settle them.
                    if matches!(answer, Err(WriteError::Store(_))) {
                        until_done(&writer, Work::Unsent { route, settlements: withheld }).await;
                    }
                    Event::IntendFailed(messages)
                }
            })
        })
    }

    /// Outcomes are kept and written again until they are on disk: what the wire said must not be forgotten.
    fn settle(&self, settlements: Vec<Settlement>) -> BoxFuture<'static, Option<Event>> {
        self.write_until_done(Work::Settle { route: self.route.clone(), settlements })
    }

    /// Writes something that must not get lost, as often as it takes. A message that a lane lets go while the store
    /// is away would otherwise be nobody's until its lease ends.
    fn write_until_done(&self, work: Work) -> BoxFuture<'static, Option<Event>> {
        let writer = self.context.writer.clone();
        Box::pin(async move {
            until_done(&writer, work).await;
            None
        })
    }

    fn pause_run(&self, id: RunId) -> BoxFuture<'static, Option<Event>> {
        let (store, now) = (self.context.store.clone(), self.context.clock.now());
        Box::pin(async move {
            // Answers to what was on the wire may come after the pause.
            if let Ok(Some(run)) = store.run(id).await
                && run.state == RunState::Running
                && let Err(error) = store.set_run_state(&run, RunState::Paused, now).await
            {
                tracing::error!(run = id.0, %error, "the run could not be paused");
            }
            None
        })
    }

    /// Puts one request on the wire in a task of its own.
    fn submit(
        &self,
        messages: &[(Arc<Claimed>, i64)],
        deadline: Duration,
        now: Timestamp,
        answers: mpsc::UnboundedSender<(MessageId, Answer)>,
    ) {
        let (adapter, transport) = (Arc::clone(&self.adapter), self.transport.clone());
        let (clock, metrics) = (Arc::clone(&self.context.clock), Arc::clone(&self.metrics));
        let lost = self.context.lost.clone();
        let (ids, submissions): (Vec<_>, Vec<_>) = messages
            .iter()
            .map(|(message, number)| (message.id, self.submission(message, *number, now)))
            .unzip();
        let exchange = async move {
            let started = clock.elapsed();
            if started >= deadline || lost.is_cancelled() {
                return vec![Answer::TooLate; submissions.len()];
            }
            fault::point("before-wire");
            let sent = adapter.submit(&transport, &submissions, clock.now()).await;
            fault::point("after-wire");
            let took = clock.elapsed().saturating_sub(started);
            metrics.answer_seconds.observe(took.as_secs_f64());
            for (outcome, submission) in sent.outcomes.iter().zip(&submissions).filter(|_| !sent.together) {
                metrics.outcome(outcome.class.as_str());
                if outcome.class == OutcomeClass::Accepted {
                    metrics.parts.inc_by(u64::from(submission.parts));
                }
            }
            let answer = if sent.together { Answer::Together } else { Answer::Outcome };
            sent.outcomes.into_iter().map(answer).collect()
        };
        tokio::spawn(async move {
            for answer in answered(ids, exchange).await {
                // The lane is gone only when the process ends; the boot sweep then finds the open attempt.
                let _ = answers.send(answer);
            }
        });
    }

    fn submission(&self, message: &Claimed, number: i64, now: Timestamp) -> Submission {
        let reference = crate::model::reference::compose(self.context.store.tag(), message.id, number);
        submission(&self.adapter, self.context.public_url.as_deref(), message, reference, now)
    }

    fn show(&self) {
        let (picture, metrics) = (self.core.picture(), &self.metrics);
        match (metrics.breaker_open.get() != 0, picture.broken) {
            (false, true) => tracing::warn!(
                route = self.route,
                "the provider is unwell: nothing is sent but single messages that try, until one is taken"
            ),
            (true, false) => {
                tracing::warn!(route = self.route, "the provider is well again; sending goes on");
            }
            _ => {}
        }
        metrics.under_way.set(i64::try_from(picture.under_way).unwrap_or(i64::MAX));
        metrics.on_wire.set(i64::try_from(picture.on_wire).unwrap_or(i64::MAX));
        metrics.rate_share.set(picture.rate_share);
        metrics.breaker_open.set(i64::from(picture.broken));
        let now = self.context.clock.moment();
        let left = picture.held_until.saturating_sub(now.elapsed);
        metrics.next_try.set(if left.is_zero() { 0 } else { now.wall.plus(left).0 / 1_000 });
        self.context.metrics.store_writable.set(i64::from(picture.healthy));
    }
}

/// Adds what has come meanwhile.
fn gather(
    answered: &mut mpsc::UnboundedReceiver<(MessageId, Answer)>,
    arrived: &mut Vec<(MessageId, Answer)>,
) {
    while arrived.len() < ANSWERS_AT_ONCE {
        let Ok(answer) = answered.try_recv() else { return };
        arrived.push(answer);
    }
}

async fn until_done(writer: &Writer, work: Work) {
    while let Err(WriteError::Store(_)) = writer.write(work.clone()).await {
        tokio::time::sleep(WRITE_AGAIN).await;
    }
}

/// The answer for each message of a request. An exchange that panics has said nothing of what it did before: its
/// messages are in doubt, rather than on the wire for ever.
async fn answered(
    ids: Vec<MessageId>,
    exchange: impl Future<Output = Vec<Answer>>,
) -> Vec<(MessageId, Answer)> {
    // Nothing that it shares with others is left half changed: it reads, and counts by atomics.
    let answers = AssertUnwindSafe(exchange).catch_unwind().await.unwrap_or_else(|_| {
        tracing::error!(messages = ids.len(), "a submission broke off");
        let outcome = Outcome::of(OutcomeClass::Unknown).because("the submission broke off inside winback");
        vec![Answer::Outcome(outcome); ids.len()]
    });
    ids.into_iter().zip(answers).collect()
}

#[derive(Clone, Copy)]
struct Wake {
    at: Duration,
    drained: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_submission_that_panics_leaves_its_messages_in_doubt() {
        let ids = vec![MessageId(1), MessageId(2)];
        let answers = answered(ids, async { panic!("on purpose") }).await;
        let [(first, Answer::Outcome(one)), (second, Answer::Outcome(two))] = &answers[..] else {
            panic!("{answers:?}")
        };
        assert_eq!([*first, *second], [MessageId(1), MessageId(2)]);
        assert_eq!([one.class, two.class], [OutcomeClass::Unknown; 2]);
    }
}

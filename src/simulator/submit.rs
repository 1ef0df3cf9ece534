//! One submission from its bytes to a decision that has been carried out: checked, limited, decided, in the ledger.
//!
//! It never touches a socket: how the decision is shown to the client is the server's business.

use std::borrow::Cow;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::behaviour::{Answer, Behaviour, Decision};
use super::callbacks::{Inbox, Job, ReplyToSend, What};
use super::ledger::{Entry, LedgerError, Writer};
use super::lookup::{Known, Lookup};
use super::post::message_id;
use super::stats::{Room, Stats};
use super::target::{Target, Targets};
use super::throttle::Throttle;
use super::wire::{FoundMessage, Submission};
use super::{SimulatorConfig, parts, sign};
use crate::model::clock::Clock;
use crate::model::phone::Phone;

/// References and senders longer than this are refused, so that what is kept of a message stays small.
const LONGEST_NAME: usize = 256;

/// The part of the provider that decides and remembers.
pub(super) struct Desk {
    behaviour: Behaviour,
    parts_per_message: u32,
    retry_after: Duration,
    throttle: Option<Mutex<Throttle>>,
    targets: Targets,
    inbound: Option<Arc<Target>>,
    lookup: Arc<Lookup>,
    writer: Writer<Accepted>,
    pending_limit: u64,
    next: AtomicU64,
    boot: String,
    started: Instant,
    clock: Arc<dyn Clock>,
    stats: Arc<Stats>,
}

/// What is done with a message once its entry is durable.
#[derive(Debug)]
struct Accepted {
    parts: u32,
    jobs: Vec<Job>,
    room: Room,
    known: Option<(Box<str>, Known)>,
}

/// How a submission ended.
#[derive(Debug)]
pub(super) enum Verdict {
    /// As decided; the id is there when it was accepted.
    Decided(Decision, Option<String>),
    /// Above the rate; the client may come back after this time.
    Throttled(Duration),
    /// Not well-formed, and why.
    Malformed(Cow<'static, str>),
    /// A number that is not one, a text that is empty or too long.
    Refused(Answer),
    /// Nothing can be accepted now; the word says why.
    Unavailable(&'static str),
}

impl Desk {
    /// Opens the ledger.
    ///
    /// # Errors
    /// When the ledger cannot be opened.
    pub(super) fn open(
        config: &SimulatorConfig,
        boot: String,
        started: Instant,
        clock: Arc<dyn Clock>,
        inbox: Arc<Inbox>,
        stats: Arc<Stats>,
    ) -> Result<Self, LedgerError> {
        let lookup = Arc::new(Lookup::new(config.limits.remembered));
        let settle = settle(lookup.clone(), inbox, stats.clone());
        let writer = Writer::open(&config.ledger, config.sync, settle)?;
        let throttle =
            config.parts_per_second.map(|rate| Mutex::new(Throttle::new(rate, config.burst_parts)));
        Ok(Self {
            behaviour: Behaviour::new(config),
            parts_per_message: config.parts_per_message,
            retry_after: config.failures.retry_after,
            throttle,
            targets: Targets::new(config.receipts.url.as_deref(), config.remote_callbacks),
            inbound: config.replies.url.as_deref().map(|url| Arc::new(Target::whole(url))),
            lookup,
            writer,
            pending_limit: config.limits.pending as u64,
            next: AtomicU64::new(1),
            boot,
            started,
            clock,
            stats,
        })
    }

    /// Takes one submission as far as the ledger. Dropping the future does not undo an acceptance.
    pub(super) async fn submit(&self, body: &[u8]) -> Verdict {
        let submission = match serde_json::from_slice::<Submission<'_>>(body) {
            Ok(submission) => submission,
            // The position is told, the content is not: an error may reach a log.
            Err(error) => return Verdict::Malformed(format!("column {}", error.column()).into()),
        };
        if submission.reference.len() > LONGEST_NAME || submission.from.len() > LONGEST_NAME {
            return Verdict::Malformed("reference or from is too long".into());
        }
        let target = match self.targets.of(submission.callback_url.as_deref(), &submission.reference) {
            Ok(target) => target,
            Err(reason) => return Verdict::Malformed(format!("callback_url {reason}").into()),
        };
        let parts = parts::count(&submission.text);
        if let Some(wait) = self.throttled(parts) {
            return Verdict::Throttled(wait);
        }
        if Phone::from_e164(&submission.to).is_none() {
            return Verdict::Refused(Answer::BadNumber);
        }
        if submission.text.is_empty() || parts > self.parts_per_message {
            return Verdict::Refused(Answer::BadText);
        }
        let nth = self.next.fetch_add(1, Relaxed);
        let decision = self.behaviour.decide(nth);
        if !decision.accepts {
            return Verdict::Decided(decision, None);
        }
        match self.accept(nth, &submission, target, parts).await {
            Ok(id) => Verdict::Decided(decision, Some(id)),
            Err(reason) => Verdict::Unavailable(reason),
        }
    }

    /// What the remembered messages with this reference look like now.
    pub(super) fn find(&self, reference: &str) -> Vec<FoundMessage> {
        self.stats.lookups.fetch_add(1, Relaxed);
        self.lookup.find(reference, self.clock.now(), &self.behaviour)
    }

    /// What a submission throttled by share is asked to wait.
    pub(super) fn retry_after(&self) -> Duration {
        self.retry_after
    }

    /// False while the ledger cannot be written.
    pub(super) fn healthy(&self) -> bool {
        self.writer.healthy()
    }

    /// Puts what waits into the ledger and closes it; blocks until it is on the disk.
    pub(super) fn close(&self) {
        self.writer.close();
    }

    fn throttled(&self, parts: u32) -> Option<Duration> {
        let mut throttle = self.throttle.as_ref()?.lock().unwrap_or_else(PoisonError::into_inner);
        throttle.take(self.started.elapsed(), parts).err()
    }

    async fn accept(
        &self,
        nth: u64,
        submission: &Submission<'_>,
        target: Option<Arc<Target>>,
        parts: u32,
    ) -> Result<String, &'static str> {
        let entry = Entry {
            at: self.clock.now(),
            id: message_id(&self.boot, nth).into(),
            reference: Cow::Borrowed(&submission.reference),
            to: Cow::Borrowed(&submission.to),
            from: Cow::Borrowed(&submission.from),
            body_sha256: sign::sha256(submission.text.as_bytes()).into(),
            parts,
        };
        let jobs = self.callbacks(nth, &entry, target);
        let Some(room) = Stats::reserve(&self.stats, jobs.len() as u64, self.pending_limit) else {
            self.stats.backlog_full.fetch_add(1, Relaxed);
            return Err("backlog");
        };
        let known = self.lookup.remembers().then(|| remember(nth, &entry, submission));
        if self.writer.append(&entry, Accepted { parts, jobs, room, known }).await.is_err() {
            self.stats.ledger_failed.fetch_add(1, Relaxed);
            return Err("ledger");
        }
        Ok(entry.id.into_owned())
    }

    fn callbacks(&self, nth: u64, entry: &Entry<'_>, target: Option<Arc<Target>>) -> Vec<Job> {
        let fate = self.behaviour.fate(nth);
        let now = self.started.elapsed();
        let mut jobs = Vec::with_capacity(fate.steps.len() + usize::from(fate.reply.is_some()));
        if let Some(target) = target {
            jobs.extend(fate.steps.iter().map(|step| Job {
                due: now.saturating_add(step.after),
                nth,
                attempt: 0,
                what: What::Receipt {
                    target: target.clone(),
                    reference: (&*entry.reference).into(),
                    status: step.status,
                    code: step.code,
                    at: entry.at.plus(step.after),
                },
            }));
        }
        if let (Some(reply), Some(target)) = (fate.reply, &self.inbound) {
            let (from, to) = ((&*entry.to).into(), (&*entry.from).into());
            let reply_to_send = ReplyToSend { target: target.clone(), from, to, text: reply.text };
            let what = What::Reply(Box::new(reply_to_send));
            jobs.push(Job { due: now.saturating_add(reply.after), nth, attempt: 0, what });
        }
        jobs
    }
}

/// What the ledger's thread does with each durable batch: count, remember, schedule. It happens there and not in the
/// request, because a client that hangs up takes its request with it but not the message.
fn settle(lookup: Arc<Lookup>, inbox: Arc<Inbox>, stats: Arc<Stats>) -> impl FnMut(Vec<Accepted>) + Send {
    move |mut batch| {
        let parts: u64 = batch.iter().map(|accepted| u64::from(accepted.parts)).sum();
        stats.accepted.fetch_add(batch.len() as u64, Relaxed);
        stats.accepted_parts.fetch_add(parts, Relaxed);
        if lookup.remembers() {
            lookup.add(batch.iter_mut().filter_map(|accepted| accepted.known.take()));
        }
        inbox.add(batch.into_iter().flat_map(|accepted| {
            accepted.room.keep();
            accepted.jobs
        }));
    }
}

fn remember(nth: u64, entry: &Entry<'_>, submission: &Submission<'_>) -> (Box<str>, Known) {
    let known = Known {
        nth,
        id: (&*entry.id).into(),
        at: entry.at,
        to: (&*entry.to).into(),
        from: (&*entry.from).into(),
        text: (&*submission.text).into(),
    };
    ((&*entry.reference).into(), known)
}

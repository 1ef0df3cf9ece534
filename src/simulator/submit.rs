//! One submission from its bytes to a decision that has been carried out: checked, limited, decided, in the ledger.
//!
//! It never touches a socket: how the decision is shown to the client is the server's business.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::behaviour::{Answer, Behaviour, Decision, Status, Step};
use super::callbacks::{Inbox, Job, Odd, ReplyToSend, What};
use super::ledger::{Entry, LedgerError, Writer};
use super::lookup::{Known, Lookup, Repeated, Wanted};
use super::odd::{self, Shown};
use super::post::{message_id, same_id};
use super::script::{OddStep, Phase, Play, Reporting, Twist};
use super::stats::{Room, Stats};
use super::target::{Target, Targets};
use super::throttle::Throttle;
use super::wire::{FoundMessage, Report, Submission};
use super::{SimulatorConfig, parts, query, sign};
use crate::model::clock::Clock;
use crate::model::phone::Phone;

/// References and senders longer than this are refused, so that what is kept of a message stays small.
const LONGEST_NAME: usize = 256;

/// References whose repeats are counted, where answers are drawn; beyond it counting starts anew.
const COUNTED: usize = 1_000_000;

/// An answer that its receipt shall overtake is held back this long.
const OVERTAKEN: Duration = Duration::from_millis(400);

/// The part of the provider that decides and remembers.
pub(super) struct Desk {
    behaviour: Behaviour,
    play: Option<Arc<Play>>,
    /// How often each reference came; none where answers are not drawn.
    seen: Option<Mutex<HashMap<u64, u32>>>,
    parts_per_message: u32,
    retry_after: Duration,
    throttle: Option<Mutex<Throttle>>,
    targets: Targets,
    inbound: Option<Arc<Target>>,
    lookup: Arc<Lookup>,
    idempotent_for: Duration,
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
    /// Accepted before under the same key and this id; answered as it was then.
    Repeated(String),
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
        play: Option<Arc<Play>>,
        started: Instant,
        clock: Arc<dyn Clock>,
        inbox: Arc<Inbox>,
        stats: Arc<Stats>,
    ) -> Result<Self, LedgerError> {
        let continued = std::fs::metadata(&config.ledger).is_ok_and(|ledger| ledger.len() > 0);
        let lookup = Arc::new(Lookup::new(config.limits.remembered, config.lookups, continued));
        let settle = settle(lookup.clone(), inbox, stats.clone());
        let writer = Writer::open(&config.ledger, config.sync, settle)?;
        let throttle =
            config.parts_per_second.map(|rate| Mutex::new(Throttle::new(rate, config.burst_parts)));
        let behaviour = Behaviour::new(config);
        let drawn = play.is_some() || behaviour.is_random();
        Ok(Self {
            behaviour,
            play,
            seen: drawn.then(Mutex::default),
            parts_per_message: config.parts_per_message,
            retry_after: config.failures.retry_after,
            throttle,
            targets: Targets::new(config.receipts.url.as_deref(), config.remote_callbacks),
            inbound: config.replies.url.as_deref().map(|url| Arc::new(Target::whole(url))),
            lookup,
            idempotent_for: config.idempotent_for,
            writer,
            pending_limit: config.limits.pending as u64,
            next: AtomicU64::new(1),
            boot,
            started,
            clock,
            stats,
        })
    }

    /// Takes one submission as far as the ledger. Dropping the future does not undo an acceptance. A key makes the repeat of
    /// what was accepted harmless, while it lives: a restart ends all of them.
    pub(super) async fn submit(&self, body: &[u8], key: Option<&str>) -> Verdict {
        let key = key.filter(|_| !self.idempotent_for.is_zero()).map(|key| (key, sign::sha256(body)));
        if let Some((key, request)) = &key {
            match self.lookup.repeated(key, request, self.idempotent_for, self.clock.now()) {
                Repeated::New => {}
                Repeated::Same(id) => return Verdict::Repeated(id),
                Repeated::Different => {
                    return Verdict::Malformed("the key was used for another request".into());
                }
            }
        }
        match serde_json::from_slice::<Submission<'_>>(body) {
            Ok(submission) => {
                self.take(&submission, key.map(|(key, request)| (key.into(), request.into()))).await
            }
            // The position is told, the content is not: an error may reach a log.
            Err(error) => Verdict::Malformed(format!("column {}", error.column()).into()),
        }
    }

    /// Takes what was read, as [`Desk::submit`] does.
    pub(super) async fn take(&self, submission: &Submission<'_>, repeat: Option<Repeatable>) -> Verdict {
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
        let key = self.key(&submission.reference);
        let (decision, odd) = self.decide(key, target.as_ref().map(|_| submission.report));
        if !decision.accepts {
            return Verdict::Decided(decision, None);
        }
        let numbers = Numbers { nth, key, odd, same_id: self.gives_the_same_id(&decision) };
        match self.accept(numbers, submission, target, (parts, repeat)).await {
            Ok(id) => Verdict::Decided(decision, Some(id)),
            Err(reason) => Verdict::Unavailable(reason),
        }
    }

    /// What an answer with this fault looks like to a submission that got `id`.
    pub(super) fn show(&self, fault: usize, id: &str) -> Option<Shown> {
        let (kind, _) = self.play.as_ref()?.script.answering(fault)?;
        Some(odd::show(kind, id, &same_id(&self.boot), self.clock.now()))
    }

    /// What the remembered messages look like now; none if it cannot be known whether there is one.
    pub(super) fn find(&self, wanted: Wanted<'_>) -> Option<Vec<FoundMessage>> {
        self.stats.lookups.fetch_add(1, Relaxed);
        self.lookup.find(wanted, self.clock.now(), &self.behaviour)
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

    /// What the draws for this submission start from.
    fn key(&self, reference: &str) -> u64 {
        let Some(seen) = &self.seen else { return Behaviour::key(reference, 0) };
        let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.len() >= COUNTED {
            seen.clear();
        }
        let times = seen.entry(Behaviour::key(reference, 0)).or_default();
        *times += 1;
        Behaviour::key(reference, *times - 1)
    }

    /// The decision, and which fault the receipts have, if there are any: the script's word comes first.
    fn decide(&self, key: u64, report: Option<Report>) -> (Decision, Option<usize>) {
        let mut decision = self.behaviour.decide(key);
        let Some(play) = &self.play else { return (decision, None) };
        let phase: &Phase = play.phase(self.started.elapsed());
        if let Some(curve) = phase.latency {
            decision.latency = self.behaviour.latency(key, curve);
        }
        if let Some(fault) = self.behaviour.fault(key, &phase.answers, false)
            && let Some((_, accepts)) = play.script.answering(fault)
        {
            decision = Decision { accepts, answer: Answer::Scripted(fault), ..decision };
        }
        let odd = self.behaviour.fault(key, &phase.receipts, true).filter(|_| decision.accepts);
        let odd = odd.filter(|odd| shows(report, play.script.reporting(*odd)));
        if odd.and_then(|odd| play.script.reporting(odd)) == Some(Reporting::Early) {
            decision.latency = decision.latency.max(OVERTAKEN);
        }
        (decision, odd)
    }

    /// The receipts as the script wants them; none at all is a fault that is seen at once.
    fn odd_steps(&self, fault: Option<usize>, steps: &[Step]) -> Vec<OddStep> {
        let plain = || steps.iter().map(|step| OddStep { step: *step, twist: Twist::None }).collect();
        let Some((play, fault)) = self.play.as_ref().zip(fault) else { return plain() };
        let Some(reporting) = play.script.reporting(fault) else { return plain() };
        if reporting == Reporting::Never {
            play.fire(fault);
        }
        reporting.distort(steps)
    }

    fn gives_the_same_id(&self, decision: &Decision) -> bool {
        let Answer::Scripted(fault) = decision.answer else { return false };
        let fault = self.play.as_ref().and_then(|play| play.script.answering(fault));
        matches!(fault, Some((super::script::Answering::SameId, _)))
    }

    async fn accept(
        &self,
        numbers: Numbers,
        submission: &Submission<'_>,
        target: Option<Arc<Target>>,
        (parts, repeat): (u32, Option<Repeatable>),
    ) -> Result<String, &'static str> {
        let entry = Entry {
            at: self.clock.now(),
            id: message_id(&self.boot, numbers.nth).into(),
            reference: Cow::Borrowed(&submission.reference),
            to: Cow::Borrowed(&submission.to),
            from: Cow::Borrowed(&submission.from),
            body_sha256: sign::sha256(submission.text.as_bytes()).into(),
            parts,
        };
        let jobs = self.callbacks(numbers, &entry, target.map(|target| (target, submission.report)));
        let Some(room) = Stats::reserve(&self.stats, jobs.len() as u64, self.pending_limit) else {
            self.stats.backlog_full.fetch_add(1, Relaxed);
            return Err("backlog");
        };
        let known = self.lookup.remembers().then(|| remember(numbers.key, &entry, submission, repeat));
        if self.writer.append(&entry, Accepted { parts, jobs, room, known }).await.is_err() {
            self.stats.ledger_failed.fetch_add(1, Relaxed);
            return Err("ledger");
        }
        Ok(entry.id.into_owned())
    }

    fn callbacks(
        &self,
        numbers: Numbers,
        entry: &Entry<'_>,
        target: Option<(Arc<Target>, Report)>,
    ) -> Vec<Job> {
        let Numbers { nth, key, odd, same_id } = numbers;
        let fate = self.behaviour.fate(key);
        let now = self.started.elapsed();
        let mut jobs = Vec::with_capacity(fate.steps.len() + usize::from(fate.reply.is_some()));
        if let Some((target, report)) = target {
            let mut steps = self.odd_steps(odd, &fate.steps);
            steps.retain(|odd| wanted(report, odd.step.status));
            jobs.extend(steps.into_iter().map(|OddStep { step, twist }| Job {
                due: now.saturating_add(step.after),
                nth,
                attempt: 0,
                what: What::Receipt {
                    target: target.clone(),
                    report,
                    reference: match twist {
                        Twist::Stray => format!("stray-{}", entry.reference).into(),
                        _ => (&*entry.reference).into(),
                    },
                    status: step.status,
                    code: step.code,
                    at: entry.at.plus(step.after),
                    odd: Odd { twist: if same_id { Twist::SameId } else { twist }, fault: odd },
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

/// Whether the odd thing about receipts can be seen in how they travel: a filled address has no signature to forge, and
/// its sender alone knows which message it is about.
fn shows(report: Option<Report>, odd: Option<Reporting>) -> bool {
    match report {
        None => false,
        Some(Report::Signed) => true,
        Some(Report::Filled(_)) => !matches!(odd, Some(Reporting::Stray | Reporting::Foreign)),
    }
}

/// Whether the client wants to hear of this.
fn wanted(report: Report, status: Status) -> bool {
    match report {
        Report::Signed => true,
        Report::Filled(mask) => mask & query::bit(status) != 0,
    }
}

/// A key and a digest of the request that came with it.
pub(super) type Repeatable = (Box<str>, Box<str>);

/// What one submission is known by, inside.
#[derive(Clone, Copy)]
struct Numbers {
    /// Its place in the order of arrival.
    nth: u64,
    /// What its draws start from.
    key: u64,
    /// What is odd about its receipts.
    odd: Option<usize>,
    /// Whether it has the id that others have, too.
    same_id: bool,
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

fn remember(
    key: u64,
    entry: &Entry<'_>,
    submission: &Submission<'_>,
    repeat: Option<Repeatable>,
) -> (Box<str>, Known) {
    let known = Known {
        key,
        id: (&*entry.id).into(),
        at: entry.at,
        to: (&*entry.to).into(),
        from: (&*entry.from).into(),
        text: (&*submission.text).into(),
        repeat,
    };
    ((&*entry.reference).into(), known)
}

//! Receipts and customer replies: kept until they are due, posted, and repeated until the other side takes them.
//!
//! One task owns the schedule. What waits is bounded by the reservation made when the message was accepted. It never
//! decides what is reported: the schedule arrives ready-made.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use super::behaviour::Status;
use super::config::Retry;
use super::post::Poster;
use super::script::Twist;
use super::stats::Stats;
use super::target::Target;
use super::wire::Report;
use crate::model::clock::Timestamp;

/// One callback to come.
#[derive(Debug)]
pub(super) struct Job {
    /// When, as time since the simulator started.
    pub(super) due: Duration,
    /// The submission's number, which orders what is due at once.
    pub(super) nth: u64,
    /// Tries so far.
    pub(super) attempt: u8,
    pub(super) what: What,
}

/// What is posted.
#[derive(Debug)]
pub(super) enum What {
    Receipt {
        target: Arc<Target>,
        report: Report,
        reference: Box<str>,
        status: Status,
        code: Option<&'static str>,
        at: Timestamp,
        odd: Odd,
    },
    Reply(Box<ReplyToSend>),
}

/// What a script makes of a receipt.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Odd {
    pub(super) twist: Twist,
    /// The fault that is seen with it.
    pub(super) fault: Option<usize>,
}

/// A customer's answer on its way.
#[derive(Debug)]
pub(super) struct ReplyToSend {
    pub(super) target: Arc<Target>,
    /// The customer.
    pub(super) from: Box<str>,
    /// Our sender.
    pub(super) to: Box<str>,
    /// Which of the configured texts.
    pub(super) text: usize,
}

impl Job {
    /// Whether it is tried again: nobody has to take what was forged.
    fn insists(&self) -> bool {
        !matches!(&self.what, What::Receipt { odd, .. } if odd.twist == Twist::Foreign)
    }

    /// Whether both may travel in one request.
    fn joins(&self, other: &Job) -> bool {
        match (&self.what, &other.what) {
            (
                What::Receipt { target: ours, odd: our_odd, report: Report::Signed, .. },
                What::Receipt { target: theirs, odd: their_odd, report: Report::Signed, .. },
            ) => {
                let one_key = (our_odd.twist == Twist::Foreign) == (their_odd.twist == Twist::Foreign);
                one_key && !ours.by_reference && Arc::ptr_eq(ours, theirs)
            }
            _ => false,
        }
    }
}

/// Orders jobs by time, then by submission, so that a run is repeatable.
#[derive(Debug)]
struct Scheduled(Job);

impl Ord for Scheduled {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.0.due, self.0.nth).cmp(&(other.0.due, other.0.nth))
    }
}

impl PartialOrd for Scheduled {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Scheduled {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Scheduled {}

/// Where the ledger's thread leaves the callbacks of durable messages.
#[derive(Debug, Default)]
pub(super) struct Inbox {
    jobs: Mutex<Vec<Job>>,
    filled: Notify,
}

impl Inbox {
    /// Leaves jobs; the schedule picks them up at once.
    pub(super) fn add(&self, jobs: impl Iterator<Item = Job>) {
        let mut inbox = self.jobs.lock().unwrap_or_else(PoisonError::into_inner);
        let before = inbox.len();
        inbox.extend(jobs);
        if before == 0 && !inbox.is_empty() {
            self.filled.notify_one();
        }
    }
}

/// The schedule and those who work it off.
pub(super) struct Schedule {
    started: Instant,
    inbox: Arc<Inbox>,
    poster: Arc<Poster>,
    stats: Arc<Stats>,
    retry: Retry,
    per_request: usize,
    in_flight: usize,
    later: BinaryHeap<Reverse<Scheduled>>,
    ready: VecDeque<Job>,
}

impl Schedule {
    pub(super) fn new(
        started: Instant,
        inbox: Arc<Inbox>,
        poster: Arc<Poster>,
        stats: Arc<Stats>,
        config: &super::SimulatorConfig,
    ) -> Self {
        Self {
            started,
            inbox,
            poster,
            stats,
            retry: config.receipts.retry,
            per_request: config.receipts.per_request,
            in_flight: config.limits.callbacks_in_flight,
            later: BinaryHeap::new(),
            ready: VecDeque::new(),
        }
    }

    /// Posts what falls due until told to finish, then for `drain` longer or until nothing is left. What remains is
    /// dropped; the count of what waits keeps it.
    pub(super) async fn run(mut self, finish: CancellationToken, drain: Duration) {
        let mut on_the_wire = FuturesUnordered::new();
        let mut end: Option<Instant> = None;
        loop {
            self.take_what_is_due();
            while on_the_wire.len() < self.in_flight
                && let Some(jobs) = self.next_request()
            {
                on_the_wire.push(post(self.poster.clone(), self.retry.timeout, jobs));
            }
            if end.is_some_and(|end| end <= Instant::now() || self.stats.pending.load(Relaxed) == 0) {
                return;
            }
            let due = self.later.peek().map(|Reverse(next)| self.started + next.0.due);
            let wake = due.into_iter().chain(end).min();
            tokio::select! {
                Some((jobs, taken)) = on_the_wire.next(), if !on_the_wire.is_empty() => self.settle(jobs, taken),
                () = self.inbox.filled.notified() => {}
                () = sleep_until(wake.unwrap_or(self.started)), if wake.is_some() => {}
                () = finish.cancelled(), if end.is_none() => end = Some(Instant::now() + drain),
            }
        }
    }

    fn take_what_is_due(&mut self) {
        let mut arrived =
            std::mem::take(&mut *self.inbox.jobs.lock().unwrap_or_else(PoisonError::into_inner));
        self.later.extend(arrived.drain(..).map(|job| Reverse(Scheduled(job))));
        let now = self.started.elapsed();
        while self.later.peek().is_some_and(|Reverse(next)| next.0.due <= now) {
            self.ready.extend(self.later.pop().map(|Reverse(Scheduled(job))| job));
        }
    }

    fn next_request(&mut self) -> Option<Vec<Job>> {
        let first = self.ready.pop_front()?;
        let mut jobs = vec![first];
        while jobs.len() < self.per_request
            && let Some(next) = self.ready.pop_front_if(|next| jobs[0].joins(next))
        {
            jobs.push(next);
        }
        Some(jobs)
    }

    fn settle(&mut self, jobs: Vec<Job>, taken: bool) {
        for mut job in jobs {
            let reply = matches!(job.what, What::Reply(_));
            job.attempt = job.attempt.saturating_add(1);
            if !taken && job.attempt < self.retry.attempts && job.insists() {
                job.due = self.started.elapsed() + self.retry.delay(job.attempt);
                self.later.push(Reverse(Scheduled(job)));
                continue;
            }
            let counter = match (reply, taken) {
                (false, true) => &self.stats.receipts_acked,
                (false, false) => &self.stats.receipts_given_up,
                (true, true) => &self.stats.replies_acked,
                (true, false) => &self.stats.replies_given_up,
            };
            counter.fetch_add(1, Relaxed);
            self.stats.pending.fetch_sub(1, Relaxed);
        }
    }
}

async fn post(poster: Arc<Poster>, timeout: Duration, jobs: Vec<Job>) -> (Vec<Job>, bool) {
    let taken = tokio::time::timeout(timeout, poster.post(&jobs)).await;
    (jobs, taken.unwrap_or(false))
}

impl Retry {
    /// The delay before the next try after `attempt` tries failed.
    fn delay(&self, attempt: u8) -> Duration {
        let doublings = u32::from(attempt.saturating_sub(1)).min(31);
        self.first.saturating_mul(1 << doublings).min(self.longest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_delay_between_tries_doubles_up_to_its_bound() {
        let retry = Retry::default();
        let check = |attempt, ms| assert_eq!(retry.delay(attempt), Duration::from_millis(ms), "{attempt}");
        check(1, 500);
        check(2, 1_000);
        check(4, 4_000);
        check(8, 60_000);
        check(255, 60_000);
    }
}

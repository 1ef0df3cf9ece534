//! The one task that writes while a daemon runs: requests that arrive together share a transaction and its fsync.
//!
//! A request is answered only after the commit. STOPs go first, then outcomes, then intents, then claims, so that
//! what forbids a text is always written before what allows one.

use std::collections::BTreeMap;
use std::panic::resume_unwind;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::{broadcast, mpsc, oneshot, watch};
use tokio::task::{JoinHandle, spawn_blocking};
use tokio_util::sync::CancellationToken;

use crate::model::clock::{Clock, Timestamp};
use crate::model::ids::MessageId;
use crate::model::message::{Claimed, Intent, Settlement};
use crate::model::phone::Phone;
use crate::telemetry::fault;

use super::batch::Batch;
use super::claims::ClaimRequest;
use super::intents::Granted;
use super::receipts::Delivered;
use super::{Backend, Store, StoreError};

/// Requests that may wait for the writer; more of them wait at their sender.
const QUEUE: usize = 4096;

/// Requests in one transaction.
const GROUP: usize = 1024;

/// Receipts and customers' texts in one transaction, beyond those of a single callback.
const GROUP_REPORTS: usize = 2_000;

/// Octets of callbacks in one transaction, beyond those of a single one.
const GROUP_OCTETS: usize = 8 << 20;

/// A writer whose last commit is no longer ago than this is busy.
const BUSY: Duration = Duration::from_millis(25);

/// How long a busy writer lets requests gather: one transaction for many costs hardly more than one for one.
const LINGER: Duration = Duration::from_millis(8);

/// How often it looks, while they gather, whether there are [`ENOUGH`].
const LOOKS: u32 = 4;

/// Requests that are worth a transaction without waiting for more.
const ENOUGH: usize = 192;

/// Suppressed numbers that a listener may lag behind; one that lags more is told so.
const SUPPRESSED_BACKLOG: usize = 4_096;

/// How often an unwell store is tried again.
const PROBE: Duration = Duration::from_secs(1);

/// How long a server may take for one transaction before it counts as unwell. SQLite bounds its waits itself.
const LONGEST_COMMIT: Duration = Duration::from_secs(30);

/// A request to the writer.
#[derive(Clone, Debug)]
pub enum Work {
    /// Take due messages.
    Claim(ClaimRequest),
    /// Record intents.
    Intend {
        /// The route they go out on.
        route: String,
        /// The process that will send them.
        owner: String,
        /// The intents.
        intents: Vec<Intent>,
    },
    /// Write outcomes.
    Settle {
        /// The route they came in on.
        route: String,
        /// The outcomes.
        settlements: Vec<Settlement>,
    },
    /// Intents that were answered with an error, settled as not sent if they are on disk all the same.
    Unsent {
        /// The route they would have gone out on.
        route: String,
        /// That they were not sent.
        settlements: Vec<Settlement>,
    },
    /// Give claimed messages back.
    Release(Vec<(MessageId, i64)>),
    /// Give claimed messages back, due at an instant of their own.
    Postpone(Vec<(MessageId, i64, Timestamp)>),
    /// Keep a callback with receipts.
    Receive(Arc<Delivered>),
    /// Keep a callback with customers' texts.
    Listen(Arc<Delivered>),
}

impl Work {
    /// What forbids comes before what allows.
    fn rank(&self) -> u8 {
        match self {
            Self::Listen(_) => 0,
            Self::Receive(_) => 1,
            Self::Settle { .. } => 2,
            Self::Unsent { .. } | Self::Release(_) | Self::Postpone(_) => 3,
            Self::Intend { .. } => 4,
            Self::Claim(_) => 5,
        }
    }
}

/// The answer to a request, true once it arrives.
#[derive(Clone, Debug)]
pub enum Done {
    /// Messages that are ours now.
    Claimed(Vec<Claimed>),
    /// Intents that may go, and those that may not.
    Intended(Granted),
    /// It is on disk.
    Written,
}

/// Why a request was not done. Nothing of it happened, unless the answer to its commit was lost on the way.
#[derive(Clone, Debug, thiserror::Error)]
pub enum WriteError {
    /// The store answered with an error.
    #[error(transparent)]
    Store(#[from] Arc<StoreError>),
    /// The writer has stopped.
    #[error("the writer has stopped; start the daemon again")]
    Stopped,
}

struct Job {
    work: Work,
    reply: oneshot::Sender<Result<Done, WriteError>>,
}

/// A handle on the writer; cheap to clone.
#[derive(Clone, Debug)]
pub struct Writer {
    jobs: mpsc::Sender<Job>,
    health: watch::Receiver<bool>,
    suppressed: broadcast::Sender<(Phone, &'static str)>,
}

impl Writer {
    /// Starts the writer of a store. It ends when every handle is gone and everything asked for is written, and at once
    /// when the disk did not confirm a write.
    pub fn start(store: Store, clock: Arc<dyn Clock>) -> (Self, JoinHandle<()>) {
        let (jobs, waiting) = mpsc::channel(QUEUE);
        let (well, health) = watch::channel(true);
        let (suppressed, _) = broadcast::channel(SUPPRESSED_BACKLOG);
        let tell = suppressed.clone();
        let task = Task { store, clock, waiting, well, tell, last_commit: Duration::ZERO, unsynced: false };
        let task = tokio::spawn(on_own_thread(task.run()));
        (Self { jobs, health, suppressed }, task)
    }

    /// Asks for something to be written and waits until it is on disk.
    ///
    /// # Errors
    /// When the store cannot be written; then nothing of it happened, or the answer to its commit was lost.
    pub async fn write(&self, work: Work) -> Result<Done, WriteError> {
        let (reply, answer) = oneshot::channel();
        self.jobs.send(Job { work, reply }).await.map_err(|_| WriteError::Stopped)?;
        answer.await.map_err(|_| WriteError::Stopped)?
    }

    /// Numbers that this writer suppressed and the scope of that, each told once its commit is done and before whoever asked has the answer:
    /// from customers' words, from refusals of providers, from receipts.
    pub fn suppressed(&self) -> broadcast::Receiver<(Phone, &'static str)> {
        self.suppressed.subscribe()
    }

    /// Whether the store can be written; changes are signalled.
    pub fn health(&self) -> watch::Receiver<bool> {
        self.health.clone()
    }
}

struct Task {
    store: Store,
    clock: Arc<dyn Clock>,
    waiting: mpsc::Receiver<Job>,
    well: watch::Sender<bool>,
    tell: broadcast::Sender<(Phone, &'static str)>,
    /// On the clock that never jumps.
    last_commit: Duration,
    /// The disk did not confirm a write: whatever is said from now on may be wrong, so nothing more is said.
    unsynced: bool,
}

impl Task {
    async fn run(mut self) {
        let mut jobs = Vec::with_capacity(GROUP);
        loop {
            let well = *self.well.borrow();
            let received = if well {
                self.waiting.recv_many(&mut jobs, GROUP).await
            } else {
                let received = tokio::time::timeout(PROBE, self.waiting.recv_many(&mut jobs, GROUP)).await;
                let Ok(received) = received else {
                    self.probe().await;
                    continue;
                };
                received
            };
            if received == 0 {
                return;
            }
            let busy = self.clock.elapsed().saturating_sub(self.last_commit) < BUSY;
            if busy {
                self.gather(&mut jobs).await;
            }
            jobs.sort_by_key(|job| job.work.rank());
            while !jobs.is_empty() {
                let many = in_one_transaction(jobs.iter().map(|job| &job.work));
                self.serve(jobs.drain(..many).collect()).await;
                if self.unsynced {
                    return;
                }
            }
            self.last_commit = self.clock.elapsed();
        }
    }

    /// Lets requests gather for [`LINGER`], or until there are enough of them.
    async fn gather(&mut self, jobs: &mut Vec<Job>) {
        for _ in 0..LOOKS {
            if jobs.len() + self.waiting.len() >= ENOUGH {
                break;
            }
            tokio::time::sleep(LINGER / LOOKS).await;
        }
        while jobs.len() < GROUP {
            let Ok(job) = self.waiting.try_recv() else { break };
            jobs.push(job);
        }
    }

    /// One transaction for all; if it fails, one for each, so that a request that cannot be done takes no other along.
    async fn serve(&mut self, jobs: Vec<Job>) {
        let (works, replies): (Vec<_>, Vec<_>) = jobs.into_iter().map(|job| (job.work, job.reply)).unzip();
        let mut written = self.commit(&works).await;
        // Whoever else was in the way has gone on by now: together again costs one fsync, one by one costs one for each.
        if written.as_ref().is_err_and(is_conflict) {
            written = self.commit(&works).await;
        }
        match written {
            Ok(done) => {
                self.set_health(true);
                for (reply, done) in replies.into_iter().zip(done) {
                    // Whoever asked may be gone; the write stands.
                    let _ = reply.send(Ok(done));
                }
            }
            Err(error) if works.len() == 1 || is_unwell(&error) => {
                self.report(&error);
                let error = Arc::new(error);
                for reply in replies {
                    let _ = reply.send(Err(WriteError::Store(error.clone())));
                }
            }
            Err(_) => {
                for (work, reply) in works.into_iter().zip(replies) {
                    let done = self.commit(std::slice::from_ref(&work)).await;
                    if let Err(error) = &done {
                        self.report(error);
                    }
                    let done = done.map(|mut d| d.remove(0)).map_err(|e| WriteError::Store(Arc::new(e)));
                    let _ = reply.send(done);
                }
            }
        }
    }

    async fn commit(&self, works: &[Work]) -> Result<Vec<Done>, StoreError> {
        self.bounded(self.commit_all(works)).await
    }

    /// The answer to a transaction; a server that does not give one in time may have done it all the same.
    async fn bounded<T>(
        &self,
        transaction: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        match self.store.backend() {
            Backend::Sqlite => transaction.await,
            Backend::Postgres => tokio::time::timeout(LONGEST_COMMIT, transaction)
                .await
                .unwrap_or(Err(StoreError::Silent { waited: LONGEST_COMMIT })),
        }
    }

    async fn commit_all(&self, works: &[Work]) -> Result<Vec<Done>, StoreError> {
        let now = self.clock.now();
        let mut batch = self.store.batch().await?;
        let mut done = Vec::with_capacity(works.len());
        let mut at = 0;
        while at < works.len() {
            let same = works[at..].iter().take_while(|work| work.rank() == works[at].rank()).count();
            apply(&mut batch, &works[at..at + same], now, &mut done).await?;
            at += same;
        }
        let suppressed = batch.suppressed();
        passes(works, true);
        batch.commit().await?;
        passes(works, false);
        for told in suppressed {
            // No lane is listening while nothing is sent.
            let _ = self.tell.send(told);
        }
        Ok(done)
    }

    async fn probe(&self) {
        let tried = async {
            let batch = self.store.batch().await?;
            batch.commit().await
        };
        if self.bounded(tried).await.is_ok() {
            self.set_health(true);
        }
    }

    fn report(&mut self, error: &StoreError) {
        self.unsynced |= matches!(error, StoreError::Unsynced { .. });
        let unwell = is_unwell(error);
        // Whatever waits fails alike while the store is unwell; that is one failure, told when it begins.
        if !unwell || *self.well.borrow() {
            tracing::error!(%error, "the store cannot be written");
        }
        if unwell {
            self.set_health(false);
        }
    }

    fn set_health(&self, well: bool) {
        let changed = self.well.send_if_modified(|now| std::mem::replace(now, well) != well);
        if changed && well {
            tracing::info!("the store can be written again; sending goes on");
        } else if changed {
            tracing::error!("sending stops until the store can be written again");
        }
    }
}

/// Runs the writer on a thread of its own: a transaction is some twenty questions to the database one after the other, and
/// after each answer a task among many would wait until those in front of it have had their turn. Dropped, it ends the
/// writer at its next step.
async fn on_own_thread(writing: impl Future<Output = ()> + Send + 'static) {
    let given_up = CancellationToken::new();
    let _given_up = given_up.clone().drop_guard();
    let runtime = Handle::current();
    let thread = spawn_blocking(move || runtime.block_on(given_up.run_until_cancelled(writing)));
    if let Err(died) = thread.await
        && died.is_panic()
    {
        resume_unwind(died.into_panic());
    }
}

/// Passes the points at which a test may end the process: one before and one after the commit of each kind of request.
fn passes(works: &[Work], before: bool) {
    for work in works {
        fault::point(match (work, before) {
            (Work::Listen(_), true) => "before-stop",
            (Work::Listen(_), false) => "after-stop",
            (Work::Receive(_), true) => "before-receipt",
            (Work::Receive(_), false) => "after-receipt",
            (Work::Settle { .. }, true) => "before-outcome",
            (Work::Settle { .. }, false) => "after-outcome",
            (Work::Intend { .. }, true) => "before-intent",
            (Work::Intend { .. }, false) => "after-intent",
            (Work::Claim(_), true) => "before-claim",
            (Work::Claim(_), false) => "after-claim",
            (Work::Unsent { .. } | Work::Release(_) | Work::Postpone(_), _) => continue,
        });
    }
}

/// How many of the requests that wait share the next transaction: at least one, and as many as keep it short.
fn in_one_transaction<'w>(waiting: impl Iterator<Item = &'w Work>) -> usize {
    let (mut many, mut reports, mut octets) = (0, 0, 0);
    for work in waiting {
        if let Some(callback) = callback(work) {
            reports += callback.receipts.len() + callback.inbound.len();
            octets += callback.raw.body.len();
        }
        if many > 0 && (reports > GROUP_REPORTS || octets > GROUP_OCTETS) {
            return many;
        }
        many += 1;
    }
    many
}

/// Runs requests of one kind; callbacks and outcomes share their statements.
async fn apply(
    batch: &mut Batch,
    works: &[Work],
    now: Timestamp,
    done: &mut Vec<Done>,
) -> Result<(), StoreError> {
    match &works[0] {
        Work::Listen(_) | Work::Receive(_) => {
            let callbacks: Vec<&Delivered> = works.iter().filter_map(callback).collect();
            if matches!(works[0], Work::Listen(_)) {
                batch.listen(&callbacks, now).await?;
            } else {
                batch.receive(&callbacks, now).await?;
            }
            done.extend(works.iter().map(|_| Done::Written));
        }
        Work::Settle { .. } => {
            let mut by_route: BTreeMap<&str, Vec<Settlement>> = BTreeMap::new();
            for work in works {
                if let Work::Settle { route, settlements } = work {
                    by_route.entry(route).or_default().extend_from_slice(settlements);
                }
            }
            for (route, settlements) in by_route {
                batch.settle(route, &settlements, now).await?;
            }
            done.extend(works.iter().map(|_| Done::Written));
        }
        _ => {
            for work in works {
                done.push(apply_one(batch, work, now).await?);
            }
        }
    }
    Ok(())
}

async fn apply_one(batch: &mut Batch, work: &Work, now: Timestamp) -> Result<Done, StoreError> {
    Ok(match work {
        Work::Claim(request) => Done::Claimed(batch.claim(request, now).await?),
        Work::Intend { route, owner, intents } => {
            Done::Intended(batch.intend(route, owner, intents, now).await?)
        }
        Work::Unsent { route, settlements } => {
            batch.unsent(route, settlements, now).await?;
            Done::Written
        }
        Work::Release(held) => {
            batch.release(held).await?;
            Done::Written
        }
        Work::Postpone(held) => {
            batch.postpone(held).await?;
            Done::Written
        }
        // These share their statements; `apply` has done them.
        Work::Receive(_) | Work::Listen(_) | Work::Settle { .. } => Done::Written,
    })
}

fn callback(work: &Work) -> Option<&Delivered> {
    match work {
        Work::Receive(callback) | Work::Listen(callback) => Some(callback),
        _ => None,
    }
}

/// Whether another transaction was in the way: PostgreSQL's serialization failure and deadlock.
fn is_conflict(error: &StoreError) -> bool {
    let StoreError::Database(sqlx::Error::Database(database)) = error else { return false };
    matches!(database.code().as_deref(), Some("40001" | "40P01"))
}

/// Whether an error says that the store as a whole is unwell, not that one request is wrong.
fn is_unwell(error: &StoreError) -> bool {
    match error {
        StoreError::Database(sqlx::Error::Database(database)) => {
            code_is_unwell(&database.code().unwrap_or_default())
        }
        StoreError::Database(_)
        | StoreError::Damaged { .. }
        | StoreError::Unsynced { .. }
        | StoreError::Unwritable { .. }
        | StoreError::Full { .. }
        | StoreError::Disk { .. }
        | StoreError::NoTable { .. }
        | StoreError::Silent { .. }
        | StoreError::Busy { .. } => true,
        _ => false,
    }
}

/// SQLite: busy, locked, read-only, I/O error, corrupt, full, cannot open, not a database; PostgreSQL: connection,
/// resources, shutdown. SQLSTATE codes have five characters, some of them digits alone; SQLite's have at most four.
fn code_is_unwell(code: &str) -> bool {
    if code.len() == 5 {
        return ["08", "53", "57", "58", "XX"].iter().any(|class| code.starts_with(class));
    }
    code.parse::<i64>().is_ok_and(|code| matches!(code & 0xff, 5 | 6 | 8 | 10 | 11 | 13 | 14 | 26))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::{GROUP_OCTETS, GROUP_REPORTS, Work, code_is_unwell, in_one_transaction};
    use crate::model::clock::Timestamp;
    use crate::model::delivery::Delivery;
    use crate::model::receipt::Receipt;
    use crate::store::receipts::{Delivered, RawCallback};

    fn callback(receipts: usize, octets: usize) -> Work {
        let receipt = Receipt {
            reference: None,
            provider_id: None,
            state: Delivery::None,
            status: String::new(),
            code: None,
            opted_out: false,
        };
        Work::Receive(Arc::new(Delivered {
            id: 1,
            route: "r".to_owned(),
            received_at: Timestamp(0),
            raw: RawCallback {
                kind: "receipt",
                method: "POST".to_owned(),
                url: "/".to_owned(),
                path_ref: None,
                content_type: None,
                body: " ".repeat(octets),
                body_encoding: "utf8",
            },
            receipts: vec![receipt; receipts],
            inbound: Vec::new(),
        }))
    }

    #[test]
    fn a_transaction_holds_many_callbacks_but_neither_many_receipts_nor_many_octets() {
        let check = |waiting: &[Work], wanted: usize| {
            assert_eq!(in_one_transaction(waiting.iter()), wanted, "of {}", waiting.len());
        };
        let (small, half) = (callback(1, 100), callback(GROUP_REPORTS / 2, 100));
        check(&vec![small.clone(); 500], 500);
        check(&vec![half; 5], 2);
        check(&vec![callback(1, GROUP_OCTETS / 4); 9], 4);
        // One that is too large by itself goes alone: it was taken as one body.
        check(&[callback(GROUP_REPORTS * 3, 100), small.clone()], 1);
        check(&[small.clone(), callback(1, GROUP_OCTETS + 1), small], 1);
        check(&[Work::Release(Vec::new()), Work::Release(Vec::new())], 2);
    }

    #[test]
    fn one_wrong_request_does_not_stop_sending_and_an_unwell_store_does() {
        let check = |code: &str, unwell: bool| assert_eq!(code_is_unwell(code), unwell, "{code}");
        for code in ["5", "10", "13", "261", "8458", "08006", "53100", "57P01", "XX000"] {
            check(code, true);
        }
        // Octets that are no text (22021), no Unicode (22P05), a deadlock (40P01), constraints.
        for code in ["", "1", "19", "2067", "22021", "22P05", "22030", "23505", "40P01"] {
            check(code, false);
        }
    }
}

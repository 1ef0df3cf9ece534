//! Builds everything a daemon is made of, starts it in order and stops it in the opposite one.
//!
//! Start: store, lock and the watch over it, what the last process left behind, writer, HTTP, lanes, sweep. Stop: lanes finish what is under
//! way, HTTP closes, the writer writes what it was given, the store closes, the lock is freed. It decides nothing.

pub mod routes;
mod supervisor;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::AtomicI64;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::Context as _;
use rand::RngExt as _;
use tokio::task::{AbortHandle, JoinHandle};
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

use crate::config::Config;
use crate::dispatch::bell::Bell;
use crate::dispatch::core::LaneConfig;
use crate::dispatch::inquire::{self, Inquirer, Respondent};
use crate::dispatch::ladder::Ladder;
use crate::dispatch::lane::{Lane, LaneContext};
use crate::dispatch::permits::Permits;
use crate::dispatch::sweep::Sweep;
use crate::http::{CallbackRoute, HttpContext, Server};
use crate::model::clock::{Clock, Timestamp};
use crate::model::ids::IdSource;
use crate::provider::{Transport, TransportLimits};
use crate::store::writer::Writer;
use crate::store::{DaemonLock, Store};
use crate::telemetry::{Metrics, Secret};

use routes::RouteParts;
use supervisor::Tasks;

pub use supervisor::Failure;

/// How much longer than the longest answer is awaited lanes may take to finish what is under way.
const DRAIN_SLACK: Duration = Duration::from_secs(25);

/// A store up to this size is looked through for damage before anything is sent, which takes about a second. Octets.
const CHECKED_WHOLE: u64 = 256 << 20;

/// How often a daemon asks whether it still has its store for itself.
const HOLD_CHECK: Duration = Duration::from_secs(1);

/// How long it waits for that answer; a server that is silent for longer may have given the lock to another.
const HOLD_ANSWER: Duration = Duration::from_secs(5);

/// How long open HTTP requests may take when the daemon stops.
const HTTP_DRAIN: Duration = Duration::from_secs(10);

/// How long the writer may take for what it was given, and the store to close, once nobody asks for more.
const WRITER_DRAIN: Duration = Duration::from_secs(45);

/// A running daemon.
#[derive(Debug)]
pub struct Daemon {
    store: Store,
    server: Server,
    lanes: TaskTracker,
    stop: CancellationToken,
    abandon: CancellationToken,
    writer: (Writer, AbortHandle),
    failure: Failure,
    watch: JoinHandle<()>,
    metrics: Arc<Metrics>,
    drain: Duration,
    hold: (JoinHandle<()>, DropGuard),
}

impl Daemon {
    /// Starts everything; returns once callbacks are answered and lanes run.
    ///
    /// # Errors
    /// When another daemon has the store, a route is incomplete, or the address is taken. Then nothing runs.
    pub async fn start(config: &Config, clock: Arc<dyn Clock>) -> anyhow::Result<Self> {
        let (store, lock) = own_store(config, clock.as_ref()).await?;
        let rules = Arc::new(routes::rules(config)?);
        let catalog = routes::catalog(config)?;
        let token_key = routes::token_key(&store).await?;
        let parts = routes::all(config, &catalog, &token_key)?;
        let metrics = Arc::new(Metrics::new());
        let owner = owner();
        let (bell, stop, lanes) = (Bell::default(), CancellationToken::new(), TaskTracker::new());
        let ladder = ladder(config, &store, &parts, clock.now()).await?;
        let (failure, mut tasks) = (Failure::default(), Tasks::default());
        let (sole, lost, abandon) = (!lock.can_be_lost(), CancellationToken::new(), CancellationToken::new());
        let hold = hold_on(lock, &mut tasks, stop.clone(), lost.clone());

        let sweep = Sweep {
            store: store.clone(),
            clock: Arc::clone(&clock),
            rules,
            owner: owner.clone(),
            ladder: Arc::clone(&ladder),
            keep_unmatched: config.daemon.keep_unmatched_receipts,
            looked_through: AtomicI64::new(0),
            rest: Mutex::default(),
            routes: parts.iter().map(|part| part.name.clone()).collect(),
            bell: bell.clone(),
        };
        take_back(&sweep, sole, &lost).await?;
        let (writer, writing) = Writer::start(store.clone(), Arc::clone(&clock));
        let writing = tasks.adopt("the writer of the store", writing);
        let context = LaneContext {
            store: store.clone(),
            writer: writer.clone(),
            clock,
            metrics: Arc::clone(&metrics),
            owner,
            public_url: config.daemon.public_url.clone(),
            bell,
            lost,
        };
        let http = http(&context, config, &parts, (failure.token(), stop.clone()), token_key);
        let server = listen(config, http)?;
        let answers = parts.iter().map(|part| part.answer_timeout).max().unwrap_or_default();
        let mut routes = HashMap::new();
        for part in &parts {
            let lane = lane(&context, part)?;
            routes.extend(respondent(part, &ladder, lane.permits())?);
            let name = format!("the lane of route `{}`", part.name);
            tasks.spawn(name, lanes.track_future(until(abandon.clone(), lane.run(stop.child_token()))));
        }
        let inquiring = inquirer(&context, ladder, routes).run(stop.child_token());
        tasks.spawn(
            "the questions about what is in doubt",
            lanes.track_future(until(abandon.clone(), inquiring)),
        );
        let sweeping = sweep.run(stop.child_token());
        tasks.spawn("the sweep", lanes.track_future(until(abandon.clone(), sweeping)));
        lanes.close();
        let watch = tokio::spawn(tasks.watch(failure.clone(), stop.clone()));
        let (drain, writer) = (answers + DRAIN_SLACK, (writer, writing));
        Ok(Self { store, server, lanes, stop, abandon, writer, failure, watch, metrics, drain, hold })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.server.address()
    }

    /// Its store.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// Its metrics.
    pub fn metrics(&self) -> &Arc<Metrics> {
        &self.metrics
    }

    /// Waits until one of its tasks has ended before its time; answers which one, and how. Nothing new is sent from
    /// then on; what is left to do is [`Daemon::stop`].
    pub async fn failed(&self) -> String {
        self.failure.token().cancelled().await;
        self.failure.told().unwrap_or_default().to_owned()
    }

    /// Stops it in order. What is under way is finished; what cannot be finished in time is in doubt after the next
    /// start, and said so. Answers whether everything was finished and no task had failed.
    pub async fn stop(mut self) -> bool {
        self.stop.cancel();
        let drained = tokio::time::timeout(self.drain, self.lanes.wait()).await.is_ok();
        if !drained {
            tracing::error!(
                "submissions were still under way after {:?}; they are in doubt at the next start",
                self.drain
            );
            // A lane that waits for a store that never answers holds the writer, and the writer this process.
            self.abandon.cancel();
            self.lanes.wait().await;
        }
        self.server.stop(HTTP_DRAIN).await;
        let (writer, writing) = self.writer;
        drop(writer);
        // Ends with the last task, the writer.
        let written = tokio::time::timeout(WRITER_DRAIN, &mut self.watch).await;
        if written.is_err() {
            tracing::error!(
                "the store did not take what was left to write within {WRITER_DRAIN:?}; it is given up, and what was on \
                 the wire is in doubt at the next start"
            );
            writing.abort();
            let _ = self.watch.await;
        }
        let watched = matches!(written, Ok(Ok(())));
        let closed = tokio::time::timeout(WRITER_DRAIN, self.store.close()).await.is_ok();
        // Last of all: whoever takes it finds nothing of us at work.
        let (lock, free) = self.hold;
        drop(free);
        let freed = lock.await.is_ok();
        drained && watched && closed && freed && self.failure.told().is_none()
    }
}

/// The store, held against other daemons and fit to be sent from.
async fn own_store(config: &Config, clock: &dyn Clock) -> anyhow::Result<(Store, DaemonLock)> {
    let store = Store::open(&config.store.url).await?;
    let lock = store.lock_daemon(clock.now()).await?;
    store.refuse_backup().await?;
    store.check_before_sending(CHECKED_WHOLE).await?;
    Ok((store, lock))
}

/// The address under which providers call us.
pub fn public_url(config: &Config) -> String {
    config.daemon.public_url.clone().unwrap_or_else(|| format!("http://{}", config.daemon.listen))
}

fn http(
    context: &LaneContext,
    config: &Config,
    parts: &[RouteParts],
    (failed, stop): (CancellationToken, CancellationToken),
    hello_key: Secret,
) -> HttpContext {
    HttpContext {
        store: context.store.clone(),
        writer: context.writer.clone(),
        clock: Arc::clone(&context.clock),
        metrics: Arc::clone(&context.metrics),
        routes: Arc::new(callback_routes(parts)),
        public_url: public_url(config),
        failed,
        stop,
        hello_key,
        ids: Arc::new(IdSource::new(rand::rng().random())),
    }
}

fn callback_routes(parts: &[RouteParts]) -> HashMap<String, CallbackRoute> {
    let route = |part: &RouteParts| CallbackRoute {
        adapter: Arc::clone(&part.adapter),
        one_letter: part.one_letter.clone(),
    };
    parts.iter().map(|part| (part.name.clone(), route(part))).collect()
}

/// How doubt ends, now that this is how requests are rendered.
async fn ladder(
    config: &Config,
    store: &Store,
    parts: &[RouteParts],
    now: Timestamp,
) -> anyhow::Result<Arc<Ladder>> {
    let means = routes::means(store, parts, config.daemon.public_url.as_deref(), now).await?;
    Ok(Arc::new(Ladder { means, policy: config.doubt_policy() }))
}

/// Who asks about what is in doubt.
fn inquirer(context: &LaneContext, ladder: Arc<Ladder>, routes: HashMap<String, Respondent>) -> Inquirer {
    Inquirer {
        store: context.store.clone(),
        clock: Arc::clone(&context.clock),
        ladder,
        routes,
        public_url: context.public_url.clone(),
        lost: context.lost.clone(),
        seed: rand::rng().random(),
    }
}

/// A route that can be asked, under its name.
fn respondent(
    part: &RouteParts,
    ladder: &Ladder,
    permits: Permits,
) -> anyhow::Result<Option<(String, Respondent)>> {
    if !ladder.means.contains_key(&part.name) {
        return Ok(None);
    }
    let limits = TransportLimits {
        in_flight: inquire::IN_FLIGHT,
        total_timeout: part.answer_timeout,
        ..TransportLimits::default()
    };
    let respondent = Respondent {
        adapter: Arc::clone(&part.adapter),
        transport: Transport::new(limits)?,
        permits,
        per_second: part.limits.account.map(|limit| limit.parts_per_second),
        retry: part.retry,
    };
    Ok(Some((part.name.clone(), respondent)))
}

fn lane(context: &LaneContext, part: &RouteParts) -> anyhow::Result<Lane> {
    let limits = TransportLimits {
        in_flight: part.in_flight,
        total_timeout: part.answer_timeout,
        ..TransportLimits::default()
    };
    let transport = Transport::new(limits)?;
    let config = LaneConfig {
        tag: context.store.tag().to_owned(),
        in_flight: part.in_flight,
        per_request: part.adapter.recipients_per_request(),
        limits: part.limits.clone(),
        retry: part.retry,
    };
    let adapter = Arc::clone(&part.adapter);
    Ok(Lane::new(context.clone(), &part.name, adapter, transport, config, rand::rng().random()))
}

/// Takes back what the last process left behind.
async fn take_back(sweep: &Sweep, sole: bool, lost: &CancellationToken) -> anyhow::Result<()> {
    let (given_back, in_doubt) =
        sweep.boot(sole).await.context("what the last process left behind could not be swept")?;
    if given_back + in_doubt > 0 {
        tracing::warn!(given_back, in_doubt, "the last process ended in the middle of its work");
    }
    anyhow::ensure!(!lost.is_cancelled(), "the hold on the store was lost at once; start the daemon again");
    Ok(())
}

fn listen(config: &Config, http: HttpContext) -> anyhow::Result<Server> {
    let address = config.daemon.listen;
    Server::start(address, http, config.http_limits())
        .with_context(|| format!("cannot listen on {address}; is another daemon running?"))
}

/// Keeps the lock of the store until the guard is dropped; losing it is told to `lost` and ends the daemon.
fn hold_on(
    lock: DaemonLock,
    tasks: &mut Tasks,
    stop: CancellationToken,
    lost: CancellationToken,
) -> (JoinHandle<()>, DropGuard) {
    let free = CancellationToken::new();
    let held = tokio::spawn(hold(lock, lost.clone(), free.clone()));
    tasks.spawn("the hold on the store", async move {
        stop.run_until_cancelled(lost.cancelled()).await;
    });
    (held, free.drop_guard())
}

/// Keeps the lock of the store until it shall be freed, and says if it is lost: another daemon may then be running.
async fn hold(mut lock: DaemonLock, lost: CancellationToken, free: CancellationToken) {
    while lock.can_be_lost() {
        if free.run_until_cancelled(tokio::time::sleep(HOLD_CHECK)).await.is_none() {
            break;
        }
        if !matches!(tokio::time::timeout(HOLD_ANSWER, lock.is_held()).await, Ok(Ok(true))) {
            lost.cancel();
            break;
        }
    }
    free.cancelled().await;
    // A server that is gone has freed it, or will.
    let _ = tokio::time::timeout(HOLD_ANSWER, lock.free()).await;
}

/// Runs a task until it ends or is abandoned.
async fn until(abandoned: CancellationToken, task: impl Future<Output = ()>) {
    abandoned.run_until_cancelled(task).await;
}

/// A name for this process that no other has had: a restarted daemon knows that its old rows are nobody's.
fn owner() -> String {
    format!("{}-{:08x}", std::process::id(), rand::rng().random::<u32>())
}

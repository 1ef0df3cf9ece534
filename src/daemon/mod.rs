//! Builds everything a daemon is made of, starts it in order and stops it in the opposite one.
//!
//! Start: lock, store, what the last process left behind, writer, HTTP, lanes, sweep. Stop: lanes finish what is under
//! way, HTTP closes, the writer writes what it was given, the store closes, the lock is freed. It decides nothing.

pub mod routes;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use rand::RngExt as _;
use tokio::sync::{Notify, broadcast};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::config::Config;
use crate::dispatch::core::LaneConfig;
use crate::dispatch::lane::{Lane, LaneContext};
use crate::dispatch::sweep::{DoubtPolicy, Sweep};
use crate::http::{CallbackRoute, HttpContext, Server};
use crate::model::clock::Clock;
use crate::model::ids::IdSource;
use crate::provider::{Transport, TransportLimits};
use crate::store::writer::Writer;
use crate::store::{DaemonLock, Store};
use crate::telemetry::Metrics;

use routes::RouteParts;

/// How long lanes may take to finish what is under way; longer than the longest answer is awaited.
const DRAIN: Duration = Duration::from_secs(45);

/// How long open HTTP requests may take when the daemon stops.
const HTTP_DRAIN: Duration = Duration::from_secs(10);

/// Suppressed numbers that a slow lane may lag behind; a lane that lags more still has the check of its intents.
const SUPPRESSED_BACKLOG: usize = 4_096;

/// A running daemon.
#[derive(Debug)]
pub struct Daemon {
    store: Store,
    server: Server,
    lanes: TaskTracker,
    stop: CancellationToken,
    abandon: CancellationToken,
    writer: Writer,
    writer_task: JoinHandle<()>,
    metrics: Arc<Metrics>,
    _lock: Option<DaemonLock>,
}

impl Daemon {
    /// Starts everything; returns once callbacks are answered and lanes run.
    ///
    /// # Errors
    /// When another daemon has the store, a route is incomplete, or the address is taken. Then nothing runs.
    pub async fn start(config: &Config, clock: Arc<dyn Clock>) -> anyhow::Result<Self> {
        let store = Store::open(&config.store.url).await?;
        let lock = store.path().map(DaemonLock::take).transpose()?;
        let rules = Arc::new(routes::rules(config)?);
        let catalog = routes::catalog(config)?;
        let token_key = routes::token_key(&store).await?;
        let parts = routes::all(config, &catalog, &token_key)?;
        let metrics = Arc::new(Metrics::new());
        let owner = owner();
        let (bell, stop, lanes) = (Arc::new(Notify::new()), CancellationToken::new(), TaskTracker::new());

        let sweep = Sweep {
            store: store.clone(),
            clock: Arc::clone(&clock),
            rules,
            owner: owner.clone(),
            doubt: DoubtPolicy {
                park_after: config.dispatch.park_after,
                resend_after: config.dispatch.resend_after,
                attempts: config.dispatch.resend_attempts,
            },
            keep_unmatched: config.daemon.keep_unmatched_receipts,
            bell: Arc::clone(&bell),
        };
        let (freed, lost) =
            sweep.boot().await.context("what the last process left behind could not be swept")?;
        if freed + lost > 0 {
            tracing::warn!(
                given_back = freed,
                in_doubt = lost,
                "the last process ended in the middle of its work"
            );
        }
        let (writer, writer_task) = Writer::start(store.clone(), Arc::clone(&clock));
        let (suppressed, _) = broadcast::channel(SUPPRESSED_BACKLOG);
        let context = LaneContext {
            store: store.clone(),
            writer: writer.clone(),
            clock: Arc::clone(&clock),
            metrics: Arc::clone(&metrics),
            owner,
            public_url: config.daemon.public_url.clone(),
            bell,
            suppressed: suppressed.clone(),
        };
        let http = HttpContext {
            store: store.clone(),
            writer: writer.clone(),
            clock,
            metrics: Arc::clone(&metrics),
            routes: Arc::new(callback_routes(&parts)),
            public_url: public_url(config),
            suppressed,
            ids: Arc::new(IdSource::new(rand::rng().random())),
        };
        let server = Server::start(config.daemon.listen, http, config.http_limits()).with_context(|| {
            format!("cannot listen on {}; is another daemon running?", config.daemon.listen)
        })?;
        let abandon = CancellationToken::new();
        for part in parts {
            let running = lane(&context, part)?.run(stop.child_token());
            let abandoned = abandon.clone();
            lanes.spawn(async move { abandoned.run_until_cancelled(running).await });
        }
        let (sweeping, abandoned) = (sweep.run(stop.child_token()), abandon.clone());
        lanes.spawn(async move { abandoned.run_until_cancelled(sweeping).await });
        lanes.close();
        Ok(Self { store, server, lanes, stop, abandon, writer, writer_task, metrics, _lock: lock })
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

    /// Stops it in order. What is under way is finished; what cannot be finished in time is in doubt after the next
    /// start, and said so. Answers whether everything was finished.
    pub async fn stop(self) -> bool {
        self.stop.cancel();
        let drained = tokio::time::timeout(DRAIN, self.lanes.wait()).await.is_ok();
        if !drained {
            tracing::error!(
                "submissions were still under way after {DRAIN:?}; they are in doubt at the next start"
            );
            // A lane that waits for a store that never answers holds the writer, and the writer this process.
            self.abandon.cancel();
            self.lanes.wait().await;
        }
        self.server.stop(HTTP_DRAIN).await;
        drop(self.writer);
        if self.writer_task.await.is_err() {
            tracing::error!("the writer panicked");
        }
        self.store.close().await;
        drained
    }
}

/// The address under which providers call us.
pub fn public_url(config: &Config) -> String {
    config.daemon.public_url.clone().unwrap_or_else(|| format!("http://{}", config.daemon.listen))
}

fn callback_routes(parts: &[RouteParts]) -> HashMap<String, CallbackRoute> {
    let route = |part: &RouteParts| CallbackRoute {
        adapter: Arc::clone(&part.adapter),
        one_letter: part.one_letter.clone(),
    };
    parts.iter().map(|part| (part.name.clone(), route(part))).collect()
}

fn lane(context: &LaneContext, part: RouteParts) -> anyhow::Result<Lane> {
    let transport =
        Transport::new(TransportLimits { in_flight: part.in_flight, ..TransportLimits::default() })?;
    let config = LaneConfig {
        tag: context.store.tag().to_owned(),
        in_flight: part.in_flight,
        per_request: part.adapter.recipients_per_request(),
        limits: part.limits,
        retry: part.retry,
    };
    Ok(Lane::new(context.clone(), &part.name, part.adapter, transport, config, rand::rng().random()))
}

/// A name for this process that no other has had: a restarted daemon knows that its old rows are nobody's.
fn owner() -> String {
    format!("{}-{:08x}", std::process::id(), rand::rng().random::<u32>())
}

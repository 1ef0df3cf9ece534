//! An SMS provider to rehearse against: it takes submissions over HTTP, loses none, and reports what became of them.
//!
//! Every accepted submission is in an append-only ledger before the client hears of it, so that afterwards the ledger
//! tells what was really sent. Failures, delays and fates follow shares and a seed. It is a separate process: it knows
//! nothing of the store and shares no code with the sending side, and it never sends a text to anyone.
//!
//! - [`config`]: what it is told; [`behaviour`] and [`script`]: what it decides, pure; [`ledger`]: what it accepted
//! - `server` shows decisions on the wire, `answers` the good ones, `odd` the bad ones as octets, `submit` carries a
//!   submission as far as the ledger
//! - `callbacks` and `post` send receipts and replies when they are due
//!
//! Wire: `POST /v1/messages`, `GET /v1/messages?reference=…` (both with a bearer token), `GET /healthz`, `GET /stats`; and
//! for whoever speaks in queries `GET /cgi-bin/sendsms?…`, answered in plain text (see `query`).

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::model::clock::Clock;

mod answers;
pub mod behaviour;
mod callbacks;
pub mod config;
pub mod ledger;
mod lookup;
mod odd;
mod parts;
mod post;
mod query;
pub mod script;
mod server;
mod sign;
mod stats;
mod submit;
mod target;
#[cfg(test)]
mod tests;
mod throttle;
mod wire;

pub use config::SimulatorConfig;
pub use ledger::LedgerError;
pub use script::{Fired, Script};
pub use stats::StatsSnapshot;

/// How long requests in work may take to be answered after the stop signal, if `drain` is not longer.
const GRACE: Duration = Duration::from_secs(5);

/// Why the simulator cannot start.
#[derive(Debug, thiserror::Error)]
pub enum SimulatorError {
    /// The configuration cannot be obeyed.
    #[error("the simulator's configuration is wrong: {reason}")]
    Config {
        /// The value and what would be right.
        reason: String,
    },
    /// The address cannot be listened on.
    #[error("cannot listen on {address}: {source}; choose another address or port, or stop what uses it")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system says.
        source: io::Error,
    },
    /// The ledger cannot be used.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
}

/// What a simulator did, once it has stopped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Summary {
    /// The counters at the end.
    pub stats: StatsSnapshot,
    /// How often each fault of the script was seen; empty without a script.
    pub fired: Vec<Fired>,
    /// Receipts and replies that were still waiting and are now lost.
    pub dropped: u64,
}

/// Runs a simulator until `shutdown`.
///
/// # Errors
/// When it cannot start; see [`SimulatorError`].
pub async fn run(
    config: SimulatorConfig,
    clock: Arc<dyn Clock>,
    shutdown: CancellationToken,
) -> Result<Summary, SimulatorError> {
    Ok(Simulator::start(config, clock, shutdown).await?.wait().await)
}

/// A running simulator.
pub struct Simulator {
    address: SocketAddr,
    stats: Arc<stats::Stats>,
    play: Option<Arc<script::Play>>,
    desk: Arc<submit::Desk>,
    accepting: JoinHandle<()>,
    connections: TaskTracker,
    callbacks: JoinHandle<()>,
    finish: CancellationToken,
    shutdown: CancellationToken,
    drain: Duration,
}

impl Simulator {
    /// Opens the ledger, listens, and returns once submissions are taken.
    ///
    /// # Errors
    /// When the configuration, the ledger or the address is unusable.
    pub async fn start(
        config: SimulatorConfig,
        clock: Arc<dyn Clock>,
        shutdown: CancellationToken,
    ) -> Result<Self, SimulatorError> {
        config.check()?;
        let listen_error = |source| SimulatorError::Listen { address: config.listen, source };
        let listener = TcpListener::bind(config.listen).await.map_err(listen_error)?;
        let address = listener.local_addr().map_err(listen_error)?;

        // Ids of two starts on one ledger differ by the time of the start.
        let boot = format!("{:x}", clock.now().0);
        let started = Instant::now();
        let stats = Arc::new(stats::Stats::default());
        let play = config.script.clone().map(|script| Arc::new(script::Play::new(script)));
        let inbox = Arc::new(callbacks::Inbox::default());
        let desk = Arc::new(submit::Desk::open(
            &config,
            boot.clone(),
            play.clone(),
            started,
            clock.clone(),
            inbox.clone(),
            stats.clone(),
        )?);
        let poster = Arc::new(post::Poster::new(&config, boot, clock, stats.clone(), play.clone()));
        let schedule = callbacks::Schedule::new(started, inbox, poster, stats.clone(), &config);
        let finish = CancellationToken::new();
        let callbacks = tokio::spawn(schedule.run(finish.clone(), config.drain));
        let server = Arc::new(server::Server {
            desk: desk.clone(),
            stats: stats.clone(),
            play: play.clone(),
            authorization: format!("Bearer {}", config.key.expose()).into_bytes(),
            hold: config.failures.hold,
            stop: shutdown.clone(),
        });
        let connections = TaskTracker::new();
        let accepting = tokio::spawn(server.run(listener, config.limits.connections, connections.clone()));
        tracing::info!(%address, ledger = %config.ledger.display(), sync = config.sync, "the simulator listens");
        let drain = config.drain;
        Ok(Self { address, stats, play, desk, accepting, connections, callbacks, finish, shutdown, drain })
    }

    /// Where it listens; the real port when port 0 was asked for.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The counters now.
    pub fn stats(&self) -> StatsSnapshot {
        self.stats.snapshot()
    }

    /// How often each fault of the script was seen; empty without a script.
    pub fn fired(&self) -> Vec<Fired> {
        self.play.as_ref().map(|play| play.fired()).unwrap_or_default()
    }

    /// Waits for the shutdown signal, then stops in order: no new submissions, requests in work answered, the ledger on
    /// the disk, receipts for as long as `drain` allows.
    pub async fn wait(self) -> Summary {
        self.shutdown.cancelled().await;
        let _ = self.accepting.await;
        self.connections.close();
        if tokio::time::timeout(GRACE.max(self.drain), self.connections.wait()).await.is_err() {
            tracing::warn!(connections = self.connections.len(), "requests in work were cut off");
        }
        let (desk, play) = (self.desk, self.play);
        let closed = tokio::task::spawn_blocking(move || desk.close()).await;
        self.finish.cancel();
        let done = self.callbacks.await;
        if closed.is_err() || done.is_err() {
            tracing::error!("a part of the simulator had panicked");
        }
        let stats = self.stats.snapshot();
        if stats.pending > 0 {
            tracing::warn!(dropped = stats.pending, "receipts and replies were dropped unsent");
        }
        let fired = play.map(|play| play.fired()).unwrap_or_default();
        Summary { stats, fired, dropped: stats.pending }
    }
}

//! What the daemon answers over HTTP: provider callbacks, health, metrics. Listens on loopback by default.
//!
//! It never calls `dispatch`: a callback becomes a durable row, and dispatch sees it. Nothing is acknowledged before
//! it is on disk; what cannot be believed leaves a counter and nothing else.

mod callback;
mod gate;
mod health;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::StatusCode;
use axum::routing::{any, get};
use axum_server::Handle;
use hyper_util::rt::TokioTimer;
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;
use tower_http::timeout::{RequestBodyTimeoutLayer, TimeoutLayer};

use gate::{Connections, Gate};

pub use health::hello;

use crate::model::clock::Clock;
use crate::model::ids::IdSource;
use crate::provider::Adapter;
use crate::store::Store;
use crate::store::writer::Writer;
use crate::telemetry::{Metrics, Secret};

/// Bounds of the HTTP server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct HttpLimits {
    /// Largest body taken, in octets.
    pub body_bytes: usize,
    /// Longest wait for the request's headers, in seconds.
    pub header_seconds: u64,
    /// Longest pause between two pieces of a body; a whole request may take twice as long. In seconds.
    pub body_seconds: u64,
    /// Connections open at a time; more are closed as they come.
    pub connections: usize,
    /// Callbacks under way at a time, from their headers to the answer; more are answered 503.
    pub callbacks: usize,
    /// Octets of bodies that may be under way together, announced or read; more are answered 503.
    pub waiting_bytes: usize,
}

impl Default for HttpLimits {
    fn default() -> Self {
        Self {
            body_bytes: 1 << 20,
            header_seconds: 10,
            body_seconds: 15,
            connections: 1_024,
            callbacks: 512,
            waiting_bytes: 32 << 20,
        }
    }
}

/// One route's callback side.
#[derive(Clone, Debug)]
pub struct CallbackRoute {
    /// Its adapter.
    pub adapter: Arc<Adapter>,
    /// One-letter keywords that this route announces (`T`, `N`, `R`).
    pub one_letter: Vec<char>,
}

/// What the handlers share.
#[derive(Clone, Debug)]
pub struct HttpContext {
    /// The store, for readiness.
    pub store: Store,
    /// The writer.
    pub writer: Writer,
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// The metrics.
    pub metrics: Arc<Metrics>,
    /// Routes by name.
    pub routes: Arc<HashMap<String, CallbackRoute>>,
    /// The address under which providers call, for signatures over it.
    pub public_url: String,
    /// Cancelled once the daemon has failed and is ending.
    pub failed: CancellationToken,
    /// Cancelled once the daemon was asked to stop; callbacks are taken until what is under way has ended.
    pub stop: CancellationToken,
    /// What only this daemon and commands on its store know: proof of who answers a call.
    pub hello_key: Secret,
    /// Ids of callbacks.
    pub ids: Arc<IdSource>,
}

/// What a handler is given: the rest of the daemon, and the bounds of this server.
#[derive(Clone, Debug)]
struct Entry {
    context: Arc<HttpContext>,
    gate: Arc<Gate>,
}

/// The routes of the server.
pub fn router(context: HttpContext, limits: HttpLimits) -> Router {
    for route in context.routes.keys() {
        callback::count_from_zero(&context.metrics, route);
    }
    let context = Entry { context: Arc::new(context), gate: Arc::new(Gate::new(limits)) };
    let whole = Duration::from_secs(limits.body_seconds);
    Router::new()
        .route("/callback/{route}/receipt", any(callback::receipt))
        .route("/callback/{route}/receipt/{reference}", any(callback::receipt))
        .route("/callback/{route}/inbound", any(callback::inbound))
        .route("/callback/{route}/inbound/{reference}", any(callback::inbound))
        .route("/callback/.hello/{nonce}", get(health::answer_hello))
        .route("/healthz", get(health::healthz))
        .route("/readyz", get(health::readyz))
        .route("/metrics", get(health::metrics))
        .layer(DefaultBodyLimit::max(limits.body_bytes))
        .layer(RequestBodyTimeoutLayer::new(whole))
        .layer(TimeoutLayer::with_status_code(StatusCode::REQUEST_TIMEOUT, whole * 2))
        .with_state(context)
}

/// A running server.
#[derive(Debug)]
pub struct Server {
    handle: Handle<SocketAddr>,
    address: SocketAddr,
    task: tokio::task::JoinHandle<std::io::Result<()>>,
}

impl Server {
    /// Starts to listen; returns once the address is bound.
    ///
    /// # Errors
    /// When the address cannot be bound.
    pub fn start(listen: SocketAddr, context: HttpContext, limits: HttpLimits) -> std::io::Result<Self> {
        let listener = std::net::TcpListener::bind(listen)?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let handle = Handle::new();
        let connections = Connections::new(limits.connections, Arc::clone(&context.metrics));
        // One version: telling two apart waits for the first bytes without any deadline.
        let mut server =
            axum_server::from_tcp(listener)?.handle(handle.clone()).acceptor(connections).http1_only();
        // hyper keeps no deadline for headers unless it is given a timer.
        server
            .http_builder()
            .http1()
            .timer(TokioTimer::new())
            .header_read_timeout(Some(Duration::from_secs(limits.header_seconds)));
        let app = router(context, limits).into_make_service();
        let task = tokio::spawn(async move { server.serve(app).await });
        Ok(Self { handle, address, task })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Takes no new connection, lets open requests finish for at most `patience`, then closes.
    pub async fn stop(self, patience: Duration) {
        self.handle.graceful_shutdown(Some(patience));
        match self.task.await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::error!(%error, "the HTTP server ended badly"),
            Err(error) => tracing::error!(%error, "the HTTP server panicked"),
        }
    }
}

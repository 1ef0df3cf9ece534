//! Health for supervisors, metrics for Prometheus.

use axum::extract::{Path as UrlPath, State};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use super::Entry;
use crate::model::hex::hex;
use crate::telemetry::Secret;

/// Characters of a nonce.
const LONGEST_NONCE: usize = 64;

/// The process runs.
pub(super) async fn healthz() -> &'static str {
    "ok\n"
}

/// The answer to a call that asks who is there. A route has no dot in its name, so no callback is mistaken for one.
pub fn hello(key: &Secret, nonce: &str) -> String {
    let mut mac =
        Hmac::<Sha256>::new_from_slice(key.expose().as_bytes()).expect("HMAC takes a key of any length");
    // Callback tokens are made with the same key from names of routes, which have no space.
    mac.update(format!("hello {nonce}").as_bytes());
    hex(&mac.finalize().into_bytes()[..16])
}

/// Proves that a call to the public address comes to this daemon.
pub(super) async fn answer_hello(
    State(Entry { context, .. }): State<Entry>,
    UrlPath(nonce): UrlPath<String>,
) -> Response {
    if nonce.len() > LONGEST_NONCE {
        return StatusCode::NOT_FOUND.into_response();
    }
    hello(&context.hello_key, &nonce).into_response()
}

/// The daemon is whole, goes on, and the store can be written: receipts would be acknowledged and messages sent.
pub(super) async fn readyz(State(Entry { context, .. }): State<Entry>) -> Response {
    if context.failed.is_cancelled() {
        (StatusCode::SERVICE_UNAVAILABLE, "a task has failed; the daemon is ending\n").into_response()
    } else if context.stop.is_cancelled() {
        (StatusCode::SERVICE_UNAVAILABLE, "the daemon is stopping\n").into_response()
    } else if *context.writer.health().borrow() {
        "ready\n".into_response()
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "the store cannot be written; sending has stopped\n")
            .into_response()
    }
}

/// Every metric as OpenMetrics text.
pub(super) async fn metrics(State(Entry { context, .. }): State<Entry>) -> Response {
    // A store that cannot be read says so elsewhere; the page then shows the last count.
    if let Ok(waiting) = context.store.waiting_receipts().await {
        context.metrics.waiting_receipts.set(waiting);
    }
    let gauge = |octets: u64| i64::try_from(octets).unwrap_or(i64::MAX);
    if let Some(octets) = context.store.log_bytes() {
        context.metrics.store_log_bytes.set(gauge(octets));
    }
    if let Some(octets) = context.store.room() {
        context.metrics.disk_free_bytes.set(gauge(octets));
    }
    match context.metrics.page() {
        Ok(page) => ([(CONTENT_TYPE, "application/openmetrics-text; version=1.0.0; charset=utf-8")], page)
            .into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

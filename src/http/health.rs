//! Health for supervisors, metrics for Prometheus.

use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};

use super::Entry;

/// The process runs.
pub(super) async fn healthz() -> &'static str {
    "ok\n"
}

/// The daemon is whole and the store can be written: receipts would be acknowledged and messages sent.
pub(super) async fn readyz(State(Entry { context, .. }): State<Entry>) -> Response {
    if context.failed.is_cancelled() {
        (StatusCode::SERVICE_UNAVAILABLE, "a task has failed; the daemon is ending\n").into_response()
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

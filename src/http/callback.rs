//! Provider callbacks: verify over the raw bytes, translate, make durable, answer.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{FromRequest as _, Path, Request, State};
use axum::http::StatusCode;
use axum::http::header::{CONTENT_TYPE, RETRY_AFTER};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use serde::Deserialize;

use crate::model::clock::Timestamp;
use crate::model::delivery::Delivery;
use crate::model::receipt::{Inbound, Receipt};
use crate::provider::{Adapter, Callback, CallbackKind, VerifyError};
use crate::store::inbound::Reaction;
use crate::store::receipts::{Delivered, RawCallback};
use crate::store::writer::{Work, WriteError};
use crate::telemetry::metrics::{Metrics, Route, RouteWord};
use crate::text::keywords::{self, Keyword};

use super::gate::Taken;
use super::{CallbackRoute, Entry, HttpContext};

/// Seconds after which a provider that was turned away may call again.
const COME_BACK: &str = "5";

/// The path of a callback.
#[derive(Debug, Deserialize)]
pub(super) struct CallbackPath {
    route: String,
    reference: Option<String>,
}

/// `/callback/{route}/receipt[/{ref}]`
pub(super) async fn receipt(
    State(entry): State<Entry>,
    Path(path): Path<CallbackPath>,
    request: Request,
) -> Response {
    serve(CallbackKind::Receipt, &entry, &path, request).await
}

/// `/callback/{route}/inbound[/{ref}]`
pub(super) async fn inbound(
    State(entry): State<Entry>,
    Path(path): Path<CallbackPath>,
    request: Request,
) -> Response {
    serve(CallbackKind::Inbound, &entry, &path, request).await
}

async fn serve(kind: CallbackKind, entry: &Entry, path: &CallbackPath, mut request: Request) -> Response {
    let Entry { context, gate } = entry;
    let Some((name, route)) = context.routes.get_key_value(&path.route) else {
        return (StatusCode::NOT_FOUND, "no such route\n").into_response();
    };
    let refuse = |status: StatusCode, kind: &'static str| {
        context.metrics.refused_callbacks.get_or_create(&RouteWord { route: name.clone(), kind }).inc();
        let told = (status, format!("{kind}\n"));
        match status {
            StatusCode::SERVICE_UNAVAILABLE => ([(RETRY_AFTER, COME_BACK)], told).into_response(),
            _ => told.into_response(),
        }
    };
    let Some(place) = gate.enter() else { return refuse(StatusCode::SERVICE_UNAVAILABLE, "busy") };
    let (method, uri) = (request.method().clone(), request.uri().clone());
    let headers = std::mem::take(request.headers_mut());
    let Some(mut room) = gate.hold(&headers) else {
        return refuse(StatusCode::SERVICE_UNAVAILABLE, "busy");
    };
    let body = match Bytes::from_request(request, &()).await {
        Ok(body) => body,
        Err(rejection) => return rejection.into_response(),
    };
    gate.shrink(&mut room, body.len());
    let started = context.clock.elapsed();
    let now = context.clock.now();
    let called = uri.path_and_query().map_or("/", |pq| pq.as_str());
    let url = format!("{}{called}", context.public_url.trim_end_matches('/'));
    let callback = Callback {
        kind,
        method: method.as_str(),
        url: &url,
        path_ref: path.reference.as_deref(),
        headers: &headers,
        body: &body,
    };
    if let Err(error) = route.adapter.verify(&callback, now) {
        return refuse(StatusCode::FORBIDDEN, refusal(error));
    }
    let Ok(delivered) = translate(context, route, name, &callback, now) else {
        return refuse(StatusCode::BAD_REQUEST, "malformed");
    };
    // Parts of the connection's buffer, which would else get a new one while this waits for the disk.
    drop((body, headers, uri));
    if store(context, kind, delivered, (place, room)).await.is_err() {
        return refuse(StatusCode::SERVICE_UNAVAILABLE, "store");
    }
    let took = context.clock.elapsed().saturating_sub(started);
    context
        .metrics
        .acknowledge_seconds
        .get_or_create(&Route { route: name.clone() })
        .observe(took.as_secs_f64());
    answer(&route.adapter, kind)
}

/// Durable first, then counted. It goes on when the caller hangs up, and takes up its room for as long as it does. What
/// must be known at once (a STOP) the writer tells the lanes itself.
async fn store(
    context: &Arc<HttpContext>,
    kind: CallbackKind,
    delivered: Delivered,
    taken: (Taken, Taken),
) -> Result<(), WriteError> {
    let context = Arc::clone(context);
    let stored = tokio::spawn(async move {
        let delivered = Arc::new(delivered);
        let work = match kind {
            CallbackKind::Receipt => Work::Receive(Arc::clone(&delivered)),
            CallbackKind::Inbound => Work::Listen(Arc::clone(&delivered)),
        };
        context.writer.write(work).await?;
        count(&context, &delivered);
        drop(taken);
        Ok(())
    });
    stored.await.unwrap_or(Err(WriteError::Stopped))
}

fn translate(
    context: &HttpContext,
    route: &CallbackRoute,
    name: &str,
    callback: &Callback<'_>,
    now: Timestamp,
) -> Result<Delivered, crate::provider::CallbackError> {
    let (receipts, texts) = match callback.kind {
        CallbackKind::Receipt => (route.adapter.receipts(callback)?, Vec::new()),
        CallbackKind::Inbound => (Vec::new(), route.adapter.inbound(callback)?),
    };
    let (mut receipts, mut texts): (Vec<Receipt>, Vec<Inbound>) = (receipts, texts);
    receipts.iter_mut().for_each(clean_receipt);
    texts.iter_mut().for_each(clean_inbound);
    let inbound = texts.into_iter().map(|text| (reaction(&text, &route.one_letter), text));
    let (body, body_encoding) = match std::str::from_utf8(callback.body) {
        Ok(text) if !text.contains('\0') => (text.to_owned(), "utf8"),
        _ => (base64::engine::general_purpose::STANDARD.encode(callback.body), "base64"),
    };
    let content_type = callback.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    Ok(Delivered {
        id: context.ids.next(now),
        route: name.to_owned(),
        received_at: now,
        raw: RawCallback {
            kind: word(callback.kind),
            method: callback.method.to_owned(),
            url: shown_url(&route.adapter, name, callback),
            path_ref: callback.path_ref.map(|text| cleaned(route.adapter.without_token(text))),
            content_type: content_type.map(str::to_owned),
            body,
            body_encoding,
        },
        receipts,
        inbound: inbound.map(|(reaction, text)| (text, reaction)).collect(),
    })
}

/// Path and query that were called, put together anew: however the token in it was escaped, it is not shown.
fn shown_url(adapter: &Adapter, route: &str, callback: &Callback<'_>) -> String {
    let mut url = format!("/callback/{route}/{}", word(callback.kind));
    for (mark, rest) in
        [('/', callback.path_ref), ('?', callback.url.split_once('?').map(|(_, query)| query))]
    {
        if let Some(rest) = rest {
            url.push(mark);
            url.push_str(&adapter.without_token(rest));
        }
    }
    cleaned(url)
}

fn word(kind: CallbackKind) -> &'static str {
    match kind {
        CallbackKind::Receipt => "receipt",
        CallbackKind::Inbound => "inbound",
    }
}

/// No database keeps a NUL in a text; a callback must not be refused for ever because of one.
fn cleaned(text: String) -> String {
    if text.contains('\0') { text.replace('\0', "") } else { text }
}

fn clean_receipt(receipt: &mut Receipt) {
    let Receipt { reference, provider_id, status, code, .. } = receipt;
    for text in [reference, provider_id, code].into_iter().flatten().chain([status]) {
        *text = cleaned(std::mem::take(text));
    }
}

fn clean_inbound(inbound: &mut Inbound) {
    for text in [&mut inbound.to, &mut inbound.text].into_iter().chain(&mut inbound.provider_id) {
        *text = cleaned(std::mem::take(text));
    }
}

fn reaction(text: &Inbound, one_letter: &[char]) -> Reaction {
    match keywords::classify(&text.text, one_letter) {
        Keyword::Stop { .. } => Reaction::Stop,
        Keyword::Review => Reaction::Review,
        Keyword::Start => Reaction::Start,
        Keyword::Help | Keyword::Other => Reaction::Keep,
    }
}

fn count(context: &HttpContext, delivered: &Delivered) {
    for receipt in &delivered.receipts {
        let word = RouteWord { route: delivered.route.clone(), kind: receipt.state.as_str() };
        context.metrics.receipts.get_or_create(&word).inc();
    }
    for (_, reaction) in &delivered.inbound {
        let word = RouteWord { route: delivered.route.clone(), kind: reaction.as_str() };
        context.metrics.inbound.get_or_create(&word).inc();
    }
}

fn answer(adapter: &Adapter, kind: CallbackKind) -> Response {
    let reply = adapter.reply(kind);
    let status = StatusCode::from_u16(reply.status).unwrap_or(StatusCode::OK);
    match reply.content_type {
        Some(content_type) => (status, [(CONTENT_TYPE, content_type)], reply.body).into_response(),
        None => (status, reply.body).into_response(),
    }
}

/// Every reason for which a call is refused.
const REFUSALS: [&str; 6] = ["busy", "malformed", "store", "unsigned", "forged", "stale"];

/// Has a route's callbacks counted before the first one comes: what begins with its first event has no rate then.
pub(super) fn count_from_zero(metrics: &Metrics, route: &str) {
    let word = |kind| RouteWord { route: route.to_owned(), kind };
    for state in Delivery::ALL {
        drop(metrics.receipts.get_or_create(&word(state.as_str())));
    }
    for reaction in Reaction::ALL {
        drop(metrics.inbound.get_or_create(&word(reaction.as_str())));
    }
    for reason in REFUSALS {
        drop(metrics.refused_callbacks.get_or_create(&word(reason)));
    }
    drop(metrics.acknowledge_seconds.get_or_create(&Route { route: route.to_owned() }));
}

fn refusal(error: VerifyError) -> &'static str {
    match error {
        VerifyError::Missing => "unsigned",
        VerifyError::Mismatch => "forged",
        VerifyError::Stale => "stale",
        VerifyError::Malformed => "malformed",
    }
}

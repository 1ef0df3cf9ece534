//! Provider callbacks: verify over the raw bytes, translate, make durable, answer.

use axum::body::Bytes;
use axum::extract::{OriginalUri, Path, State};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, Method, StatusCode};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use serde::Deserialize;

use crate::model::clock::Timestamp;
use crate::model::receipt::{Inbound, Receipt};
use crate::provider::{Adapter, Callback, CallbackKind, VerifyError};
use crate::store::inbound::Reaction;
use crate::store::receipts::{Delivered, RawCallback};
use crate::store::writer::Work;
use crate::telemetry::metrics::{Route, RouteWord};
use crate::text::keywords::{self, Keyword};

use super::{CallbackRoute, HttpContext};

/// The path of a callback.
#[derive(Debug, Deserialize)]
pub(super) struct CallbackPath {
    route: String,
    reference: Option<String>,
}

/// The request around a callback's body.
type Around = (State<HttpContext>, Path<CallbackPath>, Method, OriginalUri, HeaderMap);

/// `/callback/{route}/receipt[/{ref}]`
pub(super) async fn receipt(around: Around, body: Bytes) -> Response {
    serve(CallbackKind::Receipt, around, &body).await
}

/// `/callback/{route}/inbound[/{ref}]`
pub(super) async fn inbound(around: Around, body: Bytes) -> Response {
    serve(CallbackKind::Inbound, around, &body).await
}

async fn serve(kind: CallbackKind, around: Around, body: &[u8]) -> Response {
    let (State(context), Path(path), method, OriginalUri(uri), headers) = around;
    let Some((name, route)) = context.routes.get_key_value(&path.route) else {
        return (StatusCode::NOT_FOUND, "no such route\n").into_response();
    };
    let started = context.clock.elapsed();
    let now = context.clock.now();
    let query = uri.path_and_query().map_or("/", |pq| pq.as_str());
    let url = format!("{}{query}", context.public_url.trim_end_matches('/'));
    let callback = Callback {
        kind,
        method: method.as_str(),
        url: &url,
        path_ref: path.reference.as_deref(),
        headers: &headers,
        body,
    };
    let refuse = |status: StatusCode, kind: &'static str| {
        context.metrics.refused_callbacks.get_or_create(&RouteWord { route: name.clone(), kind }).inc();
        (status, format!("{kind}\n")).into_response()
    };
    if let Err(error) = route.adapter.verify(&callback, now) {
        return refuse(StatusCode::FORBIDDEN, refusal(error));
    }
    let Ok(delivered) = translate(&context, route, name, &callback, now) else {
        return refuse(StatusCode::BAD_REQUEST, "malformed");
    };
    if store(&context, kind, delivered).await.is_err() {
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

/// Durable first. What must be known at once (a STOP) the writer tells the lanes itself, so that it does not depend on
/// a caller who waits for the answer.
async fn store(
    context: &HttpContext,
    kind: CallbackKind,
    delivered: Delivered,
) -> Result<(), crate::store::writer::WriteError> {
    count(context, &delivered);
    let delivered = Box::new(delivered);
    let work = match kind {
        CallbackKind::Receipt => Work::Receive(delivered),
        CallbackKind::Inbound => Work::Listen(delivered),
    };
    context.writer.write(work).await?;
    Ok(())
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
            kind: if callback.kind == CallbackKind::Receipt { "receipt" } else { "inbound" },
            method: callback.method.to_owned(),
            url: callback.url.to_owned(),
            path_ref: callback.path_ref.map(|text| cleaned(text.to_owned())),
            content_type: content_type.map(str::to_owned),
            body,
            body_encoding,
        },
        receipts,
        inbound: inbound.map(|(reaction, text)| (text, reaction)).collect(),
    })
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

fn refusal(error: VerifyError) -> &'static str {
    match error {
        VerifyError::Missing => "unsigned",
        VerifyError::Mismatch => "forged",
        VerifyError::Stale => "stale",
        VerifyError::Malformed => "malformed",
    }
}

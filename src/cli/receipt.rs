//! `winback receipt replay`: kept callbacks read again with the definition as it is now. Verifies nothing again: only
//! verified calls are kept.

use std::process::ExitCode;

use base64::Engine as _;
use clap::{Args, Subcommand};
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use serde_json::json;

use crate::daemon::routes;
use crate::model::clock::Timestamp;
use crate::provider::{Adapter, Callback, CallbackError, CallbackKind};
use crate::store::inbox::KeptCallback;
use crate::store::receipts::{Delivered, Received};

use super::{Context, WrongUse, print, terms};

/// Callbacks read and written at a time; a daemon on the same file waits for no longer than one of these.
const PAGE: i64 = 200;

/// Receipts.
#[derive(Debug, Subcommand)]
pub(super) enum ReceiptCommand {
    /// Read kept callbacks again with the provider's definition as it is now; what is known already changes nothing.
    Replay(ReplayArgs),
}

/// Which callbacks.
#[derive(Debug, Args)]
pub(super) struct ReplayArgs {
    /// Name of the route.
    #[arg(long)]
    route: String,
    /// Only those that came at or after this time.
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
}

/// What a replay did.
#[derive(Default)]
struct Replayed {
    callbacks: usize,
    unreadable: usize,
    received: Received,
}

pub(super) async fn run(context: &Context, command: ReceiptCommand) -> anyhow::Result<ExitCode> {
    let ReceiptCommand::Replay(args) = command;
    let config = context.config()?;
    if !config.routes.contains_key(&args.route) {
        let known: Vec<&str> = config.routes.keys().map(String::as_str).collect();
        let told = format!("there is no route `{}` in [routes]; there are: {}", args.route, known.join(", "));
        return Err(WrongUse(told).into());
    }
    let since = args.since.as_deref().map(|text| terms::time(&config, text)).transpose()?;
    let store = context.store(&config).await?;
    let key = routes::token_key(&store).await?;
    let adapter = routes::one(&config, &routes::catalog(&config)?, &key, &args.route)?.adapter;
    let (mut done, mut after) = (Replayed::default(), 0);
    loop {
        let page = store.kept_receipts(&args.route, since.unwrap_or(Timestamp(0)), after, PAGE).await?;
        let Some(last) = page.last() else { break };
        after = last.id;
        done.callbacks += page.len();
        let mut delivered = Vec::with_capacity(page.len());
        for kept in page {
            match read(&adapter, &args.route, kept) {
                Ok(one) => delivered.push(one),
                Err(_) => done.unreadable += 1,
            }
        }
        let mut batch = store.batch().await?;
        let received = batch.replay(&delivered, context.now()).await?;
        batch.commit().await?;
        done.received.matched += received.matched;
        done.received.parked += received.parked;
        done.received.changed += received.changed;
    }
    store.close().await;
    let Replayed { callbacks, unreadable, received: Received { matched, parked, changed } } = done;
    if context.json() {
        print::json(&json!({
            "callbacks": callbacks, "unreadable": unreadable, "matched": matched, "parked": parked, "changed": changed,
        }))?;
    } else {
        print::line(format!("{callbacks} callbacks read again, {unreadable} of them cannot be read"));
        print::line(format!(
            "{matched} reports found their message, {parked} are of no known message; {changed} messages changed"
        ));
    }
    Ok(if unreadable == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// A kept callback as the definition reads it now. Of its headers only the content type was kept.
fn read(adapter: &Adapter, route: &str, kept: KeptCallback) -> Result<Delivered, CallbackError> {
    let body = match kept.raw.body_encoding {
        "base64" => base64::engine::general_purpose::STANDARD.decode(&kept.raw.body).unwrap_or_default(),
        _ => kept.raw.body.clone().into_bytes(),
    };
    let content_type = kept.raw.content_type.as_deref().and_then(|text| HeaderValue::from_str(text).ok());
    let headers: HeaderMap = content_type.map(|value| (CONTENT_TYPE, value)).into_iter().collect();
    let callback = Callback {
        kind: CallbackKind::Receipt,
        method: &kept.raw.method,
        url: &kept.raw.url,
        path_ref: kept.raw.path_ref.as_deref(),
        headers: &headers,
        body: &body,
    };
    let receipts = adapter.receipts(&callback)?;
    Ok(Delivered {
        id: kept.id,
        route: route.to_owned(),
        received_at: kept.received_at,
        raw: kept.raw,
        receipts,
        inbound: Vec::new(),
    })
}

//! One text to one number, for `winback provider try` and `winback test`: no run, no message, no stock.
//!
//! Sends to nobody who is suppressed and to no country that the route does not name; if that cannot be looked up,
//! nothing is sent.

use std::process::ExitCode;
use std::time::Duration;

use rand::RngExt as _;
use serde_json::json;

use crate::config::{Config, RouteConfig};
use crate::daemon::routes;
use crate::model::number::{self, Number};
use crate::model::outcome::{OutcomeClass, Proof};
use crate::provider::{Adapter, Exchange, Submission, Transport, TransportLimits};
use crate::store::Store;
use crate::telemetry::Secret;
use crate::text::parts;

use super::{Context, WrongUse, print};

/// How long the text is worth delivering.
const VALIDITY: Duration = Duration::from_hours(1);

/// The text and where it goes.
pub(super) struct OneText {
    pub(super) route: String,
    pub(super) to: String,
    pub(super) text: String,
    pub(super) sender: Option<String>,
    pub(super) dry_run: bool,
    /// The campaign that is tested, for what is printed.
    pub(super) campaign: Option<String>,
}

/// What came of it.
struct Verdict {
    class: OutcomeClass,
    because: String,
    code: Option<String>,
    provider_id: Option<String>,
    http: Option<u16>,
}

/// The number a person wrote, if it may be texted at all.
pub(super) fn recipient(config: &Config, text: &str) -> anyhow::Result<Number> {
    let number =
        number::parse(text, config.shop.country).map_err(|error| WrongUse(format!("--to: {error}")))?;
    if !number.valid || !number.kind.may_text() {
        let told = format!("--to: a number of kind {} is not texted", number.kind.as_str());
        return Err(WrongUse(told).into());
    }
    Ok(number)
}

/// Sends the text, or prints the request.
pub(super) async fn send(context: &Context, config: &Config, one: OneText) -> anyhow::Result<ExitCode> {
    let route = config.routes.get(&one.route).ok_or_else(|| {
        let known: Vec<&str> = config.routes.keys().map(String::as_str).collect();
        let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
        WrongUse(format!("there is no route `{}` in [routes]; there are: {known}", one.route))
    })?;
    let number = recipient(config, &one.to)?;
    covered(route, &number)?;
    let sender = one.sender.clone().or_else(|| route.senders.first().cloned()).unwrap_or_default();
    let store = context.store(config).await;
    let key = match &store {
        Ok(store) => routes::token_key(store).await?,
        // Only a request that is never sent gets this far without a store.
        Err(_) => Secret::new("no store"),
    };
    let adapter = routes::one(config, &routes::catalog(config)?, &key, &one.route)?.adapter;
    let submission = submission(config, &adapter, &one, &number, sender);
    if one.dry_run {
        return dry_run(context, &adapter, &one, &submission);
    }
    let store = store?;
    allowed(&store, &submission).await?;
    let verdict = exchange(context, &adapter, &submission).await?;
    store.close().await;
    told(context, &one, &submission, &verdict)
}

fn covered(route: &RouteConfig, number: &Number) -> anyhow::Result<()> {
    match number.region {
        Some(region) if route.countries.contains(&region) => Ok(()),
        Some(region) => {
            Err(WrongUse(format!("this route does not text {region}; add it to `countries`")).into())
        }
        None => Err(WrongUse("the number belongs to no country, so no route texts it".to_owned()).into()),
    }
}

async fn allowed(store: &Store, submission: &Submission) -> anyhow::Result<()> {
    if store.is_suppressed(submission.to, &submission.sender).await? {
        anyhow::bail!("this number is suppressed and is not texted, not even for a test; nothing was sent");
    }
    Ok(())
}

fn submission(
    config: &Config,
    adapter: &Adapter,
    one: &OneText,
    number: &Number,
    sender: String,
) -> Submission {
    let count = parts::count(&one.text);
    // Never the reference of a message: those begin with the store's tag and a hyphen.
    let reference = format!("try{:012x}", rand::rng().random_range(0..1_u64 << 48));
    let url = config.daemon.public_url.as_deref();
    Submission {
        callback_url: url.and_then(|url| adapter.callback_url(url, &reference)),
        reference,
        to: number.phone,
        sender,
        text: one.text.clone(),
        encoding: count.encoding,
        parts: count.parts,
        validity: Some(VALIDITY),
    }
}

fn dry_run(
    context: &Context,
    adapter: &Adapter,
    one: &OneText,
    submission: &Submission,
) -> anyhow::Result<ExitCode> {
    let request = adapter.request(std::slice::from_ref(submission)).to_string();
    if context.json() {
        print::json(&json!({
            "sent": false, "test": one.campaign.is_some(), "campaign": one.campaign, "route": one.route,
            "text": submission.text, "encoding": submission.encoding, "parts": submission.parts, "request": request,
        }))?;
    } else {
        print::line(request.trim_end());
        print::line("");
        print::line("nothing was sent");
    }
    Ok(ExitCode::SUCCESS)
}

async fn exchange(context: &Context, adapter: &Adapter, submission: &Submission) -> anyhow::Result<Verdict> {
    let transport = Transport::new(TransportLimits { in_flight: 1, ..TransportLimits::default() })?;
    let one = std::slice::from_ref(submission);
    let without = |class, because: &str| Verdict {
        class,
        because: because.to_owned(),
        code: None,
        provider_id: None,
        http: None,
    };
    Ok(match transport.send(adapter.request(one)).await {
        Exchange::NotSent(why) => without(OutcomeClass::Unavailable, why),
        Exchange::Unknown(why) => without(OutcomeClass::Unknown, why),
        Exchange::Answer(answer) => {
            let judged = adapter.judge(&answer, one, context.now()).into_iter().next();
            judged.map_or_else(
                || without(OutcomeClass::Unknown, "the answer says nothing about the text"),
                |judged| Verdict {
                    class: judged.outcome.class,
                    because: judged.because,
                    code: judged.outcome.code,
                    provider_id: judged.outcome.provider_id,
                    http: Some(answer.status),
                },
            )
        }
    })
}

/// Whether the text left: nobody knows after an answer that got lost.
fn sent(class: OutcomeClass) -> Option<bool> {
    match class.proof() {
        Proof::Accepted => Some(true),
        Proof::Ambiguous => None,
        Proof::Refused | Proof::NotSent | Proof::RouteBroken => Some(false),
    }
}

fn told(
    context: &Context,
    one: &OneText,
    submission: &Submission,
    verdict: &Verdict,
) -> anyhow::Result<ExitCode> {
    let accepted = verdict.class == OutcomeClass::Accepted;
    if context.json() {
        print::json(&json!({
            "sent": sent(verdict.class), "test": one.campaign.is_some(), "campaign": one.campaign, "route": one.route,
            "text": submission.text, "encoding": submission.encoding, "parts": submission.parts,
            "outcome": verdict.class.as_str(), "because": verdict.because, "code": verdict.code,
            "provider_id": verdict.provider_id, "http": verdict.http, "reference": submission.reference,
        }))?;
    } else {
        if let Some(campaign) = &one.campaign {
            print::line(format!("TEST of {campaign}: no message of a run, no code from stock"));
            print::line(&submission.text);
            print::line("");
        }
        let (encoding, parts) = (submission.encoding.as_str(), submission.parts);
        print::line(format!("through {}: {encoding}, {parts} part(s)", one.route));
        let http = verdict.http.map_or_else(|| "no answer".to_owned(), |status| format!("http {status}"));
        print::line(format!("{} ({http}), because of {}", verdict.class.as_str(), verdict.because));
        if let Some(code) = &verdict.code {
            print::line(format!("the provider's code: {code}"));
        }
        if let Some(id) = &verdict.provider_id {
            print::line(format!("the provider's id: {id}"));
        }
        if !accepted && sent(verdict.class) == Some(false) {
            print::line("nothing was sent");
        }
        if sent(verdict.class).is_none() {
            print::line("the text may have been sent; look at the phone before you try again");
        }
    }
    Ok(if accepted { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

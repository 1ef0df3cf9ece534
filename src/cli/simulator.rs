//! `winback simulator`: a provider to rehearse against, in a process of its own.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use clap::{Args, Subcommand};
use serde_json::json;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::model::clock::{Clock, ShiftedClock};
use crate::simulator::config::{Curve, Failures, Lookups, Receipts, Replies, ReplyText, SimulatorConfig};
use crate::simulator::{Fired, Script, Simulator, SimulatorError};
use crate::telemetry::Secret;

use super::{Context, WrongUse, print, written};

mod audit;

/// Octets that a script may have.
const LONGEST_SCRIPT: u64 = 1 << 20;

/// Play an SMS provider: take texts over HTTP, keep a ledger of them, send receipts, misbehave as told.
///
/// It speaks JSON (`POST /v1/messages`, bearer token), as the definition `simulator` does, and the queries of SMS gateways:
/// `GET /cgi-bin/sendsms?username=…&password=KEY&from=…&to=…&text=…&reference=…&dlr-mask=…&dlr-url=…`, answered by `0:
/// Accepted for delivery, id ID` or by what is wrong. Any username will do; without a reference the last piece of the
/// path of dlr-url is one. A receipt calls dlr-url for events whose bit is in dlr-mask (1 delivered, 2 not delivered, 4
/// on its way): %d becomes the bit, %I and %F the id, %A the network's words. Receipts of another account and for strange
/// messages are not played there, and a script's answers stay JSON.
///
/// A script is misbehaviour by phases; `winback simulator scripts` lists those that come along, and each of them is an
/// example for one of your own. What became of a run is told by `winback simulator audit LEDGER STORE`.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(super) struct SimulatorArgs {
    #[command(subcommand)]
    command: Option<SimulatorCommand>,
    /// Where to listen; port 0 takes a free one, which is printed.
    #[arg(long, default_value = "127.0.0.1:8490")]
    listen: SocketAddr,
    /// Append-only file of everything accepted, on disk before each answer.
    #[arg(long, default_value = "simulator-ledger.jsonl")]
    ledger: PathBuf,
    /// Bearer token that submissions must carry.
    #[arg(long, default_value = "simulator")]
    key: String,
    /// Key that signs receipts and replies.
    #[arg(long, default_value = "simulator-signing")]
    signing_key: String,
    /// Misbehave by this script: a name from `winback simulator scripts`, or a file.
    #[arg(long, value_name = "NAME|FILE")]
    script: Option<String>,
    /// Seed of every decision; the same seed gives the same message the same answers.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Parts per second before it answers 429.
    #[arg(long)]
    parts_per_second: Option<u32>,
    /// Answer time: median and 95th percentile in milliseconds.
    #[arg(long, value_names = ["MEDIAN", "P95"], num_args = 2)]
    latency_ms: Option<Vec<u64>>,
    /// Shares of submissions that fail: throttled, bad-number, bad-text, opted-out, unavailable, failed, failed-accepted,
    /// silent, reset; several with commas or by repeating it, for instance `reset=0.01,throttled=0.1`.
    #[arg(long, value_name = "KIND=SHARE,…", value_delimiter = ',')]
    fail: Vec<String>,
    /// Shares of accepted texts by their end: undelivered, expired, rejected, never; the rest is delivered. Several with
    /// commas or by repeating it.
    #[arg(long, value_name = "END=SHARE,…", value_delimiter = ',')]
    end: Vec<String>,
    /// Time to the final receipt: median and 95th percentile in milliseconds.
    #[arg(long, value_names = ["MEDIAN", "P95"], num_args = 2)]
    receipt_ms: Option<Vec<u64>>,
    /// Receipts in one request.
    #[arg(long, default_value_t = 1)]
    receipts_per_request: usize,
    /// One address for all receipts instead of each message's own.
    #[arg(long)]
    receipt_url: Option<String>,
    /// Where customers' replies go; without it nobody answers.
    #[arg(long)]
    inbound_url: Option<String>,
    /// What customers answer and how often, for instance `STOP=0.01`.
    #[arg(long, value_name = "TEXT=SHARE", default_value = "STOP=0.01")]
    reply: Vec<String>,
    /// A look-up shows a text this many milliseconds after it was taken.
    #[arg(long, value_name = "MS", default_value_t = 0)]
    lookup_after_ms: u64,
    /// Seconds for which a repeated `idempotency-key` is answered as the first time; 0 ignores keys.
    #[arg(long, value_name = "SECONDS", default_value_t = 0)]
    idempotent_for: u64,
    /// Time from delivery to the reply: median and 95th percentile in milliseconds.
    #[arg(long, value_names = ["MEDIAN", "P95"], num_args = 2)]
    reply_ms: Option<Vec<u64>>,
    /// Do not sync the ledger: faster, proves nothing after a power cut.
    #[arg(long)]
    no_sync: bool,
    /// Seconds to keep sending receipts after it is told to stop.
    #[arg(long, default_value_t = 0)]
    drain: u64,
    /// Show this time at the start instead of the machine's (RFC 3339).
    #[arg(long, value_name = "TIME")]
    clock: Option<String>,
    /// Stop when standard input ends, as it does when whoever started this is gone.
    #[arg(long, hide = true)]
    until_input_ends: bool,
}

#[derive(Debug, Subcommand)]
enum SimulatorCommand {
    Audit(audit::AuditArgs),
    /// List the scripts that come along, or print one.
    Scripts {
        /// Print the text of this one.
        name: Option<String>,
    },
}

pub(super) async fn run(context: &Context, args: SimulatorArgs) -> anyhow::Result<ExitCode> {
    match args.command {
        Some(SimulatorCommand::Audit(args)) => audit::run(context, args).await,
        Some(SimulatorCommand::Scripts { name }) => scripts(context, name.as_deref()),
        None => play(context, args).await,
    }
}

async fn play(context: &Context, args: SimulatorArgs) -> anyhow::Result<ExitCode> {
    let clock: Arc<dyn Clock> = match &args.clock {
        Some(text) => {
            let at = crate::model::clock::Timestamp::parse(text).map_err(|_| {
                WrongUse(format!("--clock {text}: write RFC 3339, like 2018-01-02T18:30:00Z"))
            })?;
            Arc::new(ShiftedClock::starting_at(at))
        }
        None => context.clock(),
    };
    let stop = CancellationToken::new();
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    // It may be played without a shop; where there is one, its files are no ledger.
    let shop = context.config_if_any()?;
    written::refuse_own(context, shop.as_ref(), &args.ledger)?;
    let until_input_ends = args.until_input_ends;
    let simulator = match Simulator::start(config(args)?, clock, stop.clone()).await {
        Err(wrong @ SimulatorError::Config { .. }) => return Err(WrongUse(wrong.to_string()).into()),
        started => started?,
    };
    print::line(format!("listening on {}", simulator.address()));
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
            () = input_ends(), if until_input_ends => {}
        }
        stop.cancel();
    });
    let summary = simulator.wait().await;
    let mut told = serde_json::to_value(summary.stats)?;
    if !summary.fired.is_empty() {
        told["fired"] = serde_json::to_value(&summary.fired)?;
        unseen(&summary.fired);
    }
    print::json(&told)?;
    if summary.dropped > 0 {
        print::note(format!("{} receipts and replies were still to come and are dropped", summary.dropped));
    }
    Ok(ExitCode::SUCCESS)
}

/// Faults of the script that nobody has seen prove nothing; says which.
pub(super) fn unseen(fired: &[Fired]) {
    for fault in fired.iter().filter(|fault| fault.times == 0) {
        print::note(format!("the script's fault `{}` was never seen", fault.fault));
    }
}

/// The script of this name or in this file.
pub(super) fn script(name: &str) -> anyhow::Result<Script> {
    if !name.contains(['/', '.']) {
        let known = || {
            WrongUse(format!(
                "there is no script `{name}`; there are {}",
                Script::names().collect::<Vec<_>>().join(", ")
            ))
        };
        return Ok(Script::builtin(name).ok_or_else(known)??);
    }
    let path = Path::new(name);
    let read = || format!("the script {} cannot be read", path.display());
    if !path.exists() {
        return Err(WrongUse(format!(
            "there is no script {}; `winback simulator scripts` lists those that come along",
            path.display()
        ))
        .into());
    }
    let long = std::fs::metadata(path).with_context(read)?.len() > LONGEST_SCRIPT;
    if long {
        return Err(WrongUse(format!(
            "{} has more than a million octets; a script has a few hundred",
            path.display()
        ))
        .into());
    }
    Ok(Script::parse(name, &std::fs::read_to_string(path).with_context(read)?)?)
}

fn scripts(context: &Context, name: Option<&str>) -> anyhow::Result<ExitCode> {
    if let Some(name) = name {
        let unknown =
            || WrongUse(format!("there is no script `{name}`; `winback simulator scripts` lists them"));
        let text = Script::text(name).ok_or_else(unknown)?.trim_end();
        if context.json() {
            print::json(&json!({"name": name, "toml": text}))?;
        } else {
            print::line(text);
        }
        return Ok(ExitCode::SUCCESS);
    }
    let mut all = Vec::new();
    for name in Script::names() {
        let script = script(name)?;
        all.push(json!({"name": name, "about": script.about, "faults": script.faults().collect::<Vec<_>>()}));
    }
    if context.json() {
        print::json(&all)?;
    } else {
        let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
        print::table(
            &["script", "plays"],
            &[],
            all.iter().map(|one| vec![text(&one["name"]), text(&one["about"])]),
        );
    }
    Ok(ExitCode::SUCCESS)
}

async fn input_ends() {
    // An input that cannot be read has ended, too.
    let read = || std::io::copy(&mut std::io::stdin().lock(), &mut std::io::sink());
    let _ = tokio::task::spawn_blocking(read).await;
}

fn config(args: SimulatorArgs) -> anyhow::Result<SimulatorConfig> {
    let defaults = SimulatorConfig::default();
    let mut failures = Failures { ..defaults.failures };
    for (kind, share) in shares("--fail", &args.fail)? {
        let place = match kind.as_str() {
            "throttled" => &mut failures.throttled,
            "bad-number" => &mut failures.bad_number,
            "bad-text" => &mut failures.bad_text,
            "opted-out" => &mut failures.opted_out,
            "unavailable" => &mut failures.unavailable,
            "failed" => &mut failures.failed,
            "failed-accepted" => {
                failures.failed_accepts = true;
                &mut failures.failed
            }
            "silent" => &mut failures.silent,
            "reset" => &mut failures.reset,
            _ => {
                let known = "throttled, bad-number, bad-text, opted-out, unavailable, failed, failed-accepted, silent, reset";
                return Err(
                    WrongUse(format!("--fail {kind}: there is no such failure; there are: {known}")).into()
                );
            }
        };
        *place = share;
    }
    let mut receipts =
        Receipts { url: args.receipt_url, per_request: args.receipts_per_request, ..defaults.receipts };
    for (end, share) in shares("--end", &args.end)? {
        let place = match end.as_str() {
            "undelivered" => &mut receipts.undelivered,
            "expired" => &mut receipts.expired,
            "rejected" => &mut receipts.rejected,
            "never" => &mut receipts.never,
            _ => {
                let known = "undelivered, expired, rejected, never";
                return Err(WrongUse(format!("--end {end}: there is no such end; there are: {known}")).into());
            }
        };
        *place = share;
    }
    if let Some(curve) = args.receipt_ms.as_deref().and_then(curve) {
        receipts.delay = curve;
    }
    let texts = shares("--reply", &args.reply)?.into_iter().map(|(text, share)| ReplyText { share, text });
    let replies = Replies {
        url: args.inbound_url,
        texts: texts.collect(),
        delay: args.reply_ms.as_deref().and_then(curve).unwrap_or(defaults.replies.delay),
    };
    Ok(SimulatorConfig {
        listen: args.listen,
        key: Secret::new(args.key),
        signing_key: Secret::new(args.signing_key),
        ledger: args.ledger,
        sync: !args.no_sync,
        seed: args.seed,
        script: args.script.as_deref().map(script).transpose()?,
        parts_per_second: args.parts_per_second,
        latency: args.latency_ms.as_deref().and_then(curve).unwrap_or_default(),
        failures,
        receipts,
        lookups: Lookups { after: Duration::from_millis(args.lookup_after_ms), ..Lookups::default() },
        idempotent_for: Duration::from_secs(args.idempotent_for),
        replies,
        drain: Duration::from_secs(args.drain),
        ..SimulatorConfig::default()
    })
}

fn curve(pair: &[u64]) -> Option<Curve> {
    let [median, p95] = pair else { return None };
    Some(Curve::new(Duration::from_millis(*median), Duration::from_millis(*p95)))
}

fn shares(flag: &str, list: &[String]) -> Result<Vec<(String, f64)>, WrongUse> {
    let wrong = |item: &str| {
        WrongUse(format!(
            "{flag} {item}: write NAME=SHARE with a share from 0 to 1, such as {flag} {}",
            example(flag)
        ))
    };
    list.iter()
        .map(|item| {
            let (name, share) = item.rsplit_once('=').ok_or_else(|| wrong(item))?;
            let share: f64 = share.parse().map_err(|_| wrong(item))?;
            if !(0.0..=1.0).contains(&share) {
                return Err(wrong(item));
            }
            Ok((name.to_owned(), share))
        })
        .collect()
}

/// How a list of shares is written.
fn example(flag: &str) -> &'static str {
    match flag {
        "--fail" => "reset=0.01,throttled=0.1",
        "--end" => "undelivered=0.05,never=0.01",
        _ => "STOP=0.01",
    }
}

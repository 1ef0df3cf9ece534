//! `winback store prune`: retention, a bounded transaction at a time, beside a daemon that goes on sending.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::bail;
use clap::Args;
use serde_json::json;
use tokio::signal::unix::{SignalKind, signal};

use crate::model::clock::Timestamp;
use crate::model::ids::RunId;
use crate::report::archive::Archive;
use crate::store::Store;
use crate::store::prune::Pruned;
use crate::telemetry::fault;

use super::{Context, print};

/// Messages in one transaction, so that a daemon on the same store never waits long for its turn.
const PAGE: i64 = 1_000;

/// Receipts come up to three days late, complaints and questions later.
const SHORTEST: Duration = Duration::from_hours(30 * 24);

/// Longer ago than any store.
const LONGEST: Duration = Duration::from_hours(24 * 366 * 100);

const DAY: Duration = Duration::from_hours(24);

/// Take away what is old: texts, attempts, receipts and raw callbacks of runs that ended long ago.
///
/// Numbers of a run, who was texted when, codes, decisions and every suppression stay, so reports, caps and
/// `received(…)` answer as before. Messages in doubt keep everything. It works beside a running daemon, may be stopped at
/// any moment, and the next call goes on.
#[derive(Debug, Args)]
pub(super) struct PruneArgs {
    /// Runs that ended longer ago than this, such as "180 days", 26w or "6 months"; at least 30 days. A month counts 31
    /// days and a year 366, so that nothing goes too early.
    #[arg(long, value_name = "PERIOD", value_parser = period)]
    older_than: Duration,
    /// Write what is taken away into this folder first, as JSON lines: numbers, texts and codes are in it.
    #[arg(long, value_name = "FOLDER")]
    archive: Option<PathBuf>,
}

fn period(text: &str) -> Result<Duration, String> {
    let text = text.trim();
    let at = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let days = match text[at..].trim() {
        "d" | "day" | "days" => Some(1),
        "w" | "week" | "weeks" => Some(7),
        "m" | "month" | "months" => Some(31),
        "y" | "year" | "years" => Some(366),
        _ => None,
    };
    let digits = &text[..at];
    let count = (!digits.is_empty()).then(|| digits.parse::<u32>().unwrap_or(u32::MAX));
    let (count, days) = count.zip(days).ok_or(
        "write a whole number and a unit: days, weeks, months or years, also as d, w, m and y; \"180 days\" or 26w",
    )?;
    let span = DAY.saturating_mul(count).saturating_mul(days);
    if span < SHORTEST {
        return Err("receipts still come for what is younger than 30 days; name 30 days or more".to_owned());
    }
    if span > LONGEST {
        return Err("nothing here is as old as that; name a shorter period".to_owned());
    }
    Ok(span)
}

pub(super) async fn run(context: &Context, args: PruneArgs) -> anyhow::Result<ExitCode> {
    let config = context.config()?;
    let store = context.live_store(&config).await?;
    let archive = args.archive.as_deref().map(Archive::open).transpose()?;
    let before = context.now().minus(args.older_than);
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let (runs, pruned) = tokio::select! {
        done = prune(&store, before, archive.as_ref()) => done?,
        _ = terminate.recv() => bail!("stopped; what is gone is gone, and the next call goes on"),
        _ = interrupt.recv() => bail!("stopped; what is gone is gone, and the next call goes on"),
    };
    store.close().await;
    if context.json() {
        let (before, archive) = (before.rfc3339(), args.archive.map(|folder| folder.display().to_string()));
        print::json(&json!({"before": before, "runs": runs, "pruned": pruned, "archive": archive}))?;
        return Ok(ExitCode::SUCCESS);
    }
    let count =
        |n: u64, one: &str, many: &str| print::counted(i64::try_from(n).unwrap_or(i64::MAX), one, many);
    print::line(format!("{} ended before {}", count(runs, "run", "runs"), before.rfc3339()));
    print::line(format!(
        "gone: {}, {}, {}, {}",
        count(pruned.messages, "text", "texts"),
        count(pruned.attempts, "attempt", "attempts"),
        count(pruned.receipts, "receipt", "receipts"),
        count(pruned.calls, "raw callback", "raw callbacks")
    ));
    print::line("their room in the store is used again; the file does not shrink");
    Ok(ExitCode::SUCCESS)
}

/// Takes away what ended before an instant; answers how many runs lost something, and how much.
async fn prune(store: &Store, before: Timestamp, archive: Option<&Archive>) -> anyhow::Result<(u64, Pruned)> {
    let (mut runs, mut all) = (0, Pruned::default());
    let mut last = RunId(0);
    while let Some((run, campaign)) = store.next_old_run(before, last).await? {
        last = run;
        let bar = print::bar(0, "pruning");
        bar.set_message(campaign);
        let mut after = 0;
        loop {
            let mut batch = store.batch().await?;
            let Some(page) = batch.old_page(run, after, PAGE).await? else {
                batch.commit().await?;
                break;
            };
            after = page.messages.last().map_or(after, |one| one.contact);
            if let Some(archive) = archive {
                archive.write(run, &page)?;
            }
            fault::point("archived");
            let some = batch.prune(&page).await?;
            batch.commit().await?;
            all.messages += some.messages;
            all.attempts += some.attempts;
            all.receipts += some.receipts;
            all.calls += some.calls;
            bar.inc(some.messages);
        }
        bar.finish_and_clear();
        runs += u64::from(after > 0);
    }
    Ok((runs, all))
}

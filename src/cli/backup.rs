//! `winback store backup` and `restore`: a copy while everything runs, and a way back that texts nobody twice.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::bail;
use clap::Args;
use serde_json::json;
use tokio::signal::unix::{SignalKind, signal};

use crate::model::clock::Timestamp;
use crate::model::run::RunState;
use crate::store::Store;
use crate::store::backup;
use crate::store::restore::{Assured, Restored};

use super::{Context, WrongUse, init, print, written};

/// How a PostgreSQL store is backed up.
const WITH_PG_DUMP: &str = "a PostgreSQL store is backed up by its server: \
    `pg_dump --format=custom --file=FILE --dbname=URL` works while everything runs. \
    Back: `pg_restore --dbname=URL FILE` into an empty database, then, before any daemon starts, \
    `winback store restore --in-place`";

/// Write a backup of the store into a file while everything goes on.
///
/// The file is one SQLite database that only its owner may read, with phone numbers and codes in it: keep it as you keep the
/// store. It is whole, checked and on disk when the command ends. `winback store restore` takes it back.
#[derive(Debug, Args)]
pub(super) struct BackupArgs {
    /// The file to write; on another disk than the store.
    file: PathBuf,
    /// Replace the file if it is there and is a backup.
    #[arg(long)]
    replace: bool,
}

/// Bring a backup to where the configuration says that the store is; nobody is texted twice for it.
///
/// Nothing may be there but a store with nothing in it, and no daemon. Every unfinished run is paused. What may have been
/// sent since the backup is in doubt, and what cannot have been waits for `winback resume`.
#[derive(Debug, Args)]
#[command(after_help = "\
Decide about what is in doubt with `winback message resolve`; late receipts end it by themselves. Codes that nobody had
may have been given out since and are withdrawn. Customers' STOPs and imports of that time are lost: import them again
before anything is resumed.

If you know better, say so: it is recorded with the store.")]
pub(super) struct RestoreArgs {
    /// The backup.
    #[arg(required_unless_present = "in_place", conflicts_with = "in_place")]
    file: Option<PathBuf>,
    /// The store was brought back by other means, such as `pg_restore` or a copy of the disk: do the rest.
    #[arg(long)]
    in_place: bool,
    /// No daemon has sent anything since the backup was made: it was stopped before. Nothing is put in doubt.
    #[arg(long)]
    nothing_sent_since: bool,
    /// No campaign was launched since the backup was made. Codes that nobody had stay available.
    #[arg(long)]
    nothing_launched_since: bool,
}

pub(super) async fn back_up(context: &Context, args: BackupArgs) -> anyhow::Result<ExitCode> {
    let config = context.config()?;
    let store = context.live_store(&config).await?;
    if store.path().is_none() {
        return Err(WrongUse(WITH_PG_DUMP.to_owned()).into());
    }
    written::refuse_own(context, Some(&config), &args.file)?;
    let now = context.now();
    let bytes = until_stopped(async { Ok(store.backup(&args.file, args.replace, now).await?) }).await?;
    let open = store.open_runs().await?;
    let sending = open.iter().filter(|run| run.state == RunState::Running).count();
    store.close().await;
    if context.json() {
        print::json(&json!({
            "file": args.file.display().to_string(), "bytes": bytes, "made_at": now.rfc3339(), "running": sending,
        }))?;
        return Ok(ExitCode::SUCCESS);
    }
    print::line(format!(
        "{} has everything up to {}: {} MiB, checked and on disk",
        args.file.display(),
        now.rfc3339(),
        print::count(i64::try_from(bytes.div_ceil(1 << 20)).unwrap_or(i64::MAX))
    ));
    if sending > 0 {
        print::line(format!(
            "{} sending: what goes out from now on would be in doubt after a restore",
            count(sending as u64, "run is", "runs are")
        ));
    }
    Ok(ExitCode::SUCCESS)
}

pub(super) async fn restore(context: &Context, args: RestoreArgs) -> anyhow::Result<ExitCode> {
    let config = context.config()?;
    let assured =
        Assured { nothing_sent: args.nothing_sent_since, nothing_launched: args.nothing_launched_since };
    let (now, tag) = (context.now(), init::tag());
    let place = config.store.url.strip_prefix("sqlite:").map(|path| path.strip_prefix("//").unwrap_or(path));
    let restored = match (&args.file, place) {
        (None, Some(place)) if !Path::new(place).exists() => {
            return Err(
                WrongUse(format!("there is no store at {place}; name the backup to bring there")).into()
            );
        }
        (None, _) => in_place(&Store::create(&config.store.url, &tag).await?, &tag, assured, now).await?,
        (Some(_), None) => return Err(WrongUse(WITH_PG_DUMP.to_owned()).into()),
        (Some(file), Some(_)) if !file.exists() => {
            return Err(WrongUse(format!("there is no {}; name a backup", file.display())).into());
        }
        (Some(file), Some(place)) => {
            let work = async { Ok(backup::restore(file, Path::new(place), &tag, assured, now).await?) };
            until_stopped(work).await?
        }
    };
    told(context, &restored, assured)
}

async fn in_place(store: &Store, tag: &str, assured: Assured, now: Timestamp) -> anyhow::Result<Restored> {
    let lock = store.lock_daemon(now).await?;
    let restored = store.come_back(tag, assured, now).await;
    lock.free().await;
    store.close().await;
    Ok(restored?)
}

/// Does the work unless somebody ends it; what it had begun is then cleared away.
async fn until_stopped<T>(work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    tokio::select! {
        done = work => done,
        _ = terminate.recv() => bail!("stopped; everything is as it was"),
        _ = interrupt.recv() => bail!("stopped; everything is as it was"),
    }
}

fn told(context: &Context, restored: &Restored, assured: Assured) -> anyhow::Result<ExitCode> {
    let Restored { made_at, paused, withdrawn, in_doubt, were_in_doubt, waiting, codes } = restored;
    if context.json() {
        print::json(&json!({
            "made_at": made_at.map(Timestamp::rfc3339), "paused": paused, "withdrawn": withdrawn, "in_doubt": in_doubt,
            "were_in_doubt": were_in_doubt, "waiting": waiting, "codes_withdrawn": codes,
            "nothing_sent_since": assured.nothing_sent, "nothing_launched_since": assured.nothing_launched,
        }))?;
        return Ok(ExitCode::SUCCESS);
    }
    let since = print::time(*made_at);
    print::line(format!("the store is as it was at {since}"));
    print::line(format!("  {} paused", count(*paused, "run is", "runs are")));
    if *withdrawn > 0 {
        let launches = count(*withdrawn, "launch was", "launches were");
        print::line(format!(
            "  {launches} in the middle and will be cancelled; launch again with another schedule.at"
        ));
    }
    let messages = |n: i64| count(n.unsigned_abs(), "message", "messages");
    print::line(format!("  {} may have been sent since: in doubt", messages(*in_doubt)));
    print::line(format!("  {} were on the wire or in doubt already", messages(*were_in_doubt)));
    print::line(format!("  {} cannot have been sent since: `winback resume` sends them", messages(*waiting)));
    if *codes > 0 {
        let codes = count(*codes, "code", "codes");
        print::line(format!(
            "  {codes} may have been given out since: withdrawn; add new ones with `winback coupon`"
        ));
    }
    print::line("");
    if !assured.nothing_sent {
        print::line("decide what is in doubt: winback message list --in-doubt; winback message resolve");
        print::line(format!(
            "STOPs since {since} are lost: `winback optout import` what your providers know before anything is resumed"
        ));
    }
    print::line(
        "imports and decisions since then are lost too; start the daemon, look at `winback status`, then resume",
    );
    Ok(ExitCode::SUCCESS)
}

fn count(n: u64, one: &str, many: &str) -> String {
    print::counted(i64::try_from(n).unwrap_or(i64::MAX), one, many)
}

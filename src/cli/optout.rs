//! `winback optout`: numbers that must not be texted.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use serde_json::json;

use crate::config::Config;
use crate::intake::import::import_optouts;
use crate::intake::optout::{OptoutOptions, OptoutReader};
use crate::model::clock::Timestamp;
use crate::model::country::Country;
use crate::model::number;
use crate::model::suppression::{RENEWED_CONSENT, Reason};
use crate::store::suppressions::{EVERY_SENDER, NewSuppression, Suppression};

use super::import::{ImportArgs, columns};
use super::{Context, WrongUse, print};

/// Where a suppression from this command says it comes from.
const SOURCE: &str = "command line";

/// Suppressions read at a time.
const PAGE: i64 = 1_000;

/// Numbers that must not be texted.
#[derive(Debug, Subcommand)]
pub(super) enum OptoutCommand {
    /// Never text this number again; what waits for it is withdrawn.
    Add(OptoutAddArgs),
    /// Allow texts to a number again, where that is lawful; it is kept for good who did it and why.
    Remove(OptoutRemoveArgs),
    /// Read a list of numbers that must not be texted.
    Import(OptoutImportArgs),
    /// All suppressions in force.
    List(OptoutListArgs),
}

/// The number.
#[derive(Debug, Args)]
pub(super) struct OptoutAddArgs {
    /// The number as people write it.
    #[arg(allow_hyphen_values = true)]
    phone: String,
    /// Country of a number without country code, two letters; the shop's if not given.
    #[arg(long, value_name = "XX")]
    country: Option<Country>,
    /// One sender; every sender if not given.
    #[arg(long, value_name = "SENDER")]
    scope: Option<String>,
}

/// The number and the reason.
#[derive(Debug, Args)]
#[command(after_help = "\
A STOP, a complaint, and an opt-out told by a provider end by the person's own START, or by consent that they gave anew:
--reason \"renewed consent: where and when\". Your own list, and refusals that had to be read, end for any reason.
What was withdrawn stays withdrawn. A provider that blocks the number itself must be asked to unblock it.")]
pub(super) struct OptoutRemoveArgs {
    /// The number as people write it.
    #[arg(allow_hyphen_values = true)]
    phone: String,
    /// Country of a number without country code, two letters; the shop's if not given.
    #[arg(long, value_name = "XX")]
    country: Option<Country>,
    /// One sender; all that is in force if not given.
    #[arg(long, value_name = "SENDER")]
    scope: Option<String>,
    /// Why this is lawful, for the record.
    #[arg(long, value_name = "TEXT")]
    reason: String,
}

/// A list of numbers.
#[derive(Debug, Args)]
pub(super) struct OptoutImportArgs {
    #[command(flatten)]
    import: ImportArgs,
    /// Country of numbers without country code, two letters; the shop's if not given.
    #[arg(long, value_name = "XX")]
    country: Option<Country>,
}

/// What is listed.
#[derive(Debug, Args)]
pub(super) struct OptoutListArgs {
    /// Show numbers whole.
    #[arg(long)]
    phones: bool,
    /// Also those that were lifted.
    #[arg(long)]
    all: bool,
}

pub(super) async fn run(context: &Context, command: OptoutCommand) -> anyhow::Result<ExitCode> {
    match command {
        OptoutCommand::Add(args) => add(context, args).await,
        OptoutCommand::Remove(args) => remove(context, args).await,
        OptoutCommand::Import(args) => import(context, args).await,
        OptoutCommand::List(args) => list(context, args).await,
    }
}

async fn add(context: &Context, args: OptoutAddArgs) -> anyhow::Result<ExitCode> {
    let config = context.config()?;
    let number = number::parse(&args.phone, args.country.or(config.shop.country))
        .map_err(|error| WrongUse(error.to_string()))?;
    let store = context.store(&config).await?;
    let scope = args.scope.unwrap_or_else(|| EVERY_SENDER.to_owned());
    let new = NewSuppression {
        phone: number.phone,
        scope: scope.clone(),
        reason: Reason::Operator,
        source: SOURCE.to_owned(),
    };
    let done = store.suppress(&[new], context.now()).await?;
    store.close().await;
    if context.json() {
        print::json(
            &json!({"added": done.added, "already": done.already, "withdrawn": done.withdrawn, "scope": scope}),
        )?;
    } else if done.added > 0 {
        print::line(format!(
            "suppressed; {} withdrawn",
            print::counted(i64::try_from(done.withdrawn).unwrap_or(i64::MAX), "message", "messages")
        ));
    } else {
        print::line("it was suppressed already; nothing changed");
    }
    Ok(ExitCode::SUCCESS)
}

async fn remove(context: &Context, args: OptoutRemoveArgs) -> anyhow::Result<ExitCode> {
    let reason = args.reason.trim();
    if reason.is_empty() {
        return Err(WrongUse("--reason is for the record; say why this is lawful".to_owned()).into());
    }
    let config = context.config()?;
    let number = number::parse(&args.phone, args.country.or(config.shop.country))
        .map_err(|error| WrongUse(error.to_string()))?;
    let store = context.store(&config).await?;
    let history = store.suppressions_of(number.phone).await?;
    let meant = |one: &&Suppression| args.scope.as_ref().is_none_or(|scope| *scope == one.scope);
    let in_force: Vec<&Suppression> =
        history.iter().filter(|one| one.lifted_at.is_none()).filter(meant).collect();
    let (may, kept): (Vec<&Suppression>, Vec<&Suppression>) =
        in_force.iter().partition(|one| one.reason.lifted_for(reason));
    let rows: Vec<i64> = may.iter().map(|one| one.id).collect();
    let by = format!("{}: {reason}", Config::person());
    let lifted = store.lift_rows(number.phone, &rows, &by, context.now()).await?;
    store.close().await;
    if context.json() {
        let kept: Vec<_> = kept.iter().map(|one| as_json(one, false)).collect();
        print::json(&json!({"lifted": lifted, "by": by, "kept": kept}))?;
    } else if in_force.is_empty() {
        print::line("it is not suppressed; nothing changed");
    } else {
        print::line(format!("{lifted} suppressions lifted; what was withdrawn stays withdrawn"));
        for one in &kept {
            print::line(format!(
                "for {} it stays suppressed since {}: {} is lifted by their own START, or with --reason \"{RENEWED_CONSENT} …\"",
                one.scope,
                one.created_at.rfc3339(),
                one.reason.as_str()
            ));
        }
    }
    Ok(if kept.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn import(context: &Context, args: OptoutImportArgs) -> anyhow::Result<ExitCode> {
    let config = context.config()?;
    let options = OptoutOptions { country: args.country.or(config.shop.country), zone: config.shop_zone() };
    let table = args.import.open(context, &config)?;
    let reader = columns(&args.import, OptoutReader::new(table.headers(), &args.import.mapping(), options))?;
    let store = context.store(&config).await?;
    let name = args.import.file.file_name().map(|name| name.to_string_lossy().into_owned());
    let (source, now) = (format!("file {}", name.as_deref().unwrap_or("-")), context.now());
    let done = args
        .import
        .carry_out(&store, async |handling| {
            import_optouts(&store, &source, table, reader, now, handling).await
        })
        .await?;
    store.close().await;
    let counts =
        [("inserted", done.added), ("unchanged", done.already), ("  messages_withdrawn", done.withdrawn)];
    args.import.told(context, done.rows, &counts, &done.rejected)
}

async fn list(context: &Context, args: OptoutListArgs) -> anyhow::Result<ExitCode> {
    let config = context.config()?;
    let store = context.store(&config).await?;
    let (mut after, mut shown) = (0, Vec::new());
    loop {
        let page = store.suppressions(after, PAGE).await?;
        let Some(last) = page.last() else { break };
        after = last.id;
        shown.extend(page.into_iter().filter(|one| args.all || one.lifted_at.is_none()));
    }
    store.close().await;
    if context.json() {
        let list: Vec<_> = shown.iter().map(|one| as_json(one, args.phones)).collect();
        print::json(&list)?;
        return Ok(ExitCode::SUCCESS);
    }
    let rows = shown.iter().map(|one| {
        vec![
            print::phone(one.phone, args.phones),
            one.scope.clone(),
            one.reason.as_str().to_owned(),
            one.created_at.rfc3339(),
            one.lifted_at.map_or_else(String::new, Timestamp::rfc3339),
            one.source.clone(),
        ]
    });
    print::table(&["number", "scope", "reason", "since", "lifted", "source"], &[], rows);
    Ok(ExitCode::SUCCESS)
}

fn as_json(one: &Suppression, phones: bool) -> serde_json::Value {
    json!({
        "phone": print::phone(one.phone, phones), "scope": one.scope, "reason": one.reason.as_str(),
        "source": one.source, "created_at": one.created_at.rfc3339(),
        "lifted_at": one.lifted_at.map(Timestamp::rfc3339), "lifted_by": one.lifted_by,
    })
}

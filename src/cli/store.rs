//! `winback store`: the schema and the health of the store.

use std::process::ExitCode;

use clap::Subcommand;
use serde_json::json;

use crate::dispatch::terms::unreadable;
use crate::store::check::Finding;
use crate::store::{Store, StoreError};

use super::{Context, backup, print, prune};

/// Runs that are named, at most.
const NAMED: usize = 10;

/// The store itself.
#[derive(Debug, Subcommand)]
pub(super) enum StoreCommand {
    /// Bring the schema up to date; twice is harmless.
    Migrate,
    /// Look for damage: the file, references, coupon books, terms of runs, file modes.
    Check,
    Backup(backup::BackupArgs),
    Restore(backup::RestoreArgs),
    Prune(prune::PruneArgs),
}

pub(super) async fn run(context: &Context, command: StoreCommand) -> anyhow::Result<ExitCode> {
    match command {
        StoreCommand::Migrate => migrate(context).await,
        StoreCommand::Check => check(context).await,
        StoreCommand::Backup(args) => backup::back_up(context, args).await,
        StoreCommand::Prune(args) => prune::run(context, args).await,
        StoreCommand::Restore(args) => backup::restore(context, args).await,
    }
}

async fn migrate(context: &Context) -> anyhow::Result<ExitCode> {
    let config = context.config()?;
    let found = match Store::open(&config.store.url).await {
        Ok(store) => {
            store.close().await;
            None
        }
        Err(StoreError::Schema { found, .. }) => Some(found),
        Err(other) => return Err(other.into()),
    };
    let store = Store::create(&config.store.url, &super::init::tag()).await?;
    let version = store.schema_version();
    store.close().await;
    if context.json() {
        print::json(&json!({"from": found.unwrap_or(version), "to": version}))?;
    } else if let Some(found) = found {
        print::line(format!("schema {found} became {version}"));
    } else {
        print::line(format!("schema {version} is up to date; nothing changed"));
    }
    Ok(ExitCode::SUCCESS)
}

async fn check(context: &Context) -> anyhow::Result<ExitCode> {
    let config = context.config()?;
    let store = match Store::open(&config.store.url).await {
        Ok(store) => store,
        Err(error) => return damaged(context, error),
    };
    let version = store.schema_version();
    let checked = look(&store).await;
    store.close().await;
    let findings = match checked {
        Ok(findings) => findings,
        Err(error) => return damaged(context, error),
    };
    let good = findings.iter().all(|finding| finding.problem.is_none());
    if context.json() {
        print::json(&json!({"schema": version, "good": good, "findings": findings}))?;
    } else {
        print::line(format!("ok     schema {version}"));
        for finding in &findings {
            match &finding.problem {
                None => print::line(format!("ok     {}", finding.what)),
                Some(problem) => print::line(format!("wrong  {}: {problem}", finding.what)),
            }
        }
    }
    Ok(if good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// What the store says of itself, and whether its runs can be understood.
async fn look(store: &Store) -> Result<Vec<Finding>, StoreError> {
    let mut findings = store.check().await?;
    let unread = unreadable(store).await?;
    let names: Vec<String> = unread.iter().take(NAMED).map(ToString::to_string).collect();
    let problem = (!unread.is_empty()).then(|| {
        format!(
            "the terms of {} runs cannot be read, so their hours are not known: run {}; restore the last backup",
            unread.len(),
            names.join(", ")
        )
    });
    findings.push(Finding { what: "terms of runs", problem });
    Ok(findings)
}

/// A store that is too damaged to be asked anything is a finding too.
fn damaged(context: &Context, error: StoreError) -> anyhow::Result<ExitCode> {
    let told = match &error {
        StoreError::Damaged { path, what } => {
            format!("{} is damaged: {what}; restore the last backup", path.display())
        }
        StoreError::NoTable { place } => {
            format!("{place} misses tables that it must have; restore the last backup")
        }
        StoreError::Unreadable => "it holds values that cannot be read; restore the last backup".to_owned(),
        _ => return Err(error.into()),
    };
    if context.json() {
        let finding = Finding { what: "database", problem: Some(told) };
        print::json(&json!({"schema": null, "good": false, "findings": [finding]}))?;
    } else {
        print::line(format!("wrong  database: {told}"));
    }
    Ok(ExitCode::FAILURE)
}

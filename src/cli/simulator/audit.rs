//! `winback simulator audit`: a ledger held against a store.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Args;

use crate::campaign::law::Rules;
use crate::cli::{Context, WrongUse, ledger, print};
use crate::daemon::routes;
use crate::dispatch::pace::Limit;
use crate::model::ids::RunId;
use crate::report::audit::Question;
use crate::store::{Store, StoreError};

/// Hold a ledger against a store: lost, duplicated, unexpected, after STOP, outside the hours, above rate or budget, wrong.
///
/// Exit code 0: they agree. 1: they do not, or the hours of some texts cannot be checked. What is in doubt is counted and is no fault: the store says so itself. Nothing
/// is changed, and nothing shows more of a number than its end.
#[derive(Debug, Args)]
pub(super) struct AuditArgs {
    /// The simulator's ledger.
    ledger: PathBuf,
    /// The store: a file, `sqlite:PATH` or `postgres://…`.
    store: String,
    /// Only this run.
    #[arg(long, value_name = "ID")]
    run: Option<i64>,
    /// Parts per second that the account allows; without it the rate is not checked.
    #[arg(long, value_name = "PARTS")]
    rate: Option<f64>,
    /// Parts that may go at once.
    #[arg(long, value_name = "PARTS", default_value_t = 1, requires = "rate")]
    burst: u32,
}

pub(super) async fn run(context: &Context, args: AuditArgs) -> anyhow::Result<ExitCode> {
    if args.rate.is_some_and(|rate| !(rate > 0.0 && rate.is_finite())) {
        return Err(WrongUse("--rate must be above 0".to_owned()).into());
    }
    if args.burst == 0 {
        return Err(WrongUse("--burst must be 1 at least: nothing could ever go".to_owned()).into());
    }
    let limit = args.rate.map(|parts_per_second| Limit { parts_per_second, burst: args.burst });
    // The shop may have switched rules off; without its configuration the whole law holds.
    let rules = context.config_if_any()?.as_ref().map_or_else(|| Ok(Rules::load()), routes::rules)?;
    let url = if args.store.contains("://") || args.store.starts_with("sqlite:") {
        args.store.clone()
    } else {
        format!("sqlite:{}", args.store)
    };
    if !args.ledger.exists() {
        return Err(WrongUse(format!("there is no ledger {}", args.ledger.display())).into());
    }
    let store = match Store::open(&url).await {
        Err(StoreError::Missing { path }) => {
            return Err(WrongUse(format!("there is no store {}", path.display())).into());
        }
        opened => opened.context("the store cannot be read")?,
    };
    if let Some(id) = args.run
        && store.run(RunId(id)).await?.is_none()
    {
        return Err(WrongUse(format!("there is no run {id} in {}", args.store)).into());
    }
    let question = Question { run: args.run.map(RunId), limit, rules: &rules };
    let audit = ledger::hold(&store, &args.ledger, &question).await;
    store.close().await;
    let audit = audit?;
    if context.json() {
        print::json(&audit)?;
    } else {
        ledger::show(&audit);
    }
    Ok(if audit.agrees() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

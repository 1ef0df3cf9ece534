//! `winback pause`, `resume` and `cancel`.

use std::process::ExitCode;

use clap::Args;
use serde::Serialize;

use crate::dispatch::sweep::cancel;
use crate::model::run::RunState;

use super::{Context, WrongUse, print, terms};

/// The campaign to be controlled.
#[derive(Debug, Args)]
pub(super) struct ControlArgs {
    /// Name of the campaign; its latest run is meant.
    campaign: String,
}

#[derive(Serialize)]
struct Answer {
    campaign: String,
    run: i64,
    state: &'static str,
    withdrawn: usize,
}

/// Moves the latest run of a campaign to another state.
pub(super) async fn run(context: &Context, args: ControlArgs, to: RunState) -> anyhow::Result<ExitCode> {
    let config = context.config()?;
    let store = context.store(&config).await?;
    let run = terms::latest_run(&store, &args.campaign).await?;
    let now = context.now();
    let already = run.state == to || (to == RunState::Cancelling && run.state == RunState::Cancelled);
    let mut withdrawn = 0;
    if !already {
        if !run.state.may_become(to) {
            let told = format!(
                "run {} of {} is {} and cannot be changed",
                run.id,
                run.terms.campaign,
                run.state.as_str()
            );
            return Err(WrongUse(told).into());
        }
        store.set_run_state(&run, to, now).await?;
    }
    if to == RunState::Cancelling
        && let Some(run) = store.run(run.id).await?
        && run.state == RunState::Cancelling
    {
        withdrawn = cancel(&store, &run, now).await?;
    }
    let state = store.run(run.id).await?.map_or(to, |run| run.state).as_str();
    store.close().await;
    let answer = Answer { campaign: run.terms.campaign.clone(), run: run.id.0, state, withdrawn };
    if context.json() {
        print::json(&answer)?;
    } else if to == RunState::Cancelling {
        print::line(format!(
            "run {} is {state}; {} messages withdrawn, their codes are back",
            run.id,
            print::count(i64::try_from(withdrawn).unwrap_or(i64::MAX))
        ));
    } else {
        print::line(format!("run {} of {} is {state}", run.id, run.terms.campaign));
    }
    Ok(ExitCode::SUCCESS)
}

//! `winback launch`: an approved plan into a run.

use std::io::IsTerminal as _;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::bail;
use clap::Args;
use serde::Serialize;
use tokio::signal::unix::{SignalKind, signal};

use crate::campaign::timing::ASKS_WHEN_LATE_BY;
use crate::config::Config;
use crate::daemon::routes;
use crate::dispatch::launch::{LaunchError, Launched, launch, resume};
use crate::dispatch::plan::{self, Plan};
use crate::dispatch::terms::Terms;
use crate::model::clock::Timestamp;
use crate::model::run::RunState;
use crate::segment;
use crate::store::Store;

use super::{Context, WrongUse, print, terms};

/// What a campaign without a time of its own is keyed by.
const STARTS_NOW: &str = "now";

/// A campaign without a time of its own may be one that was launched before the store came back, as long as this.
const FORGOTTEN_FOR: Duration = Duration::from_hours(30 * 24);

/// Launch a campaign; bound to a plan if its hash is given. Launching twice makes one run.
#[derive(Debug, Args)]
pub(super) struct LaunchArgs {
    /// Name of the campaign, or its file.
    campaign: String,
    /// The plan that was approved; refused when it no longer holds.
    #[arg(long, value_name = "HASH")]
    plan: Option<String>,
    /// Do not ask.
    #[arg(long)]
    yes: bool,
    /// Launch although the store came back from a backup and may have forgotten that this was launched before.
    #[arg(long)]
    after_restore: bool,
    /// Ask the segment as of this time instead of now.
    #[arg(long, value_name = "TIME")]
    as_of: Option<String>,
}

#[derive(Serialize)]
struct Answer {
    campaign: String,
    run: i64,
    messages: i64,
    withheld: i64,
    plan: String,
    state: &'static str,
    fresh: bool,
}

pub(super) async fn run(context: &Context, args: LaunchArgs) -> anyhow::Result<ExitCode> {
    let config = context.config()?;
    let store = context.live_store(&config).await?;
    let as_of = args.as_of.as_deref().map(|text| terms::time(&config, text)).transpose()?;
    let terms = terms::terms(&config, &store, &args.campaign, as_of, context.now()).await?;
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let launched = tokio::select! {
        launched = launched(context, &config, &store, &terms, &args) => launched?,
        _ = terminate.recv() => return stopped(&store, &terms).await,
        _ = interrupt.recv() => return stopped(&store, &terms).await,
    };
    let waits = {
        let status = crate::report::status::status(&store, &launched.run).await?;
        super::status::waits_for(context, &config, &store, &status).await?
    };
    store.close().await;
    let run = &launched.run;
    if context.json() {
        print::json(&Answer {
            campaign: run.terms.campaign.clone(),
            run: run.id.0,
            messages: run.messages(),
            withheld: run.withheld,
            plan: run.terms.plan_hash.clone(),
            state: run.state.as_str(),
            fresh: launched.fresh,
        })?;
    } else if launched.fresh {
        let count = print::counted(run.messages(), "message", "messages");
        print::line(format!("launched {} as run {}: {count}", run.terms.campaign, run.id));
        if run.withheld > 0 {
            print::line(format!("  left out: {} had enough texts", print::count(run.withheld)));
        }
        if let Some(told) = waits {
            print::line(told);
        }
        print::line(format!("follow it: winback watch {}", run.terms.campaign));
    } else {
        print::line(format!(
            "{} was already launched for this start as run {}, now {}; nothing was added. Another run needs another schedule.at",
            run.terms.campaign,
            run.id,
            run.state.as_str()
        ));
    }
    Ok(ExitCode::SUCCESS)
}

async fn launched(
    context: &Context,
    config: &Config,
    store: &Store,
    terms: &Terms,
    args: &LaunchArgs,
) -> anyhow::Result<Launched> {
    if let Some(run) = store.run_by_key(&terms.definition.launch_key()).await? {
        // It was approved when it was begun; if that launch died, this one ends it.
        return Ok(resume(store, run, false, &routes::rules(config)?, context.now(), |_, _| {}).await?);
    }
    if !args.after_restore {
        refuse_forgotten(store, terms, context.now()).await?;
    }
    let plan = planned(context, config, store, terms, args.plan.as_deref()).await?;
    confirm(context, terms, &plan, args).await?;
    write(context, config, store, terms, &plan).await
}

/// What was and was not done when somebody stopped it.
async fn stopped(store: &Store, terms: &Terms) -> anyhow::Result<ExitCode> {
    let campaign = &terms.definition.name;
    let Some(run) = store.run_by_key(&terms.definition.launch_key()).await? else {
        bail!("stopped; {campaign} was not launched, nothing was written and nobody is texted");
    };
    let (id, state) = (run.id, run.state.as_str());
    if run.state != RunState::Preparing {
        bail!(
            "stopped, but {campaign} was launched as run {id}, which is {state}; `winback pause {campaign}` stops it"
        );
    }
    let (written, all) = (print::count(run.prepared), print::count(run.messages()));
    bail!(
        "stopped: {written} of {all} messages of run {id} are written and none of them has gone out; `winback launch \
         {campaign}` goes on, as a running daemon does within a minute; `winback cancel {campaign}` withdraws them"
    )
}

/// A store that came back from a backup does not know what was launched since; launching that again would text everybody
/// again.
async fn refuse_forgotten(store: &Store, terms: &Terms, now: Timestamp) -> anyhow::Result<()> {
    let Some(returned) = store.returned().await?.filter(|returned| !returned.launches_known) else {
        return Ok(());
    };
    let timing = &terms.definition.timing;
    let starts = timing.starts_at(&terms.zone(), now);
    if starts > returned.at && (timing.key() != STARTS_NOW || now.since(returned.at) > FORGOTTEN_FOR) {
        return Ok(());
    }
    Err(WrongUse(format!(
        "the store came back at {} from a backup of {} and does not know what was launched in between; if {} was not, \
         launch it with --after-restore, else everybody would be texted again",
        returned.at.rfc3339(),
        returned.made_at.rfc3339(),
        terms.definition.name
    ))
    .into())
}

async fn planned(
    context: &Context,
    config: &Config,
    store: &Store,
    terms: &Terms,
    approved: Option<&str>,
) -> anyhow::Result<Plan> {
    let rules = routes::rules(config)?;
    print::warnings(&terms::kinds(store, &segment::parse(&terms.segment)?).await?);
    let bar = print::bar(0, "planning");
    let plan = plan::plan(store, terms, &rules, context.now(), |done, total| {
        bar.set_length(total.unsigned_abs());
        bar.set_position(done.unsigned_abs());
    })
    .await?;
    bar.finish_and_clear();
    if let Some(approved) = approved
        && approved != plan.hash
    {
        return Err(LaunchError::Changed { approved: approved.to_owned(), current: plan.hash }.into());
    }
    plan.ready()?;
    Ok(plan)
}

/// Asks before people are texted, unless the plan's hash or `--yes` says that somebody has looked.
async fn confirm(context: &Context, terms: &Terms, plan: &Plan, args: &LaunchArgs) -> anyhow::Result<()> {
    let late = terms.definition.timing.lateness(context.now(), &terms.zone());
    if late > ASKS_WHEN_LATE_BY && !args.yes {
        let days = late.as_secs() / 86_400;
        return Err(WrongUse(format!(
            "{} should have started {days} days ago; give it another schedule.at, or launch with --yes",
            plan.campaign
        ))
        .into());
    }
    if args.yes || args.plan.is_some() {
        return Ok(());
    }
    if !std::io::stdin().is_terminal() {
        let told = format!("nobody is here to confirm; launch with --plan {} or --yes", plan.hash);
        return Err(WrongUse(told).into());
    }
    super::plan::show(plan);
    print::note(format!("really text {} people? type yes", print::count(plan.messages)));
    // Read elsewhere, so that Ctrl-C is heard meanwhile.
    let answer = tokio::task::spawn_blocking(|| {
        let mut answer = String::new();
        std::io::stdin().read_line(&mut answer).map(|_| answer)
    });
    let answer = answer.await??;
    if answer.trim().eq_ignore_ascii_case("yes") {
        return Ok(());
    }
    Err(WrongUse("not launched".to_owned()).into())
}

async fn write(
    context: &Context,
    config: &Config,
    store: &Store,
    terms: &Terms,
    plan: &Plan,
) -> anyhow::Result<Launched> {
    let rules = routes::rules(config)?;
    let bar = print::bar(plan.messages.unsigned_abs(), "writing");
    let launched = launch(store, terms, &rules, plan, context.now(), |done, _| {
        bar.set_position(done.unsigned_abs());
    })
    .await?;
    bar.finish_and_clear();
    Ok(launched)
}

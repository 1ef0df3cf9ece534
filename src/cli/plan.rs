//! `winback plan`: a dry run over the real audience, and its hash.

use std::process::ExitCode;

use clap::Args;
use serde_json::json;

use crate::daemon::routes;
use crate::dispatch::plan::{self, NotReady, Plan};
use crate::model::clock::Timestamp;
use crate::model::run::Run;
use crate::segment;

use super::{Context, print, terms};

/// Dry run over the real audience: who, who not and why, cost, finish time; prints a hash to launch with.
#[derive(Debug, Args)]
pub(super) struct PlanArgs {
    /// Name of the campaign, or its file.
    campaign: String,
    /// Ask the segment as of this time instead of now.
    #[arg(long, value_name = "TIME")]
    as_of: Option<String>,
}

pub(super) async fn run(context: &Context, args: PlanArgs) -> anyhow::Result<ExitCode> {
    let config = context.config()?;
    let store = context.store(&config).await?;
    let rules = routes::rules(&config)?;
    let now = context.now();
    let as_of = args.as_of.as_deref().map(|text| terms::time(&config, text)).transpose()?;
    let terms = terms::terms(&config, &store, &args.campaign, as_of, now).await?;
    let warnings = terms::kinds(&store, &segment::parse(&terms.segment)?).await?;
    print::warnings(&warnings);
    let bar = print::bar(0, "planning");
    let plan = plan::plan(&store, &terms, &rules, now, |done, total| {
        bar.set_length(total.unsigned_abs());
        bar.set_position(done.unsigned_abs());
    })
    .await?;
    bar.finish_and_clear();
    let run = store.run_by_key(&terms.definition.launch_key()).await?;
    let nobody_known = plan.audience == 0 && store.contact_count().await? == 0;
    store.close().await;
    let ready = plan.ready();
    if context.json() {
        let mut answer = serde_json::to_value(&plan)?;
        answer["ready"] = ready.is_ok().into();
        answer["why_not"] = ready.as_ref().err().map(ToString::to_string).into();
        answer["run"] = run.as_ref().map(|run| json!({"id": run.id, "state": run.state.as_str()})).into();
        answer["warnings"] = warnings.into();
        print::json(&answer)?;
    } else {
        show(&plan);
        show_way(&plan, run.as_ref(), nobody_known, args.as_of.as_deref());
    }
    Ok(if ready.is_ok() || run.is_some() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Prints a plan for people.
pub(super) fn show(plan: &Plan) {
    print::line(format!("Plan of {} as of {}", plan.campaign, plan.as_of.rfc3339()));
    print::line("");
    let skipped: i64 = plan.skipped.values().sum();
    let mut rows = vec![vec!["in the segment".to_owned(), print::count(plan.audience)]];
    for (reason, n) in &plan.skipped {
        rows.push(vec![format!("  left out: {reason}"), print::count(-n)]);
    }
    rows.push(vec!["messages".to_owned(), print::count(plan.audience - skipped)]);
    print::table(&["who", ""], &[1], rows);
    print::line("");
    if plan.messages == 0 {
        return;
    }
    let lines = plan.lines.iter().map(|line| {
        let cost = format!("{} {}", line.cost, plan.currency);
        vec![
            line.route.clone(),
            line.country.clone(),
            print::count(line.messages),
            print::count(line.parts),
            cost,
        ]
    });
    print::table(&["route", "country", "messages", "parts", "cost"], &[2, 3, 4], lines);
    print::line("");
    show_facts(plan);
    for long in &plan.longest {
        print::line(format!(
            "  {} part{}, {} units {}: {}",
            long.parts,
            if long.parts == 1 { "" } else { "s" },
            long.units,
            long.encoding,
            long.text.replace('\n', "⏎")
        ));
    }
    print::line("");
}

/// Prints how the plan is launched, what run it has already, or why it cannot be.
fn show_way(plan: &Plan, run: Option<&Run>, nobody_known: bool, as_of: Option<&str>) {
    let as_of = as_of.map_or_else(String::new, |text| format!(" --as-of {text}"));
    let campaign = &plan.campaign;
    if let Some(run) = run {
        print::line(format!(
            "{campaign} was already launched for this start: run {}, {}, {} messages; `winback status {campaign}` shows it.\n\
             Another run needs another schedule.at",
            run.id,
            run.state.as_str(),
            print::count(run.terms.audience)
        ));
        return;
    }
    match plan.ready() {
        Ok(()) => print::line(format!("launch it: winback launch {campaign}{as_of} --plan {}", plan.hash)),
        Err(NotReady::Nobody) if nobody_known => {
            print::line("not ready: there are no contacts yet; bring them in with `winback contact import`");
        }
        Err(NotReady::Nobody) if plan.audience == 0 => {
            print::line(
                "not ready: nobody is in the segment; `winback segment explain` shows how it is understood",
            );
        }
        Err(NotReady::Nobody) => {
            print::line("not ready: everybody in the segment is left out, as counted above");
        }
        Err(why) => print::line(format!("not ready: {why}")),
    }
}

fn show_facts(plan: &Plan) {
    let listed = |pairs: Vec<String>| pairs.join(", ");
    let budget =
        plan.budget.map_or_else(|| "no limit".to_owned(), |budget| format!("{budget} {}", plan.currency));
    print::line(format!("cost        {} {} (budget {budget})", plan.cost, plan.currency));
    let encodings = plan.encodings.iter().map(|(name, n)| format!("{} {name}", print::count(*n))).collect();
    let each =
        plan.parts_each.iter().map(|(parts, n)| format!("{} with {parts}", print::count(*n))).collect();
    print::line(format!(
        "parts       {} ({}; {})",
        print::count(plan.parts),
        listed(each),
        listed(encodings)
    ));
    let languages = plan.languages.iter().map(|(name, n)| format!("{name} {}", print::count(*n))).collect();
    print::line(format!("languages   {}", listed(languages)));
    if let Some(coupons) = &plan.coupons {
        print::line(format!(
            "coupons     {} needed, {} available in {}",
            print::count(coupons.needed),
            print::count(coupons.available),
            coupons.pool
        ));
    }
    let time = |at: Option<Timestamp>| at.map_or_else(|| "never".to_owned(), Timestamp::rfc3339);
    print::line(format!("first text  {}", time(plan.starts_at)));
    print::line(format!("last text   {} under the limits and windows", time(plan.finishes_at)));
    if plan.too_late > 0 {
        print::line(format!(
            "too late    {} would not go before the campaign ends",
            print::count(plan.too_late)
        ));
    }
    if !plan.longest.is_empty() {
        print::line("longest texts (codes hidden)");
    }
}

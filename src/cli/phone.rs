//! `winback phone`: everything that is known about a number, and whether it may be texted now.

use std::process::ExitCode;

use clap::Args;

use crate::campaign::number_report::{NumberReport, report};
use crate::model::country::Country;

use super::{Context, WrongUse, lines, print};

/// E.164, region, type, time zones of a number, and whether it may be texted now.
#[derive(Debug, Args)]
pub(super) struct PhoneArgs {
    /// The number as people write it.
    #[arg(required_unless_present = "lines", conflicts_with = "lines", allow_hyphen_values = true)]
    number: Option<String>,
    /// Country of a number without country code, two letters; the shop's if there is a winback.toml.
    #[arg(long, value_name = "XX")]
    country: Option<Country>,
    /// Read one JSON string a line from standard input, write one JSON object a line.
    #[arg(long)]
    lines: bool,
}

pub(super) fn run(context: &Context, args: &PhoneArgs) -> anyhow::Result<ExitCode> {
    let country = match args.country {
        Some(country) => Some(country),
        None => context.config_if_any()?.and_then(|config| config.shop.country),
    };
    if args.lines {
        let clock = context.clock();
        return lines::answer(|raw| report(raw, country, clock.now()));
    }
    let raw = args.number.as_deref().ok_or_else(|| WrongUse("give a number, or --lines".to_owned()))?;
    let report = report(raw, country, context.now());
    if context.json() {
        print::json(&report)?;
    } else {
        show(&report);
    }
    Ok(if report.error.is_none() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn show(report: &NumberReport) {
    let Some(e164) = &report.e164 else {
        print::line(format!("no number: {}", report.message.as_deref().unwrap_or_default()));
        return;
    };
    let region = report.region.map_or_else(|| "no country".to_owned(), |region| region.to_string());
    let state = report.subregion.map(|state| format!(", {}", state.as_str())).unwrap_or_default();
    let valid = if report.valid { "" } else { ", fits no numbering plan" };
    print::line(format!("{e164}  {region}{state}, {}{valid}", report.kind.as_str()));
    if let Some(warning) = report.warning {
        print::line(format!("mended while reading: {}", warning.as_str()));
    }
    if !report.candidate_zones.is_empty() {
        print::line(format!("zones         {}", report.candidate_zones.join(", ")));
    }
    if let Some(hours) = &report.lawful_hours {
        let rules = if report.rules.is_empty() { "no rule".to_owned() } else { report.rules.join(", ") };
        print::line(format!("lawful hours  {hours} ({rules})"));
    }
    let now = match (report.may_text, report.allowed_now, &report.next_allowed) {
        (false, ..) => "never: numbers of this kind are not texted".to_owned(),
        (_, Some(true), _) => "yes".to_owned(),
        (_, Some(false), Some(next)) => format!("not before {next}"),
        _ => "unknown: nobody knows what time it is there".to_owned(),
    };
    print::line(format!("text now      {now}"));
}

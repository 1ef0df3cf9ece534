//! `winback provider`: the definitions there are, whether they hold, and one text through a route to see what comes.

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use crate::config::Config;
use crate::daemon::routes;
use crate::provider::cases::{self, CasesReport};
use crate::provider::{Catalog, Complaint, Definition};

use super::one_text::{OneText, send};
use super::{Context, WrongUse, print};

/// Providers.
#[derive(Debug, Subcommand)]
pub(super) enum ProviderCommand {
    /// Every provider that a route may name.
    List,
    /// What a provider needs and can do.
    Show(ShowArgs),
    /// Run the recorded cases of definitions.
    Check(CheckArgs),
    /// Send one text through a route and show which rule reads the answer.
    Try(TryArgs),
}

/// The provider.
#[derive(Debug, Args)]
pub(super) struct ShowArgs {
    /// Its name.
    name: String,
    /// Print its definition as it is written.
    #[arg(long)]
    source: bool,
}

/// The definitions.
#[derive(Debug, Args)]
pub(super) struct CheckArgs {
    /// A name, or a definition's file; all of them if not given.
    #[arg(value_name = "FILE|NAME")]
    definition: Option<String>,
}

/// One text.
#[derive(Debug, Args)]
pub(super) struct TryArgs {
    /// Name of the route.
    route: String,
    /// Your own number, as people write it.
    #[arg(long, value_name = "NUMBER", allow_hyphen_values = true)]
    to: String,
    /// The text.
    #[arg(long)]
    text: String,
    /// The sender; the first one of the route if not given.
    #[arg(long, allow_hyphen_values = true)]
    sender: Option<String>,
    /// Print the request, with secrets and numbers masked, and send nothing.
    #[arg(long)]
    dry_run: bool,
}

pub(super) async fn run(context: &Context, command: ProviderCommand) -> anyhow::Result<ExitCode> {
    match command {
        ProviderCommand::List => list(context),
        ProviderCommand::Show(args) => show(context, &args),
        ProviderCommand::Check(args) => check(context, &args),
        ProviderCommand::Try(args) => {
            let config = context.config()?;
            let text = OneText {
                route: args.route,
                to: args.to,
                text: args.text,
                sender: args.sender,
                dry_run: args.dry_run,
                campaign: None,
            };
            send(context, &config, text).await
        }
    }
}

/// Built-in definitions, and those of the configuration's folder if there is a configuration.
fn catalog(context: &Context) -> anyhow::Result<Catalog> {
    match context.config_if_any()? {
        Some(config) => routes::catalog(&config),
        None => routes::catalog(&Config::default()),
    }
}

fn list(context: &Context) -> anyhow::Result<ExitCode> {
    let catalog = catalog(context)?;
    let known: Vec<Arc<Definition>> = catalog.names().filter_map(|name| catalog.get(name)).collect();
    if context.json() {
        let list: Vec<Value> = known.iter().map(|definition| as_json(definition)).collect();
        print::json(&list)?;
        return Ok(ExitCode::SUCCESS);
    }
    let rows = known.iter().map(|definition| {
        let can = |has: bool, word: &'static str| if has { word } else { "-" };
        vec![
            definition.name.clone(),
            can(definition.receipt.is_some(), "receipts").to_owned(),
            can(definition.inbound.is_some(), "replies").to_owned(),
            can(definition.lookup.is_some(), "look-up").to_owned(),
            definition.about.clone(),
        ]
    });
    print::table(&["provider", "receipts", "replies", "look-up", "about"], &[], rows);
    Ok(ExitCode::SUCCESS)
}

fn show(context: &Context, args: &ShowArgs) -> anyhow::Result<ExitCode> {
    let catalog = catalog(context)?;
    let definition = known(&catalog, &args.name)?;
    if args.source {
        print::line(catalog.text(&args.name).unwrap_or_default().trim_end());
        return Ok(ExitCode::SUCCESS);
    }
    if context.json() {
        print::json(&as_json(&definition))?;
        return Ok(ExitCode::SUCCESS);
    }
    print::line(format!("{}: {}", definition.name, definition.about));
    for (name, about) in &definition.secrets {
        print::line(format!("  secrets.{name}: {about}"));
    }
    for (name, setting) in &definition.settings {
        let default = match &setting.default {
            Some(default) if default.is_empty() => " (may be left out)".to_owned(),
            Some(default) => format!(" (default {default})"),
            None => " (must be set)".to_owned(),
        };
        print::line(format!("  settings.{name}: {}{default}", setting.about));
    }
    print::line(format!("  recipients in one request: {}", definition.limits.recipients));
    if let Some(rate) = definition.limits.parts_per_second {
        print::line(format!("  parts per second of a new account: {rate}"));
    }
    let can = |has: bool| if has { "yes" } else { "no" };
    print::line(format!(
        "  receipts: {}, replies: {}, look-up: {}",
        can(definition.receipt.is_some()),
        can(definition.inbound.is_some()),
        can(definition.lookup.is_some())
    ));
    let rungs: Vec<&str> = definition.doubt.iter().map(|rung| rung.as_str()).collect();
    print::line(format!(
        "  asked about what is in doubt: {}",
        if rungs.is_empty() { "never".to_owned() } else { rungs.join(", ") }
    ));
    print::line(format!("`winback provider show {} --source` prints the definition", definition.name));
    Ok(ExitCode::SUCCESS)
}

fn as_json(definition: &Definition) -> Value {
    let settings: Vec<Value> = definition
        .settings
        .iter()
        .map(|(name, setting)| json!({"name": name, "about": setting.about, "default": setting.default}))
        .collect();
    json!({
        "name": definition.name, "about": definition.about, "secrets": definition.secrets,
        "settings": settings, "recipients": definition.limits.recipients,
        "parts_per_second": definition.limits.parts_per_second, "receipts": definition.receipt.is_some(),
        "inbound": definition.inbound.is_some(), "lookup": definition.lookup.is_some(),
        "doubt": definition.doubt.iter().map(|rung| rung.as_str()).collect::<Vec<_>>(),
    })
}

fn known(catalog: &Catalog, name: &str) -> anyhow::Result<Arc<Definition>> {
    let known = || catalog.names().collect::<Vec<_>>().join(", ");
    let none = || WrongUse(format!("there is no provider `{name}`; there are: {}", known()));
    Ok(catalog.get(name).ok_or_else(none)?)
}

fn check(context: &Context, args: &CheckArgs) -> anyhow::Result<ExitCode> {
    let file = args.definition.as_deref().map(Path::new).filter(|path| path.extension().is_some());
    let loaded = match file {
        None => catalog(context),
        Some(file) if !file.exists() => {
            return Err(WrongUse(format!("there is no file {}", file.display())).into());
        }
        Some(file) => {
            let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty());
            Catalog::with_folder(folder.unwrap_or(Path::new(".")))
                .map_err(|list| anyhow::anyhow!(lines(&list)))
        }
    };
    let catalog = loaded?;
    let stem = file.and_then(Path::file_stem).map(|stem| stem.to_string_lossy().into_owned());
    let names: Vec<String> = match stem.as_deref().or(args.definition.as_deref()) {
        Some(name) => vec![known(&catalog, name)?.name.clone()],
        None => catalog.names().map(str::to_owned).collect(),
    };
    let mut reports = Vec::new();
    for name in names {
        let definition = known(&catalog, &name)?;
        let report = catalog.cases(&name).map(|cases| cases::run(&definition, cases));
        reports.push((name, report.transpose().map_err(|list| anyhow::anyhow!(lines(&list)))?));
    }
    let good = |report: &Option<CasesReport>| report.as_ref().is_none_or(CasesReport::is_good);
    let all_good = reports.iter().all(|(_, report)| good(report));
    if context.json() {
        let list: Vec<Value> =
            reports.iter().map(|(name, report)| report_json(name, report.as_ref())).collect();
        print::json(&list)?;
    } else {
        for (name, report) in &reports {
            match report {
                Some(report) => print::line(format!("{name}: {report}")),
                None => print::line(format!("{name}: the definition is right; it has no {name}.cases.toml")),
            }
        }
    }
    Ok(if all_good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn report_json(name: &str, report: Option<&CasesReport>) -> Value {
    let Some(report) = report else { return json!({"name": name, "good": true, "cases": 0}) };
    let failures: Vec<Value> =
        report.failures.iter().map(|one| json!({"case": one.case, "problem": one.problem})).collect();
    json!({
        "name": name, "good": report.is_good(), "cases": report.ran, "failures": failures, "unused": report.unused,
    })
}

fn lines(complaints: &[Complaint]) -> String {
    complaints.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

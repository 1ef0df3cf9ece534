//! `winback doctor`: everything that must be right before texts go out, and how to mend what is not. Changes nothing.

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use serde::Serialize;

use crate::config::{Config, FILE, read_file};
use crate::daemon::routes;
use crate::model::clock::Timestamp;
use crate::store::Store;

use super::{Context, check, print, route};

/// A clock before this program was written is wrong.
const EARLIEST: Timestamp = Timestamp(1_767_225_600_000);

/// A clock this far ahead is wrong.
const LATEST: Timestamp = Timestamp(4_102_444_800_000);

/// Config, store, routes, clock, callbacks: what is wrong and how to mend it.
#[derive(Debug, Args)]
pub(super) struct DoctorArgs {}

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Grade {
    Ok,
    Warning,
    Wrong,
}

#[derive(Debug, Serialize)]
struct Finding {
    grade: Grade,
    what: String,
    told: String,
}

/// Everything found so far.
#[derive(Debug, Default)]
struct Findings(Vec<Finding>);

impl Findings {
    fn add(&mut self, grade: Grade, what: impl Into<String>, told: impl Into<String>) {
        self.0.push(Finding { grade, what: what.into(), told: told.into() });
    }
}

pub(super) async fn run(context: &Context, _args: DoctorArgs) -> anyhow::Result<ExitCode> {
    let mut findings = Findings::default();
    clock(context, &mut findings).await;
    let path = context.path().unwrap_or(Path::new(FILE));
    match context.config() {
        Err(error) => findings.add(Grade::Wrong, "config", error.to_string()),
        Ok(config) => {
            let checked = read_file(path).map(|text| Config::check(&path.to_string_lossy(), &text));
            match checked {
                Ok(Err(errors)) => findings.add(Grade::Wrong, "config", errors.to_string()),
                _ => findings.add(Grade::Ok, "config", path.display().to_string()),
            }
            settings(&config, &mut findings);
            let store = store(context, &config, &mut findings).await?;
            accounts(&config, store.as_ref(), &mut findings).await?;
            campaigns(&config, &mut findings)?;
            if let Some(store) = store {
                store.close().await;
            }
        }
    }
    let wrong = findings.0.iter().any(|finding| finding.grade == Grade::Wrong);
    if context.json() {
        print::json(&findings.0)?;
    } else {
        for finding in &findings.0 {
            let grade = match finding.grade {
                Grade::Ok => "ok     ",
                Grade::Warning => "warning",
                Grade::Wrong => "wrong  ",
            };
            print::line(format!("{grade}  {}: {}", finding.what, finding.told.replace('\n', "\n         ")));
        }
    }
    Ok(if wrong { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// The clock tells a year that can be, and moves on.
async fn clock(context: &Context, findings: &mut Findings) {
    let clock = context.clock();
    let (now, before) = (clock.now(), clock.elapsed());
    if now < EARLIEST || now > LATEST {
        let told =
            format!("it says {}; set the machine's clock, or texts go out at unlawful hours", now.rfc3339());
        findings.add(Grade::Wrong, "clock", told);
        return;
    }
    tokio::time::sleep(Duration::from_millis(20)).await;
    if clock.elapsed() <= before {
        findings.add(Grade::Wrong, "clock", "it stands still; nothing would ever become due");
    } else {
        findings.add(Grade::Ok, "clock", now.rfc3339());
    }
}

fn settings(config: &Config, findings: &mut Findings) {
    match &config.daemon.public_url {
        Some(url) => findings.add(Grade::Ok, "public_url", url.clone()),
        None => findings.add(
            Grade::Warning,
            "public_url",
            "receipts and STOP answers cannot come in; put TLS in front of the daemon and set daemon.public_url",
        ),
    }
    match config.shop.country {
        Some(country) => {
            findings.add(Grade::Ok, "country", format!("numbers without country code are read as {country}"));
        }
        None => findings.add(
            Grade::Warning,
            "country",
            "numbers without country code are rejected; set shop.country if the lists have such numbers",
        ),
    }
}

async fn store(context: &Context, config: &Config, findings: &mut Findings) -> anyhow::Result<Option<Store>> {
    let store = match context.store(config).await {
        Err(error) => {
            findings.add(Grade::Wrong, "store", error.to_string());
            return Ok(None);
        }
        Ok(store) => store,
    };
    let place = store.path().map_or_else(|| "PostgreSQL".to_owned(), |path| path.display().to_string());
    // A write transaction that is dropped changes nothing.
    match store.batch().await {
        Ok(_) => findings.add(Grade::Ok, "store", format!("{place}, schema {}", store.schema_version())),
        Err(error) => {
            let told =
                format!("{place} cannot be written ({error}); is the disk full, or the file another user's?");
            findings.add(Grade::Wrong, "store", told);
        }
    }
    if let Some(problem) = store.check_files().problem {
        findings.add(Grade::Wrong, "file modes", problem);
    }
    let contacts = store.contact_count().await?;
    findings.add(Grade::Ok, "contacts", print::count(contacts));
    match store.daemon().await? {
        Some(owner) => findings.add(Grade::Ok, "daemon", format!("running as {owner}")),
        None => findings.add(
            Grade::Warning,
            "daemon",
            "not running, so nothing is sent and no receipt is taken; start it with `winback daemon`",
        ),
    }
    Ok(Some(store))
}

async fn accounts(config: &Config, store: Option<&Store>, findings: &mut Findings) -> anyhow::Result<()> {
    let catalog = match routes::catalog(config) {
        Ok(catalog) => catalog,
        Err(error) => {
            findings.add(Grade::Wrong, "providers", error.to_string());
            return Ok(());
        }
    };
    if config.routes.is_empty() {
        findings.add(Grade::Warning, "routes", "there is none, so nothing can be sent; add [routes.NAME]");
    }
    let key = match store {
        Some(store) => routes::token_key(store).await?,
        None => route::no_key(),
    };
    for (name, account) in &config.routes {
        let what = format!("route {name}");
        match routes::one(config, &catalog, &key, name) {
            Err(error) => findings.add(Grade::Wrong, what.clone(), error.to_string()),
            Ok(parts) => {
                let told = route::addresses(config, &parts.adapter, false);
                let urls: Vec<String> = [("receipts", told.receipt), ("replies", told.inbound)]
                    .into_iter()
                    .filter_map(|(kind, url)| Some(format!("{kind} come to {}", url?)))
                    .collect();
                findings.add(Grade::Ok, what.clone(), format!("{}\n{}", account.provider, urls.join("\n")));
            }
        }
        for country in account.countries.iter().filter(|country| !account.price.contains_key(country)) {
            let told = format!("no price for {country}, so nothing is sent there; add it to `price`");
            findings.add(Grade::Warning, what.clone(), told);
        }
        for warning in config.resolve_secrets(name).map(|secrets| secrets.warnings).unwrap_or_default() {
            findings.add(Grade::Warning, what.clone(), warning);
        }
    }
    Ok(())
}

fn campaigns(config: &Config, findings: &mut Findings) -> anyhow::Result<()> {
    for file in check::campaigns(config)? {
        let name = file.display().to_string();
        if config.load_campaign(&file).is_ok() {
            findings.add(Grade::Ok, "campaign", name);
        } else {
            let told = format!("{name} has mistakes; `winback check` shows each of them");
            findings.add(Grade::Wrong, "campaign", told);
        }
    }
    Ok(())
}

//! `winback doctor`: everything that must be right before texts go out, and how to mend what is not. Changes nothing.

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use serde::Serialize;

use crate::config::{Config, FILE, read_file};
use crate::daemon::routes;
use crate::document::FileErrors;
use crate::model::clock::Timestamp;
use crate::store::Store;

use super::check::{self, Checked};
use super::{Context, print, route, surroundings};

/// A clock before this program was written is wrong.
const EARLIEST: Timestamp = Timestamp(1_767_225_600_000);

/// A clock this far ahead is wrong.
const LATEST: Timestamp = Timestamp(4_102_444_800_000);

/// Less room than this on the store's disk is nearly none.
const LEAST_ROOM: u64 = 200 << 20;

/// Less room than this may not last for a large campaign.
const LITTLE_ROOM: u64 = 1 << 30;

/// Two clocks of one shop may differ by this much.
const SET_BACK: Duration = Duration::from_mins(1);

/// Config, store, routes, clock, disk, callbacks: what is wrong and how to mend it.
#[derive(Debug, Args)]
pub(super) struct DoctorArgs {}

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Grade {
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
pub(super) struct Findings(Vec<Finding>);

impl Findings {
    pub(super) fn add(&mut self, grade: Grade, what: impl Into<String>, told: impl Into<String>) {
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
            surroundings::config_file(path, &config, &mut findings);
            surroundings::open_files(&config, &mut findings);
            let store = store(context, &config, &mut findings).await;
            if let Some(store) = &store {
                surroundings::around_store(store, context.now(), &mut findings).await?;
                surroundings::daemon(&config, store, &mut findings).await?;
            }
            accounts(context, &config, store.as_ref(), &mut findings).await?;
            campaigns(context, path, &config, store.as_ref(), &mut findings).await?;
            if let Some(store) = store {
                store.close().await;
            }
        }
    }
    told(context, &findings)
}

fn told(context: &Context, findings: &Findings) -> anyhow::Result<ExitCode> {
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
        let told = format!(
            "it says {}; set the machine's clock (`timedatectl set-ntp true` keeps it right), or texts go out at unlawful hours",
            now.rfc3339()
        );
        findings.add(Grade::Wrong, "clock", told);
        return;
    }
    tokio::time::sleep(Duration::from_millis(20)).await;
    if clock.elapsed() <= before {
        findings.add(
            Grade::Wrong,
            "clock",
            "it stands still; nothing would ever become due, so restart the machine or its virtual host",
        );
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

/// The store, if it can be read.
async fn store(context: &Context, config: &Config, findings: &mut Findings) -> Option<Store> {
    let opened = context.store(config).await;
    let store = opened.map_err(|error| findings.add(Grade::Wrong, "store", error.to_string())).ok()?;
    if let Err(error) = contents(context, &store, findings).await {
        findings.add(Grade::Wrong, "store", error.to_string());
        store.close().await;
        return None;
    }
    Some(store)
}

async fn contents(context: &Context, store: &Store, findings: &mut Findings) -> anyhow::Result<()> {
    let place = store.path().map_or_else(|| "PostgreSQL".to_owned(), |path| path.display().to_string());
    // A write transaction that is dropped changes nothing.
    match store.batch().await {
        Ok(_) if let Some((path, error)) = store.unwritable() => {
            let told = format!(
                "{} cannot be written ({error}), so nothing can be sent; is its disk mounted read-only, or is it another user's?",
                path.display()
            );
            findings.add(Grade::Wrong, "store", told);
        }
        Ok(_) => findings.add(Grade::Ok, "store", format!("{place}, schema {}", store.schema_version())),
        Err(error) => {
            let told =
                format!("{place} cannot be written ({error}); is the disk full, or the file another user's?");
            findings.add(Grade::Wrong, "store", told);
        }
    }
    if let Err(error) = store.refuse_backup().await {
        findings.add(Grade::Wrong, "backup", error.to_string());
    }
    let kind = if store.path().is_some() { "SQLite" } else { "PostgreSQL" };
    findings.add(Grade::Ok, "database", format!("{kind} {}", store.database_version().await?));
    match (store.check_files().problem, store.path()) {
        (Some(problem), _) => findings.add(Grade::Wrong, "file modes", problem),
        (None, Some(_)) => findings.add(Grade::Ok, "file modes", "nobody else can read the store"),
        (None, None) => {}
    }
    if let Some(path) = store.path() {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let (grade, told) = match rustix::fs::statvfs(folder) {
            Ok(disk) => room(disk.f_bavail.saturating_mul(disk.f_frsize), folder),
            Err(error) => (Grade::Warning, format!("{} cannot be asked: {error}", folder.display())),
        };
        findings.add(grade, "disk", told);
    }
    let (grade, told) = against_store(context.now(), store.newest_time().await?);
    findings.add(grade, "clock and store", told);
    let contacts = store.contact_count().await?;
    findings.add(Grade::Ok, "contacts", print::count(contacts));
    Ok(())
}

/// Whether a store can grow: a full disk stops sending.
fn room(free: u64, folder: &Path) -> (Grade, String) {
    let told = format!("{} MiB free for {}", free >> 20, folder.display());
    if free < LEAST_ROOM {
        (Grade::Wrong, format!("{told}; sending stops when it is full, so make room or move the store"))
    } else if free < LITTLE_ROOM {
        (
            Grade::Warning,
            format!("{told}, which is little; a million messages need about one GiB, so make room"),
        )
    } else {
        (Grade::Ok, told)
    }
}

/// Whether the clock was set back since the store was written.
fn against_store(now: Timestamp, newest: Option<Timestamp>) -> (Grade, String) {
    let Some(newest) = newest else { return (Grade::Ok, "nothing has been written down yet".to_owned()) };
    if newest.since(now) > SET_BACK {
        let told = format!(
            "the clock says {}, and the store has something of {}; one of them was wrong, so set the clock \
             (`timedatectl set-ntp true`) before anything is sent",
            now.rfc3339(),
            newest.rfc3339()
        );
        return (Grade::Wrong, told);
    }
    (Grade::Ok, format!("the newest thing in the store is of {}", newest.rfc3339()))
}

async fn accounts(
    context: &Context,
    config: &Config,
    store: Option<&Store>,
    findings: &mut Findings,
) -> anyhow::Result<()> {
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
        // One that cannot be written has been told.
        Some(store) => routes::token_key(store).await.unwrap_or_else(|_| route::no_key()),
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
                surroundings::provider(&parts, context.now(), findings).await?;
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

/// Every campaign, and the segments, as `winback check` sees them.
async fn campaigns(
    context: &Context,
    path: &Path,
    config: &Config,
    store: Option<&Store>,
    findings: &mut Findings,
) -> anyhow::Result<()> {
    let files = check::campaigns(config)?;
    let mut checked = Checked { files: vec![path.to_owned()], ..Checked::default() };
    checked.look(context, Some(config), store, files.clone()).await?;
    let lines = |errors: &FileErrors| {
        let places = errors.places().into_iter();
        let lines: Vec<String> =
            places.map(|place| format!("line {}: {}", place.line, place.problem)).collect();
        format!("{}\n{}\n`winback check` shows the places", errors.file(), lines.join("\n"))
    };
    for file in &files {
        let name = file.to_string_lossy();
        if !checked.wrong.iter().any(|errors| errors.file() == name) {
            findings.add(Grade::Ok, "campaign", name);
        }
    }
    for errors in &checked.wrong {
        findings.add(Grade::Wrong, "file", lines(errors));
    }
    for errors in &checked.warnings {
        findings.add(Grade::Warning, "file", lines(errors));
    }
    for (_, problem) in checked.unread {
        findings.add(Grade::Wrong, "campaign", problem);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_that_fills_up_is_told_before_it_is_full() {
        let check = |mib: u64, grade: Grade| assert_eq!(room(mib << 20, Path::new("/")).0, grade, "{mib}");
        check(10, Grade::Wrong);
        check(199, Grade::Wrong);
        check(200, Grade::Warning);
        check(1_023, Grade::Warning);
        check(1_024, Grade::Ok);
    }

    #[test]
    fn a_clock_that_was_set_back_is_noticed_by_what_the_store_knows() {
        let now = Timestamp::parse("2026-10-01T10:00:00Z").expect("time");
        let check = |newest: Option<&str>, grade: Grade| {
            let newest = newest.map(|text| Timestamp::parse(text).expect("time"));
            assert_eq!(against_store(now, newest).0, grade, "{newest:?}");
        };
        check(None, Grade::Ok);
        check(Some("2026-10-01T09:00:00Z"), Grade::Ok);
        check(Some("2026-10-01T10:00:30Z"), Grade::Ok);
        check(Some("2026-10-01T10:01:01Z"), Grade::Wrong);
    }
}

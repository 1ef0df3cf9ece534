//! `winback check`: every mistake in configuration and campaign files, with line and column.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use serde_json::{Value, json};

use crate::campaign::definition::Definition;
use crate::config::facts::{self, Facts, Findings};
use crate::config::{Config, FILE, read_file};
use crate::daemon::routes;
use crate::document::FileErrors;
use crate::segment::{self, AsOf};
use crate::store::Store;

use super::{Context, WrongUse, print, segment as segments, terms};

/// Contacts whose attributes are looked at to suggest one.
const SAMPLE: i64 = 500;

/// Read configuration and campaign files and show every mistake with line and column.
#[derive(Debug, Args)]
pub(super) struct CheckArgs {
    /// Campaigns or their files; the configuration and all its campaigns if none is named.
    campaigns: Vec<String>,
}

/// What is wrong with the files that were looked at.
#[derive(Default)]
pub(super) struct Checked {
    pub(super) files: Vec<PathBuf>,
    pub(super) wrong: Vec<FileErrors>,
    pub(super) warnings: Vec<FileErrors>,
    /// Files that cannot be read at all, and why.
    pub(super) unread: Vec<(PathBuf, String)>,
    /// What could not be looked at.
    pub(super) notes: Vec<String>,
}

pub(super) async fn run(context: &Context, args: CheckArgs) -> anyhow::Result<ExitCode> {
    let own = context.path().unwrap_or(Path::new(FILE)).to_owned();
    let mut checked = Checked::default();
    let config = checked.configuration(context, &own)?;
    let named = args.campaigns.iter().filter(|name| Path::new(name) != own);
    let files = match &config {
        Some(config) if args.campaigns.is_empty() => campaigns(config)?,
        Some(config) => named.map(|name| terms::file(config, name)).collect(),
        None => named.map(PathBuf::from).collect(),
    };
    if let Some(gone) = files.iter().find(|file| !args.campaigns.is_empty() && !file.exists()) {
        return Err(WrongUse(terms::no_campaign(config.as_ref(), gone)).into());
    }
    let store = match &config {
        None => None,
        Some(config) => match context.store(config).await {
            Ok(store) => Some(store),
            Err(error) => {
                checked.notes.push(format!("pools, attributes and event kinds were not looked at: {error}"));
                None
            }
        },
    };
    checked.look(context, config.as_ref(), store.as_ref(), files).await?;
    if let Some(store) = &store {
        store.close().await;
    }
    checked.told(context)
}

impl Checked {
    /// Reads the configuration by itself.
    pub(super) fn configuration(&mut self, context: &Context, own: &Path) -> anyhow::Result<Option<Config>> {
        self.files.push(own.to_owned());
        let text = match read_file(own) {
            Ok(text) => text,
            Err(error) => {
                self.unread.push((own.to_owned(), error.to_string()));
                return Ok(None);
            }
        };
        let name = own.to_string_lossy();
        let mut problem = None;
        let catalog = |config: &Config| routes::catalog(config).map_err(|error| problem = Some(error)).ok();
        let read = Config::check_with(&name, &text, catalog);
        if let Some(problem) = problem {
            self.unread.push((own.to_owned(), problem.to_string()));
        }
        match read {
            Err(errors) => {
                self.wrong.push(errors);
                Ok(None)
            }
            Ok(config) => {
                self.warnings.extend(config.unset_secrets(&name, &text));
                self.warnings.extend(config.missing_folder(&name, &text));
                Ok(Some(context.config()?))
            }
        }
    }

    /// Reads campaigns, and holds them and the configuration against the store if there is one.
    pub(super) async fn look(
        &mut self,
        context: &Context,
        config: Option<&Config>,
        store: Option<&Store>,
        campaigns: Vec<PathBuf>,
    ) -> anyhow::Result<()> {
        let mut read = Vec::new();
        for file in campaigns {
            let text = match read_file(&file) {
                Ok(text) => text,
                Err(_) if !file.exists() => {
                    let told = terms::no_campaign(config, &file);
                    self.unread.push((file, told));
                    continue;
                }
                Err(error) => {
                    self.unread.push((file, error.to_string()));
                    continue;
                }
            };
            read.extend(
                self.campaign(context, config, store, &file, &text).await?.map(|one| (file, text, one)),
            );
        }
        let (Some(config), Some(store)) = (config, store) else { return Ok(()) };
        let mut asked = config.asked();
        asked.extend(read.iter().flat_map(|(_, _, definition)| facts::asked(definition)));
        let facts = gather(context, config, store, asked).await?;
        if let Some((own, text)) =
            self.files.first().and_then(|own| Some((own.clone(), read_file(own).ok()?)))
        {
            self.found(config.check_facts(&own.to_string_lossy(), &text, &facts));
        }
        for (file, text, definition) in &read {
            self.found(facts::check_campaign_facts(definition, &file.to_string_lossy(), text, &facts));
        }
        Ok(())
    }

    async fn campaign(
        &mut self,
        context: &Context,
        config: Option<&Config>,
        store: Option<&Store>,
        file: &Path,
        text: &str,
    ) -> anyhow::Result<Option<Definition>> {
        self.files.push(file.to_owned());
        let name = file.to_string_lossy();
        let read = match config {
            Some(config) => config.check_campaign(&name, text),
            // Routes and segments are unknown while the configuration cannot be read.
            None => Definition::parse(&name, text, "UTC"),
        };
        let definition = match read {
            Ok(definition) => definition,
            Err(errors) => {
                self.wrong.push(errors);
                return Ok(None);
            }
        };
        let launched = match store {
            Some(store) => store.run_by_key(&definition.launch_key()).await?.is_some(),
            None => false,
        };
        if let Some(config) = config
            && !launched
        {
            let sendable = config.check_sendable(&definition, &name, text, context.now());
            self.wrong.extend(sendable.err());
        }
        Ok(Some(definition))
    }

    fn found(&mut self, findings: Result<Findings, FileErrors>) {
        match findings {
            Ok(Findings { wrong, doubtful }) => {
                self.wrong.extend(wrong);
                self.warnings.extend(doubtful);
            }
            Err(errors) => self.wrong.push(errors),
        }
    }

    pub(super) fn good(&self) -> bool {
        self.wrong.is_empty() && self.unread.is_empty()
    }

    fn told(self, context: &Context) -> anyhow::Result<ExitCode> {
        let good = self.good();
        if context.json() {
            let unread = self.unread.iter();
            let mut problems: Vec<Value> = unread
                .map(
                    |(file, problem)| json!({"file": file, "line": null, "column": null, "problem": problem}),
                )
                .collect();
            problems.extend(self.wrong.iter().flat_map(print::problems));
            let warnings: Vec<Value> = self.warnings.iter().flat_map(print::problems).collect();
            print::json(&json!({
                "files": self.files, "good": good, "problems": problems, "warnings": warnings, "notes": self.notes,
            }))?;
            return Ok(if good { ExitCode::SUCCESS } else { ExitCode::FAILURE });
        }
        for (_, problem) in &self.unread {
            print::line(problem);
        }
        for errors in self.wrong.iter().chain(&self.warnings) {
            print::line(errors.to_string());
            print::line("");
        }
        for note in &self.notes {
            print::line(note);
        }
        if good {
            let warnings: usize = self.warnings.iter().map(|errors| errors.complaints().len()).sum();
            let right = if self.files.len() == 1 { "file is right" } else { "files are right" };
            let doubts = match warnings {
                0 => String::new(),
                1 => "; 1 warning".to_owned(),
                n => format!("; {n} warnings"),
            };
            print::line(format!("{} {right}{doubts}", self.files.len()));
        }
        Ok(if good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

/// Every campaign file of the configuration, by name.
pub(super) fn campaigns(config: &Config) -> anyhow::Result<Vec<PathBuf>> {
    let entries = match std::fs::read_dir(&config.campaigns_folder) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut files = Vec::new();
    for entry in entries {
        let path = entry?.path();
        files.extend(path.extension().is_some_and(|extension| extension == "toml").then_some(path));
    }
    files.sort();
    Ok(files)
}

/// What the store knows of what files ask for.
async fn gather(
    context: &Context,
    config: &Config,
    store: &Store,
    asked: impl IntoIterator<Item = String>,
) -> anyhow::Result<Facts> {
    let pools = store.coupon_pools().await?.into_iter().map(|pool| pool.name).collect();
    let mut facts = Facts { kinds: store.event_kinds().await?, pools, ..Facts::default() };
    let as_of = AsOf { at: context.now(), zone: config.shop_zone() };
    let ask = async |text: &str, limit| {
        let fragment = segment::compile(&segment::parse(text)?, &as_of, segments::dialect(store), 1);
        anyhow::Ok(store.segment_preview(&fragment, limit).await?)
    };
    let sample = ask("true", SAMPLE).await?;
    facts.contacts = !sample.is_empty();
    for contact in sample {
        facts.attributes.extend(contact.record.attrs.names());
    }
    if facts.contacts {
        for column in asked {
            if ask(&format!("{column} is not null"), 1).await?.is_empty() {
                facts.absent.insert(column);
            }
        }
    }
    Ok(facts)
}

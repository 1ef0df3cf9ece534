//! `winback check`: every mistake in configuration and campaign files, with line and column.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use serde_json::{Value, json};

use crate::campaign::definition::Definition;
use crate::config::{Config, FILE, read_file};
use crate::document::{Document, FileErrors};
use crate::store::Store;

use super::{Context, print};

/// Read configuration and campaign files and show every mistake with line and column.
#[derive(Debug, Args)]
pub(super) struct CheckArgs {
    /// Files; the configuration and all its campaigns if none is named.
    files: Vec<PathBuf>,
}

/// What is wrong with the files that were looked at.
#[derive(Default)]
struct Checked {
    files: Vec<PathBuf>,
    wrong: Vec<FileErrors>,
    /// Files that cannot be read at all, and why.
    unread: Vec<(PathBuf, String)>,
}

pub(super) async fn run(context: &Context, args: CheckArgs) -> anyhow::Result<ExitCode> {
    let own = context.path().unwrap_or(Path::new(FILE)).to_owned();
    let mut checked = Checked::default();
    let config = match read_file(&own) {
        Err(error) => {
            checked.unread.push((own.clone(), error.to_string()));
            None
        }
        Ok(text) => match Config::check(&own.to_string_lossy(), &text) {
            Err(errors) => {
                checked.wrong.push(errors);
                None
            }
            Ok(_) => Some(context.config()?),
        },
    };
    checked.files.push(own.clone());
    let campaigns = if args.files.is_empty() {
        config.as_ref().map(campaigns).transpose()?.unwrap_or_default()
    } else {
        args.files.into_iter().filter(|file| *file != own).collect()
    };
    let store = match &config {
        Some(config) => context.store(config).await.ok(),
        None => None,
    };
    for file in campaigns {
        checked.campaign(config.as_ref(), store.as_ref(), file).await?;
    }
    if let Some(store) = &store {
        store.close().await;
    }
    checked.told(context)
}

impl Checked {
    async fn campaign(
        &mut self,
        config: Option<&Config>,
        store: Option<&Store>,
        file: PathBuf,
    ) -> anyhow::Result<()> {
        let text = match read_file(&file) {
            Ok(text) => text,
            Err(error) => {
                self.unread.push((file, error.to_string()));
                return Ok(());
            }
        };
        let name = file.to_string_lossy().into_owned();
        let read = match config {
            Some(config) => config.check_campaign(&name, &text),
            // Routes and segments are unknown while the configuration cannot be read.
            None => Definition::parse(&name, &text, "UTC"),
        };
        match read {
            Err(errors) => self.wrong.push(errors),
            Ok(definition) => {
                if let Some(store) = store
                    && let Err(errors) = pool(store, &definition, &name, &text).await?
                {
                    self.wrong.push(errors);
                }
            }
        }
        self.files.push(file);
        Ok(())
    }

    fn told(self, context: &Context) -> anyhow::Result<ExitCode> {
        let good = self.wrong.is_empty() && self.unread.is_empty();
        if context.json() {
            let mut problems: Vec<Value> = Vec::new();
            for (file, problem) in &self.unread {
                problems.push(json!({"file": file, "line": null, "column": null, "problem": problem}));
            }
            for errors in &self.wrong {
                problems.extend(errors.places().into_iter().map(|place| {
                    json!({
                        "file": errors.file(), "line": place.line, "column": place.column,
                        "problem": place.problem, "help": place.help,
                    })
                }));
            }
            print::json(&json!({"files": self.files, "good": good, "problems": problems}))?;
        } else {
            for (_, problem) in &self.unread {
                print::line(problem);
            }
            for errors in &self.wrong {
                print::line(errors.to_string());
                print::line("");
            }
            if good {
                print::line(format!("{} files are right", self.files.len()));
            }
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

/// Complains at its place about a pool that the store does not have.
async fn pool(
    store: &Store,
    definition: &Definition,
    file: &str,
    text: &str,
) -> anyhow::Result<Result<(), FileErrors>> {
    let Some(coupon) = &definition.coupon else { return Ok(Ok(())) };
    if store.pool(&coupon.pool).await?.is_some() {
        return Ok(Ok(()));
    }
    let document = match Document::parse(file, text) {
        Ok(document) => document,
        Err(errors) => return Ok(Err(errors)),
    };
    if let Some(value) = document.find(&["coupon", "pool"]) {
        let title = format!("there is no pool `{}` in the store", coupon.pool);
        value.complain(title, format!("create it with `winback coupon create {} --value …`", coupon.pool));
    }
    Ok(document.finish(Some(())))
}

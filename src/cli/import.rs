//! What the four import commands share: their options, the progress bar, Ctrl-C and the summary.
//!
//! Never shows a value of a row: rejected rows are told by line and reason, and written whole only where they are
//! asked for.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Map, Value, json};

use crate::config::Config;
use crate::intake::headers::{HeaderError, Mapping};
use crate::intake::import::{Handling, ImportError, Rejections, Step};
use crate::intake::source::Source;
use crate::intake::table::{RowFault, Table, TableOptions};
use crate::store::Store;

use super::{Context, WrongUse, print, written};

/// Rejected rows that are shown.
const SHOWN: usize = 10;

/// A daemon on the same file looks for its turn every 25 ms at first.
const LET_THE_DAEMON_IN: Duration = Duration::from_millis(30);

/// The reason of a row after which nothing is read.
const UNREAD: &str = RowFault::OpenQuote { quote_line: 0 }.word();

/// Somewhere it is tomorrow already, and a date says no hour.
pub(super) const AHEAD: Duration = Duration::from_hours(24);

/// A file to be read.
#[derive(Debug, Args)]
pub(super) struct ImportArgs {
    /// CSV or any other delimited text, also gzipped; `-` reads standard input.
    pub(super) file: PathBuf,
    /// Which column is what, for names that are not understood, such as `phone=Mobile`.
    #[arg(long, value_name = "FIELD=COLUMN,…")]
    map: Vec<Mapping>,
    /// Write nothing, but say what would happen.
    #[arg(long)]
    dry_run: bool,
    /// Write rejected rows to this file, to be mended and imported again. It replaces an earlier file of rejected rows and
    /// nothing else; a dry run does not write it.
    #[arg(long, value_name = "FILE")]
    rejects: Option<PathBuf>,
    /// Encoding of the file, such as windows-1252; found out if not given.
    #[arg(long)]
    encoding: Option<String>,
    /// The character between two fields; found out if not given.
    #[arg(long, value_name = "CHARACTER")]
    delimiter: Option<char>,
}

impl ImportArgs {
    /// Opens the file and reads its header.
    ///
    /// # Errors
    /// When it cannot be read, or its rejected rows would overwrite what they must not.
    pub(super) fn open(&self, context: &Context, config: &Config) -> anyhow::Result<Table> {
        if self.file != Path::new("-") && !self.file.exists() {
            return Err(WrongUse(format!("there is no file {}", self.file.display())).into());
        }
        if let Some(rejects) = &self.rejects {
            written::refuse_own(context, Some(config), rejects)?;
            let stdin = Path::new("/dev/stdin");
            written::refuse_rejects(rejects, if self.file == Path::new("-") { stdin } else { &self.file })?;
        }
        let source = Source::open(&self.file)?;
        let options = TableOptions { encoding: self.encoding.clone(), delimiter: self.delimiter };
        Ok(Table::open(source, &options)?)
    }

    /// What was said about columns.
    pub(super) fn mapping(&self) -> Mapping {
        self.map.iter().cloned().fold(Mapping::default(), Mapping::and)
    }

    /// Carries out an import with a progress bar, until its end or Ctrl-C.
    ///
    /// # Errors
    /// When it breaks off; the message says that running it again finishes it.
    pub(super) async fn carry_out<T>(
        &self,
        store: &Store,
        import: impl AsyncFnOnce(Handling<'_>) -> Result<T, ImportError>,
    ) -> anyhow::Result<T> {
        let bar = bytes_bar();
        let mut progress = |step: Step| {
            if let Some(total) = step.total {
                bar.set_length(total);
            }
            bar.set_position(step.bytes);
        };
        let handling = Handling {
            dry_run: self.dry_run,
            show: SHOWN,
            pause: pause(store).await?,
            rejects: self.rejects.clone().filter(|_| !self.dry_run).map(
                |path| -> crate::intake::import::OpenRejects<'_> {
                    Box::new(move || Ok(Box::new(private(&path)?) as Box<dyn Write + Send>))
                },
            ),
            progress: Some(&mut progress),
        };
        let ended = tokio::select! {
            ended = import(handling) => ended,
            _ = tokio::signal::ctrl_c() => Err(ImportError::Stopped),
        };
        bar.finish_and_clear();
        let again = if self.dry_run { "nothing was written" } else { "run it again to finish it" };
        ended.map_err(|error| match error {
            ImportError::Stopped => anyhow::Error::new(ImportError::Stopped),
            ImportError::Rejects(cause) => {
                let file = self.rejects.as_deref().unwrap_or(&self.file).display();
                anyhow::anyhow!(
                    "the import broke off: rejected rows cannot be written to {file}: {cause}; name another file with \
                     --rejects and run it again to finish it"
                )
            }
            error => anyhow::anyhow!("the import broke off; {again}: {error}"),
        })
    }

    /// Tells what became of the file.
    pub(super) fn told(
        &self,
        context: &Context,
        rows: u64,
        counts: &[(&str, u64)],
        rejected: &Rejections,
    ) -> anyhow::Result<ExitCode> {
        // A file of which nothing could be used is the wrong file or wrongly read; a script must notice. Real lists have a
        // few bad rows every time: the import is done, and the count and `--rejects` tell a script about them.
        let useless = rows > 0 && rejected.count >= rows;
        // Of a list that was not read to its end nobody knows what is missing.
        let cut = rejected.by_reason.keys().any(|word| *word == UNREAD);
        let code = if useless || cut { ExitCode::FAILURE } else { ExitCode::SUCCESS };
        if context.json() {
            print::json(&self.as_json(rows, counts, rejected))?;
            return Ok(code);
        }
        if self.dry_run {
            print::line("Nothing was written. It would be:");
        }
        let number = |n: u64| print::count(i64::try_from(n).unwrap_or(i64::MAX));
        let mut table = vec![vec!["rows".to_owned(), number(rows)]];
        table.extend(
            counts
                .iter()
                .filter(|(name, n)| *n > 0 || !name.starts_with("  "))
                .map(|(name, n)| vec![(*name).replace('_', " "), number(*n)]),
        );
        table.push(vec!["rejected".to_owned(), number(rejected.count)]);
        table.extend(rejected.by_reason.iter().map(|(word, n)| vec![format!("  {word}"), number(*n)]));
        print::table(&[&self.file.to_string_lossy(), ""], &[1], table);
        for one in &rejected.first {
            print::line(format!("line {}: {}", one.line, one.reason));
        }
        if rejected.count > rejected.first.len() as u64 {
            let more = rejected.count - rejected.first.len() as u64;
            print::line(format!("and {} more", number(more)));
        }
        match &self.rejects {
            Some(path) if rejected.count > 0 && self.dry_run => {
                print::line(format!("{} was not written: this is a dry run", path.display()));
            }
            Some(path) if rejected.count > 0 => {
                print::line(format!(
                    "the rejected rows are in {}; mend them and import that file",
                    path.display()
                ));
            }
            None if rejected.count > 0 => print::line("--rejects FILE writes the rejected rows to a file"),
            _ => {}
        }
        if useless {
            print::note("error: every row was rejected; nothing was imported");
        } else if rejected.count > 0 {
            print::note(format!("warning: {}", self.left_out(rejected)));
        }
        Ok(code)
    }

    /// How many rows were rejected, and where the others are: in, unless this is a dry run, or a quote that is never closed
    /// hides what comes after it.
    fn left_out(&self, rejected: &Rejections) -> String {
        let told = print::counted(i64::try_from(rejected.count).unwrap_or(i64::MAX), "row was", "rows were");
        let are_in = if self.dry_run { "would be in" } else { "are in" };
        if rejected.by_reason.keys().any(|word| *word == UNREAD) {
            return format!(
                "{told} rejected, and of {} nothing was read after a double quote that is never closed. The rows before it \
                 {are_in}; mend the file and import it again",
                self.file.display()
            );
        }
        format!("{told} rejected, the others {are_in}")
    }

    fn as_json(&self, rows: u64, counts: &[(&str, u64)], rejected: &Rejections) -> Value {
        let mut answer = Map::new();
        answer.insert("file".to_owned(), json!(self.file.to_string_lossy()));
        answer.insert("dry_run".to_owned(), json!(self.dry_run));
        answer.insert("rows".to_owned(), json!(rows));
        for (name, n) in counts {
            answer.insert(name.trim().to_owned(), json!(n));
        }
        let first: Vec<Value> = rejected
            .first
            .iter()
            .map(|one| json!({"line": one.line, "reason": one.reason.word(), "why": one.reason.to_string()}))
            .collect();
        let told = json!({"count": rejected.count, "by_reason": rejected.by_reason, "first": first});
        answer.insert("rejected".to_owned(), told);
        Value::Object(answer)
    }
}

/// Columns that cannot be told apart are for the caller to name.
pub(super) fn columns<T>(import: &ImportArgs, read: Result<T, HeaderError>) -> Result<T, WrongUse> {
    read.map_err(|error| WrongUse(format!("{}: {error}", import.file.display())))
}

/// Leaves the file to a daemon after each batch, if one is running.
async fn pause(store: &Store) -> anyhow::Result<Duration> {
    let beside = store.path().is_some() && store.daemon().await?.is_some();
    Ok(if beside { LET_THE_DAEMON_IN } else { Duration::ZERO })
}

/// Rejected rows hold phone numbers, so nobody else may read them.
fn private(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)
}

fn bytes_bar() -> ProgressBar {
    let bar = print::bar(0, "importing");
    match ProgressStyle::with_template(
        "{msg:>12} {bar:32} {percent:>3} %  {bytes}/{total_bytes}  {bytes_per_sec}  {eta} left",
    ) {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}

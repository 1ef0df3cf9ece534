//! Tables, JSON, errors and progress bars: how commands speak.

use std::io::{IsTerminal as _, Write as _};
use std::process::ExitCode;

use clap::error::{ContextKind, ContextValue};
use comfy_table::{CellAlignment, ContentArrangement, Table, TableStyle};
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;
use serde_json::{Value, json};

use crate::config::ConfigErrors;
use crate::document::FileErrors;
use crate::model::clock::Timestamp;
use crate::model::phone::Phone;

use super::WrongUse;

/// Prints a line to standard output. A closed pipe ends the command quietly, as it does for other tools.
pub(super) fn line(text: impl AsRef<str>) {
    let mut out = std::io::stdout().lock();
    if writeln!(out, "{}", text.as_ref()).is_err() {
        std::process::exit(0);
    }
}

/// Prints one JSON value, indented.
pub(super) fn json(value: &impl Serialize) -> anyhow::Result<()> {
    line(serde_json::to_string_pretty(value)?);
    Ok(())
}

/// Prints a note to standard error.
pub(super) fn note(text: impl AsRef<str>) {
    let _ = writeln!(std::io::stderr().lock(), "{}", text.as_ref());
}

/// Prints warnings to standard error.
pub(super) fn warnings(list: &[String]) {
    for warning in list {
        note(format!("warning: {warning}"));
    }
}

/// Prints an error and its causes to standard error, and for machines as one JSON value to standard output.
pub(super) fn error(error: &anyhow::Error, for_machines: bool) {
    let text = causes(error);
    if for_machines {
        let kind = if error.is::<WrongUse>() { "wrong_use" } else { "failed" };
        let config = error.downcast_ref::<ConfigErrors>().and_then(|error| match error {
            ConfigErrors::Wrong(errors) => Some(errors),
            _ => None,
        });
        let errors = config.or_else(|| error.downcast_ref::<FileErrors>());
        failure(&text, kind, errors.map(problems).unwrap_or_default());
    }
    // What shows a place in a file says itself that it is an error.
    note(if text.starts_with("error: ") { text } else { format!("error: {text}") });
}

/// Prints what is wrong with the way the program was called; answers the exit code. Help and version are no mistake.
pub(super) fn usage(mut error: clap::Error, for_machines: bool) -> ExitCode {
    // A negative number was meant for the option before it; behind `--` it would be something else again.
    if let Some(ContextValue::String(given)) = error.get(ContextKind::InvalidArg)
        && given.starts_with('-')
        && given[1..].starts_with(|first: char| first.is_ascii_digit() || first == '.')
    {
        error.remove(ContextKind::Suggested);
    }
    if for_machines && error.use_stderr() {
        let text = error.render().to_string();
        failure(text.split("\n\n").next().unwrap_or_default(), "wrong_use", Vec::new());
    }
    // Nobody is left to be told if neither stream can be written.
    let _ = error.print();
    u8::try_from(error.exit_code()).map_or(ExitCode::FAILURE, ExitCode::from)
}

fn failure(text: &str, kind: &str, problems: Vec<Value>) {
    let message = text.strip_prefix("error: ").unwrap_or(text);
    let mut told = json!({"message": message, "kind": kind});
    if !problems.is_empty() {
        told["problems"] = Value::Array(problems);
    }
    line(format!("{:#}", json!({"error": told})));
}

/// Everything that is wrong with a file, for machines.
pub(super) fn problems(errors: &FileErrors) -> Vec<Value> {
    let places = errors.places().into_iter().map(|place| {
        json!({
            "file": errors.file(), "line": place.line, "column": place.column,
            "problem": place.problem, "help": place.help,
        })
    });
    places.collect()
}

fn causes(error: &anyhow::Error) -> String {
    let mut text = error.to_string();
    let mut told = text.clone();
    for cause in error.chain().skip(1) {
        // Errors that show their cause themselves are not shown twice.
        let cause = cause.to_string();
        if !told.contains(&cause) {
            text.push_str(": ");
            text.push_str(&cause);
            told = cause;
        }
    }
    text
}

/// A table with a header line; the columns named in `numbers` are set flush right.
pub(super) fn table<R, C>(headers: &[&str], numbers: &[usize], rows: R)
where
    R: IntoIterator<Item = Vec<C>>,
    C: ToString,
{
    let mut table = Table::new();
    table.load_style(TableStyle::new()).set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(headers.iter().map(|header| (*header).to_owned()));
    for row in rows {
        table.add_row(row.iter().map(ToString::to_string));
    }
    for at in numbers {
        if let Some(column) = table.column_mut(*at) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    for text in table.to_string().lines() {
        line(text.trim_end());
    }
}

/// A bar over `total` steps on standard error; invisible unless that is a terminal.
pub(super) fn bar(total: u64, what: &'static str) -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style = "{msg:>12} {bar:32} {percent:>3} %  {pos}/{len}  {per_sec}  {eta} left";
    let bar = ProgressBar::new(total).with_message(what);
    match ProgressStyle::with_template(style) {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}

/// 1234567 as `1,234,567`.
pub(super) fn count(number: i64) -> String {
    let digits = number.unsigned_abs().to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3 + 1);
    if number < 0 {
        text.push('-');
    }
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A count with its noun: `1 run`, `2,000 runs`.
pub(super) fn counted(number: i64, one: &str, many: &str) -> String {
    format!("{} {}", count(number), if number == 1 { one } else { many })
}

/// A number for people: whole if they asked for it, else its country and its end, enough to tell two apart.
pub(super) fn phone(phone: Phone, shown: bool) -> String {
    let e164 = phone.e164();
    if shown || e164.len() < 8 {
        return if shown { e164 } else { "+…".to_owned() };
    }
    format!("{}…{}", &e164[..3], &e164[e164.len() - 2..])
}

/// A time for people, or a dash.
pub(super) fn time(at: Option<Timestamp>) -> String {
    at.map_or_else(|| "-".to_owned(), Timestamp::rfc3339)
}

#[cfg(test)]
mod tests {
    use super::count;

    #[test]
    fn counts_are_grouped_by_thousands() {
        for (number, text) in [(0, "0"), (999, "999"), (1_000, "1,000"), (-1_234_567, "-1,234,567")] {
            assert_eq!(count(number), text);
        }
    }
}

//! Reads scripts strictly: an unknown key or fault is an error at its place, and all of them are told at once.

use std::time::Duration;

use super::{Answering, Fault, Phase, Reporting, RetryAfter, Script, Until};
use crate::document::{Document, FileErrors, Table, Value, nearest, quoted};
use crate::simulator::config::Curve;

/// Milliseconds that anything in a script may take: an hour.
const LONGEST_MS: i64 = 3_600_000;

/// Octets that an answer may have or become.
const LARGEST: i64 = 1 << 30;

/// Faults of answers, and whether such a provider has taken the message unless the script says otherwise; none where
/// it never can have.
const ANSWERS: &[(&str, Option<bool>)] = &[
    ("throttle", None),
    ("status", Some(false)),
    ("html", Some(false)),
    ("reset", Some(true)),
    ("silent", Some(true)),
    ("drip", Some(true)),
    ("malformed", Some(true)),
    ("truncated", Some(true)),
    ("wrong-length", Some(true)),
    ("huge", Some(true)),
    ("bomb", Some(true)),
    ("redirect", Some(false)),
    ("wrong-id", Some(true)),
    ("same-id", Some(true)),
    ("empty", Some(true)),
];

const REPORTS: &[&str] =
    &["early", "late", "repeated", "reordered", "contradictory", "stray", "foreign", "never"];

impl Script {
    /// Reads a script; `file` is what complaints call it.
    ///
    /// # Errors
    /// Everything that is wrong with it, each at its line and column.
    pub fn parse(file: &str, text: &str) -> Result<Self, FileErrors> {
        let document = Document::parse(file, text)?;
        let root = document.root();
        let about = root.require("about", "say in a line what the script plays").and_then(|v| v.some_text());
        let list = root.require("phase", "write at least one [[phase]]").and_then(|value| value.list());
        let mut script =
            Script { about: about.unwrap_or_default().to_owned(), phases: vec![], faults: vec![] };
        let tables: Vec<_> = list.iter().flatten().collect();
        for (at, value) in tables.iter().enumerate() {
            let Some(table) = value.table() else { continue };
            let phase = script.phase(table, at + 1 == tables.len());
            script.phases.push(phase);
        }
        if list.is_some_and(|list| list.is_empty()) {
            root.complain("a script without a phase plays nothing", "write at least one [[phase]]");
        }
        root.finish();
        let complete = about.is_some() && !script.phases.is_empty();
        document.finish(complete.then_some(script))
    }

    fn phase(&mut self, table: Table<'_>, last: bool) -> Phase {
        let requests = table.get("requests").and_then(|value| value.whole(1..=1_000_000_000));
        let seconds = table.get("seconds").and_then(|value| value.number(0.001..=86_400.0));
        let until = match (requests, seconds) {
            (Some(_), Some(_)) => {
                table.complain("a phase ends by `requests` or by `seconds`", "remove one of them");
                Until::End
            }
            (Some(count), None) => Until::Requests(count.unsigned_abs()),
            (None, Some(seconds)) => Until::Elapsed(Duration::from_secs_f64(seconds)),
            (None, None) if last => Until::End,
            (None, None) => {
                table.complain("only the last phase may have no end", "add `requests` or `seconds`");
                Until::End
            }
        };
        let latency = table.get("latency_ms").and_then(|value| curve(&value));
        let answers = self.shares(&table, "answers", answer);
        let receipts = self.shares(&table, "receipts", report);
        table.finish();
        Phase { until, latency, answers, receipts }
    }

    /// Faults with their shares; a fault of the same name is the same fault.
    fn shares(
        &mut self,
        table: &Table<'_>,
        key: &'static str,
        read: fn(&Table<'_>) -> Option<(String, Fault)>,
    ) -> Vec<(f64, usize)> {
        let Some(value) = table.get(key) else { return Vec::new() };
        let (mut shares, mut sum) = (Vec::new(), 0.0);
        for element in value.list().unwrap_or_default() {
            let Some(table) = element.table() else { continue };
            let share = table.require("share", "say how often: a share from 0 to 1");
            let share = share.and_then(|value| value.number(0.0..=1.0)).unwrap_or(0.0);
            sum += share;
            let fault = read(&table);
            table.finish();
            let Some((name, fault)) = fault else { continue };
            let known = self.faults.iter().position(|(other, known)| *other == name && *known == fault);
            let at = known.unwrap_or_else(|| {
                self.faults.push((name, fault));
                self.faults.len() - 1
            });
            shares.push((share, at));
        }
        // Ten shares of 0.1 add up to a little more than 1 in binary.
        if sum > 1.0 + 1e-9 {
            value.complain("the shares add up to more than 1", "lower some of them");
        }
        shares
    }
}

fn answer(table: &Table<'_>) -> Option<(String, Fault)> {
    let value = table.require("fault", "name what goes wrong")?;
    let word = known(&value, ANSWERS.iter().map(|(name, _)| *name))?;
    let (_, accepts) = ANSWERS.iter().find(|(name, _)| *name == word)?;
    let accepts = match accepts {
        Some(default) => {
            let said = table.get("accepts").and_then(|value| value.truth());
            said.filter(|said| said != default)
                .map_or((*default, ""), |said| (said, if said { ", accepted" } else { ", not accepted" }))
        }
        None => (false, ""),
    };
    let code = |otherwise: i64, range| {
        table.get("status").map_or(Some(otherwise), |v| v.whole(range)).and_then(|n| u16::try_from(n).ok())
    };
    let ms = |key, otherwise: i64| {
        let read = table.get(key).map_or(Some(otherwise), |value| value.whole(1..=LONGEST_MS))?;
        Some(Duration::from_millis(read.unsigned_abs()))
    };
    let octets = |otherwise: i64| {
        let read = table.get("bytes").map_or(Some(otherwise), |value| value.whole(1..=LARGEST))?;
        usize::try_from(read).ok()
    };
    let (detail, kind) = match word {
        "throttle" => retry_after(table),
        "status" => {
            let code = code(500, 400..=599)?;
            let error = table.get("error").and_then(|value| value.some_text()).map(str::to_owned);
            let told = error.as_ref().map_or(String::new(), |error| format!(" {error}"));
            (format!(" {code}{told}"), Answering::Status { code, error })
        }
        "html" => {
            let code = code(200, 200..=599)?;
            (format!(" {code}"), Answering::Html { code })
        }
        "reset" => (String::new(), Answering::Reset),
        "silent" => {
            let hold = ms("hold_ms", 90_000)?;
            (format!(" {} ms", hold.as_millis()), Answering::Silent(hold))
        }
        "drip" => (String::new(), Answering::Drip(ms("every_ms", 1_000)?)),
        "malformed" => (String::new(), Answering::Malformed),
        "truncated" => (String::new(), Answering::Truncated),
        "wrong-length" => (String::new(), Answering::WrongLength),
        "huge" => (String::new(), Answering::Huge(octets(1 << 20)?)),
        "bomb" => (String::new(), Answering::Bomb(octets(16 << 20)?)),
        "redirect" => {
            let code = code(307, 300..=399)?;
            let to = table.get("to").map_or(Some("/v1/messages"), |value| value.some_text())?;
            (format!(" {code} {to}"), Answering::Redirect { code, to: to.to_owned() })
        }
        "wrong-id" => (String::new(), Answering::WrongId),
        "same-id" => (String::new(), Answering::SameId),
        _ => (String::new(), Answering::Empty),
    };
    Some((format!("{word}{detail}{}", accepts.1), Fault::Answer { kind, accepts: accepts.0 }))
}

fn retry_after(table: &Table<'_>) -> (String, Answering) {
    let text = table.get("retry_after").and_then(|value| value.text());
    let date = table.get("retry_after_date").and_then(|value| value.whole(-LONGEST_MS..=LONGEST_MS));
    match (text, date) {
        (Some(text), None) => {
            if text.chars().any(|c| c.is_control() || !c.is_ascii()) {
                table.complain("`retry_after` must fit into a header", "write printable ASCII");
            }
            (format!(" {text}"), Answering::Throttle(Some(RetryAfter::Text(text.to_owned()))))
        }
        (None, Some(seconds)) => {
            (format!(" date {seconds:+} s"), Answering::Throttle(Some(RetryAfter::Date(seconds))))
        }
        (None, None) => (String::new(), Answering::Throttle(None)),
        (Some(_), Some(_)) => {
            table.complain("a throttle asks once", "remove `retry_after` or `retry_after_date`");
            (String::new(), Answering::Throttle(None))
        }
    }
}

fn report(table: &Table<'_>) -> Option<(String, Fault)> {
    let value = table.require("fault", "name what is odd")?;
    let word = known(&value, REPORTS.iter().copied())?;
    let reporting = match word {
        "early" => Reporting::Early,
        "late" => {
            let by = table.get("by_ms").map_or(Some(10_000), |value| value.whole(1..=LONGEST_MS))?;
            Reporting::Late(Duration::from_millis(by.unsigned_abs()))
        }
        "repeated" => {
            let times = table.get("times").map_or(Some(3), |value| value.whole(2..=100))?;
            Reporting::Repeated(u8::try_from(times).unwrap_or(3))
        }
        "reordered" => Reporting::Reordered,
        "contradictory" => Reporting::Contradictory,
        "stray" => Reporting::Stray,
        "foreign" => Reporting::Foreign,
        _ => Reporting::Never,
    };
    Some((format!("receipts {word}"), Fault::Receipt(reporting)))
}

fn known<'w>(value: &Value<'_>, words: impl Iterator<Item = &'w str> + Clone) -> Option<&'w str> {
    let text = value.text()?;
    let found = words.clone().find(|word| *word == text);
    if found.is_none() {
        let help = match nearest(text, words.clone()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("known are {}", words.collect::<Vec<_>>().join(", ")),
        };
        value.complain(format!("there is no fault {}", quoted(text)), help);
    }
    found
}

fn curve(value: &Value<'_>) -> Option<Curve> {
    let list = value.list()?;
    let ms = |value: &Value<'_>| Some(Duration::from_millis(value.whole(0..=LONGEST_MS)?.unsigned_abs()));
    let [median, p95] = &list[..] else {
        value.complain("this is not a curve", "write [median, 95th percentile]");
        return None;
    };
    let curve = Curve::new(ms(median)?, ms(p95)?);
    if curve.p95 < curve.median {
        value.complain("the 95th percentile is below the median", "write the smaller number first");
    }
    Some(curve)
}

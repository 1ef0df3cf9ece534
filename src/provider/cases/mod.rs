//! Runs the recorded cases of a definition: does it still say what the provider says?
//!
//! Used by one test over every definition and by `provider check`. It also wants every rule and every state of a
//! definition to be used by a case, and no print of a request to show a secret or a phone number. No network.

mod format;
mod outgoing;
mod reading;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::catalog::CasesText;
use super::complaint::{Complaint, Complaints};
use super::definition::Definition;
use super::{Adapter, RouteSettings, Submission};
use crate::model::doubt::Rung;
use crate::model::phone::Phone;
use crate::telemetry::Secret;
use format::{CasesFile, MessageCase, RouteCase};

/// What came of running a definition's cases.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CasesReport {
    /// How many cases ran.
    pub ran: usize,
    /// The cases that did not hold.
    pub failures: Vec<CaseFailure>,
    /// Rules and states of the definition that no case makes use of.
    pub unused: Vec<String>,
}

impl CasesReport {
    /// True if every case holds and every rule and state is used by one.
    pub fn is_good(&self) -> bool {
        self.failures.is_empty() && self.unused.is_empty()
    }
}

/// One thing that a case expected and did not get.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CaseFailure {
    /// Kind and name: `answer "opted out"`.
    pub case: String,
    /// What differs.
    pub problem: String,
}

impl fmt::Display for CasesReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} cases, {} failed", self.ran, self.failures.len())?;
        for failure in &self.failures {
            write!(f, "\n  {}: {}", failure.case, failure.problem)?;
        }
        for unused in &self.unused {
            write!(f, "\n  no case makes use of {unused}")?;
        }
        Ok(())
    }
}

/// Runs `cases` against `definition`.
///
/// # Errors
/// When the cases cannot be read or their route does not fit the definition.
pub fn run(definition: &Arc<Definition>, cases: &CasesText) -> Result<CasesReport, Vec<Complaint>> {
    let file: CasesFile = toml::from_str(&cases.text).map_err(|error| {
        let mut complaints = Complaints::about(&cases.file, &cases.text);
        complaints.add_toml(&error);
        complaints.finish().err().unwrap_or_default()
    })?;
    let adapter = Adapter::new(Arc::clone(definition), route(&file.route))?;
    let mut run =
        Run { adapter: &adapter, route: &file.route, report: CasesReport::default(), used: BTreeSet::new() };
    file.request.iter().for_each(|case| run.request(case));
    file.answer.iter().for_each(|case| run.answer(case));
    file.lookup.iter().for_each(|case| run.lookup(case));
    file.receipt.iter().for_each(|case| run.receipt(case));
    file.inbound.iter().for_each(|case| run.inbound(case));
    run.count_unused(&file);
    Ok(run.report)
}

/// The work in progress.
struct Run<'a> {
    adapter: &'a Adapter,
    route: &'a RouteCase,
    report: CasesReport,
    used: BTreeSet<String>,
}

impl Run<'_> {
    fn fail(&mut self, case: &str, problem: impl Into<String>) {
        self.report.failures.push(CaseFailure { case: case.to_owned(), problem: problem.into() });
    }

    fn expect<T: fmt::Debug + PartialEq>(&mut self, case: &str, what: &str, got: &T, wanted: &T) {
        if got != wanted {
            self.fail(case, format!("{what} is {got:?}, expected {wanted:?}"));
        }
    }

    fn count_unused(&mut self, file: &CasesFile) {
        let definition = self.adapter.definition();
        let mut wanted = BTreeMap::new();
        let mut want = |place: String, what: String| {
            wanted.insert(place.clone(), format!("{place}{what}"));
        };
        for (at, rule) in definition.response.rules.iter().enumerate() {
            want(format!("response.class[{at}]"), format!(" (as {})", rule.meaning.as_str()));
        }
        for (at, rule) in definition.response.each.iter().flat_map(|each| &each.rules).enumerate() {
            want(format!("response.each.class[{at}]"), format!(" (as {})", rule.meaning.as_str()));
        }
        if let Some(receipt) = &definition.receipt {
            for (at, (status, _)) in receipt.states.0.iter().enumerate() {
                want(format!("receipt.states[{at}]"), format!(" ({status:?})"));
            }
            for (at, rule) in receipt.refine.iter().enumerate() {
                want(format!("receipt.refine[{at}]"), format!(" (as {})", rule.meaning.as_str()));
            }
        }
        let unused = wanted.into_iter().filter(|(place, _)| !self.used.contains(place));
        self.report.unused.extend(unused.map(|(_, shown)| shown));
        let kinds = [
            ("send", true, file.request.is_empty()),
            ("lookup", definition.lookup.is_some(), file.lookup.is_empty()),
            ("receipt", definition.receipt.is_some(), file.receipt.is_empty()),
            ("inbound", definition.inbound.is_some(), file.inbound.is_empty()),
        ];
        let kinds = kinds.iter().filter(|(_, defined, no_case)| *defined && *no_case);
        self.report.unused.extend(kinds.map(|(kind, ..)| format!("[{kind}]")));
        let missing = definition.doubt.iter().flat_map(|rung| unproven(*rung, file));
        self.report.unused.extend(missing);
    }
}

/// What the cases do not show about a rung, and a message in doubt would depend on.
fn unproven(rung: Rung, file: &CasesFile) -> Vec<String> {
    let found = |wanted: fn(Option<usize>) -> bool| {
        file.lookup.iter().any(|case| wanted(case.found.as_ref().map(Vec::len)))
    };
    let mut needs = match rung {
        Rung::Replay => {
            vec![("an answer with repeated = true", file.answer.iter().any(|case| case.repeated))]
        }
        Rung::Lookup | Rung::List => vec![
            ("a look-up that finds one", found(|found| found == Some(1))),
            ("a look-up that finds none", found(|found| found == Some(0))),
            ("a look-up whose answer says nothing", found(|found| found.is_none())),
        ],
    };
    if rung == Rung::List {
        needs.push(("a look-up that finds two", found(|found| found.is_some_and(|found| found > 1))));
    }
    let needs = needs.into_iter().filter(|(_, shown)| !shown);
    needs.map(|(what, _)| format!("doubt = [{:?}]: {what}", rung.as_str())).collect()
}

fn route(case: &RouteCase) -> RouteSettings {
    RouteSettings {
        route: "cases".to_owned(),
        secrets: case.secrets.iter().map(|(name, value)| (name.clone(), Secret::new(value))).collect(),
        settings: case.settings.clone(),
        allow_http: case.allow_http,
        callback_token: Secret::new(&case.callback_token),
    }
}

fn submission(case: &MessageCase) -> Result<Submission, String> {
    let to = Phone::from_e164(&case.to).ok_or("`to` is not E.164")?;
    Ok(Submission {
        reference: case.reference.clone(),
        to,
        sender: case.sender.clone(),
        text: case.text.clone(),
        encoding: case.encoding,
        parts: 1,
        callback_url: case.callback_url.clone(),
        validity: case.validity_seconds.map(Duration::from_secs),
    })
}

#[cfg(test)]
mod tests;

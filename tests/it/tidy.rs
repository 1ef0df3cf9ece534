//! The rules that no compiler checks, as tests: who may use whom, how long things may grow, what comes in pairs, which
//! words stay out. `docs/STYLE.md` gives the reason for each.
//!
//! Every complaint names the file, the line, the rule and the way out. A rule is a function from files to complaints,
//! and has a test of its own that feeds it something wrong.

mod budgets;
mod layers;
mod metrics;
mod pairs;
mod paths;
mod source;
mod words;

use std::fmt;

/// One rule broken in one place.
#[derive(Debug)]
struct Complaint {
    file: String,
    /// 0 if it is about the file as a whole.
    line: usize,
    rule: String,
    way_out: String,
}

impl Complaint {
    fn at(file: &str, line: usize, rule: impl Into<String>, way_out: impl Into<String>) -> Self {
        Self { file: file.to_owned(), line, rule: rule.into(), way_out: way_out.into() }
    }

    /// Fails with all of them.
    fn none(complaints: &[Self]) {
        let shown: Vec<String> = complaints.iter().map(Self::to_string).collect();
        assert!(shown.is_empty(), "\n{}\n", shown.join("\n"));
    }
}

impl fmt::Display for Complaint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, line, rule, way_out } = self;
        match line {
            0 => write!(f, "{file}: {rule}; {way_out}"),
            line => write!(f, "{file}:{line}: {rule}; {way_out}"),
        }
    }
}

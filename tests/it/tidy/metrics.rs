//! Every metric that a daemon exposes is explained in `docs/operations.md`, and nothing is explained that does not exist.

use std::collections::BTreeSet;

use super::Complaint;
use super::source::Repository;

/// Where metrics are named.
const NAMED: &str = "src/telemetry/metrics.rs";

/// Where they are explained.
const EXPLAINED: &str = "docs/operations.md";

/// Names given to the registry in a source text.
fn registered(source: &str) -> BTreeSet<String> {
    let pieces = source.split(".register(").skip(1);
    let names = pieces.filter_map(|piece| piece.trim_start().strip_prefix('"')?.split('"').next());
    names.map(|name| format!("winback_{name}")).collect()
}

/// Metrics that begin a row of a table; counters are shown with their ending.
fn explained(page: &str) -> BTreeSet<String> {
    let rows = page.lines().filter_map(|line| line.strip_prefix("| `winback_")?.split('`').next());
    rows.map(|name| format!("winback_{}", name.strip_suffix("_total").unwrap_or(name))).collect()
}

pub(super) fn metrics(source: &str, page: &str) -> Vec<Complaint> {
    let (registered, explained) = (registered(source), explained(page));
    let missing = registered.difference(&explained).map(|name| {
        let way_out = format!("add a row to {EXPLAINED}: what it means and which alert is worth having");
        Complaint::at(NAMED, 0, format!("nobody explains `{name}`"), way_out)
    });
    let gone = explained
        .difference(&registered)
        .map(|name| Complaint::at(EXPLAINED, 0, format!("there is no metric `{name}`"), "take its row out"));
    missing.chain(gone).collect()
}

#[test]
fn every_metric_is_explained_and_every_explained_one_exists() {
    let repository = Repository::read();
    let source = repository.house().find(|source| source.path == NAMED).expect("the metrics");
    let page = include_str!("../../../docs/operations.md");
    assert!(registered(&source.text).len() > 10, "{:?}", registered(&source.text));
    Complaint::none(&metrics(&source.text, page));
}

#[test]
fn a_metric_without_a_row_and_a_row_without_a_metric_are_found() {
    let source = "r.register(\"parts\", \"…\", p);\nr.register(\n    \"rate_share\",\n";
    let check = |page: &str, wanted: &[&str]| {
        let said: Vec<String> = metrics(source, page).into_iter().map(|one| one.rule).collect();
        assert_eq!(said, wanted, "{page}");
    };
    check("| `winback_parts_total` | a |\n| `winback_rate_share` | b |", &[]);
    check("| `winback_parts_total` | `winback_rate_share` |", &["nobody explains `winback_rate_share`"]);
    let gone = "there is no metric `winback_gone`";
    check("| `winback_parts_total` |\n| `winback_rate_share` |\n| `winback_gone` |", &[gone]);
}

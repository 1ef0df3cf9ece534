//! Every shipped provider definition is right and still says what its recorded cases say.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use winback::provider::{Catalog, cases, check};

#[test]
fn every_definition_in_the_folder_is_compiled_in_and_read_without_complaint() {
    let on_disk = Catalog::with_folder(&folder()).unwrap_or_else(|complaints| {
        let shown: Vec<String> = complaints.iter().map(ToString::to_string).collect();
        panic!("\n{}\n", shown.join("\n"))
    });
    let files: BTreeSet<String> = fs::read_dir(folder())
        .expect("the folder can be read")
        .filter_map(|entry| entry.expect("an entry").file_name().into_string().ok())
        .filter_map(|name| name.strip_suffix(".toml").map(str::to_owned))
        .filter(|name| !name.contains('.'))
        .collect();
    let builtin = Catalog::builtin();
    assert_eq!(builtin.names().map(str::to_owned).collect::<BTreeSet<_>>(), files);
    assert_eq!(on_disk.names().map(str::to_owned).collect::<BTreeSet<_>>(), files);
}

#[test]
fn every_definition_answers_its_recorded_cases_and_uses_each_of_its_rules() {
    let catalog = Catalog::builtin();
    let mut wrong = Vec::new();
    for name in catalog.names() {
        let definition = catalog.get(name).expect("named by the catalog");
        let recorded = catalog.cases(name).expect("tidy wants cases for each definition");
        match cases::run(&definition, recorded) {
            Ok(report) if report.is_good() && report.ran > 0 => {}
            Ok(report) => wrong.push(format!("{name}: {report}")),
            Err(complaints) => wrong.extend(complaints.iter().map(ToString::to_string)),
        }
    }
    assert!(wrong.is_empty(), "\n{}\n", wrong.join("\n"));
}

#[test]
fn cases_that_no_longer_hold_are_told() {
    let catalog = Catalog::builtin();
    let definition = catalog.get("simulator").expect("built in");
    let mut recorded = catalog.cases("simulator").expect("recorded").clone();
    recorded.text = recorded.text.replace("class = \"accepted\"", "class = \"opted_out\"");
    let report = cases::run(&definition, &recorded).expect("is readable");
    assert!(!report.failures.is_empty(), "{report}");
}

#[test]
fn a_key_that_the_format_does_not_know_is_refused_with_its_line() {
    let text = fs::read_to_string(folder().join("simulator.toml")).expect("the file can be read");
    let complaints = check::check("own.toml", &format!("surprise = 1\n{text}")).expect_err("a key too many");
    let shown: Vec<String> = complaints.iter().map(ToString::to_string).collect();
    assert!(shown.iter().any(|one| one.starts_with("own.toml:1:") && one.contains("surprise")), "{shown:?}");
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("providers")
}

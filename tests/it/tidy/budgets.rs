//! How long things may grow, and how every file begins.

use super::Complaint;
use super::source::{Repository, Source};

/// Lines of a file, tests included, that are never exceeded.
const FILE_HARD: usize = 600;

/// Nine files of ten stay below this.
const FILE_MOST: usize = 350;

/// Lines of a function, from its signature to its closing brace, that are never exceeded.
const FUNCTION_HARD: usize = 70;

/// Nine functions of ten stay below this.
const FUNCTION_MOST: usize = 40;

/// Files that may be longer: which, why.
const LONGER: &[(&str, &str)] = &[];

/// Names that say nothing about what is inside.
const REFUSED_NAMES: &[&str] = &["utils", "util", "common", "helpers", "helper", "types", "misc"];

/// Lines of files and functions.
pub(super) fn lengths(sources: &[&Source]) -> Vec<Complaint> {
    let mut complaints = Vec::new();
    for source in sources {
        let lines = source.text.lines().count();
        let listed = LONGER.iter().any(|(path, _)| *path == source.path);
        if lines > FILE_HARD && !listed {
            let rule = format!("{lines} lines, {FILE_HARD} are allowed");
            complaints.push(Complaint::at(&source.path, 0, rule, "split it where its subject changes"));
        }
        for function in source.functions.iter().filter(|function| function.lines > FUNCTION_HARD) {
            let rule =
                format!("`{}` has {} lines, {FUNCTION_HARD} are allowed", function.name, function.lines);
            let way_out = "keep the control flow and move each step into a function with a name";
            complaints.push(Complaint::at(&source.path, function.line, rule, way_out));
        }
        if lines <= FILE_HARD && listed {
            complaints.push(Complaint::at(&source.path, 0, "is short enough now", "take it out of LONGER"));
        }
    }
    complaints
}

/// Nine of ten are short: a few long files and functions are a choice, many are a habit.
pub(super) fn spread(sources: &[&Source]) -> Vec<Complaint> {
    let files = sources.iter().map(|source| (source.text.lines().count(), source.path.clone()));
    let functions = sources.iter().flat_map(|source| {
        let place = |name: &str, line: usize| format!("{}:{line} {name}", source.path);
        source.functions.iter().map(move |function| (function.lines, place(&function.name, function.line)))
    });
    let complaints = [
        ("files", FILE_MOST, files.collect::<Vec<_>>()),
        ("functions", FUNCTION_MOST, functions.collect::<Vec<_>>()),
    ];
    let complaints = complaints.into_iter().filter_map(|(what, most, mut lengths)| {
        lengths.sort();
        let ninth = lengths.get((lengths.len() * 9).div_ceil(10).checked_sub(1)?)?.0;
        let longest: Vec<String> =
            lengths.iter().rev().take(10).map(|(lines, place)| format!("{place} ({lines})")).collect();
        let rule = format!("one in ten {what} has {ninth} lines or more, nine in ten may have {most}");
        let way_out = format!("begin with the longest: {}", longest.join(", "));
        (ninth > most).then(|| Complaint::at("src", 0, rule, way_out))
    });
    complaints.collect()
}

/// Every file says what it is for, holds something, and has a name that means something.
pub(super) fn headers(sources: &[&Source]) -> Vec<Complaint> {
    let mut complaints = Vec::new();
    for source in sources {
        if !source.text.starts_with("//!") {
            let way_out = "open the file with what it is for and what it never does";
            complaints.push(Complaint::at(&source.path, 1, "no `//!` at its top", way_out));
        }
        if source.items == 0 {
            complaints.push(Complaint::at(&source.path, 0, "holds nothing", "fill it or remove it"));
        }
        let names = source.path.trim_end_matches(".rs").split('/');
        if let Some(name) = names.clone().find(|name| REFUSED_NAMES.contains(name)) {
            let way_out = "name it after what is in it, or move each piece to where it is used";
            complaints.push(Complaint::at(&source.path, 0, format!("`{name}` says nothing"), way_out));
        }
        for line in &source.allows {
            let way_out = "mend what the lint says, or write `#[expect(…, reason = \"…\")]`";
            complaints.push(Complaint::at(&source.path, *line, "a lint is switched off in silence", way_out));
        }
    }
    complaints
}

#[test]
fn files_and_functions_stay_readable() {
    let repository = Repository::read();
    Complaint::none(&lengths(&repository.sources.iter().collect::<Vec<_>>()));
    Complaint::none(&spread(&repository.house().collect::<Vec<_>>()));
}

#[test]
fn every_file_says_what_it_is_for() {
    let repository = Repository::read();
    Complaint::none(&headers(&repository.sources.iter().collect::<Vec<_>>()));
}

#[test]
fn what_is_too_long_is_found_with_its_line() {
    let function = |lines: usize| format!("//! A.\nimpl A {{\nfn f() {{{}}}\n}}\n", "\n".repeat(lines - 1));
    let check = |code: &str, wanted: &[&str]| {
        let said = lengths(&[&Source::snippet("src/a/b.rs", code)]);
        let said: Vec<String> = said.iter().map(ToString::to_string).collect();
        assert_eq!(said.len(), wanted.len(), "{said:?}");
        assert!(said.iter().zip(wanted).all(|(said, wanted)| said.contains(wanted)), "{said:?}");
    };
    check(&function(70), &[]);
    check(&function(71), &["src/a/b.rs:3: `f` has 71 lines"]);
    check(&"const A: u8 = 0;\n".repeat(600), &[]);
    check(&"const A: u8 = 0;\n".repeat(601), &["601 lines"]);
}

#[test]
fn one_long_file_in_ten_is_a_choice_and_two_are_a_habit() {
    let long = Source::snippet("src/a/long.rs", &"const A: u8 = 0;\n".repeat(351));
    let short = Source::snippet("src/a/short.rs", "fn f() {}");
    let check = |long_ones: usize, wanted: usize| {
        let sources: Vec<&Source> = (0..10).map(|at| if at < long_ones { &long } else { &short }).collect();
        let said = spread(&sources);
        assert_eq!(said.len(), wanted, "{said:?}");
    };
    check(1, 0);
    check(2, 1);
}

#[test]
fn a_file_without_purpose_content_or_name_is_found() {
    let check = |path: &str, code: &str, wanted: &[&str]| {
        let said: Vec<String> =
            headers(&[&Source::snippet(path, code)]).iter().map(|c| c.rule.clone()).collect();
        assert_eq!(said, wanted, "{path}: {code}");
    };
    check("src/a/b.rs", "//! B.\nfn f() {}", &[]);
    check("src/a/b.rs", "// B.\nfn f() {}", &["no `//!` at its top"]);
    check("src/a/b.rs", "//! B.\n// later", &["holds nothing"]);
    check("src/utils/b.rs", "//! B.\nfn f() {}", &["`utils` says nothing"]);
    check("src/helpers.rs", "//! B.\nfn f() {}", &["`helpers` says nothing"]);
    let allowed = ["#[allow(dead_code)]", "#![allow(dead_code)]", "#[cfg_attr(test, allow(dead_code))]"];
    for attribute in allowed {
        check(
            "src/a/b.rs",
            &format!("//! B.\n{attribute}\nfn f() {{}}"),
            &["a lint is switched off in silence"],
        );
    }
    check("src/a/b.rs", "//! B.\nm! { #[allow(x)] fn f() {} }", &["a lint is switched off in silence"]);
    check("src/a/b.rs", "//! `#[allow(x)]`\n#[expect(x)]\nfn f() { \"#[allow(x)]\"; }", &[]);
}

//! Recorded cases: those that are shipped hold, and those that do not hold are told.

use std::sync::Arc;

use super::run;
use crate::provider::catalog::CasesText;
use crate::provider::check::check;
use crate::provider::{Catalog, schema};

#[test]
fn every_built_in_definition_says_what_its_recorded_cases_say() {
    let catalog = Catalog::builtin();
    let mut wrong = Vec::new();
    for name in catalog.names() {
        let definition = catalog.get(name).expect("named by the catalog");
        match catalog.cases(name).map(|cases| run(&definition, cases)) {
            Some(Ok(report)) if report.is_good() && report.ran > 0 => {}
            Some(Ok(report)) => wrong.push(format!("{name}: {report}")),
            Some(Err(complaints)) => wrong.extend(complaints.iter().map(ToString::to_string)),
            None => wrong.push(format!("{name} has no {name}.cases.toml")),
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_published_schema_is_that_of_the_format() {
    let published = include_str!("../../../providers/schema.json");
    if published != schema() {
        let fresh = std::env::temp_dir().join("winback-provider-schema.json");
        std::fs::write(&fresh, schema()).expect("the folder for temporary files can be written");
        panic!("the format has changed; cp {} providers/schema.json", fresh.display());
    }
}

const DEFINITION: &str = "format = 1\nname = 'acme'\nsecrets.key = 'the key'\n[send]\nmethod = 'POST'\n\
    url = 'https://acme.example/'\nauth = { kind = 'bearer', token = '{secret.key}' }\n\
    [send.form]\nto = '{to}'\ntext = '{text}'\n[response]\nid = '/id'\n\
    [[response.class]]\nat = '/e'\nis = [1]\nas = 'opted_out'\n\
    [receipt]\nverify = { kind = 'hmac-sha256', header = 'x-sig', key = '{secret.key}' }\nformat = 'json'\n\
    id = '/id'\nstatus = '/s'\nstates = { d = 'delivered' }\n";

fn failures(cases: &str) -> Vec<String> {
    let definition = Arc::new(check("acme.toml", DEFINITION).expect("is right"));
    let text = format!("[route]\nsecrets.key = 's3cr3t'\n{cases}");
    let report =
        run(&definition, &CasesText { file: "acme.cases.toml".to_owned(), text }).expect("is readable");
    let failed = report.failures.iter().map(|failure| format!("{}: {}", failure.case, failure.problem));
    failed.chain(report.unused).collect()
}

#[test]
fn a_case_that_does_not_hold_and_a_rule_without_a_case_are_both_reported() {
    let said = failures(
        "[[answer]]\nname = 'stop'\nstatus = 400\nbody = '{\"e\":1}'\nexpect = [{ class = 'account' }]\n",
    );
    let all = said.join("\n");
    for expected in [
        "answer \"stop\": the class by response.class[0]: /e is 1 is \"opted_out\", expected \"account\"",
        "[send]",
        "[receipt]",
        "receipt.states[0] (Text(\"d\"))",
    ] {
        assert!(all.contains(expected), "{all}");
    }
    assert!(!all.contains("response.class[0] (as"), "the rule was used: {all}");
}

#[test]
fn a_request_that_shows_a_secret_in_print_is_a_failure() {
    let request = "[[request]]\nname = 'one'\nmessages = [{ text = 's3cr3t' }]\n[request.expect]\nmethod = 'POST'\n\
        url = 'https://acme.example/'\nform = { to = '+14155550100', text = 's3cr3t' }\n";
    let all = failures(request).join("\n");
    assert!(all.contains("request \"one\": the masked print shows the key"), "{all}");
    assert!(!all.contains("the form is"), "{all}");
}

#[test]
fn a_rung_that_no_case_shows_is_told() {
    let check = |doubt: &str, match_by: &str, cases: &str, wanted: &[&str]| {
        let send = "[send]\nidempotent_by = 'reference'\nidempotent_seconds = 60\n";
        let text = DEFINITION.replace("[send]\n", &format!("doubt = [{doubt}]\n{send}"));
        let text = text.replace("text = '{text}'", "text = '{text}'\nref = '{reference}'");
        let lookup = "[lookup]\nmethod = 'GET'\nurl = 'https://acme.example/'\nwithin_seconds = 60\nlist = '/m'\n\
            id = '/i'\nreference = '/r'\nto = '/t'\ntext = '/x'\nat = '/a'\n";
        let text = format!("{text}{lookup}match_by = '{match_by}'\n");
        let definition = Arc::new(check("acme.toml", &text).expect("is right"));
        let cases = format!("[route]\nsecrets.key = 's3cr3t'\n{cases}");
        let report = run(&definition, &CasesText { file: "acme.cases.toml".to_owned(), text: cases });
        let unused = report.expect("is readable").unused;
        let told: Vec<&str> = unused.iter().filter_map(|line| line.strip_prefix("doubt = ")).collect();
        assert_eq!(told, wanted, "{doubt}");
    };
    let none =
        "[[lookup]]\nname = 'none'\nsubmitted = '2026-10-01T10:00:00Z'\nbody = '{\"m\":[]}'\nfound = []\n";
    check("", "reference", "", &[]);
    check("'replay'", "reference", none, &["[\"replay\"]: an answer with repeated = true"]);
    check(
        "'lookup'",
        "reference",
        none,
        &["[\"lookup\"]: a look-up that finds one", "[\"lookup\"]: a look-up whose answer says nothing"],
    );
    check(
        "'list'",
        "content",
        none,
        &[
            "[\"list\"]: a look-up that finds one",
            "[\"list\"]: a look-up whose answer says nothing",
            "[\"list\"]: a look-up that finds two",
        ],
    );
}

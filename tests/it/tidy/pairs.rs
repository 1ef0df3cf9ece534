//! What comes in pairs: a provider and its recorded cases, a migration and its twin; and what no Rust file names.

use std::collections::BTreeSet;

use super::Complaint;
use super::source::{Repository, Source};

/// Providers whose name is also a word of ours: which, why.
const ALSO_A_WORD: &[(&str, &str)] = &[(
    "simulator",
    "`src/simulator` is the other end of the wire that `providers/simulator.toml` describes",
)];

/// Every definition has recorded cases, and every case file a definition.
pub(super) fn providers(names: &[&str]) -> Vec<Complaint> {
    let mut complaints = Vec::new();
    for name in names.iter().filter_map(|name| name.strip_suffix(".toml")) {
        let (twin, way_out) = match name.strip_suffix(".cases") {
            Some(definition) => (definition.to_owned(), "write the definition, or remove the cases"),
            None => {
                (format!("{name}.cases"), "record what the provider says, as `providers/README.md` shows")
            }
        };
        if !names.contains(&format!("{twin}.toml").as_str()) {
            let rule = format!("there is no `{twin}.toml` beside it");
            complaints.push(Complaint::at(&format!("providers/{name}.toml"), 0, rule, way_out));
        }
    }
    complaints
}

/// Both databases have the same migrations, numbered without a gap, and `applied` names each of them.
pub(super) fn migrations(sqlite: &[&str], postgres: &[&str], applied: &str) -> Vec<Complaint> {
    let folders = [("sqlite", sqlite, postgres), ("postgres", postgres, sqlite)];
    let mut complaints = Vec::new();
    for (folder, own, other) in folders {
        let mut own: Vec<&str> = own.to_vec();
        own.sort_unstable();
        for (at, name) in own.iter().enumerate() {
            let path = format!("migrations/{folder}/{name}");
            let mut complain =
                |rule: &str, way_out: &str| complaints.push(Complaint::at(&path, 0, rule, way_out));
            if !other.contains(name) {
                complain("the other database has no such migration", "write its twin with the same name");
            }
            let number = name.strip_suffix(".sql").and_then(|name| name.split_once('_'));
            if number.is_none_or(|(number, _)| number != format!("{:04}", at + 1)) {
                complain("its number is not the next one", "call it NNNN_name.sql, counting from 0001");
            }
            if !applied.contains(&path) {
                complain("nobody applies it", "list it in `src/store/migrate.rs`");
            }
        }
    }
    complaints
}

/// No Rust file of the product knows a provider by its name.
pub(super) fn provider_names(source: &Source, names: &BTreeSet<&str>) -> Vec<Complaint> {
    let lines = source.text.lines().enumerate().map(|(at, line)| (at + 1, line.to_lowercase()));
    let mut complaints = Vec::new();
    for (at, line) in lines.filter(|(at, _)| !source.is_test_line(*at)) {
        let mut words = line.split(|letter: char| !letter.is_alphanumeric());
        if let Some(name) = words.find(|word| names.contains(word)) {
            let rule = format!("names the provider `{name}`");
            let way_out = "say it in its definition; if the format cannot, name the scheme by what it is";
            complaints.push(Complaint::at(&source.path, at, rule, way_out));
        }
    }
    complaints
}

#[test]
fn every_provider_has_cases_and_is_known_to_no_rust_file() {
    let repository = Repository::read();
    let names = repository.names_in("providers");
    assert!(names.len() > 4, "{names:?}");
    Complaint::none(&providers(&names));
    let definitions = names.iter().filter_map(|name| name.strip_suffix(".toml"));
    let own_word = |name: &str| ALSO_A_WORD.iter().any(|(word, _)| *word == name);
    let definitions: BTreeSet<&str> =
        definitions.filter(|name| !name.contains('.') && !own_word(name)).collect();
    Complaint::none(
        &repository.house().flat_map(|source| provider_names(source, &definitions)).collect::<Vec<_>>(),
    );
}

#[test]
fn both_databases_have_the_same_migrations() {
    let repository = Repository::read();
    let applied = repository.house().find(|source| source.path == "src/store/migrate.rs");
    let applied = &applied.expect("the file that applies migrations").text;
    let (sqlite, postgres) =
        (repository.names_in("migrations/sqlite"), repository.names_in("migrations/postgres"));
    assert!(!sqlite.is_empty());
    Complaint::none(&migrations(&sqlite, &postgres, applied));
}

#[test]
fn what_lacks_its_twin_is_found() {
    let check = |names: &[&str], wanted: &[&str]| {
        let said: Vec<String> = providers(names).into_iter().map(|complaint| complaint.file).collect();
        assert_eq!(said, wanted);
    };
    check(&["README.md", "schema.json", "acme.toml", "acme.cases.toml"], &[]);
    check(&["acme.toml"], &["providers/acme.toml"]);
    check(&["acme.cases.toml"], &["providers/acme.cases.toml"]);

    let all = "migrations/sqlite/0001_a.sql migrations/postgres/0001_a.sql migrations/sqlite/0002_b.sql";
    let check = |sqlite: &[&str], postgres: &[&str], wanted: &[&str]| {
        let said: Vec<String> = migrations(sqlite, postgres, all).into_iter().map(|c| c.rule).collect();
        assert_eq!(said, wanted, "{sqlite:?} {postgres:?}");
    };
    check(&["0001_a.sql"], &["0001_a.sql"], &[]);
    check(&["0001_a.sql", "0002_b.sql"], &["0001_a.sql"], &["the other database has no such migration"]);
    let twice = ["its number is not the next one", "nobody applies it"];
    check(&["0003_a.sql"], &["0003_a.sql"], &[twice, twice].concat());
}

#[test]
fn a_provider_that_rust_knows_by_name_is_found() {
    let check = |code: &str, wanted: usize| {
        let said = provider_names(&Source::snippet("src/a/b.rs", code), &BTreeSet::from(["acme"]));
        assert_eq!(said.len(), wanted, "{code}: {said:?}");
    };
    check("fn f() { g(\"Acme\") }", 1);
    check("fn acme_quirk() {}", 1);
    check("// As ACME does.\nfn f() {}", 1);
    check("fn placemen() { acmestic() }", 0);
    check("#[cfg(test)]\nmod tests {\n    const A: &str = \"acme\";\n}", 0);
}

//! Who may use whom: the layers of `src/`, what belongs to one module alone, and what a module must not know.

use std::collections::BTreeSet;

use super::Complaint;
use super::source::{Repository, Source};

/// Top-level modules of `src/` from the ground up. A module uses layers below its own, never above.
const LAYERS: &[&[&str]] = &[
    &["telemetry"],
    &["model"],
    &["document", "text", "segment", "campaign", "insight"],
    &["provider", "store"],
    &["intake", "dispatch", "report", "http", "simulator"],
    &["config", "daemon", "cli"],
];

/// Edges inside a layer: who, whom, why.
const SIDEWAYS: &[(&str, &str, &str)] = &[
    ("campaign", "document", "a campaign is written as a document; its mistakes are shown in their place"),
    ("report", "dispatch", "an audit asks the frozen terms of a run which hours were lawful"),
    ("daemon", "config", "the daemon is started from one checked configuration"),
    ("cli", "config", "a command reads the configuration it works under"),
    ("cli", "daemon", "`winback daemon` and `winback demo` start it"),
];

/// Downward edges that are refused all the same: who, whom, why.
const REFUSED: &[(&str, &[&str], &str)] = &[
    (
        "simulator",
        &["provider", "store", "text", "campaign"],
        "it must be able to contradict the sending side",
    ),
    ("provider", &["campaign", "segment"], "it knows one message at a time"),
    ("store", &["campaign", "text"], "what may change is decided before it comes to the store"),
];

/// A path that only one place may name: the path, the places, the way out.
type Sole = (&'static str, &'static [&'static str], &'static str);

const CLOCK: &[&str] = &["src/model/clock.rs"];
const CLOCK_AND_SIMULATOR: &[&str] = &["src/model/clock.rs", "src/simulator/"];
const TAKE_A_CLOCK: &str = "take a `model::clock::Clock`, so that a test can say what time it is";
const CONFIG: &[&str] = &["src/config.rs", "src/config/"];
const TAKE_CONFIG: &str = "read it in `config` and pass it in";
const CLIENT: &[&str] = &["src/provider/transport/"];
const TAKE_TRANSPORT: &str = "use `provider::Transport`: no redirects, no retries, bounded answers";
const OUTSIDE: &[&str] = &["src/cli/", "src/cli.rs", "src/daemon/", "src/daemon.rs", "src/main.rs"];
const TAKE_RNG: &str = "take `&mut impl rand::Rng`; a seed is drawn where the process starts";

const SOLE: &[Sole] = &[
    ("sqlx", &["src/store/"], "add a method to the `store` file of its table"),
    ("std::env::var", CONFIG, TAKE_CONFIG),
    ("std::env::var_os", CONFIG, TAKE_CONFIG),
    ("std::env::vars", CONFIG, TAKE_CONFIG),
    ("std::env::vars_os", CONFIG, TAKE_CONFIG),
    ("prometheus_client", &["src/telemetry/"], "add the metric to `telemetry::metrics` and use its handle"),
    ("reqwest::Client", CLIENT, TAKE_TRANSPORT),
    ("reqwest::ClientBuilder", CLIENT, TAKE_TRANSPORT),
    ("reqwest::get", CLIENT, TAKE_TRANSPORT),
    ("std::time::SystemTime::now", CLOCK, TAKE_A_CLOCK),
    ("std::time::Instant::now", CLOCK, TAKE_A_CLOCK),
    // The simulator plays somebody else's machine, so it has a clock of its own; tests can pause this one.
    ("tokio::time::Instant::now", CLOCK_AND_SIMULATOR, TAKE_A_CLOCK),
    ("jiff::Timestamp::now", CLOCK, TAKE_A_CLOCK),
    ("jiff::Zoned::now", CLOCK, TAKE_A_CLOCK),
    ("rustix::time", CLOCK, TAKE_A_CLOCK),
    ("rand::rng", OUTSIDE, TAKE_RNG),
    ("rand::random", OUTSIDE, TAKE_RNG),
    ("rand::make_rng", OUTSIDE, TAKE_RNG),
    ("rand::rngs::ThreadRng", OUTSIDE, TAKE_RNG),
    ("rand::rngs::SysRng", OUTSIDE, TAKE_RNG),
    ("anyhow", OUTSIDE, "write a `thiserror` enum: callers want to know what went wrong"),
];

/// What a module must not know: where, which paths, why.
const BARRED: &[(&str, &[&str], &str)] = &[
    ("model", WORLD, "it is pure"),
    ("document", WORLD, "it is pure"),
    ("text", WORLD, "it is pure"),
    ("segment", WORLD, "it is pure"),
    ("campaign", WORLD, "it is pure"),
    ("insight", WORLD, "it is pure"),
    ("store", &["reqwest", "hyper", "axum", "std::net", "tokio::net"], "it never touches the network"),
];

const WORLD: &[&str] = &["std::fs", "std::net", "std::process", "tokio", "sqlx", "reqwest", "axum", "hyper"];

/// Dependencies point down, sideways only where the table says why.
pub(super) fn direction(sources: &[&Source]) -> Vec<Complaint> {
    let mut complaints = Vec::new();
    let mut used = BTreeSet::new();
    for source in sources {
        let Some(from) = source.top() else { continue };
        for named in source.named.iter().filter(|named| named.is_in("crate")) {
            let Some(to) = named.path.get(1).filter(|to| is_module(sources, to)) else { continue };
            used.insert((from, to.as_str()));
            if let Err(way_out) = may_use(from, to) {
                let rule = format!("`{from}` uses `{}`", named.shown());
                complaints.push(Complaint::at(&source.path, named.line, rule, way_out));
            }
        }
    }
    let built = |module: &str| sources.iter().any(|source| source.top() == Some(module));
    for (from, to, _) in SIDEWAYS {
        if built(from) && built(to) && !used.contains(&(*from, *to)) {
            let rule = format!("`{from}` does not use `{to}` any more");
            complaints.push(Complaint::at(file!(), 0, rule, "take the edge out of SIDEWAYS".to_owned()));
        }
    }
    complaints
}

fn is_module(sources: &[&Source], name: &str) -> bool {
    let known = LAYERS.iter().any(|layer| layer.contains(&name));
    known || sources.iter().any(|source| source.top() == Some(name))
}

fn may_use(from: &str, to: &str) -> Result<(), String> {
    let layer = |module: &str| {
        let found = LAYERS.iter().position(|layer| layer.contains(&module));
        found.ok_or_else(|| format!("give `{module}` its layer in LAYERS of {}", file!()))
    };
    let (own, other) = (layer(from)?, layer(to)?);
    if let Some((.., why)) = REFUSED.iter().find(|(who, whom, _)| *who == from && whom.contains(&to)) {
        return Err(format!("`{from}` must not know `{to}`: {why}; pass in what it needs"));
    }
    let listed = SIDEWAYS.iter().any(|(who, whom, _)| *who == from && *whom == to);
    match own.cmp(&other) {
        std::cmp::Ordering::Greater => Ok(()),
        std::cmp::Ordering::Equal if from == to || listed => Ok(()),
        std::cmp::Ordering::Equal => Err(format!(
            "they stand side by side: let a layer above join them, move what both need below, or list the edge with its reason in SIDEWAYS of {}",
            file!()
        )),
        std::cmp::Ordering::Less => {
            Err(format!("`{to}` stands above `{from}`: move what is needed down, or pass it in"))
        }
    }
}

/// The tour in `lib.rs` names every module that it declares.
pub(super) fn tour(library: &Source) -> Vec<Complaint> {
    let lines = library.text.lines().enumerate();
    let declared =
        lines.filter_map(|(at, line)| Some((at + 1, line.strip_prefix("pub mod ")?.strip_suffix(';')?)));
    let missing = declared.filter(|(_, module)| !library.text.contains(&format!("//! - [`{module}`]")));
    let complain = |(at, module)| {
        let rule = format!("the tour does not name `{module}`");
        Complaint::at(&library.path, at, rule, "say in one line what it is for, at its place in the order")
    };
    missing.map(complain).collect()
}

/// What belongs to one module alone, and what a module must not know; tests may do as they need.
pub(super) fn purpose(sources: &[&Source]) -> Vec<Complaint> {
    let mut complaints = Vec::new();
    for source in sources {
        let barred = BARRED.iter().filter(|(module, ..)| source.top() == Some(module));
        let barred: Vec<_> =
            barred.flat_map(|(module, paths, why)| paths.iter().map(move |p| (module, p, why))).collect();
        for named in source.named.iter().filter(|named| !source.is_test_line(named.line)) {
            let sole = SOLE.iter().find(|(path, places, _)| {
                named.is_in(path) && !places.iter().any(|place| source.path.starts_with(place))
            });
            if let Some((_, places, way_out)) = sole {
                let rule = format!("only {} may name `{}`", places.join(", "), named.shown());
                complaints.push(Complaint::at(&source.path, named.line, rule, (*way_out).to_owned()));
            }
            if let Some((module, _, why)) = barred.iter().find(|(_, path, _)| named.is_in(path)) {
                let rule = format!("`{module}` names `{}`, but {why}", named.shown());
                let way_out = "do it in a layer above and pass in the result".to_owned();
                complaints.push(Complaint::at(&source.path, named.line, rule, way_out));
            }
        }
    }
    complaints
}

#[test]
fn modules_use_only_what_stands_below_them() {
    let repository = Repository::read();
    Complaint::none(&direction(&repository.house().collect::<Vec<_>>()));
    let library = repository.house().find(|source| source.path == "src/lib.rs");
    Complaint::none(&tour(library.expect("the library")));
}

#[test]
fn what_belongs_to_one_module_is_named_nowhere_else() {
    let repository = Repository::read();
    Complaint::none(&purpose(&repository.house().collect::<Vec<_>>()));
}

#[test]
fn an_edge_up_or_sideways_is_found_however_it_is_written() {
    let check = |path: &str, code: &str, wanted: &[&str]| {
        let source = Source::snippet(path, code);
        let said: Vec<String> = direction(&[&source]).iter().map(ToString::to_string).collect();
        assert_eq!(said.len(), wanted.len(), "{code}: {said:?}");
        for (said, wanted) in said.iter().zip(wanted) {
            assert!(said.contains(wanted), "{code}: {said}");
        }
    };
    let up = "stands above `store`";
    check(
        "src/store/a.rs",
        "use crate::dispatch::plan;",
        &["src/store/a.rs:1: `store` uses `crate::dispatch::plan`"],
    );
    check("src/store/a.rs", "fn f() { crate::http::g(); }", &[up]);
    check("src/store/a.rs", "use crate::{model::ids, cli};", &["crate::cli"]);
    check("src/store/a.rs", "use super::super::daemon;", &[up]);
    check("src/store/mod.rs", "mod a { mod b { use super::super::super::daemon; } }", &[up]);
    check("src/store/a.rs", "\nfn f() { vec![crate::http::g()]; }", &["src/store/a.rs:2"]);
    check("src/store/a.rs", "use crate::provider::Adapter as A;", &["side by side"]);
    check("src/simulator/a.rs", "use crate::store::Store;", &["must not know `store`"]);
    check("src/novelty/a.rs", "use crate::model::ids;", &["give `novelty` its layer"]);
    check("src/store/a.rs", "// crate::http::g\nuse crate::{model::ids, telemetry as t};", &[]);
    check("src/store/a.rs", "const S: &str = \"crate::http::g()\";", &[]);
    check("src/cli/a.rs", "use crate::daemon; use crate::store::Store;", &[]);
}

#[test]
fn a_path_that_belongs_elsewhere_is_found_through_its_import() {
    let check = |path: &str, code: &str, wanted: usize| {
        let said = purpose(&[&Source::snippet(path, code)]);
        assert_eq!(said.len(), wanted, "{code}: {said:?}");
    };
    check("src/dispatch/a.rs", "use std::time::Instant; fn f() { Instant::now(); }", 1);
    check("src/dispatch/a.rs", "use tokio::time::{Instant as I}; fn f() { I::now(); }", 1);
    check("src/simulator/a.rs", "use tokio::time::Instant; fn f() { Instant::now(); }", 0);
    check("src/dispatch/a.rs", "fn f() { std::time::SystemTime::now(); }", 1);
    check("src/dispatch/a.rs", "use std::env; fn f() { env::var(\"A\"); }", 1);
    check("src/config.rs", "use std::env; fn f() { env::var(\"A\"); }", 0);
    check("src/http/a.rs", "fn f() { sqlx::query(\"\"); }", 1);
    check("src/http/a.rs", "#[cfg(test)] mod tests { use sqlx::query; }", 0);
    check("src/http/a.rs", "use prometheus_client::registry::Registry;", 1);
    check("src/http/a.rs", "use reqwest::Client; fn f() { Client::builder(); }", 2);
    check("src/provider/transport/a.rs", "use reqwest::Client; fn f() { Client::builder(); }", 0);
    check("src/http/a.rs", "use reqwest::Method;", 0);
    check("src/dispatch/a.rs", "fn f() { rand::rng(); }", 1);
    check("src/text/a.rs", "use std::fs::File;", 1);
    check("src/intake/a.rs", "use std::fs::File;", 0);
    check("src/store/a.rs", "fn f() { println!(\"{}\", reqwest::get(\"\")); }", 2);
}

#[test]
fn a_module_that_the_tour_leaves_out_is_found() {
    let code = "//! - [`text`]: texts\npub mod text;\npub mod store;";
    let said: Vec<usize> = tour(&Source::snippet("src/lib.rs", code)).iter().map(|c| c.line).collect();
    assert_eq!(said, [3]);
}

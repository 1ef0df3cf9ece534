//! What an operator does beside a daemon or without one: the program itself on a store that the test holds too.

use std::process::{Command, Stdio};

use serde_json::Value;

use super::Said;
use crate::dispatch::resolve::in_doubt;
use crate::support::stores::{Bench, on_both};
use crate::support::world::{World, phone};
use winback::model::clock::{Clock as _, SystemClock};
use winback::model::suppression::Reason;
use winback::store::suppressions::{EVERY_SENDER, NewSuppression};

/// A folder whose configuration names the store under test.
pub(super) struct Desk {
    folder: tempfile::TempDir,
}

impl Desk {
    pub(super) fn at(bench: &Bench) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let text = format!("[store]\nurl = \"{}\"\n[shop]\ncountry = \"US\"\n", bench.url());
        std::fs::write(folder.path().join("winback.toml"), text).expect("written");
        Self { folder }
    }

    pub(super) fn run(&self, args: &[&str]) -> Said {
        let mut command = Command::new(env!("CARGO_BIN_EXE_winback"));
        command.args(args).current_dir(self.folder.path()).stdin(Stdio::null());
        command.env_remove("WINBACK_STORE_URL").env("USER", "ada");
        Said::of(&command.output().expect("runs"))
    }

    /// What a command that ends with `code` answers as JSON.
    pub(super) fn json(&self, code: i32, args: &[&str]) -> Value {
        let said = self.run(&[args, &["--json"]].concat());
        assert_eq!(said.code, Some(code), "{args:?}: {}{}", said.out, said.err);
        serde_json::from_str(&said.out).unwrap_or_else(|error| panic!("{args:?}: {error}: {}", said.out))
    }
}

/// Run, state and whether it changed, for each run of an answer.
fn runs(answer: &Value) -> Vec<(i64, String, bool)> {
    let list = answer["runs"].as_array().expect("a list");
    let one = |done: &Value| {
        let state = done["state"].as_str().expect("a state").to_owned();
        (done["run"].as_i64().expect("an id"), state, done["changed"].as_bool().expect("a truth"))
    };
    list.iter().map(one).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_word_of_the_operator_holds_for_every_open_run_or_for_the_one_that_is_named() {
    on_both(async |bench| {
        let world = World::new(bench, 4, |_| {}).await;
        let (_, first) = world.launch(bench, "comeback", "").await;
        let later =
            "schedule = { at = \"2018-01-02 12:00\", zone = \"contact\", until = \"2018-01-05 18:00\" }";
        let (_, second) = world.launch(bench, "comeback", later).await;
        let (_, other) = world.launch(bench, "other", "").await;
        let (one, two) = (first.id.0, second.id.0);
        let desk = Desk::at(bench);
        let check = |args: &[&str], wanted: &[(i64, &str, bool)]| {
            let said = runs(&desk.json(0, args));
            let wanted: Vec<_> =
                wanted.iter().map(|(run, state, did)| (*run, (*state).to_owned(), *did)).collect();
            assert_eq!(said, wanted, "{args:?}");
        };
        check(&["pause", "comeback"], &[(one, "paused", true), (two, "paused", true)]);
        check(&["pause", "comeback"], &[(one, "paused", false), (two, "paused", false)]);
        let two_named = two.to_string();
        check(&["resume", "comeback", "--run", &two_named], &[(two, "running", true)]);
        check(&["cancel", "comeback", "--run", &two_named], &[(two, "cancelled", true)]);
        check(&["cancel", "comeback", "--run", &two_named], &[(two, "cancelled", false)]);
        check(&["resume", "comeback"], &[(one, "running", true)]);
        let cancelled = desk.json(0, &["cancel", "comeback"]);
        assert_eq!(
            (runs(&cancelled), &cancelled["withdrawn"]),
            (vec![(one, "cancelled".to_owned(), true)], &4.into())
        );
        let again = desk.run(&["cancel", "comeback"]);
        assert_eq!(again.code, Some(0), "{}", again.err);
        assert!(again.out.contains("nothing changed"), "{}", again.out);
        let refused = desk.run(&["resume", "comeback", "--run", &two_named]);
        assert_eq!(refused.code, Some(1), "{}", refused.out);
        assert!(refused.out.contains("was cancelled"), "{}", refused.out);
        let wrong = desk.run(&["pause", "comeback", "--run", &other.id.to_string()]);
        assert_eq!(wrong.code, Some(2), "{}", wrong.err);
        let untouched = bench.run(other.id).await.unwrap().unwrap();
        assert_eq!(untouched.state.as_str(), "running");
        world.end().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_in_doubt_is_listed_with_what_it_waits_for_and_decided_once() {
    on_both(async |bench| {
        let (world, run, ids) = in_doubt(bench, 3, "when_in_doubt = \"ask\"").await;
        let desk = Desk::at(bench);
        let listed = desk.json(0, &["message", "list", "--in-doubt"]);
        let list = listed.as_array().expect("a list");
        assert_eq!(list.len(), 3);
        assert_eq!(
            (&list[0]["campaign"], &list[0]["waits_for"]["what"]),
            (&"comeback".into(), &"operator".into())
        );
        assert_eq!(list[0]["attempt"]["number"], 1);
        assert!(
            list[0]["looked_for"].as_str().is_some_and(|told| told.contains("our reference")),
            "{}",
            list[0]
        );
        assert!(!listed.to_string().contains(&phone(0).e164()), "numbers are masked");
        let (first, rest) = (
            ids[0].to_string(),
            desk.json(0, &["message", "list", "comeback", "--in-doubt", "--limit", "1"]),
        );
        assert_eq!(rest.as_array().map(Vec::len), Some(1));
        let after = desk.json(0, &["message", "list", "--in-doubt", "--after", &first]);
        assert_eq!(after.as_array().map(Vec::len), Some(2));
        let why = desk.json(0, &["why", "c0", "comeback"]);
        assert_eq!(
            (&why["state"], &why["waits_for"]["what"]),
            (&"ambiguous".into(), &"operator".into()),
            "{why}"
        );

        let named = desk.json(0, &["status", "comeback", "--run", &run.id.to_string()]);
        let named: Vec<_> = named["doubts"].as_array().expect("a list").iter().collect();
        assert_eq!(named.len(), 3, "each is named");
        assert_eq!(named[0]["waits_for"]["what"], "operator");

        let one = ["message", "resolve", &first, "--as", "not-sent", "--reason", "their log"];
        assert_eq!(desk.json(0, &one)["changed"], serde_json::json!([ids[0]]));
        let again = desk.json(0, &one);
        assert_eq!(
            (&again["changed"], &again["already"]),
            (&serde_json::json!([]), &serde_json::json!([ids[0]]))
        );
        let all = ["message", "resolve", "--campaign", "comeback", "--all", "--as", "accepted"];
        assert_eq!(desk.json(0, &all)["changed"].as_array().map(Vec::len), Some(2));
        assert_eq!(desk.json(0, &all)["changed"], serde_json::json!([]));
        let other = desk.json(1, &["message", "resolve", &first, "--as", "accepted"]);
        assert!(other["kept"][0]["why"].as_str().is_some_and(|why| why.contains("not-sent")), "{other}");
        let shown = desk.json(0, &["message", "show", &first]);
        assert_eq!(shown["decision_list"][0]["by"], "ada");
        assert_eq!(
            (&shown["state"], &shown["decision_list"][0]["reason"]),
            (&"failed".into(), &"their log".into())
        );
        let status = desk.json(0, &["status", "comeback", "--run", &run.id.to_string()]);
        assert_eq!(
            (&status["accepted"], &status["accepted_by_decision"]),
            (&2.into(), &2.into()),
            "{status}"
        );
        world.end().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn why_names_the_rule_of_the_plan_the_window_the_run_and_the_suppression() {
    on_both(async |bench| {
        let world = World::new(bench, 4, |_| {}).await;
        let now = world.clock.now();
        let stop = |n: u64| NewSuppression {
            phone: phone(n),
            scope: EVERY_SENDER.to_owned(),
            reason: Reason::Stop,
            source: "test".to_owned(),
        };
        bench.suppress(&[stop(0)], now).await.unwrap();
        bench.sql().await.run("UPDATE contacts SET consent_at = NULL WHERE customer_id = 'c1'").await;
        let (_, run) = world.launch(bench, "comeback", "").await;
        let desk = Desk::at(bench);
        let check = |contact: &str, state: &str, why: &str| {
            let said = desk.json(0, &["why", contact, "comeback"]);
            assert_eq!(said["state"], state, "{contact}: {said}");
            assert!(said["why"].as_str().is_some_and(|told| told.contains(why)), "{contact}: {said}");
        };
        check("c0", "withheld", "suppressed since 2018-01-02");
        check("c1", "withheld", "no consent on record");
        check(&phone(1).e164(), "withheld", "no consent on record");
        // Who said STOP after the launch was not left out by the plan, but withdrawn.
        bench.suppress(&[stop(2)], world.clock.now()).await.unwrap();
        check("c2", "suppressed", "suppressed");
        let hours = "UPDATE run_windows SET opens_at = 4102444800000, closes_at = 4102448400000; \
            UPDATE messages SET expires_at = 4102448400000";
        bench.sql().await.run(hours).await;
        check("c3", "planned", "outside its lawful hours and window until 2100-01-01");
        desk.json(0, &["pause", "comeback"]);
        check("c3", "planned", "paused; `winback resume comeback`");
        let said = desk.run(&["why", "c3", "comeback", "--run", &run.id.to_string()]);
        assert!(said.out.contains("paused") && !said.out.contains(&phone(3).e164()), "{}", said.out);
        world.end().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn why_says_that_a_contact_had_enough_texts_before_a_launch_and_after_it() {
    const CAP: &str = "limits = { per_contact = \"1 per 7 days\" }";
    const ENOUGH: &[&str] = &["had enough texts", "1 text of all campaigns", "allows 1 per 7 days"];
    on_both(async |bench| {
        // A program that is asked what a launch would do goes by the clock of the machine.
        let world = World::starting(bench, SystemClock.now(), 2, |_| {}).await;
        let desk = Desk::at(bench);
        let folder = desk.folder.path().join("campaigns");
        std::fs::create_dir(&folder).expect("made");
        let text = format!(
            "segment = \"true\"\nroutes = [\"sim\"]\nschedule = {{ at = \"now\" }}\n{CAP}\n\
             [text]\nen = \"Hello. STOP to opt out\"\n"
        );
        std::fs::write(folder.join("next.toml"), text).expect("written");
        let route = "[routes.sim]\nprovider = \"simulator\"\nsenders = [\"+15005550006\"]\ncountries = [\"US\"]\n\
             price = { US = 0.01 }\n";
        let path = desk.folder.path().join("winback.toml");
        std::fs::write(&path, std::fs::read_to_string(&path).expect("read") + route).expect("written");
        let check = |campaign: &str, state: &str, wanted: &[&str]| {
            let said = desk.json(0, &["why", "c0", campaign]);
            assert_eq!(said["state"], state, "{said}");
            let told = said["why"].as_str().expect("told");
            assert!(wanted.iter().all(|words| told.contains(words)), "{wanted:?}: {told}");
        };
        check("next", "not launched", &["nothing stops it"]);
        bench.sql().await.run("UPDATE contacts SET consent_at = NULL WHERE customer_id = 'c1'").await;
        world.launch(bench, "first", CAP).await;
        check("next", "withheld", ENOUGH);
        bench.sql().await.run("UPDATE contacts SET consent_at = created_at WHERE customer_id = 'c1'").await;
        let (_, second) = world.launch(bench, "second", CAP).await;
        check("second", "withheld", ENOUGH);
        // A text of a later run was not there when the second one was launched.
        let later = format!("UPDATE messages SET run_id = {} WHERE contact_id = 1", second.id.0 + 1);
        let copied = format!(
            "INSERT INTO runs (id, campaign, launch_key, plan_hash, state, definition, as_of, currency, when_in_doubt, \
               audience, starts_at, expires_at, created_at) SELECT {}, 'third', 'third', plan_hash, state, definition, as_of, \
               currency, when_in_doubt, audience, starts_at, expires_at, created_at FROM runs WHERE id = 1",
            second.id.0 + 1
        );
        bench.sql().await.run(&format!("{copied}; {later}")).await;
        check("second", "withheld", &["something that has changed since"]);
        world.end().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_is_lifted_by_consent_given_anew_and_by_nothing_else_and_that_is_kept() {
    on_both(async |bench| {
        let world = World::new(bench, 1, |_| {}).await;
        let entry = |reason, scope: &str| NewSuppression {
            phone: phone(0),
            scope: scope.to_owned(),
            reason,
            source: "test".to_owned(),
        };
        let both = [entry(Reason::Stop, EVERY_SENDER), entry(Reason::Operator, "+15005550006")];
        bench.suppress(&both, world.clock.now()).await.unwrap();
        let (desk, number) = (Desk::at(bench), phone(0).e164());
        let remove =
            |code: i32, reason: &str| desk.json(code, &["optout", "remove", &number, "--reason", reason]);
        let mistake = remove(1, "a mistake of ours");
        assert_eq!(
            (&mistake["lifted"], &mistake["kept"][0]["reason"]),
            (&1.into(), &"stop".into()),
            "{mistake}"
        );
        assert!(bench.is_suppressed(phone(0), EVERY_SENDER).await.unwrap(), "the STOP stands");
        assert_eq!(remove(0, "renewed consent: form of 12 May")["lifted"], 1);
        assert!(!bench.is_suppressed(phone(0), EVERY_SENDER).await.unwrap());
        assert_eq!(remove(0, "renewed consent: form of 12 May")["lifted"], 0);
        let history = bench.suppressions_of(phone(0)).await.unwrap();
        let by: Vec<&str> = history.iter().filter_map(|one| one.lifted_by.as_deref()).collect();
        assert!(by.contains(&"ada: renewed consent: form of 12 May"), "{by:?}");
        world.end().await;
    })
    .await;
}

/// Commands that read or write the store in their own ways.
const COMMANDS: &[&[&str]] = &[
    &["status"],
    &["status", "comeback"],
    &["message", "list", "comeback"],
    &["message", "list", "--in-doubt"],
    &["message", "resolve", "1", "--as", "accepted"],
    &["segment", "count", "true"],
    &["contact", "show", "c0"],
    &["coupon", "list"],
    &["optout", "list"],
    &["optout", "add", "+12125550199"],
    &["why", "c0", "comeback"],
    &["pause", "comeback"],
    &["cancel", "comeback"],
    &["store", "check"],
    &["store", "migrate"],
];

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_foreign_or_newer_file_is_told_in_one_line_by_every_command() {
    let bench = Bench::sqlite().await;
    let world = World::new(&bench, 400, |_| {}).await;
    world.launch(&bench, "comeback", "").await;
    let path = bench.path().expect("a file").to_owned();
    bench.sql().await.run("PRAGMA wal_checkpoint(TRUNCATE)").await;
    let sound = std::fs::read(&path).expect("read");
    let newer = tempfile::tempdir().expect("a folder");
    let altered = async |sql: &str| {
        let copy = newer.path().join("copy.db");
        std::fs::write(&copy, &sound).expect("written");
        let mut side = crate::support::sql::Sql::open(&format!("sqlite:{}", copy.display())).await;
        side.run(sql).await;
        side.run("PRAGMA wal_checkpoint(TRUNCATE)").await;
        drop(side);
        std::fs::read(&copy).expect("read")
    };
    let mut scrambled = sound.clone();
    for (at, byte) in scrambled.iter_mut().enumerate().skip(4_096) {
        *byte ^= u8::try_from(at % 251).expect("small");
    }
    let cases: Vec<(&str, Vec<u8>, &str)> = vec![
        ("no SQLite", b"customer_id,phone\n1,+12125550123\n".repeat(200), "no SQLite file"),
        ("cut off", sound[..sound.len() / 3].to_vec(), "damaged"),
        ("scrambled", scrambled, "damaged"),
        (
            "newer",
            altered("UPDATE _sqlx_migrations SET version = 9000 WHERE version = 1").await,
            "newer winback",
        ),
        ("a table gone", altered("PRAGMA foreign_keys = OFF; DROP TABLE store_meta").await, "misses tables"),
        ("foreign", altered("DROP TABLE _sqlx_migrations; DROP TABLE store_meta").await, "another program"),
    ];
    for (name, bytes, word) in cases {
        let desk = Desk::at(&bench);
        let file = desk.folder.path().join("other.db");
        std::fs::write(desk.folder.path().join("winback.toml"), "[store]\nurl = \"sqlite:other.db\"\n")
            .expect("written");
        for args in COMMANDS {
            std::fs::write(&file, &bytes).expect("written");
            let said = desk.run(args);
            let told = format!("{name} {args:?}: {:?} {}{}", said.code, said.out, said.err);
            if said.code == Some(0) {
                // A page that a command never reads may be broken.
                assert!(["cut off", "scrambled"].contains(&name) && args[..] != ["store", "check"], "{told}");
                continue;
            }
            assert!(matches!(said.code, Some(1 | 2)), "{told}");
            let lines: Vec<&str> = said.out.lines().chain(said.err.lines()).collect();
            assert!(
                !told.contains("panicked")
                    && !told.contains("code: ")
                    && !told.contains("the store answered"),
                "{told}"
            );
            if !matches!(name, "cut off" | "scrambled") || args[..] == ["store", "check"] {
                assert!(
                    lines.len() == 1 && lines[0].contains(word) || args[..] == ["store", "check"],
                    "{told}"
                );
                assert!(told.contains("other.db"), "{told}");
            }
        }
    }
    world.end().await;
}

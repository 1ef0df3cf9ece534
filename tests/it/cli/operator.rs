//! What an operator does beside a daemon or without one: the program itself on a store that the test holds too.

use std::process::{Command, Stdio};

use serde_json::Value;

use super::Said;
use crate::support::stores::{Bench, on_both};
use crate::support::world::World;

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

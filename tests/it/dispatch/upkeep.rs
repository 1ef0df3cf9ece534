//! What an operator sees of a daemon at work: its pace and what holds it, its answer to whoever asks, its metrics.

use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use crate::support::stores::Bench;
use crate::support::world::World;

/// A command beside the daemon of a world, in JSON.
fn said(world: &World, args: &[&str]) -> Value {
    let output = Command::new(env!("CARGO_BIN_EXE_winback"))
        .args(args)
        .arg("--json")
        .current_dir(world.folder.path())
        .env_remove("WINBACK_STORE_URL")
        .env_remove("WINBACK_DAEMON_LISTEN")
        .output()
        .expect("runs");
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    serde_json::from_str(&out).unwrap_or_else(|error| panic!("{args:?}: {error}: {out}{err}"))
}

fn asked(world: &World, args: &[&str]) -> Value {
    tokio::task::block_in_place(|| said(world, args))
}

#[tokio::test(flavor = "multi_thread")]
async fn why_slow_measures_a_daemon_that_sends_and_doctor_recognises_it() {
    let bench = Bench::sqlite().await;
    let mut world = World::new(&bench, 900, |_| {}).await;
    super::slow(&mut world);
    let daemon = world.daemon().await;
    let listen = daemon.address();
    let (_, run) = world.launch(&bench, "comeback", "").await;
    world.until(&bench, &run, |s| s.accepted > 5).await;
    // The same configuration as a file, for commands. Their clock is this machine's.
    let file = format!(
        "[store]\nurl = \"{}\"\n[daemon]\nlisten = \"{listen}\"\npublic_url = \"http://{listen}\"\n[routes.sim]\n\
         provider = \"simulator\"\nsenders = [\"+15005550006\"]\ncountries = [\"US\"]\n\
         limits = {{ parts_per_second = 10, burst = 1, in_flight = 32 }}\nprice = {{ US = 0.01 }}\n\
         settings.base_url = \"http://127.0.0.1:9\"\nsecrets.api_key = {{ file = \"key\" }}\n\
         secrets.signing_key = {{ file = \"signing\" }}\n",
        bench.url()
    );
    std::fs::write(world.folder.path().join("winback.toml"), file).unwrap();

    let doctor = asked(&world, &["doctor"]);
    let told = |what: &str| -> String {
        let all = doctor.as_array().unwrap().iter().filter(|one| one["what"] == what);
        all.filter_map(|one| one["told"].as_str()).collect::<Vec<_>>().join(" ")
    };
    assert!(told("callbacks").contains("leads to this daemon"), "{doctor}");
    assert!(told("clock and sim").contains("does not answer"), "{doctor}");
    assert!(told("daemon").contains("running as process"), "{doctor}");

    let slow = asked(&world, &["why-slow", "comeback"]);
    assert_eq!(slow["watched"], true, "{slow}");
    let limits = slow["limits"].as_array().unwrap();
    let account = limits.iter().find(|one| one["limit"]["limit"] == "account").expect("it has a limit");
    assert_eq!(account["parts_per_second"], 10.0, "{slow}");
    let answers =
        limits.iter().find(|one| one["limit"]["limit"] == "in_flight").expect("answers are measured");
    assert!(answers["limit"]["answer_seconds"].as_f64().is_some_and(|seconds| seconds > 0.0), "{slow}");

    let page = daemon.metrics().page().unwrap();
    let parts = page.lines().find_map(|line| line.strip_prefix("winback_parts_total{route=\"sim\"} "));
    assert!(parts.is_some_and(|parts| parts.parse::<u64>().is_ok_and(|parts| parts > 5)), "{page}");
    assert!(daemon.stop().await);
    tokio::time::timeout(Duration::from_secs(20), world.end()).await.expect("it ends");
}

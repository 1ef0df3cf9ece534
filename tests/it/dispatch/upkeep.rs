//! What an operator sees of a daemon at work: its pace and what holds it, its answer to whoever asks, its metrics.

use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use crate::support::hand::claim;
use crate::support::stores::{Bench, on_both};
use crate::support::world::World;
use winback::report::status::status;

/// A command beside the daemon of a world, in JSON, and its exit code.
fn ran(world: &World, args: &[&str]) -> (Option<i32>, Value) {
    let output = Command::new(env!("CARGO_BIN_EXE_winback"))
        .args(args)
        .arg("--json")
        .current_dir(world.folder.path())
        .env_remove("WINBACK_STORE_URL")
        .env_remove("WINBACK_DAEMON_LISTEN")
        .output()
        .expect("runs");
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    let told = serde_json::from_str(&out).unwrap_or_else(|error| panic!("{args:?}: {error}: {out}{err}"));
    (output.status.code(), told)
}

fn said(world: &World, args: &[&str]) -> (Option<i32>, Value) {
    tokio::task::block_in_place(|| ran(world, args))
}

fn asked(world: &World, args: &[&str]) -> Value {
    said(world, args).1
}

/// The same configuration as a file, for commands. Their clock is this machine's.
fn configured(world: &World, url: &str, listen: std::net::SocketAddr) {
    let file = format!(
        "[store]\nurl = \"{url}\"\n[daemon]\nlisten = \"{listen}\"\npublic_url = \"http://{listen}\"\n[routes.sim]\n\
         provider = \"simulator\"\nsenders = [\"+15005550006\"]\ncountries = [\"US\"]\n\
         limits = {{ parts_per_second = 10, burst = 1, in_flight = 32 }}\nprice = {{ US = 0.01 }}\n\
         settings.base_url = \"http://127.0.0.1:9\"\nsecrets.api_key = {{ file = \"key\" }}\n\
         secrets.signing_key = {{ file = \"signing\" }}\n"
    );
    std::fs::write(world.folder.path().join("winback.toml"), file).unwrap();
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
    configured(&world, bench.url(), listen);

    let doctor = asked(&world, &["doctor"]);
    let told = |what: &str| -> String {
        let all = doctor.as_array().unwrap().iter().filter(|one| one["what"] == what);
        all.filter_map(|one| one["told"].as_str()).collect::<Vec<_>>().join(" ")
    };
    assert!(told("callbacks").contains("leads to this daemon"), "{doctor}");
    assert!(told("clock and sim").contains("does not answer"), "{doctor}");
    assert!(told("daemon").contains("running as process"), "{doctor}");

    // It lives, and is not where the configuration says.
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    configured(&world, bench.url(), nobody);
    let (code, doctor) = said(&world, &["doctor"]);
    let of = |what: &str| doctor.as_array().unwrap().iter().find(|one| one["what"] == what).cloned().unwrap();
    assert_eq!(
        (code, &of("daemon")["grade"], &of("callbacks")["grade"]),
        (Some(1), &"wrong".into(), &"warning".into())
    );
    assert!(
        of("daemon")["told"].as_str().unwrap().contains(&format!("does not answer at {nobody}")),
        "{doctor}"
    );
    configured(&world, bench.url(), listen);

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

    // A run that nobody can read any more has no hours that could be kept.
    let finding = |checked: &Value| {
        let all = checked["findings"].as_array().unwrap();
        all.iter().find(|one| one["what"] == "terms of runs").unwrap()["problem"].clone()
    };
    let (code, sound) = said(&world, &["store", "check"]);
    assert_eq!((code, finding(&sound)), (Some(0), Value::Null), "{sound}");
    bench.sql().await.run("UPDATE runs SET definition = '{}'").await;
    let (code, checked) = said(&world, &["store", "check"]);
    let told = finding(&checked).to_string();
    assert!(code == Some(1) && told.contains(&format!("run {};", run.id)), "{checked}");
    tokio::time::timeout(Duration::from_secs(20), world.end()).await.expect("it ends");
}

#[tokio::test(flavor = "multi_thread")]
async fn status_says_that_a_provider_is_unwell_and_when_it_is_tried_next() {
    let bench = Bench::sqlite().await;
    let world = World::new(&bench, 60, |simulated| simulated.failures.unavailable = 1.0).await;
    let daemon = world.daemon().await;
    let (_, run) = world.launch(&bench, "comeback", "").await;
    configured(&world, bench.url(), daemon.address());
    let open = "winback_breaker_open{route=\"sim\"} 1";
    while !daemon.metrics().page().unwrap().contains(open) {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let said = asked(&world, &["status", "comeback", "--run", &run.id.to_string()]);
    let hold = &said["holds"][0];
    assert_eq!((&hold["hold"], &hold["route"]), (&"unwell".into(), &"sim".into()), "{said}");
    assert!(hold["next_try_at"].is_string() || hold["next_try_at"].is_null(), "{said}");
    assert!(daemon.stop().await);
    let said = asked(&world, &["status", "comeback"]);
    assert_eq!(said["holds"][0]["hold"], "no_daemon", "{said}");
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_lane_takes_first_is_what_goes_before_a_run() {
    on_both(async |bench| {
        let world = World::new(bench, 5, |_| {}).await;
        let (_, first) = world.launch(bench, "first", "").await;
        let (_, second) = world.launch(bench, "second", "").await;
        let (_, soon) = world.launch(bench, "soon", "window = \"10:00-16:30\"\n").await;
        let now = world.clock.now();
        let mut ahead = Vec::new();
        for run in [&first, &second, &soon] {
            let last = bench.waiting(run.id).await.unwrap().iter().map(|one| one.closes_at).max().unwrap();
            let beside = bench.waiting_beside(run.id, now).await.unwrap();
            let parts = beside.iter().filter(|one| one.goes_before(run.id, last)).map(|one| one.parts);
            ahead.push((run.id, parts.sum::<i64>()));
        }
        let mut taken = Vec::new();
        while let [one] = &claim(bench, &world, "lane", 1).await[..] {
            taken.push((one.run, i64::from(one.parts)));
        }
        assert!(taken.len() >= 12, "all three may go now: {taken:?}");
        for (run, ahead) in ahead {
            let last = taken.iter().rposition(|one| one.0 == run).expect("taken");
            let before: i64 = taken[..last].iter().filter(|one| one.0 != run).map(|one| one.1).sum();
            assert_eq!(ahead, before, "{run}: {taken:?}");
        }
        world.end().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_money_and_the_states_of_a_status_are_of_one_instant() {
    on_both(async |bench| {
        let world = World::new(bench, 40, |_| {}).await;
        let (_, run) = world.launch(bench, "comeback", "").await;
        let change = |state: &str, spent: i64| {
            format!(
                "BEGIN; UPDATE messages SET dispatch = '{state}'; UPDATE runs SET spent = {spent}; COMMIT"
            )
        };
        let (done, mut ended) = tokio::sync::oneshot::channel();
        let mut other = bench.sql().await;
        let writes = async {
            for _ in 0..150 {
                other.run(&change("accepted", 100)).await;
                other.run(&change("planned", 0)).await;
            }
            done.send(()).unwrap();
        };
        let looks = async {
            let mut looks = 0;
            while ended.try_recv().is_err() {
                let told = status(bench, &run).await.unwrap();
                assert_eq!(
                    (told.accepted, told.spent.0),
                    (told.accepted, told.accepted * 100 / 40),
                    "{looks}"
                );
                looks += 1;
            }
            assert!(looks > 5, "{looks}");
        };
        tokio::join!(writes, looks);
        world.end().await;
    })
    .await;
}

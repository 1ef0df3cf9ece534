//! Doubt that ends because the provider was asked: looked up, replayed, listed; and what is never done on a guess.

use std::collections::HashMap;
use std::time::Duration;

use super::books;
use super::proof::wrong;
use crate::support::hand::{claim, intend, reference_of};
use crate::support::stores::{Bench, on_both};
use crate::support::world::World;
use winback::daemon::routes;
use winback::dispatch::ladder::Waits;
use winback::model::doubt::Rung;
use winback::model::ids::{MessageId, RunId};
use winback::model::message::Claimed;
use winback::provider::{Submission, Transport, TransportLimits};
use winback::simulator::config::SimulatorConfig;
use winback::store::suppressions::EVERY_SENDER;

/// The provider is asked by reference, a second after doubt began, and what it says counts.
pub(super) const LOOKUP: &str = "doubt = [\"lookup\"]\n";

/// A request may be repeated for an hour.
pub(super) const REPLAY: &str = "doubt = [\"replay\"]\n[send]\nmethod = \"POST\"\nurl = \"{setting.base_url}/v1/messages\"\n\
    auth = { kind = \"bearer\", token = \"{secret.api_key}\" }\nheaders = { idempotency-key = \"{reference}\" }\n\
    idempotent_by = \"reference\"\nidempotent_seconds = 3600\n[send.json]\nto = \"{to}\"\nfrom = \"{sender}\"\n\
    text = \"{text}\"\nreference = \"{reference}\"\ncallback_url = \"{callback_url}\"\n";

/// The provider lists what it took for a recipient.
pub(super) const LIST: &str = "doubt = [\"list\"]\n[lookup]\nmethod = \"GET\"\nurl = \"{setting.base_url}/v1/messages\"\n\
    query = { to = \"{to}\" }\nafter_seconds = 1\nwithin_seconds = 604800\nlist = \"/messages\"\n\
    match_by = \"content\"\nid = \"/id\"\nto = \"/to\"\nfrom = \"/from\"\ntext = \"/text\"\nat = \"/at\"\n\
    at_format = \"epoch_ms\"\n";

/// No receipt ever helps; keys are remembered.
pub(super) fn silent(simulator: &mut SimulatorConfig) {
    simulator.receipts.never = 1.0;
    simulator.idempotent_for = Duration::from_hours(1);
}

/// How many texts each number got.
pub(super) fn copies(world: &World) -> Vec<usize> {
    let mut copies: HashMap<String, usize> = HashMap::new();
    for taken in world.ledger() {
        *copies.entry(taken.to).or_default() += 1;
    }
    copies.into_values().collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_text_whose_answer_was_lost_is_found_at_the_provider_and_sent_to_nobody_twice() {
    on_both(async |bench| {
        type Fault = fn(&mut SimulatorConfig);
        let faults: [(&str, Fault); 3] = [
            ("reset", |s| s.failures.reset = 1.0),
            ("an error that lies", |s| (s.failures.failed, s.failures.failed_accepts) = (1.0, true)),
            ("no answer in time", |s| s.failures.silent = 1.0),
        ];
        for (told, keys, fault) in
            [("look-up", LOOKUP, faults[0]), ("list", LIST, faults[1]), ("replay", REPLAY, faults[2])]
                .map(|(rung, keys, (fault, tune))| (format!("{fault}, {rung}"), keys, tune))
        {
            let bench = if bench.path().is_some() { Bench::sqlite().await } else { Bench::postgres().await };
            let mut world = World::new(&bench, 4, |simulator| {
                silent(simulator);
                fault(simulator);
                // Shown late, and the first question is not answered.
                simulator.lookups.after = Duration::from_millis(500);
                simulator.lookups.failing = 1;
            })
            .await;
            world.asked(keys);
            world.config.routes.get_mut("sim").unwrap().answer_timeout = Duration::from_secs(2);
            let daemon = world.daemon().await;
            let (_, run) = world.launch(&bench, "comeback", "").await;
            let status = world.until(&bench, &run, |s| s.accepted == 4 && s.state == "finished").await;
            assert_eq!((status.in_doubt, status.possible_duplicates), (0, 0), "{told}: {status:?}");
            assert_eq!(copies(&world), [1; 4], "{told}");
            assert_eq!(bench.lines("SELECT count(provider_id) FROM attempts").await, ["4"], "{told}");
            assert_eq!(books(&bench).await, "available 10 reserved 0 sent 4 quarantined 0", "{told}");
            assert_eq!(wrong(&bench).await, Vec::<&str>::new(), "{told}");
            assert!(daemon.stop().await);
            world.end().await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_not_taken_goes_out_once_with_the_same_code_however_that_is_known() {
    on_both(async |bench| {
        // A look-up proves it, or a replay brings it about.
        for keys in [LOOKUP, REPLAY] {
            let bench = if bench.path().is_some() { Bench::sqlite().await } else { Bench::postgres().await };
            let world = World::new(&bench, 8, |simulator| {
                silent(simulator);
                // An error without a word about acceptance, and nothing was taken.
                (simulator.failures.failed, simulator.failures.failed_accepts) = (0.3, false);
                simulator.seed = 3;
            })
            .await;
            world.asked(keys);
            let daemon = world.daemon().await;
            let (plan, run) = world.launch(&bench, "comeback", "").await;
            let status = world.until(&bench, &run, |s| s.accepted == 8 && s.state == "finished").await;
            assert_eq!((status.in_doubt, status.possible_duplicates), (0, 0), "{status:?}");
            assert_eq!(copies(&world), [1; 8]);
            let again = "SELECT count(*) FROM inquiries WHERE looks + replays + replays_unanswered > 0";
            assert_ne!(bench.lines(again).await, ["0"], "the errors did happen");
            assert_eq!(status.spent, plan.cost, "one price for each text");
            assert!(world.audit(&bench, &run).await.agrees(), "the codes are those of the plan");
            assert_eq!(books(&bench).await, "available 10 reserved 0 sent 8 quarantined 0");
            assert_eq!(wrong(&bench).await, Vec::<&str>::new());
            assert!(daemon.stop().await);
            world.end().await;
        }
    })
    .await;
}

/// Puts a text on the wire whose answer nobody stores.
pub(super) async fn leave(bench: &Bench, world: &World, message: &Claimed) {
    let key = routes::token_key(bench).await.unwrap();
    let catalog = routes::catalog(&world.config).unwrap();
    let part = routes::one(&world.config, &catalog, &key, "sim").unwrap();
    let left = Submission {
        reference: reference_of(bench, message, message.last_number + 1),
        to: message.phone,
        sender: message.sender.clone(),
        text: message.body.clone(),
        encoding: message.encoding,
        parts: message.parts,
        callback_url: None,
        validity: None,
    };
    let transport = Transport::new(TransportLimits::default()).unwrap();
    part.adapter.submit(&transport, &[left], world.clock.now()).await;
}

/// Waits until the first question was answered.
async fn asked_once(bench: &Bench) -> Vec<String> {
    let asked = async || bench.lines("SELECT finding FROM inquiries").await;
    let looked = tokio::time::timeout(Duration::from_mins(1), async {
        while asked().await.is_empty() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    looked.await.expect("the provider is asked");
    asked().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_text_that_arrives_at_the_provider_after_the_first_question_is_sent_to_nobody_twice() {
    on_both(async |bench| {
        let world = World::new(bench, 1, silent).await;
        let definition = include_str!("../../../providers/simulator.toml");
        let lookup = definition.split("[lookup]").nth(1).and_then(|rest| rest.split("[receipt]").next());
        let lookup = lookup.unwrap().replace("after_seconds  = 1", "after_seconds = 3");
        world.asked(&format!("{LOOKUP}[lookup]{lookup}"));
        let (_, run) = world.launch(bench, "comeback", "").await;
        let held = claim(bench, &world, "dead", 1).await;
        assert_eq!(intend(bench, &world, "dead", &held).await.0, 1);
        bench.sql().await.run("UPDATE messages SET lease_until = 0").await;
        let daemon = world.daemon().await;
        assert_eq!(asked_once(bench).await, ["nothing"]);
        leave(bench, &world, &held[0]).await;
        let status = world.until(bench, &run, |s| s.accepted == 1 && s.state == "finished").await;
        assert_eq!((status.possible_duplicates, copies(&world)), (0, vec![1]), "{status:?}");
        assert!(daemon.stop().await);
        world.end().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_restore_that_the_provider_has_nothing_of_one_attempt_proves_nothing_about_the_others() {
    on_both(async |bench| {
        let world = World::new(bench, 1, |simulator| {
            silent(simulator);
            (simulator.failures.failed, simulator.failures.failed_accepts) = (1.0, false);
        })
        .await;
        let daemon = world.daemon().await;
        let (_, run) = world.launch(bench, "comeback", "").await;
        world.until(bench, &run, |s| s.dispatch.get("ambiguous") == Some(&1)).await;
        assert!(daemon.stop().await);
        bench.sql().await.run("UPDATE attempts SET owner = 'restore'").await;
        world.asked(LOOKUP);
        let daemon = world.daemon().await;
        let looked = tokio::time::timeout(Duration::from_mins(1), async {
            while bench.lines("SELECT looks FROM inquiries WHERE looks > 1").await.is_empty() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        });
        looked.await.expect("the provider is asked twice");
        assert_eq!(bench.lines("SELECT dispatch, last_number FROM messages").await, ["ambiguous|1"]);
        assert!(daemon.stop().await);
        world.end().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_crash_the_provider_says_which_texts_had_left() {
    on_both(async |bench| {
        let world = World::new(bench, 2, silent).await;
        world.asked(LOOKUP);
        let (_, run) = world.launch(bench, "comeback", "").await;
        // A process that died between intent and outcome; one of the two had left.
        let held = claim(bench, &world, "dead", 2).await;
        assert_eq!(intend(bench, &world, "dead", &held).await.0, 2);
        leave(bench, &world, &held[0]).await;
        bench.sql().await.run("UPDATE messages SET lease_until = 0").await;
        let daemon = world.daemon().await;
        let status = world.until(bench, &run, |s| s.accepted == 2 && s.state == "finished").await;
        assert_eq!((status.in_doubt, status.possible_duplicates), (0, 0), "{status:?}");
        assert_eq!(copies(&world), [1; 2]);
        let attempts = "SELECT id, last_number FROM messages ORDER BY last_number";
        let expected = [format!("{}|1", held[0].id), format!("{}|2", held[1].id)];
        assert_eq!(bench.lines(attempts).await, expected, "only what had not left was sent again");
        assert!(world.audit(bench, &run).await.agrees());
        assert_eq!(wrong(bench).await, Vec::<&str>::new());
        assert!(daemon.stop().await);
        world.end().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_text_that_the_provider_has_twice_is_said_to_be_a_duplicate_and_no_third_is_sent() {
    on_both(async |bench| {
        let world = World::new(bench, 1, |simulator| {
            silent(simulator);
            simulator.failures.reset = 1.0;
        })
        .await;
        let daemon = world.daemon().await;
        let (_, run) = world.launch(bench, "comeback", "when_in_doubt = \"resend\"").await;
        let in_doubt = async |number: i64| {
            let open = "SELECT count(*) FROM messages WHERE dispatch = 'ambiguous' AND last_number = ";
            world.until(bench, &run, |s| s.dispatch.get("ambiguous") == Some(&1)).await;
            bench.lines(&format!("{open}{number}")).await
        };
        assert_eq!(in_doubt(1).await, ["1"]);
        assert!(daemon.stop().await);
        // Somebody sent it again, and that answer was lost, too.
        let sql = bench.sql();
        sql.await.run("UPDATE messages SET dispatch = 'queued', epoch = epoch + 1, not_before = 0").await;
        world.asked(LIST);
        let daemon = world.daemon().await;
        let status = world.until(bench, &run, |s| s.possible_duplicates == 1).await;
        assert_eq!((status.in_doubt, copies(&world)), (1, vec![2]), "{status:?}");
        let found =
            "SELECT m.dispatch, i.finding FROM messages AS m JOIN inquiries AS i ON i.message_id = m.id";
        assert_eq!(bench.lines(found).await, ["ambiguous|twice"]);
        let ladder = routes::ladder(&world.config, bench).await.unwrap();
        let doubt = bench.doubts((RunId(0), MessageId(0)), run.id, 1).await.unwrap().remove(0);
        assert!(doubt.answered.unwrap().contains("2 times"), "and a person reads it");
        let waits = ladder.waits(&doubt.message, &doubt.standing, world.clock.now());
        let parked = matches!(waits, Waits::Receipt(winback::dispatch::sweep::DoubtEnd::Park, _));
        assert!(parked, "{waits:?}: not sent again, though its campaign would");
        assert!(daemon.stop().await);
        world.end().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_found_and_belongs_to_another_attempt_proves_nothing() {
    on_both(async |bench| {
        let world = World::new(bench, 1, silent).await;
        world.asked(LIST);
        let daemon = world.daemon().await;
        let (_, run) = world.launch(bench, "comeback", "").await;
        world.until(bench, &run, |s| s.accepted == 1).await;
        // Another attempt of the same words, of which nothing is known.
        let another = "INSERT INTO attempts (message_id, number, epoch, route, owner, reference, intent_at, outcome) \
            SELECT message_id, 2, epoch, route, owner, 'other', intent_at, 'unknown' FROM attempts; \
            UPDATE attempts SET outcome = 'unavailable' WHERE number = 1; \
            UPDATE messages SET dispatch = 'ambiguous', last_number = 2";
        bench.sql().await.run(another).await;
        assert_eq!(asked_once(bench).await, ["nothing"]);
        assert_eq!(bench.lines("SELECT dispatch FROM messages").await, ["ambiguous"]);
        assert!(daemon.stop().await);
        world.end().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_is_repeated_only_as_it_was_and_while_its_key_lives() {
    on_both(async |bench| {
        let mut world = World::new(bench, 1, |simulator| {
            silent(simulator);
            simulator.failures.reset = 1.0;
        })
        .await;
        let daemon = world.daemon().await;
        let (_, run) = world.launch(bench, "comeback", "").await;
        world.until(bench, &run, |s| s.dispatch.get("ambiguous") == Some(&1)).await;
        assert!(daemon.stop().await);
        let waits = async |world: &World| {
            let parts = routes::all(
                &world.config,
                &routes::catalog(&world.config).unwrap(),
                &routes::token_key(bench).await.unwrap(),
            );
            let calls = world.config.daemon.public_url.as_deref();
            routes::means(bench, &parts.unwrap(), calls, world.clock.now()).await.unwrap();
            let ladder = routes::ladder(&world.config, bench).await.unwrap();
            let (message, standing) = bench.in_doubt((RunId(0), MessageId(0)), 1).await.unwrap().remove(0);
            match ladder.waits(&message, &standing, world.clock.now()) {
                Waits::Asked(step) => Some(step.rung()),
                Waits::Receipt(..) | Waits::Person => None,
            }
        };
        // A daemon of other days sent it: what it looked like then, nobody knows.
        world.asked(REPLAY);
        assert_eq!(waits(&world).await, None, "rendered in another way");
        bench.sql().await.run("UPDATE renderings SET since = 0").await;
        assert_eq!(waits(&world).await, Some(Rung::Replay));
        assert_eq!(waits(&world).await, Some(Rung::Replay), "after a restart, too");
        let moved = "UPDATE attempts SET intent_at = intent_at -";
        bench.sql().await.run(&format!("{moved} 2800000")).await;
        assert_eq!(waits(&world).await, Some(Rung::Replay), "47 minutes old");
        bench.sql().await.run(&format!("{moved} 120000")).await;
        assert_eq!(waits(&world).await, None, "49 minutes old, of 60");
        bench.sql().await.run("UPDATE attempts SET intent_at = intent_at + 2920000").await;
        world.config.daemon.public_url = Some("https://sms.example.com".to_owned());
        assert_eq!(waits(&world).await, None, "it would name another address");
        world.end().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_leaves_only_where_a_text_may_leave() {
    on_both(async |bench| {
        let world = World::new(bench, 1, |simulator| {
            silent(simulator);
            simulator.failures.reset = 1.0;
        })
        .await;
        let daemon = world.daemon().await;
        let (_, run) = world.launch(bench, "comeback", "").await;
        world.until(bench, &run, |s| s.dispatch.get("ambiguous") == Some(&1)).await;
        assert!(daemon.stop().await);
        let open = bench.open_doubts((RunId(0), MessageId(0)), 9).await.unwrap().remove(0);
        let now = world.clock.now();
        let may = async || {
            let mut batch = bench.batch().await.unwrap();
            let granted = batch.intend_replay(&open, now).await.unwrap();
            assert_eq!(bench.may_replay(&[&open], now).await.unwrap().len(), usize::from(granted));
            granted
        };
        let (early, late) = (now.minus(Duration::from_secs(1)), now.plus(Duration::from_secs(1)));
        let suppress = format!(
            "INSERT INTO suppressions (phone, scope, reason, source, created_at) \
             SELECT phone, '{EVERY_SENDER}', 'stop', 'sim', 0 FROM messages"
        );
        let second = "INSERT INTO attempts (message_id, number, epoch, route, owner, reference, intent_at) \
            SELECT message_id, 7, epoch, route, owner, 'other', intent_at FROM attempts";
        for (told, bar, free) in [
            ("STOP", suppress.as_str(), "DELETE FROM suppressions"),
            ("pause", "UPDATE runs SET state = 'paused'", "UPDATE runs SET state = 'running'"),
            ("cancel", "UPDATE runs SET state = 'cancelled'", "UPDATE runs SET state = 'finished'"),
            (
                "window",
                &format!("UPDATE run_windows SET closes_at = {early}", early = early.0),
                &format!("UPDATE run_windows SET closes_at = {late}", late = late.0),
            ),
            (
                "end",
                &format!("UPDATE messages SET expires_at = {now}", now = now.0),
                &format!("UPDATE messages SET expires_at = {late}", late = late.0),
            ),
            ("epoch", "UPDATE messages SET epoch = epoch + 1", "UPDATE messages SET epoch = epoch - 1"),
            ("another copy", second, "DELETE FROM attempts WHERE number = 7"),
            ("restore", "UPDATE attempts SET owner = 'restore'", "UPDATE attempts SET owner = 'node'"),
        ] {
            assert!(may().await, "before {told}");
            bench.sql().await.run(bar).await;
            assert!(!may().await, "{told}");
            bench.sql().await.run(free).await;
        }
        assert!(may().await);
        world.end().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proof_that_comes_after_the_run_was_cancelled_gives_code_and_money_back() {
    on_both(async |bench| {
        let world = World::new(bench, 3, |simulator| {
            silent(simulator);
            (simulator.failures.failed, simulator.failures.failed_accepts) = (1.0, false);
        })
        .await;
        let daemon = world.daemon().await;
        let (_, run) = world.launch(bench, "comeback", "").await;
        world.until(bench, &run, |s| s.dispatch.get("ambiguous") == Some(&3)).await;
        assert!(daemon.stop().await);
        bench.sql().await.run("UPDATE runs SET state = 'cancelled'").await;
        world.asked(LOOKUP);
        let daemon = world.daemon().await;
        let status = world.until(bench, &run, |s| s.failed == 3).await;
        assert_eq!((status.in_doubt, status.spent.0), (0, 0), "{status:?}");
        assert_eq!(books(bench).await, "available 13 reserved 0 sent 0 quarantined 0");
        assert_eq!(wrong(bench).await, Vec::<&str>::new());
        assert!(world.ledger().is_empty());
        assert!(daemon.stop().await);
        world.end().await;
    })
    .await;
}

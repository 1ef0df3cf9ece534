//! Retention takes away what is old and changes no answer that anybody still needs.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::support::hand::{claim, intend};
use crate::support::stores::{Bench, on_both};
use crate::support::world::World;
use winback::dispatch::resolve::{Decider, resolve};
use winback::model::clock::Timestamp;
use winback::model::ids::{MessageId, RunId};
use winback::model::message::Verdict;
use winback::report::archive::Archive;
use winback::report::audit::Audit;
use winback::report::status::status;
use winback::store::Store;
use winback::store::coupons::NewCode;

const CAPPED: &str = "limits = { per_contact = \"1 per 7 days\" }";
const ALL: Timestamp = Timestamp(i64::MAX);

/// Prunes page by page; `killed` transactions first end before their commit, as those of a process that dies do.
async fn prune(store: &Store, archive: &Archive, before: Timestamp, killed: usize) {
    let mut killed = killed;
    let mut last = RunId(0);
    while let Some((run, _)) = store.next_old_run(before, last).await.unwrap() {
        let mut after = 0;
        loop {
            let mut batch = store.batch().await.unwrap();
            let Some(page) = batch.old_page(run, after, 7).await.unwrap() else {
                batch.commit().await.unwrap();
                break;
            };
            archive.write(run, &page).unwrap();
            assert!(batch.prune(&page).await.unwrap().messages > 0);
            if killed > 0 {
                killed -= 1;
                continue;
            }
            batch.commit().await.unwrap();
            // Whoever goes on after a crash begins at the start of the run.
            after = if page.messages.len() == 7 { 0 } else { page.messages.last().unwrap().contact };
        }
        last = run;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_old_goes_and_reports_caps_codes_and_doubt_stay_as_they_are() {
    on_both(async |bench| {
        let mut world = World::new(bench, 40, |_| {}).await;
        world.config.dispatch.park_after = Duration::from_secs(1);
        let (_, run) = world.launch(bench, "comeback", CAPPED).await;
        let held = claim(bench, &world, "dead", 5).await;
        assert_eq!(intend(bench, &world, "dead", &held).await.0, 5);
        bench.sql().await.run("UPDATE messages SET lease_until = 0 WHERE owner = 'dead'").await;
        let daemon = world.daemon().await;
        let ended = world.until(bench, &run, |s| s.state == "finished" && s.parked == 5 && s.open_receipts == 0);
        let ended = ended.await;
        assert!(daemon.stop().await);
        assert_eq!((ended.in_doubt, ended.accepted), (5, 35), "{ended:?}");
        let store = world.beside().await;
        let again = world.plan(&store, "again", CAPPED).await;
        let audited = world.audit(&store, &run).await;
        assert!(audited.agrees() && audited.accepted == 35 && audited.pruned == 0, "{audited:?}");

        let folder = world.folder.path().join("archive");
        let archive = Archive::open(&folder).unwrap();
        prune(&store, &archive, ALL, 2).await;
        prune(&store, &archive, ALL, 0).await;
        let run = store.run(run.id).await.unwrap().unwrap();
        assert_eq!(status(&store, &run).await.unwrap(), ended, "the report is as it was");
        let left = Audit { pruned: 35, ..audited };
        assert_eq!(world.audit(&store, &run).await, left, "an audit judges what is left");
        let planned = world.plan(&store, "again", CAPPED).await;
        assert_eq!((planned.capped(), planned.messages), (again.capped(), again.messages), "caps look back");
        let findings = store.check().await.unwrap();
        assert!(findings.iter().all(|finding| finding.problem.is_none()), "{findings:?}");
        let doubt = ended.in_doubt;
        let left = "SELECT (SELECT count(*) FROM messages WHERE body <> ''), (SELECT count(*) FROM attempts), \
            (SELECT count(*) FROM receipts), (SELECT count(*) FROM inbox)";
        assert_eq!(bench.lines(left).await, [format!("{doubt}|{doubt}|0|0")], "doubt keeps everything");
        assert_archived(&folder, ended.accepted);

        // What was decided since then is old at once, and goes with the next look.
        let page = store.doubts((run.id, MessageId(0)), run.id, 1).await.unwrap();
        let decider = Decider { by: "test", reason: None };
        resolve(&store, &[page[0].message.id], Verdict::NotSent, decider, world.clock.now()).await.unwrap();
        prune(&store, &archive, ALL, 0).await;
        assert_eq!(bench.lines(left).await, [format!("{0}|{0}|0|0", doubt - 1)], "and nothing else");

        // What is in doubt can still be sent, with its text.
        let page = store.doubts((run.id, MessageId(0)), run.id, 1).await.unwrap();
        let decider = Decider { by: "test", reason: None };
        resolve(&store, &[page[0].message.id], Verdict::Resend, decider, world.clock.now()).await.unwrap();
        let sent = "SELECT count(*) FROM messages WHERE dispatch = 'queued' AND body <> ''";
        assert_eq!(bench.lines(sent).await, ["1"]);
        store.close().await;
        world.end().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn retention_beside_a_daemon_that_sends_stands_in_nobodys_way() {
    on_both(async |bench| {
        let world = World::new(bench, 150, |_| {}).await;
        let pool = bench.pool("autumn").await.unwrap().unwrap();
        let codes: Vec<NewCode> =
            (0..150).map(|n| NewCode { code: format!("MORE{n:06}"), expires_at: None }).collect();
        bench.add_codes(pool.id, &codes, world.clock.now()).await.unwrap();
        let daemon = world.daemon().await;
        let (_, old) = world.launch(bench, "old", "").await;
        world.finished(bench, &old).await;
        // The new run may end meanwhile, before its last receipts are in.
        let before = bench.run(old.id).await.unwrap().unwrap().finished_at.unwrap().plus(Duration::from_millis(1));
        let (_, new) = world.launch(bench, "new", "").await;
        let beside = world.beside().await;
        let archive = Archive::open(&world.folder.path().join("archive")).unwrap();
        let (sent, ()) = tokio::join!(world.finished(bench, &new), prune(&beside, &archive, before, 0));
        assert_eq!((sent.accepted, sent.failed, sent.in_doubt), (150, 0, 0), "{sent:?}");
        assert_eq!(world.ledger().len(), 300);
        let left = format!("SELECT count(*) FROM attempts AS a JOIN messages AS m ON m.id = a.message_id WHERE m.run_id = {}", old.id);
        assert_eq!(bench.lines(&left).await, ["0"]);
        assert!(daemon.stop().await);
        beside.close().await;
        world.end().await;
    })
    .await;
}

/// Every message is in the archive once, with its attempts, and nobody else can read it.
fn assert_archived(folder: &std::path::Path, accepted: i64) {
    use std::os::unix::fs::PermissionsExt as _;
    let (mut messages, mut calls) = (Vec::new(), BTreeSet::new());
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        for line in std::fs::read_to_string(&path).unwrap().lines() {
            let one: serde_json::Value = serde_json::from_str(line).unwrap();
            if one["message"].is_null() {
                calls.insert(one["call"].as_i64().unwrap());
                continue;
            }
            let full = one["text"].as_str().is_some_and(|text| text.contains("STOP"));
            assert!(full && one["attempts"][0]["reference"].is_string(), "{one}");
            assert!(one["receipts"].as_array().is_some_and(|list| !list.is_empty()), "{one}");
            messages.push(one["message"].as_i64().unwrap());
        }
    }
    assert_eq!(messages.len(), usize::try_from(accepted).unwrap());
    assert_eq!(messages.iter().collect::<BTreeSet<_>>().len(), messages.len(), "each once");
    assert!(!calls.is_empty());
}

#[tokio::test]
async fn a_log_that_a_reader_keeps_long_is_short_again_once_that_reader_has_ended() {
    let bench = Bench::sqlite().await;
    let mut reader = bench.sql().await;
    reader.run("BEGIN; SELECT count(*) FROM contacts").await;
    let fill = "INSERT INTO store_meta (key, value) WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n \
        WHERE i < 3000) SELECT 'fill ' || i, hex(randomblob(500)) FROM n";
    bench.sql().await.run(fill).await;
    let before = bench.log_bytes().unwrap();
    assert!(before > 1 << 20, "{before}");
    assert!(bench.shorten_log(before).await.unwrap(), "it is not longer than that");
    assert!(!bench.shorten_log(1 << 20).await.unwrap(), "somebody reads from it");
    reader.run("COMMIT").await;
    assert!(bench.shorten_log(1 << 20).await.unwrap());
    assert_eq!(bench.log_bytes(), Some(0));
}

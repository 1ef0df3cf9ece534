//! What the program tells people of delays, doubt and what was left half done.

use std::process::Stdio;
use std::time::Duration;

use winback::model::clock::{Clock as _, SystemClock};

use super::operator::Desk;
use super::{Said, Shop};
use crate::dispatch::resolve::in_doubt;
use crate::support::hand::{claim, intend};
use crate::support::sql::Sql;
use crate::support::stores::on_both;
use crate::support::world::World;

#[tokio::test(flavor = "multi_thread")]
async fn why_says_what_held_a_text_up_and_that_it_may_arrive_twice() {
    on_both(async |bench| {
        let world = World::new(bench, 2, |_| {}).await;
        let (_, run) = world.launch(bench, "comeback", "").await;
        let held = claim(bench, &world, "lane", 2).await;
        assert_eq!(intend(bench, &world, "lane", &held).await.0, 2);
        let mut sql = bench.sql().await;
        for change in [
            "UPDATE attempts SET outcome = 'throttled', detail = 'slow down', intent_at = intent_at + 600000",
            "INSERT INTO attempts (message_id, number, epoch, route, owner, reference, intent_at, outcome) \
             SELECT message_id, 2, epoch, route, owner, reference || 'x', intent_at + 60000, 'accepted' FROM attempts",
            "UPDATE messages SET dispatch = 'accepted', attempts = 2, last_number = 2",
            "UPDATE messages SET possible_duplicate = 1 WHERE contact_id = (SELECT min(contact_id) FROM messages)",
        ] {
            sql.run(change).await;
        }
        let desk = Desk::at(bench);
        let said = desk.json(0, &["why", "c0", "comeback", "--run", &run.id.to_string()]);
        let delays = said["delayed_by"].to_string();
        for words in ["its turn within the limits of route sim", "attempt 1 at 2018-", "throttled (slow down)"] {
            assert!(delays.contains(words), "{words}: {said}");
        }
        assert!(!delays.contains("attempt 2"), "the last one is what became of it: {said}");
        assert_eq!(said["possible_duplicate"], true, "{said}");
        assert!(said["sent_again"].as_str().is_some_and(|told| told.contains("when_in_doubt")), "{said}");
        assert_eq!(desk.json(0, &["why", "c1", "comeback"])["possible_duplicate"], false);
        let text = desk.run(&["why", "c0", "comeback"]).out;
        assert!(text.contains("delayed: attempt 1") && text.contains("possible duplicate: it was sent again"), "{text}");
        world.end().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_status_names_ten_doubts_and_where_the_others_are() {
    on_both(async |bench| {
        let (world, run, _) = in_doubt(bench, 13, "when_in_doubt = \"ask\"\n").await;
        let desk = Desk::at(bench);
        let told = desk.run(&["status", "comeback", "--run", &run.id.to_string()]).out;
        assert_eq!(told.matches("waits for").count(), 10, "{told}");
        assert!(told.contains("and 3 more: winback message list comeback --in-doubt"), "{told}");
        let one =
            desk.json(0, &["message", "list", "comeback", "--in-doubt", "--limit", "1"])[0]["id"].to_string();
        let said = desk.run(&["message", "resolve", &one, "--as", "accepted"]);
        assert!(
            said.out.contains("1 message is accepted") && said.out.contains("decided by ada"),
            "{}",
            said.out
        );
        world.end().await;
    })
    .await;
}

#[test]
fn rejected_rows_are_told_and_the_others_are_in_and_a_file_of_nothing_else_has_failed() {
    let shop = Shop::new();
    let rows = "phone,consent_at\n+12122002000,2020-01-01\n12,2020-01-01\n+12122002001,2999-12-31\n";
    std::fs::write(shop.path("list.csv"), rows).expect("written");
    let said = shop.run(&["contact", "import", "list.csv"]);
    assert_eq!(said.code, Some(0), "{}", said.out);
    assert!(said.err.contains("2 rows were rejected, the others are in"), "{}", said.err);
    assert!(said.out.contains("line 4: the consent is dated in the future"), "{}", said.out);
    assert_eq!(shop.json(&["segment", "count", "true"])["contacts"], 1);
    // What comes after an open quote is not in, and nobody says so.
    let rows = "phone,first_name,consent_at\n+12122002000,Al,2020-01-01\n+12122002002,\"Bea,2020-01-01\n\
                +12122002003,Cy,2020-01-01\n";
    std::fs::write(shop.path("list.csv"), rows).expect("written");
    let said = shop.run(&["contact", "import", "list.csv"]);
    assert_eq!(said.code, Some(1), "nobody knows what is missing: {}", said.out);
    assert!(said.err.contains("of list.csv nothing was read after a double quote"), "{}", said.err);
    assert!(!said.err.contains("the others"), "{}", said.err);
    assert!(said.out.contains("line 3: the quote opened in line 3 is never closed"), "{}", said.out);
    let said = shop.run(&["contact", "import", "list.csv", "--dry-run"]);
    assert!(said.err.contains("The rows before it would be in"), "{}", said.err);
    assert_eq!(shop.json(&["segment", "count", "true"])["contacts"], 1);
    std::fs::write(shop.path("list.csv"), "phone,consent_at\n12,2020-01-01\n").expect("written");
    assert_eq!(shop.run(&["contact", "import", "list.csv"]).code, Some(1));
}

#[test]
fn an_order_of_the_day_after_tomorrow_is_rejected_and_one_that_is_known_is_said_to_be() {
    let shop = Shop::new();
    let check = |rows: &str, wanted: [i64; 3]| {
        std::fs::write(shop.path("orders.csv"), format!("order_id,customer_id,time,value\n{rows}"))
            .expect("written");
        let said = shop.run(&["event", "import", "orders.csv", "--kind", "order", "--json"]);
        let said: serde_json::Value = serde_json::from_str(&said.out).expect("one answer");
        let count = |value: &serde_json::Value| value.as_i64().expect("a count");
        let counts = [&said["inserted"], &said["already_known"], &said["rejected"]["count"]].map(count);
        assert_eq!(counts, wanted, "{rows}: {said:#}");
    };
    let soon = |hours: u64| SystemClock.now().plus(Duration::from_hours(hours)).rfc3339();
    check(&format!("1,a,2020-01-01,5\n2,a,{},5\n3,a,{},5\n", soon(23), soon(25)), [2, 0, 1]);
    // A known id changes nothing, whatever else its row says.
    check("1,a,2020-01-01,7\n", [0, 1, 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_launch_that_is_stopped_says_what_was_and_was_not_done() {
    let shop = Shop::new();
    let rows: Vec<String> = (2000..2020).map(|n| format!("+1212200{n},2020-01-01\n")).collect();
    std::fs::write(shop.path("list.csv"), format!("phone,consent_at\n{}", rows.concat())).expect("written");
    shop.good(&["contact", "import", "list.csv"]);
    let campaign = "segment = \"true\"\nroutes = [\"us\"]\nschedule = { at = \"now\" }\n[text]\nen = \"Hi. STOP to end\"\n";
    std::fs::write(shop.path("campaigns/winter.toml"), campaign).expect("written");
    // Somebody else writes, so that the launch waits where it would write first.
    let mut other = Sql::open(&format!("sqlite:{}", shop.path("winback.db").display())).await;
    other.run("BEGIN IMMEDIATE").await;
    let mut launch = shop.command(&["launch", "winter", "--yes"]);
    let launch = launch.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("starts");
    let id = launch.id().to_string();
    while !catches_interrupt(&id) {
        std::thread::yield_now();
    }
    let sent = std::process::Command::new("kill").args(["-INT", &id]).status();
    assert!(sent.expect("sent").success());
    let said = Said::of(&launch.wait_with_output().expect("ends"));
    other.run("ROLLBACK").await;
    assert_eq!(said.code, Some(1), "{}", said.err);
    assert!(
        said.err.contains("winter was not launched") && said.err.contains("nobody is texted"),
        "{}",
        said.err
    );
    assert_eq!(shop.json(&["status"]), serde_json::json!([]));
    // Half of it is written: the next launch goes on.
    let killed =
        shop.command(&["launch", "winter", "--yes"]).env("WINBACK_FAULTS", "end=run-created:1").output();
    assert!(killed.expect("runs").status.code().is_none());
    shop.good(&["launch", "winter", "--yes"]);
    assert_eq!(shop.json(&["status", "winter"])["messages"], 20);
}

/// Whether a process has set up what it does at Ctrl-C.
fn catches_interrupt(id: &str) -> bool {
    let facts = std::fs::read_to_string(format!("/proc/{id}/status")).expect("it lives");
    let caught = facts.lines().find_map(|line| line.strip_prefix("SigCgt:")).expect("a mask");
    u64::from_str_radix(caught.trim(), 16).expect("hex") & (1 << 1) != 0
}

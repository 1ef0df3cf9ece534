//! An audit that finds nothing wrong proves something only if it finds what was tampered with.

use serde_json::{Value, json};
use winback::campaign::law::Rules;
use winback::report::audit::{self as judge, Question, Taken};
use winback::store::copy::copy_sqlite;

use super::{Provider, audit};
use crate::support::sql::Sql;
use crate::support::stores::Bench;
use crate::support::world::World;

/// A change of the ledger, line by line, and of the store.
struct Tampering {
    /// The term that must be told, and how often.
    term: &'static str,
    count: i64,
    ledger: fn(&mut Vec<Value>),
    store: &'static str,
    flags: &'static [&'static str],
}

const CLEAN: Tampering = Tampering { term: "lost", count: 0, ledger: |_| {}, store: "", flags: &[] };

fn number_two(line: &mut Value) {
    let reference = line["reference"].as_str().expect("text").to_owned();
    line["reference"] = json!(format!("{}2", reference.strip_suffix('1').expect("the first attempt")));
}

fn of_counts() -> Vec<Tampering> {
    vec![
        Tampering { term: "lost", count: 1, ledger: |lines| drop(lines.remove(3)), ..CLEAN },
        Tampering {
            term: "lost",
            count: 1,
            ledger: |lines| drop(lines.remove(0)),
            store: "UPDATE messages SET dispatch = 'queued' WHERE dispatch = 'accepted'; \
                    UPDATE messages SET dispatch = 'accepted' WHERE id NOT IN (SELECT message_id FROM attempts WHERE reference = '{first}')",
            ..CLEAN
        },
        Tampering { term: "duplicated", count: 1, ledger: |lines| lines.push(lines[5].clone()), ..CLEAN },
        Tampering {
            term: "duplicated",
            count: 1,
            ledger: |lines| {
                let mut again = lines[5].clone();
                number_two(&mut again);
                lines.push(again);
            },
            store: "INSERT INTO attempts (message_id, number, epoch, route, owner, reference, intent_at) \
                    SELECT message_id, 2, epoch, route, owner, reference || 'x', intent_at FROM attempts",
            ..CLEAN
        },
        Tampering {
            term: "unexpected",
            count: 1,
            ledger: |lines| lines[2]["reference"] = json!("none-1-1"),
            ..CLEAN
        },
        Tampering { term: "unexpected", count: 1, ledger: |lines| number_two(&mut lines[2]), ..CLEAN },
        Tampering {
            term: "unrecorded",
            count: 20,
            store: "UPDATE messages SET dispatch = 'failed'",
            ..CLEAN
        },
    ]
}

fn of_terms() -> Vec<Tampering> {
    vec![
        Tampering {
            term: "after_stop",
            count: 1,
            store: "INSERT INTO suppressions (phone, scope, reason, source, created_at) \
                    SELECT m.phone, 'all', 'stop', 'test', a.intent_at - 1 FROM messages AS m \
                    JOIN attempts AS a ON a.message_id = m.id LIMIT 1",
            ..CLEAN
        },
        // Lifted after the text had gone, the STOP still was in force when it went; lifted before, it was not.
        Tampering {
            term: "after_stop",
            count: 1,
            store: "INSERT INTO suppressions (phone, scope, reason, source, created_at, lifted_at, lifted_by) \
                    SELECT m.phone, 'all', 'stop', 'test', a.intent_at - 1, a.intent_at + 1, 'start' \
                    FROM messages AS m JOIN attempts AS a ON a.message_id = m.id LIMIT 1",
            ..CLEAN
        },
        Tampering {
            term: "after_stop",
            count: 0,
            store: "INSERT INTO suppressions (phone, scope, reason, source, created_at, lifted_at, lifted_by) \
                    SELECT m.phone, 'all', 'stop', 'test', a.intent_at - 2, a.intent_at - 1, 'start' \
                    FROM messages AS m JOIN attempts AS a ON a.message_id = m.id LIMIT 1",
            ..CLEAN
        },
        Tampering {
            term: "outside_window",
            count: 1,
            // Night from New York to Los Angeles: whose text stands in which line is not known.
            ledger: |lines| lines[4]["at"] = json!(lines[4]["at"].as_i64().expect("a time") + 11 * 3_600_000),
            ..CLEAN
        },
        Tampering {
            term: "over_rate",
            count: 17,
            flags: &["--rate", "1", "--burst", "1"],
            ledger: |lines| {
                let at = lines[0]["at"].clone();
                for line in lines {
                    line["at"] = at.clone();
                }
            },
            ..CLEAN
        },
        Tampering { term: "over_budget", count: 15, store: "UPDATE runs SET budget = 50000", ..CLEAN },
        Tampering {
            term: "wrong_body",
            count: 1,
            ledger: |lines| lines[7]["body_sha256"] = json!("00"),
            ..CLEAN
        },
        Tampering {
            term: "wrong_number",
            count: 1,
            ledger: |lines| lines[7]["to"] = json!("+14805550199"),
            ..CLEAN
        },
    ]
}

fn of_books() -> Vec<Tampering> {
    vec![
        Tampering {
            term: "wrong_code",
            count: 19,
            // Every text has the letters of this code in it, and one of them may keep it.
            store: "UPDATE messages SET coupon_id = (SELECT min(coupon_id) FROM messages); \
                    UPDATE coupons SET code = 'CODE' WHERE id IN (SELECT coupon_id FROM messages)",
            ..CLEAN
        },
        Tampering { term: "wrong_code", count: 20, store: "UPDATE coupons SET code = code || 'X'", ..CLEAN },
        // A code that a customer has been texted is on the shelf again, withdrawn, somebody else's, or nobody's any more.
        Tampering {
            term: "wrong_code",
            count: 1,
            store: "UPDATE coupons SET state = 'available', message_id = NULL WHERE id = (SELECT max(coupon_id) FROM messages)",
            ..CLEAN
        },
        Tampering {
            term: "wrong_code",
            count: 1,
            store: "UPDATE coupons SET state = 'voided' WHERE id = (SELECT max(coupon_id) FROM messages)",
            ..CLEAN
        },
        Tampering {
            term: "wrong_code",
            count: 1,
            store: "UPDATE messages SET coupon_id = NULL WHERE id = (SELECT max(id) FROM messages)",
            ..CLEAN
        },
        // Hours that nobody can read any more are not kept hours.
        Tampering { term: "unjudged", count: 20, store: "UPDATE runs SET definition = '{}'", ..CLEAN },
        Tampering { term: "unjudged", count: 20, store: "UPDATE runs SET definition = 'xx'", ..CLEAN },
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_was_tampered_with_is_told_under_its_name() {
    let bench = Bench::sqlite().await;
    let mut world = World::new(&bench, 20, |_| {}).await;
    let provider = Provider::start(&mut world, "calm", 1);
    let daemon = world.daemon().await;
    let (_, run) = world.launch(&bench, "comeback", "").await;
    world.finished(&bench, &run).await;
    assert!(daemon.stop().await);
    let folder = world.folder.path();
    let whole = std::fs::read_to_string(&provider.ledger).expect("a ledger");
    provider.finish();
    let lines: Vec<Value> = whole.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let store = bench.path().expect("a file");
    let check = async |nth: usize, case: &Tampering| {
        let (ledger, copy) = (folder.join(format!("{nth}.jsonl")), folder.join(format!("{nth}.db")));
        let mut lines = lines.clone();
        let first = lines[0]["reference"].as_str().expect("text").to_owned();
        (case.ledger)(&mut lines);
        let text: Vec<String> = lines.iter().map(|line| format!("{line}\n")).collect();
        std::fs::write(&ledger, text.concat()).expect("written");
        copy_sqlite(store, &copy).await.expect("copied");
        if !case.store.is_empty() {
            let sql = case.store.replace("{first}", &first);
            Sql::open(&format!("sqlite:{}", copy.display())).await.run(&sql).await;
        }
        let (code, told) = audit(folder, &ledger, &copy.to_string_lossy(), case.flags);
        assert_eq!(told[case.term], case.count, "{}: {told:#}", case.term);
        assert_eq!(code, Some(i32::from(case.count > 0)), "{}: {told:#}", case.term);
        let examples = told["examples"].to_string();
        assert_eq!(examples.contains(case.term), case.count > 0 && case.term != "over_rate", "{examples}");
        for line in &lines {
            let number = line["to"].as_str().expect("text").trim_start_matches('+');
            assert!(!examples.contains(number), "a number is told: {examples}");
        }
    };
    check(0, &CLEAN).await;
    for (nth, case) in of_counts().iter().chain(&of_terms()).chain(&of_books()).enumerate() {
        check(nth + 1, case).await;
    }
    world.end().await;
}

/// A ledger whose last `late` lines are written only after its end has been seen once.
fn growing(taken: Vec<Taken>, late: usize) -> impl Iterator<Item = Result<Taken, std::io::Error>> {
    let mut early = taken.len() - late;
    let mut lines = taken.into_iter();
    let mut ended = false;
    std::iter::from_fn(move || {
        if early == 0 && !std::mem::replace(&mut ended, true) {
            return None;
        }
        early = early.saturating_sub(1);
        lines.next().map(Ok)
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn an_audit_beside_a_sender_believes_what_the_ledger_says_a_moment_later() {
    let bench = Bench::sqlite().await;
    let world = World::new(&bench, 400, |_| {}).await;
    let daemon = world.daemon().await;
    let (_, run) = world.launch(&bench, "comeback", "").await;
    let rules = Rules::load();
    let question = Question { run: None, limit: None, rules: &rules };
    // While texts go out, again and again.
    let mut looked = 0;
    loop {
        let ended = bench.run(run.id).await.expect("read").is_some_and(|run| run.finished_at.is_some());
        let told = world.audit(&bench, &run).await;
        assert!(told.agrees(), "look {looked}: {told:#?}");
        looked += 1;
        if ended {
            break;
        }
    }
    assert!(looked > 1);
    assert!(daemon.stop().await);
    let taken = world.ledger();
    let check = async |late: usize, lost: usize| {
        let short = taken[..taken.len() - lost].to_vec();
        let told = judge::audit(&bench, growing(short, late), &question).await.expect("judged");
        let counts = (told.accepted + told.lost, told.lost, told.unexpected, told.agrees());
        let all = i64::try_from(taken.len()).expect("few");
        assert_eq!(counts, (all, i64::try_from(lost).expect("few"), 0, lost == 0), "{told:#?}");
    };
    check(0, 0).await;
    check(9, 0).await;
    check(9, 3).await;
    world.end().await;
}

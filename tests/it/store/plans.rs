//! What sending costs does not grow with history: no statement that runs while texts go out reads a whole table.

use winback::store::statements;

use crate::support::stores::Bench;

/// Statements that run while texts go out, by name.
const HOT: &[&str] = &[
    "CLAIM",
    "FEEDABLE",
    "FEED",
    "RELEASE",
    "POSTPONE",
    "NEXT_TEXT",
    "RUNS_OF",
    "LOCK_RUNS",
    "GRANT",
    "RECORD",
    "SPEND",
    "WHY",
    "WITHDRAW",
    "CLOSE_ATTEMPTS",
    "MOVE",
    "END_DOUBT",
    "GIVEN_BACK",
    "MOVE_COUPONS",
    "PAY",
    "MARK_UNREACHABLE",
    "PHONES",
    "OUTCOMES",
    "LOOK_BACK",
    "PROVE",
    "ACCEPT_LATE",
    "RETAKE",
    "CONTEST",
    "KEEP_RAW",
    "BY_REFERENCE",
    "BY_PROVIDER_ID",
    "KEEP",
    "RAISE",
    "STATE_OF",
    "PARKED",
    "YOUNG",
    "FORGET",
    "UNPARK",
    "OPTED_OUT",
    "FREE_CLAIMED",
    "LOSE_SUBMITTING",
    "CLOSE_LOST",
    "EVIDENCE",
    "IN_DOUBT",
    "RESEND",
    "PARK",
    "WITHDRAW_PLANNED",
    "WITHDRAW_QUEUED",
    "HAS_PLANNED",
    "OPEN_MESSAGES",
    "EXPIRED_RUNS",
    "CLOSED_WINDOWS",
    "ROLL_WINDOWS",
    "OPEN_RUNS",
    "ADVANCE",
    "RECENT",
    "INSERT_MESSAGES",
    "RESERVE",
    "AVAILABLE_CODES",
    "RELEASE_COUPONS",
    "QUARANTINE_COUPONS",
];

/// Indexes that hold what is open now and nothing else: reading all of one is no look at history.
const OPEN: &[&str] = &[
    "messages_planned",
    "messages_queued",
    "messages_open",
    "messages_withdrawable",
    "receipts_waiting",
    "receipts_parked",
    "runs_open",
    "coupons_available",
    "suppressions_in_force",
];

/// Tables that hold one row for each text or callback ever.
const HISTORY: &[&str] =
    &["messages", "attempts", "receipts", "inbox", "coupons", "suppressions", "contacts", "runs"];

/// PostgreSQL knows how large its tables are without statistics, and reads a small one whole.
const FILL: &str = "\
    INSERT INTO pools (name, value, created_at) VALUES ('p', '1', 0);
    INSERT INTO runs (campaign, launch_key, plan_hash, state, definition, as_of, currency, when_in_doubt, audience, \
        starts_at, expires_at, created_at) \
      SELECT 'c', CAST(n AS TEXT), '', 'finished', '', 0, 'USD', 'park', 0, 0, 0, 0 FROM generate_series(1, 20000) AS n;
    INSERT INTO run_windows (run_id, key, opens_at, closes_at) \
      SELECT n, 'k', 0, 0 FROM generate_series(1, 20000) AS n;
    INSERT INTO messages (run_id, contact_id, phone, country, route, sender, window_id, body, encoding, parts, price, \
        expires_at, dispatch, not_before) \
      SELECT 1, n, n, 'US', 'r', 's', 1, 'text', 'gsm7', 1, 1, 0, 'accepted', 0 FROM generate_series(1, 20000) AS n;
    INSERT INTO attempts (message_id, number, epoch, route, owner, reference, intent_at) \
      SELECT n, 1, 1, 'r', 'o', 'x', 0 FROM generate_series(1, 20000) AS n;
    INSERT INTO coupons (pool_id, code, state, created_at, changed_at) \
      SELECT 1, CAST(n AS TEXT), 'sent', 0, 0 FROM generate_series(1, 200000) AS n;
    INSERT INTO receipts (inbox_id, route, received_at, message_id, number, state, status) \
      SELECT n, 'r', 0, n, 1, 'delivered', 'ok' FROM generate_series(1, 20000) AS n";

#[tokio::test]
async fn no_statement_that_sends_reads_a_whole_table() {
    let benches = (Bench::sqlite().await, Bench::postgres().await);
    let (mut sqlite, mut postgres) = (benches.0.sql().await, benches.1.sql().await);
    postgres.run(FILL).await;
    let (mut wrong, mut seen) = (Vec::new(), Vec::new());
    for (name, for_sqlite, for_postgres) in statements() {
        if !HOT.contains(&name) {
            continue;
        }
        seen.push(name);
        for step in sqlite.explain(for_sqlite).await {
            if reads_all_of_sqlite(&step) {
                wrong.push(format!("{name} on SQLite: {step}"));
            }
        }
        for step in postgres.explain(for_postgres).await {
            if reads_all_of_postgres(&step) {
                wrong.push(format!("{name} on PostgreSQL: {step}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let missing: Vec<_> = HOT.iter().filter(|name| !seen.contains(name)).collect();
    assert!(missing.is_empty(), "no such statements: {missing:?}");
}

fn reads_all_of_sqlite(step: &str) -> bool {
    let Some(scanned) = step.strip_prefix("SCAN ") else { return false };
    let named = scanned.split(' ').next().unwrap_or_default();
    // Lists that we gave, and results of other steps, which were looked at themselves.
    let given = scanned.contains("VIRTUAL TABLE")
        || scanned == "CONSTANT ROW"
        || named == "g"
        || named.starts_with('(');
    !given && !OPEN.iter().any(|index| scanned.ends_with(&format!("INDEX {index}")))
}

fn reads_all_of_postgres(step: &str) -> bool {
    let of = |table: &&str| step.contains(&format!(" of {table} by"));
    let by = |index: &&str| step.contains(&format!("by {index}:"));
    step.starts_with("Seq Scan") && HISTORY.iter().any(of)
        || step.ends_with("everything") && step.contains("Index") && !OPEN.iter().any(by)
}

#[test]
fn a_look_at_a_whole_table_is_recognised() {
    for (step, wrong) in [
        ("SCAN m", true),
        ("SCAN m USING COVERING INDEX messages_of_contact", true),
        ("SCAN m USING INDEX messages_open", false),
        ("SEARCH m USING INTEGER PRIMARY KEY (rowid=?)", false),
        ("SCAN (subquery-5)", false),
        ("SCAN j VIRTUAL TABLE INDEX 1:", false),
    ] {
        assert_eq!(reads_all_of_sqlite(step), wrong, "{step}");
    }
    for (step, wrong) in [
        ("Seq Scan of messages by : everything", true),
        ("Index Scan of messages by messages_pkey: everything", true),
        ("Index Scan of messages by messages_open: everything", false),
        ("Index Scan of messages by messages_pkey: a place", false),
        ("Function Scan of  by : everything", false),
    ] {
        assert_eq!(reads_all_of_postgres(step), wrong, "{step}");
    }
}

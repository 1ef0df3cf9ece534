//! What sending costs does not grow with history: no statement that runs while texts go out reads a whole table.

use std::collections::HashSet;

use winback::store::statements;

use crate::support::stores::Bench;

/// Statements that may read a whole table, each with the reason why that slows nothing down that sends.
const COLD: &[(&str, &str)] = &[
    ("TABLES_OF_OTHERS", "the names of tables, when a store is opened"),
    ("audit::TAKEN", "an audit; what was lifted is read once for a page"),
    ("audit::ESTRANGED", "an audit, once and again for each page of what is wrong"),
    ("HOLDS", "whether there is anything at all, before a backup is brought there"),
    ("check::GIVEN_TO_NOBODY", "a check of the whole store"),
    ("check::SENT_WITHOUT", "a check of the whole store"),
    ("check::WINDOWLESS", "a check of the whole store"),
    ("check::SPENT_ELSEWISE", "a check of the whole store"),
    ("check::TWICE_IN_RUN", "a check of the whole store"),
    ("check::NEWEST", "the last row of each table, from the end of its index"),
    ("contacts::COUNT", "a count that a person asks for"),
    ("coupons::POOLS", "a list that a person asks for; pools are few"),
    ("coupons::COUNT_BY_STATE", "a count that a person asks for"),
    ("inquiries::RENDERED_SINCE", "one row for each route, when a clock was set back"),
    ("inquiries::RENDERINGS", "one row for each route, when a person asks what is awaited"),
    ("runs::RUNS_OF_CAMPAIGN", "a list that a person asks for, newest first"),
    ("restore::DOUBTS", "a count of what is in doubt, when a store comes back"),
    ("suppressions::OF_PHONE", "the history of one number, which a person asks for"),
];

/// Indexes that hold what is open now and nothing else: reading all of one is no look at history.
const OPEN: &[&str] = &[
    "messages_planned",
    "messages_queued",
    "messages_open",
    "receipts_waiting",
    "receipts_parked",
    "receipts_unmatched",
    "events_waiting",
    "runs_open",
    "coupons_available",
    "suppressions_in_force",
];

/// Tables that hold one row for each text or callback ever.
const HISTORY: &[&str] = &[
    "messages",
    "attempts",
    "receipts",
    "inbox",
    "inbound",
    "coupons",
    "suppressions",
    "contacts",
    "contact_tags",
    "events",
    "runs",
    "run_windows",
    "decisions",
];

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
async fn no_statement_reads_a_whole_table_unless_it_is_known_to_and_says_why() {
    let benches = (Bench::sqlite().await, Bench::postgres().await);
    let (mut sqlite, mut postgres) = (benches.0.sql().await, benches.1.sql().await);
    postgres.run(FILL).await;
    let (mut wrong, mut names) = (Vec::new(), HashSet::new());
    for (name, for_sqlite, for_postgres) in statements() {
        let name = name.trim_start_matches("winback::store::");
        if !names.insert(name) {
            wrong.push(format!("{name}: two statements have this name"));
        }
        let mut reads = Vec::new();
        for step in sqlite.explain(for_sqlite).await {
            if reads_all_of_sqlite(&step) {
                reads.push(format!("{name} on SQLite: {step}"));
            }
        }
        if is_planned_by_postgres(for_postgres) {
            for step in postgres.explain(for_postgres).await {
                if reads_all_of_postgres(&step) {
                    reads.push(format!("{name} on PostgreSQL: {step}"));
                }
            }
        }
        match (COLD.iter().any(|(cold, _)| *cold == name), reads.is_empty()) {
            (true, true) => wrong.push(format!("{name}: it reads no whole table, strike it from the list")),
            (true, false) => {}
            (false, _) => wrong.append(&mut reads),
        }
    }
    let gone = COLD.iter().filter(|(cold, _)| !names.contains(cold));
    wrong.extend(gone.map(|(cold, _)| format!("{cold}: there is no such statement")));
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// PostgreSQL has plans for these alone.
fn is_planned_by_postgres(sql: &str) -> bool {
    let begins = |word: &&str| sql.trim_start().starts_with(*word);
    ["SELECT", "INSERT", "UPDATE", "DELETE", "WITH"].iter().any(begins)
}

fn reads_all_of_sqlite(step: &str) -> bool {
    let Some(scanned) = step.strip_prefix("SCAN ") else { return false };
    let named = scanned.split(' ').next().unwrap_or_default();
    // Lists that we gave, and results of other steps, which were looked at themselves.
    let given = scanned.contains("VIRTUAL TABLE")
        || scanned == "CONSTANT ROW"
        || scanned.ends_with(" CONSTANT ROWS")
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

/// SQLite looks at the value behind a bare `LIMIT $1` when it plans, and so plans anew whenever another one is bound.
#[test]
fn no_statement_is_planned_anew_at_every_call() {
    let bare = |text: &str| text.contains("LIMIT $");
    let wrong: Vec<_> =
        statements().into_iter().filter(|(_, sqlite, _)| bare(sqlite)).map(|(name, ..)| name).collect();
    assert!(wrong.is_empty(), "write LIMIT CAST($1 AS BIGINT) in {}", wrong.join(", "));
}

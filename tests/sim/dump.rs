//! The state of a store as lines, from the model and from a database, so that the two can be compared.

use serde_json::{Value, json};
use winback::model::ids::MessageId;
use winback::model::reference;

use super::tables::{Message, Named, ROUTES, SENDERS, TAG, Tables, id, scope_word};

/// Every row of a real store in the order and spelling of [`lines`].
pub(crate) const DUMP: &str = "\
    SELECT 1 AS t, id AS a, 0 AS b, json_array('message', id, run_id, contact_id, phone, route, sender, window_id, coupon_id, parts, \
      price, expires_at, dispatch, delivery, epoch, owner, lease_until, attempts, last_number, not_before, \
      possible_duplicate, conflict, reason, submitted_at, settled_at, delivery_at) AS line FROM messages \
    UNION ALL SELECT 2, message_id, number, json_array('attempt', message_id, number, epoch, route, owner, reference, \
      intent_at, answered_at, outcome, code, detail, provider_id) FROM attempts \
    UNION ALL SELECT 3, id, 0, json_array('receipt', id, inbox_id, route, received_at, message_id, number, reference, \
      provider_id, state, status, code, opted_out) FROM receipts \
    UNION ALL SELECT 4, id, 0, json_array('inbox', id, route, kind, received_at) FROM inbox \
    UNION ALL SELECT 5, id, 0, json_array('inbound', id, inbox_id, route, received_at, phone, keyword, provider_id) \
      FROM inbound \
    UNION ALL SELECT 6, id, 0, json_array('suppression', id, phone, scope, reason, source, created_at, lifted_at, \
      lifted_by) FROM suppressions \
    UNION ALL SELECT 7, id, 0, json_array('coupon', id, state, message_id, changed_at, contested_by) FROM coupons \
    UNION ALL SELECT 8, id, 0, json_array('run', id, launch_key, state, budget, spent, when_in_doubt, audience, \
      prepared, cursor, capped, withheld, starts_at, expires_at, finished_at) FROM runs \
    UNION ALL SELECT 9, id, 0, json_array('window', id, run_id, key, opens_at, closes_at) FROM run_windows \
    UNION ALL SELECT 11, message_id, number, json_array('decision', message_id, number, run_id, decided_at, verdict) \
      FROM decisions \
    UNION ALL SELECT 10, id, 0, json_array('contact', id, unreachable_at) FROM contacts \
    UNION ALL SELECT 12, message_id, number, json_array('inquiry', message_id, number, looks, looks_unanswered, looked_at, \
      replays, replays_unanswered, replayed_at, answer_by, replay_over, finding) FROM inquiries \
    UNION ALL SELECT 13, CASE route WHEN 'north' THEN 0 ELSE 1 END, 0, json_array('rendering', route, print, since) \
      FROM renderings \
    UNION ALL SELECT 14, 0, 0, json_array('clock', value) FROM store_meta WHERE key = 'clock_seen' \
    ORDER BY 1, 2, 3";

/// The name of a process.
pub(crate) fn owner(number: u64) -> String {
    format!("n{number}")
}

/// The launch key of a campaign.
pub(crate) fn launch_key(campaign: i64) -> String {
    format!("c{campaign}")
}

/// Every row of the model.
pub(crate) fn lines(tables: &Tables) -> Vec<String> {
    let mut rows: Vec<Value> = Vec::new();
    rows.extend(tables.messages.iter().enumerate().map(|(place, m)| message(id(place), m)));
    rows.extend(attempts(tables));
    rows.extend(receipts(tables));
    let mut inbox: Vec<_> = tables.inbox.iter().collect();
    inbox.sort_by_key(|raw| raw.id);
    rows.extend(inbox.iter().map(|r| json!(["inbox", r.id, ROUTES[r.route], r.kind, r.received_at])));
    for (place, i) in tables.inbound.iter().enumerate() {
        let (route, pid) = (ROUTES[i.route], provider_id(i.provider_id));
        rows.push(json!(["inbound", id(place), i.inbox, route, i.received_at, i.phone, i.keyword, pid]));
    }
    for (place, s) in tables.suppressions.iter().enumerate() {
        let (scope, reason) = (scope_word(s.scope), s.reason.as_str());
        let end = (s.lifted_at, s.lifted_by);
        rows.push(json!([
            "suppression",
            id(place),
            s.phone,
            scope,
            reason,
            s.source,
            s.created_at,
            end.0,
            end.1
        ]));
    }
    for (place, c) in tables.coupons.iter().enumerate() {
        rows.push(json!(["coupon", id(place), c.state, c.message, c.changed_at, c.contested_by]));
    }
    rows.extend(runs(tables));
    for (place, w) in tables.windows.iter().enumerate() {
        rows.push(json!(["window", id(place), w.run, format!("w{}", w.key), w.opens_at, w.closes_at]));
    }
    for (place, at) in tables.unreachable.iter().enumerate() {
        rows.push(json!(["contact", id(place), at]));
    }
    let mut decisions: Vec<_> = tables.decisions.iter().collect();
    decisions.sort_by_key(|d| (d.message, d.number));
    let decision = |d: &&super::tables::Decided| {
        json!(["decision", d.message, d.number, d.run, d.when, d.verdict.as_str()])
    };
    rows.extend(decisions.iter().map(decision));
    rows.extend(inquiries(tables));
    for (route, row) in ROUTES.iter().zip(tables.renderings) {
        rows.extend(row.map(|row| json!(["rendering", route, print(row.print), row.since])));
    }
    rows.extend(tables.clock_seen.map(|at| json!(["clock", at.to_string()])));
    rows.iter().map(Value::to_string).collect()
}

fn message(id: i64, m: &Message) -> Value {
    let reason = m.reason.map(|why| {
        let code = why.code.map_or_else(String::new, |code| format!(" ({code})"));
        let doubt = if why.doubtful { "; a copy sent before may have arrived" } else { "" };
        format!("{}{code}{doubt}", why.word)
    });
    let flags = (i64::from(m.possible_duplicate), i64::from(m.conflict));
    json!([
        "message",
        id,
        m.run,
        m.contact,
        m.phone,
        ROUTES[m.route],
        SENDERS[m.sender],
        m.window,
        m.coupon,
        m.parts,
        m.price,
        m.expires_at,
        m.dispatch.as_str(),
        m.delivery.as_str(),
        m.epoch,
        m.owner.map(owner),
        m.lease_until,
        m.attempts,
        m.last_number,
        m.not_before,
        flags.0,
        flags.1,
        reason,
        m.submitted_at,
        m.settled_at,
        m.delivery_at
    ])
}

fn attempts(tables: &Tables) -> Vec<Value> {
    let mut attempts: Vec<_> = tables.attempts.iter().collect();
    attempts.sort_by_key(|a| (a.message, a.number));
    let line = |a: &&super::tables::Attempt| {
        let named = reference::compose(TAG, MessageId(a.message), a.number);
        let (outcome, code) = (
            a.outcome.map(winback::model::outcome::OutcomeClass::as_str),
            a.code.map(|code| code.to_string()),
        );
        json!([
            "attempt",
            a.message,
            a.number,
            a.epoch,
            ROUTES[a.route],
            owner(a.owner),
            named,
            a.intent_at,
            a.answered_at,
            outcome,
            code,
            a.detail,
            a.provider_id.map(provider_id)
        ])
    };
    attempts.iter().map(line).collect()
}

fn receipts(tables: &Tables) -> Vec<Value> {
    let line = |(place, r): (usize, &super::tables::ReceiptRow)| {
        let named = r.reference.map(|named| match named {
            Named::Ours(message, number) => reference::compose(TAG, MessageId(message), number),
            Named::Foreign(number) => format!("other-{number}"),
        });
        json!([
            "receipt",
            id(place),
            r.inbox,
            ROUTES[r.route],
            r.received_at,
            r.message,
            r.number,
            named,
            r.provider_id.map(provider_id),
            r.state.as_str(),
            r.status,
            r.code.map(|code| code.to_string()),
            i64::from(r.opted_out)
        ])
    };
    tables.receipts.iter().enumerate().map(line).collect()
}

fn runs(tables: &Tables) -> Vec<Value> {
    let line = |(place, r): (usize, &super::tables::RunRow)| {
        let mut key = launch_key(r.campaign);
        if r.key_given_up {
            key = format!("{key}#{}", id(place));
        }
        json!([
            "run",
            id(place),
            key,
            r.state.as_str(),
            r.budget,
            r.spent,
            r.doubt.as_str(),
            r.audience,
            r.prepared,
            r.cursor,
            r.capped,
            r.withheld,
            r.starts_at,
            r.expires_at,
            r.finished_at
        ])
    };
    tables.runs.iter().enumerate().map(line).collect()
}

fn inquiries(tables: &Tables) -> Vec<Value> {
    let mut inquiries: Vec<_> = tables.inquiries.iter().collect();
    inquiries.sort_by_key(|i| (i.message, i.number));
    let line = |i: &&super::tables::Inquiry| {
        json!([
            "inquiry",
            i.message,
            i.number,
            i.looks,
            i.looks_unanswered,
            i.looked_at,
            i.replays,
            i.replays_unanswered,
            i.replayed_at,
            i.answer_by,
            i64::from(i.replay_over),
            i.finding.map(winback::model::doubt::Finding::as_str)
        ])
    };
    inquiries.iter().map(line).collect()
}

/// How requests are rendered, as the store knows it.
pub(crate) fn print(number: i64) -> String {
    format!("r{number}")
}

fn provider_id(number: i64) -> String {
    format!("p{number}")
}

//! Errors as people see them, and the SQL as the databases see it.

use jiff::tz::TimeZone;
use proptest::prelude::*;

use super::{AsOf, Dialect, MAX_DEPTH, MAX_LENGTH, MAX_LIST, Value, compile, parse};
use crate::model::clock::Timestamp;

/// One refused text a line: the text, the place, the message, the suggestion.
const ERRORS: &str = include_str!("../../tests/data/segment/errors.jsonl");

#[test]
fn whatever_is_not_of_the_language_is_refused_at_its_place() {
    for line in ERRORS.lines() {
        let expected: [String; 4] = serde_json::from_str(line).unwrap();
        let text = &expected[0];
        let error = parse(text).expect_err(text);
        let found = [text, &text[error.span()], error.message(), error.suggestion().unwrap_or("")];
        assert_eq!(found, expected.each_ref().map(String::as_str));
    }
}

#[test]
fn an_error_shows_the_place_with_a_caret_and_the_way_out() {
    let check = |text: &str, shown: &str| {
        let error = parse(text).expect_err(text);
        assert_eq!(format!("{error}\n"), shown, "\n{error}\n");
    };
    check(
        "satge = 'lost'",
        "\
`satge` is not a column
  |
1 | satge = 'lost'
  | ^^^^^
  |
help: did you mean `stage`?
",
    );
    check(
        "attr.city = '上海'\n  and count('order', '90 tage') > 1",
        "\
'90 tage' is not a period
  |
2 |   and count('order', '90 tage') > 1
  |                      ^^^^^^^^^
  |
help: a period is a number and a unit, up to a hundred years: '24 hours', '30 days', '2 weeks', '6 months'
",
    );
    check(
        "attr.city = '上海' and stage = sleeping",
        "\
`sleeping` is not a value
  |
1 | attr.city = '上海' and stage = sleeping
  |                                ^^^^^^^^
  |
help: texts take single quotes: 'sleeping'
",
    );
    check(
        "stage = 'lost' and",
        "\
expected an expression, but the text ends
  |
1 | stage = 'lost' and
  |                   ^
  |
help: a condition looks like stage in ('sleeping', 'lost')
",
    );
}

#[test]
fn length_depth_and_lists_are_bounded() {
    let check = |text: &str, message: Option<&str>| {
        let found = parse(text).err().map(|error| error.message().to_owned());
        assert_eq!(found.as_deref(), message, "{}…", &text[..text.len().min(60)]);
    };
    let nested = |depth: usize| format!("{}true{}", "(".repeat(depth), ")".repeat(depth));
    let denied = |depth: usize| format!("{}true", "not ".repeat(depth));
    let mixed = |depth: usize| format!("{}true{}", "not (".repeat(depth), ")".repeat(depth));
    let list = |count: usize| format!("stage in ({})", vec!["'a'"; count].join(","));
    let deep = Some("the expression is nested deeper than 64 levels");
    check(&nested(MAX_DEPTH), None);
    check(&nested(MAX_DEPTH + 1), deep);
    check(&denied(MAX_DEPTH), None);
    check(&denied(MAX_DEPTH + 1), deep);
    check(&mixed(MAX_DEPTH / 2), None);
    check(&mixed(MAX_DEPTH / 2 + 1), deep);
    check(&"(".repeat(MAX_LENGTH), deep);
    check(&"- ".repeat(MAX_LENGTH / 2), deep);
    check(&list(MAX_LIST), None);
    check(&list(MAX_LIST + 1), Some("a list holds at most 1000 values"));
    check(&vec!["true"; MAX_LENGTH / 8].join(" or "), None);
    check(&"x".repeat(MAX_LENGTH + 1), Some("the expression is longer than 8192 bytes"));
}

#[test]
fn the_tree_is_drawn_as_it_was_understood() {
    let text = "stage IN ('sleeping','lost') and (200 <= sum('order', '365days') or attr.score > -1.50) \
                and not tagged('it''s') and days_since('order') != 3 or \"attr\".x is null";
    assert!(parse(text).is_err(), "double quotes are for names of attributes alone");
    let expression = parse(&text.replace("\"attr\".x", "attr.\"home town\"")).unwrap();
    assert_eq!(
        expression.tree(),
        "\
any of
  all of
    stage in ('sleeping', 'lost')
    any of
      sum('order', '365 days') >= 200
      attr.score > -1.5
    not
      tagged('it''s')
    days_since('order') <> 3
  attr.\"home town\" is null
"
    );
    assert_eq!(expression.columns(), ["stage", "attr.score", "attr.\"home town\""]);
    assert_eq!(expression.kinds(), ["order"]);
}

#[test]
fn an_event_kind_that_no_one_has_is_named_with_the_nearest() {
    let expression =
        parse("count('order') > 1 and last('lgoin') is null and first('lgoin') is null").unwrap();
    let check = |known: &[&str], slips: &[bool], help: &str| {
        let found = expression.check_kinds(known);
        assert_eq!(found.iter().map(|one| one.slip).collect::<Vec<_>>(), slips, "{known:?}");
        let last = found.last().map(|one| one.error.suggestion().unwrap_or_default());
        assert_eq!(last.unwrap_or_default(), help, "{known:?}");
    };
    check(&["order", "lgoin"], &[], "");
    check(&["login", "order"], &[true], "did you mean 'login'?");
    check(&["order", "visit"], &[false], "known kinds: order, visit");
    check(&[], &[false, false], "it counts as none until events are imported");
    let error = &expression.check_kinds(&["login", "order"])[0].error;
    assert_eq!(&expression.text()[error.span()], "'lgoin'");
}

#[test]
fn values_travel_beside_the_sql_numbered_from_where_the_caller_stands() {
    let zone = TimeZone::get("America/New_York").unwrap();
    let as_of = AsOf { at: Timestamp::parse("2026-03-09T02:30:00Z").unwrap(), zone };
    let check = |text: &str, dialect: Dialect, sql: &str, values: &[Value]| {
        let fragment = compile(&parse(text).unwrap(), &as_of, dialect, 3);
        assert_eq!((fragment.sql.as_str(), fragment.values.as_slice()), (sql, values), "{text}");
    };
    let text = |text: &str| Value::Text(text.to_owned());
    let at = |at: &str| Value::Int(Timestamp::parse(at).unwrap().0);
    for dialect in [Dialect::Sqlite, Dialect::Postgres] {
        check("stage = 'x' or zone = 'x'", dialect, "(c.stage = $3 OR c.zone = $3)", &[text("x")]);
        // The last day before a question on the evening of the clock change: 24 hours of the wall, 23 of the sun.
        check(
            "sum('order', '1 day') >= 199.9",
            dialect,
            "(SELECT coalesce(sum(e.value), 0) FROM events e WHERE e.contact_id = c.id AND e.kind = $3 \
             AND e.occurred_at <= $4 AND e.occurred_at > $5) >= $6",
            &[text("order"), at("2026-03-09T02:30:00Z"), at("2026-03-08T03:30:00Z"), Value::Int(199_900_000)],
        );
        // It is the 8th there; one day ago or more means before the 8th began.
        check(
            "days_since('order') >= 1",
            dialect,
            "(SELECT max(e.occurred_at) FROM events e WHERE e.contact_id = c.id AND e.kind = $3 \
             AND e.occurred_at <= $4) <= $5",
            &[text("order"), at("2026-03-09T02:30:00Z"), at("2026-03-08T04:59:59.999Z")],
        );
    }
    check("email like 'A%'", Dialect::Sqlite, "c.email LIKE $3 ESCAPE '\\'", &[text("a%")]);
    check(
        "email like 'A%'",
        Dialect::Postgres,
        "lower((c.email) COLLATE \"C\") LIKE $3 ESCAPE '\\'",
        &[text("a%")],
    );
    check("email < 'A'", Dialect::Postgres, "(c.email) COLLATE \"C\" < $3", &[text("A")]);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_text_can_make_the_parser_panic(text in any::<String>()) {
        let _ = parse(&text).map_err(|error| error.to_string());
    }

    #[test]
    fn no_heap_of_known_words_can_make_it_panic(words in prop::collection::vec(prop::sample::select(vec![
        "stage", "attr", ".", "x", "\"a b\"", "count", "(", ")", "'order'", ",", "'30 days'", "=", "<", ">=", "5", "-",
        "and", "or", "not", "in", "between", "like", "is", "null", "true", "last", "'2026-01-01'", "escape", "distinct",
        "from", "over", "collate", "date", "\n", "--", "any", "array", "row", "zone", "at", "time", "城", "'",
    ]), 0..24), spaced in any::<bool>()) {
        let text = words.join(if spaced { " " } else { "" });
        let _ = parse(&text).map_err(|error| error.to_string());
    }
}

//! What machines read: one form of times and money in every answer, and failures that can be read too.

use serde_json::Value;

use super::Shop;

/// Complains about times that are no RFC 3339 texts, and money that is no decimal text or has no currency beside or
/// above it.
fn walk(value: &Value, path: &str, currency: bool) {
    match value {
        Value::Array(list) => list.iter().for_each(|one| walk(one, path, currency)),
        Value::Object(fields) => {
            let currency = currency || fields.get("currency").is_some_and(Value::is_string);
            for (name, one) in fields {
                let path = format!("{path}.{name}");
                let text = one.as_str();
                if name.ends_with("_at") || name == "as_of" {
                    let time = text
                        .is_some_and(|text| text.ends_with('Z') && text.parse::<jiff::Timestamp>().is_ok());
                    assert!(time || one.is_null(), "{path}: {one}");
                } else if ["cost", "spent", "budget", "price"].contains(&name.as_str()) && !one.is_object() {
                    let money = text.is_some_and(|text| text.contains('.') && text.parse::<f64>().is_ok());
                    assert!((money && currency) || one.is_null(), "{path}: {one}");
                }
                walk(one, &path, currency);
            }
        }
        _ => {}
    }
}

#[test]
fn every_answer_has_the_same_times_and_money() {
    let shop = Shop::new();
    std::fs::write(shop.path("list.csv"), "customer_id,phone,consent_at\n1,+12125550123,2026-01-31\n")
        .expect("written");
    shop.good(&["contact", "import", "list.csv"]);
    shop.good(&["coupon", "create", "mine", "--value", "5", "--expires", "2030-01-01"]);
    let plan = shop.json(&["plan", "national-day"]);
    assert_eq!((&plan["cost"], &plan["currency"]), (&"0.0079".into(), &"USD".into()), "{plan}");
    assert_eq!(plan["budget"], "500.00");
    walk(&plan, "plan", false);
    shop.good(&["launch", "national-day", "--yes"]);
    let questions: &[&[&str]] = &[
        &["status"],
        &["status", "national-day"],
        &["message", "list", "national-day"],
        &["message", "show", "1"],
        &["contact", "show", "1"],
        &["coupon", "list"],
        &["route", "list"],
        &["segment", "count", "true"],
    ];
    for args in questions {
        walk(&shop.json(args), &args.join(" "), false);
    }
    assert!(shop.json(&["status", "national-day"])["launched_at"].is_string());
}

#[test]
fn a_failure_can_be_read_by_machines_and_by_people() {
    let shop = Shop::new();
    let check = |args: &[&str], code: i32, kind: &str, told: &str| {
        let said = shop.run(&[args, &["--json"]].concat());
        assert_eq!(said.code, Some(code), "{args:?}: {}{}", said.out, said.err);
        let answer: Value =
            serde_json::from_str(&said.out).unwrap_or_else(|_| panic!("{args:?}: {}", said.out));
        let message = answer["error"]["message"].as_str().unwrap_or_default();
        assert!(message.contains(told) && !message.starts_with("error"), "{args:?}: {answer}");
        assert_eq!(answer["error"]["kind"], kind, "{args:?}");
        assert!(said.err.contains(told), "{args:?}: {}", said.err);
        answer
    };
    check(&["status", "gone"], 2, "wrong_use", "has not been launched");
    check(&["plan", "gone"], 2, "wrong_use", "there is no campaign `gone`");
    check(&["frobnicate"], 2, "wrong_use", "unrecognized");
    check(&["phone", "2125550123", "--country", "XX"], 2, "wrong_use", "XX is no country");
    std::fs::write(shop.path("winback.toml"), "[shop]\nzone = \"Mars\"\n").expect("written");
    let broken = check(&["status"], 1, "failed", "is no time zone");
    let place = &broken["error"]["problems"][0];
    assert_eq!((&place["line"], &place["column"]), (&2.into(), &8.into()), "{broken}");
    let help = shop.run(&["status", "--help", "--json"]);
    assert_eq!(help.code, Some(0));
    assert!(help.out.contains("Usage") && !help.out.contains("error"), "{}", help.out);
}

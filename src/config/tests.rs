//! `winback.toml` as people write it: defaults, routes, secrets, and how every mistake is shown.

use std::collections::BTreeMap;
use std::io::Write as _;

use super::starter::{Answers, RouteAnswers, starter};
use super::*;
use crate::campaign::definition::Audience;
use crate::document::Document;

const EXAMPLE: &str = include_str!("../../config/example.toml");
const CAMPAIGN: &str = include_str!("../../config/campaigns/national-day.toml");

mod looking;

fn nothing(_: &str) -> Option<String> {
    None
}

/// The defaults with the keys that have none switched on.
fn all_keys() -> String {
    let key = |line: &str| line.starts_with(|c: char| c == '[' || c.is_ascii_lowercase());
    let lines = DEFAULTS.lines().map(|line| line.strip_prefix('#').filter(|rest| key(rest)).unwrap_or(line));
    lines.collect::<Vec<_>>().join("\n")
}

fn sample_answers() -> Answers {
    Answers {
        shop: "Example Shop".to_owned(),
        zone: "America/New_York".to_owned(),
        country: Country::US,
        currency: Currency::default(),
        route: Some(RouteAnswers {
            provider: "twilio".to_owned(),
            sender: "+15005550006".to_owned(),
            secrets: vec!["account_sid".to_owned(), "auth_token".to_owned()],
            price: Some("0.0079".to_owned()),
        }),
    }
}

#[test]
fn the_documented_defaults_are_the_defaults() {
    assert_eq!(Config::parse("winback.toml", DEFAULTS).expect("defaults"), Config::default());
    assert_eq!(Config::parse("winback.toml", "").expect("empty"), Config::default());
}

#[test]
fn the_documented_keys_are_the_keys_and_none_is_left_out() {
    let text = all_keys();
    let document = Document::parse("default.toml", &text).expect("TOML");
    let config = reading::read(&document, "default.toml");
    let either_will_do = |key: &String| matches!(key.rsplit('.').next(), Some("env" | "file"));
    let unset: Vec<String> = document.unset().into_iter().filter(|key| !either_will_do(key)).collect();
    assert_eq!(unset, Vec::<String>::new(), "keys that default.toml does not show");
    document.finish(Some(())).expect("only known keys");
    let route = &config.routes["us"];
    assert_eq!(route.answer_timeout, crate::provider::TransportLimits::default().total_timeout);
    assert_eq!((route.in_flight, route.retry), (16, crate::model::message::RetryPolicy::default()));
    assert_eq!(config.price("us", Country::US), Some(Micros(7_900)));
    assert_eq!(config.price("us", "FR".parse().expect("country")), None);
    assert_eq!(
        config.lane_limits("us").map(|limits| (limits.senders.len(), limits.countries.len())),
        Some((1, 1))
    );
    assert_eq!(config.lane_limits("nobody"), None);
}

#[test]
fn the_examples_are_checked_clean_and_go_together() {
    let config = Config::check("config/example.toml", EXAMPLE).expect("example");
    assert_eq!(config.campaigns_folder, Path::new("config/campaigns"));
    assert_eq!(config.store.url, "sqlite:config/winback.db", "paths start in the file's folder");
    let campaign = config.check_campaign("config/campaigns/national-day.toml", CAMPAIGN).expect("campaign");
    assert_eq!(campaign.segment, Audience::Named("sleeping-spenders".to_owned()));
    assert_eq!(config.campaign_file(&campaign.name), Path::new("config/campaigns/national-day.toml"));
}

#[test]
fn the_first_file_of_a_shop_is_the_example_with_its_own_answers() {
    assert_eq!(starter(&sample_answers()), EXAMPLE);
    let answers = Answers {
        shop: "Tea \"& more\"\n".to_owned(),
        zone: "Asia/Shanghai".to_owned(),
        country: "CN".parse().expect("country"),
        currency: "CNY".parse().expect("currency"),
        route: None,
    };
    let config = Config::check("winback.toml", &starter(&answers)).expect("no account yet");
    assert_eq!((config.shop.name.as_str(), config.shop.zone.as_str()), ("Tea \"& more\"\n", "Asia/Shanghai"));
    assert!(config.routes.is_empty());
    let route =
        RouteAnswers { provider: "x-y".to_owned(), price: None, ..sample_answers().route.expect("route") };
    let config =
        Config::check("winback.toml", &starter(&Answers { route: Some(route), ..answers })).expect("route");
    let source = &config.routes["cn"].secrets["auth_token"];
    assert_eq!(*source, secrets::SecretSource::Env("X_Y_AUTH_TOKEN".to_owned()));
}

#[test]
fn every_mistake_is_shown_where_it_is_with_a_way_out() {
    let check = |text: &str, line: usize, problem: &str, help: &str| {
        let errors = Config::parse("winback.toml", text).expect_err(text);
        let found = errors.places();
        assert_eq!(found.len(), 1, "{errors}");
        let shown = (found[0].line, found[0].problem.as_str(), found[0].help.as_deref().unwrap_or_default());
        assert_eq!(shown, (line, problem, help), "{text}");
    };
    let unknown = |text: &str, line: usize, key: &str, near: &str| {
        check(
            text,
            line,
            &format!("`{key}` is not a key that is known here"),
            &format!("did you mean `{near}`?"),
        );
    };
    unknown("[stroe]\nurl = 'sqlite:x'", 1, "stroe", "store");
    unknown("[store]\nulr = 'sqlite:x'", 2, "store.ulr", "url");
    unknown("campaign_folder = 'x'", 1, "campaign_folder", "campaigns_folder");
    check("log = 1", 1, "`log` must be a table, not a whole number", "");
    check(
        "[store]\nurl = 'mysql://x'",
        2,
        "`store.url` is not the address of a store",
        "write \"sqlite:winback.db\" for a file, or \"postgres://user@host/database\"",
    );
    check("[log]\nlevel = 'inof'", 2, "`inof` is not a level", "did you mean `info`?");
    check("[log]\nformat = 'yaml'", 2, "`log.format` cannot be `yaml`", "known are text, json");
    check(
        "[shop]\nzone = 'EST5'",
        2,
        "`EST5` is no time zone",
        "write an IANA name, like \"America/New_York\"",
    );
    check(
        "[shop]\ncountry = 'USA'",
        2,
        "`shop.country`: that is no country code of ISO 3166; did you mean US?",
        "",
    );
    check(
        "[shop]\ncountry = 'XX'",
        2,
        "`shop.country`: XX is no country; use two letters as in ISO 3166, like US or DE",
        "",
    );
    check(
        "[shop]\ncurrency = '$'",
        2,
        "`shop.currency`: a currency is three capital letters, like USD or EUR",
        "",
    );
}

#[test]
fn addresses_spans_and_law_have_limits_of_their_own() {
    let check = |text: &str, problem: &str, help: &str| {
        let errors = Config::parse("winback.toml", text).expect_err(text);
        let found = &errors.places()[0];
        let shown = (found.line, found.problem.as_str(), found.help.as_deref().unwrap_or_default());
        assert_eq!(shown, (2, problem, help), "{text}");
    };
    let url = |url: &str, problem: &str, help: &str| {
        check(&format!("[daemon]\npublic_url = '{url}'"), &format!("`daemon.public_url` {problem}"), help);
    };
    url(
        "http://sms.example.com",
        "must begin with https://",
        "put TLS in front of the daemon; http:// is for this machine only",
    );
    url(
        "https://a@b/",
        "must be an address and at most a path",
        "remove the login, the query and the fragment",
    );
    let span = |value: &str, problem: &str, help: &str| {
        check(
            &format!("[dispatch]\npark_after = {value}"),
            &format!("`dispatch.park_after` {problem}"),
            help,
        );
    };
    span("'1 second'", "is out of range", "1 minute to 4 days is possible");
    span(
        "'soon'",
        "is not a span of time",
        "write a whole number and a unit, like \"10 seconds\", \"5 minutes\" or \"24 hours\"",
    );
    span("60", "must be text in quotes, not a whole number", "");
    let law = Config::parse("winback.toml", "[law]\nswitched_off = ['us-hours']").expect_err("binding");
    assert_eq!(law.places()[0].line, 2);
}

#[test]
fn mistakes_in_a_route_are_shown_where_they_are() {
    let check = |lines: &str, problem: &str| {
        let text =
            format!("[routes.us]\nprovider = 'twilio'\ncountries = ['US']\nsenders = ['+1500']\n{lines}");
        let errors = Config::parse("winback.toml", &text).expect_err(lines);
        let found: Vec<_> = errors.places().into_iter().map(|place| (place.line, place.problem)).collect();
        assert_eq!(found, [(5, problem.to_owned())], "{lines}");
    };
    check("price = { FR = 0.01 }", "`FR` is not one of this route's countries");
    check("price = { US = -1 }", "`routes.us.price.US` is not a price");
    check("price = { US = 1e-3 }", "`routes.us.price.US` is not a price");
    check("price = { US = 'cheap' }", "`routes.us.price.US` must be a number, not a text");
    check("limits = { parts_per_second = 0 }", "`routes.us.limits.parts_per_second` is out of range");
    check("limits = { parts_per_second = nan }", "`routes.us.limits.parts_per_second` is out of range");
    check("limits = { per_second = 5 }", "`routes.us.limits.per_second` is not a key that is known here");
    check(
        "sender_limits = { '+1600' = { parts_per_second = 1 } }",
        "`+1600` is not one of this route's senders",
    );
    check(
        "sender_limits = { '+1500' = { burst = 1 } }",
        "`routes.us.sender_limits.+1500.parts_per_second` is missing",
    );
    check("country_limits = { XYZ = { parts_per_second = 1 } }", "`XYZ` is not a country");
    check("price = { XX = 0.01 }", "`XX` is not a country");
    check("retry = { first_delay = '2 hours' }", "the longest delay is shorter than the first one");
    check(
        "settings.tags = ['a']",
        "`routes.us.settings.tags` must be a text, a number, or true or false, not a list",
    );
    check("secrets.key = { env = 'A', file = 'b' }", "`routes.us.secrets.key` is in two places");
    check("secrets.key = {}", "`routes.us.secrets.key` is found nowhere");
    check(
        "secrets.key = { env = 'lower' }",
        "`routes.us.secrets.key.env` is not the name of an environment variable",
    );
    let nowhere = "[routes.us]\nprovider = 'x'\ncountries = [\n'UK']";
    let nowhere = Config::parse("winback.toml", nowhere).expect_err("nowhere").places();
    assert_eq!((nowhere[0].line, nowhere.len()), (4, 1), "{nowhere:?}");
    let bare = Config::parse("winback.toml", "[routes.us]\n[routes.'U S']\nprovider = 'x'\ncountries = []")
        .expect_err("bare");
    let found: Vec<_> = bare.places().into_iter().map(|place| place.problem).collect();
    assert_eq!(
        found,
        [
            "`routes.us.provider` is missing",
            "`routes.us.countries` is missing",
            "`U S` cannot be the name of a route",
            "a route without countries sends nothing",
        ]
    );
}

#[test]
fn a_secret_written_into_the_file_is_refused_and_never_shown() {
    let check = |line: &str| {
        let text = format!("[routes.us]\nprovider = 'x'\ncountries = ['US']\n{line}\n");
        let errors = Config::parse("winback.toml", &text).expect_err(line);
        let shown = errors.to_string();
        assert!(!shown.contains("hunter"), "{shown}");
        assert!(shown.contains("{ env = \"NAME\" }"), "{shown}");
    };
    check("secrets.auth_token = \"hunter2\"");
    check("secrets.auth_token = { value = \"hunter2\" }");
    check("callback_token = 'hunter2'");
    let errors = Config::parse(
        "winback.toml",
        "[routes.us]\nprovider = 'x'\ncountries = ['US']\nsecrets.auth_token = \"hunter2\"\n",
    );
    let expected = r#"error: `routes.us.secrets.auth_token` is a secret; this file must not hold its value
 --> winback.toml:4:22
  |
4 | secrets.auth_token = "*******"
  |                      ^^^^^^^^^
  |
  = help: write { env = "NAME" } for an environment variable, or { file = "PATH" } for a file"#;
    assert_eq!(errors.expect_err("inline").to_string(), expected);
    let debug =
        format!("{:?}", Config::parse("f", "[store]\nurl = 'postgres://u:hunter2@h/d'").expect("good"));
    assert!(!debug.contains("hunter"), "{debug}");
}

#[test]
fn a_campaign_is_checked_against_the_configuration() {
    let config = Config::parse("winback.toml", EXAMPLE).expect("example");
    let check = |from: &str, to: &str, at: (usize, usize), problem: &str| {
        let text = CAMPAIGN.replace(from, to);
        assert_ne!(text, CAMPAIGN, "{from} is there");
        let errors = config.check_campaign("national-day.toml", &text).expect_err(to);
        let place = &errors.places()[0];
        assert_eq!((place.line, place.column), at, "{errors}");
        assert_eq!(place.problem, problem);
    };
    check(
        "\"sleeping-spenders\"",
        "\"sleeping-spendres\"",
        (5, 11),
        "there is no segment `sleeping-spendres`",
    );
    check("[\"us\"]", "[\"us\", \"uk\"]", (8, 17), "there is no route `uk`");
    check("500 USD", "500 EUR", (18, 51), "the budget is in EUR, and the prices of routes are in USD");
    check(
        "{{ first_name | default('Hi') }}",
        "{{ first_name | defualt('Hi') }}",
        (36, 23),
        "there is no filter `defualt`; use one of default, d, upper, lower, title, capitalize, trim, replace, round, int, float, abs, length, first, last",
    );
    check("[coupon]", "[[unused]]", (27, 3), "`unused` is not a key that is known here");
    check(
        "coupon {{ coupon.code }}",
        "coupon",
        (36, 6),
        "`text.en` never says the code, and each text takes one from the pool",
    );
    let wrong = CAMPAIGN.replace("\"sleeping-spenders\"", "\" stage = 'sleepy' and nosuch(1)\"");
    assert!(
        config.check_campaign("national-day.toml", &wrong).expect_err("expression").places()[0].column > 11
    );
    let without = CAMPAIGN
        .replace("[coupon]\n", "")
        .replace("pool = \"autumn-20\"\n", "")
        .replace("expires_in = \"7 days\"\n", "");
    let errors = config.check_campaign("national-day.toml", &without).expect_err("no coupon");
    assert_eq!(errors.places()[0].problem, "the text uses `coupon.value`, and the campaign has no coupon");
}

#[test]
fn a_wrong_expression_is_shown_inside_its_line() {
    let text = "[segments]\ngood = \"tagged('vip')\"\nbad = \"tagged('vip') und true\"\n";
    let errors = Config::check("winback.toml", text).expect_err("bad");
    assert_eq!((errors.places()[0].line, errors.places().len()), (3, 1), "{errors}");
    assert!(errors.places()[0].column > 8, "{errors}");
    assert!(
        Config::parse("winback.toml", text).is_ok(),
        "a daemon starts; the campaign that uses it does not"
    );
}

#[test]
fn secrets_are_fetched_when_asked_and_errors_name_the_place_only() {
    let folder = tempfile::tempdir().expect("folder");
    let write = |name: &str, text: &str| {
        let mut file = std::fs::File::create(folder.path().join(name)).expect("file");
        file.write_all(text.as_bytes()).expect("written");
    };
    write("token", "hunter2\r\n");
    write("empty", "\n");
    let text = "[routes.us]\nprovider = 'x'\ncountries = ['US']\nsecrets.a = { env = 'A' }\nsecrets.b = { file = 'token' }\n\
        callback_token = { env = 'T' }\n[routes.bad]\nprovider = 'x'\ncountries = ['US']\n\
        secrets = { a = { env = 'GONE' }, b = { file = 'gone' }, c = { file = 'empty' } }\n";
    let file = folder.path().join("winback.toml");
    let config = Config::parse(&file.to_string_lossy(), text).expect("config");
    let values = BTreeMap::from([("A", "one"), ("T", "two"), ("GONE", "")]);
    let environment = |name: &str| values.get(name).map(|value| (*value).to_owned());
    let found = config.resolve_secrets_with("us", &environment).expect("secrets");
    assert_eq!(found.secrets["a"].expose(), "one");
    assert_eq!(found.secrets["b"].expose(), "hunter2", "without the newline");
    assert_eq!(found.callback_token.map(|token| token.expose().to_owned()), Some("two".to_owned()));
    let errors = config.resolve_secrets_with("bad", &environment).expect_err("three");
    let errors: Vec<String> = errors.iter().map(ToString::to_string).collect();
    assert_eq!(errors[0], "the environment variable GONE is empty; route `bad` needs it as `a`");
    let nowhere = config.resolve_secrets_with("bad", &nothing).expect_err("three");
    assert_eq!(nowhere[0].to_string(), errors[0].replace("is empty", "is not set"));
    assert!(errors[1].contains("gone cannot be read (entity not found)"), "{}", errors[1]);
    assert!(errors[2].contains("empty is empty"), "{}", errors[2]);
    assert!(config.resolve_secrets_with("nobody", &environment).is_err());
}

#[cfg(unix)]
#[test]
fn a_secret_file_that_everybody_can_read_is_mentioned() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().expect("folder");
    let token = folder.path().join("token");
    std::fs::write(&token, "hunter2").expect("written");
    let text = "[routes.us]\nprovider = 'x'\ncountries = ['US']\nsecrets.a = { file = 'token' }\n";
    let config = Config::parse(&folder.path().join("winback.toml").to_string_lossy(), text).expect("config");
    let check = |mode: u32, warnings: usize| {
        std::fs::set_permissions(&token, std::fs::Permissions::from_mode(mode)).expect("mode");
        let found = config.resolve_secrets_with("us", &nothing).expect("secrets");
        assert_eq!(found.warnings.len(), warnings, "{mode:o}");
        assert!(!format!("{found:?}").contains("hunter"));
    };
    check(0o600, 0);
    check(0o640, 0);
    check(0o644, 1);
}

#[test]
fn two_variables_win_over_the_file() {
    let folder = tempfile::tempdir().expect("folder");
    let file = folder.path().join("winback.toml");
    std::fs::write(&file, "[store]\nurl = 'sqlite:data/w.db'\n").expect("written");
    let load = |values: &[(&str, &str)]| {
        let values: BTreeMap<_, _> = values.iter().copied().collect();
        Config::load_with(Some(&file), &|name| values.get(name).map(|value| (*value).to_owned()))
    };
    let plain = load(&[]).expect("config");
    assert_eq!(plain.store.url, format!("sqlite:{}", folder.path().join("data/w.db").display()));
    let changed =
        load(&[(STORE_URL_VARIABLE, "sqlite:here.db"), (LISTEN_VARIABLE, "0.0.0.0:80")]).expect("config");
    assert_eq!((changed.store.url.as_str(), changed.daemon.listen.port()), ("sqlite:here.db", 80));
    let wrong = load(&[(STORE_URL_VARIABLE, "hunter2")]).expect_err("wrong").to_string();
    assert_eq!(
        wrong,
        "the environment variable WINBACK_STORE_URL is wrong: write sqlite:PATH or postgres://…"
    );
    let missing = Config::load_with(Some(&folder.path().join("no.toml")), &nothing).expect_err("missing");
    assert!(missing.to_string().contains("winback init"), "{missing}");
}

mod properties {
    use super::Config;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn no_file_whatever_makes_the_reader_panic(text in "\\PC*") {
            let _ = Config::check("winback.toml", &text).map_err(|errors| errors.to_string());
        }

        #[test]
        fn no_change_to_a_good_file_makes_the_reader_panic(at in 0_usize..8_000, len in 0_usize..40, new in "\\PC{0,6}") {
            let mut text = super::all_keys();
            let start = text.floor_char_boundary(at.min(text.len()));
            let end = text.ceil_char_boundary((start + len).min(text.len()));
            text.replace_range(start..end, &new);
            let _ = Config::check("winback.toml", &text).map_err(|errors| errors.render(true));
        }
    }
}

//! Campaign files as people write them: what they mean, and how their mistakes are shown.

use super::*;
use crate::campaign::timing::{End, ScheduleZone, Start};

const GOOD: &str = r#"
segment  = "sleeping-spenders"
routes   = ["us"]
schedule = { at = "2026-10-01 10:00", zone = "contact", until = "2026-10-07 20:00" }
window   = "10:00-20:00"
limits   = { per_contact = "2 per 7 days", budget = "500 USD", parts = 2 }
when_in_doubt = "ask"
smart_text = false

[coupon]
pool = "autumn-20"
expires_in = "7 days"

[text]
zh = "您好"
en = "Hello"
pt-BR = "Oi"
"#;

fn parse(text: &str) -> Result<Definition, FileErrors> {
    Definition::parse("campaigns/national-day.toml", text, "America/New_York")
}

fn with(schedule: &str) -> String {
    format!("segment = 'x'\nroutes = ['us']\n{schedule}\ntext.en = 'Hi'\n")
}

#[test]
fn a_good_file_means_what_it_says() {
    let definition = parse(GOOD).expect("good");
    assert_eq!(definition.name, "national-day");
    assert_eq!(definition.segment, Audience::Named("sleeping-spenders".to_owned()));
    assert_eq!(definition.timing.zone, ScheduleZone::Contact);
    assert_eq!(definition.when_in_doubt, WhenInDoubt::Ask);
    assert_eq!(definition.most_parts(), 2);
    assert_eq!(definition.limits.per_contact.map(|cap| cap.count), Some(2));
    assert!(!definition.smart_text);
    assert_eq!(definition.launch_key(), "national-day@2026-10-01T10:00:00");
    assert_eq!(definition.text.default, "zh", "the first one in the file");
}

#[test]
fn a_definition_is_stored_as_the_same_json_and_read_back() {
    let definition = parse(GOOD).expect("good");
    let json = definition.to_json();
    assert_eq!(
        json,
        concat!(
            r#"{"name":"national-day","segment":{"named":"sleeping-spenders"},"routes":["us"],"#,
            r#""timing":{"start":{"local":"2026-10-01T10:00:00"},"end":{"local":"2026-10-07T20:00:00"},"zone":"contact"},"#,
            r#""window":"10:00-20:00","limits":{"per_contact":"2 per 7 days","budget":"500.00 USD","parts":2},"#,
            r#""when_in_doubt":"ask","coupon":{"pool":"autumn-20","expiry":{"after":"7 days"}},"smart_text":false,"#,
            r#""text":{"default":"zh","variants":{"en":"Hello","pt-BR":"Oi","zh":"您好"}}}"#
        )
    );
    assert_eq!(Definition::from_json(&json).expect("own JSON"), definition);
    assert!(Definition::from_json("{}").is_err());
}

#[test]
fn a_contact_reads_their_own_language_or_the_nearest() {
    let text = format!("{GOOD}default = \"en\"\npt = \"Olá\"\n");
    let definition = parse(&text).expect("good");
    let check = |locale: Option<&str>, expected: &str| {
        assert_eq!(definition.text_for(locale).1, expected, "{locale:?}");
    };
    check(Some("pt-BR"), "Oi");
    check(Some("pt_BR.UTF-8"), "Oi");
    check(Some("PT-br"), "Oi");
    check(Some("pt-PT"), "Olá");
    check(Some("zh-Hant-TW"), "您好");
    check(Some("fr"), "Hello");
    check(Some(""), "Hello");
    check(None, "Hello");
    let own_default = parse(&format!("{GOOD}default = \"Hello there\"\n")).expect("good");
    assert_eq!(own_default.text_for(Some("fr")), ("default", "Hello there"));
}

#[test]
fn a_schedule_is_an_instant_or_a_local_time_in_each_zone() {
    let instant = |text: &str| Timestamp::parse(text).expect("time");
    let check = |schedule: &str, start: Start, end: End, key: &str| {
        let definition = parse(&with(&format!("schedule = {schedule}"))).expect(schedule);
        assert_eq!((definition.timing.start, definition.timing.end), (start, end), "{schedule}");
        assert_eq!(definition.launch_key(), format!("national-day@{key}"));
    };
    let week = End::After(Period::WEEK);
    check("{ at = 'now' }", Start::Now, week, "now");
    check(
        "{ at = '2026-10-30 10:00' }",
        Start::Instant(instant("2026-10-30T14:00:00Z")),
        End::Instant(instant("2026-11-06T15:00:00Z")),
        "2026-10-30T14:00:00Z",
    );
    check(
        "{ at = 2026-10-01T10:00:00, zone = 'asia/tokyo', until = '2026-10-02 10:00' }",
        Start::Instant(instant("2026-10-01T01:00:00Z")),
        End::Instant(instant("2026-10-02T01:00:00Z")),
        "2026-10-01T01:00:00Z",
    );
    check(
        "{ at = '2026-10-01T10:00:00+02:00' }",
        Start::Instant(instant("2026-10-01T08:00:00Z")),
        End::Instant(instant("2026-10-08T08:00:00Z")),
        "2026-10-01T08:00:00Z",
    );
    check(
        "{ at = '2026-10-01T10:00', zone = 'contact' }",
        Start::Local("2026-10-01T10:00".parse().expect("civil")),
        week,
        "2026-10-01T10:00:00",
    );
}

#[test]
fn a_coupon_expires_with_its_pool_after_a_while_or_at_a_time() {
    let check = |coupon: &str, expected: CouponExpiry| {
        let text = with(&format!("schedule.at = 'now'\ncoupon = {{ pool = 'autumn', {coupon} }}"));
        let read = parse(&text).expect(coupon).coupon.map(|coupon| coupon.expiry);
        assert_eq!(read, Some(expected), "{coupon}");
    };
    let at = |text: &str| CouponExpiry::At(Timestamp::parse(text).expect("time"));
    check("", CouponExpiry::OfPool);
    check("expires_in = '2 weeks'", CouponExpiry::After("2 weeks".parse().expect("period")));
    check("expires_at = '2026-10-08'", at("2026-10-09T04:00:00Z"));
    check("expires_at = 2026-10-08", at("2026-10-09T04:00:00Z"));
    check("expires_at = '2026-10-08 20:00'", at("2026-10-09T00:00:00Z"));
    check("expires_at = '2026-10-08T20:00:00Z'", at("2026-10-08T20:00:00Z"));
}

#[test]
fn every_mistake_is_shown_where_it_is() {
    let check = |text: &str, expected: &[(usize, &str)]| {
        let errors = parse(text).expect_err(text);
        let found: Vec<(usize, String)> =
            errors.places().into_iter().map(|place| (place.line, place.problem)).collect();
        let expected: Vec<_> =
            expected.iter().map(|(line, problem)| (*line, (*problem).to_owned())).collect();
        assert_eq!(found, expected, "{text}");
    };
    check(
        "",
        &[
            (0, "`segment` is missing"),
            (0, "`routes` is missing"),
            (0, "`schedule` is missing"),
            (0, "`text` is missing"),
        ],
    );
    let schedule =
        |schedule: &str, problem: &str| check(&with(&format!("schedule = {schedule}")), &[(3, problem)]);
    schedule("{}", "`schedule.at` is missing");
    schedule("{ every = '0 10 * * 1' }", "`schedule.every` is not supported yet");
    schedule("{ at = '2026-10-01' }", "`2026-10-01` is not a time with date and hour");
    schedule("{ at = '10:00' }", "`10:00` is not a time with date and hour");
    schedule("{ at = '2026-13-01 10:00' }", "`2026-13-01 10:00` is not a time with date and hour");
    schedule(
        "{ at = '2026-10-01 10:00 [Asia/Tokyo]' }",
        "`2026-10-01 10:00 [Asia/Tokyo]` is not a time with date and hour",
    );
    schedule("{ at = 7 }", "`schedule.at` must be a time in quotes, not a whole number");
    schedule("{ at = '2026-10-01 10:00', zone = 'Mars' }", "`Mars` is no time zone");
    schedule(
        "{ at = 'now', zone = 'contact' }",
        "`schedule.zone` changes nothing here: no time depends on it",
    );
    schedule("{ at = '2026-10-02 10:00', until = '2026-10-01 10:00' }", "the run ends before it starts");
    schedule("{ at = '2026-10-02 10:00', utnil = 1 }", "`schedule.utnil` is not a key that is known here");
    let top =
        |line: &str, problem: &str| check(&with(&format!("{line}\nschedule.at = 'now'")), &[(3, problem)]);
    top("holdout = 0.1", "`holdout` is not supported yet");
    top("goal = { event = 'order' }", "`goal` is not supported yet");
    top("remind = [{ before_expiry = '2 days' }]", "`remind` is not supported yet");
    top("variant = []", "`variant` is not supported yet");
    top("when_in_doubt = 'resent'", "`when_in_doubt` cannot be `resent`");
    top(
        "window = '20:00-10:00'",
        "`window`: the window `20:00-10:00` ends before it starts; a window stays within one day, from 00:00 to 24:00 at most",
    );
    top("limits.parts = 11", "`limits.parts` is out of range");
    top("limits.budget = '500'", "`limits.budget`: a budget is an amount and a currency, like 500 USD");
    top("coupon = { expires_in = '7 days' }", "`coupon.pool` is missing");
    top("coupon = { pool = 'A b' }", "`A b` is not the name of a pool");
    top(
        "coupon = { pool = 'a', expires_in = '7 days', expires_at = '2026-10-08' }",
        "a code cannot expire in two ways",
    );
    top("text.fr = ''", "`text.fr` is empty");
    top("text.english = 'Hi'", "`english` is not a language");
    check(
        &with("schedule.at = 'now'\ntext.pt-BR = 'Oi'\ntext.PT-br = 'Oi'"),
        &[(5, "the language `PT-br` is there twice")],
    );
    top("text.fr = \"a {{ link('https://x') }}\"", "`link(…)` is not supported yet");
}

#[test]
fn all_mistakes_of_a_file_are_found_at_once() {
    let check = |text: &str, expected: &[(usize, &str)]| {
        let places = parse(text).expect_err(text).places();
        let found: Vec<_> = places.iter().map(|place| (place.line, place.problem.as_str())).collect();
        assert_eq!(found, expected, "{text}");
    };
    check(
        "segment = ''\nroutes = ['us', 'us', 'A']\nschedule.at = 'now'\ntext = {}",
        &[
            (1, "`segment` is empty"),
            (2, "the route `us` is named twice"),
            (2, "`A` is not the name of a route"),
            (4, "`text` has no language"),
        ],
    );
}

#[test]
fn an_error_reads_like_a_compilers() {
    let errors =
        parse(&with("schedule.at = 'now'\nrotes = 1\ntext.fr = \"x {{ link('u') }}\"")).expect_err("two");
    let expected = r#"error: `rotes` is not a key that is known here
 --> campaigns/national-day.toml:4:1
  |
4 | rotes = 1
  | ^^^^^
  |
  = help: did you mean `routes`?

error: `link(…)` is not supported yet
 --> campaigns/national-day.toml:5:17
  |
5 | text.fr = "x {{ link('u') }}"
  |                 ^^^^
  |
  = help: write the address itself"#;
    assert_eq!(errors.to_string(), expected);
}

#[test]
fn a_file_with_a_name_that_no_campaign_can_have_is_refused() {
    let errors = Definition::parse("National Day.toml", GOOD, "UTC").expect_err("name");
    assert!(errors.to_string().contains("`National Day` cannot be one"), "{errors}");
}

#[test]
fn the_word_link_is_refused_only_where_it_is_called() {
    let check = |text: &str, ok: bool| {
        let read = parse(&with(&format!("schedule.at = 'now'\ntext.fr = '{text}'")));
        assert_eq!(read.is_ok(), ok, "{text}");
    };
    check("follow the link (below)", true);
    check("{{ attr.link }} (x)", true);
    check("{{ first_name }} link(x)", true);
    check("{{ link (x) }}", false);
    check("{% if link(x) %}a{% endif %}", false);
}

mod properties {
    use super::parse;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn no_file_whatever_makes_the_reader_panic(text in "\\PC*") {
            let _ = parse(&text).map_err(|errors| errors.to_string());
        }

        #[test]
        fn no_value_under_a_known_key_makes_the_reader_panic(
            lines in proptest::collection::vec(
                (
                    proptest::sample::select(vec![
                        "segment", "routes", "schedule", "schedule.at", "schedule.zone", "schedule.until", "window",
                        "limits.budget", "limits.per_contact", "coupon.pool", "coupon.expires_at", "text.en", "text",
                    ]),
                    prop_oneof![
                        "'[^'\\n\\r\\x00-\\x1f\\x7f]{0,12}'",
                        "'[0-9]{4}-[0-9]{2}-[0-9]{2} [0-9]{2}:[0-9]{2}'",
                        "[0-9]{1,20}",
                        "\\['[a-z]{0,3}'\\]",
                        "\\{ at = '[0-9T:-]{0,20}' \\}",
                    ],
                ),
                0..8,
            )
        ) {
            let lines: Vec<String> = lines.iter().map(|(key, value)| format!("{key} = {value}")).collect();
            let text = lines.join("\n");
            let _ = parse(&text).map_err(|errors| errors.render(true));
        }
    }
}

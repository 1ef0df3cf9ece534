//! Random people and random segments that are hard on the borders: midnights, clock changes, odd numbers, wildcards,
//! letters of many scripts. And the comparison of a database with the plain evaluator.

use jiff::tz::TimeZone;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use winback::model::clock::Timestamp;
use winback::segment::{AsOf, Dialect, Fragment, compile, parse};
use winback::store::StoreError;

use super::evaluate::{Event, Person, evaluate};

/// A database that holds the people and can be asked.
pub(crate) trait RunsFragment {
    /// Whose SQL it speaks.
    fn dialect(&self) -> Dialect;
    /// Ids of the contacts for which the condition is true, in order.
    async fn matching(&self, fragment: &Fragment) -> Result<Vec<i64>, StoreError>;
}

/// Asks the database and the evaluator; says where they differ.
pub(crate) async fn compare(
    store: &impl RunsFragment,
    people: &[Person],
    text: &str,
    as_of: &AsOf,
) -> Result<(), String> {
    let expression = parse(text).map_err(|error| error.to_string())?;
    let again =
        parse(&expression.to_string()).map_err(|error| format!("written back it does not read: {error}"))?;
    if again.root() != expression.root() {
        return Err(format!("written back as {expression} it is another tree"));
    }
    let fragment = compile(&expression, as_of, store.dialect(), 1);
    let found = store.matching(&fragment).await.map_err(|error| format!("{error}\n{}", fragment.sql))?;
    let expected: Vec<i64> = people
        .iter()
        .filter(|person| evaluate(expression.root(), person, as_of) == Some(true))
        .map(|person| person.id)
        .collect();
    if found == expected {
        return Ok(());
    }
    let differ = people.iter().find(|person| found.contains(&person.id) != expected.contains(&person.id));
    let who = differ.map_or_else(|| "the order of the ids".to_owned(), |person| format!("{person:#?}"));
    Err(format!(
        "{expression}\nas of {as_of:?}\n{}\n{:?}\nfirst difference: {who}",
        fragment.sql, fragment.values
    ))
}

/// Instants and zones in which days are not all alike.
pub(crate) fn instants() -> Vec<AsOf> {
    [
        ("2026-03-09T02:30:00Z", "America/New_York"),
        ("2026-11-02T04:59:59.999Z", "America/New_York"),
        ("2026-04-24T00:30:00Z", "Africa/Cairo"),
        ("2026-03-31T16:00:00Z", "Asia/Shanghai"),
        ("2024-02-29T23:59:59Z", "UTC"),
    ]
    .into_iter()
    .map(|(at, zone)| AsOf { at: Timestamp::parse(at).unwrap(), zone: TimeZone::get(zone).unwrap() })
    .collect()
}

const KINDS: [&str; 3] = ["order", "login", "it's odd"];
const TAGS: [&str; 3] = ["vip", "VIP", "新客"];
const CAMPAIGNS: [&str; 2] = ["national-day", "spring"];
const STAGES: [&str; 4] = ["new", "active", "sleeping", "lost"];
const NAMES: [&str; 17] = [
    "Mary",
    "mary",
    "MARÍA",
    "maría",
    "O'Brien",
    "100%",
    "a_b",
    "back\\slash",
    "王芳",
    "王",
    "ß",
    "SS",
    "İ",
    "zoë",
    "Ω",
    "🙂x",
    " ",
];
const PATTERNS: [&str; 16] = [
    "mar%", "%Y", "MAR_A", "%í%", "%''%", "100\\%", "%\\_b", "%\\\\%", "_", "__", "王%", "ss", "%", "%a%r%",
    "i", "zoË",
];
/// JSON texts of attributes that may or may not be numbers.
const SCORES: [&str; 34] = [
    "\"5\"",
    "\"5.0\"",
    "\"-3\"",
    "\"007\"",
    "\"1e3\"",
    "\"1.\"",
    "\".5\"",
    "\"--5\"",
    "\"-\"",
    "\"5 \"",
    "\"٣\"",
    "\"123456789012\"",
    "\"1234567890123\"",
    "\"0.0000019\"",
    "\"-0.0000019\"",
    "\"-0.000001\"",
    "\"12.34.56\"",
    "\"1,5\"",
    "\"5\\n\"",
    "\"\"",
    "5",
    "5.50",
    "-3",
    "1e21",
    "0.30000000000000004",
    "true",
    "false",
    "\"true\"",
    "\"TRUE\"",
    "null",
    "[5]",
    "{\"a\":5}",
    "\"0.0000000000000000000000000000001\"",
    "\"+5\"",
];
const NUMBERS: [&str; 11] =
    ["0", "5", "-3", "7", "1.5", "0.3", "0.000001", "-0.000001", "123456789012", "199.9", "-0.5"];

/// Many people.
pub(crate) fn people(count: usize) -> impl Strategy<Value = Vec<Person>> {
    prop::collection::vec(person(), count).prop_map(|mut people| {
        for (id, person) in (1..).zip(&mut people) {
            person.id = id;
        }
        people
    })
}

fn person() -> impl Strategy<Value = Person> {
    let text = |values: &'static [&'static str]| prop::option::weighted(0.8, select(values));
    let texts =
        (text(&STAGES), text(&["US", "CN", "us"]), text(&NAMES), text(&NAMES), text(&["42", "042", "x42"]));
    let instants = (instant(), prop::option::of(instant()));
    let attrs = (prop::option::of(select(&NAMES[..])), prop::option::of(select(&SCORES[..])));
    let event = (select(&KINDS[..]), instant(), prop::option::weighted(0.9, -5_000_000_i64..300_000_000));
    let event = event.prop_map(|(kind, at, value)| Event { kind, at, value });
    let messages =
        prop::collection::vec((select(&CAMPAIGNS[..]), prop::option::weighted(0.8, instant())), 0..3);
    let tags = subsequence(&TAGS[..], 0..=TAGS.len());
    (texts, instants, attrs, tags, prop::collection::vec(event, 0..8), messages).prop_map(
        |(
            (stage, country, first, last, customer),
            (created, consent),
            (city, score),
            tags,
            events,
            messages,
        )| {
            let owned = |text: Option<&str>| text.map(str::to_owned);
            let mut person = Person { events, messages, ..Person::default() };
            person.tags.extend(tags);
            person.texts.extend([
                ("stage", owned(stage)),
                ("country", owned(country)),
                ("first_name", owned(first)),
                ("last_name", owned(last)),
                ("customer_id", owned(customer)),
            ]);
            person.texts.extend(["locale", "zone", "email"].map(|name| (name, None)));
            person.texts.insert("number_kind", Some("mobile".to_owned()));
            person.instants.extend([
                ("created_at", Some(created)),
                ("updated_at", Some(created)),
                ("consent_at", consent),
            ]);
            person.attrs.extend(city.map(|city| ("home town", serde_json::to_string(city).unwrap())));
            person.attrs.extend(score.map(|score| ("score", score.to_owned())));
            person
        },
    )
}

/// Around an instant of a question: days before it to the millisecond of a midnight or of the day before at the same
/// time, or anywhere in three years, or after it.
fn instant() -> impl Strategy<Value = i64> {
    let near =
        (select(instants()), 0_i64..40, -2_i64..3, any::<bool>()).prop_map(|(as_of, days, off, midnight)| {
            let local = as_of.zone.to_datetime(as_of.at.to_jiff()) - jiff::Span::new().days(days);
            let at = if midnight {
                as_of.midnight(local.date()).0
            } else {
                local.to_zoned(as_of.zone).unwrap().timestamp().as_millisecond()
            };
            at + off
        });
    let far = (select(instants()), -1_100_i64..2, 0_i64..86_400_000)
        .prop_map(|(as_of, days, ms)| as_of.at.0 + days * 86_400_000 + ms);
    prop_oneof![2 => near, 1 => far]
}

/// Random segments, as text.
pub(crate) fn expressions() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        4 => text_tests(),
        3 => attribute_tests(),
        3 => number_tests(),
        4 => instant_tests(),
        2 => day_tests(),
        2 => facts(),
        1 => against_tests(),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 2..4).prop_map(|parts| format!("({})", parts.join(" and "))),
            prop::collection::vec(inner.clone(), 2..4).prop_map(|parts| format!("({})", parts.join(" or "))),
            inner.clone().prop_map(|part| format!("not {part}")),
            (inner.clone(), inner).prop_map(|(one, other)| format!("({one} or not {other} and {one})")),
        ]
    })
}

fn comparison() -> impl Strategy<Value = &'static str> {
    select(&["=", "<>", "!=", "<", "<=", ">", ">="][..])
}

/// Every form of test over one subject and one pool of literals, already quoted.
fn tests_of(
    subject: impl Strategy<Value = String> + 'static,
    literal: impl Strategy<Value = String> + Clone + 'static,
) -> BoxedStrategy<String> {
    let not = select(&["", "not "][..]);
    let list = prop::collection::vec(literal.clone(), 1..4);
    (subject, literal.clone(), literal, list, comparison(), not, 0..5)
        .prop_map(|(subject, one, two, list, sign, not, form)| match form {
            0 => format!("{subject} {not}between {one} and {two}"),
            1 => format!("{subject} {not}in ({})", list.join(", ")),
            2 => format!("{one} {sign} {subject}"),
            _ => format!("{subject} {sign} {one}"),
        })
        .boxed()
}

fn quoted(values: &'static [&'static str]) -> impl Strategy<Value = String> + Clone {
    select(values).prop_map(|text| format!("'{}'", text.replace('\'', "''")))
}

fn text_tests() -> BoxedStrategy<String> {
    let name = select(&["first_name", "last_name", "FIRST_NAME"][..]).prop_map(str::to_owned);
    let any = select(
        &["stage", "country", "first_name", "consent_at", "locale", "attr.score", "last('order')"][..],
    );
    let not = select(&["", "not "][..]);
    prop_oneof![
        tests_of(Just("stage".to_owned()), quoted(&STAGES)),
        tests_of(name, quoted(&NAMES)),
        tests_of(Just("customer_id".to_owned()), quoted(&["42", "042", "5"])),
        (select(&["first_name", "attr.\"home town\"", "attr.score"][..]), not.clone(), select(&PATTERNS[..]))
            .prop_map(|(subject, not, pattern)| format!("{subject} {not}like '{pattern}'")),
        (any, not).prop_map(|(subject, not)| format!("{subject} is {not}null")),
    ]
    .boxed()
}

fn attribute_tests() -> BoxedStrategy<String> {
    let score = || Just("attr.score".to_owned());
    let truth = (select(&["=", "<>"][..]), any::<bool>())
        .prop_map(|(sign, truth)| format!("attr.score {sign} {truth}"));
    prop_oneof![
        tests_of(Just("attr.\"home town\"".to_owned()), quoted(&NAMES)),
        tests_of(score(), select(&NUMBERS[..]).prop_map(str::to_owned)),
        tests_of(score(), quoted(&["5", "5.50", "true", "007", "1e21", "-3"])),
        truth,
    ]
    .boxed()
}

fn period() -> impl Strategy<Value = String> + Clone {
    let periods = [
        "1 day",
        "2 days",
        "24 hours",
        "23 hours",
        "1 week",
        "1 month",
        "6 months",
        "1 year",
        "30 days",
        "365 days",
        "100 years",
    ];
    prop_oneof![1 => Just(String::new()), 3 => select(periods.to_vec()).prop_map(|period| format!(", '{period}'"))]
}

fn call(name: &'static str) -> impl Strategy<Value = String> + Clone {
    (quoted(&KINDS), period()).prop_map(move |(kind, period)| format!("{name}({kind}{period})"))
}

fn number_tests() -> BoxedStrategy<String> {
    let money = select(&["0", "100", "199.9", "250.000001", "-3"][..]).prop_map(str::to_owned);
    prop_oneof![
        tests_of(call("count"), (0..5).prop_map(|number: i32| number.to_string())),
        tests_of(call("sum"), money)
    ]
    .boxed()
}

fn instant_tests() -> BoxedStrategy<String> {
    let subject = prop_oneof![
        select(&["created_at", "consent_at"][..]).prop_map(str::to_owned),
        (select(&["first", "last"][..]), quoted(&KINDS)).prop_map(|(name, kind)| format!("{name}({kind})")),
    ];
    let day = (select(instants()), 0_i64..20)
        .prop_map(|(as_of, days)| format!("'{}'", as_of.date() - jiff::Span::new().days(days)));
    let literal = prop_oneof![
        3 => day,
        1 => quoted(&["2026-03-08 02:30", "2026-11-01 01:30:00", "2026-04-24T00:00", "2025-01-01T00:00:00Z", "2026-03-09T10:30:00+08:00"]),
    ];
    tests_of(subject, literal)
}

fn day_tests() -> BoxedStrategy<String> {
    let subject = quoted(&KINDS).prop_map(|kind| format!("days_since({kind})"));
    tests_of(
        subject,
        prop_oneof![5 => 0_i64..40, 1 => 300_i64..400, 1 => -2_i64..1].prop_map(|days| days.to_string()),
    )
}

fn facts() -> BoxedStrategy<String> {
    prop_oneof![
        quoted(&TAGS).prop_map(|tag| format!("tagged({tag})")),
        (quoted(&CAMPAIGNS), period()).prop_map(|(campaign, period)| format!("received({campaign}{period})")),
        select(&["true", "false"][..]).prop_map(str::to_owned),
    ]
    .boxed()
}

fn against_tests() -> BoxedStrategy<String> {
    let pairs = [
        ("first_name", "last_name"),
        ("first_name", "attr.\"home town\""),
        ("attr.score", "customer_id"),
        ("first('order')", "last('login')"),
        ("last('order')", "created_at"),
        ("count('order', '30 days')", "count('login')"),
        ("sum('order')", "sum('login', '1 year')"),
    ];
    (select(pairs.to_vec()), comparison())
        .prop_map(|((one, other), sign)| format!("{one} {sign} {other}"))
        .boxed()
}

/// Statements that put the people into empty tables, the same for both databases.
pub(crate) fn inserts(people: &[Person]) -> Vec<String> {
    let mut statements = Vec::new();
    let (mut event_id, mut message_id) = (0, 0);
    for person in people {
        let id = person.id;
        let attrs: Vec<String> =
            person.attrs.iter().map(|(name, json)| format!("\"{name}\":{json}")).collect();
        let mut columns = vec!["id".to_owned(), "phone".to_owned(), "attrs".to_owned()];
        let mut values =
            vec![id.to_string(), id.to_string(), literal(Some(&format!("{{{}}}", attrs.join(","))))];
        for (name, text) in &person.texts {
            columns.push((*name).to_owned());
            values.push(literal(text.as_deref()));
        }
        for (name, at) in &person.instants {
            columns.push((*name).to_owned());
            values.push(number(*at));
        }
        statements.push(format!(
            "INSERT INTO contacts ({}) VALUES ({})",
            columns.join(", "),
            values.join(", ")
        ));
        for tag in &person.tags {
            statements.push(format!("INSERT INTO contact_tags VALUES ({id}, {})", literal(Some(tag))));
        }
        for Event { kind, at, value } in &person.events {
            event_id += 1;
            let (kind, value) = (literal(Some(kind)), number(*value));
            statements.push(format!(
                "INSERT INTO events (id, contact_id, kind, event_id, occurred_at, value) VALUES ({event_id}, {id}, {kind}, '{event_id}', {at}, {value})"
            ));
        }
        for (campaign, at) in &person.messages {
            message_id += 1;
            let (campaign, at) = (literal(Some(campaign)), number(*at));
            // A run of its own for each, because a run texts a contact once.
            statements.push(format!(
                "INSERT INTO runs (id, campaign, launch_key, plan_hash, state, definition, as_of, currency, when_in_doubt, \
                   audience, starts_at, expires_at, created_at) VALUES ({message_id}, {campaign}, '{message_id}', '', \
                   'finished', '', 0, 'USD', 'park', 1, 0, 0, 0)"
            ));
            statements.push(format!(
                "INSERT INTO messages (id, run_id, contact_id, phone, country, route, sender, window_id, body, encoding, \
                   parts, price, expires_at, dispatch, not_before, submitted_at) VALUES ({message_id}, {message_id}, {id}, \
                   {id}, 'US', 'us', 's', 0, '', 'gsm7', 1, 0, 0, 'accepted', 0, {at})"
            ));
        }
    }
    statements
}

fn literal(text: Option<&str>) -> String {
    text.map_or("NULL".to_owned(), |text| format!("'{}'", text.replace('\'', "''")))
}

fn number(value: Option<i64>) -> String {
    value.map_or("NULL".to_owned(), |value| value.to_string())
}

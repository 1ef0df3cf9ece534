//! A plain evaluator of segments over people in memory: the second opinion beside SQL. It follows the words of the
//! language (local dates, decimals, three-valued logic), not the way the compiler takes.

use std::collections::{BTreeMap, BTreeSet};

use jiff::civil::Date;
use winback::model::clock::Timestamp;
use winback::segment::AsOf;
use winback::segment::period::{Moment, Period, Unit};
use winback::segment::tree::{Call, Check, Comparison, Kind, Literal, Node, Subject};

/// A contact with all that a segment may ask about.
#[derive(Clone, Debug, Default)]
pub(crate) struct Person {
    pub(crate) id: i64,
    pub(crate) texts: BTreeMap<&'static str, Option<String>>,
    pub(crate) instants: BTreeMap<&'static str, Option<i64>>,
    /// Attributes by name, each as its JSON text.
    pub(crate) attrs: BTreeMap<&'static str, String>,
    pub(crate) tags: BTreeSet<&'static str>,
    pub(crate) events: Vec<Event>,
    /// Campaigns of the messages, and when each was submitted.
    pub(crate) messages: Vec<(&'static str, Option<i64>)>,
}

#[derive(Clone, Debug)]
pub(crate) struct Event {
    pub(crate) kind: &'static str,
    pub(crate) at: i64,
    pub(crate) value: Option<i64>,
}

/// True, false or unknown.
pub(crate) fn evaluate(node: &Node, person: &Person, as_of: &AsOf) -> Option<bool> {
    let each = |nodes: &[Node]| nodes.iter().map(|node| evaluate(node, person, as_of)).collect::<Vec<_>>();
    match node {
        Node::And(nodes) => fold(&each(nodes), false),
        Node::Or(nodes) => fold(&each(nodes), true),
        Node::Not(node) => evaluate(node, person, as_of).map(|truth| !truth),
        Node::Constant(truth) => Some(*truth),
        Node::Fact(call) => Some(fact(call, person, as_of)),
        Node::Test(subject, check) => {
            test(&value(subject, person, as_of), subject.kind(), check, person, as_of)
        }
    }
}

/// `or` when `decisive` is true, `and` when it is false: one decisive member decides, else an unknown one does.
fn fold(truths: &[Option<bool>], decisive: bool) -> Option<bool> {
    if truths.contains(&Some(decisive)) {
        return Some(decisive);
    }
    if truths.contains(&None) { None } else { Some(!decisive) }
}

/// A value of a contact; what an attribute is depends on the question.
#[derive(Clone, Debug, PartialEq, PartialOrd)]
enum Value {
    Null,
    Text(String),
    Number(i128),
    Instant(i64),
    Days(i64),
}

fn fact(call: &Call, person: &Person, as_of: &AsOf) -> bool {
    match call.function.name {
        "tagged" => person.tags.contains(call.name.as_str()),
        "received" => person.messages.iter().any(|(campaign, at)| {
            *campaign == call.name && at.is_some_and(|at| inside(at, call.period, as_of))
        }),
        other => panic!("no such condition: {other}"),
    }
}

fn value(subject: &Subject, person: &Person, as_of: &AsOf) -> Value {
    match subject {
        Subject::Column(column) => match person.texts.get(column.name) {
            Some(text) => text.clone().map_or(Value::Null, Value::Text),
            None => person.instants[column.name].map_or(Value::Null, Value::Instant),
        },
        Subject::Attribute(name) => {
            person.attrs.get(name.as_str()).and_then(|json| scalar(json)).map_or(Value::Null, Value::Text)
        }
        Subject::Call(call) => {
            let events: Vec<&Event> = person
                .events
                .iter()
                .filter(|event| event.kind == call.name && inside(event.at, call.period, as_of))
                .collect();
            let last = events.iter().map(|event| event.at).max();
            match call.function.name {
                "count" => Value::Number(i128::try_from(events.len()).unwrap()),
                "sum" => Value::Number(events.iter().filter_map(|event| event.value).map(i128::from).sum()),
                "first" => events.iter().map(|event| event.at).min().map_or(Value::Null, Value::Instant),
                "last" => last.map_or(Value::Null, Value::Instant),
                "days_since" => last.map_or(Value::Null, |last| {
                    let days = (as_of.date() - local_date(last, as_of)).get_days();
                    Value::Days(i64::from(days))
                }),
                other => panic!("no such function: {other}"),
            }
        }
    }
}

fn test(value: &Value, kind: Kind, check: &Check, person: &Person, as_of: &AsOf) -> Option<bool> {
    let ask = |comparison, literal: &Literal| compare(value, kind, comparison, literal, as_of);
    let known = |truth: Option<bool>, negated: bool| truth.map(|truth| truth != negated);
    match check {
        Check::Null { negated } => Some((*value == Value::Null) != *negated),
        Check::Compare(comparison, literal) => ask(*comparison, literal),
        Check::Against(comparison, other) => {
            let other = self::value(other, person, as_of);
            if *value == Value::Null || other == Value::Null {
                return None;
            }
            Some(holds(*comparison, value.partial_cmp(&other).expect("values of one type")))
        }
        Check::Between { negated, low, high } => {
            let inside = [ask(Comparison::GreaterOrEqual, low), ask(Comparison::LessOrEqual, high)];
            known(fold(&inside, false), *negated)
        }
        Check::In { negated, list } => {
            let any: Vec<_> = list.iter().map(|literal| ask(Comparison::Equal, literal)).collect();
            known(fold(&any, true), *negated)
        }
        Check::Like { negated, pattern } => match value {
            Value::Text(text) => {
                let (text, pattern): (Vec<char>, Vec<char>) =
                    (text.chars().collect(), pattern.chars().collect());
                Some(like(&text, &pattern) != *negated)
            }
            _ => None,
        },
    }
}

fn compare(
    value: &Value,
    kind: Kind,
    comparison: Comparison,
    literal: &Literal,
    as_of: &AsOf,
) -> Option<bool> {
    let order = match (value, literal) {
        (Value::Null, _) => return None,
        (Value::Text(text), Literal::Text(other)) => text.as_bytes().cmp(other.as_bytes()),
        (Value::Text(text), Literal::Decimal(other)) => decimal(text)?.cmp(&i128::from(other.0)),
        (Value::Text(text), Literal::Truth(other)) => match text.as_str() {
            "true" => true.cmp(other),
            "false" => false.cmp(other),
            _ => return None,
        },
        (Value::Number(number), Literal::Whole(other)) => number.cmp(&i128::from(*other)),
        (Value::Number(number), Literal::Decimal(other)) => number.cmp(&i128::from(other.0)),
        (Value::Days(days), Literal::Whole(other)) => days.cmp(other),
        (Value::Instant(at), Literal::Moment(Moment::Day(day))) => local_date(*at, as_of).cmp(day),
        (Value::Instant(at), Literal::Moment(Moment::At(other))) => at.cmp(&other.0),
        (Value::Instant(at), Literal::Moment(Moment::Local(time))) => {
            at.cmp(&time.to_zoned(as_of.zone.clone()).unwrap().timestamp().as_millisecond())
        }
        (value, literal) => panic!("{value:?} of type {kind:?} is compared with {literal:?}"),
    };
    Some(holds(comparison, order))
}

fn holds(comparison: Comparison, order: std::cmp::Ordering) -> bool {
    match comparison {
        Comparison::Equal => order.is_eq(),
        Comparison::NotEqual => order.is_ne(),
        Comparison::Less => order.is_lt(),
        Comparison::LessOrEqual => order.is_le(),
        Comparison::Greater => order.is_gt(),
        Comparison::GreaterOrEqual => order.is_ge(),
    }
}

fn local_date(at: i64, as_of: &AsOf) -> Date {
    as_of.zone.to_datetime(Timestamp(at).to_jiff()).date()
}

/// Not after *as of*, and inside the period if there is one.
fn inside(at: i64, period: Option<Period>, as_of: &AsOf) -> bool {
    let Some(period) = period else { return at <= as_of.at.0 };
    let local = as_of.zone.to_datetime(as_of.at.to_jiff());
    let earlier = match period.unit {
        Unit::Hour => return at <= as_of.at.0 && at > as_of.at.0 - period.count * 3_600_000,
        Unit::Day => local - jiff::Span::new().days(period.count),
        Unit::Week => local - jiff::Span::new().days(7 * period.count),
        Unit::Month => local - jiff::Span::new().months(period.count),
        Unit::Year => local - jiff::Span::new().months(12 * period.count),
    };
    let start = earlier.to_zoned(as_of.zone.clone()).unwrap().timestamp().as_millisecond();
    at <= as_of.at.0 && at > start
}

/// The text of a JSON scalar as it is written; null for lists, objects, null and the empty text.
fn scalar(json: &str) -> Option<String> {
    match json.as_bytes()[0] {
        b'"' => serde_json::from_str::<String>(json).ok().filter(|text| !text.is_empty()),
        b'[' | b'{' | b'n' => None,
        _ => Some(json.to_owned()),
    }
}

/// A plain decimal in millionths, further decimals cut off.
fn decimal(text: &str) -> Option<i128> {
    let (sign, rest) = text.strip_prefix('-').map_or((1, text), |rest| (-1, rest));
    let (whole, fraction) =
        rest.split_once('.').map_or((rest, None), |(whole, fraction)| (whole, Some(fraction)));
    let digits = |part: &str, most: usize| {
        (1..=most).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_digit())
    };
    if !digits(whole, 12) || !fraction.is_none_or(|fraction| digits(fraction, 30)) {
        return None;
    }
    let six: String = fraction.unwrap_or("").chars().chain("000000".chars()).take(6).collect();
    Some(sign * (whole.parse::<i128>().unwrap() * 1_000_000 + six.parse::<i128>().unwrap()))
}

/// `%` is any run, `_` one character, `\` takes the next sign literally; a to z match in either case.
fn like(text: &[char], pattern: &[char]) -> bool {
    let same = |a: char, b: char| a.eq_ignore_ascii_case(&b);
    match pattern {
        [] => text.is_empty(),
        ['%', rest @ ..] => (0..=text.len()).any(|skip| like(&text[skip..], rest)),
        ['_', rest @ ..] => !text.is_empty() && like(&text[1..], rest),
        ['\\', sign, rest @ ..] => text.first() == Some(sign) && like(&text[1..], rest),
        [sign, rest @ ..] => text.first().is_some_and(|ch| same(*ch, *sign)) && like(&text[1..], rest),
    }
}

//! Values as they are written, and the type that their place gives them. Never changes a value to make it fit.

use std::ops::Range;

use super::error::SegmentError;
use super::period::Moment;
use super::tree::{Kind, Literal, Subject};
use crate::model::money::Micros;

/// Digits before the point of a number; more would not fit into 64 bits of millionths.
const MOST_DIGITS: usize = 12;

/// A value before its type is known.
#[derive(Clone, Debug)]
pub(super) struct Written {
    pub(super) value: Raw,
    pub(super) span: Range<usize>,
}

/// The forms a value can be written in.
#[derive(Clone, Debug)]
pub(super) enum Raw {
    Text(String),
    Number(String),
    Truth(bool),
    Null,
}

/// Gives a written value the type that comparing it with `subject` asks for.
pub(super) fn typed(text: &str, subject: &Subject, written: &Written) -> Result<Literal, SegmentError> {
    let error = |message: String| SegmentError::new(text, written.span.clone(), message);
    if matches!(written.value, Raw::Null) {
        return Err(error("a comparison with null is never true".into())
            .help(format!("write `{subject} is null` or `{subject} is not null`")));
    }
    let kind = subject.kind();
    match (kind, &written.value) {
        (Kind::Text | Kind::Attribute, Raw::Text(value)) if value.is_empty() => {
            Err(error("an empty text is stored as null".into())
                .help(format!("write `{subject} is null` or `{subject} is not null`")))
        }
        (Kind::Text | Kind::Attribute, Raw::Text(value)) => Ok(Literal::Text(value.clone())),
        (Kind::Attribute, Raw::Truth(value)) => Ok(Literal::Truth(*value)),
        (Kind::Attribute | Kind::Money, Raw::Number(value)) => decimal(value)
            .ok_or_else(|| error(format!("{value} does not fit")).help(
                "write plain digits, at most twelve before the point and six behind it; longer ones compare as texts: '…'",
            ))
            .map(Literal::Decimal),
        (Kind::Count | Kind::Days, Raw::Number(value)) => {
            value.parse().map(Literal::Whole).map_err(|_| {
                error(format!("{subject} is {kind}, and {value} is not")).help("write a whole number, like 3")
            })
        }
        (Kind::Instant, Raw::Text(value)) => value
            .parse::<Moment>()
            .map(Literal::Moment)
            .map_err(|wrong| error(format!("{subject} is an instant, and '{value}' is {}", short(&wrong.to_string()))).help(way_out(&wrong.to_string()))),
        (Kind::Truth, _) => Err(error(format!("{subject} is a condition by itself")).help(format!("write `{subject}` or `not {subject}`"))),
        (kind, value) => Err(mismatch(&error, subject, kind, value)),
    }
}

/// All values of one list or range, which must be of one type.
pub(super) fn typed_alike(
    text: &str,
    subject: &Subject,
    written: &[Written],
) -> Result<Vec<Literal>, SegmentError> {
    let literals: Vec<Literal> =
        written.iter().map(|one| typed(text, subject, one)).collect::<Result<_, _>>()?;
    let first = literals.first().map(std::mem::discriminant);
    match literals.iter().position(|one| Some(std::mem::discriminant(one)) != first) {
        None => Ok(literals),
        Some(odd) => Err(SegmentError::new(
            text,
            written[odd].span.clone(),
            "texts, numbers and truths do not mix here",
        )
        .help("write all values as texts or all as numbers")),
    }
}

fn mismatch(
    error: &dyn Fn(String) -> SegmentError,
    subject: &Subject,
    kind: Kind,
    value: &Raw,
) -> SegmentError {
    let (is, shown) = match value {
        Raw::Text(value) => ("a text", format!("'{value}'")),
        Raw::Number(value) => ("a number", value.clone()),
        Raw::Truth(value) => ("a truth", value.to_string()),
        Raw::Null => ("null", "null".to_owned()),
    };
    let error = error(format!("{subject} is {kind}, and {shown} is {is}"));
    match (kind, value) {
        (Kind::Text, _) => error.help(format!("write it as a text: '{shown}'")),
        (Kind::Count | Kind::Money | Kind::Days, Raw::Text(text)) if decimal(text).is_some() => {
            error.help(format!("write the number without quotes: {text}"))
        }
        (Kind::Days, _) => error.help("write a number of days, like 90"),
        (Kind::Count | Kind::Money, _) => error.help("write a number, like 3"),
        (Kind::Instant, _) => error.help("write a date or a time: '2026-03-01', '2026-03-01 10:00'"),
        (Kind::Truth | Kind::Attribute, _) => error,
    }
}

/// A number in millionths, if it is written plainly and fits.
fn decimal(text: &str) -> Option<Micros> {
    let whole = text.trim_start_matches('-').split('.').next()?;
    if whole.len() > MOST_DIGITS {
        return None;
    }
    text.parse().ok()
}

fn short(message: &str) -> String {
    message.split(';').next().unwrap_or(message).to_owned()
}

fn way_out(message: &str) -> String {
    message.split_once("; ").map_or(message, |(_, help)| help).to_owned()
}

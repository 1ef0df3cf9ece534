//! The words a template may use: the engine's own filters and tests that suit a short text, and no more.
//!
//! There is no loop, no assignment and no function, so the work of a rendering is bounded by the length of the template
//! and its values; the largest thing it can build on the way is a repeated string, which the engine bounds. To add a
//! word, name it here and say in the commit which text needs it.

use std::borrow::Cow;
use std::sync::{Arc, LazyLock};

use minijinja::value::{Object, Rest, ValueKind};
use minijinja::{Environment, Error, ErrorKind, Output, State, UndefinedBehavior, Value, filters, tests};

use super::MAX_CHARS;

/// Filters, in the order in which an error message lists them.
pub(super) const FILTERS: &[&str] = &[
    "default",
    "d",
    "upper",
    "lower",
    "title",
    "capitalize",
    "trim",
    "replace",
    "round",
    "int",
    "float",
    "abs",
    "length",
    "first",
    "last",
];

/// Tests behind `is`.
pub(super) const TESTS: &[&str] =
    &["defined", "undefined", "none", "number", "string", "odd", "even", "startingwith", "endingwith"];

/// An environment that knows these words; a clone shares them.
pub(super) fn environment() -> Environment<'static> {
    static SHARED: LazyLock<Environment<'static>> = LazyLock::new(build);
    SHARED.clone()
}

/// Values as a template sees them: null is no value at all, so that a missing name is never written as "none".
#[derive(Debug)]
pub(super) struct Present(pub(super) Value);

impl Object for Present {
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        present(self.0.get_item(key).ok()?)
    }

    fn get_value_by_str(self: &Arc<Self>, key: &str) -> Option<Value> {
        present(self.0.get_attr(key).ok()?)
    }
}

fn present(value: Value) -> Option<Value> {
    match value.kind() {
        ValueKind::Undefined | ValueKind::None => None,
        ValueKind::Map => Some(Value::from_object(Present(value))),
        _ => Some(value),
    }
}

/// Steps of the engine for one text: far more than the longest source can ask for while the language has no loop.
const FUEL: u64 = 50_000;

fn build() -> Environment<'static> {
    let mut environment = Environment::empty();
    // Printing or comparing a missing value is an error; asking `if value` is not.
    environment.set_undefined_behavior(UndefinedBehavior::SemiStrict);
    environment.set_fuel(Some(FUEL));
    environment.set_formatter(format);

    environment.add_filter("default", default);
    environment.add_filter("d", default);
    environment.add_filter("upper", filters::upper);
    environment.add_filter("lower", filters::lower);
    environment.add_filter("title", filters::title);
    environment.add_filter("capitalize", filters::capitalize);
    environment.add_filter("trim", filters::trim);
    environment.add_filter("replace", replace);
    environment.add_filter("round", filters::round);
    environment.add_filter("int", filters::int);
    environment.add_filter("float", filters::float);
    environment.add_filter("abs", filters::abs);
    environment.add_filter("length", filters::length);
    environment.add_filter("first", filters::first);
    environment.add_filter("last", filters::last);

    environment.add_test("defined", tests::is_defined);
    environment.add_test("undefined", tests::is_undefined);
    environment.add_test("none", tests::is_undefined);
    environment.add_test("number", tests::is_number);
    environment.add_test("string", tests::is_string);
    environment.add_test("odd", tests::is_odd);
    environment.add_test("even", tests::is_even);
    environment.add_test("startingwith", tests::is_startingwith);
    environment.add_test("endingwith", tests::is_endingwith);
    environment
}

/// Whether `default` steps in: as in the engine, and a blank text counts as missing, for "Hi ," greets nobody.
pub(super) fn is_blank(value: &Value) -> bool {
    value.is_undefined() || value.is_none() || value.as_str().is_some_and(|text| text.trim().is_empty())
}

/// A value as a person writes it: 20.0 is `20`; a missing value or a whole group of values is an error.
pub(super) fn written(value: &Value) -> Result<Cow<'_, str>, Error> {
    match value.kind() {
        ValueKind::String => Ok(Cow::Borrowed(value.as_str().unwrap_or_default())),
        ValueKind::Number if !value.is_integer() => Ok(f64::try_from(value.clone())
            .map_or_else(|_| value.to_string(), |number| number.to_string())
            .into()),
        ValueKind::Number | ValueKind::Bool => Ok(value.to_string().into()),
        ValueKind::Undefined | ValueKind::None => Err(ErrorKind::UndefinedError.into()),
        _ => Err(Error::new(ErrorKind::InvalidOperation, "a group of values is no text; name one of them")),
    }
}

fn format(out: &mut Output<'_>, _: &mut State<'_, '_>, value: &Value) -> Result<(), Error> {
    Ok(out.write_str(&written(value)?)?)
}

#[expect(clippy::needless_pass_by_value, reason = "the engine hands a filter its arguments this way")]
fn default(value: &Value, other: Rest<Value>) -> Value {
    if is_blank(value) { other.first().cloned().unwrap_or_else(|| Value::from("")) } else { value.clone() }
}

/// As in the engine, with a bound: a replacement can multiply two lengths.
fn replace(value: &Value, from: &str, to: &str) -> Result<String, Error> {
    let text = written(value)?;
    let longest = text.len() + text.matches(from).count() * to.len();
    if longest > MAX_CHARS * 4 {
        return Err(Error::new(ErrorKind::InvalidOperation, "the replaced text is too long"));
    }
    Ok(text.replace(from, to))
}

//! Picking one value out of an answer or a callback: JSON pointers, form and query names, stretches of plain text.
//!
//! Pure and total: whatever a provider sends, the answer is a value or nothing.

use std::borrow::Cow;

use serde_json::Value;

use super::format::BodyWord;

/// Where to find one value, already checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    /// A JSON pointer, the name of a form or query field, or nothing for the whole body.
    pub at: Option<String>,
    /// The value begins after the first occurrence of this.
    pub after: String,
    /// The value ends before the next occurrence of this.
    pub before: Option<String>,
}

impl Field {
    /// The field under a pointer or name, uncut.
    pub fn at(at: impl Into<String>) -> Self {
        Self { at: Some(at.into()), after: String::new(), before: None }
    }

    /// The value, if there is one that is not empty.
    pub(crate) fn find<'a>(&self, fields: &Fields<'a>) -> Option<Cow<'a, str>> {
        let whole = match &self.at {
            Some(at) => fields.get(at)?,
            None => fields.text()?,
        };
        let found = if self.after.is_empty() && self.before.is_none() {
            whole
        } else {
            Cow::Owned(self.cut(&whole)?.to_owned())
        };
        (!found.is_empty()).then_some(found)
    }

    fn cut<'t>(&self, text: &'t str) -> Option<&'t str> {
        let start = text.find(&self.after)? + self.after.len();
        let rest = &text[start..];
        match &self.before {
            Some(mark) => rest.find(mark.as_str()).map(|end| rest[..end].trim()),
            None => Some(rest.trim()),
        }
    }
}

/// The fields of one body, or of one item in it.
#[derive(Debug)]
pub(crate) enum Fields<'a> {
    /// A JSON value.
    Json(Cow<'a, Value>),
    /// Decoded names and values, in their order.
    Pairs(Vec<(Cow<'a, str>, Cow<'a, str>)>),
    /// A text without fields.
    Text(Cow<'a, str>),
    /// Nothing that can be read.
    None,
}

impl<'a> Fields<'a> {
    /// Reads a body in `format`; a query is given as its raw text.
    pub(crate) fn read(format: BodyWord, body: &'a [u8]) -> Self {
        match format {
            BodyWord::Json => match serde_json::from_slice(body) {
                Ok(value) => Self::Json(Cow::Owned(value)),
                Err(_) => Self::None,
            },
            BodyWord::Form | BodyWord::Query => Self::Pairs(form_urlencoded::parse(body).collect()),
            BodyWord::Text => Self::Text(String::from_utf8_lossy(body)),
        }
    }

    /// One item of an array.
    pub(crate) fn item(value: &'a Value) -> Self {
        Self::Json(Cow::Borrowed(value))
    }

    /// The array under `pointer`.
    pub(crate) fn list(&self, pointer: &str) -> Option<&Vec<Value>> {
        match self {
            Self::Json(value) => value.pointer(pointer)?.as_array(),
            _ => None,
        }
    }

    /// The scalar under a pointer or name, as text.
    pub(crate) fn get(&self, at: &str) -> Option<Cow<'a, str>> {
        match self {
            Self::Json(Cow::Borrowed(value)) => scalar(value.pointer(at)?),
            Self::Json(Cow::Owned(value)) => Some(Cow::Owned(scalar(value.pointer(at)?)?.into_owned())),
            Self::Pairs(pairs) => pairs.iter().find(|(name, _)| name == at).map(|(_, value)| value.clone()),
            Self::Text(_) | Self::None => None,
        }
    }

    fn text(&self) -> Option<Cow<'a, str>> {
        match self {
            Self::Text(text) => Some(text.clone()),
            _ => None,
        }
    }
}

fn scalar(value: &Value) -> Option<Cow<'_, str>> {
    match value {
        Value::String(text) => Some(Cow::Borrowed(text)),
        Value::Number(number) => Some(Cow::Owned(number.to_string())),
        Value::Bool(flag) => Some(Cow::Borrowed(if *flag { "true" } else { "false" })),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::{Field, Fields};
    use crate::provider::format::BodyWord;

    #[test]
    fn a_value_is_found_wherever_the_provider_puts_it() {
        let cut = |at: Option<&str>, after: &str, before: Option<&str>| Field {
            at: at.map(str::to_owned),
            after: after.to_owned(),
            before: before.map(str::to_owned),
        };
        let check = |format: BodyWord, body: &str, field: &Field, found: Option<&str>| {
            let fields = Fields::read(format, body.as_bytes());
            assert_eq!(field.find(&fields).as_deref(), found, "{body} {field:?}");
        };
        let json = r#"{"a":{"b":[{"c":7}]},"t":true,"n":null,"e":""}"#;
        check(BodyWord::Json, json, &Field::at("/a/b/0/c"), Some("7"));
        check(BodyWord::Json, json, &Field::at("/t"), Some("true"));
        check(BodyWord::Json, json, &Field::at("/n"), None);
        check(BodyWord::Json, json, &Field::at("/e"), None);
        check(BodyWord::Json, json, &Field::at("/a"), None);
        check(BodyWord::Json, "<html>", &Field::at("/a"), None);
        check(BodyWord::Form, "id=7&name=J%C3%B6+B", &Field::at("name"), Some("Jö B"));
        check(BodyWord::Text, "OK id: 77 credits", &cut(None, "id: ", Some(" ")), Some("77"));
        check(BodyWord::Text, "OK id: 77\n", &cut(None, "id: ", None), Some("77"));
        check(BodyWord::Text, "ERR 12", &cut(None, "id: ", None), None);
        check(BodyWord::Query, "ans=NACK%2F0x58%2Fx", &cut(Some("ans"), "NACK/", Some("/")), Some("0x58"));
    }
}

//! The columns a kind of file does not know, as one JSON object of texts. Never changes how a value is written:
//! what reads it later decides whether `007` is a number.

use serde_json::Value;

use super::reason::Reason;
use super::table::Row;
use super::value::{self, MAX_LONG};

/// The JSON object of the extra columns of a row: keys sorted, empty values left out, every value a text.
///
/// # Errors
/// When a value is too long.
pub(super) fn object(columns: &[(String, usize)], row: &Row) -> Result<String, Reason> {
    let mut json = String::from("{");
    for (name, at) in columns {
        let text = value::clean(row.get(*at));
        if text.is_empty() {
            continue;
        }
        if text.len() > MAX_LONG && text.chars().count() > MAX_LONG {
            return Err(Reason::TooLong { column: name.clone() });
        }
        json.push_str(if json.len() > 1 { ",\"" } else { "\"" });
        json.push_str(name);
        json.push_str("\":");
        push_text(&mut json, &text);
    }
    json.push('}');
    Ok(json)
}

/// Clean text has no control characters, so that most of it needs no escapes and no second buffer.
fn push_text(json: &mut String, text: &str) {
    if text.contains(['"', '\\']) {
        return json.push_str(&Value::from(text).to_string());
    }
    json.push('"');
    json.push_str(text);
    json.push('"');
}

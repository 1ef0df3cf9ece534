//! The short way: most texts only put values between words, so they need no engine, and a campaign of millions is written
//! several times faster. The answers are those of the engine; a test compares both.

use std::ops::Range;

use minijinja::Value;

use super::scan::{Kind, Tag};
use super::{MAX_CHARS, RenderError, check, place, vocabulary};

/// A template that consists of words and `{{ path }}` or `{{ path | default('…') }}`.
pub(super) struct Pieces(Vec<Piece>);

enum Piece {
    /// Octets of the source.
    Words(Range<usize>),
    Value {
        path: String,
        default: Option<String>,
        line: usize,
    },
}

impl Pieces {
    /// The pieces of `source`, or `None` when it needs the engine.
    pub(super) fn of(source: &str, tags: &[Tag<'_>]) -> Option<Self> {
        if source.contains("{#") {
            return None;
        }
        let mut pieces = Vec::with_capacity(tags.len() * 2 + 1);
        let mut at = 0;
        for tag in tags {
            pieces.push(Piece::Words(at..tag.span.start));
            pieces.push(value(source, tag)?);
            at = tag.span.end;
        }
        pieces.push(Piece::Words(at..source.len()));
        Some(Self(pieces))
    }

    /// Writes the text; `source` is what the pieces were made of.
    pub(super) fn write(&self, source: &str, values: &Value) -> Result<String, RenderError> {
        let mut text = String::with_capacity(source.len() * 2);
        for piece in &self.0 {
            match piece {
                Piece::Words(words) => text.push_str(&source[words.clone()]),
                Piece::Value { path, default, line } => {
                    let missing = || RenderError::Missing(path.clone());
                    let value = lookup(values, path).ok_or_else(missing)?;
                    match default {
                        Some(default) if vocabulary::is_blank(&value) => text.push_str(default),
                        _ if value.is_undefined() || value.is_none() => return Err(missing()),
                        _ => text.push_str(&vocabulary::written(&value).map_err(|error| {
                            RenderError::Unfit { line: *line, what: error.kind().to_string() }
                        })?),
                    }
                }
            }
            if text.len() > MAX_CHARS && text.chars().nth(MAX_CHARS).is_some() {
                return Err(RenderError::TooLong);
            }
        }
        Ok(text)
    }
}

/// The value at a dotted path; undefined or null when the last step is missing, `None` when a group on the way is: a
/// default excuses a missing `code`, never a missing `coupon`.
pub(super) fn lookup(values: &Value, path: &str) -> Option<Value> {
    let mut names = path.split('.');
    let mut value = values.get_attr(names.next()?).ok()?;
    for name in names {
        if value.is_none() {
            return None;
        }
        value = value.get_attr(name).ok()?;
    }
    Some(value)
}

fn value(source: &str, tag: &Tag<'_>) -> Option<Piece> {
    let inside = source[tag.span.clone()].strip_prefix("{{")?.strip_suffix("}}")?;
    // A sign at the border asks the engine to trim white space.
    if inside.starts_with(['-', '+']) || inside.ends_with(['-', '+']) {
        return None;
    }
    let first =
        tag.tokens.first().filter(|token| token.kind == Kind::Name && !check::is_keyword(token.text))?;
    let (path, end) = check::path(&tag.tokens, 0);
    let odd = |text: &str| text.contains(['.', '\\']) || text.is_empty();
    if tag.tokens[..end].iter().any(|token| token.kind == Kind::Text && odd(token.text)) {
        return None;
    }
    let words: Vec<&str> = tag.tokens[end..].iter().map(|token| token.text).collect();
    let default = match words.as_slice() {
        [] => None,
        ["|", "default" | "d", "(", text, ")"]
            if tag.tokens[end + 3].kind == Kind::Text && !text.contains('\\') =>
        {
            Some((*text).to_owned())
        }
        _ => return None,
    };
    Some(Piece::Value { path, default, line: place(source, first.at).0 })
}

//! Cuts a template into its tags and their tokens, so that a template can be checked by name and place before it meets
//! the engine. Never evaluates anything; what it accepts, the engine still parses by itself.

use std::ops::Range;

use super::Fault;

/// One `{{ … }}` or `{% … %}`.
pub(super) struct Tag<'s> {
    /// Octets of the source, delimiters included.
    pub(super) span: Range<usize>,
    /// True for `{% … %}`.
    pub(super) block: bool,
    /// What stands between the delimiters.
    pub(super) tokens: Vec<Token<'s>>,
}

/// One word of a tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Token<'s> {
    pub(super) kind: Kind,
    /// As written; a string without its quotes.
    pub(super) text: &'s str,
    /// Octet of the source where it starts.
    pub(super) at: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Name,
    Text,
    Number,
    Sign,
}

/// All tags in order; an error is the octet of the opening delimiter that nothing closes.
pub(super) fn tags(source: &str) -> Result<Vec<Tag<'_>>, (usize, Fault)> {
    let mut tags = Vec::new();
    let mut at = 0;
    while let Some(start) = source[at..].find('{').map(|found| at + found) {
        let rest = &source[start..];
        if rest.starts_with("{#") {
            let unclosed = || (start, Fault::Unclosed { opened: "{#", closes: "#}" });
            at = start + rest.find("#}").ok_or_else(unclosed)? + 2;
        } else if rest.starts_with("{{") || rest.starts_with("{%") {
            let tag = tag(source, start)?;
            at = tag.span.end;
            tags.push(tag);
        } else {
            at = start + 1;
        }
    }
    Ok(tags)
}

fn tag(source: &str, start: usize) -> Result<Tag<'_>, (usize, Fault)> {
    let block = source[start..].starts_with("{%");
    let (opened, closes) = if block { ("{%", "%}") } else { ("{{", "}}") };
    let unclosed = || (start, Fault::Unclosed { opened, closes });
    let mut tokens = Vec::new();
    let mut depth = 0_usize;
    let mut at = start + 2;
    at += usize::from(source[at..].starts_with(['-', '+']));
    loop {
        at += source[at..].len() - source[at..].trim_start().len();
        let rest = &source[at..];
        let close = rest.strip_prefix(['-', '+']).unwrap_or(rest);
        if depth == 0 && close.starts_with(closes) {
            let end = source.len() - close.len() + closes.len();
            return Ok(Tag { span: start..end, block, tokens });
        }
        let (kind, text, len) = token(rest).ok_or_else(unclosed)?;
        match text {
            "(" | "[" | "{" if kind == Kind::Sign => depth += 1,
            ")" | "]" | "}" if kind == Kind::Sign => depth = depth.saturating_sub(1),
            _ => {}
        }
        tokens.push(Token { kind, text, at });
        at += len;
    }
}

/// The token at the start of `rest` and the octets it takes; `None` at the end and in a string without an end.
fn token(rest: &str) -> Option<(Kind, &str, usize)> {
    let first = rest.chars().next()?;
    if first == '"' || first == '\'' {
        let len = string_len(rest, first)?;
        return Some((Kind::Text, &rest[1..len - 1], len));
    }
    let (kind, len) = if first.is_alphabetic() || first == '_' {
        (Kind::Name, run(rest, |c| c.is_alphanumeric() || c == '_'))
    } else if first.is_ascii_digit() {
        (Kind::Number, number_len(rest))
    } else if ["==", "!=", "<=", ">=", "//", "**"].iter().any(|sign| rest.starts_with(sign)) {
        (Kind::Sign, 2)
    } else {
        (Kind::Sign, first.len_utf8())
    };
    Some((kind, &rest[..len], len))
}

fn string_len(rest: &str, quote: char) -> Option<usize> {
    let mut escaped = false;
    for (at, c) in rest.char_indices().skip(1) {
        if escaped {
            escaped = false;
        } else if c == '\\' {
            escaped = true;
        } else if c == quote {
            return Some(at + 1);
        }
    }
    None
}

fn number_len(rest: &str) -> usize {
    let whole = run(rest, |c| c.is_ascii_digit() || c == '_');
    match rest[whole..].strip_prefix('.') {
        Some(fraction) if fraction.starts_with(|c: char| c.is_ascii_digit()) => {
            whole + 1 + run(fraction, |c| c.is_ascii_digit() || c == '_')
        }
        _ => whole,
    }
}

fn run(rest: &str, belongs: impl Fn(char) -> bool) -> usize {
    rest.find(|c| !belongs(c)).unwrap_or(rest.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_cut_where_the_engine_cuts_them() {
        let check = |source: &str, expected: &[&[&str]]| {
            let tags = tags(source).expect(source);
            let words: Vec<Vec<&str>> =
                tags.iter().map(|tag| tag.tokens.iter().map(|token| token.text).collect()).collect();
            assert_eq!(words, expected, "{source}");
        };
        check("no tag { } %} }}", &[]);
        check("{{a}}{# {{b}} #}{%- if c.d -%}x{% endif %}", &[&["a"], &["if", "c", ".", "d"], &["endif"]]);
        check("{{ '}}' ~ \"a\\\"}}\" }}", &[&["}}", "~", "a\\\"}}"]]);
        check("{{ {'a': {'b': 1}}.a }}", &[&["{", "a", ":", "{", "b", ":", "1", "}", "}", ".", "a"]]);
        check("{{ x|round(1.5)==2 }}", &[&["x", "|", "round", "(", "1.5", ")", "==", "2"]]);
    }

    #[test]
    fn a_tag_without_end_is_told_with_its_start() {
        let check = |source: &str, at: usize, opened: &str| match tags(source) {
            Err((place, Fault::Unclosed { opened: found, .. })) => {
                assert_eq!((place, found), (at, opened), "{source}");
            }
            _ => panic!("{source} has a tag without end"),
        };
        check("Hi {{ name", 3, "{{");
        check("Hi {{ name }", 3, "{{");
        check("Hi {{ 'name }}", 3, "{{");
        check("é{% if a }}", 2, "{%");
        check("{{ a }}{# note", 7, "{#");
    }
}

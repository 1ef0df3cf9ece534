//! What a template asks for: its tags in balance, only words that exist, and the variables it reads. The engine finds an
//! unknown function only when a text is rendered; a marketer must hear of it before.

use super::scan::{Kind, Tag, Token};
use super::{Fault, Variable, place, vocabulary};

/// Every variable the tags read, in order of first appearance, or the first fault with its octet.
pub(super) fn variables(source: &str, tags: &[Tag<'_>]) -> Result<Vec<Variable>, (usize, Fault)> {
    balance(tags)?;
    let mut variables: Vec<Variable> = Vec::new();
    let mut excused: Vec<String> = Vec::new();
    for tag in tags {
        for found in uses(&tag.tokens)? {
            if found.need == Need::Excuses {
                excused.push(found.path.clone());
            }
            let optional = found.need != Need::Required;
            if let Some(variable) = variables.iter_mut().find(|variable| variable.path == found.path) {
                variable.optional &= optional;
            } else {
                let (line, column) = place(source, found.at);
                variables.push(Variable { path: found.path, optional, line, column });
            }
        }
    }
    for variable in &mut variables {
        variable.optional |= excused.contains(&variable.path);
    }
    Ok(variables)
}

/// `if`, `elif`, `else` and `endif` match, and there is no other block tag.
fn balance(tags: &[Tag<'_>]) -> Result<(), (usize, Fault)> {
    let mut open = Vec::new();
    for tag in tags.iter().filter(|tag| tag.block) {
        let at = tag.span.start;
        let name = tag.tokens.first().map_or("", |token| token.text);
        match name {
            "if" => open.push(at),
            "elif" | "else" if open.is_empty() => return Err((at, Fault::NoIf(name.to_owned()))),
            "elif" | "else" => {}
            "endif" => drop(open.pop().ok_or_else(|| (at, Fault::NoIf(name.to_owned())))?),
            _ => return Err((at, Fault::UnknownTag(name.to_owned()))),
        }
    }
    open.pop().map_or(Ok(()), |at| Err((at, Fault::NoEndif)))
}

/// One place where a variable is read.
struct Use {
    path: String,
    need: Need,
    at: usize,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Need {
    /// Without a value the text cannot be written.
    Required,
    /// This place has a default.
    Defaulted,
    /// This place asks whether there is a value, so the author has thought of its absence everywhere in the template.
    Excuses,
}

fn uses(tokens: &[Token<'_>]) -> Result<Vec<Use>, (usize, Fault)> {
    let mut uses = Vec::new();
    let mut index = 0;
    while let Some(token) = tokens.get(index) {
        let before = index.checked_sub(1).and_then(|before| tokens.get(before)).copied();
        index += 1;
        if token.kind != Kind::Name {
            continue;
        }
        let after = tokens.get(index).copied();
        if is_sign(before, "|") {
            known(vocabulary::FILTERS, token, Fault::UnknownFilter)?;
        } else if is_test_name(tokens, index - 1) {
            known(vocabulary::TESTS, token, Fault::UnknownTest)?;
        } else if !is_keyword(token.text) && !is_sign(before, ".") && !is_sign(after, "=") {
            let (path, end) = path(tokens, index - 1);
            if is_sign(tokens.get(end).copied(), "(") {
                return Err((token.at, Fault::UnknownFunction(path)));
            }
            uses.push(Use { path, need: need(tokens, index - 1, end), at: token.at });
            index = end;
        }
    }
    Ok(uses)
}

fn known(names: &[&str], token: &Token<'_>, fault: fn(String) -> Fault) -> Result<(), (usize, Fault)> {
    if names.contains(&token.text) { Ok(()) } else { Err((token.at, fault(token.text.to_owned()))) }
}

/// The dotted path that starts at `start`, and the index behind it. `attr["favourite colour"]` is a path too.
pub(super) fn path(tokens: &[Token<'_>], start: usize) -> (String, usize) {
    let mut path = tokens[start].text.to_owned();
    let mut end = start + 1;
    loop {
        let (name, len) = match &tokens[end..] {
            [dot, name, ..] if is_sign(Some(*dot), ".") && name.kind == Kind::Name => (name.text, 2),
            [open, name, close, ..]
                if is_sign(Some(*open), "[") && is_sign(Some(*close), "]") && name.kind == Kind::Text =>
            {
                (name.text, 3)
            }
            _ => return (path, end),
        };
        path.push('.');
        path.push_str(name);
        end += len;
    }
}

/// Whether the use of a path in `tokens[start..end]` can do without a value.
fn need(tokens: &[Token<'_>], start: usize, end: usize) -> Need {
    let before = start.checked_sub(1).and_then(|before| tokens.get(before)).copied();
    let after = tokens.get(end).copied();
    let behind = tokens.get(end + 1).copied();
    if is_sign(after, "|") && behind.is_some_and(|name| matches!(name.text, "default" | "d")) {
        return Need::Defaulted;
    }
    if is_word(after, &["is"]) {
        let test = if is_word(behind, &["not"]) { tokens.get(end + 2).copied() } else { behind };
        return if is_word(test, &["defined", "undefined", "none"]) { Need::Excuses } else { Need::Required };
    }
    // The path is a whole condition: `{% if attr.city and not stage %}`, `a if a else b`.
    let opens = is_word(before, &["if", "elif", "and", "or", "not"]) || is_sign(before, "(");
    let closes = after.is_none() || is_word(after, &["and", "or", "else"]) || is_sign(after, ")");
    let in_condition = tokens[..start].iter().any(|token| is_word(Some(*token), &["if", "elif"]));
    if opens && closes && in_condition { Need::Excuses } else { Need::Required }
}

fn is_test_name(tokens: &[Token<'_>], index: usize) -> bool {
    let word = |back: usize| index.checked_sub(back).and_then(|at| tokens.get(at)).copied();
    let not = is_word(Some(tokens[index]), &["not"]);
    !not && (is_word(word(1), &["is"]) || is_word(word(1), &["not"]) && is_word(word(2), &["is"]))
}

pub(super) fn is_keyword(name: &str) -> bool {
    const KEYWORDS: &[&str] = &[
        "and", "elif", "else", "endif", "false", "False", "if", "in", "is", "none", "None", "not", "or",
        "true", "True",
    ];
    KEYWORDS.contains(&name)
}

fn is_word(token: Option<Token<'_>>, words: &[&str]) -> bool {
    token.is_some_and(|token| token.kind == Kind::Name && words.contains(&token.text))
}

fn is_sign(token: Option<Token<'_>>, sign: &str) -> bool {
    token.is_some_and(|token| token.kind == Kind::Sign && token.text == sign)
}

//! Stars over everything in a file that may be secret, byte for byte, so that places stay where they are.

use std::ops::Range;

use toml::de::{DeTable, DeValue};

/// A key with one of these in its name may hold a secret, whether or not anyone knows the key.
const TELLING: [&str; 9] =
    ["secret", "token", "passw", "credential", "auth", "api_key", "apikey", "private", "signing"];

/// Characters of an address among which a name and a password are looked for.
const LONGEST_LOGIN: usize = 2_000;

/// The text of a file whose tree is known.
pub(super) fn parsed(text: &str, tree: &DeTable<'_>) -> String {
    let mut hidden = url_passwords(text);
    for (key, value) in tree {
        hide(key.get_ref(), value.get_ref(), value.span(), false, &mut hidden);
    }
    starred(text, &hidden)
}

/// The text of a file that is not TOML: line by line, from the equals sign of a telling key to the next key or header.
pub(super) fn unparsed(text: &str) -> String {
    let mut hidden = url_passwords(text);
    let (mut header_tells, mut key_tells) = (false, false);
    let mut start = 0;
    for line in text.split_inclusive('\n') {
        let end = start + line.len();
        if line.trim_start().starts_with('[') {
            header_tells = tells(line);
            key_tells = false;
        } else if let Some(equals) = key_end(line) {
            key_tells = header_tells || tells(line);
            if key_tells {
                hidden.push(start + equals..end);
            }
        } else if key_tells || header_tells {
            hidden.push(start..end);
        }
        start = end;
    }
    starred(text, &hidden)
}

fn hide(key: &str, value: &DeValue<'_>, span: Range<usize>, within: bool, hidden: &mut Vec<Range<usize>>) {
    let within = within || tells(key);
    match value {
        DeValue::Table(table) => {
            for (key, value) in table {
                // Names of variables and files are no secrets, and an error about them must show them.
                let names = matches!(key.get_ref().as_ref(), "env" | "file") && is_name(value.get_ref());
                hide(key.get_ref(), value.get_ref(), value.span(), within && !names, hidden);
            }
        }
        DeValue::Array(array) => {
            for value in array {
                hide("", value.get_ref(), value.span(), within, hidden);
            }
        }
        _ if within => hidden.push(span),
        _ => {}
    }
}

fn is_name(value: &DeValue<'_>) -> bool {
    let plain = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_';
    value.as_str().is_some_and(|text| text.contains(['/', '.']) || text.chars().all(plain))
}

fn tells(key: &str) -> bool {
    let key = key.to_ascii_lowercase();
    TELLING.iter().any(|word| key.contains(word))
}

/// Where the value of a line begins, if the line begins with a key.
fn key_end(line: &str) -> Option<usize> {
    let equals = line.find('=')?;
    let key = line[..equals].trim();
    let in_key = |c: char| c.is_alphanumeric() || "_-.\"' ".contains(c);
    let value = line[equals + 1..].trim_start();
    (!key.is_empty() && key.chars().all(in_key) && !value.is_empty() && !value.starts_with('='))
        .then_some(equals + 1)
}

/// What stands between `://` and `@`, wherever it is.
fn url_passwords(text: &str) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    for (at, mark) in text.match_indices("://") {
        let start = at + mark.len();
        let rest = &text[start..];
        let ends = |c: char| c.is_whitespace() || matches!(c, '"' | '\'');
        let end = rest.char_indices().take(LONGEST_LOGIN).find(|(_, c)| ends(*c));
        let end = end.map_or_else(|| rest.floor_char_boundary(LONGEST_LOGIN), |(at, _)| at);
        if let Some(sign) = rest[..end].rfind('@') {
            found.push(start..start + sign);
        }
    }
    found
}

fn starred(text: &str, hidden: &[Range<usize>]) -> String {
    let mut covered = vec![false; text.len()];
    for range in hidden {
        covered[range.clone()].fill(true);
    }
    let mut out = String::with_capacity(text.len());
    for (at, c) in text.char_indices() {
        if covered[at] && !c.is_whitespace() && !matches!(c, '"' | '\'') {
            out.extend(std::iter::repeat_n('*', c.len_utf8()));
        } else {
            out.push(c);
        }
    }
    out
}

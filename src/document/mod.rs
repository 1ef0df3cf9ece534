//! Files that people write, as trees whose every value knows its place, and complaints that show that place.
//!
//! A reader asks tables for the keys it knows and says when it is done; whatever it did not ask for is an unknown key
//! and an error. All complaints of a file are collected, so that one look mends them all. Values that may be secrets are
//! starred out before anything is shown. This module knows TOML and nothing about winback; it opens no file.

mod errors;
mod mask;
mod near;
mod table;

use std::cell::RefCell;
use std::ops::Range;

use toml::Spanned;
use toml::de::DeTable;

pub use errors::{Complaint, FileErrors, Place};
pub use near::nearest;
pub use table::{Table, Value};

/// One TOML file being read.
#[derive(Debug)]
pub struct Document<'a> {
    file: &'a str,
    text: &'a str,
    tree: Spanned<DeTable<'a>>,
    notes: Notes,
}

/// What was found while reading, shared by all tables of a document.
#[derive(Debug, Default)]
struct Notes {
    complaints: RefCell<Vec<Complaint>>,
    #[cfg(test)]
    unset: RefCell<Vec<String>>,
}

impl<'a> Document<'a> {
    /// Reads `text`; `file` is what complaints call it.
    ///
    /// # Errors
    /// Everything that keeps the text from being TOML, one complaint a line.
    pub fn parse(file: &'a str, text: &'a str) -> Result<Self, FileErrors> {
        let (tree, errors) = DeTable::parse_recoverable(text);
        if errors.is_empty() {
            return Ok(Self { file, text, tree, notes: Notes::default() });
        }
        let mut complaints: Vec<Complaint> = Vec::new();
        for error in errors {
            let span = error.span().unwrap_or(0..0);
            let line =
                |span: &Range<usize>| text.get(..span.start).map(|before| before.matches('\n').count());
            let seen = complaints.iter().any(|c| c.span().is_some_and(|known| line(&known) == line(&span)));
            if !seen {
                complaints.push(Complaint::at(span, error.message()));
            }
        }
        Err(FileErrors::new(file, mask::unparsed(text), complaints))
    }

    /// The table that is the whole file.
    pub fn root(&self) -> Table<'_> {
        Table::new(self.text, &self.notes, String::new(), None, self.tree.get_ref())
    }

    /// The value at a path of keys, if it is there; complains about nothing.
    pub fn find(&self, path: &[&str]) -> Option<Value<'_>> {
        let (last, tables) = path.split_last()?;
        let mut table = self.root();
        for key in tables {
            table = table.peek(key)?.as_table()?;
        }
        table.peek(last)
    }

    /// Complains about the file as a whole.
    pub fn complain(&self, title: impl Into<String>, help: impl Into<String>) {
        self.notes.add(Complaint::whole(title).help(help));
    }

    /// Ends the reading: `value` if nothing was wrong.
    ///
    /// # Errors
    /// Every complaint, in the order of the file.
    pub fn finish<T>(self, value: Option<T>) -> Result<T, FileErrors> {
        let complaints = self.notes.complaints.into_inner();
        if let (Some(value), true) = (value, complaints.is_empty()) {
            return Ok(value);
        }
        debug_assert!(!complaints.is_empty(), "a value is missing and nobody said why");
        Err(FileErrors::new(self.file, mask::parsed(self.text, self.tree.get_ref()), complaints))
    }

    /// Dotted names of the keys that readers asked for and the file does not have.
    #[cfg(test)]
    pub(crate) fn unset(&self) -> Vec<String> {
        self.notes.unset.borrow().clone()
    }
}

impl Notes {
    fn add(&self, complaint: Complaint) {
        self.complaints.borrow_mut().push(complaint);
    }
}

/// A word from a file as it may be shown inside a message: one line, not long, without control characters.
pub fn quoted(word: &str) -> String {
    const LONGEST: usize = 60;
    let mut shown: String = word
        .chars()
        .take(LONGEST)
        .map(|c| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c })
        .collect();
    if word.chars().nth(LONGEST).is_some() {
        shown.push('…');
    }
    format!("`{shown}`")
}

/// Whether a text can name a route, a segment, a campaign or a pool: lower-case letters, digits, `-` and `_`, at most 64,
/// a letter or digit first. Such names stand in addresses, file names and commands without quoting.
pub fn is_name(text: &str) -> bool {
    let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '_';
    text.len() <= 64 && text.chars().all(inner) && !text.starts_with(['-', '_']) && !text.is_empty()
}

/// What [`is_name`] asks for, to end a message with.
pub const NAME_RULE: &str = "use lower-case letters, digits, - and _, at most 64, a letter or digit first";

#[cfg(test)]
mod tests;

//! Tables and values of a document. Every question that a value cannot answer becomes a complaint at its place.

use std::cell::RefCell;
use std::collections::HashSet;
use std::fmt::Display;
use std::ops::{Range, RangeInclusive};
use std::str::FromStr;

use toml::de::{DeTable, DeValue};

use super::{Complaint, Notes, nearest, quoted};

/// A table whose keys are asked for one by one; [`Table::finish`] complains about those nobody asked for.
#[derive(Debug)]
pub struct Table<'d> {
    text: &'d str,
    notes: &'d Notes,
    path: String,
    /// Where its own key stands; none for the file itself.
    span: Option<Range<usize>>,
    entries: &'d DeTable<'d>,
    known: RefCell<Vec<&'static str>>,
    refused: RefCell<HashSet<&'static str>>,
    missing: RefCell<Vec<(&'static str, String)>>,
}

/// One value and where it stands.
#[derive(Clone, Debug)]
pub struct Value<'d> {
    text: &'d str,
    notes: &'d Notes,
    path: String,
    key: Range<usize>,
    span: Range<usize>,
    node: &'d DeValue<'d>,
}

impl<'d> Table<'d> {
    pub(super) fn new(
        text: &'d str,
        notes: &'d Notes,
        path: String,
        span: Option<Range<usize>>,
        entries: &'d DeTable<'d>,
    ) -> Self {
        Self {
            text,
            notes,
            path,
            span,
            entries,
            known: RefCell::default(),
            refused: RefCell::default(),
            missing: RefCell::default(),
        }
    }

    /// The value of `key`, if it is set.
    pub fn get(&self, key: &'static str) -> Option<Value<'d>> {
        let mut known = self.known.borrow_mut();
        if !known.contains(&key) {
            known.push(key);
        }
        let value = self.peek(key);
        #[cfg(test)]
        if value.is_none() {
            self.notes.unset.borrow_mut().push(self.dotted(key));
        }
        value
    }

    /// The value of `key`; a complaint with the way out if it is not set.
    pub fn require(&self, key: &'static str, help: impl Into<String>) -> Option<Value<'d>> {
        let value = self.get(key);
        if value.is_none() {
            self.missing.borrow_mut().push((key, help.into()));
        }
        value
    }

    /// The table under `key`, if it is set.
    pub fn table(&self, key: &'static str) -> Option<Table<'d>> {
        self.get(key)?.table()
    }

    /// Complains if `key` is set: it has a meaning, but not here or not yet.
    pub fn refuse(&self, key: &'static str, title: impl Into<String>, help: impl Into<String>) {
        self.refused.borrow_mut().insert(key);
        if let Some(value) = self.peek(key) {
            value.complain_at_key(title, help);
        }
    }

    /// All entries, in the order of the file, for tables whose keys are names that the user chose.
    pub fn entries(&self) -> Vec<(String, Value<'d>)> {
        let keys = self.entries.keys();
        let mut all: Vec<(String, Value<'d>)> =
            keys.filter_map(|key| Some((key.get_ref().to_string(), self.peek(key.get_ref())?))).collect();
        all.sort_by_key(|(_, value)| value.key.start);
        all
    }

    /// Complains about the table itself.
    pub fn complain(&self, title: impl Into<String>, help: impl Into<String>) {
        let complaint = match &self.span {
            Some(span) => Complaint::at(span.clone(), title),
            None => Complaint::whole(title),
        };
        self.notes.add(complaint.help(help));
    }

    /// Everything was asked for: complains about keys nobody knows and about required ones that are not there.
    pub fn finish(self) {
        let known = self.known.take();
        let refused = self.refused.take();
        let mut meant = HashSet::new();
        for (key, value) in self.entries() {
            if known.contains(&key.as_str()) || refused.contains(key.as_str()) {
                continue;
            }
            let title = format!("{} is not a key that is known here", quoted(&self.dotted(&key)));
            let help = match nearest(&key, known.iter().copied()) {
                Some(near) => {
                    meant.insert(near);
                    format!("did you mean `{near}`?")
                }
                None => format!("known keys are {}", known.join(", ")),
            };
            value.complain_at_key(title, help);
        }
        for (key, help) in self.missing.take() {
            if !meant.contains(key) {
                self.complain(format!("{} is missing", quoted(&self.dotted(key))), help);
            }
        }
    }

    /// The value of `key` without making the key a known one.
    pub(super) fn peek(&self, key: &str) -> Option<Value<'d>> {
        let (name, value) = self.entries.get_key_value(key)?;
        Some(Value {
            text: self.text,
            notes: self.notes,
            path: self.dotted(key),
            key: name.span(),
            span: value.span(),
            node: value.get_ref(),
        })
    }

    fn dotted(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }
}

impl<'d> Value<'d> {
    /// Its dotted name, for messages.
    pub fn name(&self) -> String {
        quoted(&self.path)
    }

    /// Complains about the value.
    pub fn complain(&self, title: impl Into<String>, help: impl Into<String>) {
        self.notes.add(Complaint::at(self.span.clone(), title).help(help));
    }

    /// Complains about the key.
    pub fn complain_at_key(&self, title: impl Into<String>, help: impl Into<String>) {
        self.notes.add(Complaint::at(self.key.clone(), title).help(help));
    }

    /// Complains about a part of a text: `part` counts bytes of the text as [`Value::text`] gives it. A text with
    /// escapes is marked as a whole, because its bytes are not those of the file.
    pub fn complain_inside(&self, part: Range<usize>, title: impl Into<String>, help: impl Into<String>) {
        let inside = self.node.as_str().and_then(|decoded| {
            let raw = self.text.get(self.span.clone())?;
            let quotes = if raw.starts_with("\"\"\"") || raw.starts_with("'''") { 3 } else { 1 };
            let body = raw.get(quotes..)?;
            let newline = body.len() - body.trim_start_matches('\r').trim_start_matches('\n').len();
            let skipped = if quotes == 3 && body.starts_with(['\r', '\n']) { newline.min(2) } else { 0 };
            let found = body.get(skipped..)?.starts_with(decoded) && decoded.get(part.clone()).is_some();
            let start = self.span.start + quotes + skipped;
            found.then_some(start + part.start..start + part.end)
        });
        self.notes.add(Complaint::at(inside.unwrap_or(self.span.clone()), title).help(help));
    }

    /// A text.
    pub fn text(&self) -> Option<&'d str> {
        self.node.as_str().or_else(|| self.wrong_kind("text in quotes"))
    }

    /// A text with at least one character that is not a space.
    pub fn some_text(&self) -> Option<&'d str> {
        let text = self.text()?;
        if text.trim().is_empty() {
            self.complain(format!("{} is empty", self.name()), "write something, or remove the key");
            return None;
        }
        Some(text)
    }

    /// True or false.
    pub fn truth(&self) -> Option<bool> {
        self.node.as_bool().or_else(|| self.wrong_kind("true or false"))
    }

    /// A whole number within `range`.
    pub fn whole(&self, range: RangeInclusive<i64>) -> Option<i64> {
        let DeValue::Integer(number) = self.node else { return self.wrong_kind("a whole number") };
        match i64::from_str_radix(number.as_str(), number.radix()) {
            Ok(number) if range.contains(&number) => Some(number),
            _ => {
                let (least, most) = range.into_inner();
                self.complain(
                    format!("{} is out of range", self.name()),
                    format!("{least} to {most} is possible"),
                );
                None
            }
        }
    }

    /// A number with or without decimals, within `range`.
    pub fn number(&self, range: RangeInclusive<f64>) -> Option<f64> {
        let written = self.digits()?;
        match written.parse::<f64>() {
            Ok(number) if range.contains(&number) => Some(number),
            _ => {
                let (least, most) = range.into_inner();
                self.complain(
                    format!("{} is out of range", self.name()),
                    format!("{least} to {most} is possible"),
                );
                None
            }
        }
    }

    /// A number exactly as it is written, in decimal notation, for amounts of money.
    pub fn digits(&self) -> Option<String> {
        match self.node {
            DeValue::Integer(number) if number.radix() == 10 => Some(number.as_str().to_owned()),
            DeValue::Float(number) => Some(number.as_str().to_owned()),
            _ => self.wrong_kind("a number"),
        }
    }

    /// A text in quotes, or a date and time without them: TOML knows both.
    pub fn text_or_time(&self) -> Option<String> {
        match self.node {
            DeValue::Datetime(time) => Some(time.to_string()),
            DeValue::String(text) => Some(text.to_string()),
            _ => self.wrong_kind("a time in quotes"),
        }
    }

    /// A text, number or truth, as text.
    pub fn scalar(&self) -> Option<String> {
        match self.node {
            DeValue::String(text) => Some(text.to_string()),
            DeValue::Integer(number) if number.radix() == 10 => Some(number.as_str().to_owned()),
            DeValue::Float(number) => Some(number.as_str().to_owned()),
            DeValue::Boolean(truth) => Some(truth.to_string()),
            _ => self.wrong_kind("a text, a number, or true or false"),
        }
    }

    /// A text that `T` can read; its own error is the complaint.
    pub fn parsed<T: FromStr<Err: Display>>(&self) -> Option<T> {
        let read = self.text()?.parse();
        read.map_err(|error| self.complain(format!("{}: {error}", self.name()), "")).ok()
    }

    /// One of a few words.
    pub fn word<T: Copy>(&self, words: &[(&str, T)]) -> Option<T> {
        let text = self.text()?;
        let found = words.iter().find(|(word, _)| *word == text).map(|(_, meaning)| *meaning);
        if found.is_none() {
            let known: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
            let help = match nearest(text, known.iter().copied()) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("known are {}", known.join(", ")),
            };
            self.complain(format!("{} cannot be {}", self.name(), quoted(text)), help);
        }
        found
    }

    /// The elements of a list.
    pub fn list(&self) -> Option<Vec<Value<'d>>> {
        let Some(array) = self.node.as_array() else { return self.wrong_kind("a list in [brackets]") };
        let element = |(at, value): (usize, &'d toml::Spanned<DeValue<'d>>)| Value {
            text: self.text,
            notes: self.notes,
            path: format!("{}[{at}]", self.path),
            key: value.span(),
            span: value.span(),
            node: value.get_ref(),
        };
        Some(array.iter().enumerate().map(element).collect())
    }

    /// A table.
    pub fn table(&self) -> Option<Table<'d>> {
        self.as_table().or_else(|| self.wrong_kind("a table"))
    }

    /// A table, or nothing and no complaint.
    pub fn as_table(&self) -> Option<Table<'d>> {
        let entries = self.node.as_table()?;
        Some(Table::new(self.text, self.notes, self.path.clone(), Some(self.key.clone()), entries))
    }

    /// Whether it is a text.
    pub fn is_text(&self) -> bool {
        self.node.is_str()
    }

    fn wrong_kind<T>(&self, wanted: &str) -> Option<T> {
        let found = match self.node {
            DeValue::String(_) => "a text",
            DeValue::Integer(_) => "a whole number",
            DeValue::Float(_) => "a number",
            DeValue::Boolean(_) => "true or false",
            DeValue::Datetime(_) => "a time",
            DeValue::Array(_) => "a list",
            DeValue::Table(_) => "a table",
        };
        self.complain(format!("{} must be {wanted}, not {found}", self.name()), "");
        None
    }
}

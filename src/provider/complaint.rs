//! What is wrong with a definition, where exactly, and the way out. It never decides what is wrong; it only says it well.

use std::fmt;

use toml::de::{DeTable, DeValue};

/// One thing wrong with a definition, its cases or a route's settings, in words for the person who wrote it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Complaint {
    /// The file, as its reader knows it.
    pub file: String,
    /// Line, from 1; 0 when the complaint is about the file as a whole.
    pub line: usize,
    /// Column in characters, from 1; 0 when the complaint is about the file as a whole.
    pub column: usize,
    /// The key, dotted: `response.class[2].is`. Empty for the file as a whole.
    pub key: String,
    /// What is wrong and how to mend it.
    pub problem: String,
}

impl fmt::Display for Complaint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if self.line > 0 {
            write!(f, ":{}:{}", self.line, self.column)?;
        }
        if !self.key.is_empty() {
            write!(f, ": `{}`", self.key)?;
        }
        write!(f, ": {}", self.problem)
    }
}

impl Complaint {
    /// A complaint about a whole file or about something outside any file.
    pub fn whole(file: impl Into<String>, problem: impl Into<String>) -> Self {
        Self { file: file.into(), line: 0, column: 0, key: String::new(), problem: problem.into() }
    }
}

/// A place inside a TOML document.
#[derive(Clone, Debug, Default)]
pub(crate) struct KeyPath(Vec<Step>);

#[derive(Clone, Debug)]
enum Step {
    Key(String),
    Index(usize),
}

impl KeyPath {
    /// The document itself.
    pub(crate) fn root() -> Self {
        Self::default()
    }

    /// The value under `key`.
    pub(crate) fn key(&self, key: &str) -> Self {
        let mut steps = self.0.clone();
        steps.push(Step::Key(key.to_owned()));
        Self(steps)
    }

    /// The element `index`, from 0.
    pub(crate) fn index(&self, index: usize) -> Self {
        let mut steps = self.0.clone();
        steps.push(Step::Index(index));
        Self(steps)
    }
}

impl fmt::Display for KeyPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, step) in self.0.iter().enumerate() {
            match step {
                Step::Index(index) => write!(f, "[{index}]")?,
                Step::Key(key) if at == 0 => f.write_str(key)?,
                Step::Key(key) => write!(f, ".{key}")?,
            }
        }
        Ok(())
    }
}

/// The text of a TOML file, and a list of what is wrong with it.
#[derive(Debug)]
pub(crate) struct Complaints<'a> {
    file: &'a str,
    text: &'a str,
    list: Vec<Complaint>,
}

impl<'a> Complaints<'a> {
    /// Nothing is wrong yet.
    pub(crate) fn about(file: &'a str, text: &'a str) -> Self {
        Self { file, text, list: Vec::new() }
    }

    /// Notes that the value at `path` is wrong; points at the nearest enclosing key that exists.
    pub(crate) fn add(&mut self, path: &KeyPath, problem: impl Into<String>) {
        let offset = DeTable::parse(self.text).ok().map(|table| locate(&table, path));
        let (line, column) = offset.map_or((0, 0), |offset| line_column(self.text, offset));
        let (file, key) = (self.file.to_owned(), path.to_string());
        self.list.push(Complaint { file, line, column, key, problem: problem.into() });
    }

    /// Notes that the text is not TOML, or not TOML of the expected shape.
    pub(crate) fn add_toml(&mut self, error: &toml::de::Error) {
        let (line, column) = error.span().map_or((0, 0), |span| line_column(self.text, span.start));
        let problem = with_suggestion(error.message());
        let (file, key) = (self.file.to_owned(), String::new());
        self.list.push(Complaint { file, line, column, key, problem });
    }

    /// True while nothing is wrong.
    pub(crate) fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Everything noted so far, or nothing.
    pub(crate) fn finish(self) -> Result<(), Vec<Complaint>> {
        if self.list.is_empty() { Ok(()) } else { Err(self.list) }
    }
}

/// The word in `known` that is closest to `word`, if one is close enough to have been meant.
pub(crate) fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let length = word.chars().count();
    let limit = (length / 3).max(if length < 4 { 1 } else { 2 });
    let scored = known.into_iter().map(|candidate| (distance(word, candidate), candidate));
    scored.filter(|(distance, _)| *distance <= limit).min_by_key(|(distance, _)| *distance).map(|(_, c)| c)
}

/// `; did you mean X?` or `; known are A, B`, to end a sentence about an unknown word.
pub(crate) fn hint<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    let known: Vec<&str> = known.into_iter().collect();
    match nearest(word, known.iter().copied()) {
        Some(meant) => format!("; did you mean `{meant}`?"),
        None if known.is_empty() => "; none are declared".to_owned(),
        None => format!("; known are {}", known.join(", ")),
    }
}

fn locate(table: &toml::Spanned<DeTable<'_>>, path: &KeyPath) -> usize {
    let mut offset = table.span().start;
    let mut steps = path.0.iter();
    let Some(Step::Key(first)) = steps.next() else { return offset };
    let mut value = match find(table.get_ref(), first) {
        Some((at, value)) => {
            offset = at;
            value
        }
        None => return offset,
    };
    for step in steps {
        let next = match step {
            Step::Key(key) => value.as_table().and_then(|table| find(table, key)),
            Step::Index(index) => value.get(*index).map(|element| (element.span().start, element.get_ref())),
        };
        match next {
            Some((at, inner)) => (offset, value) = (at, inner),
            None => break,
        }
    }
    offset
}

fn find<'t, 'i>(table: &'t DeTable<'i>, key: &str) -> Option<(usize, &'t DeValue<'i>)> {
    let entry = table.iter().find(|(name, _)| name.get_ref() == key);
    entry.map(|(name, value)| (name.span().start, value.get_ref()))
}

fn line_column(text: &str, offset: usize) -> (usize, usize) {
    let before = text.get(..offset).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().map_or(0, |last| last.chars().count()) + 1;
    (line, column)
}

/// Serde names the unknown word and the known ones, each in backticks; the closest of these is what was meant.
fn with_suggestion(message: &str) -> String {
    let quoted: Vec<&str> = message.split('`').skip(1).step_by(2).collect();
    let unknown = message.starts_with("unknown ");
    match quoted.split_first() {
        Some((word, known)) if unknown => match nearest(word, known.iter().copied()) {
            Some(meant) => format!("{message}; did you mean `{meant}`?"),
            None => message.to_owned(),
        },
        _ => message.to_owned(),
    }
}

/// Levenshtein's distance, one row at a time.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, to) in b.iter().enumerate() {
            let swap = diagonal + usize::from(from != *to);
            diagonal = row[j + 1];
            row[j + 1] = swap.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::{Complaints, KeyPath, hint};

    #[test]
    fn a_complaint_names_line_and_column_of_the_key() {
        let text = "format = 1\n[send.form]\nTo = '{too}'\n\n[[class]]\nis = [1]\n[[class]]\nis = []\n";
        let check = |path: KeyPath, line: usize, shown: &str| {
            let mut complaints = Complaints::about("acme.toml", text);
            complaints.add(&path, "is wrong");
            let list = complaints.finish().expect_err("one complaint");
            assert_eq!((list[0].line, list[0].key.as_str()), (line, shown));
        };
        check(KeyPath::root().key("send").key("form").key("To"), 3, "send.form.To");
        check(KeyPath::root().key("class").index(1).key("is"), 8, "class[1].is");
        check(KeyPath::root().key("send").key("json"), 2, "send.json");
        check(KeyPath::root().key("nothing"), 1, "nothing");
    }

    #[test]
    fn a_slip_of_the_keyboard_is_answered_with_the_word_that_was_meant() {
        assert_eq!(hint("recipents", ["recipients", "parts"]), "; did you mean `recipients`?");
        assert_eq!(hint("zebra", ["to", "text"]), "; known are to, text");
        assert_eq!(hint("zebra", []), "; none are declared");
    }
}

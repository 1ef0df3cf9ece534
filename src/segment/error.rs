//! What is wrong with an expression: the place, the reason and the way out. Never guesses silently.

use std::fmt;
use std::ops::Range;

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};

/// A text that is not a segment. `Display` shows the line with a caret under the place and a suggestion below it;
/// the parts are there for a caller that shows the place inside its own file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SegmentError {
    text: String,
    span: Range<usize>,
    message: String,
    suggestion: Option<String>,
}

impl SegmentError {
    pub(crate) fn new(text: &str, span: Range<usize>, message: impl Into<String>) -> Self {
        Self { text: text.to_owned(), span: within(text, span), message: message.into(), suggestion: None }
    }

    /// The same error with a way out.
    #[must_use]
    pub(crate) fn help(mut self, suggestion: impl Into<String>) -> Self {
        self.suggestion = Some(suggestion.into());
        self
    }

    /// What is wrong, in one line.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// What to write instead, when there is a good guess.
    pub fn suggestion(&self) -> Option<&str> {
        self.suggestion.as_deref()
    }

    /// The bytes of the expression that are meant.
    pub fn span(&self) -> Range<usize> {
        self.span.clone()
    }

    /// Line of the place, from 1.
    pub fn line(&self) -> usize {
        self.text[..self.span.start].matches('\n').count() + 1
    }

    /// Column of the place in characters, from 1.
    pub fn column(&self) -> usize {
        let before = &self.text[..self.span.start];
        before.rsplit('\n').next().map_or(0, |line| line.chars().count()) + 1
    }
}

impl fmt::Display for SegmentError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let caret = AnnotationKind::Primary.span(self.span.clone());
        let title = Level::ERROR.no_name().primary_title(self.message.as_str());
        let mut report: Vec<Group<'_>> =
            vec![title.element(Snippet::source(self.text.as_str()).annotation(caret))];
        if let Some(suggestion) = &self.suggestion {
            report.push(Group::with_title(Level::HELP.secondary_title(suggestion.as_str())));
        }
        f.write_str(&Renderer::plain().render(&report))
    }
}

impl std::error::Error for SegmentError {}

/// The span moved inside the text and onto character borders, at least one character wide where there is one.
fn within(text: &str, span: Range<usize>) -> Range<usize> {
    let start = text.floor_char_boundary(span.start);
    let end = text.ceil_char_boundary(span.end);
    if end > start {
        return start..end;
    }
    start..text.ceil_char_boundary((start + 1).min(text.len()))
}

/// The candidate nearest to `word`, if it is near enough to be a slip of the pen.
pub(crate) fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let word = word.to_lowercase();
    let allowed = (word.chars().count() / 3).max(1);
    candidates
        .into_iter()
        .map(|candidate| (distance(&word, &candidate.to_lowercase()), candidate))
        .filter(|(distance, _)| *distance <= allowed)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// Edits between two words: insert, delete, replace or swap two neighbours (optimal string alignment).
fn distance(left: &str, right: &str) -> usize {
    let (left, right): (Vec<char>, Vec<char>) = (left.chars().collect(), right.chars().collect());
    let mut rows = vec![(0..=right.len()).collect::<Vec<usize>>()];
    for (i, a) in left.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, b) in right.iter().enumerate() {
            let replaced = rows[i][j] + usize::from(a != b);
            let mut best = replaced.min(rows[i][j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && *a == right[j - 1] && left[i - 1] == *b {
                best = best.min(rows[i - 1][j - 1] + 1);
            }
            row.push(best);
        }
        rows.push(row);
    }
    rows[left.len()][right.len()]
}

#[cfg(test)]
mod tests {
    use super::{SegmentError, nearest};

    #[test]
    fn a_slip_of_the_pen_finds_its_word_and_a_stranger_does_not() {
        let words = ["stage", "country", "days_since", "sum"];
        let check = |word: &str, found: Option<&str>| assert_eq!(nearest(word, words), found, "{word}");
        check("satge", Some("stage"));
        check("Stages", Some("stage"));
        check("contry", Some("country"));
        check("dayssince", Some("days_since"));
        check("some", None);
        check("city", None);
    }

    #[test]
    fn the_place_is_told_by_line_and_column() {
        let text = "stage = 'a'\nand 城市 = 1";
        let error = SegmentError::new(text, 16..22, "no");
        assert_eq!((error.line(), error.column()), (2, 5));
    }
}

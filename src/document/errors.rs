//! Complaints about a file, shown the way a compiler shows them. Decides nothing; only says it well.

use std::fmt;
use std::ops::Range;

use annotate_snippets::{AnnotationKind, Element, Group, Level, Origin, Renderer, Snippet};

/// One thing that is wrong, where, and the way out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Complaint {
    title: String,
    help: Option<String>,
    span: Option<Range<usize>>,
}

impl Complaint {
    /// About the bytes `span` of the file.
    pub fn at(span: Range<usize>, title: impl Into<String>) -> Self {
        Self { title: title.into(), help: None, span: Some(span) }
    }

    /// About the file as a whole.
    pub fn whole(title: impl Into<String>) -> Self {
        Self { title: title.into(), help: None, span: None }
    }

    /// The same complaint with a way out.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into()).filter(|help| !help.is_empty());
        self
    }

    /// The bytes that are meant; none for the file as a whole.
    pub fn span(&self) -> Option<Range<usize>> {
        self.span.clone()
    }
}

/// One complaint as programs want it.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Place {
    /// Line, from 1; 0 for the file as a whole.
    pub line: usize,
    /// Column in characters, from 1; 0 for the file as a whole.
    pub column: usize,
    /// What is wrong.
    pub problem: String,
    /// The way out, where there is one to tell.
    pub help: Option<String>,
}

/// Everything that is wrong with one file; there is at least one complaint. `Display` shows each with the line it is
/// about and a mark under the place.
#[derive(Clone, PartialEq, Eq)]
pub struct FileErrors {
    file: String,
    /// The file with everything starred out that may be secret; offsets are those of the file.
    source: String,
    complaints: Vec<Complaint>,
    /// Whether the file is right all the same.
    doubts: bool,
}

impl FileErrors {
    /// `source` must not hold anything that may not be shown.
    pub(super) fn new(file: &str, source: String, mut complaints: Vec<Complaint>) -> Self {
        complaints.sort_by_key(|complaint| complaint.span().map_or(0, |span| span.start));
        Self { file: file.to_owned(), source, complaints, doubts: false }
    }

    /// The same, shown as warnings: the file is right, and something about it may not be meant.
    #[must_use]
    pub fn as_warnings(mut self) -> Self {
        self.doubts = true;
        self
    }

    /// One complaint about a file of which nothing is shown, because it could not even be read.
    pub fn whole(file: &str, title: impl Into<String>, help: impl Into<String>) -> Self {
        Self::new(file, String::new(), vec![Complaint::whole(title).help(help)])
    }

    /// The file, as its reader called it.
    pub fn file(&self) -> &str {
        &self.file
    }

    /// What is wrong, in the order of the file.
    pub fn complaints(&self) -> &[Complaint] {
        &self.complaints
    }

    /// What is wrong, with lines and columns.
    pub fn places(&self) -> Vec<Place> {
        self.complaints.iter().map(|complaint| self.place(complaint)).collect()
    }

    /// The complaints as text, with colours for a terminal if `styled`.
    pub fn render(&self, styled: bool) -> String {
        let renderer = if styled { Renderer::styled() } else { Renderer::plain() };
        let shown: Vec<String> = self.complaints.iter().map(|c| renderer.render(&[self.group(c)])).collect();
        shown.join("\n\n")
    }

    fn group<'s>(&'s self, complaint: &'s Complaint) -> Group<'s> {
        let level = if self.doubts { Level::WARNING } else { Level::ERROR };
        let title = level.primary_title(complaint.title.as_str());
        let place: Element<'s> = match &complaint.span {
            Some(span) => Snippet::source(self.source.as_str())
                .path(self.file.as_str())
                .annotation(AnnotationKind::Primary.span(shown_part(&self.source, span)))
                .into(),
            None => Origin::path(self.file.as_str()).into(),
        };
        let help = complaint.help.as_deref().map(|help| Level::HELP.message(help));
        title.element(place).elements(help)
    }

    fn place(&self, complaint: &Complaint) -> Place {
        let (problem, help) = (complaint.title.clone(), complaint.help.clone());
        let before = complaint.span.as_ref().and_then(|span| self.source.get(..span.start));
        let Some(before) = before else { return Place { line: 0, column: 0, problem, help } };
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().map_or(0, |last| last.chars().count()) + 1;
        Place { line, column, problem, help }
    }
}

impl fmt::Display for FileErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(false))
    }
}

impl std::error::Error for FileErrors {}

impl fmt::Debug for FileErrors {
    /// As `Display`: the text of the file stays out of debug output.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// The first line of a span: marks that run over many lines hide what they mark.
fn shown_part(source: &str, span: &Range<usize>) -> Range<usize> {
    let Some(marked) = source.get(span.clone()) else { return 0..0 };
    let first = marked.split(['\r', '\n']).next().map_or(0, str::len);
    span.start..span.start + first
}

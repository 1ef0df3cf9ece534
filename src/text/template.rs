//! Templates: a marketer's text with variables, checked once and rendered for each contact.
//!
//! The language is a small part of Jinja: `{{ variable }}`, filters, tests and `{% if %}`. What a contact is called is
//! data: braces in a name stay braces. Rendering is strict, so that nobody reads "Hi none"; it never reads a file,
//! another template, the clock or the store, and a text that grows too long is an error, never cut.

mod check;
mod direct;
mod scan;
mod vocabulary;

use std::fmt;
use std::io;
use std::sync::Arc;

use minijinja::value::Serde;
use minijinja::{Environment, Error, ErrorKind, Value};
use serde::Serialize;
use unicode_normalization::{IsNormalized, UnicodeNormalization, is_nfc_quick};

use direct::{Pieces, lookup};
use scan::Tag;
use vocabulary::Present;

/// Characters that a rendered text may have: a little more than ten parts of GSM-7 carry.
pub const MAX_CHARS: usize = 1_600;

/// Characters that the source of a template may have.
pub const MAX_SOURCE_CHARS: usize = 4_000;

/// A checked template. A clone shares the compiled form; threads may render one at the same time.
#[derive(Clone)]
pub struct Template(Arc<Inner>);

struct Inner {
    engine: Environment<'static>,
    source: String,
    variables: Vec<Variable>,
    /// The short way to the text, for templates that only put values between words.
    pieces: Option<Pieces>,
}

/// The name of the one template in its engine.
const NAME: &str = "text";

impl Template {
    /// Checks and compiles `source`. Line ends after the last word are dropped: they cost a septet and say nothing.
    ///
    /// # Errors
    /// The first fault with its place: a tag that nothing closes, a word that the language does not have (functions
    /// included), or a mistake inside a tag.
    pub fn compile(source: &str) -> Result<Self, TemplateError> {
        let source = source.trim_end_matches(['\r', '\n']);
        let located = |(at, fault)| TemplateError::at(source, at, fault);
        if source.chars().nth(MAX_SOURCE_CHARS).is_some() {
            return Err(located((0, Fault::TooLong)));
        }
        let tags = scan::tags(source).map_err(located)?;
        let variables = check::variables(source, &tags).map_err(located)?;
        let mut engine = vocabulary::environment();
        engine
            .add_template_owned(NAME, source.to_owned())
            .map_err(|error| located(syntax_fault(&engine, source, &tags, &error)))?;
        let pieces = Pieces::of(source, &tags);
        Ok(Self(Arc::new(Inner { engine, source: source.to_owned(), variables, pieces })))
    }

    /// The variables that the template reads, in order of first appearance.
    pub fn variables(&self) -> &[Variable] {
        &self.0.variables
    }

    /// What was compiled.
    pub fn source(&self) -> &str {
        &self.0.source
    }

    /// Writes the text for one contact: `values` is a map or struct of `first_name`, `last_name`, `customer_id`,
    /// `locale`, `stage`, `attr` (a map) and `coupon` (`code`, `value`, `expires`); a null is a missing value.
    ///
    /// The text is normalised to NFC and has no control characters but line feeds: CR LF, CR, vertical tab, form feed
    /// and NEL become a line feed, a tab becomes a space, all others go.
    ///
    /// # Errors
    /// A variable without value, a text above [`MAX_CHARS`], or an operation that the values do not allow. An error
    /// names variables and places, never values.
    pub fn render(&self, values: &impl Serialize) -> Result<String, RenderError> {
        let values = Value::from(Serde(values));
        let inner = &*self.0;
        match &inner.pieces {
            Some(pieces) => pieces.write(&inner.source, &values).map(clean),
            None => inner.evaluate(values).map(clean),
        }
    }
}

impl fmt::Debug for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Template").field(&self.0.source).finish()
    }
}

/// A variable that a template reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Variable {
    /// Dotted, such as `first_name`, `coupon.code` or `attr.city`.
    pub path: String,
    /// The template copes with a missing value: each use has a `default`, or a condition asks for the variable itself
    /// (`{% if attr.city %}`, `is defined`). The group itself (`attr`) must always be there.
    ///
    /// This comes from the words of the template, not from trial renderings: a trial enters only one branch of an `if`
    /// and would call the variables of all others optional.
    pub optional: bool,
    /// Line of the source where it first appears, from 1.
    pub line: usize,
    /// Column of that line in characters, from 1.
    pub column: usize,
}

/// Why a template is refused, and where.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}, column {column}: {fault}")]
pub struct TemplateError {
    /// Line of the source, from 1.
    pub line: usize,
    /// Column of that line in characters, from 1.
    pub column: usize,
    /// What is wrong.
    pub fault: Fault,
}

impl TemplateError {
    fn at(source: &str, at: usize, fault: Fault) -> Self {
        let (line, column) = place(source, at);
        Self { line, column, fault }
    }
}

/// Line and column, both from 1, of the octet `at`; columns are characters.
fn place(source: &str, at: usize) -> (usize, usize) {
    let before = &source[..at];
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
}

/// What is wrong with a template.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// The source is above [`MAX_SOURCE_CHARS`].
    #[error("the template has more than {MAX_SOURCE_CHARS} characters; shorten it")]
    TooLong,
    /// The template ends inside a tag.
    #[error("this `{opened}` is never closed; end it with `{closes}`")]
    Unclosed {
        /// The delimiter that opened it.
        opened: &'static str,
        /// The one that would close it.
        closes: &'static str,
    },
    /// A block tag other than `if`.
    #[error("there is no tag `{0}`; a text has only `if`, `elif`, `else` and `endif`")]
    UnknownTag(String),
    /// `else`, `elif` or `endif` outside an `if`.
    #[error("this `{0}` belongs to no `if`; open one before it with {{% if … %}}")]
    NoIf(String),
    /// An `if` without end.
    #[error("this `if` is never closed; end it with {{% endif %}}")]
    NoEndif,
    /// A call of something.
    #[error(
        "there is no function `{0}`; a text has variables and filters, such as {{{{ first_name | default('you') }}}}"
    )]
    UnknownFunction(String),
    /// A filter that does not exist here.
    #[error("there is no filter `{0}`; use one of {names}", names = vocabulary::FILTERS.join(", "))]
    UnknownFilter(String),
    /// A test that does not exist here.
    #[error("there is no test `{0}`; use one of {names}", names = vocabulary::TESTS.join(", "))]
    UnknownTest(String),
    /// A mistake inside a tag, in the engine's words.
    #[error("{0}; look at this tag again")]
    Syntax(String),
}

/// Why a text could not be written for a contact.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum RenderError {
    /// A variable has no value.
    #[error("`{0}` has no value for this contact; give it one or write {{{{ {0} | default('…') }}}}")]
    Missing(String),
    /// The text is above [`MAX_CHARS`].
    #[error("the text has more than {MAX_CHARS} characters; shorten the template or its values")]
    TooLong,
    /// The values do not allow an operation of the template.
    #[error("line {line}: {what}; the values of this contact do not fit the template")]
    Unfit {
        /// Line of the source, from 1.
        line: usize,
        /// What failed, without any value.
        what: String,
    },
}

impl Inner {
    /// The long way, through the engine.
    fn evaluate(&self, values: Value) -> Result<String, RenderError> {
        let values = Value::from_object(Present(values));
        let template = self.engine.get_template(NAME).expect("compile added it under this name");
        let mut out = Bounded::default();
        match template.render_captured_to(values.clone(), &mut out) {
            Ok(_) => Ok(out.text()),
            Err(_) if out.overflowed => Err(RenderError::TooLong),
            Err(error) => Err(self.explain(&error, &values)),
        }
    }

    /// Says which variable was missing. Several may be; the first on the engine's line that has no default is named.
    fn explain(&self, error: &Error, values: &Value) -> RenderError {
        let line = error.line().unwrap_or(1);
        let undefined =
            |variable: &&Variable| lookup(values, &variable.path).is_none_or(|value| value.is_undefined());
        let fails = |variable: &&Variable| match lookup(values, &variable.path) {
            Some(value) => value.is_undefined() && !variable.optional,
            None => true,
        };
        let on_line = |variable: &&Variable| variable.line == line;
        let mut failing = self.variables.iter().filter(fails);
        let named = self.variables.iter().filter(on_line).find(fails).or_else(|| failing.next());
        match named.or_else(|| self.variables.iter().find(undefined)) {
            Some(variable) if error.kind() == ErrorKind::UndefinedError => {
                RenderError::Missing(variable.path.clone())
            }
            // The engine's detail may quote a value, so only the kind of failure is told.
            _ => RenderError::Unfit { line, what: error.kind().to_string() },
        }
    }
}

/// The engine tells the line of a mistake but not the column, so each tag is tried alone; they are balanced already.
fn syntax_fault(engine: &Environment<'_>, source: &str, tags: &[Tag<'_>], error: &Error) -> (usize, Fault) {
    let alone = |tag: &Tag<'_>| {
        let text = &source[tag.span.clone()];
        let whole = match tag.tokens.first().map(|token| token.text) {
            Some("if") if tag.block => format!("{text}{{% endif %}}"),
            Some("elif" | "else") if tag.block => format!("{{% if true %}}{text}{{% endif %}}"),
            Some("endif") if tag.block => format!("{{% if true %}}{text}"),
            _ => text.to_owned(),
        };
        engine.template_from_str(&whole).err()
    };
    let fault =
        |error: &Error| Fault::Syntax(error.detail().unwrap_or("this is no valid template").to_owned());
    let guilty = tags.iter().find_map(|tag| alone(tag).map(|error| (tag.span.start, fault(&error))));
    let line_start = || {
        let lines = source.split_inclusive('\n').take(error.line().unwrap_or(1) - 1);
        lines.map(str::len).sum()
    };
    guilty.unwrap_or_else(|| (line_start(), fault(error)))
}

/// Collects the text and refuses the first character too many.
#[derive(Default)]
struct Bounded {
    octets: Vec<u8>,
    chars: usize,
    overflowed: bool,
}

impl Bounded {
    fn text(self) -> String {
        String::from_utf8(self.octets).expect("the engine writes whole characters")
    }
}

impl io::Write for &mut Bounded {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        // Continuation octets of UTF-8 are 10xxxxxx; all others start a character.
        self.chars += octets.iter().filter(|octet| *octet & 0xC0 != 0x80).count();
        if self.chars > MAX_CHARS {
            self.overflowed = true;
            return Err(io::Error::other("the text is too long"));
        }
        self.octets.extend_from_slice(octets);
        Ok(octets.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// NFC, and no control characters but line feeds.
fn clean(text: String) -> String {
    if text.bytes().all(|octet| matches!(octet, b'\n' | b' '..=b'~')) {
        return text;
    }
    let text =
        if text.contains(|c: char| c.is_control() && c != '\n') { without_controls(&text) } else { text };
    match is_nfc_quick(text.chars()) {
        IsNormalized::Yes => text,
        _ => text.nfc().collect(),
    }
}

fn without_controls(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    for c in text.replace("\r\n", "\n").chars() {
        match c {
            '\n' | '\r' | '\u{0B}' | '\u{0C}' | '\u{85}' => plain.push('\n'),
            '\t' => plain.push(' '),
            c if c.is_control() => {}
            c => plain.push(c),
        }
    }
    plain
}

#[cfg(test)]
mod tests;

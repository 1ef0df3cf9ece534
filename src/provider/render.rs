//! Templates bound to a route's secrets and settings, and what comes of them for one message.
//!
//! Rendering marks where a secret or a phone number lands in the output, so that a rendered request can print itself
//! without them. It never fails: what has nothing to say is left out.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use super::Submission;
use super::filter::{Filter, percent};
use super::template::{Hole, Piece, Source, Template};
use crate::model::clock::Timestamp;
use crate::telemetry::Secret;

/// The secrets and settings of one route, complete.
#[derive(Clone, Debug, Default)]
pub(crate) struct RouteValues {
    pub(crate) secrets: BTreeMap<String, Secret>,
    pub(crate) settings: BTreeMap<String, String>,
}

/// What changes from message to message.
#[derive(Clone, Copy)]
pub(crate) struct Context<'a> {
    /// The message.
    pub(crate) submission: &'a Submission,
    /// When it was submitted; look-ups only.
    pub(crate) submitted: Option<Timestamp>,
    /// The route's callback token; an address that holds it is masked.
    pub(crate) token: &'a str,
}

/// How a value is written at its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sink {
    /// As it is, but without control characters: URLs, headers, numbers.
    Raw,
    /// Percent-encoded: query, form.
    Percent,
    /// Inside a JSON string.
    Json,
}

/// A template with a route's secrets and settings in place.
#[derive(Clone, Debug)]
pub(crate) struct Bound {
    bits: Vec<Bit>,
    /// Something is there even if every placeholder of the message is empty.
    filled: bool,
    /// A placeholder of the message is left.
    open: bool,
}

#[derive(Clone)]
enum Bit {
    Text(String),
    Marked(String, Label),
    Hole(Hole),
}

impl fmt::Debug for Bit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => write!(f, "{text:?}"),
            Self::Marked(_, label) => write!(f, "{label}"),
            Self::Hole(hole) => write!(f, "{hole:?}"),
        }
    }
}

impl Bound {
    /// True if the value is the same in every request.
    pub(crate) fn is_static(&self) -> bool {
        !self.open
    }

    /// True if a placeholder was written, whatever its value.
    pub(crate) fn has_placeholder(&self) -> bool {
        self.open || self.bits.iter().any(|bit| matches!(bit, Bit::Marked(..))) || !self.filled
    }

    /// Appends the value. False, and nothing is appended, if it has placeholders and all of them are empty.
    pub(crate) fn render(&self, context: Option<&Context<'_>>, sink: Sink, out: &mut Output) -> bool {
        let begin = (out.text.len(), out.marks.len());
        let mut filled = self.filled;
        for bit in &self.bits {
            match bit {
                Bit::Text(text) => write(text, sink, &mut out.text),
                Bit::Marked(text, label) => out.marked(text, sink, label.clone()),
                Bit::Hole(hole) => {
                    let Some(context) = context else { continue };
                    let value = filtered(context.value(&hole.source), &hole.filters);
                    filled |= !value.is_empty();
                    match context.label(&hole.source) {
                        Some(label) => out.marked(&value, sink, label),
                        None => write(&value, sink, &mut out.text),
                    }
                }
            }
        }
        if !filled {
            out.cut_back(begin);
        }
        filled
    }

    /// The value as plain text, where it is static.
    pub(crate) fn text(&self) -> Output {
        let mut out = Output::default();
        self.render(None, Sink::Raw, &mut out);
        out
    }
}

impl<'a> Context<'a> {
    fn value(&self, source: &Source) -> Cow<'a, str> {
        let submission = self.submission;
        match source {
            Source::To => Cow::Owned(submission.to.e164()),
            Source::Sender => Cow::Borrowed(&submission.sender),
            Source::Text => Cow::Borrowed(&submission.text),
            Source::Reference => Cow::Borrowed(&submission.reference),
            Source::CallbackUrl => Cow::Borrowed(submission.callback_url.as_deref().unwrap_or("")),
            Source::Validity => match submission.validity {
                Some(validity) => Cow::Owned(validity.as_secs().to_string()),
                None => Cow::Borrowed(""),
            },
            Source::Parts => Cow::Owned(submission.parts.to_string()),
            Source::Submitted => match self.submitted {
                Some(at) => Cow::Owned(at.0.max(0).to_string()),
                None => Cow::Borrowed(""),
            },
            Source::Secret(_) | Source::Setting(_) => Cow::Borrowed(""),
        }
    }

    fn label(&self, source: &Source) -> Option<Label> {
        match source {
            Source::To => Some(Label::Phone(self.submission.to.digits() % 100)),
            Source::CallbackUrl => {
                let url = self.submission.callback_url.as_deref().unwrap_or("");
                (!self.token.is_empty() && url.contains(self.token)).then_some(Label::Address)
            }
            _ => None,
        }
    }
}

/// What is printed in the place of something that must not be printed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Label {
    /// A secret, by its name.
    Secret(Arc<str>),
    /// A phone number, by its last two digits.
    Phone(u64),
    /// A callback address that holds the route's token.
    Address,
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Secret(name) => write!(f, "[secret.{name}]"),
            Self::Phone(tail) => write!(f, "[phone …{tail:02}]"),
            Self::Address => f.write_str("[callback_url]"),
        }
    }
}

/// A rendered text and the stretches of it that must not be printed.
#[derive(Clone, Default)]
pub(crate) struct Output {
    pub(crate) text: String,
    marks: Vec<(usize, usize, Label)>,
}

impl fmt::Debug for Output {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} octets", self.text.len())
    }
}

impl Output {
    /// A place to come back to with [`Output::cut_back`].
    pub(crate) fn here(&self) -> (usize, usize) {
        (self.text.len(), self.marks.len())
    }

    /// Forgets everything appended since `place`.
    pub(crate) fn cut_back(&mut self, place: (usize, usize)) {
        self.text.truncate(place.0);
        self.marks.truncate(place.1);
    }

    /// The text with every marked stretch replaced by its label.
    pub(crate) fn masked(&self) -> String {
        let mut out = String::with_capacity(self.text.len());
        let mut from = 0;
        for (start, end, label) in &self.marks {
            out.push_str(&self.text[from..*start]);
            out.push_str(&label.to_string());
            from = *end;
        }
        out.push_str(&self.text[from..]);
        out
    }

    fn marked(&mut self, value: &str, sink: Sink, label: Label) {
        let start = self.text.len();
        write(value, sink, &mut self.text);
        if self.text.len() > start {
            self.marks.push((start, self.text.len(), label));
        }
    }
}

fn write(value: &str, sink: Sink, out: &mut String) {
    match sink {
        Sink::Raw => out.extend(value.chars().filter(|c| !c.is_control())),
        Sink::Percent => percent(value, out),
        Sink::Json => json_escape(value, out),
    }
}

/// RFC 8259, section 7: quote, backslash and control characters; the rest is UTF-8 as it is.
pub(crate) fn json_escape(value: &str, out: &mut String) {
    use std::fmt::Write as _;
    for c in value.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c < ' ' => write!(out, "\\u{:04x}", u32::from(c)).expect("writing to a String cannot fail"),
            c => out.push(c),
        }
    }
}

impl Template {
    /// Puts a route's secrets and settings in place.
    pub(crate) fn bind(&self, values: &RouteValues) -> Bound {
        let mut bits = Vec::new();
        let mut filled = self.holes().next().is_none();
        for piece in &self.0 {
            let bit = match piece {
                Piece::Text(text) => Bit::Text(text.clone()),
                Piece::Hole(Hole { source: Source::Secret(name), filters }) => {
                    let value = values.secrets.get(name).map_or("", |secret| secret.expose());
                    let label = Label::Secret(Arc::from(name.as_str()));
                    Bit::Marked(filtered(Cow::Borrowed(value), filters).into_owned(), label)
                }
                Piece::Hole(Hole { source: Source::Setting(name), filters }) => {
                    let value = values.settings.get(name).map_or("", String::as_str);
                    Bit::Text(filtered(Cow::Borrowed(value), filters).into_owned())
                }
                Piece::Hole(hole) => Bit::Hole(hole.clone()),
            };
            filled |= matches!(piece, Piece::Hole(_))
                && matches!(&bit, Bit::Text(text) | Bit::Marked(text, _) if !text.is_empty());
            bits.push(bit);
        }
        Bound { bits, filled, open: self.holes().any(|hole| !hole.source.is_static()) }
    }
}

fn filtered<'a>(value: Cow<'a, str>, filters: &[Filter]) -> Cow<'a, str> {
    filters.iter().fold(value, |value, filter| match value {
        Cow::Borrowed(text) => filter.apply(text),
        Cow::Owned(text) => Cow::Owned(filter.apply(&text).into_owned()),
    })
}

#[cfg(test)]
mod tests {
    use super::{Context, Output, RouteValues, Sink};
    use crate::provider::Submission;
    use crate::provider::template::Template;
    use crate::telemetry::Secret;

    fn rendered(template: &str, sink: Sink) -> (bool, String, String) {
        let submission = Submission {
            text: "50% \"off\"\nnow".to_owned(),
            callback_url: Some("https://x.example/callback/us/receipt/token0".to_owned()),
            ..Submission::sample()
        };
        let mut values = RouteValues::default();
        values.secrets.insert("key".to_owned(), Secret::new("s3cr3t/"));
        values.settings.insert("base".to_owned(), "https://api.example".to_owned());
        values.settings.insert("none".to_owned(), String::new());
        let context = Context { submission: &submission, submitted: None, token: "token0" };
        let mut out = Output::default();
        let bound = Template::parse(template).expect(template).bind(&values);
        let filled = bound.render(Some(&context), sink, &mut out);
        let masked = out.masked();
        (filled, out.text, masked)
    }

    #[test]
    fn placeholders_are_filled_escaped_for_their_place_and_masked_in_print() {
        let check = |template: &str, sink: Sink, text: &str, masked: &str| {
            assert_eq!(rendered(template, sink), (true, text.to_owned(), masked.to_owned()), "{template}");
        };
        check("{setting.base}/v1", Sink::Raw, "https://api.example/v1", "https://api.example/v1");
        check("App {secret.key}", Sink::Raw, "App s3cr3t/", "App [secret.key]");
        check("{secret.key}", Sink::Percent, "s3cr3t%2F", "[secret.key]");
        check("{to}", Sink::Percent, "%2B14155550100", "[phone …00]");
        check("{to|bare}!", Sink::Json, "14155550100!", "[phone …00]!");
        check("{text}", Sink::Json, "50% \\\"off\\\"\\nnow", "50% \\\"off\\\"\\nnow");
        check("{{{sender}}}", Sink::Raw, "{ACME}", "{ACME}");
        check(
            "{callback_url}?t=%d",
            Sink::Raw,
            "https://x.example/callback/us/receipt/token0?t=%d",
            "[callback_url]?t=%d",
        );
        check("constant", Sink::Raw, "constant", "constant");
    }

    #[test]
    fn a_value_whose_placeholders_are_all_empty_is_left_out() {
        for template in ["{setting.none}", "x={setting.none}", "{validity}", "{validity|minutes} min"] {
            assert_eq!(
                rendered(template, Sink::Percent),
                (false, String::new(), String::new()),
                "{template}"
            );
        }
    }
}

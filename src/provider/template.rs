//! Texts with placeholders, parsed when a definition is loaded; nothing is parsed while a message is sent.
//!
//! It knows which placeholders exist, not what stands in their place; `render` does.

use super::filter::Filter;

/// What a placeholder stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// `{to}`: the recipient, E.164 with a plus.
    To,
    /// `{sender}`: our sender.
    Sender,
    /// `{text}`: the text.
    Text,
    /// `{reference}`: our reference of the attempt.
    Reference,
    /// `{callback_url}`: where receipts go; empty if none are wanted.
    CallbackUrl,
    /// `{validity}`: how long the message is worth delivering, in seconds; empty if not limited.
    Validity,
    /// `{parts}`: how many parts the text has.
    Parts,
    /// `{submitted}`: when a message in doubt was submitted, milliseconds since 1970; look-ups only.
    Submitted,
    /// `{secret.NAME}`.
    Secret(String),
    /// `{setting.NAME}`.
    Setting(String),
}

impl Source {
    /// The placeholders that need no name.
    pub const WORDS: [&str; 8] =
        ["to", "sender", "text", "reference", "callback_url", "validity", "parts", "submitted"];

    fn from_word(word: &str) -> Option<Self> {
        if let Some(name) = word.strip_prefix("secret.") {
            return Some(Self::Secret(name.to_owned()));
        }
        if let Some(name) = word.strip_prefix("setting.") {
            return Some(Self::Setting(name.to_owned()));
        }
        Some(match word {
            "to" => Self::To,
            "sender" => Self::Sender,
            "text" => Self::Text,
            "reference" => Self::Reference,
            "callback_url" => Self::CallbackUrl,
            "validity" => Self::Validity,
            "parts" => Self::Parts,
            "submitted" => Self::Submitted,
            _ => return None,
        })
    }

    /// True for what is the same in every request of a route.
    pub fn is_static(&self) -> bool {
        matches!(self, Self::Secret(_) | Self::Setting(_))
    }

    /// True for what is a whole number wherever it is not empty.
    pub fn is_number(&self) -> bool {
        matches!(self, Self::Validity | Self::Parts | Self::Submitted)
    }
}

/// One placeholder with its filters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hole {
    /// What it stands for.
    pub source: Source,
    /// Applied in order.
    pub filters: Vec<Filter>,
}

/// A stretch of a template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Piece {
    /// Text as it is.
    Text(String),
    /// A placeholder.
    Hole(Hole),
}

/// A text with placeholders. `{{` and `}}` stand for the braces themselves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template(pub(crate) Vec<Piece>);

/// What is wrong with a template.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// A brace without its partner.
    #[error("a `{0}` has no partner; write `{0}{0}` for the brace itself")]
    LoneBrace(char),
    /// A placeholder nobody knows.
    #[error("unknown placeholder `{{{word}}}`{}", super::complaint::hint(word, Source::WORDS))]
    Placeholder {
        /// As written.
        word: String,
    },
    /// A filter nobody knows.
    #[error("unknown filter `{word}`{}", super::complaint::hint(word, Filter::NAMES))]
    Filter {
        /// As written.
        word: String,
    },
}

impl Template {
    /// Parses a template.
    ///
    /// # Errors
    /// When a brace is alone, or a placeholder or filter does not exist.
    pub fn parse(text: &str) -> Result<Self, TemplateError> {
        let mut pieces = Vec::new();
        let mut plain = String::new();
        let mut rest = text;
        while let Some(at) = rest.find(['{', '}']) {
            plain.push_str(&rest[..at]);
            let brace = if rest[at..].starts_with('{') { '{' } else { '}' };
            rest = &rest[at + 1..];
            if let Some(after) = rest.strip_prefix(brace) {
                plain.push(brace);
                rest = after;
                continue;
            }
            let end = (brace == '{').then(|| rest.find('}')).flatten();
            let end = end.ok_or(TemplateError::LoneBrace(brace))?;
            if !plain.is_empty() {
                pieces.push(Piece::Text(std::mem::take(&mut plain)));
            }
            pieces.push(Piece::Hole(hole(&rest[..end])?));
            rest = &rest[end + 1..];
        }
        plain.push_str(rest);
        if !plain.is_empty() {
            pieces.push(Piece::Text(plain));
        }
        Ok(Self(pieces))
    }

    /// A text without placeholders.
    pub(crate) fn plain(text: impl Into<String>) -> Self {
        Self(vec![Piece::Text(text.into())])
    }

    /// The placeholders, in order.
    pub fn holes(&self) -> impl Iterator<Item = &Hole> {
        self.0.iter().filter_map(|piece| match piece {
            Piece::Hole(hole) => Some(hole),
            Piece::Text(_) => None,
        })
    }

    /// True if the last filter is `number`.
    pub fn is_number(&self) -> bool {
        self.holes().any(|hole| hole.filters.last() == Some(&Filter::Number))
    }

    /// True if the template is one placeholder and nothing else.
    pub fn is_one_hole(&self) -> bool {
        matches!(self.0.as_slice(), [Piece::Hole(_)])
    }
}

fn hole(inside: &str) -> Result<Hole, TemplateError> {
    let mut words = inside.split('|').map(str::trim);
    let word = words.next().unwrap_or("");
    let source =
        Source::from_word(word).ok_or_else(|| TemplateError::Placeholder { word: word.to_owned() })?;
    let filters = words
        .map(|word| Filter::from_word(word).ok_or_else(|| TemplateError::Filter { word: word.to_owned() }))
        .collect::<Result<_, _>>()?;
    Ok(Hole { source, filters })
}

#[cfg(test)]
mod tests {
    use super::{Template, TemplateError};

    #[test]
    fn a_mistake_in_a_template_is_named_with_the_way_out() {
        let check = |template: &str, said: &str| {
            let error: TemplateError = Template::parse(template).expect_err(template);
            assert_eq!(error.to_string(), said);
        };
        check("{too}", "unknown placeholder `{too}`; did you mean `to`?");
        check("{to|baer}", "unknown filter `baer`; did you mean `bare`?");
        check("{to", "a `{` has no partner; write `{{` for the brace itself");
        check("a}", "a `}` has no partner; write `}}` for the brace itself");
    }
}

//! Turns a file into a [`Definition`], or into complaints that name the line and the way out.
//!
//! Everything that could go wrong while sending is refused here: unknown placeholders and filters, pointers that are
//! none, rules that can never match, bodies that cannot carry many messages. It collects all complaints, not the first.

mod callback;
mod doubt;
mod reading;
mod sending;

use std::time::Duration;

use reqwest::Method;
use reqwest::header::HeaderName;

use super::complaint::{Complaint, Complaints, KeyPath, hint};
use super::definition::Definition;
use super::format::{DefinitionFile, MethodWord, ScalarFile};
use super::rule::Expected;
use super::template::{Source, Template};

/// Reads and checks the definition in `text`; `file` is its name for complaints and must be `<name>.toml`.
///
/// # Errors
/// Everything that is wrong with it.
pub fn check(file: &str, text: &str) -> Result<Definition, Vec<Complaint>> {
    let mut complaints = Complaints::about(file, text);
    match toml::from_str::<DefinitionFile>(text) {
        Ok(parsed) => compile(file, text, &parsed),
        Err(error) => {
            complaints.add_toml(&error);
            Err(complaints.finish().err().unwrap_or_default())
        }
    }
}

/// Checks a definition whose shape is right; `text` is used to point at lines.
///
/// # Errors
/// Everything that is wrong with it.
pub fn compile(file: &str, text: &str, parsed: &DefinitionFile) -> Result<Definition, Vec<Complaint>> {
    let mut checker = Checker { complaints: Complaints::about(file, text), file: parsed };
    checker.head(file);
    let send = checker.send(&parsed.send);
    let response = checker.response(&parsed.response);
    let lookup = parsed.lookup.as_ref().map(|lookup| checker.lookup(lookup));
    let doubt = checker.doubt(lookup.as_ref());
    let receipt = parsed.receipt.as_ref().map(|receipt| checker.receipt(receipt));
    let inbound = parsed.inbound.as_ref().map(|inbound| checker.inbound(inbound));
    checker.complaints.finish()?;
    Ok(Definition {
        name: parsed.name.clone(),
        about: parsed.about.clone(),
        secrets: parsed.secrets.clone(),
        settings: parsed.settings.clone(),
        limits: parsed.limits.clone(),
        send,
        response,
        doubt,
        lookup,
        receipt,
        inbound,
    })
}

/// The work in progress: complaints so far, and what the file declares.
struct Checker<'a> {
    complaints: Complaints<'a>,
    file: &'a DefinitionFile,
}

/// Which placeholders a place allows.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Allow {
    /// Secrets and settings.
    Static,
    /// These and the reference.
    Reference,
    /// All that a message has.
    Message,
    /// All that a message has, and when it was submitted.
    Lookup,
}

impl Checker<'_> {
    fn head(&mut self, file: &str) {
        let root = KeyPath::root();
        if self.file.format != 1 {
            let problem = format!("format {} is not known; this version reads format 1", self.file.format);
            self.complaints.add(&root.key("format"), problem);
        }
        let stem = file.rsplit('/').next().unwrap_or(file).trim_end_matches(".toml");
        let good = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        if self.file.name.is_empty() || !self.file.name.chars().all(good) {
            let problem = "a name is made of lower-case letters, digits and `-`";
            self.complaints.add(&root.key("name"), problem);
        } else if self.file.name != stem {
            let problem = format!("is `{}`, but the file is called `{stem}.toml`", self.file.name);
            self.complaints.add(&root.key("name"), problem);
        }
        if !(1..=1000).contains(&self.file.limits.recipients) {
            self.complaints.add(&root.key("limits").key("recipients"), "must be 1 to 1000");
        }
    }

    /// A template whose placeholders exist and are allowed here. A wrong one is replaced by an empty text.
    fn template(&mut self, path: &KeyPath, text: &str, allow: Allow) -> Template {
        let template = match Template::parse(text) {
            Ok(template) => template,
            Err(error) => {
                self.complaints.add(path, error.to_string());
                return Template::plain("");
            }
        };
        for hole in template.holes() {
            if let Some(problem) = self.source_problem(&hole.source, allow) {
                self.complaints.add(path, problem);
            }
            if !hole.source.is_number()
                && let Some(filter) = hole.filters.iter().find(|filter| filter.wants_number())
            {
                let problem =
                    format!("the filter {filter:?} reads a number; use it with validity, parts or submitted");
                self.complaints.add(path, problem);
            }
        }
        template
    }

    fn source_problem(&self, source: &Source, allow: Allow) -> Option<String> {
        match source {
            Source::Secret(name) if !self.file.secrets.contains_key(name) => {
                let known = self.file.secrets.keys().map(String::as_str);
                Some(format!("secret `{name}` is not declared in [secrets]{}", hint(name, known)))
            }
            Source::Setting(name) if !self.file.settings.contains_key(name) => {
                let known = self.file.settings.keys().map(String::as_str);
                Some(format!("setting `{name}` is not declared in [settings]{}", hint(name, known)))
            }
            Source::Secret(_) | Source::Setting(_) => None,
            Source::Submitted => {
                (allow != Allow::Lookup).then(|| "{submitted} exists only in `lookup.query`".to_owned())
            }
            Source::Reference if allow == Allow::Reference => None,
            _ => match allow {
                Allow::Static => {
                    Some("only {secret.…} and {setting.…} are allowed here, put the rest into `query`".into())
                }
                Allow::Reference => {
                    Some("only {reference}, {secret.…} and {setting.…} are allowed here".into())
                }
                Allow::Message | Allow::Lookup => None,
            },
        }
    }

    fn header(&mut self, path: &KeyPath, name: &str) -> HeaderName {
        HeaderName::from_bytes(name.as_bytes()).unwrap_or_else(|_| {
            self.complaints.add(path, format!("`{name}` is not a header name"));
            HeaderName::from_static("x-invalid")
        })
    }
}

fn method(word: MethodWord) -> Method {
    match word {
        MethodWord::Get => Method::GET,
        MethodWord::Post => Method::POST,
        MethodWord::Put => Method::PUT,
    }
}

fn expected(scalars: &[ScalarFile]) -> Vec<Expected> {
    let read = |scalar: &ScalarFile| match scalar {
        ScalarFile::Integer(number) => Expected::Text(number.to_string()),
        ScalarFile::Boolean(flag) => Expected::Text(flag.to_string()),
        ScalarFile::Text(text) => Expected::read(text),
    };
    scalars.iter().map(read).collect()
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[cfg(test)]
mod tests;

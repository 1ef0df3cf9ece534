//! Files against what a store knows: event kinds, attributes and pools, each complained about at its place.
//!
//! What the store cannot have meant is a mistake; what it merely has not seen yet is a warning, because a shop begins
//! with an empty store. Asks no store itself: the facts are passed in.

use std::collections::BTreeSet;

use super::Config;
use super::check::offset;
use crate::campaign::definition::{Audience, Definition};
use crate::document::{Document, FileErrors, Value, nearest, quoted};
use crate::segment::{self, Expression};
use crate::text::template::Template;

/// What a store knows, as far as files ask for it.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// Whether there are contacts at all.
    pub contacts: bool,
    /// Every kind of event.
    pub kinds: Vec<String>,
    /// Every pool.
    pub pools: Vec<String>,
    /// Those of [`Config::asked`] and [`asked`] that no contact has, though there are contacts.
    pub absent: BTreeSet<String>,
    /// Some attributes that contacts have, for suggestions.
    pub attributes: BTreeSet<String>,
}

/// What a file asks of a store that does not have it.
#[derive(Clone, Debug, Default)]
pub struct Findings {
    /// What must be mended.
    pub wrong: Option<FileErrors>,
    /// What may be right.
    pub doubtful: Option<FileErrors>,
}

impl Config {
    /// Attributes that its segments ask for, as `attr.NAME`, and `stage` if one does.
    pub fn asked(&self) -> BTreeSet<String> {
        self.segments
            .values()
            .filter_map(|text| segment::parse(text).ok())
            .flat_map(|e| columns(&e))
            .collect()
    }

    /// Holds the segments of a configuration file against the facts.
    ///
    /// # Errors
    /// When the text is not TOML.
    pub fn check_facts(&self, file: &str, text: &str, facts: &Facts) -> Result<Findings, FileErrors> {
        let both = Both::parse(file, text)?;
        for (name, expression) in &self.segments {
            both.expression(&["segments", name], expression, facts);
        }
        Ok(both.findings())
    }
}

/// What a campaign asks for by itself; a segment that it names is asked about with the configuration.
pub fn asked(definition: &Definition) -> BTreeSet<String> {
    let mut asked = BTreeSet::new();
    if let Audience::Expression(expression) = &definition.segment
        && let Ok(expression) = segment::parse(expression)
    {
        asked.extend(columns(&expression));
    }
    for (_, source) in definition.text.variants() {
        let template = Template::compile(source).ok();
        let variables = template.iter().flat_map(Template::variables);
        asked.extend(variables.filter_map(|variable| attribute(&variable.path)));
    }
    asked
}

/// Holds a campaign file against the facts.
///
/// # Errors
/// When the text is not TOML.
pub fn check_campaign_facts(
    definition: &Definition,
    file: &str,
    text: &str,
    facts: &Facts,
) -> Result<Findings, FileErrors> {
    let both = Both::parse(file, text)?;
    if let Audience::Expression(expression) = &definition.segment {
        both.expression(&["segment"], expression, facts);
    }
    for (language, source) in definition.text.variants() {
        both.template(&["text", language], source, facts);
    }
    if let Some(coupon) = &definition.coupon
        && !facts.pools.contains(&coupon.pool)
        && let Some(value) = both.wrong.find(&["coupon", "pool"])
    {
        let help = match nearest(&coupon.pool, facts.pools.iter().map(String::as_str)) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("create it with `winback coupon create {} --value …`", coupon.pool),
        };
        value.complain(format!("there is no pool {} in the store", quoted(&coupon.pool)), help);
    }
    Ok(both.findings())
}

/// The attributes and the stage that an expression reads: what a list may leave out.
fn columns(expression: &Expression) -> Vec<String> {
    let columns = expression.columns().into_iter();
    columns.filter(|name| name == "stage" || name.starts_with("attr.")).collect()
}

/// An attribute that a text uses, as an expression writes it.
fn attribute(path: &str) -> Option<String> {
    let name = path.strip_prefix("attr.")?;
    let quoted = format!("attr.\"{}\" is null", name.replace('"', "\"\""));
    segment::parse(&quoted).ok()?.columns().into_iter().next()
}

/// One file, looked at twice: for what is wrong and for what may be right.
struct Both<'a> {
    wrong: Document<'a>,
    doubtful: Document<'a>,
}

impl<'a> Both<'a> {
    fn parse(file: &'a str, text: &'a str) -> Result<Self, FileErrors> {
        Ok(Self { wrong: Document::parse(file, text)?, doubtful: Document::parse(file, text)? })
    }

    fn findings(self) -> Findings {
        Findings {
            wrong: self.wrong.finish(Some(())).err(),
            doubtful: self.doubtful.finish(Some(())).err().map(FileErrors::as_warnings),
        }
    }

    fn find(&self, wrong: bool, path: &[&str]) -> Option<Value<'_>> {
        if wrong { self.wrong.find(path) } else { self.doubtful.find(path) }
    }

    fn expression(&self, path: &[&str], text: &str, facts: &Facts) {
        let Ok(expression) = segment::parse(text) else { return };
        let known: Vec<&str> = facts.kinds.iter().map(String::as_str).collect();
        for unknown in expression.check_kinds(&known) {
            let Some(value) = self.find(unknown.slip, path) else { continue };
            // The reader trimmed the text; places count from its first word.
            let skipped = value.text().map_or(0, |text| text.len() - text.trim_start().len());
            let (span, help) = (unknown.error.span(), unknown.error.suggestion().unwrap_or_default());
            value.complain_inside(span.start + skipped..span.end + skipped, unknown.error.message(), help);
        }
        for column in columns(&expression).iter().filter(|column| facts.absent.contains(*column)) {
            let (near, help) = meant(column, facts);
            let Some(value) = self.find(near, path) else { continue };
            let place = value.text().and_then(|text| Some((text.find(column.as_str())?, column.len())));
            let (at, length) = place.unwrap_or_default();
            value.complain_inside(at..at + length, format!("no contact has {}", quoted(column)), help);
        }
    }

    /// A text that needs what nobody has would be sent to nobody.
    fn template(&self, path: &[&str], source: &str, facts: &Facts) {
        let Ok(template) = Template::compile(source) else { return };
        for variable in template.variables() {
            let Some(column) = attribute(&variable.path).filter(|column| facts.absent.contains(column))
            else {
                continue;
            };
            let (near, help) = meant(&column, facts);
            let Some(value) = self.find(near || !variable.optional, path) else { continue };
            let at = offset(source, variable.line, variable.column);
            let title = format!("no contact has {}", quoted(&variable.path));
            value.complain_inside(at..at + variable.path.len(), title, help);
        }
    }
}

/// Whether an attribute that contacts have must have been meant, and the way out.
fn meant(column: &str, facts: &Facts) -> (bool, String) {
    let Some(name) = column.strip_prefix("attr.") else {
        return (false, format!("import a list with a column `{column}`"));
    };
    match nearest(name.trim_matches('"'), facts.attributes.iter().map(String::as_str)) {
        Some(near) => (true, format!("did you mean `attr.{near}`?")),
        None if facts.attributes.is_empty() => {
            (false, "no contact has any attribute; import a list with such a column".to_owned())
        }
        None => {
            let some: Vec<&str> = facts.attributes.iter().take(12).map(String::as_str).collect();
            (false, format!("contacts have {}", some.join(", ")))
        }
    }
}

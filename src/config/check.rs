//! What `winback check` looks at beyond each file alone: routes, segments, expressions and texts of campaigns.
//!
//! Reads the configuration and one campaign at a time; asks no store, so whether a pool exists is seen by `plan`.

use std::path::Path;

use super::{Config, ConfigErrors, read_file, reading};
use crate::campaign::definition::{Audience, Definition};
use crate::dispatch::prepare::{self, TextsError};
use crate::document::{Document, FileErrors, Value, nearest, quoted};
use crate::segment;
use crate::text::template::{Template, TemplateError};

impl Config {
    /// Reads and checks the campaign file at `path`.
    ///
    /// # Errors
    /// When it cannot be read, or with everything that is wrong with it at once.
    pub fn load_campaign(&self, path: &Path) -> Result<Definition, ConfigErrors> {
        Ok(self.check_campaign(&path.to_string_lossy(), &read_file(path)?)?)
    }

    /// Checks the text of a campaign file: the file itself, then against routes, segments and currency of this
    /// configuration, and its expression and templates.
    ///
    /// # Errors
    /// Everything that is wrong with it, at once.
    pub fn check_campaign(&self, file: &str, text: &str) -> Result<Definition, FileErrors> {
        let definition = Definition::parse(file, text, &self.shop.zone)?;
        let document = Document::parse(file, text)?;
        self.audience(&document, &definition);
        self.routes_exist(&document, &definition);
        self.same_currency(&document, &definition);
        for (language, template) in definition.text.variants() {
            if let Some(value) = document.find(&["text", language]) {
                check_template(&value, template, definition.coupon.is_some());
            }
        }
        check_names(&document, &definition);
        document.finish(Some(definition))
    }

    /// Checks the text of a configuration file as [`Config::parse`] does, and the expressions of its segments.
    ///
    /// # Errors
    /// Everything that is wrong with it, at once.
    pub fn check(file: &str, text: &str) -> Result<Self, FileErrors> {
        let document = Document::parse(file, text)?;
        let config = reading::read(&document, file);
        for (name, expression) in &config.segments {
            if let Some(value) = document.find(&["segments", name]) {
                check_expression(&value, expression);
            }
        }
        document.finish(Some(config))
    }

    fn audience(&self, document: &Document<'_>, definition: &Definition) {
        let Some(value) = document.find(&["segment"]) else { return };
        match &definition.segment {
            Audience::Expression(expression) => check_expression(&value, expression),
            Audience::Named(name) if self.segments.contains_key(name) => {}
            Audience::Named(name) => {
                let help = suggest(name, self.segments.keys(), "add it to [segments] in winback.toml");
                value.complain(format!("there is no segment {}", quoted(name)), help);
            }
        }
    }

    fn routes_exist(&self, document: &Document<'_>, definition: &Definition) {
        let Some(list) = document.find(&["routes"]).and_then(|value| value.list()) else { return };
        for (element, route) in list.iter().zip(&definition.routes) {
            if !self.routes.contains_key(route) {
                let help = suggest(route, self.routes.keys(), "add it to [routes] in winback.toml");
                element.complain(format!("there is no route {}", quoted(route)), help);
            }
        }
    }

    fn same_currency(&self, document: &Document<'_>, definition: &Definition) {
        let Some(budget) = &definition.limits.budget else { return };
        let shop = &self.shop.currency;
        if budget.currency != *shop
            && let Some(value) = document.find(&["limits", "budget"])
        {
            let title =
                format!("the budget is in {}, and the prices of routes are in {shop}", budget.currency);
            value.complain(
                title,
                format!("write the budget in {shop}, or change `shop.currency` and the prices"),
            );
        }
    }
}

fn suggest<'n>(name: &str, known: impl Iterator<Item = &'n String> + Clone, otherwise: &str) -> String {
    match nearest(name, known.map(String::as_str)) {
        Some(near) => format!("did you mean `{near}`?"),
        None => otherwise.to_owned(),
    }
}

fn check_expression(value: &Value<'_>, expression: &str) {
    let Err(error) = segment::parse(expression) else { return };
    // The reader trimmed the text; places count from its first word.
    let skipped = value.text().map_or(0, |text| text.len() - text.trim_start().len());
    let span = error.span();
    let help = error.suggestion().unwrap_or_default();
    value.complain_inside(span.start + skipped..span.end + skipped, error.message(), help);
}

fn check_template(value: &Value<'_>, source: &str, coupon: bool) {
    let template = match Template::compile(source) {
        Ok(template) => template,
        Err(TemplateError { line, column, fault }) => {
            let at = offset(source, line, column);
            value.complain_inside(at..at, fault.to_string(), "");
            return;
        }
    };
    let of_coupon = |path: &str| path == "coupon" || path.starts_with("coupon.");
    let used = template.variables().iter().find(|variable| of_coupon(&variable.path));
    match used {
        Some(variable) if !coupon => {
            let at = offset(source, variable.line, variable.column);
            let title = format!("the text uses {}, and the campaign has no coupon", quoted(&variable.path));
            value.complain_inside(at..at, title, "add [coupon] with a pool, or take it out of the text");
        }
        _ if coupon && !template.variables().iter().any(|variable| variable.path == "coupon.code") => {
            let title =
                format!("{} never says the code, and each text takes one from the pool", value.name());
            value.complain(title, "put {{ coupon.code }} into the text, or remove [coupon]");
        }
        _ => {}
    }
}

/// The first name in the texts that no contact has; whatever else is wrong with them was told before.
fn check_names(document: &Document<'_>, definition: &Definition) {
    let Err(TextsError::Unknown { language, path, line, column, known }) = prepare::templates(definition)
    else {
        return;
    };
    let source = definition.text.variants().find(|(own, _)| *own == language).map(|(_, source)| source);
    if let Some((value, source)) = document.find(&["text", &language]).zip(source) {
        let at = offset(source, line, column);
        let help = match nearest(&path, known.split([',', ' '])) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("a text may use {known}"),
        };
        value.complain_inside(at..at, format!("there is no {}", quoted(&path)), help);
    }
}

/// The octet at a line and column, both from 1, columns in characters.
fn offset(text: &str, line: usize, column: usize) -> usize {
    let lines = text.split_inclusive('\n');
    let before: usize = lines.clone().take(line.saturating_sub(1)).map(str::len).sum();
    let line = lines.clone().nth(line.saturating_sub(1)).unwrap_or_default();
    before + line.chars().take(column.saturating_sub(1)).map(char::len_utf8).sum::<usize>()
}

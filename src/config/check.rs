//! What is looked at beyond each file alone: accounts, routes, segments, expressions and texts of campaigns, prices, dates.
//!
//! Reads the configuration and one campaign at a time; asks no store: what only a store knows is in `facts`.

use std::path::Path;

use super::{Config, ConfigErrors, accounts, read_file, reading};
use crate::campaign::definition::{Audience, Definition};
use crate::dispatch::prepare;
use crate::document::{Document, FileErrors, Value, nearest, quoted};
use crate::model::clock::Timestamp;
use crate::provider::Catalog;
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
        document.finish(Some(definition))
    }

    /// What keeps a campaign that reads well from being sent: it is over, or a route of it has no price for a country.
    /// A campaign that was launched already is asked neither.
    ///
    /// # Errors
    /// Everything that is wrong with it, at once.
    pub fn check_sendable(
        &self,
        definition: &Definition,
        file: &str,
        text: &str,
        now: Timestamp,
    ) -> Result<(), FileErrors> {
        let document = Document::parse(file, text)?;
        let ends = definition.timing.last_end(now);
        if ends <= now {
            let until = document.find(&["schedule", "until"]);
            if let Some(value) = until.or_else(|| document.find(&["schedule", "at"])) {
                let title = format!("the run is over: it ended at {}", ends.rfc3339());
                value.complain(title, "choose a later `at`, and a later `until` or none for seven days");
            }
        }
        let list = document.find(&["routes"]).and_then(|value| value.list()).unwrap_or_default();
        for (element, name) in list.iter().zip(&definition.routes) {
            let missing = self.unpriced(definition, name);
            if !missing.is_empty() {
                let title = format!("route {} has no price for {}", quoted(name), missing.join(", "));
                let help = "nothing is sent where the cost is unknown: add it to `price` of the route in winback.toml";
                element.complain(title, help);
            }
        }
        document.finish(Some(()))
    }

    /// Countries of a route for which neither it nor another route of the campaign has a price.
    fn unpriced(&self, definition: &Definition, route: &str) -> Vec<String> {
        let Some(account) = self.routes.get(route) else { return Vec::new() };
        let priced = |country| definition.routes.iter().any(|name| self.price(name, country).is_some());
        let missing = account.countries.iter().filter(|country| !priced(**country));
        missing.map(ToString::to_string).collect()
    }

    /// Checks the text of a configuration file as [`Config::parse`] does, and the expressions of its segments.
    ///
    /// # Errors
    /// Everything that is wrong with it, at once.
    pub fn check(file: &str, text: &str) -> Result<Self, FileErrors> {
        Self::check_with(file, text, |_| None)
    }

    /// The same, and whether each route fits its provider's definition and its secrets are there. `catalog` finds the
    /// definitions of a configuration; without one routes are not looked at.
    ///
    /// # Errors
    /// Everything that is wrong with it, at once.
    pub fn check_with(
        file: &str,
        text: &str,
        catalog: impl FnOnce(&Self) -> Option<Catalog>,
    ) -> Result<Self, FileErrors> {
        let document = Document::parse(file, text)?;
        let config = reading::read(&document, file);
        if let Some(catalog) = catalog(&config) {
            accounts::check(&document, &config, &catalog);
        }
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

pub(super) fn suggest<'n>(
    name: &str,
    known: impl Iterator<Item = &'n String> + Clone,
    otherwise: &str,
) -> String {
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
    check_names(value, source, &template);
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

/// Every name in a text that no contact has.
fn check_names(value: &Value<'_>, source: &str, template: &Template) {
    for variable in template.variables().iter().filter(|variable| !prepare::is_known(&variable.path)) {
        let known = prepare::known_names();
        let help = match nearest(&variable.path, known.split([',', ' '])) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("a text may use {known}"),
        };
        let at = offset(source, variable.line, variable.column);
        let title = format!("there is no {}", quoted(&variable.path));
        value.complain_inside(at..at + variable.path.len(), title, help);
    }
}

/// The octet at a line and column, both from 1, columns in characters.
pub(super) fn offset(text: &str, line: usize, column: usize) -> usize {
    let lines = text.split_inclusive('\n');
    let before: usize = lines.clone().take(line.saturating_sub(1)).map(str::len).sum();
    let line = lines.clone().nth(line.saturating_sub(1)).unwrap_or_default();
    before + line.chars().take(column.saturating_sub(1)).map(char::len_utf8).sum::<usize>()
}

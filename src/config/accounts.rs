//! Whether each route of a configuration fits the definition of its provider, and its secrets are where it says.
//!
//! Complains at the place in the file. A variable that is not set is not the file's mistake and only a warning: a daemon
//! has an environment of its own. Shows no value of a secret.

use std::collections::BTreeMap;

use super::secrets::{SecretError, as_set, lack};
use super::{Config, RouteConfig};
use crate::document::{Document, FileErrors, Value, nearest, quoted};
use crate::provider::{Adapter, Catalog, Definition, RouteSettings};
use crate::telemetry::Secret;

/// Stands in for a value that is not here, so that everything else can be looked at.
const STAND_IN: &str = "0123456789abcdef0123456789abcdef";

impl Config {
    /// A folder of campaigns that the file names and that is not there: a campaign in another one is never looked at.
    pub fn missing_folder(&self, file: &str, text: &str) -> Option<FileErrors> {
        let document = Document::parse(file, text).ok()?;
        if let Some(value) = document.find(&["campaigns_folder"])
            && !self.campaigns_folder.is_dir()
        {
            value.complain("there is no such folder", "make it, or name the one that holds the campaigns");
        }
        document.finish(Some(())).err().map(FileErrors::as_warnings)
    }

    /// Secrets that this environment does not have, at the places that name them.
    pub fn unset_secrets(&self, file: &str, text: &str) -> Option<FileErrors> {
        let document = Document::parse(file, text).ok()?;
        for route in self.routes.keys() {
            for error in self.resolve_secrets_with(route, &as_set).err().unwrap_or_default() {
                if let SecretError::NotSet { secret, variable, empty, .. } = &error
                    && let Some(value) = secret_value(&document, route, secret)
                {
                    let title = format!("the environment variable {variable} {} here", lack(*empty));
                    value.complain(
                        title,
                        "set it where the daemon runs, or keep the secret in a { file = \"PATH\" }",
                    );
                }
            }
        }
        document.finish(Some(())).err().map(FileErrors::as_warnings)
    }
}

/// Complains about every route that its provider would not work with.
pub(super) fn check(document: &Document<'_>, config: &Config, catalog: &Catalog) {
    for (name, route) in &config.routes {
        let Some(definition) = catalog.get(&route.provider) else {
            if let Some(value) = document.find(&["routes", name, "provider"]) {
                let help = match nearest(&route.provider, catalog.names()) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => format!("there are {}", catalog.names().collect::<Vec<_>>().join(", ")),
                };
                value.complain(format!("there is no provider {}", quoted(&route.provider)), help);
            }
            continue;
        };
        let asked = Asked { document, route: name, definition: &definition };
        let optional = |key: &str| definition.settings[key].default.is_some();
        let given: Vec<&str> = route.secrets.keys().map(String::as_str).collect();
        let secrets = asked.names("secret", &definition.secrets, &given, |_| false);
        let given: Vec<&str> = route.settings.keys().map(String::as_str).collect();
        let settings = asked.names("setting", &definition.settings, &given, optional);
        let there = asked.secrets_are_there(config);
        if secrets && settings && there {
            asked.works(config, route);
        }
    }
}

/// One route and what its provider asks for.
struct Asked<'a, 'd> {
    document: &'a Document<'d>,
    route: &'a str,
    definition: &'a std::sync::Arc<Definition>,
}

impl Asked<'_, '_> {
    /// Whether the file gives what the definition declares, and nothing else.
    fn names<T>(
        &self,
        what: &str,
        declared: &BTreeMap<String, T>,
        given: &[&str],
        optional: impl Fn(&str) -> bool,
    ) -> bool {
        let (provider, table) = (quoted(&self.definition.name), format!("{what}s"));
        let mut meant = Vec::new();
        let mut right = true;
        for name in given.iter().filter(|name| !declared.contains_key(**name)) {
            right = false;
            let near = nearest(name, declared.keys().map(String::as_str));
            meant.extend(near);
            let known: Vec<&str> = declared.keys().map(String::as_str).collect();
            let help = match near {
                Some(near) => format!("did you mean `{near}`?"),
                None if known.is_empty() => "remove it".to_owned(),
                None => format!("it has {}", known.join(", ")),
            };
            if let Some(value) = self.document.find(&["routes", self.route, &table, name]) {
                value.complain_at_key(format!("{provider} has no {what} {}", quoted(name)), help);
            }
        }
        for name in declared.keys().filter(|name| !optional(name) && !given.contains(&name.as_str())) {
            right = false;
            if !meant.contains(&name.as_str()) {
                let title = format!("{provider} needs the {what} {}", quoted(name));
                self.complain(title, format!("write `{table}.{name} = …` in [routes.{}]", self.route));
            }
        }
        right
    }

    fn secrets_are_there(&self, config: &Config) -> bool {
        let errors = config.resolve_secrets_with(self.route, &as_set).err().unwrap_or_default();
        for error in &errors {
            let (SecretError::Unreadable { secret, .. } | SecretError::Empty { secret, .. }) = error else {
                continue;
            };
            if let Some(value) = secret_value(self.document, self.route, secret) {
                value.complain(error.to_string(), "put the secret there, readable for who runs the daemon");
            }
        }
        errors.iter().all(|error| matches!(error, SecretError::NotSet { .. }))
    }

    /// Puts the route together as a daemon would. Values that are not here are stood in for.
    fn works(&self, config: &Config, route: &RouteConfig) {
        let stand_in = |name: &String| (name.clone(), Secret::new(STAND_IN));
        let mut settings = RouteSettings {
            route: self.route.to_owned(),
            secrets: route.secrets.keys().map(stand_in).collect(),
            settings: route.settings.clone(),
            allow_http: route.allow_http,
            callback_token: Secret::new(STAND_IN),
        };
        if let Ok(found) = config.resolve_secrets_with(self.route, &as_set) {
            settings.secrets = found.secrets;
            settings.callback_token = found.callback_token.unwrap_or(settings.callback_token);
        }
        for complaint in Adapter::new(self.definition.clone(), settings).err().unwrap_or_default() {
            let help = format!("`winback provider show {}` shows what it asks for", self.definition.name);
            self.complain(complaint.problem.clone(), help);
        }
    }

    fn complain(&self, title: impl Into<String>, help: impl Into<String>) {
        if let Some(value) = self.document.find(&["routes", self.route]) {
            value.complain_at_key(title, help);
        }
    }
}

fn secret_value<'d>(document: &'d Document<'_>, route: &str, secret: &str) -> Option<Value<'d>> {
    let named = document.find(&["routes", route, "secrets", secret]);
    named.or_else(|| document.find(&["routes", route, secret]))
}

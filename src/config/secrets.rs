//! Secrets: named in the configuration, kept in the environment or in files, fetched when a route needs them.
//!
//! An error names the variable or the file and the way out, never a value.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use super::Config;
use crate::document::{Value, quoted};
use crate::telemetry::Secret;

/// Octets that a secret may have; private keys are the longest.
const LONGEST: u64 = 64 * 1024;

/// Where a secret is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecretSource {
    /// In this environment variable.
    Env(String),
    /// In this file; a newline at its end does not count.
    File(PathBuf),
}

/// The secrets of one route.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RouteSecrets {
    /// Credentials, by the names that the provider's definition declares.
    pub secrets: BTreeMap<String, Secret>,
    /// What makes callback addresses unguessable, if the configuration names it.
    pub callback_token: Option<Secret>,
    /// What works and is unwise, for `doctor` and the log.
    pub warnings: Vec<String>,
}

/// Why a secret could not be had.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// No such route.
    #[error("there is no route `{0}` in winback.toml")]
    NoRoute(String),
    /// A variable that is not there, or empty.
    #[error("the environment variable {variable} {}; route `{route}` needs it as `{secret}`", lack(*.empty))]
    NotSet {
        /// The route.
        route: String,
        /// The secret.
        secret: String,
        /// The variable.
        variable: String,
        /// Whether it is there, with nothing in it.
        empty: bool,
    },
    /// A file that cannot be read, is too long or is no text.
    #[error("{} cannot be read ({problem}); route `{route}` needs it as `{secret}`", .path.display())]
    Unreadable {
        /// The route.
        route: String,
        /// The secret.
        secret: String,
        /// The file.
        path: PathBuf,
        /// Why.
        problem: String,
    },
    /// A file with nothing in it.
    #[error("{} is empty; write `{secret}` of route `{route}` into it", .path.display())]
    Empty {
        /// The route.
        route: String,
        /// The secret.
        secret: String,
        /// The file.
        path: PathBuf,
    },
}

impl Config {
    /// Fetches what a route needs, from the environment and from files.
    ///
    /// # Errors
    /// Everything that is missing, at once.
    pub fn resolve_secrets(&self, route: &str) -> Result<RouteSecrets, Vec<SecretError>> {
        self.resolve_secrets_with(route, &as_set)
    }

    pub(super) fn resolve_secrets_with(
        &self,
        route: &str,
        environment: &dyn Fn(&str) -> Option<String>,
    ) -> Result<RouteSecrets, Vec<SecretError>> {
        let config = self.routes.get(route).ok_or_else(|| vec![SecretError::NoRoute(route.to_owned())])?;
        let mut resolver = Resolver { route, environment, warnings: Vec::new(), errors: Vec::new() };
        let mut secrets = BTreeMap::new();
        for (name, source) in &config.secrets {
            secrets.extend(resolver.fetch(name, source).map(|secret| (name.clone(), secret)));
        }
        let token = config.callback_token.as_ref();
        let callback_token = token.and_then(|source| resolver.fetch("callback_token", source));
        if resolver.errors.is_empty() {
            Ok(RouteSecrets { secrets, callback_token, warnings: resolver.warnings })
        } else {
            Err(resolver.errors)
        }
    }
}

/// What is amiss with a variable.
pub(super) fn lack(empty: bool) -> &'static str {
    if empty { "is empty" } else { "is not set" }
}

/// A variable with something in it.
pub(super) fn environment(variable: &str) -> Option<String> {
    as_set(variable).filter(|value| !value.is_empty())
}

/// The one place that reads the environment. A value that is no text counts as not set.
#[expect(clippy::disallowed_methods, reason = "this module is the one that reads the environment")]
pub(super) fn as_set(variable: &str) -> Option<String> {
    std::env::var(variable).ok()
}

/// Reads `{ env = "NAME" }` or `{ file = "PATH" }`; everything else would put a secret into the file.
pub(super) fn secret_source(value: &Value<'_>, folder: &Path) -> Option<SecretSource> {
    let way_out = "write { env = \"NAME\" } for an environment variable, or { file = \"PATH\" } for a file";
    let inline = format!("{} is a secret; this file must not hold its value", value.name());
    let Some(table) = value.as_table() else {
        value.complain(inline, way_out);
        return None;
    };
    table.refuse("value", inline, way_out);
    let refused = table.entries().iter().any(|(key, _)| key == "value");
    let (env, file) = (table.get("env"), table.get("file"));
    let source = match (env, file) {
        (Some(env), None) => variable(&env).map(SecretSource::Env),
        (None, Some(file)) => file.some_text().map(|path| SecretSource::File(folder.join(path))),
        (None, None) => {
            if !refused {
                value.complain(format!("{} is found nowhere", value.name()), way_out);
            }
            None
        }
        (Some(_), Some(_)) => {
            value.complain(format!("{} is in two places", value.name()), "keep `env` or `file`");
            None
        }
    };
    table.finish();
    source
}

/// The name of a variable. Capitals only: what people paste here by mistake is the secret itself.
fn variable(value: &Value<'_>) -> Option<String> {
    let name = value.text()?;
    let plain = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_';
    if name.is_empty() || !name.chars().all(plain) || name.starts_with(|c: char| c.is_ascii_digit()) {
        let title = format!("{} is not the name of an environment variable", value.name());
        value.complain(title, "use capitals, digits and _, like SMS_AUTH_TOKEN; never the secret itself");
        return None;
    }
    Some(name.to_owned())
}

struct Resolver<'a> {
    route: &'a str,
    environment: &'a dyn Fn(&str) -> Option<String>,
    warnings: Vec<String>,
    errors: Vec<SecretError>,
}

impl Resolver<'_> {
    fn fetch(&mut self, secret: &str, source: &SecretSource) -> Option<Secret> {
        let (route, secret) = (self.route.to_owned(), secret.to_owned());
        let read = match source {
            SecretSource::Env(variable) => match (self.environment)(variable) {
                Some(value) if !value.is_empty() => Ok(value),
                other => {
                    let (variable, empty) = (variable.clone(), other.is_some());
                    Err(SecretError::NotSet { route, secret, variable, empty })
                }
            },
            SecretSource::File(path) => match self.read(path) {
                Err(problem) => Err(SecretError::Unreadable { route, secret, path: path.clone(), problem }),
                Ok(text) if text.is_empty() => Err(SecretError::Empty { route, secret, path: path.clone() }),
                Ok(text) => Ok(text),
            },
        };
        read.map(Secret::new).map_err(|error| self.errors.push(error)).ok()
    }

    fn read(&mut self, path: &Path) -> Result<String, String> {
        let file = std::fs::File::open(path).map_err(|error| error.kind().to_string())?;
        if open_to_all(&file) {
            let path = quoted(&path.to_string_lossy());
            self.warnings
                .push(format!("every user of this machine can read {path}; chmod 600 keeps it private"));
        }
        let mut text = String::new();
        file.take(LONGEST + 1).read_to_string(&mut text).map_err(|error| error.kind().to_string())?;
        if text.len() as u64 > LONGEST {
            return Err("it is longer than any secret".to_owned());
        }
        let trimmed = text.strip_suffix('\n').unwrap_or(&text);
        Ok(trimmed.strip_suffix('\r').unwrap_or(trimmed).to_owned())
    }
}

#[cfg(unix)]
fn open_to_all(file: &std::fs::File) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    file.metadata().is_ok_and(|metadata| metadata.permissions().mode() & 0o004 != 0)
}

#[cfg(not(unix))]
fn open_to_all(_file: &std::fs::File) -> bool {
    false
}

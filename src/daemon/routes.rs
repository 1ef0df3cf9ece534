//! Routes of the configuration into adapters: definitions, secrets and callback tokens put together.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use hmac::{Hmac, KeyInit as _, Mac as _};
use rand::RngExt as _;
use sha2::Sha256;

use crate::campaign::law::Rules;
use crate::config::Config;
use crate::dispatch::ladder::Ladder;
use crate::dispatch::pace::LaneLimits;
use crate::model::clock::Timestamp;
use crate::model::doubt::Means;
use crate::model::hex::hex;
use crate::model::message::RetryPolicy;
use crate::provider::{Adapter, Catalog, RouteSettings};
use crate::store::{Store, StoreError};
use crate::telemetry::Secret;

/// Everything one lane and its callbacks need.
#[derive(Debug)]
pub struct RouteParts {
    /// Its name.
    pub name: String,
    /// Its adapter, credentials included.
    pub adapter: Arc<Adapter>,
    /// Its limits.
    pub limits: LaneLimits,
    /// Submissions under way at once.
    pub in_flight: usize,
    /// How long its answers are awaited.
    pub answer_timeout: Duration,
    /// Its retries.
    pub retry: RetryPolicy,
    /// One-letter keywords that it announces.
    pub one_letter: Vec<char>,
}

/// The law, less the rules that the shop switched off.
///
/// # Errors
/// When a rule to be switched off does not exist or may not be.
pub fn rules(config: &Config) -> anyhow::Result<Rules> {
    let mut rules = Rules::load();
    for id in &config.law_switched_off {
        rules = rules.switch_off(id)?;
    }
    Ok(rules)
}

/// Built-in definitions and the user's own, which add or replace.
///
/// # Errors
/// Every mistake in the user's definitions.
pub fn catalog(config: &Config) -> anyhow::Result<Catalog> {
    if !config.providers_folder.exists() {
        return Ok(Catalog::builtin());
    }
    Catalog::with_folder(&config.providers_folder).map_err(|complaints| anyhow::anyhow!(lines(&complaints)))
}

/// The key from which callback tokens are made: drawn once for a store.
///
/// # Errors
/// When the store cannot be used.
pub async fn token_key(store: &Store) -> Result<Secret, StoreError> {
    let drawn: [u8; 32] = rand::rng().random();
    Ok(Secret::new(store.meta_once("callback_key", &hex(&drawn)).await?))
}

/// Every route, ready to run.
///
/// # Errors
/// The first route that is incomplete, with everything that it lacks.
pub fn all(config: &Config, catalog: &Catalog, token_key: &Secret) -> anyhow::Result<Vec<RouteParts>> {
    config.routes.keys().map(|name| one(config, catalog, token_key, name)).collect()
}

/// What the provider of each route can be asked about messages in doubt; routes whose provider can be asked nothing are
/// not in it. Notes how requests are rendered from now on, so that none is repeated that would differ.
///
/// # Errors
/// When the store cannot be used.
pub async fn means(
    store: &Store,
    parts: &[RouteParts],
    public_url: Option<&str>,
    now: Timestamp,
) -> Result<HashMap<String, Means>, StoreError> {
    let mut all = HashMap::new();
    for part in parts.iter().filter(|part| !part.adapter.definition().doubt.is_empty()) {
        let print = part.adapter.print(public_url);
        let since = store.alike_since(&part.name, &print, now).await?;
        all.insert(part.name.clone(), part.adapter.definition().means(since));
    }
    Ok(all)
}

/// The same as the last daemon left it, for whoever explains what a message waits for. A route whose definition is gone
/// or cannot be read is not in it: who looks at a run must not be stopped by that.
///
/// # Errors
/// When the store cannot be read.
pub async fn ladder(config: &Config, store: &Store) -> Result<Ladder, StoreError> {
    let renderings = store.renderings().await?;
    let catalog = catalog(config).unwrap_or_else(|_| Catalog::builtin());
    let mut means = HashMap::new();
    for (name, route) in &config.routes {
        if let Some(definition) = catalog.get(&route.provider)
            && !definition.doubt.is_empty()
        {
            let since = renderings.get(name).copied().unwrap_or(Timestamp::MAX);
            means.insert(name.clone(), definition.means(since));
        }
    }
    Ok(Ladder { means, policy: config.doubt_policy() })
}

/// One route, ready to run.
///
/// # Errors
/// Everything that it lacks.
pub fn one(config: &Config, catalog: &Catalog, token_key: &Secret, name: &str) -> anyhow::Result<RouteParts> {
    let route = config
        .routes
        .get(name)
        .with_context(|| format!("there is no route `{name}` in the configuration"))?;
    let definition = catalog.get(&route.provider).with_context(|| {
        format!(
            "route `{name}`: there is no provider `{}`; `winback provider list` shows what there is",
            route.provider
        )
    })?;
    let secrets = config.resolve_secrets(name).map_err(|errors| anyhow::anyhow!(lines(&errors[..])))?;
    for warning in &secrets.warnings {
        tracing::warn!(route = name, "{warning}");
    }
    let settings = RouteSettings {
        route: name.to_owned(),
        secrets: secrets.secrets,
        settings: route.settings.clone(),
        allow_http: route.allow_http,
        callback_token: secrets.callback_token.unwrap_or_else(|| token(token_key, name)),
    };
    let adapter =
        Adapter::new(definition, settings).map_err(|complaints| anyhow::anyhow!(lines(&complaints)))?;
    Ok(RouteParts {
        name: name.to_owned(),
        adapter: Arc::new(adapter),
        limits: config.lane_limits(name).cloned().unwrap_or_default(),
        in_flight: route.in_flight,
        answer_timeout: route.answer_timeout,
        retry: route.retry,
        one_letter: route.opt_out_letters.clone(),
    })
}

/// The token of a route's callback addresses: 128 bits that nobody can guess and that survive a restart.
fn token(key: &Secret, route: &str) -> Secret {
    let mut mac =
        Hmac::<Sha256>::new_from_slice(key.expose().as_bytes()).expect("HMAC takes a key of any length");
    mac.update(route.as_bytes());
    Secret::new(hex(&mac.finalize().into_bytes()[..16]))
}

fn lines<T: ToString>(complaints: &[T]) -> String {
    complaints.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

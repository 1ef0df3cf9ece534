//! One route of the configuration: an account at a provider, its senders, countries, limits and prices.

use std::collections::{BTreeMap, HashMap};
use std::ops::RangeInclusive;
use std::path::Path;
use std::time::Duration;

use super::duration::duration;
use super::secrets::{SecretSource, secret_source};
use crate::dispatch::pace::{LaneLimits, Limit};
use crate::document::{NAME_RULE, Table, Value, is_name, quoted};
use crate::model::country::Country;
use crate::model::message::RetryPolicy;
use crate::model::money::Micros;
use crate::provider::TransportLimits;
use crate::store::intents::LONGEST_ANSWER;

/// Parts per second of a route that names no limit: slow enough for every account.
const SLOW: Limit = Limit { parts_per_second: 1.0, burst: 1 };

/// Submissions under way of a route that names no limit.
const IN_FLIGHT: usize = 16;

/// Answers are awaited so long that a slow provider has its turn, and so short that a message whose intent is that old
/// is not taken for lost meanwhile.
const ANSWER_TIMES: RangeInclusive<Duration> = Duration::from_secs(2)..=LONGEST_ANSWER;

/// An account at a provider.
#[derive(Clone, Debug, PartialEq)]
pub struct RouteConfig {
    /// Name of the provider's definition.
    pub provider: String,
    /// Numbers and names that texts go out under, the preferred one first; empty if the account chooses.
    pub senders: Vec<String>,
    /// Countries that it may text; never empty.
    pub countries: Vec<Country>,
    /// Pace.
    pub limits: LaneLimits,
    /// Submissions that may be under way at once.
    pub in_flight: usize,
    /// How long an answer to a submission is awaited; what is not answered by then is in doubt.
    pub answer_timeout: Duration,
    /// Cost of a part by country, in the shop's currency.
    pub price: BTreeMap<Country, Micros>,
    /// Where its credentials are, by the names that the definition declares.
    pub secrets: BTreeMap<String, SecretSource>,
    /// Settings, by the names that the definition declares.
    pub settings: BTreeMap<String, String>,
    /// What makes callback addresses unguessable where a provider signs nothing; none if the daemon shall choose.
    pub callback_token: Option<SecretSource>,
    /// Whether plain `http://` may leave this machine.
    pub allow_http: bool,
    /// One-letter replies that its texts announce as a way to opt out.
    pub opt_out_letters: Vec<char>,
    /// How proven non-submissions are tried again.
    pub retry: RetryPolicy,
}

/// Reads `[routes]`.
pub(super) fn routes(table: &Table<'_>, folder: &Path) -> BTreeMap<String, RouteConfig> {
    let mut routes = BTreeMap::new();
    for (name, value) in table.entries() {
        if !is_name(&name) {
            value.complain_at_key(format!("{} cannot be the name of a route", quoted(&name)), NAME_RULE);
        }
        if let Some(route) = value.table().and_then(|table| route(table, folder)) {
            routes.insert(name, route);
        }
    }
    routes
}

fn route(table: Table<'_>, folder: &Path) -> Option<RouteConfig> {
    let provider = table.require("provider", "`winback provider list` shows what there is");
    let provider = provider.and_then(|value| value.some_text().map(str::to_owned));
    let countries = table.require("countries", "write countries = [\"US\"]: nothing is sent anywhere else");
    let countries = countries.and_then(|value| countries_of(&value));
    let (account, in_flight) = table.table("limits").map_or((SLOW, IN_FLIGHT), limits);
    let senders = table.get("senders").map(|value| texts(&value)).unwrap_or_default();
    let limits = LaneLimits {
        account: Some(account),
        senders: table
            .table("sender_limits")
            .map(|table| sender_limits(&table, &senders))
            .unwrap_or_default(),
        countries: table
            .table("country_limits")
            .map(|table| country_limits(&table, countries.as_deref()))
            .unwrap_or_default(),
    };
    let answer_timeout = table.get("answer_timeout").and_then(|value| duration(&value, ANSWER_TIMES));
    let price = table.table("price").map(|table| prices(&table, countries.as_deref())).unwrap_or_default();
    let secrets = table.table("secrets").map(|table| secrets(&table, folder)).unwrap_or_default();
    let settings = table.table("settings").map(|table| settings(&table)).unwrap_or_default();
    let callback_token = table.get("callback_token").and_then(|value| secret_source(&value, folder));
    let allow_http = table.get("allow_http").and_then(|value| value.truth()).unwrap_or(false);
    let opt_out_letters = table.get("opt_out_letters").map(|value| letters(&value)).unwrap_or_default();
    let retry = table.table("retry").map(retry).unwrap_or_default();
    table.finish();
    Some(RouteConfig {
        provider: provider?,
        senders,
        countries: countries?,
        limits,
        in_flight,
        answer_timeout: answer_timeout.unwrap_or(TransportLimits::default().total_timeout),
        price,
        secrets,
        settings,
        callback_token,
        allow_http,
        opt_out_letters,
        retry,
    })
}

fn letters(value: &Value<'_>) -> Vec<char> {
    let mut letters = Vec::new();
    for element in value.list().unwrap_or_default() {
        let Some(text) = element.some_text() else { continue };
        match text.chars().collect::<Vec<_>>()[..] {
            [letter] if letter.is_ascii_alphabetic() => letters.push(letter.to_ascii_uppercase()),
            _ => element.complain(
                "this is not one letter",
                "write letters that the texts announce, like [\"R\", \"T\"]",
            ),
        }
    }
    letters
}

fn countries_of(value: &Value<'_>) -> Option<Vec<Country>> {
    let list = value.list()?;
    if list.is_empty() {
        value.complain("a route without countries sends nothing", "write countries = [\"US\"]");
        return None;
    }
    let mut countries: Vec<Country> = Vec::new();
    for element in list {
        let Some(country) = element.parsed::<Country>() else { continue };
        if countries.contains(&country) {
            element.complain(format!("the country `{country}` is named twice"), "name it once");
        }
        countries.push(country);
    }
    Some(countries)
}

fn texts(value: &Value<'_>) -> Vec<String> {
    let mut texts: Vec<String> = Vec::new();
    for element in value.list().unwrap_or_default() {
        let Some(text) = element.some_text() else { continue };
        if texts.iter().any(|known| known == text) {
            element.complain(format!("{} is named twice", quoted(text)), "name it once");
        }
        texts.push(text.to_owned());
    }
    texts
}

fn limits(table: Table<'_>) -> (Limit, usize) {
    let limit = limit_keys(&table, SLOW);
    let in_flight = table.get("in_flight").and_then(|value| value.whole(1..=10_000));
    table.finish();
    (limit, in_flight.and_then(|count| count.try_into().ok()).unwrap_or(IN_FLIGHT))
}

fn limit_keys(table: &Table<'_>, otherwise: Limit) -> Limit {
    let rate = table.get("parts_per_second").and_then(|value| value.number(0.001..=100_000.0));
    let burst = table.get("burst").and_then(|value| value.whole(1..=100_000));
    Limit {
        parts_per_second: rate.unwrap_or(otherwise.parts_per_second),
        burst: burst.and_then(|burst| burst.try_into().ok()).unwrap_or(otherwise.burst),
    }
}

fn narrow_limit(value: &Value<'_>) -> Option<Limit> {
    let table = value.table()?;
    let _ = table.require("parts_per_second", "without it the entry limits nothing");
    let limit = limit_keys(&table, SLOW);
    table.finish();
    Some(limit)
}

fn sender_limits(table: &Table<'_>, senders: &[String]) -> HashMap<String, Limit> {
    let mut limits = HashMap::new();
    for (sender, value) in table.entries() {
        if !senders.contains(&sender) {
            let title = format!("{} is not one of this route's senders", quoted(&sender));
            value.complain_at_key(title, "add it to `senders`, or remove this limit");
        }
        limits.extend(narrow_limit(&value).map(|limit| (sender, limit)));
    }
    limits
}

fn country_limits(table: &Table<'_>, countries: Option<&[Country]>) -> HashMap<String, Limit> {
    let mut limits = HashMap::new();
    for (key, value) in table.entries() {
        let country = country_key(&key, &value, countries);
        limits.extend(country.zip(narrow_limit(&value)).map(|(country, limit)| (country.to_string(), limit)));
    }
    limits
}

fn prices(table: &Table<'_>, countries: Option<&[Country]>) -> BTreeMap<Country, Micros> {
    let mut prices = BTreeMap::new();
    for (key, value) in table.entries() {
        let country = country_key(&key, &value, countries);
        let Some(digits) = value.digits() else { continue };
        match digits.parse::<Micros>() {
            Ok(price) if price >= Micros(0) => prices.extend(country.map(|country| (country, price))),
            _ => value.complain(
                format!("{} is not a price", value.name()),
                "write what one part costs in the shop's currency, like 0.0079, with at most six decimals",
            ),
        }
    }
    prices
}

/// A country as the key of a table. It must be one that the route may text: a slip here costs money or time.
fn country_key(key: &str, value: &Value<'_>, countries: Option<&[Country]>) -> Option<Country> {
    let country = match key.parse::<Country>() {
        Ok(country) => country,
        Err(error) => {
            value.complain_at_key(format!("{} is not a country", quoted(key)), error.to_string());
            return None;
        }
    };
    if countries.is_some_and(|countries| !countries.contains(&country)) {
        let title = format!("{} is not one of this route's countries", quoted(key));
        value.complain_at_key(title, "add it to `countries`, or remove it here");
    }
    Some(country)
}

fn secrets(table: &Table<'_>, folder: &Path) -> BTreeMap<String, SecretSource> {
    let entries = table.entries().into_iter();
    entries.filter_map(|(name, value)| Some((name, secret_source(&value, folder)?))).collect()
}

fn settings(table: &Table<'_>) -> BTreeMap<String, String> {
    table.entries().into_iter().filter_map(|(name, value)| Some((name, value.scalar()?))).collect()
}

fn retry(table: Table<'_>) -> RetryPolicy {
    let default = RetryPolicy::default();
    let (least, most) = (Duration::from_millis(100), Duration::from_hours(24));
    let delay = |key, otherwise| {
        let read = table.get(key).and_then(|value| duration(&value, least..=most));
        read.and_then(|delay| delay.as_millis().try_into().ok()).unwrap_or(otherwise)
    };
    let attempts = table.get("attempts").and_then(|value| value.whole(1..=100));
    let policy = RetryPolicy {
        attempts: attempts.and_then(|count| count.try_into().ok()).unwrap_or(default.attempts),
        first_delay_ms: delay("first_delay", default.first_delay_ms),
        max_delay_ms: delay("max_delay", default.max_delay_ms),
        multiplier: table
            .get("multiplier")
            .and_then(|value| value.number(1.0..=10.0))
            .unwrap_or(default.multiplier),
        jitter: table.get("jitter").and_then(|value| value.number(0.0..=1.0)).unwrap_or(default.jitter),
    };
    if policy.max_delay_ms < policy.first_delay_ms {
        table.complain(
            "the longest delay is shorter than the first one",
            "raise `max_delay` or lower `first_delay`",
        );
    }
    table.finish();
    policy
}

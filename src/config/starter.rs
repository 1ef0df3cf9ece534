//! The first `winback.toml` of a shop, written from a few answers. Asks nothing itself and writes no file.

use std::fmt::Write as _;

use crate::campaign::terms::Currency;
use crate::model::country::Country;

const EXAMPLE: &str = include_str!("../../config/example.toml");

/// What `winback init` knows about the shop.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answers {
    /// Its name, for texts and pages.
    pub shop: String,
    /// The IANA zone of its days.
    pub zone: String,
    /// Country of its customers' numbers.
    pub country: Country,
    /// Currency of its prices.
    pub currency: Currency,
    /// Its account at a provider; without one the file shows a route as a comment.
    pub route: Option<RouteAnswers>,
}

/// An account at a provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouteAnswers {
    /// Name of the provider's definition.
    pub provider: String,
    /// The number or name that texts go out under.
    pub sender: String,
    /// Names of the secrets that the definition declares.
    pub secrets: Vec<String>,
    /// What a part costs, as people write it, if known.
    pub price: Option<String>,
}

/// The text of a configuration with these answers; it parses.
pub fn starter(answers: &Answers) -> String {
    let (name, zone) = (quoted(&answers.shop), quoted(&answers.zone));
    let (country, currency) = (quoted(answers.country.as_str()), quoted(answers.currency.as_str()));
    let route = route(answers);
    format!(
        r#"# What winback is told; config/default.toml shows every other key, with its default and its reason.
# Unknown keys are errors. `winback check` reads this file and all campaigns.

[store]
# One file is enough for the first millions of customers; "postgres://…" is for commands on several machines.
url = "sqlite:winback.db"

[shop]
# Its name, for texts and pages.
name = {name}
# Days are counted in this zone, and times without a zone are meant in it.
zone = {zone}
# Numbers without a country code are taken as numbers of this country.
country = {country}
# Prices, budgets and orders are in this currency.
currency = {currency}

[daemon]
# Only this machine can reach it. Put TLS in front and name the outer address, or receipts and STOP cannot come in.
listen = "127.0.0.1:8480"
#public_url = "https://sms.example.com"

{route}
[segments]
# Audiences by name. Count one with `winback segment count sleeping-spenders`.
sleeping-spenders = "stage in ('sleeping', 'lost') and sum('order', '365 days') >= 200 and not tagged('vip')"
"#
    )
}

fn route(answers: &Answers) -> String {
    let Some(route) = &answers.route else {
        let block = route_block(answers.country, &shown_route());
        let comment = |line: &str| {
            if line.starts_with('#') || line.is_empty() { line.to_owned() } else { format!("#{line}") }
        };
        let lines: Vec<String> = block.lines().map(comment).collect();
        return format!("{}\n", lines.join("\n"));
    };
    route_block(answers.country, route)
}

/// The account that the shipped example shows: what a starter names unless it is told otherwise.
pub fn shown_route() -> RouteAnswers {
    let file: toml::Table = toml::from_str(EXAMPLE).expect("a test reads the shipped example");
    let route = &file["routes"]["us"];
    let text = |value: &toml::Value| value.as_str().unwrap_or_default().to_owned();
    let secrets = route["secrets"].as_table().into_iter().flat_map(toml::Table::keys);
    RouteAnswers {
        provider: text(&route["provider"]),
        sender: text(&route["senders"][0]),
        secrets: secrets.cloned().collect(),
        price: Some(route["price"]["US"].to_string()),
    }
}

fn route_block(country: Country, route: &RouteAnswers) -> String {
    let (provider, sender) = (quoted(&route.provider), quoted(&route.sender));
    let lower = country.as_str().to_ascii_lowercase();
    let mut text = format!(
        r#"[routes.{lower}]
# An account at a provider; `winback provider list` shows the providers.
provider = {provider}
# Numbers or names that texts go out under.
senders = [{sender}]
# Nothing is sent to any other country.
countries = ["{country}"]
# As the account allows, in parts; the carrier counts parts, not messages.
limits = {{ parts_per_second = 1, burst = 1, in_flight = 16 }}
# What a part costs; without it a plan cannot tell the price.
"#
    );
    let price = route.price.as_ref().map_or_else(
        || format!("#price = {{ {country} = 0.0079 }}"),
        |price| format!("price = {{ {country} = {price} }}"),
    );
    let _ = writeln!(text, "{price}");
    if !route.secrets.is_empty() {
        text.push_str("# Secrets stay out of this file: { env = \"NAME\" } or { file = \"PATH\" }.\n");
    }
    for secret in &route.secrets {
        let variable = format!("{}_{secret}", route.provider).to_ascii_uppercase();
        let variable: String =
            variable.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
        let _ = writeln!(text, "secrets.{secret} = {{ env = \"{variable}\" }}");
    }
    text
}

fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

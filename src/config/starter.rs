//! The first `winback.toml` and the first campaign of a shop, written from a few answers. Asks nothing and writes no file.

use std::fmt::Write as _;

use jiff::ToSpan as _;
use jiff::tz::TimeZone;

use crate::campaign::terms::Currency;
use crate::campaign::zones::time_zone;
use crate::model::clock::Timestamp;
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

/// The text of a campaign that can be planned as soon as there are contacts who agreed to be texted: it asks for nothing
/// that a list may leave out, needs no codes, and starts the day after `now` by the shop's calendar.
pub fn campaign(answers: &Answers, now: Timestamp) -> String {
    let zone = time_zone(&answers.zone).unwrap_or(TimeZone::UTC);
    let today = now.to_jiff().to_zoned(zone).date();
    let (first, last) = (today.saturating_add(1.day()), today.saturating_add(7.days()));
    let (country, route) = (answers.country, answers.country.as_str().to_ascii_lowercase());
    let currency = &answers.currency;
    format!(
        r#"# A campaign: what to send, to whom, when, with which coupon. Its name is the name of this file.
# `winback check` reads it, `winback plan national-day` shows what it would do, `winback launch national-day` does it.

# A name from [segments] in winback.toml, such as "sleeping-spenders" once orders are imported, or an expression.
segment = "country = '{country}' and not tagged('vip')"

# Routes that may carry it, the preferred one first.
routes = ["{route}"]

# 10:00 on the contact's own clock. zone may also be an IANA name, and is the shop's zone when left out; at may also be
# an instant ("{first}T10:00:00-04:00") or "now". Without until a run ends after seven days.
schedule = {{ at = "{first} 10:00", zone = "contact", until = "{last} 20:00" }}

# Hours on the contact's clock, inside the lawful ones of their country, never wider. Left out: all lawful hours.
window = "10:00-20:00"

# per_contact counts the texts of all campaigns, but for those that never left. A text that would need more parts is not sent.
limits = {{ per_contact = "2 per 7 days", budget = "500 {currency}", parts = 2 }}

# A text whose fate nobody knows: "park" waits for evidence and never sends twice, "resend" sends again after a while,
# "ask" leaves it to a person.
when_in_doubt = "park"

# Curly quotes and long dashes become plain ones where that makes a text cheaper. Words and links stay as they are.
smart_text = true

# With a coupon each contact gets a code of their own. Make a pool first:
#   winback coupon create autumn-20 --value 20 && winback coupon generate autumn-20 5000
# then take the # away here, and say {{{{ coupon.code }}}}, {{{{ coupon.value }}}} and {{{{ coupon.expires }}}} in every text.
#[coupon]
#pool = "autumn-20"
#expires_in = "7 days"

[text]
# By the contact's language: pt-BR, then pt, then the default.
default = "en"
en = "{{{{ first_name | default('Hi') }}}}, we have missed you. See what is new: https://shop.example.com/r STOP to opt out"
zh = "【Brand】{{{{ first_name | default('您好') }}}}，好久不见，快来看看新品。拒收请回复R"
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

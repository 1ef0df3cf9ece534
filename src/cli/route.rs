//! `winback route list`: the accounts of the configuration and the addresses their providers call.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use serde_json::json;

use crate::config::{Config, RouteConfig};
use crate::daemon::{public_url, routes};
use crate::provider::Adapter;
use crate::telemetry::Secret;

use super::{Context, print};

/// Stands for the reference of a message in an address.
const REFERENCE: &str = "REFERENCE";

/// Accounts at providers.
#[derive(Debug, Subcommand)]
pub(super) enum RouteCommand {
    /// Every route with its senders, countries, limits and callback addresses.
    List(ListArgs),
}

/// What is listed.
#[derive(Debug, Args)]
pub(super) struct ListArgs {
    /// Print callback addresses with their tokens, for the provider's console.
    #[arg(long)]
    secrets: bool,
}

/// The addresses that a provider calls.
pub(super) struct Addresses {
    /// Where receipts come, given with each text or entered in the provider's console.
    pub(super) receipt: Option<String>,
    /// Where customers' texts come, to be entered in the provider's console.
    pub(super) inbound: Option<String>,
}

pub(super) async fn run(context: &Context, command: RouteCommand) -> anyhow::Result<ExitCode> {
    let RouteCommand::List(args) = command;
    let config = context.config()?;
    let key = match context.store(&config).await {
        Ok(store) => {
            let key = routes::token_key(&store).await?;
            store.close().await;
            Some(key)
        }
        Err(_) => None,
    };
    let catalog = routes::catalog(&config)?;
    let mut listed = Vec::new();
    for (name, route) in &config.routes {
        let adapter = key.as_ref().map(|key| routes::one(&config, &catalog, key, name));
        let addresses = match adapter {
            Some(Ok(parts)) => Ok(addresses(&config, &parts.adapter, args.secrets)),
            Some(Err(error)) => Err(error.to_string()),
            None => Err("there is no store yet; run `winback init`".to_owned()),
        };
        listed.push((name, route, addresses));
    }
    if context.json() {
        let currency = config.shop.currency.as_str();
        let list: Vec<_> =
            listed.iter().map(|(name, route, told)| as_json(name, route, currency, told)).collect();
        print::json(&list)?;
        return Ok(ExitCode::SUCCESS);
    }
    for (name, route, told) in &listed {
        show(name, route, told);
    }
    if listed.is_empty() {
        print::line("there is no route; add [routes.NAME] to the configuration");
    }
    Ok(ExitCode::SUCCESS)
}

/// Where the provider of a route calls; tokens only if they are asked for.
pub(super) fn addresses(config: &Config, adapter: &Adapter, secrets: bool) -> Addresses {
    let url = public_url(config);
    let masked = |address: String| if secrets { address } else { adapter.without_token(&address) };
    Addresses {
        receipt: adapter.callback_url(&url, REFERENCE).map(masked),
        inbound: adapter.inbound_url(&url).map(masked),
    }
}

/// A key that opens nothing, for looking at routes without a store.
pub(super) fn no_key() -> Secret {
    Secret::new("no store")
}

fn countries(route: &RouteConfig) -> Vec<String> {
    route.countries.iter().map(ToString::to_string).collect()
}

fn as_json(
    name: &str,
    route: &RouteConfig,
    currency: &str,
    told: &Result<Addresses, String>,
) -> serde_json::Value {
    let account = route.limits.account;
    let prices: std::collections::BTreeMap<String, String> =
        route.price.iter().map(|(country, price)| (country.to_string(), price.to_string())).collect();
    json!({
        "name": name, "provider": route.provider, "senders": route.senders, "countries": countries(route),
        "parts_per_second": account.map(|limit| limit.parts_per_second), "burst": account.map(|limit| limit.burst),
        "in_flight": route.in_flight, "price": prices, "currency": currency,
        "receipt_url": told.as_ref().ok().and_then(|told| told.receipt.clone()),
        "inbound_url": told.as_ref().ok().and_then(|told| told.inbound.clone()),
        "problem": told.as_ref().err(),
    })
}

fn show(name: &str, route: &RouteConfig, told: &Result<Addresses, String>) {
    let senders =
        if route.senders.is_empty() { "the account's".to_owned() } else { route.senders.join(", ") };
    print::line(format!("{name}: {}", route.provider));
    print::line(format!("  senders    {senders}"));
    print::line(format!("  countries  {}", countries(route).join(", ")));
    if let Some(limit) = route.limits.account {
        print::line(format!(
            "  limits     {} parts per second, burst {}, {} under way",
            limit.parts_per_second, limit.burst, route.in_flight
        ));
    }
    let prices: Vec<String> =
        route.price.iter().map(|(country, price)| format!("{country} {price}")).collect();
    print::line(format!(
        "  price      {}",
        if prices.is_empty() { "none".to_owned() } else { prices.join(", ") }
    ));
    match told {
        Err(problem) => print::line(format!("  not ready: {problem}")),
        Ok(told) => {
            if let Some(receipt) = &told.receipt {
                print::line(format!("  receipts   {receipt}"));
            }
            if let Some(inbound) = &told.inbound {
                print::line(format!("  replies    {inbound}"));
            }
        }
    }
}

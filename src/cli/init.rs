//! `winback init`: a first configuration, an example campaign and an empty store. Overwrites nothing.

use std::fs::OpenOptions;
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Args;
use rand::RngExt as _;
use serde_json::json;

use crate::campaign::terms::Currency;
use crate::campaign::zones::time_zone;
use crate::config::starter::{Answers, RouteAnswers, shown_route, starter};
use crate::config::{Config, FILE};
use crate::model::country::Country;
use crate::model::money::Micros;
use crate::model::reference::TAG_LENGTH;
use crate::provider::Catalog;
use crate::store::Store;

use super::{Context, WrongUse, print};

/// The campaign that is written as an example.
const EXAMPLE: &str = include_str!("../../config/campaigns/national-day.toml");

/// The store of the configuration that is written.
const DEFAULT_STORE: &str = "url = \"sqlite:winback.db\"";

/// Write a commented winback.toml and an example campaign, create the store; what is there already stays.
#[derive(Debug, Args)]
pub(super) struct InitArgs {
    /// Where to keep everything: `sqlite:PATH` or `postgres://USER@HOST/DATABASE`.
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    /// Name of the shop.
    #[arg(long, default_value = "My Shop")]
    shop: String,
    /// IANA zone of the shop's days.
    #[arg(long, default_value = "UTC")]
    zone: String,
    /// Country of the customers' numbers, two letters.
    #[arg(long, value_name = "XX", default_value = "US")]
    country: Country,
    /// Currency of prices, budgets and orders.
    #[arg(long, default_value = "USD")]
    currency: Currency,
    /// Name of a provider; `winback provider list` shows them. That of config/example.toml if not given.
    #[arg(long)]
    provider: Option<String>,
    /// The number or name that texts go out under.
    #[arg(long, default_value = "+15005550006", allow_hyphen_values = true)]
    sender: String,
    /// What one part costs in that currency; without a price nothing is sent.
    #[arg(long)]
    price: Option<Micros>,
}

pub(super) async fn run(context: &Context, args: InitArgs) -> anyhow::Result<ExitCode> {
    let path = context.path().unwrap_or(Path::new(FILE));
    let text = configuration(&args)?;
    let mut told = Vec::new();
    let fresh = write_new(path, &text)?;
    if !fresh && args.url.is_some() {
        let told = format!("{} is there already; change store.url in it instead of --url", path.display());
        return Err(WrongUse(told).into());
    }
    told.push((path.display().to_string(), fresh));
    let config = Config::load(Some(path))?;
    if fresh {
        let folder = &config.campaigns_folder;
        std::fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
        let example = config.campaign_file("national-day");
        told.push((example.display().to_string(), write_new(&example, &campaign(&args))?));
    }
    let known = Store::open(&config.store.url).await;
    let there = known.is_ok();
    let store = match known {
        Ok(store) => store,
        Err(_) => Store::create(&config.store.url, &tag()).await?,
    };
    let place =
        store.path().map_or_else(|| "the PostgreSQL database".to_owned(), |p| p.display().to_string());
    told.push((place, !there));
    store.close().await;
    if context.json() {
        let files: Vec<_> =
            told.iter().map(|(what, fresh)| json!({"what": what, "created": fresh})).collect();
        print::json(&files)?;
        return Ok(ExitCode::SUCCESS);
    }
    for (what, fresh) in &told {
        let note = if *fresh { "created" } else { "is there already, left as it is" };
        print::line(format!("{what} {note}"));
    }
    if fresh {
        print::line("");
        print::line("next: winback contact import customers.csv");
        print::line(
            "      winback coupon create autumn-20 --value 20 && winback coupon generate autumn-20 1000",
        );
        print::line("      winback doctor");
    }
    Ok(ExitCode::SUCCESS)
}

fn configuration(args: &InitArgs) -> anyhow::Result<String> {
    if time_zone(&args.zone).is_none() {
        let told = format!("--zone {}: write a name like Europe/Berlin", args.zone);
        return Err(WrongUse(told).into());
    }
    let catalog = Catalog::builtin();
    let provider = args.provider.clone().unwrap_or_else(|| shown_route().provider);
    let definition = catalog.get(&provider).ok_or_else(|| {
        let known: Vec<&str> = catalog.names().collect();
        WrongUse(format!("there is no provider `{provider}`; there are: {}", known.join(", ")))
    })?;
    let text = starter(&Answers {
        shop: args.shop.clone(),
        zone: args.zone.clone(),
        country: args.country,
        currency: args.currency.clone(),
        route: Some(RouteAnswers {
            provider,
            sender: args.sender.clone(),
            secrets: definition.secrets.keys().cloned().collect(),
            price: args.price.map(|price| price.to_string()),
        }),
    });
    Ok(match &args.url {
        None => text,
        Some(url) => text.replacen(DEFAULT_STORE, &format!("url = {}", toml::Value::String(url.clone())), 1),
    })
}

/// The example, with the route and the currency of this shop.
fn campaign(args: &InitArgs) -> String {
    let route = args.country.as_str().to_ascii_lowercase();
    EXAMPLE.replacen("routes = [\"us\"]", &format!("routes = [\"{route}\"]"), 1).replacen(
        "500 USD",
        &format!("500 {}", args.currency),
        1,
    )
}

/// Writes a file that is not there yet; `false` if it is. Its owner alone may read it: it may hold a password.
fn write_new(path: &Path, text: &str) -> anyhow::Result<bool> {
    match OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(false),
        opened => {
            let written = opened.and_then(|mut file| file.write_all(text.as_bytes()));
            written.with_context(|| format!("cannot write {}", path.display()))?;
            Ok(true)
        }
    }
}

/// Four letters that mark this store's references at every provider.
pub(super) fn tag() -> String {
    const LETTERS: &[u8] = b"abcdefghijklmnopqrstuvwxyz0123456789";
    let mut rng = rand::rng();
    (0..TAG_LENGTH).map(|_| char::from(LETTERS[rng.random_range(0..LETTERS.len())])).collect()
}

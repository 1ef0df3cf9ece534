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
use crate::config::starter::{self, Answers, RouteAnswers, shown_route};
use crate::config::{Config, FILE};
use crate::model::country::Country;
use crate::model::money::Micros;
use crate::model::reference::TAG_LENGTH;
use crate::provider::Catalog;
use crate::store::{Store, StoreError};

use super::{Context, WrongUse, print};

/// The store of the configuration that is written.
const DEFAULT_STORE: &str = "url = \"sqlite:winback.db\"";

/// Write a commented winback.toml and an example campaign, create the store; what is there already stays.
#[derive(Debug, Args)]
pub(super) struct InitArgs {
    /// Where to keep everything: `sqlite:PATH` or `postgres://USER@HOST/DATABASE`.
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    /// Name of the shop [default: My Shop].
    #[arg(long)]
    shop: Option<String>,
    /// IANA zone of the shop's days [default: UTC].
    #[arg(long)]
    zone: Option<String>,
    /// Country of the customers' numbers, two letters [default: US].
    #[arg(long, value_name = "XX")]
    country: Option<Country>,
    /// Currency of prices, budgets and orders [default: USD].
    #[arg(long)]
    currency: Option<Currency>,
    /// Name of a provider; `winback provider list` shows them. That of config/example.toml if not given.
    #[arg(long)]
    provider: Option<String>,
    /// The number or name that texts go out under [default: +15005550006].
    #[arg(long, allow_hyphen_values = true)]
    sender: Option<String>,
    /// What one part costs in that currency; without a price nothing is sent.
    #[arg(long, allow_hyphen_values = true)]
    price: Option<Micros>,
}

impl InitArgs {
    /// The options that were given.
    fn given(&self) -> Vec<&'static str> {
        let all = [
            (self.url.is_some(), "--url"),
            (self.shop.is_some(), "--shop"),
            (self.zone.is_some(), "--zone"),
            (self.country.is_some(), "--country"),
            (self.currency.is_some(), "--currency"),
            (self.provider.is_some(), "--provider"),
            (self.sender.is_some(), "--sender"),
            (self.price.is_some(), "--price"),
        ];
        all.into_iter().filter_map(|(given, name)| given.then_some(name)).collect()
    }
}

pub(super) async fn run(context: &Context, args: InitArgs) -> anyhow::Result<ExitCode> {
    let path = context.path().unwrap_or(Path::new(FILE));
    let told = if path.exists() { keep(path, &args).await? } else { write(context, path, &args).await? };
    let fresh = told.first().is_some_and(|(_, fresh)| *fresh);
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
        print::line(
            "next: winback contact import customers.csv   (with a column consent_at: since when they agree)",
        );
        if args.price.is_none() {
            print::line(format!(
                "      set `price` of the route in {}: nothing is sent without",
                path.display()
            ));
        }
        print::line("      winback plan national-day");
        print::line("      winback doctor");
    }
    Ok(ExitCode::SUCCESS)
}

/// What was made, and whether it is new.
type Told = Vec<(String, bool)>;

/// A configuration is there: it stays as it is, and its store is created if it is not there.
async fn keep(path: &Path, args: &InitArgs) -> anyhow::Result<Told> {
    let given = args.given();
    if !given.is_empty() {
        let told = format!(
            "{} is there already and stays as it is; change it by hand instead of {}",
            path.display(),
            given.join(", ")
        );
        return Err(WrongUse(told).into());
    }
    let config = Config::load(Some(path))?;
    Ok(vec![(path.display().to_string(), false), store(&config).await?])
}

/// Nothing is there: everything is checked and the store created before the first file is written.
async fn write(context: &Context, path: &Path, args: &InitArgs) -> anyhow::Result<Told> {
    let text = configuration(args)?;
    let name = path.to_string_lossy();
    if let Some(url) = &args.url
        && Config::parse(&name, &format!("store.url = {}", toml::Value::String(url.clone()))).is_err()
    {
        let told = "--url is not the address of a store; write sqlite:PATH or postgres://USER@HOST/DATABASE";
        return Err(WrongUse(told.to_owned()).into());
    }
    let config = Config::check(&name, &text).map_err(|errors| WrongUse(errors.to_string()))?;
    let config = config.with_environment()?;
    let example = config.campaign_file("national-day");
    let campaign = starter::campaign(&shop(args), context.now());
    config.check_campaign(&example.to_string_lossy(), &campaign)?;
    let store = store(&config).await?;
    let folder = &config.campaigns_folder;
    std::fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
    let example = (example.display().to_string(), write_new(&example, &campaign)?);
    if !write_new(path, &text)? {
        return Err(WrongUse(format!("{} has just been written by somebody else", path.display())).into());
    }
    Ok(vec![(path.display().to_string(), true), example, store])
}

/// Opens the store or creates it; one of another version stays as it is.
async fn store(config: &Config) -> anyhow::Result<(String, bool)> {
    let (store, fresh) = match Store::open(&config.store.url).await {
        Ok(store) => (store, false),
        Err(StoreError::Missing { .. } | StoreError::Schema { found: 0, .. }) => {
            (Store::create(&config.store.url, &tag()).await?, true)
        }
        Err(error) => return Err(error.into()),
    };
    let place =
        store.path().map_or_else(|| "the PostgreSQL database".to_owned(), |p| p.display().to_string());
    store.close().await;
    Ok((place, fresh))
}

fn shop(args: &InitArgs) -> Answers {
    Answers {
        shop: args.shop.clone().unwrap_or_else(|| "My Shop".to_owned()),
        zone: args.zone.clone().unwrap_or_else(|| "UTC".to_owned()),
        country: args.country.unwrap_or(Country::US),
        currency: args.currency.clone().unwrap_or_default(),
        route: None,
    }
}

fn configuration(args: &InitArgs) -> anyhow::Result<String> {
    let answers = shop(args);
    if time_zone(&answers.zone).is_none() {
        let told = format!("--zone {}: write a name like Europe/Berlin", answers.zone);
        return Err(WrongUse(told).into());
    }
    if args.price.is_some_and(|price| price < Micros(0)) {
        return Err(WrongUse("--price: a part cannot cost less than nothing".to_owned()).into());
    }
    if args.sender.as_ref().is_some_and(|sender| sender.trim().is_empty()) {
        return Err(WrongUse("--sender is empty; give the number or name of the account".to_owned()).into());
    }
    let catalog = Catalog::builtin();
    let provider = args.provider.clone().unwrap_or_else(|| shown_route().provider);
    let definition = catalog.get(&provider).ok_or_else(|| {
        let known: Vec<&str> = catalog.names().collect();
        WrongUse(format!("there is no provider `{provider}`; there are: {}", known.join(", ")))
    })?;
    let text = starter::starter(&Answers {
        route: Some(RouteAnswers {
            provider,
            sender: args.sender.clone().unwrap_or_else(|| shown_route().sender),
            secrets: definition.secrets.keys().cloned().collect(),
            price: args.price.map(|price| price.to_string()),
        }),
        ..answers
    });
    Ok(match &args.url {
        None => text,
        Some(url) => text.replacen(DEFAULT_STORE, &format!("url = {}", toml::Value::String(url.clone())), 1),
    })
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

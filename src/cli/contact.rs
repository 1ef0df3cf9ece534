//! `winback contact`: customer lists into the store, and one contact as it is known.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use serde_json::json;

use crate::config::Config;
use crate::intake::contact::{ContactOptions, ContactReader};
use crate::intake::import::import_contacts;
use crate::model::contact::Contact;
use crate::model::country::Country;
use crate::model::number;
use crate::model::stage::Stage;
use crate::store::Store;
use crate::store::suppressions::Suppression;

use super::import::{AHEAD, ImportArgs, columns};
use super::{Context, WrongUse, print, terms};

/// Customers.
#[derive(Debug, Subcommand)]
pub(super) enum ContactCommand {
    /// Read a customer list; the same file again changes nothing.
    Import(ContactImportArgs),
    /// One contact as it is known.
    Show(ContactShowArgs),
}

/// A customer list.
#[derive(Debug, Args)]
pub(super) struct ContactImportArgs {
    #[command(flatten)]
    import: ImportArgs,
    /// Country of numbers without country code, two letters; the shop's if not given.
    #[arg(long, value_name = "XX")]
    country: Option<Country>,
    /// When consent was given by rows that say yes and not when.
    #[arg(long, value_name = "TIME")]
    consent_at: Option<String>,
}

/// The contact.
#[derive(Debug, Args)]
pub(super) struct ContactShowArgs {
    /// Its phone number, or the shop's own key.
    #[arg(value_name = "PHONE|CUSTOMER_ID")]
    contact: String,
}

pub(super) async fn run(context: &Context, command: ContactCommand) -> anyhow::Result<ExitCode> {
    match command {
        ContactCommand::Import(args) => import(context, args).await,
        ContactCommand::Show(args) => show(context, args).await,
    }
}

async fn import(context: &Context, args: ContactImportArgs) -> anyhow::Result<ExitCode> {
    let config = context.config()?;
    let latest_consent = context.now().plus(AHEAD);
    let options = ContactOptions {
        latest_consent,
        country: args.country.or(config.shop.country),
        zone: config.shop_zone(),
        consent_at: args.consent_at.as_deref().map(|text| terms::time(&config, text)).transpose()?,
    };
    if options.consent_at.is_some_and(|at| at > latest_consent) {
        return Err(WrongUse("--consent-at is in the future; nobody has consented then".to_owned()).into());
    }
    let table = args.import.open(context, &config)?;
    let reader = columns(&args.import, ContactReader::new(table.headers(), &args.import.mapping(), options))?;
    let store = context.store(&config).await?;
    let now = context.now();
    let done = args
        .import
        .carry_out(&store, async |handling| import_contacts(&store, table, reader, now, handling).await)
        .await?;
    store.close().await;
    let mut counts = vec![
        ("inserted", done.inserted),
        ("updated", done.updated),
        ("unchanged", done.unchanged),
        ("  repeats", done.repeats),
        ("  linked_events", done.linked),
    ];
    let warnings: Vec<(String, u64)> =
        done.warnings.iter().map(|(warning, n)| (format!("  {warning}"), *n)).collect();
    counts.extend(warnings.iter().map(|(warning, n)| (warning.as_str(), *n)));
    args.import.told(context, done.rows, &counts, &done.rejected)
}

async fn show(context: &Context, args: ContactShowArgs) -> anyhow::Result<ExitCode> {
    let config = context.config()?;
    let store = context.store(&config).await?;
    let found = find(&config, &store, &args.contact).await?;
    let suppressions = store.suppressions_of(found.record.phone).await?;
    store.close().await;
    if context.json() {
        print::json(&as_json(&found, &suppressions))?;
    } else {
        print(&found, &suppressions);
    }
    Ok(ExitCode::SUCCESS)
}

/// The contact with this key of the shop, else with this number.
pub(super) async fn find(config: &Config, store: &Store, text: &str) -> anyhow::Result<Contact> {
    if let Some(contact) = store.contact_by_customer_id(text).await? {
        return Ok(contact);
    }
    let number = number::parse(text, config.shop.country).ok();
    let found = match number {
        Some(number) => store.contact_by_phone(number.phone).await?,
        None => None,
    };
    let none = || WrongUse("no contact has this number or customer id".to_owned());
    Ok(found.ok_or_else(none)?)
}

fn as_json(contact: &Contact, suppressions: &[Suppression]) -> serde_json::Value {
    let record = &contact.record;
    let attrs: serde_json::Value = serde_json::from_str(&record.attrs.to_json()).unwrap_or_default();
    let suppressions: Vec<_> = suppressions
        .iter()
        .map(|one| {
            json!({
                "scope": one.scope, "reason": one.reason.as_str(), "source": one.source,
                "created_at": one.created_at.rfc3339(),
                "lifted_at": one.lifted_at.map(crate::model::clock::Timestamp::rfc3339),
                "lifted_by": one.lifted_by,
            })
        })
        .collect();
    json!({
        "id": contact.id, "customer_id": record.customer_id, "phone": record.phone.e164(),
        "country": record.country, "number_kind": record.number_kind, "first_name": record.first_name,
        "last_name": record.last_name, "email": record.email, "locale": record.locale, "zone": record.zone,
        "stage": record.stage.map(Stage::as_str),
        "consent_at": record.consent.at().map(crate::model::clock::Timestamp::rfc3339),
        "unreachable_at": contact.unreachable_at.map(crate::model::clock::Timestamp::rfc3339),
        "tags": record.tags, "attrs": attrs, "suppressions": suppressions,
        "created_at": record.created_at.map(crate::model::clock::Timestamp::rfc3339),
        "updated_at": contact.updated_at.rfc3339(),
    })
}

fn print(contact: &Contact, suppressions: &[Suppression]) {
    let record = &contact.record;
    let text = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".to_owned());
    let mut rows = vec![
        vec!["customer id".to_owned(), text(&record.customer_id)],
        vec!["phone".to_owned(), format!("{} ({})", record.phone.e164(), record.number_kind)],
        vec!["first name".to_owned(), text(&record.first_name)],
        vec!["last name".to_owned(), text(&record.last_name)],
        vec!["email".to_owned(), text(&record.email)],
        vec!["country".to_owned(), text(&record.country)],
        vec!["locale".to_owned(), text(&record.locale)],
        vec!["zone".to_owned(), text(&record.zone)],
        vec!["stage".to_owned(), record.stage.map_or("-", Stage::as_str).to_owned()],
        vec!["tags".to_owned(), record.tags.join(", ")],
        vec!["consent".to_owned(), print::time(record.consent.at())],
        vec!["unreachable".to_owned(), print::time(contact.unreachable_at)],
        vec!["created".to_owned(), print::time(record.created_at)],
        vec!["updated".to_owned(), print::time(Some(contact.updated_at))],
    ];
    let attrs: serde_json::Map<String, serde_json::Value> =
        serde_json::from_str(&record.attrs.to_json()).unwrap_or_default();
    rows.extend(attrs.iter().map(|(name, value)| {
        let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        vec![format!("attr.{name}"), value]
    }));
    print::table(&["contact", &contact.id.to_string()], &[], rows);
    for one in suppressions {
        let until =
            one.lifted_at.map_or_else(|| "in force".to_owned(), |at| format!("until {}", at.rfc3339()));
        print::line(format!(
            "suppressed for {} since {}, {until}: {} ({})",
            one.scope,
            one.created_at.rfc3339(),
            one.reason.as_str(),
            one.source
        ));
    }
}

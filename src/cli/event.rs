//! `winback event import`: orders, logins and other events into the store.

use std::process::ExitCode;

use clap::{Args, Subcommand};

use crate::intake::event::{EventOptions, EventReader};
use crate::intake::import::import_events;
use crate::model::country::Country;

use super::Context;
use super::import::{AHEAD, ImportArgs, columns};

/// What customers did.
#[derive(Debug, Subcommand)]
pub(super) enum EventCommand {
    /// Read a list of events. Each counts once by its kind and id: a row with a known id changes nothing, even if it says
    /// something else than the first one did.
    Import(EventImportArgs),
}

/// A list of events.
#[derive(Debug, Args)]
pub(super) struct EventImportArgs {
    #[command(flatten)]
    import: ImportArgs,
    /// What happened, such as order or login.
    #[arg(long, value_parser = kind)]
    kind: String,
    /// Country of numbers without country code, two letters; the shop's if not given.
    #[arg(long, value_name = "XX")]
    country: Option<Country>,
    /// The file has no ids: rows that say the same are one event.
    #[arg(long)]
    ids_from_rows: bool,
}

/// What no segment could ask for is no kind.
fn kind(text: &str) -> Result<String, String> {
    let kind = text.trim();
    if kind.is_empty() || kind.contains(char::is_control) {
        return Err("name what happened, such as order or login".to_owned());
    }
    Ok(kind.to_owned())
}

pub(super) async fn run(context: &Context, command: EventCommand) -> anyhow::Result<ExitCode> {
    let EventCommand::Import(args) = command;
    let config = context.config()?;
    let options = EventOptions {
        kind: args.kind,
        country: args.country.or(config.shop.country),
        zone: config.shop_zone(),
        ids_from_rows: args.ids_from_rows,
        latest: context.now().plus(AHEAD),
    };
    let table = args.import.open(context, &config)?;
    let reader = columns(&args.import, EventReader::new(table.headers(), &args.import.mapping(), options))?;
    let store = context.store(&config).await?;
    let done = args
        .import
        .carry_out(&store, async |handling| import_events(&store, table, reader, handling).await)
        .await?;
    store.close().await;
    let counts = [
        ("inserted", done.inserted()),
        ("  joined", done.joined),
        ("  waiting", done.waiting),
        ("already_known", done.repeated),
    ];
    args.import.told(context, done.rows, &counts, &done.rejected)
}

//! `winback segment`: audiences by name or expression: how many, who, and how they are asked for.

use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Args, Subcommand};
use serde_json::json;

use crate::config::Config;
use crate::segment::{self, AsOf, Dialect, Expression, Fragment};
use crate::store::{Backend, Store};

use super::{Context, WrongUse, print, terms};

/// Audiences.
#[derive(Debug, Subcommand)]
pub(super) enum SegmentCommand {
    /// Segments of the configuration with their sizes.
    List(ListArgs),
    /// How many contacts are in a segment.
    Count(SegmentArgs),
    /// The first contacts of a segment.
    Preview(PreviewArgs),
    /// How a segment is understood, and how the database answers it.
    Explain(SegmentArgs),
}

/// When to ask.
#[derive(Debug, Args)]
pub(super) struct ListArgs {
    /// Ask as of this time instead of now.
    #[arg(long, value_name = "TIME")]
    as_of: Option<String>,
}

/// The segment.
#[derive(Debug, Args)]
pub(super) struct SegmentArgs {
    /// A name from [segments], or an expression such as "stage = 'lost' and not tagged('vip')".
    #[arg(value_name = "NAME|EXPRESSION")]
    segment: String,
    /// Ask as of this time instead of now.
    #[arg(long, value_name = "TIME")]
    as_of: Option<String>,
}

/// The segment, and how much of it.
#[derive(Debug, Args)]
pub(super) struct PreviewArgs {
    #[command(flatten)]
    segment: SegmentArgs,
    /// How many contacts.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(i64).range(1..=10_000))]
    limit: i64,
    /// Show numbers whole.
    #[arg(long)]
    phones: bool,
}

pub(super) async fn run(context: &Context, command: SegmentCommand) -> anyhow::Result<ExitCode> {
    let config = context.config()?;
    match command {
        SegmentCommand::List(args) => list(context, &config, args).await?,
        SegmentCommand::Count(args) => {
            let (store, asked) = Asked::open(context, &config, &args).await?;
            let count = store.segment_count(&asked.fragment).await?;
            store.close().await;
            if context.json() {
                let as_of = asked.as_of.at.rfc3339();
                print::json(&json!({
                    "segment": asked.expression.to_string(), "as_of": as_of, "contacts": count,
                    "warnings": asked.warnings,
                }))?;
            } else {
                print::line(print::count(count));
            }
        }
        SegmentCommand::Preview(args) => preview(context, &config, &args).await?,
        SegmentCommand::Explain(args) => explain(context, &config, &args).await?,
    }
    Ok(ExitCode::SUCCESS)
}

/// A segment, understood and compiled for a store.
struct Asked {
    expression: Expression,
    as_of: AsOf,
    fragment: Fragment,
    warnings: Vec<String>,
}

impl Asked {
    async fn open(context: &Context, config: &Config, args: &SegmentArgs) -> anyhow::Result<(Store, Self)> {
        let expression = expression(config, &args.segment)?;
        let as_of = as_of(context, config, args.as_of.as_deref())?;
        let store = context.store(config).await?;
        let named = config.segments.contains_key(args.segment.trim());
        let warnings = terms::kinds(&store, &expression).await.map_err(|error| {
            // What stands in the file is the file's mistake, what stands in the call the call's.
            if named { error } else { WrongUse(error.to_string()).into() }
        })?;
        print::warnings(&warnings);
        let fragment = segment::compile(&expression, &as_of, dialect(&store), 1);
        Ok((store, Self { expression, as_of, fragment, warnings }))
    }
}

/// A bare word that is a configured name is that segment, anything else an expression.
fn expression(config: &Config, text: &str) -> anyhow::Result<Expression> {
    let bare = !text.is_empty() && text.chars().all(|c| c.is_alphanumeric() || matches!(c, '-' | '_' | '.'));
    let known = config.segments.get(text.trim());
    if let Some(known) = known {
        return segment::parse(known).map_err(|error| anyhow::anyhow!("segment `{text}`:\n{error}"));
    }
    segment::parse(text).map_err(|error| {
        if bare {
            let known: Vec<&str> = config.segments.keys().map(String::as_str).collect();
            let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
            return WrongUse(format!("there is no segment `{text}` in [segments]; there are: {known}"))
                .into();
        }
        WrongUse(error.to_string()).into()
    })
}

fn as_of(context: &Context, config: &Config, text: Option<&str>) -> anyhow::Result<AsOf> {
    let at = text.map(|text| terms::time(config, text)).transpose()?.unwrap_or_else(|| context.now());
    Ok(AsOf { at, zone: config.shop_zone() })
}

pub(super) fn dialect(store: &Store) -> Dialect {
    match store.backend() {
        Backend::Sqlite => Dialect::Sqlite,
        Backend::Postgres => Dialect::Postgres,
    }
}

async fn list(context: &Context, config: &Config, args: ListArgs) -> anyhow::Result<()> {
    let as_of = as_of(context, config, args.as_of.as_deref())?;
    let store = context.store(config).await?;
    let mut listed = Vec::new();
    for (name, text) in &config.segments {
        let expression =
            segment::parse(text).map_err(|error| anyhow::anyhow!("segment `{name}`:\n{error}"))?;
        print::warnings(
            &terms::kinds(&store, &expression).await.with_context(|| format!("segment `{name}`"))?,
        );
        let fragment = segment::compile(&expression, &as_of, dialect(&store), 1);
        let count = store.segment_count(&fragment).await.with_context(|| format!("segment `{name}`"))?;
        listed.push((name, text, count));
    }
    store.close().await;
    if context.json() {
        let list: Vec<_> = listed
            .iter()
            .map(|(name, text, count)| json!({"name": name, "expression": text, "contacts": count}))
            .collect();
        return print::json(&list);
    }
    let rows = listed.iter().map(|(name, text, count)| {
        vec![(*name).clone(), print::count(*count), text.split_whitespace().collect::<Vec<_>>().join(" ")]
    });
    print::table(&["segment", "contacts", "expression"], &[1], rows);
    Ok(())
}

async fn preview(context: &Context, config: &Config, args: &PreviewArgs) -> anyhow::Result<()> {
    let (store, asked) = Asked::open(context, config, &args.segment).await?;
    let count = store.segment_count(&asked.fragment).await?;
    let contacts = store.segment_preview(&asked.fragment, args.limit).await?;
    store.close().await;
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    if context.json() {
        let contacts: Vec<_> = contacts
            .iter()
            .map(|contact| {
                let record = &contact.record;
                json!({
                    "id": contact.id, "customer_id": record.customer_id,
                    "phone": print::phone(record.phone, args.phones), "first_name": record.first_name,
                    "country": record.country, "locale": record.locale,
                    "stage": record.stage.map(crate::model::stage::Stage::as_str),
                })
            })
            .collect();
        return print::json(&json!({"contacts": count, "first": contacts, "warnings": asked.warnings}));
    }
    let shown = contacts.len();
    let rows = contacts.iter().map(|contact| {
        let record = &contact.record;
        vec![
            text(&record.customer_id),
            print::phone(record.phone, args.phones),
            text(&record.first_name),
            text(&record.country),
            text(&record.locale),
            record.stage.map_or("", crate::model::stage::Stage::as_str).to_owned(),
        ]
    });
    print::table(&["customer id", "phone", "first name", "country", "locale", "stage"], &[], rows);
    print::line(format!("{shown} of {}", print::count(count)));
    Ok(())
}

async fn explain(context: &Context, config: &Config, args: &SegmentArgs) -> anyhow::Result<()> {
    let (store, asked) = Asked::open(context, config, args).await?;
    let plan = store.segment_explain(&asked.fragment).await?;
    store.close().await;
    let values: Vec<String> = asked.fragment.values.iter().map(ToString::to_string).collect();
    if context.json() {
        return print::json(&json!({
            "expression": asked.expression.to_string(), "tree": asked.expression.tree(),
            "as_of": asked.as_of.at.rfc3339(), "sql": asked.fragment.sql, "values": values, "plan": plan,
            "warnings": asked.warnings,
        }));
    }
    print::line(asked.expression.to_string());
    print::line("");
    print::line(asked.expression.tree().trim_end());
    print::line("");
    print::line(format!("as of {}", asked.as_of.at.rfc3339()));
    print::line(&asked.fragment.sql);
    for (n, value) in values.iter().enumerate() {
        print::line(format!("  ${} = {value}", n + 1));
    }
    print::line("");
    for step in plan {
        print::line(format!("  {step}"));
    }
    Ok(())
}

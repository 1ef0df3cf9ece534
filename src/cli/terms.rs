//! A campaign's name into the settled terms that plan and launch work with: file, segment, pool, routes and prices.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};

use crate::campaign::definition::{Audience, Definition};
use crate::config::{Config, read_file};
use crate::dispatch::terms::{PoolTerms, RouteTerms, Terms};
use crate::document::nearest;
use crate::model::clock::Timestamp;
use crate::model::ids::RunId;
use crate::model::run::Run;
use crate::segment;
use crate::store::Store;

use super::WrongUse;

/// The file that a campaign's name or path means.
pub(super) fn file(config: &Config, campaign: &str) -> PathBuf {
    if is_file(campaign) { PathBuf::from(campaign) } else { config.campaign_file(campaign) }
}

/// The name of the campaign in a name or path.
pub(super) fn name(campaign: &str) -> String {
    let stem = Path::new(campaign).file_stem().filter(|_| is_file(campaign));
    stem.map_or_else(|| campaign.to_owned(), |stem| stem.to_string_lossy().into_owned())
}

fn is_file(campaign: &str) -> bool {
    Path::new(campaign).extension().is_some_and(|extension| extension.eq_ignore_ascii_case("toml"))
}

/// Reads and checks the campaign's file.
pub(super) fn definition(config: &Config, campaign: &str) -> anyhow::Result<Definition> {
    let file = file(config, campaign);
    if !file.exists() {
        return Err(WrongUse(no_campaign(Some(config), &file)).into());
    }
    let text = read_file(&file).with_context(|| format!("campaign `{campaign}`"))?;
    Ok(config.check_campaign(&file.to_string_lossy(), &text)?)
}

/// What to say of a campaign that has no file.
pub(super) fn no_campaign(config: Option<&Config>, file: &Path) -> String {
    let name = file.file_stem().unwrap_or_default().to_string_lossy();
    let files = config.and_then(|config| super::check::campaigns(config).ok()).unwrap_or_default();
    let known: Vec<String> =
        files.iter().filter_map(|file| Some(file.file_stem()?.to_string_lossy().into_owned())).collect();
    let way_out = match nearest(&name, known.iter().map(String::as_str)) {
        Some(near) => format!("did you mean `{near}`?"),
        None if known.is_empty() => "write one there".to_owned(),
        None => format!("there are: {}", known.join(", ")),
    };
    format!("there is no campaign `{name}`, because there is no {}; {way_out}", file.display())
}

/// The expression a campaign's segment means.
pub(super) fn expression(config: &Config, audience: &Audience) -> anyhow::Result<String> {
    let text = match audience {
        Audience::Expression(text) => text,
        Audience::Named(name) => config.segments.get(name).with_context(|| {
            let known: Vec<&str> = config.segments.keys().map(String::as_str).collect();
            format!("there is no segment `{name}` in [segments]; there are: {}", known.join(", "))
        })?,
    };
    // Written back in one form, so that spaces and capitals do not make another plan.
    Ok(segment::parse(text)
        .map_err(|error| anyhow::anyhow!("segment `{}`:\n{error}", audience.as_str()))?
        .to_string())
}

/// Holds the event kinds of a segment against those of the store; answers what to warn about.
///
/// A kind that nobody has seen may be right, and is refused only where a known one must have been meant.
pub(super) async fn kinds(store: &Store, expression: &segment::Expression) -> anyhow::Result<Vec<String>> {
    if expression.kinds().is_empty() {
        return Ok(Vec::new());
    }
    let known = store.event_kinds().await?;
    let known: Vec<&str> = known.iter().map(String::as_str).collect();
    let mut warnings = Vec::new();
    for unknown in expression.check_kinds(&known) {
        if unknown.slip {
            bail!("{}", unknown.error);
        }
        let (message, way_out) = (unknown.error.message(), unknown.error.suggestion().unwrap_or_default());
        warnings.push(format!("{message}; {way_out}"));
    }
    Ok(warnings)
}

/// The terms of a campaign as files and store say now.
pub(super) async fn terms(
    config: &Config,
    store: &Store,
    campaign: &str,
    as_of: Option<Timestamp>,
    now: Timestamp,
) -> anyhow::Result<Terms> {
    let definition = definition(config, campaign)?;
    let currency = config.shop.currency.as_str();
    if let Some(budget) = &definition.limits.budget
        && budget.currency.as_str() != currency
    {
        bail!(
            "the budget is in {} and the prices are in {currency}; write limits.budget in {currency}",
            budget.currency.as_str()
        );
    }
    let pool = match &definition.coupon {
        None => None,
        Some(coupon) => {
            let pool = store.pool(&coupon.pool).await?.with_context(|| {
                format!(
                    "there is no pool `{0}`; create it with `winback coupon create {0} --value …`",
                    coupon.pool
                )
            })?;
            Some(PoolTerms { id: pool.id, name: pool.name, value: pool.value, expires_at: pool.expires_at })
        }
    };
    let routes =
        definition.routes.iter().map(|name| route(config, name)).collect::<anyhow::Result<Vec<_>>>()?;
    Ok(Terms {
        segment: expression(config, &definition.segment)?,
        routes,
        currency: currency.to_owned(),
        shop_zone: config.shop.zone.clone(),
        guard: config.dispatch.window_guard,
        pool,
        as_of,
        launched_at: now,
        definition,
    })
}

fn route(config: &Config, name: &str) -> anyhow::Result<RouteTerms> {
    let route = config.routes.get(name).with_context(|| {
        format!("there is no route `{name}` in [routes]; add it or take it out of `routes`")
    })?;
    Ok(RouteTerms {
        name: name.to_owned(),
        senders: route.senders.clone(),
        countries: route.countries.iter().map(|country| country.as_str().to_owned()).collect(),
        prices: route.price.iter().map(|(country, price)| (country.as_str().to_owned(), *price)).collect(),
        parts_per_second: route.limits.account.map(|limit| limit.parts_per_second),
    })
}

/// The latest run of a campaign.
pub(super) async fn latest_run(store: &Store, campaign: &str) -> anyhow::Result<Run> {
    let name = name(campaign);
    let runs = store.runs_of(&name, 1).await?;
    let none =
        || WrongUse(format!("campaign `{name}` has not been launched; `winback status` lists what was"));
    Ok(runs.into_iter().next().ok_or_else(none)?)
}

/// One run of a campaign, by its id.
pub(super) async fn run_of(store: &Store, campaign: &str, id: i64) -> anyhow::Result<Run> {
    let name = name(campaign);
    let run = store.run(RunId(id)).await?.filter(|run| run.terms.campaign == name);
    Ok(run.ok_or_else(|| {
        WrongUse(format!("campaign `{name}` has no run {id}; `winback status` lists what was launched"))
    })?)
}

/// The runs of a campaign that have not ended, oldest first.
pub(super) async fn open_runs(store: &Store, campaign: &str) -> anyhow::Result<Vec<Run>> {
    let name = name(campaign);
    let runs = store.open_runs().await?;
    Ok(runs.into_iter().filter(|run| run.terms.campaign == name).collect())
}

/// Reads a time that a person wrote: RFC 3339, or a date or local time in the shop's zone.
pub(super) fn time(config: &Config, text: &str) -> anyhow::Result<Timestamp> {
    if let Ok(at) = Timestamp::parse(text) {
        return Ok(at);
    }
    let local = text.trim().parse::<jiff::civil::DateTime>().map_err(|_| {
        WrongUse(format!("`{text}` is no time; write 2018-01-01, 2018-01-01T09:00 or RFC 3339"))
    })?;
    Ok(local.to_zoned(config.shop_zone())?.timestamp().into())
}

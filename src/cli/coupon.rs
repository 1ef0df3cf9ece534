//! `winback coupon`: stocks of codes. Codes are printed only where somebody asks for them.

use std::process::ExitCode;

use clap::{Args, Subcommand, ValueEnum};
use serde_json::json;

use crate::intake::coupon::{CouponOptions, CouponReader};
use crate::intake::generate::{Drawing, generate_codes};
use crate::intake::import::import_coupons;
use crate::model::clock::Timestamp;
use crate::model::coupon::{Alphabet, GuessOdds};
use crate::store::Store;
use crate::store::coupons::{Pool, PoolCounts, StoredCode};

use super::import::{ImportArgs, columns};
use super::{Context, WrongUse, print, terms};

/// Codes read at a time.
const PAGE: i64 = 5_000;

/// Stocks of coupon codes.
#[derive(Debug, Subcommand)]
pub(super) enum CouponCommand {
    /// A new, empty pool; the same one again changes nothing.
    Create(CreateArgs),
    /// Draw new codes into a pool.
    Generate(GenerateArgs),
    /// Read codes of the shop's own system into a pool.
    Import(CouponImportArgs),
    /// Pools with their codes by state.
    List(ListArgs),
}

/// The pool.
#[derive(Debug, Args)]
pub(super) struct CreateArgs {
    /// Its name in campaign files.
    name: String,
    /// What a code is worth, as customers read it, such as `$20` or `15 %`.
    #[arg(long)]
    value: String,
    /// When its codes end; a date is good until that day is over.
    #[arg(long, value_name = "TIME")]
    expires: Option<String>,
}

/// How many codes, and what they look like.
#[derive(Debug, Args)]
pub(super) struct GenerateArgs {
    /// Name of the pool.
    name: String,
    /// How many.
    #[arg(value_parser = clap::value_parser!(u64).range(1..=100_000_000))]
    count: u64,
    /// What they are drawn from.
    #[arg(long, value_enum, default_value_t)]
    alphabet: Letters,
    /// End each code with a check character, so that a slip of the finger is noticed.
    #[arg(long)]
    check: bool,
    /// Shorter codes, for coupons worth ten or less: a guess may hit one time in a million, not in a billion.
    #[arg(long)]
    low_value: bool,
}

/// Alphabets of codes.
#[derive(Clone, Copy, Debug, Default, ValueEnum)]
enum Letters {
    /// Letters and digits that are not mistaken for each other.
    #[default]
    Standard,
    /// Without vowels, so that no word appears by accident.
    Vowelless,
    /// Consonants only.
    Consonants,
}

/// A list of codes.
#[derive(Debug, Args)]
pub(super) struct CouponImportArgs {
    /// Name of the pool.
    name: String,
    #[command(flatten)]
    import: ImportArgs,
}

/// What is listed.
#[derive(Debug, Args)]
pub(super) struct ListArgs {
    /// Name of a pool; all of them if not given.
    name: Option<String>,
    /// Print every code of the pool; they are worth money.
    #[arg(long, requires = "name")]
    codes: bool,
}

pub(super) async fn run(context: &Context, command: CouponCommand) -> anyhow::Result<ExitCode> {
    match command {
        CouponCommand::Create(args) => create(context, args).await,
        CouponCommand::Generate(args) => generate(context, args).await,
        CouponCommand::Import(args) => import(context, args).await,
        CouponCommand::List(args) => list(context, args).await,
    }
}

async fn create(context: &Context, args: CreateArgs) -> anyhow::Result<ExitCode> {
    let config = context.config()?;
    if args.name.trim().is_empty() || args.value.trim().is_empty() {
        return Err(WrongUse("a pool needs a name and a value".to_owned()).into());
    }
    let expires = args.expires.as_deref().map(|text| end(&config, text)).transpose()?;
    if expires.is_some_and(|at| at <= context.now()) {
        return Err(WrongUse("--expires is past; nobody could use a code".to_owned()).into());
    }
    let store = context.store(&config).await?;
    let known = store.pool(&args.name).await?.is_some();
    let pool = store.create_pool(&args.name, &args.value, expires, context.now()).await?;
    store.close().await;
    if context.json() {
        let ends = pool.expires_at.map(Timestamp::rfc3339);
        print::json(&json!({"pool": pool.name, "value": pool.value, "expires": ends, "fresh": !known}))?;
    } else if known {
        print::line(format!("pool {} is there already; nothing changed", pool.name));
    } else {
        print::line(format!(
            "created pool {}; fill it with `winback coupon generate` or `import`",
            pool.name
        ));
    }
    Ok(ExitCode::SUCCESS)
}

/// The end that a person wrote: a bare date is good until that day is over.
fn end(config: &crate::config::Config, text: &str) -> anyhow::Result<Timestamp> {
    if let Ok(date) = text.trim().parse::<jiff::civil::Date>()
        && text.trim().len() == 10
    {
        return Ok(date.tomorrow()?.to_zoned(config.shop_zone())?.timestamp().into());
    }
    terms::time(config, text)
}

async fn generate(context: &Context, args: GenerateArgs) -> anyhow::Result<ExitCode> {
    let config = context.config()?;
    let store = context.store(&config).await?;
    let pool = pool(&store, &args.name).await?;
    let drawing = Drawing {
        alphabet: match args.alphabet {
            Letters::Standard => Alphabet::Standard,
            Letters::Vowelless => Alphabet::Vowelless,
            Letters::Consonants => Alphabet::Consonants,
        },
        check: args.check,
        odds: if args.low_value { GuessOdds::Million } else { GuessOdds::Billion },
    };
    let bar = print::bar(args.count, "drawing");
    let mut rng: rand::rngs::StdRng = rand::make_rng();
    let told = |added| bar.set_position(added);
    let ended = tokio::select! {
        ended = generate_codes(&store, &pool, args.count, drawing, &mut rng, context.now(), told) => Some(ended?),
        _ = tokio::signal::ctrl_c() => None,
    };
    bar.finish_and_clear();
    let counts = store.pool_counts(pool.id).await?;
    store.close().await;
    let Some(done) = ended else {
        anyhow::bail!(
            "stopped; {} codes are in {} now, `winback coupon list` shows them by state",
            print::count(counts.stock()),
            pool.name
        );
    };
    if context.json() {
        print::json(&json!({"pool": pool.name, "added": done.added, "counts": counts}))?;
    } else {
        let (added, available) = (done.added.cast_signed(), counts.available);
        print::line(format!(
            "{} codes added to {}; {} are available",
            print::count(added),
            pool.name,
            print::count(available)
        ));
    }
    Ok(ExitCode::SUCCESS)
}

async fn import(context: &Context, args: CouponImportArgs) -> anyhow::Result<ExitCode> {
    let config = context.config()?;
    let now = context.now();
    let options =
        CouponOptions { zone: config.shop_zone(), now, least_length: config.intake.least_code_length };
    let table = args.import.open(context, &config)?;
    let reader = columns(&args.import, CouponReader::new(table.headers(), &args.import.mapping(), options))?;
    let store = context.store(&config).await?;
    let pool = pool(&store, &args.name).await?;
    let done = args
        .import
        .carry_out(&store, async |handling| import_coupons(&store, &pool, table, reader, now, handling).await)
        .await?;
    store.close().await;
    let counts = [("inserted", done.added), ("unchanged", done.repeated)];
    args.import.told(context, done.rows, &counts, &done.rejected)
}

async fn list(context: &Context, args: ListArgs) -> anyhow::Result<ExitCode> {
    let config = context.config()?;
    let store = context.store(&config).await?;
    let pools = match &args.name {
        Some(name) => vec![pool(&store, name).await?],
        None => store.coupon_pools().await?,
    };
    let mut listed = Vec::with_capacity(pools.len());
    for pool in pools {
        let counts = store.pool_counts(pool.id).await?;
        listed.push((pool, counts));
    }
    if args.codes
        && let Some((pool, _)) = listed.first()
    {
        print_codes(context, &store, pool).await?;
    } else if context.json() {
        let pools: Vec<_> = listed.iter().map(|(pool, counts)| pool_json(pool, *counts)).collect();
        print::json(&pools)?;
    } else {
        show(&listed);
    }
    store.close().await;
    Ok(ExitCode::SUCCESS)
}

fn show(listed: &[(Pool, PoolCounts)]) {
    let rows = listed.iter().map(|(pool, n)| {
        let mut row = vec![pool.name.clone(), pool.value.clone(), print::time(pool.expires_at)];
        let counts =
            [n.available, n.reserved, n.sent, n.redeemed, n.expired, n.voided, n.quarantined, n.stock()];
        row.extend(counts.map(print::count));
        row
    });
    let headers = [
        "pool",
        "value",
        "expires",
        "available",
        "reserved",
        "sent",
        "redeemed",
        "expired",
        "voided",
        "quarantined",
        "stock",
    ];
    print::table(&headers, &[3, 4, 5, 6, 7, 8, 9, 10], rows);
}

fn pool_json(pool: &Pool, counts: PoolCounts) -> serde_json::Value {
    json!({
        "pool": pool.name, "value": pool.value, "expires": pool.expires_at.map(Timestamp::rfc3339),
        "stock": counts.stock(), "counts": counts,
    })
}

/// Every code of a pool, one a line, page by page; with `--json` one object a line.
async fn print_codes(context: &Context, store: &Store, pool: &Pool) -> anyhow::Result<()> {
    let mut after = None;
    loop {
        let page = store.codes(pool.id, None, after, PAGE).await?;
        let Some(last) = page.last() else { return Ok(()) };
        after = Some(last.id);
        for StoredCode { code, state, expires_at, .. } in &page {
            if context.json() {
                let expires = expires_at.or(pool.expires_at).map(Timestamp::rfc3339);
                print::line(json!({"code": code, "state": state, "expires": expires}).to_string());
            } else {
                print::line(format!("{code}  {state}"));
            }
        }
    }
}

async fn pool(store: &Store, name: &str) -> anyhow::Result<Pool> {
    let none = || {
        WrongUse(format!(
            "there is no pool `{name}`; create it with `winback coupon create {name} --value …`"
        ))
    };
    Ok(store.pool(name).await?.ok_or_else(none)?)
}

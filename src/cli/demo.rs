//! `winback demo`: the whole story on real customers, an embedded store and the simulator in a process of its own.
//!
//! The story happens on the day after its data ends, at an hour at which all of the United States may be texted: the
//! clock is moved there and runs on at its natural speed. Everything lies in one folder that is gone afterwards.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use clap::Args;
use rand::rand_core::UnwrapErr;
use rand::rngs::SysRng;

use crate::config::Config;
use crate::daemon::{Daemon, routes};
use crate::dispatch::launch::launch;
use crate::dispatch::plan::plan;
use crate::intake::contact::{ContactOptions, ContactReader};
use crate::intake::event::{EventOptions, EventReader};
use crate::intake::generate::{Drawing, generate_codes};
use crate::intake::headers::Mapping;
use crate::intake::import::{Handling, Step, import_contacts, import_events};
use crate::intake::source::Source;
use crate::intake::table::{Table, TableOptions};
use crate::model::clock::{Clock, ShiftedClock, Timestamp};
use crate::model::country::Country;
use crate::model::coupon::{Alphabet, GuessOdds};
use crate::model::run::Run;
use crate::store::Store;
use crate::store::scratch::Scratch;

use super::simulated::{Simulated, free_address, write_keys};
use super::{Context, WrongUse, ledger, print, status, terms};

/// The day after the data ends, a Tuesday, at an hour lawful from New York to Honolulu.
const TODAY: &str = "2018-01-02T19:00:00Z";

/// How long the receipts of the last texts are awaited.
const PATIENCE: Duration = Duration::from_secs(45);

/// Name of the campaign and of its file.
const CAMPAIGN: &str = "come-back";

/// Show the whole story on real customers: import, segment, coupons, plan, launch, receipts, report.
#[derive(Debug, Args)]
pub(super) struct DemoArgs {
    /// End after the report; exit code 0 only if the provider's ledger and the store agree.
    #[arg(long)]
    exit: bool,
    /// Text at most this many customers.
    #[arg(long, value_name = "N")]
    customers: Option<u32>,
    /// Folder with customers.csv and orders.csv.gz.
    #[arg(long, value_name = "DIR", default_value = "tests/data/journey")]
    data: PathBuf,
}

pub(super) async fn run(context: &Context, args: DemoArgs) -> anyhow::Result<ExitCode> {
    for file in ["customers.csv", "orders.csv.gz"] {
        let path = args.data.join(file);
        if !path.exists() {
            return Err(WrongUse(format!(
                "{} is not there; run the demo in the project's folder or name its data with --data",
                path.display()
            ))
            .into());
        }
    }
    let today = Timestamp::parse(TODAY)?;
    let clock: Arc<dyn Clock> = Arc::new(ShiftedClock::starting_at(today));
    let scene = Scene::set(&clock)?;
    let agrees = play(context, &args, &scene, clock).await?;
    Ok(if agrees { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The folder, the simulator and the configuration of one demo. Dropping it ends the simulator and removes the folder.
struct Scene {
    folder: PathBuf,
    config: Config,
    _simulator: Simulated,
    _scratch: Scratch,
}

impl Scene {
    fn set(clock: &Arc<dyn Clock>) -> anyhow::Result<Self> {
        let scratch = Scratch::beside(&std::env::temp_dir().join("winback-demo"))?;
        let folder = scratch.folder().to_owned();
        std::fs::create_dir_all(folder.join("campaigns"))?;
        let listen = free_address()?;
        let simulator = Simulated::start(&folder.join("ledger.jsonl"), &**clock, &manners(listen))?;
        let provider = simulator.address;
        let mut scene = Self { folder, config: Config::default(), _simulator: simulator, _scratch: scratch };
        scene.config = scene.write_files(listen, provider)?;
        Ok(scene)
    }

    fn write_files(&self, listen: SocketAddr, provider: SocketAddr) -> anyhow::Result<Config> {
        let write = |name: &str, text: &str| std::fs::write(self.folder.join(name), text);
        write_keys(&self.folder)?;
        write(
            &format!("campaigns/{CAMPAIGN}.toml"),
            "segment = \"sleeping-spenders\"\n\
             routes = [\"demo\"]\n\
             schedule = { at = \"now\" }\n\
             limits = { per_contact = \"2 per 7 days\", budget = \"50 USD\", parts = 2 }\n\
             when_in_doubt = \"park\"\n\n\
             [coupon]\npool = \"new-year\"\nexpires_in = \"7 days\"\n\n\
             [text]\n\
             en = \"{{ first_name | default('Hi') }}, your {{ coupon.value }} coupon {{ coupon.code }} is yours until \
             {{ coupon.expires }}. Show it at the till. STOP to opt out\"\n",
        )?;
        let text = format!(
            "[store]\nurl = \"sqlite:winback.db\"\n\n\
             [daemon]\nlisten = \"{listen}\"\npublic_url = \"http://{listen}\"\n\n\
             [shop]\nname = \"Corner Shop\"\nzone = \"America/New_York\"\ncountry = \"US\"\ncurrency = \"USD\"\n\n\
             [routes.demo]\nprovider = \"simulator\"\nsenders = [\"+15005550006\"]\ncountries = [\"US\"]\n\
             limits = {{ parts_per_second = 60, burst = 20, in_flight = 32 }}\nprice = {{ US = 0.0079 }}\n\
             retry = {{ first_delay = \"1 second\" }}\n\
             settings.base_url = \"http://{provider}\"\n\
             secrets.api_key = {{ file = \"key\" }}\nsecrets.signing_key = {{ file = \"signing-key\" }}\n\n\
             [segments]\n\
             sleeping-spenders = \"sum('order', '365 days') >= 100 and days_since('order') >= 14\"\n\n\
             [log]\nlevel = \"error\"\n"
        );
        let path = self.folder.join("winback.toml");
        std::fs::write(&path, &text)?;
        Ok(Config::parse(&path.to_string_lossy(), &text)?)
    }
}

/// How the simulator of the story behaves: now and then it loses an answer, refuses a number, or is not there.
fn manners(listen: SocketAddr) -> Vec<String> {
    let inbound = format!("http://{listen}/callback/demo/inbound");
    let words = [
        "--seed 7 --latency-ms 40 120 --receipt-ms 1500 4000",
        "--fail reset=0.004 --fail bad-number=0.006 --fail unavailable=0.01",
        "--end undelivered=0.02 --end expired=0 --end rejected=0.005 --end never=0",
        "--reply STOP=0.02 --inbound-url",
    ];
    let words = words.into_iter().flat_map(|line| line.split(' ')).map(str::to_owned);
    words.chain([inbound]).collect()
}

async fn play(
    context: &Context,
    args: &DemoArgs,
    scene: &Scene,
    clock: Arc<dyn Clock>,
) -> anyhow::Result<bool> {
    let config = &scene.config;
    let store = Store::create(&config.store.url, "demo").await?;
    print::line(format!("It is {}. The shop's orders end yesterday.", clock.now().rfc3339()));
    print::line("");
    import(args, config, &store, clock.now()).await?;
    let pool = store.create_pool("new-year", "$5", None, clock.now()).await?;
    let drawing = Drawing { alphabet: Alphabet::Standard, check: true, odds: GuessOdds::Million };
    let mut rng = UnwrapErr(SysRng);
    let drawn = generate_codes(&store, &pool, 2_500, drawing, &mut rng, clock.now(), |_| {}).await?;
    print::line(format!("  coupons    {} codes in pool new-year", print::count(drawn.added.cast_signed())));
    print::line("");

    let daemon = Daemon::start(config, Arc::clone(&clock)).await?;
    let mut terms = terms::terms(config, &store, CAMPAIGN, None, clock.now()).await?;
    if let Some(most) = args.customers {
        terms.segment = limited(&store, &terms, most).await?;
    }
    let rules = routes::rules(config)?;
    let plan = plan(&store, &terms, &rules, clock.now(), |_, _| {}).await?;
    super::plan::show(&plan);
    print::line("");
    let launched = launch(&store, &terms, &rules, &plan, clock.now(), |_, _| {}).await?;
    print::line(format!(
        "launched: {} messages; receipts and STOPs come back while they go out",
        print::count(plan.messages)
    ));
    print::line("");
    let agrees = finale(context, scene, &store, launched.run).await?;
    if !args.exit {
        print::note("the daemon goes on until Ctrl-C");
        tokio::signal::ctrl_c().await?;
    }
    daemon.stop().await;
    store.close().await;
    Ok(agrees)
}

async fn import(args: &DemoArgs, config: &Config, store: &Store, now: Timestamp) -> anyhow::Result<()> {
    let country: Option<Country> = config.shop.country;
    let zone = config.shop_zone();
    let table = Table::open(Source::open(&args.data.join("customers.csv"))?, &TableOptions::default())?;
    let options = ContactOptions { country, zone: zone.clone(), consent_at: None, latest_consent: now };
    let reader = ContactReader::new(table.headers(), &Mapping::default(), options)?;
    let contacts = import_contacts(store, table, reader, now, Handling::default()).await?;
    print::line(format!("  customers  {} imported", print::count(contacts.inserted.cast_signed())));
    let table = Table::open(Source::open(&args.data.join("orders.csv.gz"))?, &TableOptions::default())?;
    let options = EventOptions { kind: "order".to_owned(), country, zone, ids_from_rows: false, latest: now };
    let reader = EventReader::new(table.headers(), &Mapping::default(), options)?;
    let bar = print::bar(0, "orders");
    let mut progress = |step: Step| {
        bar.set_length(step.total.unwrap_or(step.bytes));
        bar.set_position(step.bytes);
    };
    let handling = Handling { progress: Some(&mut progress), ..Handling::default() };
    let events = import_events(store, table, reader, handling).await?;
    bar.finish_and_clear();
    print::line(format!("  orders     {} imported", print::count(events.inserted().cast_signed())));
    Ok(())
}

/// The segment of the first `most` contacts of it, by customer id.
async fn limited(store: &Store, terms: &crate::dispatch::terms::Terms, most: u32) -> anyhow::Result<String> {
    use crate::segment::{AsOf, Dialect, compile, parse};
    let as_of = AsOf { at: terms.launched_at, zone: terms.zone() };
    let fragment = compile(&parse(&terms.segment)?, &as_of, Dialect::Sqlite, 1);
    let preview = store.segment_preview(&fragment, i64::from(most)).await?;
    let ids = preview.iter().filter_map(|contact| contact.record.customer_id.as_deref());
    let listed: Vec<String> = ids.map(|id| format!("'{}'", id.replace('\'', "''"))).collect();
    if listed.is_empty() {
        bail!("the segment is empty");
    }
    Ok(parse(&format!("customer_id in ({})", listed.join(", ")))?.to_string())
}

/// Follows the run to its end, prints the report, and holds the provider's ledger against the store.
async fn finale(context: &Context, scene: &Scene, store: &Store, run: Run) -> anyhow::Result<bool> {
    let id = run.id;
    let status = if let Ok(status) = tokio::time::timeout(PATIENCE, status::follow(context, store, run)).await
    {
        status?.context("the run is gone")?
    } else {
        print::note("not every receipt came in time; this is how it stands");
        let run = store.run(id).await?.context("the run is gone")?;
        crate::report::status::status(store, &run).await?
    };
    let rules = routes::rules(&scene.config)?;
    let limit = scene.config.routes.values().find_map(|route| route.limits.account);
    let audit =
        ledger::hold(store, &scene.folder.join("ledger.jsonl"), &ledger::about(id, &rules, limit)).await?;
    if context.json() {
        print::json(&serde_json::json!({ "status": status, "audit": audit }))?;
        return Ok(audit.agrees());
    }
    status::show(&status);
    print::line("");
    print::line(format!(
        "provider's ledger against the store: {} accepted on both sides",
        print::count(audit.accepted)
    ));
    let faults = audit.faults().map(|(term, count)| format!("{count} {}", term.replace('_', " ")));
    print::line(faults.join(", "));
    print::line(if audit.agrees() { "they agree" } else { "they DISAGREE" });
    Ok(audit.agrees())
}

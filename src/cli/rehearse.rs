//! `winback rehearse`: a campaign played through on a copy of the store, against the simulator instead of providers.
//! The store itself is only read, and every route leads to the simulator, which listens on this machine alone. Copy, ledger
//! and keys lie in one folder that is gone afterwards.

mod stand_in;
mod told;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use clap::Args;
use tokio::signal::unix::{SignalKind, signal};

use crate::config::secrets::SecretSource;
use crate::config::{Config, RouteConfig};
use crate::daemon::{Daemon, routes};
use crate::dispatch::launch::launch;
use crate::dispatch::pace::{LaneLimits, Limit};
use crate::dispatch::plan::{Plan, plan};
use crate::dispatch::sweep::cancel;
use crate::dispatch::terms::Terms;
use crate::model::clock::{Clock, ShiftedClock, Timestamp};
use crate::model::run::{Run, RunState};
use crate::report::status::status;
use crate::store::Store;
use crate::store::copy::copy_sqlite;
use crate::store::scratch::Scratch;

use self::stand_in::{REMEMBERS, StandIn};
use self::told::Told;
use super::simulated::{Simulated, free_address, write_keys};
use super::{Context, WrongUse, ledger, print, simulator, terms};

/// The folder of its definitions, in its own.
const PROVIDERS: &str = "providers";

/// Doubt is given up after this long, so that a rehearsal ends.
const DOUBT: Duration = Duration::from_secs(5);

/// A run that has ended and whose receipts do not change for this long gets no more.
const QUIET: Duration = Duration::from_secs(15);

/// How often progress is looked at.
const LOOK: Duration = Duration::from_millis(250);

/// Play a campaign through on a copy of the store, against the simulator instead of a provider, and audit the result.
///
/// Nobody is texted and the store stays as it is. A campaign that was launched already is rehearsed as if once more. At an
/// hour at which nobody may be texted, its clock starts when the first text may go. The simulator stands in for the provider
/// of each route: of a text in doubt it can be asked what that provider can be asked, all else is its own. Exit code 0:
/// ledger and store agree.
#[derive(Debug, Args)]
pub(super) struct RehearseArgs {
    /// Name of the campaign, or its file.
    campaign: String,
    /// How the provider misbehaves: a name from `winback simulator scripts`, or a file.
    #[arg(long, value_name = "NAME|FILE", default_value = "calm")]
    script: String,
    /// Seed of the script.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Send this many times as fast as the routes allow.
    #[arg(long, value_name = "TIMES", default_value_t = 1.0)]
    speed: f64,
    /// End after this many minutes, whatever is left.
    #[arg(long, value_name = "MINUTES", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=1_440))]
    minutes: u64,
    /// Rehearse in this copy of a PostgreSQL store, which the rehearsal changes. Make one first, for instance with
    /// `createdb --template`.
    #[arg(long, value_name = "URL")]
    store_copy: Option<String>,
}

pub(super) async fn run(context: &Context, args: RehearseArgs) -> anyhow::Result<ExitCode> {
    if !(args.speed >= 0.01 && args.speed <= 10_000.0) {
        return Err(WrongUse("--speed goes from 0.01 to 10000".to_owned()).into());
    }
    // A script with mistakes is told before anything is copied.
    let script = simulator::script(&args.script)?;
    let config = context.config()?;
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let mut hangup = signal(SignalKind::hangup())?;
    let scene = Scene::set(&config, args.store_copy.as_deref()).await?;
    print::note(format!("script {}: {}", args.script, script.about));
    tokio::select! {
        agrees = play(context, &args, &scene) => Ok(if agrees? { ExitCode::SUCCESS } else { ExitCode::FAILURE }),
        _ = terminate.recv() => bail!("stopped; nothing is left of the rehearsal"),
        _ = interrupt.recv() => bail!("stopped; nothing is left of the rehearsal"),
        _ = hangup.recv() => bail!("stopped; nothing is left of the rehearsal"),
    }
}

/// The folder of one rehearsal and its store. Dropping it removes the folder.
struct Scene {
    folder: PathBuf,
    config: Config,
    /// What stands in for the provider of each route.
    stand_ins: BTreeMap<String, StandIn>,
    _scratch: Scratch,
}

impl Scene {
    async fn set(config: &Config, copy: Option<&str>) -> anyhow::Result<Self> {
        // Phone numbers lie in it, and a folder that somebody else has made is not ours. What a rehearsal that was killed
        // has left goes now.
        let scratch = Scratch::beside(&std::env::temp_dir().join("winback-rehearsal"))?;
        let folder = scratch.folder().to_owned();
        let stand_ins = stand_in::write(config, &folder.join(PROVIDERS))?;
        let mut scene = Self { folder, config: config.clone(), stand_ins, _scratch: scratch };
        scene.config.store.url = scene.copied(config, copy).await?;
        write_keys(&scene.folder)?;
        Ok(scene)
    }

    async fn copied(&self, config: &Config, copy: Option<&str>) -> anyhow::Result<String> {
        match (config.store.url.strip_prefix("sqlite:"), copy) {
            (Some(path), None) => {
                // What is wrong with the store is told by its own name, not by that of the copy.
                Store::open(&config.store.url).await?.close().await;
                let to = self.folder.join("store.db");
                copy_sqlite(Path::new(path.strip_prefix("//").unwrap_or(path)), &to).await?;
                Ok(format!("sqlite:{}", to.display()))
            }
            (Some(_), Some(_)) => Err(WrongUse(
                "--store-copy is for PostgreSQL; an SQLite store is copied by the rehearsal itself".to_owned(),
            )
            .into()),
            (None, None) => Err(WrongUse(
                "a PostgreSQL store is not copied by the rehearsal; make a copy, for instance with `createdb --template`, \
                 and name it with --store-copy"
                    .to_owned(),
            )
            .into()),
            (None, Some(url)) => {
                let (real, other) = (Store::open(&config.store.url).await?, Store::open(url).await?);
                let same = real.is_same_as(&other).await;
                real.close().await;
                other.close().await;
                if same? {
                    return Err(WrongUse("--store-copy names the store itself; name a copy of it".to_owned()).into());
                }
                Ok(url.to_owned())
            }
        }
    }

    /// The configuration of the rehearsal: every route leads to the simulator.
    fn redirected(&self, provider: SocketAddr, listen: SocketAddr, speed: f64) -> anyhow::Result<Config> {
        let mut config = self.config.clone();
        config.daemon.listen = listen;
        config.daemon.public_url = Some(format!("http://{listen}"));
        config.dispatch.park_after = config.dispatch.park_after.min(DOUBT);
        config.dispatch.resend_after = config.dispatch.resend_after.min(DOUBT);
        config.providers_folder = self.folder.join(PROVIDERS);
        let secret = |file: &str| SecretSource::File(self.folder.join(file));
        for (name, route) in &mut config.routes {
            let stand_in = self.stand_ins.get(name).context("nothing stands in for a route")?;
            *route = RouteConfig {
                provider: stand_in.plays.clone(),
                settings: BTreeMap::from([("base_url".to_owned(), format!("http://{provider}"))]),
                secrets: BTreeMap::from([
                    ("api_key".to_owned(), secret("key")),
                    ("signing_key".to_owned(), secret("signing-key")),
                ]),
                callback_token: None,
                allow_http: false,
                limits: faster(&route.limits, speed),
                ..route.clone()
            };
        }
        self.leads_nowhere_else(&config, provider)?;
        Ok(config)
    }

    /// Refuses a rehearsal that could reach anybody but the simulator: the last look before anything is started.
    fn leads_nowhere_else(&self, config: &Config, provider: SocketAddr) -> anyhow::Result<()> {
        ensure!(provider.ip().is_loopback(), "the simulator is not on this machine");
        let own = config.providers_folder.starts_with(&self.folder);
        ensure!(own, "a rehearsal knows no definitions but its own");
        let base = format!("http://{provider}");
        for (name, route) in &config.routes {
            let only = route.settings.len() == 1 && route.settings.get("base_url") == Some(&base);
            let ours = self.stand_ins.get(name).is_some_and(|one| one.plays == route.provider);
            ensure!(only && ours && !route.allow_http, "route `{name}` leads elsewhere");
        }
        Ok(())
    }
}

fn faster(limits: &LaneLimits, speed: f64) -> LaneLimits {
    let one = |limit: &Limit| Limit { parts_per_second: limit.parts_per_second * speed, ..*limit };
    let all = |limits: &std::collections::HashMap<String, Limit>| {
        limits.iter().map(|(name, limit)| (name.clone(), one(limit))).collect()
    };
    LaneLimits {
        account: limits.account.as_ref().map(one),
        senders: all(&limits.senders),
        countries: all(&limits.countries),
    }
}

async fn play(context: &Context, args: &RehearseArgs, scene: &Scene) -> anyhow::Result<bool> {
    let store = Store::open(&scene.config.store.url).await?;
    quiet_others(context, &store).await?;
    let (clock, terms, plan) = prepared(context, args, scene, &store).await?;
    plan.ready()?;
    print::note(format!(
        "{}, from {} on; nobody is texted",
        print::counted(plan.messages, "message", "messages"),
        clock.now().rfc3339()
    ));
    let listen = free_address()?;
    let ledger_file = scene.folder.join("ledger.jsonl");
    let route = terms.routes.first().map_or_else(String::new, |route| route.name.clone());
    let manners = [
        ["--script".to_owned(), args.script.clone()],
        ["--seed".to_owned(), args.seed.to_string()],
        ["--inbound-url".to_owned(), format!("http://{listen}/callback/{route}/inbound")],
    ];
    let speaks = ["--receipt-ms", "400", "2000"].into_iter().chain(REMEMBERS).map(str::to_owned);
    let manners: Vec<String> = manners.concat().into_iter().chain(speaks).collect();
    let provider = Simulated::start(&ledger_file, &*clock, &manners)?;
    let config = scene.redirected(provider.address, listen, args.speed)?;
    let daemon = Daemon::start(&config, Arc::clone(&clock)).await?;
    let rules = routes::rules(&config)?;
    let launched = launch(&store, &terms, &rules, &plan, clock.now(), |_, _| {}).await?;
    let complete = followed(args, &store, &launched.run).await?;
    daemon.stop().await;
    let said = provider.finish()?;
    let limit = one_account(&config, &terms);
    let audit = ledger::hold(&store, &ledger_file, &ledger::about(launched.run.id, &rules, limit)).await?;
    let run = store.run(launched.run.id).await?.context("the run is gone")?;
    let status = status(&store, &run).await?;
    store.close().await;
    let told = Told { status: &status, audit: &audit, said: &said, complete, stand_ins: &scene.stand_ins };
    told.print(context, &terms)?;
    Ok(audit.agrees())
}

/// Other runs of the copy wait: this rehearsal is about one campaign.
async fn quiet_others(context: &Context, store: &Store) -> anyhow::Result<()> {
    for run in store.open_runs().await? {
        let to = match run.state {
            RunState::Running => RunState::Paused,
            RunState::Preparing => RunState::Cancelling,
            _ => continue,
        };
        store.set_run_state(&run, to, context.now()).await?;
    }
    Ok(())
}

/// The plan, at an hour at which its first text may go.
async fn prepared(
    context: &Context,
    args: &RehearseArgs,
    scene: &Scene,
    store: &Store,
) -> anyhow::Result<(Arc<dyn Clock>, Terms, Plan)> {
    let rules = routes::rules(&scene.config)?;
    let mut clock = context.clock();
    let mut moved = false;
    loop {
        let now = clock.now();
        let terms = terms::terms(&scene.config, store, &args.campaign, None, now).await?;
        if let Some(run) = store.run_by_key(&terms.definition.launch_key()).await? {
            set_aside(store, &run, now).await?;
        }
        let plan = plan(store, &terms, &rules, now, |_, _| {}).await?;
        match plan.starts_at {
            Some(first) if !moved && first > now.plus(Duration::from_mins(1)) => {
                moved = true;
                clock = Arc::new(ShiftedClock::starting_at(first.plus(Duration::from_secs(1))));
            }
            _ => return Ok((clock, terms, plan)),
        }
    }
}

/// A campaign that was launched for this start is rehearsed as if it were launched anew: in the copy, what has not left
/// of that run is withdrawn, so that its codes are free, and its key too. What it has sent still counts.
async fn set_aside(store: &Store, run: &Run, now: Timestamp) -> anyhow::Result<()> {
    print::note(format!(
        "run {} of it was launched for this start already; this rehearses another, as if what waits of it were withdrawn",
        run.id
    ));
    if run.state.may_become(RunState::Cancelling) {
        store.set_run_state(run, RunState::Cancelling, now).await?;
    }
    if let Some(run) = store.run(run.id).await?.filter(|run| run.state == RunState::Cancelling) {
        cancel(store, &run, now).await?;
    }
    store.free_launch_key(run.id).await?;
    Ok(())
}

/// Follows the run to its end, or as long as the rehearsal may take; answers whether it came to its end.
async fn followed(args: &RehearseArgs, store: &Store, run: &Run) -> anyhow::Result<bool> {
    let bar = print::bar(run.terms.audience.unsigned_abs(), "sent");
    let looks = |time: Duration| time.as_millis() / LOOK.as_millis();
    let (mut unchanged, mut last) = (0, None);
    for _ in 0..looks(Duration::from_mins(args.minutes)) {
        let run = store.run(run.id).await?.context("the run is gone")?;
        let now = status(store, &run).await?;
        bar.set_position((now.messages - now.waiting - now.submitting).max(0).unsigned_abs());
        let ended = matches!(run.state, RunState::Finished | RunState::Cancelled);
        let doubt = now.dispatch.contains_key("ambiguous");
        unchanged = if last.as_ref() == Some(&now) { unchanged + 1 } else { 0 };
        if ended && !doubt && (now.open_receipts == 0 || unchanged >= looks(QUIET)) {
            bar.finish_and_clear();
            return Ok(true);
        }
        last = Some(now);
        tokio::time::sleep(LOOK).await;
    }
    bar.finish_and_clear();
    Ok(false)
}

/// The rate that the ledger must keep, where one route alone writes it.
fn one_account(config: &Config, terms: &Terms) -> Option<Limit> {
    match &terms.routes[..] {
        [route] => config.routes.get(&route.name)?.limits.account,
        _ => None,
    }
}

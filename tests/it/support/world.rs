//! A whole small world in one process: a store with people in it, a daemon, the simulator, real sockets between them.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use winback::campaign::law::Rules;
use winback::config::Config;
use winback::daemon::Daemon;
use winback::dispatch::launch::launch;
use winback::dispatch::plan::{Plan, plan};
use winback::dispatch::terms::{PoolTerms, RouteTerms, Terms};
use winback::model::clock::{Clock, ShiftedClock, Timestamp};
use winback::model::contact::{Consent, ContactRecord};
use winback::model::money::Micros;
use winback::model::phone::Phone;
use winback::model::run::{Run, RunState};
use winback::report::audit::{Audit, Question, Taken, audit};
use winback::report::status::{Status, status};
use winback::simulator::config::{Curve, SimulatorConfig};
use winback::simulator::{LedgerError, Simulator, ledger};
use winback::store::Store;
use winback::store::coupons::NewCode;

use super::stores::Bench;

/// A Tuesday on which every zone of the United States may be texted.
const NOON: &str = "2018-01-02T19:00:00Z";

/// How long anything in a test may take before it counts as hanging.
const PATIENCE: Duration = Duration::from_mins(1);

/// A world; whatever it started ends with it.
pub(crate) struct World {
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) config: Config,
    pub(crate) folder: tempfile::TempDir,
    simulator: Simulator,
    stop: CancellationToken,
    url: String,
}

impl World {
    /// A world around an empty store, with `people` in it and a simulator that is told by `tune`.
    pub(crate) async fn new(bench: &Bench, people: u64, tune: impl FnOnce(&mut SimulatorConfig)) -> Self {
        Self::starting(bench, Timestamp::parse(NOON).unwrap(), people, tune).await
    }

    /// The same at another time.
    pub(crate) async fn starting(
        bench: &Bench,
        at: Timestamp,
        people: u64,
        tune: impl FnOnce(&mut SimulatorConfig),
    ) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let clock: Arc<dyn Clock> = Arc::new(ShiftedClock::starting_at(at));
        let listen = free_address();
        let mut simulated = SimulatorConfig {
            listen: "127.0.0.1:0".parse().unwrap(),
            ledger: folder.path().join("ledger.jsonl"),
            ..SimulatorConfig::default()
        };
        simulated.receipts.delay = Curve::new(Duration::from_millis(20), Duration::from_millis(60));
        simulated.receipts.undelivered = 0.0;
        simulated.receipts.expired = 0.0;
        simulated.receipts.rejected = 0.0;
        simulated.receipts.never = 0.0;
        simulated.replies.delay = Curve::constant(Duration::from_millis(10));
        simulated.replies.url = Some(format!("http://{listen}/callback/sim/inbound"));
        simulated.replies.texts.clear();
        tune(&mut simulated);
        let stop = CancellationToken::new();
        let simulator = Simulator::start(simulated, Arc::clone(&clock), stop.clone()).await.unwrap();
        std::fs::write(folder.path().join("key"), "simulator").unwrap();
        std::fs::write(folder.path().join("signing"), "simulator-signing").unwrap();
        let text = format!(
            "[store]\nurl = \"{}\"\n[daemon]\nlisten = \"{listen}\"\npublic_url = \"http://{listen}\"\n\
             [routes.sim]\nprovider = \"asked\"\nsenders = [\"+15005550006\"]\ncountries = [\"US\"]\n\
             limits = {{ parts_per_second = 5000, burst = 1000, in_flight = 32 }}\nprice = {{ US = 0.01 }}\n\
             retry = {{ first_delay = \"1 second\" }}\n\
             settings.base_url = \"http://{}\"\nsecrets.api_key = {{ file = \"key\" }}\nsecrets.signing_key = {{ file = \"signing\" }}\n",
            bench.url(),
            simulator.address()
        );
        let path = folder.path().join("winback.toml");
        let mut config =
            Config::parse(&path.to_string_lossy(), &text).unwrap_or_else(|errors| panic!("{errors}"));
        config.providers_folder = folder.path().join("providers");
        std::fs::create_dir(&config.providers_folder).unwrap();
        fill(bench, people, clock.now()).await;
        let world = Self { clock, config, folder, simulator, stop, url: bench.url().to_owned() };
        world.asked("doubt = []\n");
        world
    }

    /// Has the simulator asked about what is in doubt as these keys of its definition say, from the next daemon on; in a
    /// new world it is asked nothing.
    pub(crate) fn asked(&self, keys: &str) {
        let text = format!("format = 1\nname = \"asked\"\nextends = \"simulator\"\n{keys}");
        std::fs::write(self.config.providers_folder.join("asked.toml"), text).unwrap();
    }

    /// Starts the daemon of this world.
    pub(crate) async fn daemon(&self) -> Daemon {
        Daemon::start(&self.config, Arc::clone(&self.clock)).await.unwrap_or_else(|error| panic!("{error:#}"))
    }

    /// Terms of a campaign over everybody; `extra` is added to its file.
    pub(crate) async fn terms(&self, store: &Store, name: &str, extra: &str) -> Terms {
        let schedule = if extra.contains("schedule") { "" } else { "schedule = { at = \"now\" }\n" };
        let text = format!(
            "segment = \"true\"\nroutes = [\"sim\"]\n{schedule}{extra}\n[coupon]\npool = \"autumn\"\n\
             expires_in = \"7 days\"\n[text]\nen = \"{{{{ first_name | default('Hi') }}}}, {{{{ coupon.value }}}} off with \
             {{{{ coupon.code }}}} until {{{{ coupon.expires }}}}. STOP to opt out\"\n"
        );
        let file = format!("campaigns/{name}.toml");
        let definition = winback::campaign::definition::Definition::parse(&file, &text, "UTC");
        let pool = store.pool("autumn").await.unwrap().unwrap();
        let route = &self.config.routes["sim"];
        Terms {
            definition: definition.unwrap_or_else(|errors| panic!("{errors}")),
            segment: "true".to_owned(),
            routes: vec![RouteTerms {
                name: "sim".to_owned(),
                senders: route.senders.clone(),
                countries: vec!["US".to_owned()],
                prices: [("US".to_owned(), Micros(10_000))].into(),
                parts_per_second: Some(5_000.0),
            }],
            currency: "USD".to_owned(),
            shop_zone: "UTC".to_owned(),
            guard: Duration::from_mins(10),
            pool: Some(PoolTerms {
                id: pool.id,
                name: pool.name,
                value: pool.value,
                expires_at: pool.expires_at,
            }),
            as_of: None,
            launched_at: self.clock.now(),
        }
    }

    /// Plans a campaign.
    pub(crate) async fn plan(&self, store: &Store, name: &str, extra: &str) -> Plan {
        let terms = self.terms(store, name, extra).await;
        plan(store, &terms, &Rules::load(), self.clock.now(), |_, _| {}).await.unwrap()
    }

    /// Plans and launches a campaign.
    pub(crate) async fn launch(&self, store: &Store, name: &str, extra: &str) -> (Plan, Run) {
        let terms = self.terms(store, name, extra).await;
        let rules = Rules::load();
        let now = self.clock.now();
        let plan = plan(store, &terms, &rules, now, |_, _| {}).await.unwrap();
        let launched = launch(store, &terms, &rules, &plan, now, |_, _| {}).await;
        (plan, launched.unwrap_or_else(|error| panic!("{error}")).run)
    }

    /// Waits until `done` says that a run is where the test wants it.
    pub(crate) async fn until(&self, store: &Store, run: &Run, done: impl Fn(&Status) -> bool) -> Status {
        let mut last = None;
        let waited = tokio::time::timeout(PATIENCE, async {
            loop {
                let run = store.run(run.id).await.unwrap().unwrap();
                let now = status(store, &run).await.unwrap();
                if done(&now) {
                    // What happened between the two looks is in both only now.
                    let run = store.run(run.id).await.unwrap().unwrap();
                    return status(store, &run).await.unwrap();
                }
                last = Some(now);
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        });
        waited.await.unwrap_or_else(|_| panic!("still waiting: {last:#?}"))
    }

    /// Waits until a run is finished and every receipt is in.
    pub(crate) async fn finished(&self, store: &Store, run: &Run) -> Status {
        let ended = [RunState::Finished.as_str(), RunState::Cancelled.as_str()];
        self.until(store, run, |s| ended.contains(&s.state) && s.open_receipts == 0).await
    }

    /// Holds the simulator's ledger against the store.
    pub(crate) async fn audit(&self, store: &Store, run: &Run) -> Audit {
        let limit = self.config.routes["sim"].limits.account;
        let rules = Rules::load();
        let question = Question { run: Some(run.id), limit, rules: &rules };
        audit(store, self.entries(), &question).await.unwrap()
    }

    /// Everything the simulator has taken.
    pub(crate) fn ledger(&self) -> Vec<Taken> {
        self.entries().collect::<Result<_, _>>().unwrap()
    }

    fn entries(&self) -> impl Iterator<Item = Result<Taken, LedgerError>> {
        let path = self.folder.path().join("ledger.jsonl");
        ledger::read(&path).unwrap().map(|entry| {
            entry.map(|entry| Taken {
                at: entry.at,
                parts: entry.parts,
                reference: entry.reference.into_owned(),
                to: entry.to.into_owned(),
                body_sha256: entry.body_sha256.into_owned(),
            })
        })
    }

    /// A connection of its own, as a command beside the daemon has it.
    pub(crate) async fn beside(&self) -> Store {
        Store::open(&self.url).await.unwrap()
    }

    /// Ends the simulator.
    pub(crate) async fn end(self) {
        self.stop.cancel();
        self.simulator.wait().await;
    }
}

/// An address for a daemon that is started later, and started again: from below the ports that the system gives away by
/// itself, and each only once, so that no other socket of the tests can have taken it meanwhile.
pub(crate) fn free_address() -> SocketAddr {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    const PORTS: std::ops::Range<u32> = 12_000..30_000;
    let first = std::process::id() * 131;
    PORTS
        .map(|_| PORTS.start + (first + NEXT.fetch_add(1, Ordering::Relaxed)) % (PORTS.end - PORTS.start))
        .map(|port| SocketAddr::from((Ipv4Addr::LOCALHOST, u16::try_from(port).expect("a port"))))
        .find(|address| TcpListener::bind(address).is_ok())
        .expect("one of them is free")
}

/// Numbers of New York, Chicago and Los Angeles, from the range kept for fiction and beyond.
pub(crate) fn phone(n: u64) -> Phone {
    let areas = [212, 312, 310];
    let area = areas[usize::try_from(n % 3).unwrap()];
    Phone::from_digits(10_000_000_000 + area * 10_000_000 + 2_000_000 + n).unwrap()
}

pub(crate) async fn fill(store: &Store, people: u64, now: Timestamp) {
    let everybody: Vec<u64> = (0..people).collect();
    for some in everybody.chunks(1_000) {
        let records: Vec<ContactRecord> = some
            .iter()
            .map(|n| ContactRecord {
                customer_id: Some(format!("c{n}")),
                country: Some("US".to_owned()),
                first_name: Some(format!("Name{n}")),
                consent: Consent::Given(Timestamp(1_480_000_000_000)),
                ..ContactRecord::new(phone(*n), "fixed_line_or_mobile")
            })
            .collect();
        store.upsert_contacts(&records, now).await.unwrap();
    }
    let pool = store.create_pool("autumn", "$5", None, now).await.unwrap();
    let codes: Vec<NewCode> =
        (0..people + 10).map(|n| NewCode { code: format!("CODE{n:06}"), expires_at: None }).collect();
    for some in codes.chunks(1_000) {
        store.add_codes(pool.id, some, now).await.unwrap();
    }
}

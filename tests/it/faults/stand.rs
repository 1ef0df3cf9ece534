//! One shop in a folder, as an operator has it: configuration, store, campaigns, commands, a daemon that comes and goes,
//! a provider in a process of its own. Whatever it started ends with it.

use std::cell::Cell;
use std::collections::HashSet;
use std::fs;
use std::net::SocketAddr;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use winback::model::clock::{Clock as _, SystemClock, Timestamp};
use winback::simulator::ledger;
use winback::store::Store;

use super::life::{Life, Provider};
use crate::support::sql::Sql;
use crate::support::world;

/// A Tuesday on which every zone of the United States may be texted for seven more hours.
const NOON: &str = "2018-01-02T19:00:00Z";

/// Submissions that may wait for an answer.
const IN_FLIGHT: i64 = 16;

/// What one kill may leave in doubt: at the limit of these routes as many again have their intents while these are on the
/// wire.
pub(super) const WINDOW: i64 = 2 * IN_FLIGHT;

/// How long anything may take before it counts as hanging.
pub(super) const PATIENCE: Duration = Duration::from_secs(90);

/// Between two looks at something that comes when it comes.
pub(super) const LOOK: Duration = Duration::from_millis(20);

/// By how much the clock is moved so that leases end and doubt is parked.
pub(super) const LONG: i64 = 100_000;

/// Terms of an audit that must be zero whatever happened.
const NEVER: [&str; 12] = [
    "lost",
    "duplicated",
    "unexpected",
    "unrecorded",
    "after_stop",
    "outside_window",
    "unjudged",
    "over_rate",
    "over_budget",
    "wrong_body",
    "wrong_number",
    "wrong_code",
];

/// A shop and its provider.
pub(super) struct Stand {
    pub(super) folder: tempfile::TempDir,
    pub(super) url: String,
    provider: Option<Provider>,
    pub(super) listen: SocketAddr,
    shift: Cell<i64>,
    /// Daemons that were started, each with a log of its own.
    lives: Cell<u32>,
    /// How long anything may take before it counts as hanging.
    pub(super) patience: Duration,
    /// Submissions that may wait for an answer.
    pub(super) in_flight: i64,
}

/// What the audit told at the end.
pub(super) struct Audited {
    pub(super) audit: Value,
    /// What the simulator counted.
    pub(super) stats: Value,
}

impl Audited {
    pub(super) fn count(&self, term: &str) -> i64 {
        self.audit[term].as_i64().unwrap_or_else(|| panic!("{term}: {}", self.audit))
    }
}

impl Stand {
    /// A shop with `people` whose store is at `url`, or in its own folder; `simulator` are more words for the provider.
    pub(super) async fn new(url: Option<&str>, people: u64, simulator: &[&str]) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let own = format!("sqlite:{}", folder.path().join("store.db").display());
        let url = url.map_or(own, str::to_owned);
        let store = Store::create(&url, "test").await.expect("a store");
        world::fill(&store, people, Timestamp::parse(NOON).expect("a time")).await;
        store.close().await;
        let listen = world::free_address();
        let shift = Timestamp::parse(NOON).expect("a time").0 - SystemClock.now().0;
        let mut stand = Self {
            folder,
            url,
            provider: None,
            listen,
            shift: Cell::new(0),
            lives: Cell::new(0),
            patience: PATIENCE,
            in_flight: IN_FLIGHT,
        };
        stand.steer(shift);
        stand.write("key", "simulator");
        stand.write("signing", "simulator-signing");
        stand.provider = Some(Provider::start(&stand, simulator));
        stand.config(5_000, "");
        stand.campaign(
            "coupons",
            "[coupon]\npool = \"autumn\"\nexpires_in = \"7 days\"\n",
            "{{ coupon.code }}",
        );
        stand.campaign("news", "", "See you soon");
        stand
    }

    /// Moves the wall clock of every process by so much more; whatever was amiss between ours and the provider's is
    /// mended.
    pub(super) fn steer(&self, by_ms: i64) {
        self.shift.set(self.shift.get() + by_ms);
        self.set_clock("clock", self.shift.get());
        self.set_clock("clock-of-the-provider", self.shift.get());
    }

    /// Lets our own wall clock be off by so much; the provider's stays right.
    pub(super) fn missteer(&self, by_ms: i64) {
        self.set_clock("clock", self.shift.get() + by_ms);
    }

    fn set_clock(&self, name: &str, shift: i64) {
        let (path, fresh) = (self.path(name), self.path("clock.new"));
        fs::write(&fresh, shift.to_string()).expect("written");
        fs::rename(fresh, path).expect("renamed");
    }

    /// Writes the configuration: parts per second of its route, and more lines for its table.
    pub(super) fn config(&self, rate: u32, more: &str) {
        let (listen, provider) = (self.listen, self.provider.as_ref().expect("a provider").address.clone());
        self.write(
            "winback.toml",
            &format!(
                "[store]\nurl = \"{}\"\n[shop]\ncountry = \"US\"\n[daemon]\nlisten = \"{listen}\"\n\
                 public_url = \"http://{listen}\"\n[dispatch]\npark_after = \"1 minute\"\n\
                 [routes.sim]\nprovider = \"simulator\"\nsenders = [\"+15005550006\"]\ncountries = [\"US\"]\n\
                 limits = {{ parts_per_second = {rate}, burst = {}, in_flight = {} }}\n\
                 price = {{ US = 0.01 }}\nretry = {{ first_delay = \"1 second\" }}\n{more}\n\
                 settings.base_url = \"http://{provider}\"\nsecrets.api_key = {{ file = \"key\" }}\n\
                 secrets.signing_key = {{ file = \"signing\" }}\n",
                self.url,
                (rate / 5).max(1),
                self.in_flight,
            ),
        );
    }

    /// Writes a campaign to everybody.
    pub(super) fn campaign(&self, name: &str, tables: &str, words: &str) {
        fs::create_dir_all(self.path("campaigns")).expect("a folder");
        let text = format!(
            "segment = \"true\"\nroutes = [\"sim\"]\nschedule = {{ at = \"2018-01-02T19:00:00Z\" }}\n{tables}[text]\n\
             en = \"{{{{ first_name | default('Hi') }}}}: {words}. STOP to opt out\"\n"
        );
        self.write(&format!("campaigns/{name}.toml"), &text);
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(super) fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).expect("written");
    }

    /// Everything that the provider has taken.
    pub(super) fn ledger(&self) -> PathBuf {
        self.path("ledger.jsonl")
    }

    /// A command in the shop's folder, with faults if asked for; `before` is what runs it, if not the shell.
    pub(super) fn command(&self, before: &[&str], args: &[&str], faults: &str) -> Command {
        let program = env!("CARGO_BIN_EXE_winback");
        let mut words = before.iter().copied().chain([program]).chain(args.iter().copied());
        let mut command = Command::new(words.next().expect("a program"));
        command.args(words).current_dir(self.folder.path()).stdin(Stdio::null());
        for variable in ["WINBACK_STORE_URL", "WINBACK_DAEMON_LISTEN"] {
            command.env_remove(variable);
        }
        let comma = if faults.is_empty() { "" } else { "," };
        command.env("WINBACK_FAULTS", format!("clock={}{comma}{faults}", self.path("clock").display()));
        command
    }

    /// Runs a command to its end.
    pub(super) fn run(&self, args: &[&str], faults: &str) -> Output {
        self.command(&[], args, faults).output().expect("it runs")
    }

    /// Runs a command that must succeed; what it said.
    pub(super) fn good(&self, args: &[&str]) -> String {
        let output = self.run(args, "");
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{args:?}: {said}{}", String::from_utf8_lossy(&output.stderr));
        said
    }

    /// Launches both campaigns: the texts of the second meet the STOPs that answer the first.
    pub(super) fn launch(&self) {
        self.good(&["launch", "coupons", "--yes"]);
        self.good(&["launch", "news", "--yes"]);
    }

    /// Launches again whatever campaign there is: those that were left in the middle are ended.
    pub(super) fn relaunch(&self) {
        for entry in fs::read_dir(self.path("campaigns")).expect("a folder") {
            let path = entry.expect("an entry").path();
            let name = path.file_stem().expect("a name").to_string_lossy().into_owned();
            if name.starts_with("round") {
                self.good(&["launch", &name, "--yes"]);
            }
        }
    }

    /// Starts a daemon with these faults.
    pub(super) fn daemon(&self, faults: &str) -> Life {
        self.daemon_under(&[], faults)
    }

    /// Starts a daemon under another program, such as a tracer.
    pub(super) fn daemon_under(&self, before: &[&str], faults: &str) -> Life {
        self.lives.set(self.lives.get() + 1);
        let log = self.path(&format!("daemon-{}.log", self.lives.get()));
        let written = fs::File::create(&log).expect("a log");
        let mut command = self.command(before, &["daemon"], faults);
        let both = command.stdout(Stdio::null()).stderr(written);
        Life::new(both.process_group(0).spawn().expect("it starts"), log, !before.is_empty())
    }

    /// A number from the store, by a connection of its own that cannot write.
    pub(super) async fn number(&self, sql: &str) -> i64 {
        let mut store = Sql::open(&self.url).await;
        store.lines(sql).await.first().and_then(|line| line.parse().ok()).unwrap_or_else(|| panic!("{sql}"))
    }

    /// Messages in any of these states.
    pub(super) async fn messages(&self, states: &str) -> i64 {
        let list = states.replace(' ', "', '");
        self.number(&format!("SELECT count(*) FROM messages WHERE dispatch IN ('{list}')")).await
    }

    /// Texts that the provider has taken.
    pub(super) fn taken(&self) -> usize {
        fs::read_to_string(self.ledger()).map_or(0, |ledger| ledger.matches('\n').count())
    }

    /// Whether nothing waits for an answer of the provider: every attempt that it has taken is in the store, or the store
    /// cannot be told.
    pub(super) async fn wire_is_dry(&self) -> bool {
        let before = self.taken();
        tokio::time::sleep(LOOK * 10).await;
        self.taken() == before
    }

    /// Waits until `done`; a life that ends before that fails, with its log.
    pub(super) async fn until(&self, what: &str, life: &mut Life, done: impl AsyncFn() -> bool) {
        let started = Instant::now();
        while !done().await {
            assert!(
                started.elapsed() < self.patience,
                "still waiting for {what}: {}\n{}",
                self.told().await,
                life.log()
            );
            if let Some(ended) = life.ended() {
                panic!("the daemon ended while waiting for {what}: {ended}\n{}", life.log());
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    async fn told(&self) -> String {
        let sql = "SELECT dispatch, delivery, count(*) FROM messages GROUP BY 1, 2";
        Sql::open(&self.url).await.lines(sql).await.join(", ")
    }

    /// Starts a daemon without faults at full speed, waits until everything has its end, and audits. At most
    /// `doubt` messages may stay in doubt.
    pub(super) async fn finish(mut self, doubt: i64) -> Audited {
        self.config(5_000, "");
        let mut life = self.daemon("");
        let owner = format!("owner NOT LIKE '{}-%'", life.id());
        let held =
            format!("SELECT count(*) FROM messages WHERE dispatch IN ('claimed', 'submitting') AND {owner}");
        self.until("a start", &mut life, async || life_is_up(&self)).await;
        if self.number(&held).await > 0 {
            // A server's lock proves nothing about whoever held it before: leases must run out.
            self.steer(LONG);
            self.until("what the dead held", &mut life, async || self.number(&held).await == 0).await;
        }
        let on_the_way = "planned queued claimed submitting";
        let reports = "SELECT count(*) FROM messages WHERE dispatch = 'accepted' AND delivery <> 'delivered'";
        self.until("the last text and its receipt", &mut life, async || {
            self.messages(on_the_way).await == 0
                && self.number(reports).await == 0
                && self.provable_doubt().await == 0
        })
        .await;
        self.steer(LONG);
        let open = "SELECT count(*) FROM runs WHERE state NOT IN ('finished', 'cancelled')";
        self.until("the end of doubt", &mut life, async || {
            self.messages("ambiguous").await + self.number(open).await == 0
        })
        .await;
        life.signal("TERM");
        let ended = life.wait();
        assert!(ended.success(), "it stops in order: {ended}\n{}", life.log());
        let stats = self.provider.take().expect("a provider").finish();
        self.audit(doubt, stats).await
    }

    /// Messages in doubt that the provider has taken: their receipt is to end that.
    async fn provable_doubt(&self) -> i64 {
        let doubtful = "SELECT a.reference FROM attempts AS a JOIN messages AS m ON m.id = a.message_id \
            WHERE m.dispatch = 'ambiguous'";
        let doubtful = Sql::open(&self.url).await.lines(doubtful).await;
        if doubtful.is_empty() {
            return 0;
        }
        let taken: HashSet<String> = ledger::read(&self.ledger())
            .expect("a ledger")
            .map(|entry| entry.expect("an entry").reference.into_owned())
            .collect();
        doubtful.iter().filter(|reference| taken.contains(*reference)).map(|_| 1).sum()
    }

    /// Holds the ledger against the store as it is now.
    pub(super) fn audit_now(&self) -> Value {
        let ledger = self.ledger().to_string_lossy().into_owned();
        let args = ["simulator", "audit", &ledger, &self.url, "--rate", "5000", "--burst", "1000", "--json"];
        let output = self.run(&args, "");
        let said = String::from_utf8_lossy(&output.stdout);
        let told = String::from_utf8_lossy(&output.stderr);
        serde_json::from_str(&said).unwrap_or_else(|error| panic!("{error}: {said}{told}"))
    }

    /// Sees that nothing happened which must never happen.
    pub(super) fn nothing_bad(&self) -> Value {
        let audit = self.audit_now();
        for term in NEVER {
            assert_eq!(audit[term], 0, "{term}: {audit:#}\n{}", self.logs());
        }
        audit
    }

    async fn audit(&self, doubt: i64, stats: Value) -> Audited {
        let audited = Audited { audit: self.nothing_bad(), stats };
        let places = ["accepted", "waiting", "not_sent", "unresolved"].map(|term| audited.count(term));
        let messages = self.number("SELECT count(*) FROM messages").await;
        assert_eq!(places.iter().sum::<i64>(), messages, "everybody is somewhere: {:#}", audited.audit);
        assert!(audited.count("unresolved") <= doubt, "at most {doubt} in doubt: {:#}", audited.audit);
        let checked = self.good(&["store", "check", "--json"]);
        let checked: Value = serde_json::from_str(&checked).expect("JSON");
        assert_eq!(checked["good"], true, "{checked:#}");
        assert!(!self.logs().contains("panicked"), "{}", self.logs());
        audited
    }

    /// What every daemon said.
    pub(super) fn logs(&self) -> String {
        let log = |n| fs::read_to_string(self.path(&format!("daemon-{n}.log"))).unwrap_or_default();
        (1..=self.lives.get()).map(log).collect()
    }
}

fn life_is_up(stand: &Stand) -> bool {
    let log = stand.path(&format!("daemon-{}.log", stand.lives.get()));
    fs::read_to_string(log).is_ok_and(|log| log.contains("running"))
}

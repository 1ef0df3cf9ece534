//! What both sides of a comparison share: the provider in a process of its own, the customers, clocks and stopwatches.

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use winback::campaign::definition::Definition;
use winback::config::Config;
use winback::dispatch::terms::{PoolTerms, RouteTerms, Terms};
use winback::model::clock::{Clock, ShiftedClock, Timestamp};
use winback::model::contact::{Consent, ContactRecord};
use winback::model::money::Micros;
use winback::model::phone::Phone;
use winback::store::Store;
use winback::store::coupons::NewCode;

/// A Tuesday on which every zone of the United States may be texted.
const NOON: &str = "2018-01-02T19:00:00Z";

/// How fast one side went, and what it cost: on a shared machine the processor time says more than the clock.
pub(crate) struct Pace {
    pub(crate) per_second: f64,
    ours_us: f64,
    provider_us: f64,
}

impl std::fmt::Display for Pace {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { per_second, ours_us, provider_us } = self;
        write!(f, "{per_second:.0}/s ({ours_us:.0} + {provider_us:.0} us of a core)")
    }
}

/// Clock and processor time of a stretch of work.
pub(crate) struct Stopwatch {
    pub(crate) started: Instant,
    ours: Duration,
    provider: Duration,
}

impl Stopwatch {
    pub(crate) fn start(provider: &Provider) -> Self {
        Self {
            started: Instant::now(),
            ours: processor_time("self"),
            provider: processor_time(&provider.child.id().to_string()),
        }
    }

    pub(crate) fn stop(&self, provider: &Provider, messages: u64) -> Pace {
        let took = self.started.elapsed();
        let ours = processor_time("self").saturating_sub(self.ours);
        let theirs = processor_time(&provider.child.id().to_string()).saturating_sub(self.provider);
        Pace {
            per_second: rate(messages, took),
            ours_us: 1e6 / rate(messages, ours),
            provider_us: 1e6 / rate(messages, theirs),
        }
    }
}

/// User and system time of a process, in hundredths of a second as Linux counts them.
pub(crate) fn processor_time(process: &str) -> Duration {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    let after_name = stat.rsplit(')').next().unwrap_or_default();
    let ticks: u64 =
        after_name.split_whitespace().skip(11).take(2).filter_map(|n| n.parse::<u64>().ok()).sum();
    Duration::from_millis(ticks * 10)
}

/// The simulator; it ends with this value.
pub(crate) struct Provider {
    pub(crate) child: Child,
    pub(crate) address: SocketAddr,
    pub(crate) folder: tempfile::TempDir,
}

impl Provider {
    /// One that answers after `delay` and reports each text as delivered soon after.
    pub(crate) fn start(clock: &dyn Clock, delay: Duration) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let mut child = Command::new(env!("CARGO_BIN_EXE_winback"))
            .args(["simulator", "--listen", "127.0.0.1:0", "--ledger"])
            .arg(folder.path().join("ledger.jsonl"))
            .args(["--clock", &clock.now().rfc3339(), "--receipt-ms", "20", "40"])
            .args(["--end", "undelivered=0", "--end", "expired=0", "--end", "rejected=0", "--end", "never=0"])
            .args(["--reply", "STOP=0", "--latency-ms"])
            .args([delay.as_millis().to_string(), delay.as_millis().to_string()])
            .stdout(Stdio::piped())
            .spawn()
            .expect("the simulator starts");
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("piped")).read_line(&mut line).expect("a line");
        let address = line.trim().rsplit(' ').next().and_then(|word| word.parse().ok()).expect("an address");
        Self { child, address, folder }
    }
}

impl Provider {
    /// What a dispatcher is told that sends to it: one route. Kept in the folder as well, for one in another process.
    pub(crate) fn config(&self, url: &str, in_flight: usize, limit: &str) -> Config {
        let folder = self.folder.path();
        std::fs::write(folder.join("key"), "simulator").expect("written");
        std::fs::write(folder.join("signing"), "simulator-signing").expect("written");
        let listen =
            std::net::TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("an address");
        let text = format!(
            "[store]\nurl = \"{url}\"\n[daemon]\nlisten = \"{listen}\"\npublic_url = \"http://{listen}\"\n\
             [routes.bench]\nprovider = \"simulator\"\nsenders = [\"+15005550006\"]\ncountries = [\"US\"]\n\
             limits = {{ {limit}, in_flight = {in_flight} }}\nprice = {{ US = 0.01 }}\n\
             settings.base_url = \"http://{}\"\nsecrets.api_key = {{ file = \"key\" }}\n\
             secrets.signing_key = {{ file = \"signing\" }}\n[log]\nlevel = \"error\"\n",
            self.address
        );
        std::fs::write(self.config_file(), text).expect("written");
        read_config(&self.config_file())
    }

    /// Where [`Provider::config`] keeps it.
    pub(crate) fn config_file(&self) -> PathBuf {
        self.folder.path().join("winback.toml")
    }
}

pub(crate) fn read_config(file: &Path) -> Config {
    let text = std::fs::read_to_string(file).expect("a file");
    Config::parse(&file.to_string_lossy(), &text).expect("a configuration")
}

impl Drop for Provider {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(crate) fn clock() -> Arc<dyn Clock> {
    clock_from(NOON)
}

/// One that shows this time now.
pub(crate) fn clock_from(now: &str) -> Arc<dyn Clock> {
    Arc::new(ShiftedClock::starting_at(Timestamp::parse(now).expect("a time")))
}

pub(crate) fn rate(messages: u64, took: Duration) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "a rate")]
    let messages = messages as f64;
    messages / took.as_secs_f64()
}

/// A limit that is not felt.
pub(crate) const FREE: &str = "parts_per_second = 100000, burst = 10000";

/// A campaign for everybody; `more` are words that make its text longer.
pub(crate) async fn terms(store: &Store, now: Timestamp, more: &str) -> Terms {
    let text = format!(
        "segment = \"true\"\nroutes = [\"bench\"]\nschedule = {{ at = \"now\" }}\n[coupon]\npool = \"autumn\"\n\
                expires_in = \"7 days\"\n[text]\nen = \"{{{{ first_name }}}}, {{{{ coupon.value }}}} off with {{{{ coupon.code }}}} \
                until {{{{ coupon.expires }}}}. {more}STOP to opt out\"\n"
    );
    let pool = store.pool("autumn").await.expect("read").expect("a pool");
    Terms {
        definition: Definition::parse("campaigns/bench.toml", &text, "UTC").expect("a definition"),
        segment: "true".to_owned(),
        routes: vec![RouteTerms {
            name: "bench".to_owned(),
            senders: vec!["+15005550006".to_owned()],
            countries: vec!["US".to_owned()],
            prices: [("US".to_owned(), Micros(10_000))].into(),
            parts_per_second: None,
        }],
        currency: "USD".to_owned(),
        shop_zone: "UTC".to_owned(),
        guard: Duration::ZERO,
        pool: Some(PoolTerms { id: pool.id, name: pool.name, value: pool.value, expires_at: None }),
        as_of: None,
        launched_at: now,
    }
}

pub(crate) fn phone(n: u64) -> Phone {
    Phone::from_digits(12_122_000_000 + n).expect("a number")
}

/// Customers who agreed, and a code for each.
pub(crate) async fn fill(store: &Store, people: u64, now: Timestamp) {
    let everybody: Vec<u64> = (0..people).collect();
    let pool = store.create_pool("autumn", "$5", None, now).await.expect("a pool");
    for some in everybody.chunks(2_000) {
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
        store.upsert_contacts(&records, now).await.expect("contacts");
        let codes: Vec<NewCode> =
            some.iter().map(|n| NewCode { code: format!("CODE{n:06}"), expires_at: None }).collect();
        store.add_codes(pool.id, &codes, now).await.expect("codes");
    }
}

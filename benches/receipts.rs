//! Receipts acknowledged after their commit, beside a bare handler that parses the same calls and counts them; then how
//! long an acknowledgement takes at a fixed 1,000 a second while texts are going out.
//!
//! Quote the ratio of one run, not the rates. `cargo bench --bench receipts -- [RECEIPTS] [CONNECTIONS] [RUNS]`

#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use winback::campaign::definition::Definition;
use winback::campaign::law::Rules;
use winback::config::Config;
use winback::daemon::Daemon;
use winback::dispatch::launch::launch;
use winback::dispatch::plan::plan;
use winback::dispatch::terms::{RouteTerms, Terms};
use winback::model::clock::{Clock, ShiftedClock, Timestamp};
use winback::model::contact::{Consent, ContactRecord};
use winback::model::message::{CouponEffect, Intent, Settlement};
use winback::model::money::Micros;
use winback::model::outcome::{Outcome, OutcomeClass};
use winback::model::phone::Phone;
use winback::model::reference;
use winback::model::run::Run;
use winback::model::state::Dispatch;
use winback::report::status::status;
use winback::store::Store;
use winback::store::claims::ClaimRequest;

const NOON: &str = "2018-01-02T19:00:00Z";

/// Calls a second while texts go out, and for how long.
const PACE: usize = 1_000;
const PACED_SECONDS: usize = 10;

/// Of a hundred receipts, so many come before their text is known, and so many are repeats.
const EARLY: usize = 5;
const REPEATED: usize = 5;

fn main() {
    rustls::crypto::ring::default_provider().install_default().expect("nobody was faster");
    let numbers: Vec<usize> = std::env::args().skip(1).filter_map(|word| word.parse().ok()).collect();
    let receipts = numbers.first().copied().unwrap_or(60_000);
    let connections = numbers.get(1).copied().unwrap_or(256);
    let runs = numbers.get(2).copied().unwrap_or(3);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    let mut ratios = Vec::new();
    for run in 1..=runs {
        let bench = runtime.block_on(Bench::new(receipts));
        let bare = runtime.block_on(bare(&bench.calls(0, receipts), connections));
        let ours = runtime.block_on(flood(&bench, receipts, connections));
        let (sent, paced) = runtime.block_on(sending(&bench, receipts));
        runtime.block_on(bench.store.close());
        ratios.push(ours.rate / bare.rate);
        println!(
            "run {run}: bare handler {:.0}/s, winback {:.0}/s on disk before each answer, ratio {:.2}; \
             {:.0} and {:.0} us of CPU for each, the callers' included",
            bare.rate,
            ours.rate,
            ours.rate / bare.rate,
            bare.cpu,
            ours.cpu
        );
        println!("  with {connections} connections that never pause: {}", percentiles(ours.took));
        println!("  at {PACE}/s while {sent:.0} texts/s go out: {}", percentiles(paced));
    }
    ratios.sort_by(f64::total_cmp);
    println!("median ratio {:.2} of {receipts} receipts in {runs} runs", ratios[ratios.len() / 2]);
}

/// A provider in a process of its own, which takes texts and reports nothing by itself.
struct Provider {
    child: Child,
    address: SocketAddr,
}

impl Provider {
    fn start(folder: &std::path::Path, clock: &dyn Clock) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_winback"))
            .args(["simulator", "--listen", "127.0.0.1:0", "--ledger"])
            .arg(folder.join("ledger.jsonl"))
            .args(["--clock", &clock.now().rfc3339(), "--reply", "STOP=0", "--end", "never=1"])
            .args(["--end", "undelivered=0", "--end", "expired=0", "--end", "rejected=0"])
            .stdout(Stdio::piped())
            .spawn()
            .expect("the simulator starts");
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("piped")).read_line(&mut line).expect("a line");
        let address = line.trim().rsplit(' ').next().and_then(|word| word.parse().ok()).expect("an address");
        Self { child, address }
    }
}

impl Drop for Provider {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A store whose texts are accepted and wait for their receipts, and what a daemon on it needs.
struct Bench {
    clock: Arc<dyn Clock>,
    store: Store,
    config: Config,
    run: Run,
    references: Vec<String>,
    _provider: Provider,
    _folder: tempfile::TempDir,
}

impl Bench {
    async fn new(receipts: usize) -> Self {
        let clock: Arc<dyn Clock> =
            Arc::new(ShiftedClock::starting_at(Timestamp::parse(NOON).expect("a time")));
        let folder = tempfile::tempdir().expect("a folder");
        let provider = Provider::start(folder.path(), &*clock);
        std::fs::write(folder.path().join("key"), "simulator").expect("written");
        std::fs::write(folder.path().join("signing"), "simulator-signing").expect("written");
        let listen =
            std::net::TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("an address");
        let url = format!("sqlite:{}", folder.path().join("bench.db").display());
        let text = format!(
            "[store]\nurl = \"{url}\"\n[daemon]\nlisten = \"{listen}\"\npublic_url = \"http://{listen}\"\n\
             [routes.bench]\nprovider = \"simulator\"\nsenders = [\"+15005550006\"]\ncountries = [\"US\"]\n\
             limits = {{ parts_per_second = 3000, burst = 300, in_flight = 64 }}\nprice = {{ US = 0.01 }}\n\
             settings.base_url = \"http://{}\"\nsecrets.api_key = {{ file = \"key\" }}\n\
             secrets.signing_key = {{ file = \"signing\" }}\n[log]\nlevel = \"error\"\n",
            provider.address
        );
        let config = Config::parse(&folder.path().join("winback.toml").to_string_lossy(), &text)
            .expect("a configuration");
        let store = Store::create(&url, "bnch").await.expect("a store");
        let people = receipts + PACE * PACED_SECONDS;
        fill(&store, people, clock.now()).await;
        let run = launched(&store, "first", clock.now()).await;
        let references = accept(&store, people, clock.now()).await;
        Self { clock, store, config, run, references, _provider: provider, _folder: folder }
    }

    /// Signed requests about the texts from one to another, in the order in which these were sent, as receipts come.
    fn calls(&self, from: usize, to: usize) -> Vec<Vec<u8>> {
        let address = self.config.daemon.listen;
        let timestamp = (self.clock.now().0 / 1000).to_string();
        let call = |n: usize| {
            let about = match n % 100 {
                early if early < EARLY => format!("\"id\":\"early-{n}\""),
                again if again < EARLY + REPEATED && n >= from + 100 => {
                    format!("\"reference\":\"{}\"", self.references[n - 50])
                }
                _ => format!("\"id\":\"{}\",\"reference\":\"{}\"", provider_id(n), self.references[n]),
            };
            let body =
                format!("{{\"receipts\":[{{{about},\"status\":\"delivered\",\"at\":{timestamp}000}}]}}");
            let signature = signature(&timestamp, &body);
            format!(
                "POST /callback/bench/receipt HTTP/1.1\r\nhost: {address}\r\ncontent-type: application/json\r\n\
                 x-simulator-timestamp: {timestamp}\r\nx-simulator-signature: sha256={signature}\r\n\
                 content-length: {}\r\n\r\n{body}",
                body.len()
            )
            .into_bytes()
        };
        (from..to).map(call).collect()
    }
}

fn signature(timestamp: &str, body: &str) -> String {
    use std::fmt::Write as _;
    let mut mac = Hmac::<Sha256>::new_from_slice(b"simulator-signing").expect("a key");
    mac.update(format!("{timestamp}.{body}").as_bytes());
    mac.finalize().into_bytes().iter().fold(String::new(), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

/// What a phase measured.
struct Measured {
    rate: f64,
    /// Microseconds of CPU of this process for each call; steadier than the rate where others use the machine.
    cpu: f64,
    took: Vec<Duration>,
}

#[expect(clippy::cast_precision_loss, reason = "a rate")]
fn rate(count: usize, took: Duration) -> f64 {
    count as f64 / took.as_secs_f64()
}

/// Every call once, over connections that stay open and never pause.
async fn blast(address: SocketAddr, calls: &[Vec<u8>], connections: usize) -> Measured {
    let (calls, next) = (Arc::new(calls.to_vec()), Arc::new(AtomicUsize::new(0)));
    let (started, cpu_before) = (Instant::now(), cpu());
    let callers = (0..connections).map(|_| {
        let (calls, next) = (Arc::clone(&calls), Arc::clone(&next));
        tokio::spawn(async move {
            let (mut socket, mut took) = (connect(address).await, Vec::new());
            while let Some(call) = calls.get(next.fetch_add(1, Ordering::Relaxed)) {
                let asked = Instant::now();
                exchange(&mut socket, call).await;
                took.push(asked.elapsed());
            }
            took
        })
    });
    let callers: Vec<_> = callers.collect();
    let mut took = Vec::with_capacity(calls.len());
    for caller in callers {
        took.extend(caller.await.expect("a caller"));
    }
    let used = 1_000_000.0 / rate(calls.len(), cpu().saturating_sub(cpu_before));
    Measured { rate: rate(calls.len(), started.elapsed()), cpu: used, took }
}

/// What this process has used of all cores, in the kernel's ticks of 10 ms.
fn cpu() -> Duration {
    let text = std::fs::read_to_string("/proc/self/stat").expect("Linux");
    let after_name = text.rsplit_once(") ").expect("a name").1;
    let ticks: u64 = after_name.split(' ').skip(11).take(2).map(|n| n.parse::<u64>().expect("ticks")).sum();
    Duration::from_millis(ticks * 10)
}

async fn connect(address: SocketAddr) -> TcpStream {
    let socket = TcpStream::connect(address).await.expect("a connection");
    socket.set_nodelay(true).expect("no delay");
    socket
}

/// One call and its answer, which must be 200.
async fn exchange(socket: &mut TcpStream, call: &[u8]) {
    socket.write_all(call).await.expect("written");
    let (mut answer, mut filled) = ([0_u8; 1_024], 0);
    loop {
        filled += socket.read(&mut answer[filled..]).await.expect("an answer");
        let text = &answer[..filled];
        assert!(filled < 12 || text.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(text));
        assert!(filled > 0, "closed without an answer");
        // Both handlers answer with `ok` and nothing after it.
        if text.ends_with(b"\r\n\r\nok") {
            return;
        }
    }
}

/// A handler that parses each call, counts it and keeps nothing.
async fn bare(calls: &[Vec<u8>], connections: usize) -> Measured {
    let counted = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&counted);
    let app = axum::Router::new().route(
        "/callback/{route}/receipt",
        axum::routing::post(move |body: axum::body::Bytes| {
            let parsed: serde_json::Value = serde_json::from_slice(&body).expect("JSON");
            let receipts = parsed["receipts"].as_array().map_or(0, Vec::len);
            count.fetch_add(receipts as u64, Ordering::Relaxed);
            async { "ok" }
        }),
    );
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("an address");
    listener.set_nonblocking(true).expect("nonblocking");
    let address = listener.local_addr().expect("an address");
    let server = axum_server::from_tcp(listener).expect("a server").serve(app.into_make_service());
    let server = tokio::spawn(server);
    let measured = blast(address, calls, connections).await;
    server.abort();
    assert_eq!(counted.load(Ordering::Relaxed), calls.len() as u64);
    measured
}

/// Everything to a daemon that sends nothing meanwhile.
async fn flood(bench: &Bench, receipts: usize, connections: usize) -> Measured {
    let calls = bench.calls(0, receipts);
    let daemon = Daemon::start(&bench.config, Arc::clone(&bench.clock)).await.expect("a daemon");
    let measured = blast(daemon.address(), &calls, connections).await;
    let seen = status(&bench.store, &bench.run).await.expect("a status");
    let repeated = if receipts > 100 { (receipts - 100) * REPEATED / 100 } else { 0 };
    let wanted = receipts - receipts * EARLY / 100 - repeated;
    let delivered = usize::try_from(seen.delivered).expect("a count");
    assert!(delivered.abs_diff(wanted) <= 100, "{delivered} delivered, {wanted} expected");
    daemon.stop().await;
    measured
}

/// Calls at a fixed pace while texts go out; each is timed from the moment it was due. Answers texts a second too.
async fn sending(bench: &Bench, receipts: usize) -> (f64, Vec<Duration>) {
    let second = launched(&bench.store, "second", bench.clock.now()).await;
    let calls = bench.calls(receipts, receipts + PACE * PACED_SECONDS);
    let daemon = Daemon::start(&bench.config, Arc::clone(&bench.clock)).await.expect("a daemon");
    let sockets: Vec<_> = futures_util::future::join_all((0..64).map(|_| connect(daemon.address()))).await;
    let (calls, next, started) = (Arc::new(calls), Arc::new(AtomicUsize::new(0)), Instant::now());
    let callers: Vec<_> = sockets
        .into_iter()
        .map(|mut socket| {
            let (calls, next) = (Arc::clone(&calls), Arc::clone(&next));
            tokio::spawn(async move {
                let mut took = Vec::new();
                loop {
                    let n = next.fetch_add(1, Ordering::Relaxed);
                    let Some(call) = calls.get(n) else { return took };
                    let due = started + Duration::from_micros(1_000_000 * n as u64 / PACE as u64);
                    tokio::time::sleep_until(due.into()).await;
                    exchange(&mut socket, call).await;
                    took.push(due.elapsed());
                }
            })
        })
        .collect();
    let mut took = Vec::new();
    for caller in callers {
        took.extend(caller.await.expect("a caller"));
    }
    let lasted = started.elapsed();
    let seen = status(&bench.store, &second).await.expect("a status");
    assert!(seen.waiting > 0, "texts ran out before the calls did");
    daemon.stop().await;
    (rate(usize::try_from(seen.accepted).expect("a count"), lasted), took)
}

fn percentiles(mut took: Vec<Duration>) -> String {
    took.sort_unstable();
    let at = |share: usize| took[(took.len() * share / 1_000).min(took.len() - 1)].as_secs_f64() * 1_000.0;
    format!("p50 {:.1} ms, p95 {:.1} ms, p99 {:.1} ms, most {:.1} ms", at(500), at(950), at(990), at(1_000))
}

fn provider_id(n: usize) -> String {
    format!("SM{n:032x}")
}

fn phone(n: usize) -> Phone {
    Phone::from_digits(12_122_000_000 + n as u64).expect("a number")
}

async fn fill(store: &Store, people: usize, now: Timestamp) {
    let everybody: Vec<usize> = (0..people).collect();
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
    }
}

/// Plans and launches a run over everybody.
async fn launched(store: &Store, campaign: &str, now: Timestamp) -> Run {
    let text = "segment = \"true\"\nroutes = [\"bench\"]\nschedule = { at = \"now\" }\n[text]\n\
                en = \"{{ first_name }}, we miss you. STOP to opt out\"\n";
    let file = format!("campaigns/{campaign}.toml");
    let terms = Terms {
        definition: Definition::parse(&file, text, "UTC").unwrap_or_else(|errors| panic!("{errors}")),
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
        pool: None,
        as_of: None,
        launched_at: now,
    };
    let rules = Rules::load();
    let plan = plan(store, &terms, &rules, now, |_, _| {}).await.expect("a plan");
    launch(store, &terms, &rules, &plan, now, |_, _| {}).await.expect("a launch").run
}

/// Submits every text in the store without a provider; answers our references in the order of the provider's ids.
async fn accept(store: &Store, people: usize, now: Timestamp) -> Vec<String> {
    let mut references = Vec::with_capacity(people);
    while references.len() < people {
        let mut batch = store.batch().await.expect("a batch");
        let request = ClaimRequest {
            route: "bench".to_owned(),
            owner: "bench".to_owned(),
            lease_until: now.plus(Duration::from_mins(5)),
            limit: 1_000,
            full: winback::model::message::Full::default(),
        };
        let claimed = batch.claim(&request, now).await.expect("claimed");
        let intents: Vec<Intent> = claimed
            .iter()
            .map(|one| Intent {
                message: one.id,
                epoch: one.epoch,
                number: 1,
                reference: reference::compose(store.tag(), one.id, 1),
            })
            .collect();
        let granted = batch.intend("bench", "bench", &intents, now).await.expect("granted");
        assert_eq!(granted.granted.len(), claimed.len(), "{:?}", granted.refused.first());
        let settle = |(n, intent): (usize, &Intent)| Settlement {
            message: intent.message,
            number: 1,
            epoch: intent.epoch,
            outcome: Outcome {
                provider_id: Some(provider_id(references.len() + n)),
                ..Outcome::of(OutcomeClass::Accepted)
            },
            to: Dispatch::Accepted,
            not_before: now,
            counts: true,
            coupon: CouponEffect::Send,
            refund: false,
        };
        let settled: Vec<Settlement> = intents.iter().enumerate().map(settle).collect();
        batch.settle("bench", &settled, now).await.expect("settled");
        batch.commit().await.expect("durable");
        references.extend(intents.into_iter().map(|intent| intent.reference));
    }
    references
}

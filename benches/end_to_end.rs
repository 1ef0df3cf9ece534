//! The whole dispatcher against the simulator in another process, beside a bare reqwest loop of the same requests.
//!
//! Both pay for the same receipts: the loop counts them in a bare handler, the dispatcher makes each durable. Quote the
//! ratio of one run, not the rates: a shared machine drifts. `cargo bench --bench end_to_end -- [MESSAGES] [RUNS]`

#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use winback::campaign::definition::Definition;
use winback::campaign::law::Rules;
use winback::config::Config;
use winback::daemon::Daemon;
use winback::dispatch::launch::launch;
use winback::dispatch::plan::plan;
use winback::dispatch::terms::{PoolTerms, RouteTerms, Terms};
use winback::model::clock::{Clock, ShiftedClock, Timestamp};
use winback::model::contact::{Consent, ContactRecord};
use winback::model::money::Micros;
use winback::model::phone::Phone;
use winback::report::status::status;
use winback::store::Store;
use winback::store::coupons::NewCode;
use winback::telemetry::metrics::RouteWord;

const NOON: &str = "2018-01-02T19:00:00Z";
const IN_FLIGHT: usize = 64;

fn main() {
    rustls::crypto::ring::default_provider().install_default().expect("nobody was faster");
    let numbers: Vec<u64> = std::env::args().skip(1).filter_map(|word| word.parse().ok()).collect();
    let messages = numbers.first().copied().unwrap_or(30_000);
    let runs = numbers.get(1).copied().unwrap_or(5);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    let mut ratios = Vec::new();
    for run in 1..=runs {
        let bare = runtime.block_on(bare_loop(messages));
        let (plan_rate, ours) = runtime.block_on(dispatcher(messages));
        ratios.push(ours.per_second / bare.per_second);
        println!(
            "run {run}: bare reqwest {bare}, winback {ours} durable with receipts, ratio {:.2}; \
             planned and stored {plan_rate:.0}/s",
            ours.per_second / bare.per_second
        );
    }
    ratios.sort_by(f64::total_cmp);
    println!("median ratio {:.2} of {messages} messages in {runs} runs", ratios[ratios.len() / 2]);
}

/// How fast one side went, and what it cost: on a shared machine the processor time says more than the clock.
struct Pace {
    per_second: f64,
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
struct Stopwatch {
    started: Instant,
    ours: Duration,
    provider: Duration,
}

impl Stopwatch {
    fn start(provider: &Provider) -> Self {
        Self {
            started: Instant::now(),
            ours: processor_time("self"),
            provider: processor_time(&provider.child.id().to_string()),
        }
    }

    fn stop(&self, provider: &Provider, messages: u64) -> Pace {
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
fn processor_time(process: &str) -> Duration {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    let after_name = stat.rsplit(')').next().unwrap_or_default();
    let ticks: u64 =
        after_name.split_whitespace().skip(11).take(2).filter_map(|n| n.parse::<u64>().ok()).sum();
    Duration::from_millis(ticks * 10)
}

struct Provider {
    child: Child,
    address: SocketAddr,
    folder: tempfile::TempDir,
}

impl Provider {
    fn start(clock: &dyn Clock) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let mut child = Command::new(env!("CARGO_BIN_EXE_winback"))
            .args(["simulator", "--listen", "127.0.0.1:0", "--ledger"])
            .arg(folder.path().join("ledger.jsonl"))
            .args(["--clock", &clock.now().rfc3339(), "--receipt-ms", "20", "40"])
            .args(["--end", "undelivered=0", "--end", "expired=0", "--end", "rejected=0", "--end", "never=0"])
            .args(["--reply", "STOP=0"])
            .stdout(Stdio::piped())
            .spawn()
            .expect("the simulator starts");
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("piped")).read_line(&mut line).expect("a line");
        let address = line.trim().rsplit(' ').next().and_then(|word| word.parse().ok()).expect("an address");
        Self { child, address, folder }
    }
}

impl Drop for Provider {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn clock() -> Arc<dyn Clock> {
    Arc::new(ShiftedClock::starting_at(Timestamp::parse(NOON).expect("a time")))
}

fn rate(messages: u64, took: Duration) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "a rate")]
    let messages = messages as f64;
    messages / took.as_secs_f64()
}

/// The same requests from tasks that do nothing else, and a handler that only counts receipts.
async fn bare_loop(messages: u64) -> Pace {
    let provider = Provider::start(&*clock());
    let counted = Arc::new(AtomicU64::new(0));
    let receipts = Arc::clone(&counted);
    let app = axum::Router::new().route(
        "/callback/{route}/receipt",
        axum::routing::post(move |_body: axum::body::Bytes| {
            receipts.fetch_add(1, Ordering::Relaxed);
            async { "ok" }
        }),
    );
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("an address");
    listener.set_nonblocking(true).expect("nonblocking");
    let sink = listener.local_addr().expect("an address");
    let server = axum_server::from_tcp(listener).expect("a server").serve(app.into_make_service());
    let server = tokio::spawn(server);
    #[expect(clippy::disallowed_methods, reason = "the reference is reqwest as it comes")]
    let client = reqwest::Client::builder().pool_max_idle_per_host(IN_FLIGHT).build().expect("a client");
    let (url, next) = (format!("http://{}/v1/messages", provider.address), Arc::new(AtomicU64::new(0)));
    let watch = Stopwatch::start(&provider);
    let mut tasks = Vec::new();
    for _ in 0..IN_FLIGHT {
        let (client, url, next) = (client.clone(), url.clone(), Arc::clone(&next));
        tasks.push(tokio::spawn(async move {
            loop {
                let n = next.fetch_add(1, Ordering::Relaxed);
                if n >= messages {
                    return;
                }
                let body = serde_json::json!({
                    "to": phone(n).e164(), "from": "+15005550006", "reference": format!("bare-{n}-1"),
                    "text": format!("Name{n}, $5 off with CODE{n:06} until Jan 9. STOP to opt out"),
                    "callback_url": format!("http://{sink}/callback/bench/receipt"),
                });
                let request =
                    client.post(&url).bearer_auth("simulator").header("content-type", "application/json");
                let answer = request.body(body.to_string()).send().await.expect("an answer");
                let body = answer.bytes().await.expect("a body");
                let _: serde_json::Value = serde_json::from_slice(&body).expect("JSON");
            }
        }));
    }
    for task in tasks {
        task.await.expect("a task");
    }
    while counted.load(Ordering::Relaxed) < messages {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let pace = watch.stop(&provider, messages);
    server.abort();
    pace
}

/// From the launch to the last receipt, everything durable; and the rate at which the run was planned and stored.
async fn dispatcher(messages: u64) -> (f64, Pace) {
    let clock = clock();
    let provider = Provider::start(&*clock);
    let folder = provider.folder.path();
    std::fs::write(folder.join("key"), "simulator").expect("written");
    std::fs::write(folder.join("signing"), "simulator-signing").expect("written");
    let listen = std::net::TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("an address");
    let url = format!("sqlite:{}", folder.join("bench.db").display());
    let text = format!(
        "[store]\nurl = \"{url}\"\n[daemon]\nlisten = \"{listen}\"\npublic_url = \"http://{listen}\"\n\
         [routes.bench]\nprovider = \"simulator\"\nsenders = [\"+15005550006\"]\ncountries = [\"US\"]\n\
         limits = {{ parts_per_second = 100000, burst = 10000, in_flight = {IN_FLIGHT} }}\nprice = {{ US = 0.01 }}\n\
         settings.base_url = \"http://{}\"\nsecrets.api_key = {{ file = \"key\" }}\n\
         secrets.signing_key = {{ file = \"signing\" }}\n[log]\nlevel = \"error\"\n",
        provider.address
    );
    let config =
        Config::parse(&folder.join("winback.toml").to_string_lossy(), &text).expect("a configuration");
    let store = Store::create(&url, "bnch").await.expect("a store");
    fill(&store, messages, clock.now()).await;
    let terms = terms(&store, clock.now()).await;
    let rules = Rules::load();
    let daemon = Daemon::start(&config, Arc::clone(&clock)).await.expect("a daemon");
    let plan = plan(&store, &terms, &rules, clock.now(), |_, _| {}).await.expect("a plan");
    let planning = Instant::now();
    let run = launch(&store, &terms, &rules, &plan, clock.now(), |_, _| {}).await.expect("a launch").run;
    let plan_rate = rate(messages, planning.elapsed());
    let watch = Stopwatch::start(&provider);
    let delivered = RouteWord { route: "bench".to_owned(), kind: "delivered" };
    // Metrics, not the store: whoever watches must not be what is measured.
    while daemon.metrics().receipts.get_or_create(&delivered).get() < messages {
        assert!(watch.started.elapsed() < Duration::from_mins(2), "stuck: {:#?}", status(&store, &run).await);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let pace = watch.stop(&provider, messages);
    daemon.stop().await;
    let seen = status(&store, &run).await.expect("a status");
    assert_eq!(seen.delivered.unsigned_abs(), messages, "every message was delivered once: {seen:#?}");
    (plan_rate, pace)
}

async fn terms(store: &Store, now: Timestamp) -> Terms {
    let text = "segment = \"true\"\nroutes = [\"bench\"]\nschedule = { at = \"now\" }\n[coupon]\npool = \"autumn\"\n\
                expires_in = \"7 days\"\n[text]\nen = \"{{ first_name }}, {{ coupon.value }} off with {{ coupon.code }} \
                until {{ coupon.expires }}. STOP to opt out\"\n";
    let pool = store.pool("autumn").await.expect("read").expect("a pool");
    Terms {
        definition: Definition::parse("campaigns/bench.toml", text, "UTC").expect("a definition"),
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

fn phone(n: u64) -> Phone {
    Phone::from_digits(12_122_000_000 + n).expect("a number")
}

async fn fill(store: &Store, people: u64, now: Timestamp) {
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

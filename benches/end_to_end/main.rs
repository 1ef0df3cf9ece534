//! The whole dispatcher against the simulator in another process, beside a bare reqwest loop of the same requests.
//!
//! Both pay for the same receipts: the loop counts them in a bare handler, the dispatcher makes each durable. Quote the
//! ratio of one run, not the rates: a shared machine drifts.
//!
//! `cargo bench --bench end_to_end -- [messages=30000] [runs=5] [delay=0] [in-flight=64] [store=postgres://...]`; with
//! `bare=no` the loop is left out, for whoever compares with something else (`benches/beside-kannel`); with
//! `scale=1000000` it plans and launches that many instead, and says what time and memory it took (`stretch=500000`: also
//! for so many texts sent after each of two starts, by daemons in processes of their own: itself with `daemon=` and
//! `clock=`); with `limit=100` it sends at that limit for a minute (`parts=4`: texts of so many parts), with `lanes=200` it
//! starts that many lanes without work.

#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]

mod bare;
mod limits;
mod scale;
mod world;

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use winback::campaign::law::Rules;
use winback::daemon::Daemon;
use winback::dispatch::launch::launch;
use winback::dispatch::plan::plan;
use winback::report::status::status;
use winback::store::Store;
use winback::telemetry::metrics::RouteWord;

use world::{FREE, Pace, Provider, Stopwatch, clock, clock_from, fill, rate, terms};

fn main() {
    rustls::crypto::ring::default_provider().install_default().expect("nobody was faster");
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    if let Some(config) = word("daemon") {
        let clock = word("clock").map(|now| clock_from(&now)).expect("clock=");
        return runtime.block_on(scale::daemon(Path::new(&config), clock));
    }
    let many = number("scale").unwrap_or(0);
    if many > 0 {
        return runtime.block_on(scale::run(many, number("stretch").unwrap_or(scale::STRETCH)));
    }
    if let Some(rate) = number("limit").and_then(|rate| u32::try_from(rate).ok()) {
        let parts = number("parts").and_then(|parts| u32::try_from(parts).ok()).unwrap_or(1).max(1);
        return runtime.block_on(limits::keep(rate, parts));
    }
    if let Some(lanes) = number("lanes") {
        return runtime.block_on(limits::idle(lanes));
    }
    let messages = number("messages").unwrap_or(30_000);
    let runs = number("runs").unwrap_or(5).max(1);
    let delay = Duration::from_millis(number("delay").unwrap_or(0));
    let in_flight = number("in-flight").and_then(|n| usize::try_from(n).ok()).unwrap_or(64);
    let alone = word("bare").is_some_and(|bare| bare == "no");
    let mut ratios = Vec::new();
    for run in 1..=runs {
        if alone {
            let (plan_rate, ours) = runtime.block_on(dispatcher(messages, in_flight, delay));
            println!("run {run}: winback {ours} durable with receipts; planned and stored {plan_rate:.0}/s");
            continue;
        }
        let bare = runtime.block_on(bare::run(messages, in_flight, delay));
        let (plan_rate, ours) = runtime.block_on(dispatcher(messages, in_flight, delay));
        ratios.push(ours.per_second / bare.per_second);
        println!(
            "run {run}: bare reqwest {bare}, winback {ours} durable with receipts, ratio {:.2}; \
             planned and stored {plan_rate:.0}/s",
            ours.per_second / bare.per_second
        );
    }
    ratios.sort_by(f64::total_cmp);
    if let Some(median) = ratios.get(ratios.len() / 2) {
        println!("median ratio {median:.2} of {messages} messages in {runs} runs");
    }
}

/// The value of a word like `runs=5` of the command line.
fn word(name: &str) -> Option<String> {
    std::env::args().skip(1).find_map(|arg| Some(arg.strip_prefix(name)?.strip_prefix('=')?.to_owned()))
}

fn number(name: &str) -> Option<u64> {
    word(name).map(|text| text.parse().unwrap_or_else(|_| panic!("{name}={text} is not a number")))
}

/// From the launch to the last receipt, everything durable; and the rate at which the run was planned and stored.
async fn dispatcher(messages: u64, in_flight: usize, delay: Duration) -> (f64, Pace) {
    let clock = clock();
    let provider = Provider::start(&*clock, delay);
    let file = format!("sqlite:{}", provider.folder.path().join("bench.db").display());
    let url = word("store").unwrap_or(file);
    let config = provider.config(&url, in_flight, FREE);
    let store = Store::create(&url, "bnch").await.expect("a store");
    fill(&store, messages, clock.now()).await;
    let terms = terms(&store, clock.now(), "").await;
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

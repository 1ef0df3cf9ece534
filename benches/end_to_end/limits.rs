//! Whether a limit is kept as the provider sees it, and what lanes cost that have nothing to do.

use std::time::{Duration, Instant};

use winback::campaign::law::Rules;
use winback::config::Config;
use winback::daemon::Daemon;
use winback::dispatch::launch::launch;
use winback::dispatch::plan::plan;
use winback::simulator::ledger;
use winback::store::Store;

use super::world::{Provider, clock, fill, processor_time, terms};

/// How long a limit is watched.
const WATCHED: Duration = Duration::from_mins(1);

/// Septets of one part of a text that has several.
const PART: usize = 153;

/// Sends texts of `parts` parts at a limit of `rate` parts a second with a burst of one text for a minute, and reads the
/// provider's ledger.
pub(crate) async fn keep(rate: u32, parts: u32) {
    let clock = clock();
    let provider = Provider::start(&*clock, Duration::ZERO);
    let url = format!("sqlite:{}", provider.folder.path().join("bench.db").display());
    let text = format!("parts_per_second = {rate}, burst = {parts}");
    let config = provider.config(&url, 64, &text);
    let store = Store::create(&url, "bnch").await.expect("a store");
    fill(&store, u64::from(rate.div_ceil(parts)) * (WATCHED.as_secs() + 10), clock.now()).await;
    // Name, offer and code are about half a part.
    let terms = terms(&store, clock.now(), &"more ".repeat(PART * (parts as usize - 1) / 5)).await;
    let rules = Rules::load();
    let plan = plan(&store, &terms, &rules, clock.now(), |_, _| {}).await.expect("a plan");
    launch(&store, &terms, &rules, &plan, clock.now(), |_, _| {}).await.expect("a launch");
    store.close().await;
    let daemon = Daemon::start(&config, std::sync::Arc::clone(&clock)).await.expect("a daemon");
    tokio::time::sleep(WATCHED + Duration::from_secs(3)).await;
    daemon.stop().await;

    let taken = ledger::read(&provider.folder.path().join("ledger.jsonl")).expect("a ledger");
    let mut texts: Vec<(i64, u32)> =
        taken.map(|entry| entry.map(|entry| (entry.at.0, entry.parts)).expect("a line")).collect();
    texts.sort_unstable();
    assert!(texts.iter().all(|text| text.1 == parts), "every text has {parts} parts");
    let within = |from: i64, span: Duration| {
        let end = from + i64::try_from(span.as_millis()).unwrap_or(i64::MAX);
        let before = |at: i64| texts.partition_point(|text| text.0 < at);
        (before(end) - before(from)) as u64 * u64::from(parts)
    };
    let total = within(texts.first().expect("a text").0, WATCHED);
    let most = texts.iter().map(|text| within(text.0, Duration::from_secs(1))).max().unwrap_or(0);
    let wanted = u64::from(rate) * WATCHED.as_secs();
    println!(
        "{rate} parts a second, burst {parts}: {total} of {wanted} in a minute ({:+.2} %), at most {most} in any second",
        (super::world::rate(total, WATCHED) / f64::from(rate) - 1.0) * 100.0
    );
}

/// Starts `lanes` lanes without work and says what they cost.
pub(crate) async fn idle(lanes: u64) {
    let clock = clock();
    let provider = Provider::start(&*clock, Duration::ZERO);
    let url = format!("sqlite:{}", provider.folder.path().join("bench.db").display());
    Store::create(&url, "bnch").await.expect("a store").close().await;
    let mut config: Config = provider.config(&url, 64, "parts_per_second = 10");
    let route = config.routes["bench"].clone();
    config.routes.extend((1..lanes).map(|n| (format!("bench{n}"), route.clone())));
    let daemon = Daemon::start(&config, std::sync::Arc::clone(&clock)).await.expect("a daemon");
    tokio::time::sleep(Duration::from_secs(2)).await;
    let (before, since) = (processor_time("self"), Instant::now());
    tokio::time::sleep(Duration::from_secs(20)).await;
    let spent = processor_time("self").saturating_sub(before);
    println!(
        "{lanes} lanes without work: {:.2} % of a core",
        spent.as_secs_f64() / since.elapsed().as_secs_f64() * 100.0
    );
    daemon.stop().await;
}

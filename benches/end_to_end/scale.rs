//! One large campaign: planned, launched, sending, stopped in its middle and started again, with the memory it took.

use std::path::Path;
use std::time::{Duration, Instant};

use winback::campaign::law::Rules;
use winback::daemon::Daemon;
use winback::dispatch::launch::launch;
use winback::dispatch::plan::plan;
use winback::store::Store;

use super::world::{FREE, Provider, clock, config, fill, processor_time, rate, terms};

/// Submissions between two looks at what a message costs.
const STRETCH: u64 = 20_000;

/// Longest wait for the next submission.
const PATIENCE: Duration = Duration::from_mins(2);

/// Plans `people`, launches, sends some, starts again, sends some more.
pub(crate) async fn run(people: u64) {
    let clock = clock();
    let provider = Provider::start(&*clock, Duration::ZERO);
    let file = provider.folder.path().join("bench.db");
    let config = config(&provider, &format!("sqlite:{}", file.display()), 64, FREE);
    let store = Store::create(&format!("sqlite:{}", file.display()), "bnch").await.expect("a store");
    let filling = Instant::now();
    fill(&store, people, clock.now()).await;
    println!("{people} customers and codes stored in {:.1} s", filling.elapsed().as_secs_f64());

    let terms = terms(&store, clock.now(), "").await;
    let rules = Rules::load();
    forget_peak();
    let planning = Instant::now();
    let plan = plan(&store, &terms, &rules, clock.now(), |_, _| {}).await.expect("a plan");
    println!("dry run in {:.1} s", planning.elapsed().as_secs_f64());
    let launching = Instant::now();
    launch(&store, &terms, &rules, &plan, clock.now(), |_, _| {}).await.expect("a launch");
    let took = launching.elapsed();
    println!(
        "planned and stored in {:.1} s ({:.0}/s), peak {} MiB; store {} MiB",
        took.as_secs_f64(),
        rate(people, took),
        peak(),
        std::fs::metadata(&file).map_or(0, |file| file.len() >> 20),
    );
    store.close().await;

    for start in ["first start", "second start"] {
        forget_peak();
        let ledger = provider.folder.path().join("ledger.jsonl");
        let before = lines(&ledger);
        let starting = Instant::now();
        let daemon = Daemon::start(&config, std::sync::Arc::clone(&clock)).await.expect("a daemon");
        until(&ledger, before + 1).await;
        println!("{start}: first submission after {:.2} s", starting.elapsed().as_secs_f64());
        let (from, cost, began) = (lines(&ledger), processor_time("self"), Instant::now());
        let goal = (from + STRETCH).min(people);
        until(&ledger, goal).await;
        let sent = (goal - from).max(1);
        let cost = processor_time("self").saturating_sub(cost);
        println!(
            "{start}: {:.0}/s, {:.0} us of a core a message, peak {} MiB",
            rate(sent, began.elapsed()),
            1e6 / rate(sent, cost),
            peak(),
        );
        daemon.stop().await;
    }
}

/// Waits until the provider has taken so many.
async fn until(ledger: &Path, count: u64) {
    let waiting = Instant::now();
    while lines(ledger) < count {
        assert!(waiting.elapsed() < PATIENCE, "stuck at {} of {count}", lines(ledger));
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Lines of the ledger, told from its size: all of them are about as long as the first.
fn lines(ledger: &Path) -> u64 {
    use std::io::{BufRead as _, BufReader};
    let Ok(file) = std::fs::File::open(ledger) else { return 0 };
    let size = file.metadata().map_or(0, |file| file.len());
    let mut first = String::new();
    let read = BufReader::new(file).read_line(&mut first).unwrap_or(0);
    size.checked_div(read as u64).unwrap_or(0)
}

/// The largest resident size since the last [`forget_peak`], in MiB.
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok()).unwrap_or(0) >> 10
}

fn forget_peak() {
    // Where the kernel does not allow it, the peak of everything before is told.
    let _ = std::fs::write("/proc/self/clear_refs", "5");
}

//! One large campaign: planned, launched, sending, stopped in its middle and started again, with the memory it took.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use winback::campaign::law::Rules;
use winback::daemon::Daemon;
use winback::dispatch::launch::launch;
use winback::dispatch::plan::plan;
use winback::model::clock::Clock;
use winback::store::Store;

use super::world::{FREE, Provider, clock, fill, processor_time, rate, read_config, terms};

/// Submissions between two looks at what a message costs, unless more are asked for.
pub(crate) const STRETCH: u64 = 20_000;

/// Longest wait for the next submission.
const PATIENCE: Duration = Duration::from_mins(2);

/// Plans `people`, launches, sends a stretch of them, starts again, sends another.
pub(crate) async fn run(people: u64, stretch: u64) {
    let clock = clock();
    let provider = Provider::start(&*clock, Duration::ZERO);
    let file = provider.folder.path().join("bench.db");
    let url = format!("sqlite:{}", file.display());
    provider.config(&url, 64, FREE);
    let store = Store::create(&url, "bnch").await.expect("a store");
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
        peak("self"),
        std::fs::metadata(&file).map_or(0, |file| file.len() >> 20),
    );
    store.close().await;

    for start in ["first start", "second start"] {
        let ledger = provider.folder.path().join("ledger.jsonl");
        let before = lines(&ledger);
        let starting = Instant::now();
        let daemon = Alone::start(&provider.config_file(), &clock.now().rfc3339());
        until(&ledger, before + 1).await;
        println!("{start}: first submission after {:.2} s", starting.elapsed().as_secs_f64());
        let (from, cost, began) = (lines(&ledger), processor_time(&daemon.id()), Instant::now());
        let goal = (from + stretch).min(people);
        until(&ledger, goal).await;
        let sent = (goal - from).max(1);
        let cost = processor_time(&daemon.id()).saturating_sub(cost);
        println!(
            "{start}: {:.0}/s, {:.0} us of a core a message, peak {} MiB",
            rate(sent, began.elapsed()),
            1e6 / rate(sent, cost),
            peak(&daemon.id()),
        );
        daemon.stop();
    }
}

/// A daemon in a process of its own, as an operator has it: what it holds is what it needs.
struct Alone(Child);

impl Alone {
    fn start(config: &Path, now: &str) -> Self {
        let words = [format!("daemon={}", config.display()), format!("clock={now}")];
        let mut command = Command::new(std::env::current_exe().expect("a program"));
        Self(command.args(words).stdin(Stdio::piped()).spawn().expect("it starts"))
    }

    fn id(&self) -> String {
        self.0.id().to_string()
    }

    /// It ends in order when its input does.
    fn stop(mut self) {
        drop(self.0.stdin.take());
        assert!(self.0.wait().expect("it ends").success(), "the daemon stops in order");
    }
}

impl Drop for Alone {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What the other process does: a daemon until its input ends.
pub(crate) async fn daemon(config: &Path, clock: Arc<dyn Clock>) {
    let config = read_config(config);
    let daemon = Daemon::start(&config, clock).await.expect("a daemon");
    let ended = tokio::task::spawn_blocking(|| std::io::copy(&mut std::io::stdin(), &mut std::io::sink()));
    ended.await.expect("it runs").expect("input");
    daemon.stop().await;
}

/// Waits until the provider has taken so many.
async fn until(ledger: &Path, count: u64) {
    let (mut seen, mut waiting) = (lines(ledger), Instant::now());
    while seen < count {
        let now = lines(ledger);
        if now > seen {
            (seen, waiting) = (now, Instant::now());
        }
        assert!(waiting.elapsed() < PATIENCE, "stuck at {seen} of {count}");
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
fn peak(process: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok()).unwrap_or(0) >> 10
}

fn forget_peak() {
    // Where the kernel does not allow it, the peak of everything before is told.
    let _ = std::fs::write("/proc/self/clear_refs", "5");
}

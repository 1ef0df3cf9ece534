//! Everything at once for as long as one likes: texts as fast as the machine takes them, and a fault every few seconds.
//! `scripts/soak MINUTES` runs it and prints what came of it.

use std::collections::BTreeMap;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use super::life::{Life, strace};
use super::points::POINTS;
use super::stand::{Audited, Stand};
use super::{named, seed};
use crate::support::sql::Sql;

const PEOPLE: u64 = 20_000;

/// A campaign is launched when fewer texts than this wait.
const BACKLOG: i64 = 15_000;

/// What befalls a daemon, and how often in comparison.
const FAULTS: [(Fault, u32); 8] = [
    (Fault::Kill, 12),
    (Fault::EndAtPoint, 10),
    (Fault::KillInSync, 3),
    (Fault::SyncFails, 1),
    (Fault::Stop, 2),
    (Fault::Suspended, 1),
    (Fault::Locked, 1),
    (Fault::NoRoom, 1),
];

#[derive(Clone, Copy, PartialEq)]
enum Fault {
    Kill,
    EndAtPoint,
    KillInSync,
    SyncFails,
    Stop,
    Suspended,
    Locked,
    NoRoom,
}

struct Soak {
    stand: Stand,
    rng: StdRng,
    fired: BTreeMap<String, u64>,
    /// Ends of a process that nobody had announced to it.
    kills: u64,
    campaigns: u64,
    launching: Option<Child>,
    strace: Option<[&'static str; 7]>,
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes as long as it is told to; scripts/soak runs it"]
async fn soak() {
    let (minutes, seed) = (named("minutes").unwrap_or(1), seed("soak"));
    // Each throttle halves a lane, and a second gives back a twentieth: one in 2,500 leaves it about 1,000 a second.
    let provider = ["--latency-ms", "2", "10", "--reply", "STOP=0.0005", "--fail", "throttled=0.0004"];
    let unwell =
        ["--fail", "unavailable=0.001", "--fail", "reset=0.0003", "--fail", "failed-accepted=0.0003"];
    let mut stand = Stand::new(None, PEOPLE, &[&provider[..], &unwell].concat()).await;
    (stand.patience, stand.in_flight) = (Duration::from_mins(15), 64);
    stand.config(5_000, "");
    let rng = StdRng::seed_from_u64(seed);
    let (fired, strace) = (BTreeMap::new(), strace());
    let mut soak = Soak { stand, rng, fired, kills: 0, campaigns: 0, launching: None, strace };
    let (commit, started) = (commit(), Instant::now());
    while started.elapsed() < Duration::from_mins(minutes) {
        soak.supply().await;
        soak.life().await;
    }
    let Soak { stand, fired, kills, launching, .. } = soak;
    if let Some(mut launching) = launching {
        launching.wait().expect("a child");
    }
    stand.relaunch();
    let logs = stand.logs();
    let doubt = 2 * stand.in_flight * kills.cast_signed() + 10_000;
    let audited = stand.finish(doubt).await;
    let told = [("minutes", minutes), ("seed", seed), ("kills", kills)];
    report(&commit, &told, &fired, &audited, &logs);
    let missing: Vec<&str> =
        FAULTS.iter().map(|(fault, _)| name(*fault)).filter(|name| !fired.contains_key(*name)).collect();
    assert!(missing.is_empty() || minutes < 5, "never came about: {missing:?}");
}

impl Soak {
    /// Sees that there is something to send: a launch runs beside the daemon, and now and then ends in the middle.
    async fn supply(&mut self) {
        if let Some(launching) = &mut self.launching {
            let Some(ended) = launching.try_wait().expect("a child") else { return };
            self.launching = None;
            if ended.signal() == Some(6) {
                self.fire("a launch ends in the middle");
                self.launch("");
                return;
            }
            if !ended.success() {
                // A STOP while the texts are written changes the audience: the launch withdraws itself and says so.
                let told = std::fs::read_to_string(self.stand.path("launch.log")).expect("a log");
                assert!(told.contains("aunch again") || told.contains("try again"), "{ended}: {told}");
                self.fire("a launch withdraws itself, and is made again");
                self.launch("");
                return;
            }
        }
        if self.stand.messages("planned queued claimed").await < BACKLOG {
            self.campaigns += 1;
            let name = format!("round-{}", self.campaigns);
            if self.campaigns % 4 == 1 {
                self.stand.good(&["coupon", "generate", "autumn", &PEOPLE.to_string()]);
                let tables = "[coupon]\npool = \"autumn\"\nexpires_in = \"7 days\"\n";
                self.stand.campaign(&name, tables, "{{ coupon.code }}");
            } else {
                self.stand.campaign(&name, "", "See you soon");
            }
            let at = self.rng.random_range(1..12);
            let fault = if self.campaigns.is_multiple_of(3) {
                format!("end=after-chunk:{at}")
            } else {
                String::new()
            };
            self.launch(&fault);
        }
    }

    fn launch(&mut self, faults: &str) {
        let args = ["launch", &format!("round-{}", self.campaigns), "--yes"];
        let log = std::fs::File::create(self.stand.path("launch.log")).expect("a log");
        let mut command: Command = self.stand.command(&[], &args, faults);
        self.launching = Some(command.stdout(Stdio::null()).stderr(log).spawn().expect("it starts"));
    }

    fn fire(&mut self, name: &str) {
        *self.fired.entry(name.to_owned()).or_default() += 1;
    }

    fn draw(&mut self) -> Fault {
        let all: u32 = FAULTS.iter().map(|(_, weight)| weight).sum();
        let mut left = self.rng.random_range(0..all);
        for (fault, weight) in FAULTS {
            if left < weight {
                return fault;
            }
            left -= weight;
        }
        Fault::Kill
    }

    /// One daemon, from its start to its end.
    async fn life(&mut self) {
        let fault = self.draw();
        let pause = Duration::from_millis(self.rng.random_range(100..4_000));
        match (fault, self.strace) {
            (Fault::EndAtPoint, _) => {
                let (point, _) = POINTS[self.rng.random_range(0..POINTS.len())];
                let pass = self.rng.random_range(1..200_u32);
                let life = self.stand.daemon(&format!("end={point}:{pass}"));
                self.ends_or_is_killed(life, fault).await;
            }
            (Fault::KillInSync | Fault::SyncFails, Some(strace)) => {
                let when = self.rng.random_range(1..60_u32);
                let how = if fault == Fault::SyncFails { "error=EIO" } else { "signal=KILL" };
                let inject = format!("inject=fsync,fdatasync:{how}:when={when}");
                let life = self.stand.daemon_under(&[&strace[..], &["-e", &inject]].concat(), "");
                self.ends_or_is_killed(life, fault).await;
            }
            (Fault::NoRoom, _) => {
                let limit = "trap '' XFSZ; ulimit -f 2000; exec \"$0\" \"$@\"";
                let life = self.stand.daemon_under(&["sh", "-c", limit], "");
                tokio::time::sleep(Duration::from_secs(3)).await;
                if life.log().contains("sending stops") {
                    self.fire(name(fault));
                }
                self.kill(life);
            }
            _ => {
                let life = self.stand.daemon("");
                tokio::time::sleep(pause).await;
                self.befall(life, fault).await;
            }
        }
    }

    async fn befall(&mut self, mut life: Life, fault: Fault) {
        let pause = Duration::from_millis(self.rng.random_range(500..3_000));
        match fault {
            Fault::Suspended => {
                life.signal("STOP");
                tokio::time::sleep(pause).await;
                life.signal("CONT");
                self.fire(name(fault));
                tokio::time::sleep(pause).await;
            }
            Fault::Locked => {
                let mut lock = Sql::open(&self.stand.url).await;
                lock.run("PRAGMA busy_timeout = 20000; BEGIN IMMEDIATE").await;
                tokio::time::sleep(pause).await;
                lock.run("ROLLBACK").await;
                self.fire(name(fault));
                tokio::time::sleep(pause).await;
            }
            Fault::Stop => {
                life.signal("TERM");
                let ended = life.wait();
                assert!(ended.success(), "it stops in order: {ended}\n{}", life.log());
                self.fire(name(fault));
                return;
            }
            _ => {}
        }
        self.kill(life);
    }

    fn kill(&mut self, life: Life) {
        life.kill();
        self.kills += 1;
        self.fire(name(Fault::Kill));
    }

    /// A life that was to end by itself; one that does not come to that is killed.
    async fn ends_or_is_killed(&mut self, mut life: Life, fault: Fault) {
        for _ in 0..250 {
            if life.ended().is_some() {
                self.kills += 1;
                self.fire(name(fault));
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        self.kill(life);
    }
}

fn name(fault: Fault) -> &'static str {
    match fault {
        Fault::Kill => "kill -9 at a random instant",
        Fault::EndAtPoint => "end at a named boundary",
        Fault::KillInSync => "kill -9 inside a sync",
        Fault::SyncFails => "a sync fails (EIO)",
        Fault::Stop => "SIGTERM",
        Fault::Suspended => "SIGSTOP for 0.5 to 3 s",
        Fault::Locked => "another process holds the file for 0.5 to 3 s",
        Fault::NoRoom => "the file may not grow (EFBIG)",
    }
}

/// What was built. Asked at the start: who goes on working meanwhile commits what is not in it.
fn commit() -> String {
    let told = Command::new("git").args(["rev-parse", "--short", "HEAD"]).output().expect("git");
    String::from_utf8_lossy(&told.stdout).trim().to_owned()
}

/// The table, as docs/reliability.md keeps it.
fn report(commit: &str, told: &[(&str, u64)], fired: &BTreeMap<String, u64>, audited: &Audited, logs: &str) {
    println!("\n| what | |\n|---|---|\n| commit | {commit} |");
    for (what, number) in told {
        println!("| {what} | {number} |");
    }
    let counts = ["accepted", "not_sent", "unresolved"].map(|term| audited.count(term));
    println!("| messages | {} |", counts.iter().sum::<i64>());
    for term in [
        "accepted",
        "not_sent",
        "lost",
        "duplicated",
        "unexpected",
        "after_stop",
        "outside_window",
        "over_rate",
        "wrong_code",
    ] {
        println!("| {} | {} |", term.replace('_', " "), audited.count(term));
    }
    let after_kills: u64 = logs
        .lines()
        .filter_map(|line| line.split("in_doubt=").nth(1)?.split(' ').next()?.parse::<u64>().ok())
        .sum();
    let counted = |what: &str| audited.stats[what].as_u64().unwrap_or(0);
    let answers = counted("reset") + counted("failed");
    let parked = audited.count("unresolved").unsigned_abs();
    println!(
        "| in doubt after a kill | {after_kills} |\n| in doubt after an answer that proves nothing | {answers} |"
    );
    println!("| … ended by a receipt | {} |", (after_kills + answers).saturating_sub(parked));
    println!("| … parked, nothing proves it (most never left) | {parked} |");
    for (name, times) in fired {
        println!("| {name} | {times} |");
    }
    for what in ["throttled", "unavailable", "failed", "reset", "replies_acked"] {
        println!("| provider: {} | {} |", what.replace('_', " "), counted(what));
    }
}

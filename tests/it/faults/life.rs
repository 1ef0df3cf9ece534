//! Processes that come and go: daemons, and the provider that outlives them.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _};
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::time::Instant;

use serde_json::Value;

use super::stand::{LOOK, PATIENCE, Stand};

/// A daemon while it lives.
pub(super) struct Life {
    child: Child,
    log: PathBuf,
    /// It runs under another program.
    wrapped: bool,
}

impl Life {
    /// The life of a process that leads its group.
    pub(super) fn new(child: Child, log: PathBuf, wrapped: bool) -> Self {
        Self { child, log, wrapped }
    }

    /// The number of its process.
    pub(super) fn id(&self) -> u32 {
        self.child.id()
    }

    /// `kill -9`, and its end.
    pub(super) fn kill(mut self) {
        self.signal("KILL");
        self.wait();
    }

    /// Sends a signal, to whatever runs it as well.
    pub(super) fn signal(&self, name: &str) {
        let to = if self.wrapped { format!("-{}", self.child.id()) } else { self.child.id().to_string() };
        let sent = Command::new("kill").args([&format!("-{name}"), "--", &to]).status().expect("kill runs");
        assert!(sent.success() || name == "KILL", "SIG{name} did not reach {to}");
    }

    /// How it ended, if it did.
    pub(super) fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("a child")
    }

    /// Waits for its end.
    pub(super) fn wait(&mut self) -> ExitStatus {
        let started = Instant::now();
        loop {
            // A tracer may be gone before what it traced, which holds the store until it is.
            if let Some(ended) = self.ended().filter(|_| !self.wrapped || !group_lives(self.child.id())) {
                return ended;
            }
            assert!(started.elapsed() < PATIENCE, "the daemon does not end:\n{}", self.log());
            std::thread::sleep(LOOK);
        }
    }

    /// Waits until it ends at the point at which it was asked to.
    pub(super) fn ends_at(mut self, point: &str) {
        let ended = self.wait();
        let told = format!("ended at {point}, as it was asked to");
        assert!(ended.signal() == Some(6) && self.log().contains(&told), "{point}: {ended}\n{}", self.log());
    }

    /// What it said.
    pub(super) fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }
}

/// Whether a process of a group is at work still; one that has ended and was not waited for is not.
fn group_lives(group: u32) -> bool {
    let members = fs::read_dir("/proc").expect("processes").filter_map(Result::ok);
    let stats = members.filter_map(|member| fs::read_to_string(member.path().join("stat")).ok());
    let mut states = stats.filter_map(|stat| {
        // The name before it may hold anything.
        let mut words = stat.rsplit_once(')')?.1.split_whitespace();
        let (state, _parent, of) = (words.next()?.to_owned(), words.next()?, words.next()?);
        (of == group.to_string()).then_some(state)
    });
    states.any(|state| !matches!(state.as_str(), "Z" | "X"))
}

impl Drop for Life {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            self.signal("KILL");
            let _ = self.child.wait();
        }
    }
}

/// A simulator in a process of its own.
pub(super) struct Provider {
    child: Child,
    out: BufReader<ChildStdout>,
    pub(super) address: String,
}

impl Provider {
    /// Starts one beside a stand, with more words.
    pub(super) fn start(stand: &Stand, more: &[&str]) -> Self {
        let ledger = stand.ledger().to_string_lossy().into_owned();
        let inbound = format!("http://{}/callback/sim/inbound", stand.listen);
        let seed = super::named("seed").unwrap_or(7).to_string();
        let args = ["simulator", "--listen", "127.0.0.1:0", "--until-input-ends", "--ledger", &ledger];
        let ends =
            ["--end", "undelivered=0", "--end", "expired=0", "--end", "rejected=0", "--end", "never=0"];
        let rest = [
            "--seed",
            &seed,
            "--receipt-ms",
            "20",
            "60",
            "--reply-ms",
            "10",
            "30",
            "--drain",
            "10",
            "--inbound-url",
            &inbound,
        ];
        let clock = stand.path("clock-of-the-provider");
        let silent: &[&str] = if more.contains(&"--reply") { &[] } else { &["--reply", "STOP=0"] };
        let mut child = stand
            .command(&[], &[&args[..], &ends, &rest, silent, more].concat(), "")
            .env("WINBACK_FAULTS", format!("clock={}", clock.display()))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .expect("it starts");
        let mut out = BufReader::new(child.stdout.take().expect("it speaks"));
        let mut first = String::new();
        out.read_line(&mut first).expect("a line");
        let address = first.trim().rsplit(' ').next().expect("an address").to_owned();
        Self { child, out, address }
    }

    /// Lets it end once every receipt has been sent; answers its counters.
    pub(super) fn finish(mut self) -> Value {
        drop(self.child.stdin.take());
        let mut said = String::new();
        self.out.read_to_string(&mut said).expect("words");
        serde_json::from_str(&said).unwrap_or_else(|error| panic!("{error}: {said}"))
    }
}

impl Drop for Provider {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The tracer that can end a process or spoil a call inside the kernel, as the words before a command. Says so where this
/// machine has none or does not let one process trace another.
pub(super) fn strace() -> Option<[&'static str; 7]> {
    let words = ["strace", "-f", "-q", "-o", "/dev/null", "-e", "trace=fsync,fdatasync"];
    let tried = Command::new(words[0]).args(&words[1..]).arg("true").output();
    if tried.is_ok_and(|tried| tried.status.success()) {
        return Some(words);
    }
    println!("SKIPPED: strace is missing or may not trace here, so nothing can be spoilt inside a call");
    None
}

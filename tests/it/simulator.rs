//! The real dispatcher against the real simulator in a process of its own, under every script that comes along; and an
//! audit that finds what was tampered with.

mod query;
mod rehearsal;
mod scripts;
mod tampered;

use std::io::{BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Output, Stdio};

use serde_json::Value;

use crate::support::world::World;

/// A simulator in a process of its own.
struct Provider {
    child: Child,
    out: BufReader<ChildStdout>,
    ledger: PathBuf,
}

impl Provider {
    /// Starts one with a script, and lets the route of a world lead to it.
    fn start(world: &mut World, script: &str, seed: u64) -> Self {
        let ledger = world.folder.path().join(format!("ledger-{}.jsonl", script.replace('/', "-")));
        let mut child = Command::new(env!("CARGO_BIN_EXE_winback"))
            .args([
                "simulator",
                "--listen",
                "127.0.0.1:0",
                "--until-input-ends",
                "--script",
                script,
                "--ledger",
            ])
            .arg(&ledger)
            .args(["--seed", &seed.to_string(), "--clock", &world.clock.now().rfc3339()])
            .args(["--receipt-ms", "20", "60", "--end", "undelivered=0", "--end", "expired=0"])
            .args(["--end", "rejected=0", "--end", "never=0", "--drain", "10"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("it starts");
        let mut out = BufReader::new(child.stdout.take().expect("it speaks"));
        let mut first = String::new();
        out.read_line(&mut first).expect("a line");
        let address = first.trim().rsplit(' ').next().expect("an address").to_owned();
        let route = world.config.routes.get_mut("sim").expect("the route");
        route.settings.insert("base_url".to_owned(), format!("http://{address}"));
        Self { child, out, ledger }
    }

    /// Lets it end once every receipt has been sent; answers its counters.
    fn finish(mut self) -> Value {
        drop(self.child.stdin.take());
        let mut said = String::new();
        self.out.read_to_string(&mut said).expect("words");
        serde_json::from_str(&said).expect("counters")
    }
}

impl Drop for Provider {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// `winback simulator audit`, with JSON.
fn audit(folder: &Path, ledger: &Path, store: &str, more: &[&str]) -> (Option<i32>, Value) {
    let ledger = ledger.to_string_lossy();
    let args = [&["simulator", "audit", &*ledger, store, "--json"], more].concat();
    let output = winback(folder, &args);
    let said = String::from_utf8_lossy(&output.stdout);
    let told = String::from_utf8_lossy(&output.stderr);
    let json = serde_json::from_str(&said).unwrap_or_else(|error| panic!("{error}: {said}{told}"));
    (output.status.code(), json)
}

/// A command in a folder.
fn winback(folder: &Path, args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_winback"));
    command.args(args).current_dir(folder).stdin(Stdio::null());
    for variable in ["WINBACK_STORE_URL", "WINBACK_DAEMON_LISTEN"] {
        command.env_remove(variable);
    }
    command.output().expect("it runs")
}

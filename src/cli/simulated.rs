//! The simulator in a process of its own, for the demo and for rehearsals. It ends with whoever started it.

use std::fs::OpenOptions;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};

use anyhow::{Context as _, bail};

use crate::model::clock::Clock;

/// Octets of what it says at its end.
const LONGEST_WORDS: u64 = 1 << 20;

/// A running simulator. Dropping it ends it.
pub(super) struct Simulated {
    child: Child,
    out: BufReader<ChildStdout>,
    /// Where it listens.
    pub(super) address: SocketAddr,
}

impl Simulated {
    /// Starts one on a free port of this machine.
    pub(super) fn start(ledger: &Path, clock: &dyn Clock, args: &[String]) -> anyhow::Result<Self> {
        let mut child = Command::new(std::env::current_exe()?)
            .args(["simulator", "--listen", "127.0.0.1:0", "--until-input-ends", "--ledger"])
            .arg(ledger)
            .args(["--clock", &clock.now().rfc3339()])
            .args(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("the simulator could not be started")?;
        let mut first = String::new();
        let out = child.stdout.take().context("the simulator has no output")?;
        let mut out = BufReader::new(out);
        out.read_line(&mut first)?;
        let address = first.trim().rsplit(' ').next().unwrap_or_default().parse();
        let Ok(address) = address else {
            let _ = child.kill();
            let _ = child.wait();
            bail!("the simulator did not start: {}", first.trim());
        };
        Ok(Self { child, out, address })
    }

    /// Lets it end in order; answers what it says at its end.
    pub(super) fn finish(mut self) -> anyhow::Result<serde_json::Value> {
        drop(self.child.stdin.take());
        let mut said = String::new();
        (&mut self.out).take(LONGEST_WORDS).read_to_string(&mut said)?;
        serde_json::from_str(&said).context("the simulator ended without its counters")
    }
}

impl Drop for Simulated {
    fn drop(&mut self) {
        // It may be gone already; nothing is left to be done then.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Writes the keys of a simulator, for its owner alone.
pub(super) fn write_keys(folder: &Path) -> std::io::Result<()> {
    for (name, key) in [("key", "simulator"), ("signing-key", "simulator-signing")] {
        let mut options = OpenOptions::new();
        options
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(folder.join(name))?
            .write_all(key.as_bytes())?;
    }
    Ok(())
}

/// An address of this machine that nobody has.
pub(super) fn free_address() -> std::io::Result<SocketAddr> {
    std::net::TcpListener::bind(("127.0.0.1", 0))?.local_addr()
}

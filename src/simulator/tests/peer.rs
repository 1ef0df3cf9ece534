//! The other side of the simulator in tests: a client and a callback endpoint on bare sockets, so that nothing of the
//! simulator's own HTTP is used to judge it.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::model::clock::{ManualClock, Timestamp};
use crate::simulator::config::Curve;
use crate::simulator::{Fired, Simulator, SimulatorConfig, StatsSnapshot, Summary, ledger};

/// 2026-10-01 00:00:00 UTC.
pub(super) const NOW: i64 = 1_790_812_800_000;

/// A request as it came over the wire, or an answer.
#[derive(Debug)]
pub(super) struct Http {
    pub(super) first_line: String,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Vec<u8>,
}

impl Http {
    pub(super) fn status(&self) -> u16 {
        self.first_line.split(' ').nth(1).and_then(|word| word.parse().ok()).expect("a status line")
    }

    pub(super) fn header(&self, name: &str) -> &str {
        self.headers.iter().find(|(n, _)| n == name).map_or("", |(_, value)| value)
    }

    pub(super) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).expect("JSON")
    }
}

async fn read_http(reader: &mut BufReader<TcpStream>) -> std::io::Result<Option<Http>> {
    let mut first_line = String::new();
    if reader.read_line(&mut first_line).await? == 0 {
        return Ok(None);
    }
    let mut headers = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).await?;
        let Some((name, value)) = line.trim_end().split_once(": ") else { break };
        headers.push((name.to_ascii_lowercase(), value.to_owned()));
    }
    let length = headers.iter().find(|(name, _)| name == "content-length");
    let mut body = vec![0; length.map_or(0, |(_, value)| value.parse().expect("a length"))];
    reader.read_exact(&mut body).await?;
    Ok(Some(Http { first_line, headers, body }))
}

/// A client on one connection.
pub(super) struct Client(BufReader<TcpStream>);

impl Client {
    pub(super) async fn connect(address: SocketAddr) -> Self {
        Self(BufReader::new(TcpStream::connect(address).await.expect("connects")))
    }

    /// Sends and waits for the answer; `None` when the connection closes instead.
    pub(super) async fn send(&mut self, line: &str, key: &str, body: &[u8]) -> std::io::Result<Option<Http>> {
        let length = body.len();
        let head = format!(
            "{line} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {key}\r\ncontent-length: {length}\r\n\r\n"
        );
        self.0.write_all(&[head.as_bytes(), body].concat()).await?;
        read_http(&mut self.0).await
    }

    pub(super) async fn submit(&mut self, body: &Value) -> Http {
        let answer = self.send("POST /v1/messages", "key", body.to_string().as_bytes()).await;
        answer.expect("no reset").expect("an answer")
    }

    pub(super) async fn get(&mut self, path: &str) -> Http {
        let answer = self.send(&format!("GET {path}"), "key", b"").await;
        answer.expect("no reset").expect("an answer")
    }
}

/// A submission that is right.
pub(super) fn message(reference: &str) -> Value {
    json!({ "to": "+14805550126", "from": "15005550006", "text": "hi", "reference": reference })
}

/// A running simulator in a folder of its own.
pub(super) struct Rehearsal {
    simulator: Option<Simulator>,
    shutdown: CancellationToken,
    pub(super) ledger: PathBuf,
    _folder: tempfile::TempDir,
}

impl Rehearsal {
    /// Starts one; receipts come at once and everything is delivered, unless `change` says otherwise.
    pub(super) async fn start(change: impl FnOnce(&mut SimulatorConfig)) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let mut config = SimulatorConfig {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            key: crate::telemetry::Secret::new("key"),
            ledger: folder.path().join("ledger.jsonl"),
            ..SimulatorConfig::default()
        };
        let receipts = &mut config.receipts;
        (receipts.undelivered, receipts.expired, receipts.rejected, receipts.never) = (0.0, 0.0, 0.0, 0.0);
        receipts.delay = Curve::default();
        receipts.retry.first = Duration::from_millis(10);
        config.replies.delay = Curve::default();
        change(&mut config);
        let ledger = config.ledger.clone();
        let shutdown = CancellationToken::new();
        let clock = Arc::new(ManualClock::at(Timestamp(NOW)));
        let simulator = Simulator::start(config, clock, shutdown.clone()).await.expect("starts");
        Self { simulator: Some(simulator), shutdown, ledger, _folder: folder }
    }

    fn running(&self) -> &Simulator {
        self.simulator.as_ref().expect("running")
    }

    pub(super) async fn client(&self) -> Client {
        Client::connect(self.running().address()).await
    }

    pub(super) fn stats(&self) -> StatsSnapshot {
        self.running().stats()
    }

    /// How often each fault of the script was seen.
    pub(super) fn fired(&self) -> Vec<Fired> {
        self.running().fired()
    }

    /// The references in the ledger, in order.
    pub(super) fn accepted(&self) -> Vec<String> {
        let entries = ledger::read(&self.ledger).expect("opens");
        entries.map(|entry| entry.expect("whole").reference.into_owned()).collect()
    }

    /// Waits until the counters are as wanted; fails after ten seconds.
    pub(super) async fn until(&self, wanted: impl Fn(&StatsSnapshot) -> bool) {
        let mut look = tokio::time::interval(Duration::from_millis(2));
        for _ in 0..5_000 {
            look.tick().await;
            if wanted(&self.stats()) {
                return;
            }
        }
        panic!("never came: {:?}", self.stats());
    }

    pub(super) async fn stop(mut self) -> (Summary, Vec<String>) {
        self.shutdown.cancel();
        let summary = self.simulator.take().expect("running").wait().await;
        (summary, self.accepted())
    }
}

/// The first of what is left, then 200 for ever.
fn next_status(left: &std::sync::Mutex<Vec<u16>>) -> u16 {
    let mut left = left.lock().expect("whole");
    if left.is_empty() { 200 } else { left.remove(0) }
}

/// A callback endpoint that notes what it gets and answers with the given statuses in turn, then 200; status 0 closes
/// the connection unanswered.
pub(super) struct Endpoint {
    pub(super) address: SocketAddr,
    requests: mpsc::UnboundedReceiver<Http>,
}

impl Endpoint {
    pub(super) async fn start(statuses: &[u16]) -> Self {
        Self::on(SocketAddr::from(([127, 0, 0, 1], 0)), statuses).await
    }

    pub(super) async fn on(address: SocketAddr, statuses: &[u16]) -> Self {
        let listener = TcpListener::bind(address).await.expect("binds");
        let address = listener.local_addr().expect("bound");
        let (seen, requests) = mpsc::unbounded_channel();
        let statuses = Arc::new(std::sync::Mutex::new(statuses.to_vec()));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (seen, statuses) = (seen.clone(), statuses.clone());
                tokio::spawn(async move {
                    let mut reader = BufReader::new(stream);
                    while let Ok(Some(request)) = read_http(&mut reader).await {
                        let _ = seen.send(request);
                        let status = next_status(&statuses);
                        if status == 0 {
                            break;
                        }
                        let answer = format!("HTTP/1.1 {status} x\r\ncontent-length: 2\r\n\r\nok");
                        if reader.write_all(answer.as_bytes()).await.is_err() {
                            break;
                        }
                    }
                });
            }
        });
        Self { address, requests }
    }

    pub(super) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// The next callback; fails after ten seconds without one.
    pub(super) async fn next(&mut self) -> Http {
        let next = tokio::time::timeout(Duration::from_secs(10), self.requests.recv()).await;
        next.expect("a callback in time").expect("open")
    }
}

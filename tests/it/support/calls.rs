//! Calls a daemon as the simulated provider does: one request over a plain socket, signed or wrongly signed.

use std::sync::Arc;

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use winback::daemon::Daemon;
use winback::model::clock::Clock;
use winback::model::phone::Phone;

/// The key of the simulator of a test world.
pub(crate) const KEY: &str = "simulator-signing";

/// Somebody who calls back.
pub(crate) struct Caller {
    address: std::net::SocketAddr,
    clock: Arc<dyn Clock>,
}

/// What was answered.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Caller {
    pub(crate) fn new(daemon: &Daemon, clock: &Arc<dyn Clock>) -> Self {
        Self { address: daemon.address(), clock: Arc::clone(clock) }
    }

    /// A customer's text.
    pub(crate) async fn inbound(&self, id: &str, from: Phone, text: &str) -> Reply {
        let body = serde_json::json!({"id": id, "from": from.e164(), "to": "+15005550006", "text": text});
        self.signed("/callback/sim/inbound", &body.to_string()).await
    }

    /// Receipts, each (provider id, reference, status).
    pub(crate) async fn receipts(&self, lines: &[(Option<&str>, Option<&str>, &str)]) -> Reply {
        let lines: Vec<_> = lines
            .iter()
            .map(|(id, reference, status)| serde_json::json!({"id": id, "reference": reference, "status": status}))
            .collect();
        self.signed("/callback/sim/receipt", &serde_json::json!({ "receipts": lines }).to_string()).await
    }

    /// A request with a true signature of now.
    pub(crate) async fn signed(&self, path: &str, body: &str) -> Reply {
        let timestamp = (self.clock.now().0 / 1000).to_string();
        self.post(path, body, &timestamp, &signature(KEY, &timestamp, body)).await
    }

    /// A request with any signature; none if it is empty.
    pub(crate) async fn post(&self, path: &str, body: &str, timestamp: &str, signature: &str) -> Reply {
        let signed = if signature.is_empty() {
            String::new()
        } else {
            format!("x-simulator-timestamp: {timestamp}\r\nx-simulator-signature: sha256={signature}\r\n")
        };
        self.raw(&format!(
            "POST {path} HTTP/1.1\r\nhost: {}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n{signed}connection: close\r\n\r\n{body}",
            self.address,
            body.len()
        ))
        .await
    }

    /// A page.
    pub(crate) async fn get(&self, path: &str) -> Reply {
        self.raw(&format!("GET {path} HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n\r\n", self.address)).await
    }

    /// Sends octets as they are and reads until the other side closes; status 0 if it said nothing.
    pub(crate) async fn raw(&self, request: &str) -> Reply {
        let mut socket = TcpStream::connect(self.address).await.unwrap();
        // A daemon that refuses early may close before everything is written.
        let _ = socket.write_all(request.as_bytes()).await;
        let mut answer = Vec::new();
        let _ = socket.read_to_end(&mut answer).await;
        let answer = String::from_utf8_lossy(&answer).into_owned();
        let status = answer.split(' ').nth(1).and_then(|word| word.parse().ok()).unwrap_or(0);
        let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
        Reply { status, head: head.to_lowercase(), body: body.to_owned() }
    }
}

/// The signature of a callback as the simulator makes it.
pub(crate) fn signature(key: &str, timestamp: &str, body: &str) -> String {
    use std::fmt::Write as _;
    let mut mac = Hmac::<Sha256>::new_from_slice(key.as_bytes()).unwrap();
    mac.update(format!("{timestamp}.{body}").as_bytes());
    mac.finalize().into_bytes().iter().fold(String::new(), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

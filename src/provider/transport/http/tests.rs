//! The client against a wire that misbehaves, on loopback only.

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::{Transport, TransportLimits, url_allowed};
use crate::provider::transport::{Answer, Exchange};
use crate::provider::{Adapter, Catalog, RouteSettings, Submission};
use crate::telemetry::Secret;

fn adapter(base_url: String) -> Adapter {
    let secret = |name: &str| (name.to_owned(), Secret::new("x"));
    let settings = RouteSettings {
        route: "sim".to_owned(),
        secrets: [secret("api_key"), secret("signing_key")].into(),
        settings: [("base_url".to_owned(), base_url)].into(),
        allow_http: false,
        callback_token: Secret::new(""),
    };
    Adapter::new(Catalog::builtin().get("simulator").expect("built in"), settings).expect("fits")
}

async fn exchange(base_url: String) -> Exchange {
    let limits = TransportLimits {
        connect_timeout: Duration::from_millis(500),
        total_timeout: Duration::from_millis(700),
        ..TransportLimits::default()
    };
    let transport = Transport::new(limits).expect("builds");
    transport.send(adapter(base_url).request(&[Submission::sample()])).await
}

/// Reads a request to its end; the sample's body ends with its last brace.
async fn swallow(stream: &mut TcpStream) -> String {
    let mut seen = Vec::new();
    let mut buffer = [0; 4096];
    while !seen.ends_with(b"}") {
        let read = stream.read(&mut buffer).await.expect("the client writes");
        assert!(read > 0, "the client hung up early");
        seen.extend_from_slice(&buffer[..read]);
    }
    String::from_utf8(seen).expect("text")
}

/// Sends the sample to a server that answers with `answer` and then hangs up; also how often it was called.
async fn against(answer: impl AsRef<[u8]>) -> Exchange {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let base = format!("http://{}", listener.local_addr().expect("bound"));
    let answer = answer.as_ref().to_vec();
    let server = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.expect("a client");
        let request = swallow(&mut stream).await;
        // A client that has had enough hangs up first.
        let _ = stream.write_all(&answer).await;
        drop(stream);
        let again = tokio::time::timeout(Duration::from_millis(50), listener.accept()).await;
        (request, again.is_ok())
    });
    let exchange = exchange(base).await;
    let (request, again) = server.await.expect("the server ends");
    assert!(request.starts_with("POST /v1/messages HTTP/1.1\r\n"), "{request}");
    assert!(!again, "a submission is never repeated by the client itself");
    exchange
}

#[tokio::test]
async fn an_answer_comes_back_as_it_is() {
    let exchange = against("HTTP/1.1 429 Slow\r\nretry-after: 7\r\ncontent-length: 2\r\n\r\n{}").await;
    let retry_after = Some("7".to_owned());
    let answer = Answer { status: 429, retry_after, body: b"{}".to_vec(), truncated: false };
    assert_eq!(exchange, Exchange::Answer(answer));
}

#[tokio::test]
async fn a_redirect_is_an_answer_and_is_not_followed() {
    let moved = "HTTP/1.1 307 Moved\r\nlocation: /v1/messages\r\ncontent-length: 0\r\n\r\n";
    let Exchange::Answer(answer) = against(moved).await else { panic!("answered") };
    assert_eq!((answer.status, answer.body.len()), (307, 0));
}

#[tokio::test]
async fn an_endless_body_is_cut_at_the_cap() {
    let mut big = b"HTTP/1.1 200 OK\r\ncontent-length: 10485760\r\n\r\n".to_vec();
    big.resize(big.len() + 10_485_760, b'x');
    let Exchange::Answer(answer) = against(big).await else { panic!("answered") };
    assert_eq!((answer.status, answer.body.len(), answer.truncated), (200, 64 * 1024, true));
}

#[tokio::test]
async fn a_compressed_body_is_left_alone() {
    let zipped = "HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 3\r\n\r\nabc";
    let Exchange::Answer(answer) = against(zipped).await else { panic!("answered") };
    assert_eq!(answer.body, b"abc");
}

#[tokio::test]
async fn a_connection_that_breaks_after_the_request_leaves_doubt() {
    assert_eq!(against("").await, Exchange::Unknown("the connection broke"));
    assert_eq!(against("HTTP/1.1 200").await, Exchange::Unknown("the connection broke"));
    let half = "HTTP/1.1 202 Accepted\r\ncontent-length: 20\r\n\r\n{\"id\":";
    assert_eq!(against(half).await, Exchange::Unknown("the connection broke inside the answer"));
}

#[tokio::test]
async fn silence_after_the_request_leaves_doubt() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let base = format!("http://{}", listener.local_addr().expect("bound"));
    let server = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.expect("a client");
        swallow(&mut stream).await;
        let mut rest = Vec::new();
        let _ = stream.read_to_end(&mut rest).await;
    });
    assert_eq!(exchange(base).await, Exchange::Unknown("no answer in time"));
    server.await.expect("the client hung up");
}

#[tokio::test]
async fn a_refused_connection_proves_that_nothing_was_sent() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("bound");
    drop(listener);
    assert_eq!(exchange(format!("http://{address}")).await, Exchange::NotSent("the connection was refused"));
}

#[tokio::test]
async fn a_failed_tls_handshake_proves_that_nothing_was_sent() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let base = format!("https://{}", listener.local_addr().expect("bound"));
    let server = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.expect("a client");
        let mut hello = [0; 1024];
        let _ = stream.read(&mut hello).await;
        let _ = stream.write_all(b"HTTP/1.1 400 this is no TLS\r\n\r\n").await;
    });
    assert_eq!(exchange(base).await, Exchange::NotSent("the TLS handshake failed"));
    server.await.expect("the server ends");
}

#[test]
fn plain_http_stays_on_this_machine_unless_the_route_says_otherwise() {
    let check = |url: &str, allow_http: bool, allowed: bool| {
        let url = reqwest::Url::parse(url).expect(url);
        assert_eq!(url_allowed(&url, allow_http).is_ok(), allowed, "{url} {allow_http}");
    };
    check("https://api.example.com/", false, true);
    check("http://127.0.0.1:13013/", false, true);
    check("http://[::1]/", false, true);
    check("http://localhost/", false, true);
    check("http://127.0.0.1.example.com/", false, false);
    check("http://10.0.0.5:13013/", false, false);
    check("http://10.0.0.5:13013/", true, true);
    check("ftp://127.0.0.1/", true, false);
}

//! The reference: the same requests from tasks that do nothing else, and a handler that only counts receipts.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::world::{Pace, Provider, Stopwatch, clock, phone};

/// Sends `messages` and waits for their receipts.
pub(crate) async fn run(messages: u64, in_flight: usize, delay: Duration) -> Pace {
    let provider = Provider::start(&*clock(), delay);
    let counted = Arc::new(AtomicU64::new(0));
    let receipts = Arc::clone(&counted);
    let app = axum::Router::new().route(
        "/callback/{route}/receipt",
        axum::routing::post(move |_body: axum::body::Bytes| {
            receipts.fetch_add(1, Ordering::Relaxed);
            async { "ok" }
        }),
    );
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("an address");
    listener.set_nonblocking(true).expect("nonblocking");
    let sink = listener.local_addr().expect("an address");
    let server = axum_server::from_tcp(listener).expect("a server").serve(app.into_make_service());
    let server = tokio::spawn(server);
    #[expect(clippy::disallowed_methods, reason = "the reference is reqwest as it comes")]
    let client = reqwest::Client::builder().pool_max_idle_per_host(in_flight).build().expect("a client");
    let (url, next) = (format!("http://{}/v1/messages", provider.address), Arc::new(AtomicU64::new(0)));
    let watch = Stopwatch::start(&provider);
    let mut tasks = Vec::new();
    for _ in 0..in_flight {
        let (client, url, next) = (client.clone(), url.clone(), Arc::clone(&next));
        tasks.push(tokio::spawn(async move {
            loop {
                let n = next.fetch_add(1, Ordering::Relaxed);
                if n >= messages {
                    return;
                }
                let body = serde_json::json!({
                    "to": phone(n).e164(), "from": "+15005550006", "reference": format!("bare-{n}-1"),
                    "text": format!("Name{n}, $5 off with CODE{n:06} until Jan 9. STOP to opt out"),
                    "callback_url": format!("http://{sink}/callback/bench/receipt"),
                });
                let request =
                    client.post(&url).bearer_auth("simulator").header("content-type", "application/json");
                let answer = request.body(body.to_string()).send().await.expect("an answer");
                let body = answer.bytes().await.expect("a body");
                let _: serde_json::Value = serde_json::from_slice(&body).expect("JSON");
            }
        }));
    }
    for task in tasks {
        task.await.expect("a task");
    }
    while counted.load(Ordering::Relaxed) < messages {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let pace = watch.stop(&provider, messages);
    server.abort();
    pace
}

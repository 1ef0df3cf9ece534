//! Sending one callback, signed or as a filled address, over a pool of kept-alive connections.
//!
//! Follows no redirect, reads no more of an answer than it must, and never repeats: that is the schedule's business.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::{Request, header};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};

use super::SimulatorConfig;
use super::callbacks::{Job, What};
use super::config::ReplyText;
use super::query;
use super::script::{Play, Twist};
use super::sign;
use super::stats::Stats;
use super::target::Target;
use super::wire::{ReceiptCallback, ReceiptLine, ReplyCallback, Report};
use crate::model::clock::Clock;
use crate::telemetry::Secret;

/// An answer of more than this is not read to its end; its connection is closed instead of kept.
const ANSWER_BYTES: usize = 64 * 1024;

/// The key of somebody else's account.
const FOREIGN_KEY: &[u8] = b"the key of another account";

/// Signs callbacks and puts them on the wire.
pub(super) struct Poster {
    client: Client<HttpConnector, Full<Bytes>>,
    signing_key: Secret,
    replies: Vec<ReplyText>,
    boot: String,
    clock: Arc<dyn Clock>,
    stats: Arc<Stats>,
    play: Option<Arc<Play>>,
}

impl Poster {
    pub(super) fn new(
        config: &SimulatorConfig,
        boot: String,
        clock: Arc<dyn Clock>,
        stats: Arc<Stats>,
        play: Option<Arc<Play>>,
    ) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        connector.set_connect_timeout(Some(Duration::from_secs(5)));
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(Duration::from_secs(30))
            .pool_max_idle_per_host(config.limits.callbacks_in_flight)
            .build(connector);
        Self {
            client,
            signing_key: config.signing_key.clone(),
            replies: config.replies.texts.clone(),
            boot,
            clock,
            stats,
            play,
        }
    }

    /// Posts jobs that go to one address together; true when they were answered with 2xx.
    pub(super) async fn post(&self, jobs: &[Job]) -> bool {
        let request = match jobs {
            [Job { what: What::Receipt { report: Report::Filled(_), .. }, .. }] => self.filled(&jobs[0]),
            _ => self.signed(jobs),
        };
        let Some(request) = request else { return false };
        let Ok(answer) = self.client.request(request).await else { return false };
        let taken = answer.status().is_success();
        // Read to its end so that the connection can be used again; the status alone counts.
        let _ = Limited::new(answer.into_body(), ANSWER_BYTES).collect().await;
        taken
    }

    /// A call of the address that the submission left, with its codes filled in.
    fn filled(&self, job: &Job) -> Option<Request<Full<Bytes>>> {
        let What::Receipt { target, reference, status, code, .. } = &job.what else { return None };
        self.stats.receipts_sent.fetch_add(1, Relaxed);
        let id = self.line(job)?.id;
        let address = query::fill(&target.text(reference), &id, *status, *code);
        Request::get(address).body(Full::default()).ok()
    }

    fn signed(&self, jobs: &[Job]) -> Option<Request<Full<Bytes>>> {
        let (target, reference, body) = self.render(jobs)?;
        let timestamp = self.clock.now().0.div_euclid(1000).to_string();
        let key = if jobs.iter().any(forged) { FOREIGN_KEY } else { self.signing_key.expose().as_bytes() };
        let signature = sign::signature(key, &timestamp, &body);
        Request::post(target.uri(reference).ok()?)
            .header(header::CONTENT_TYPE, "application/json")
            .header("x-simulator-timestamp", timestamp)
            .header("x-simulator-signature", format!("sha256={signature}"))
            .body(Full::new(Bytes::from(body)))
            .ok()
    }

    fn render<'a>(&self, jobs: &'a [Job]) -> Option<(&'a Target, &'a str, Vec<u8>)> {
        let first = jobs.first()?;
        match &first.what {
            What::Reply(reply) => {
                self.stats.replies_sent.fetch_add(1, Relaxed);
                let body = serde_json::to_vec(&ReplyCallback {
                    id: format!("sim-reply-{}-{}", self.boot, first.nth),
                    from: &reply.from,
                    to: &reply.to,
                    text: self.replies.get(reply.text).map_or("", |reply| &reply.text),
                });
                Some((&reply.target, "", body.ok()?))
            }
            What::Receipt { target, reference, .. } => {
                self.stats.receipts_sent.fetch_add(jobs.len() as u64, Relaxed);
                let receipts = jobs.iter().filter_map(|job| self.line(job)).collect();
                let body = serde_json::to_vec(&ReceiptCallback { receipts });
                Some((target, reference, body.ok()?))
            }
        }
    }

    fn line<'a>(&self, job: &'a Job) -> Option<ReceiptLine<'a>> {
        let What::Receipt { reference, status, code, at, odd, .. } = &job.what else { return None };
        if let (Some(play), Some(fault), 0) = (&self.play, odd.fault, job.attempt) {
            play.fire(fault);
        }
        let id = match odd.twist {
            Twist::None | Twist::Foreign => message_id(&self.boot, job.nth),
            Twist::Stray => message_id("elsewhere", job.nth),
            Twist::SameId => same_id(&self.boot),
        };
        Some(ReceiptLine { id, reference, status: status.as_str(), code: *code, at: at.0 })
    }
}

/// The simulator's id of the `nth` submission; `boot` keeps ids of two starts apart.
pub(super) fn message_id(boot: &str, nth: u64) -> String {
    format!("sim-{boot}-{nth}")
}

/// The id that a script gives to many texts.
pub(super) fn same_id(boot: &str) -> String {
    format!("sim-{boot}-same")
}

fn forged(job: &Job) -> bool {
    matches!(&job.what, What::Receipt { odd, .. } if odd.twist == Twist::Foreign)
}

//! The provider's side of the wire: sockets, routes, and the carrying out of what was decided, including the bad ends.
//! It shows decisions to clients and never makes one.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::header::{AUTHORIZATION, HeaderValue, RETRY_AFTER};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use serde::Serialize;
use subtle::ConstantTimeEq;
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::answers::{Form, fixed, json};
use super::behaviour::{Answer, Decision};
use super::lookup::Wanted;
use super::odd::{Raw, Shown};
use super::query;
use super::script::{Fired, Play};
use super::stats::{Stats, StatsSnapshot};
use super::submit::{Desk, Verdict};
use super::wire::Found;

/// The header that holds the key of a submission that may be repeated.
const IDEMPOTENCY_KEY: &str = "idempotency-key";

/// Where submissions by query come in: the path that gateways and their clients have for it.
const QUERY: &str = "/cgi-bin/sendsms";

/// Submissions are small; a larger body is refused.
const BODY_BYTES: usize = 64 * 1024;

/// How long a connection may sit idle or take over a request's head or body.
const PATIENCE: Duration = Duration::from_secs(75);

/// A silent connection is closed after this if the configuration says nothing.
const HOLD: Duration = Duration::from_secs(90);

/// What every connection needs.
pub(super) struct Server {
    pub(super) desk: Arc<Desk>,
    pub(super) stats: Arc<Stats>,
    pub(super) play: Option<Arc<Play>>,
    /// The whole `authorization` header that is right.
    pub(super) authorization: Vec<u8>,
    pub(super) hold: Duration,
    pub(super) stop: CancellationToken,
}

/// The ends of a connection that no HTTP answer expresses.
#[derive(Debug, thiserror::Error)]
enum Broken {
    #[error("closed without an answer")]
    Closed,
    #[error("reset without an answer")]
    Reset,
    #[error("answered with octets of its own")]
    Raw(Raw),
}

/// The counters and what a script did.
#[derive(Serialize)]
struct Counted {
    #[serde(flatten)]
    stats: StatsSnapshot,
    fired: Vec<Fired>,
}

type Answered = Result<Response<Full<Bytes>>, Broken>;

impl Server {
    /// Serves until stopped; connections end after the request they are at. At the limit of `connections` further
    /// clients wait in the listen queue.
    pub(super) async fn run(self: Arc<Self>, listener: TcpListener, connections: usize, tasks: TaskTracker) {
        let room = Arc::new(Semaphore::new(connections));
        loop {
            let accepted = async {
                let permit = room.clone().acquire_owned().await;
                (permit, listener.accept().await)
            };
            let (permit, accepted) = tokio::select! {
                accepted = accepted => accepted,
                () = self.stop.cancelled() => return,
            };
            match accepted {
                Ok((stream, _)) => {
                    let server = self.clone();
                    tasks.spawn(async move {
                        server.connection(stream).await;
                        drop(permit);
                    });
                }
                // Out of file descriptors, mostly: the next try would fail as fast and burn the processor.
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            }
        }
    }

    async fn connection(self: Arc<Self>, stream: TcpStream) {
        // Answers are single small writes; waiting to fill a packet would only add latency.
        let _ = stream.set_nodelay(true);
        let service = {
            let server = self.clone();
            service_fn(move |request| Box::pin(server.clone().answer(request)))
        };
        let mut connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(PATIENCE)
            .max_buf_size(BODY_BYTES)
            .serve_connection(TokioIo::new(stream), service);
        let mut stopping = false;
        let ended = loop {
            tokio::select! {
                ended = std::future::poll_fn(|context| connection.poll_without_shutdown(context)) => break ended,
                () = self.stop.cancelled(), if !stopping => {
                    stopping = true;
                    std::pin::Pin::new(&mut connection).graceful_shutdown();
                }
            }
        };
        let broken = ended.as_ref().err().and_then(|error| std::error::Error::source(error)?.downcast_ref());
        match broken {
            Some(Broken::Reset) => {
                // Closing with a zero linger time sends RST instead of FIN.
                let _ = connection.into_parts().io.into_inner().set_zero_linger();
            }
            Some(Broken::Raw(raw)) => {
                let mut stream = connection.into_parts().io.into_inner();
                let _ = self.stop.run_until_cancelled(write_raw(&mut stream, raw)).await;
            }
            Some(Broken::Closed) | None => {}
        }
    }

    async fn answer(self: Arc<Self>, request: Request<Incoming>) -> Answered {
        let path = request.uri().path();
        match (request.method(), path) {
            (&Method::POST, "/v1/messages") => self.submit(request).await,
            (&Method::GET, QUERY) => self.submit_query(&request).await,
            (&Method::GET, "/v1/messages") => Ok(self.look_up(&request)),
            (&Method::GET, "/stats") => Ok(self.counted()),
            (_, "/followed") => {
                self.stats.followed.fetch_add(1, Relaxed);
                Ok(Form::Json.problem(StatusCode::NOT_FOUND, "not_found", None))
            }
            (&Method::GET, "/healthz") if self.desk.healthy() => {
                Ok(fixed(StatusCode::OK, r#"{"status":"ok"}"#))
            }
            (&Method::GET, "/healthz") => {
                Ok(Form::Json.problem(StatusCode::SERVICE_UNAVAILABLE, "ledger", None))
            }
            (_, "/v1/messages" | QUERY | "/stats" | "/healthz") => {
                Ok(Form::Json.problem(StatusCode::METHOD_NOT_ALLOWED, "method", None))
            }
            _ => Ok(Form::Json.problem(StatusCode::NOT_FOUND, "not_found", None)),
        }
    }

    async fn submit(&self, request: Request<Incoming>) -> Answered {
        if !self.authorized(&request) {
            return Ok(self.unauthorized(Form::Json));
        }
        let key = request.headers().get(IDEMPOTENCY_KEY).cloned();
        let body = match tokio::time::timeout(PATIENCE, read_body(request.into_body())).await {
            Ok(Some(body)) => body,
            Ok(None) => return Ok(self.malformed(Form::Json, "the body is too long or broken")),
            Err(_) => return Err(Broken::Closed),
        };
        let key = key.as_ref().and_then(|key| key.to_str().ok());
        let verdict = self.desk.submit(&body, key).await;
        self.show(verdict, Form::Json).await
    }

    async fn submit_query(&self, request: &Request<Incoming>) -> Answered {
        let asked = match query::read(request.uri().query().unwrap_or_default()) {
            Ok(asked) => asked,
            Err(missing) => return Ok(self.malformed(Form::Text, missing)),
        };
        let key = self.authorization.strip_prefix(b"Bearer ").unwrap_or_default();
        if !bool::from(asked.password.as_bytes().ct_eq(key)) {
            return Ok(self.unauthorized(Form::Text));
        }
        let verdict = self.desk.take(&asked.submission, None).await;
        self.show(verdict, Form::Text).await
    }

    /// Lets the client see how its submission ended, in its own form.
    async fn show(&self, verdict: Verdict, form: Form) -> Answered {
        match verdict {
            Verdict::Repeated(id) => Ok(form.taken(&id)),
            Verdict::Decided(decision, id) => self.carry_out(decision, id, form).await,
            Verdict::Refused(answer) => Ok(self.refuse(answer, form)),
            Verdict::Throttled(wait) => Ok(self.throttle(wait, form)),
            Verdict::Malformed(detail) => Ok(self.malformed(form, &detail)),
            Verdict::Unavailable(why) => {
                Ok(form.problem(StatusCode::SERVICE_UNAVAILABLE, "unavailable", Some(why)))
            }
        }
    }

    /// Lets the client see the decision, after its latency.
    async fn carry_out(&self, decision: Decision, id: Option<String>, form: Form) -> Answered {
        if !decision.latency.is_zero() {
            tokio::time::sleep(decision.latency).await;
        }
        match (decision.answer, id) {
            (Answer::Accepted, Some(id)) => Ok(form.taken(&id)),
            (Answer::Silent, _) => {
                self.stats.answered(Answer::Silent);
                self.keep_silent(if self.hold.is_zero() { HOLD } else { self.hold }).await
            }
            (Answer::Scripted(fault), id) => self.misbehave(fault, id).await,
            (Answer::Reset, _) => {
                self.stats.answered(Answer::Reset);
                Err(Broken::Reset)
            }
            (Answer::Throttled, _) => Ok(self.throttle(self.desk.retry_after(), form)),
            (answer, _) => Ok(self.refuse(answer, form)),
        }
    }

    /// Lets the client see a fault of the script.
    async fn misbehave(&self, fault: usize, id: Option<String>) -> Answered {
        self.stats.answered(Answer::Scripted(fault));
        if let Some(play) = &self.play {
            play.fire(fault);
        }
        match self.desk.show(fault, id.as_deref().unwrap_or_default()) {
            Some(Shown::Response(response)) => Ok(response),
            Some(Shown::Raw(raw)) => Err(Broken::Raw(raw)),
            Some(Shown::Silence(hold)) => self.keep_silent(hold).await,
            Some(Shown::Reset) => Err(Broken::Reset),
            None => Err(Broken::Closed),
        }
    }

    async fn keep_silent(&self, hold: Duration) -> Answered {
        let _ = self.stop.run_until_cancelled(tokio::time::sleep(hold)).await;
        Err(Broken::Closed)
    }

    fn counted(&self) -> Response<Full<Bytes>> {
        let stats = self.stats.snapshot();
        match &self.play {
            Some(play) => json(StatusCode::OK, &Counted { stats, fired: play.fired() }),
            None => json(StatusCode::OK, &stats),
        }
    }

    fn refuse(&self, answer: Answer, form: Form) -> Response<Full<Bytes>> {
        self.stats.answered(answer);
        let (status, error) = match answer {
            Answer::BadNumber => (StatusCode::BAD_REQUEST, "bad_number"),
            Answer::BadText => (StatusCode::BAD_REQUEST, "bad_text"),
            Answer::OptedOut => (StatusCode::BAD_REQUEST, "opted_out"),
            Answer::Unavailable => (StatusCode::SERVICE_UNAVAILABLE, "unavailable"),
            _ => (StatusCode::INTERNAL_SERVER_ERROR, "internal"),
        };
        form.problem(status, error, None)
    }

    fn throttle(&self, wait: Duration, form: Form) -> Response<Full<Bytes>> {
        self.stats.answered(Answer::Throttled);
        let mut response = form.problem(StatusCode::TOO_MANY_REQUESTS, "throttled", None);
        let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds.max(1)));
        response
    }

    fn look_up(&self, request: &Request<Incoming>) -> Response<Full<Bytes>> {
        if !self.authorized(request) {
            return self.unauthorized(Form::Json);
        }
        let query = request.uri().query().unwrap_or_default();
        let named = |wanted: &str| {
            form_urlencoded::parse(query.as_bytes()).find(|(name, _)| name == wanted).map(|(_, value)| value)
        };
        let (reference, to) = (named("reference"), named("to"));
        let wanted = match (&reference, &to) {
            (Some(reference), _) => Wanted::Reference(reference),
            (None, Some(to)) => Wanted::Recipient(to),
            (None, None) => return self.malformed(Form::Json, "name a reference or a recipient"),
        };
        match self.desk.find(wanted) {
            Some(messages) => json(StatusCode::OK, &Found { messages }),
            None => Form::Json.problem(StatusCode::SERVICE_UNAVAILABLE, "forgotten", None),
        }
    }

    fn authorized(&self, request: &Request<Incoming>) -> bool {
        let given = request.headers().get(AUTHORIZATION).map_or(&b""[..], HeaderValue::as_bytes);
        given.ct_eq(&self.authorization).into()
    }

    fn unauthorized(&self, form: Form) -> Response<Full<Bytes>> {
        self.stats.credentials.fetch_add(1, Relaxed);
        form.problem(StatusCode::UNAUTHORIZED, "credentials", None)
    }

    fn malformed(&self, form: Form, detail: &str) -> Response<Full<Bytes>> {
        self.stats.bad_request.fetch_add(1, Relaxed);
        form.problem(StatusCode::BAD_REQUEST, "bad_request", Some(detail))
    }
}

/// Writes octets that no server would write, as slowly as wanted; a client that hangs up ends it.
async fn write_raw(stream: &mut TcpStream, raw: &Raw) -> std::io::Result<()> {
    match raw.every {
        None => stream.write_all(&raw.bytes).await?,
        Some(every) => {
            for octet in &raw.bytes {
                stream.write_all(std::slice::from_ref(octet)).await?;
                tokio::time::sleep(every).await;
            }
        }
    }
    tokio::time::sleep(raw.linger).await;
    stream.shutdown().await
}

/// The body in one piece; a body that came in one piece is not copied. `None` when it is too long or breaks off.
async fn read_body(body: Incoming) -> Option<Bytes> {
    let mut body = Limited::new(body, BODY_BYTES);
    let mut whole = Bytes::new();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.ok()?.into_data() else { continue };
        whole = if whole.is_empty() { data } else { joined(&whole, &data) };
    }
    Some(whole)
}

fn joined(first: &[u8], second: &[u8]) -> Bytes {
    let mut both = BytesMut::with_capacity(first.len() + second.len());
    both.extend_from_slice(first);
    both.extend_from_slice(second);
    both.freeze()
}

//! The one guarded HTTP client: no redirects, no retries, no proxy from the environment, bounded times and answers.
//!
//! A client that follows a 307 or repeats a POST by itself sends a message twice; so this one does neither, and it
//! tells "not one octet left" from "nobody knows". It never reads what an answer means.

use std::error::Error as StdError;
use std::io;
use std::sync::OnceLock;
use std::time::Duration;

use reqwest::header::{DATE, RETRY_AFTER};
use reqwest::{Client, Url, redirect, retry};

use super::{Answer, Exchange};
use crate::model::clock::Timestamp;
use crate::provider::request::HttpRequest;
use crate::telemetry::fault;

/// The bounds of one route's client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TransportLimits {
    /// Name resolution, TCP and TLS.
    pub connect_timeout: Duration,
    /// From the first octet of the request to the last of the answer, connecting included.
    pub total_timeout: Duration,
    /// Requests at a time; as many idle connections are kept.
    pub in_flight: usize,
    /// Octets of an answer that are read.
    pub answer_bytes: usize,
}

impl Default for TransportLimits {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(5),
            total_timeout: Duration::from_secs(20),
            in_flight: 16,
            answer_bytes: 64 * 1024,
        }
    }
}

/// Idle connections are dropped sooner than servers usually do, so that a request seldom meets a closing one.
const IDLE: Duration = Duration::from_secs(20);

/// The client could not be built.
#[derive(Debug, thiserror::Error)]
#[error("the HTTPS client cannot start; is the system's list of certificate authorities installed?")]
pub struct TransportError(#[from] reqwest::Error);

/// A route's connections to its provider.
#[derive(Clone, Debug)]
pub struct Transport {
    client: Client,
    answer_bytes: usize,
}

/// What is at an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Look {
    /// The HTTP status.
    pub status: u16,
    /// The time there, to the second.
    pub date: Option<Timestamp>,
    /// The beginning of the body, as text.
    pub body: String,
}

impl Transport {
    /// Builds the client; connects to nothing.
    ///
    /// # Errors
    /// When the system has no certificate authorities.
    pub fn new(limits: TransportLimits) -> Result<Self, TransportError> {
        install_crypto();
        #[expect(clippy::disallowed_methods, reason = "this is the one place that builds the guarded client")]
        let builder = Client::builder();
        let client = builder
            .user_agent(concat!("winback/", env!("CARGO_PKG_VERSION")))
            .redirect(redirect::Policy::none())
            .retry(retry::never())
            .referer(false)
            .no_proxy()
            .connect_timeout(limits.connect_timeout)
            .timeout(limits.total_timeout)
            .tcp_nodelay(true)
            .pool_idle_timeout(IDLE)
            .pool_max_idle_per_host(limits.in_flight)
            .build()?;
        Ok(Self { client, answer_bytes: limits.answer_bytes })
    }

    /// Sends a request once.
    pub async fn send(&self, request: HttpRequest) -> Exchange {
        let allow_http = request.allow_http();
        let request = request.into_reqwest();
        if let Err(why) = url_allowed(request.url(), allow_http) {
            return Exchange::NotSent(why);
        }
        match self.client.execute(request).await {
            Ok(response) => {
                fault::point("inside-wire");
                self.read(response).await
            }
            Err(error) => failed(&error),
        }
    }

    /// Looks who is at an address: a GET that carries nothing.
    ///
    /// # Errors
    /// Why nobody answered.
    pub async fn look(&self, url: &str) -> Result<Look, &'static str> {
        let why = |exchange| match exchange {
            Exchange::NotSent(why) | Exchange::Unknown(why) => why,
            Exchange::Answer(_) => "the answer makes no sense",
        };
        let response = self.client.get(url).send().await.map_err(|error| why(failed(&error)))?;
        let date = response.headers().get(DATE).and_then(|value| value.to_str().ok());
        let date = date.and_then(|text| jiff::fmt::rfc2822::parse(text).ok()).map(|at| at.timestamp().into());
        match self.read(response).await {
            Exchange::Answer(Answer { status, body, .. }) => {
                Ok(Look { status, date, body: String::from_utf8_lossy(&body).into_owned() })
            }
            other => Err(why(other)),
        }
    }

    async fn read(&self, mut response: reqwest::Response) -> Exchange {
        let status = response.status().as_u16();
        let retry_after = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok());
        let retry_after = retry_after.map(str::to_owned);
        let mut body = Vec::new();
        let mut truncated = false;
        loop {
            match response.chunk().await {
                Ok(Some(chunk)) => {
                    let room = self.answer_bytes - body.len();
                    truncated = chunk.len() > room;
                    body.extend_from_slice(&chunk[..chunk.len().min(room)]);
                }
                Ok(None) => break,
                Err(error) if error.is_timeout() => {
                    return Exchange::Unknown("the answer did not end in time");
                }
                Err(_) => return Exchange::Unknown("the connection broke inside the answer"),
            }
            if truncated {
                break;
            }
        }
        Exchange::Answer(Answer { status, retry_after, body, truncated })
    }
}

/// Plain `http://` may go to this machine, or where a route says so.
pub(crate) fn url_allowed(url: &Url, allow_http: bool) -> Result<(), &'static str> {
    let loopback = match url.host() {
        Some(url::Host::Domain(name)) => name.eq_ignore_ascii_case("localhost"),
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        None => return Err("an address needs a host"),
    };
    match url.scheme() {
        "https" => Ok(()),
        "http" if loopback || allow_http => Ok(()),
        "http" => Err(
            "plain http would show credentials and numbers to the network; use https, or allow_http = true",
        ),
        _ => Err("an address begins with https://"),
    }
}

/// Rustls asks for its cryptography once in a process; whoever is first wins, and all choose ring.
fn install_crypto() {
    static ONCE: OnceLock<()> = OnceLock::new();
    ONCE.get_or_init(|| {
        // An error says that the process has installed one already, which is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
    });
}

/// Only an error of the connector proves that nothing was sent; everything else stays in doubt.
fn failed(error: &reqwest::Error) -> Exchange {
    if error.is_builder() {
        return Exchange::NotSent("the request could not be built");
    }
    if !error.is_connect() {
        let timeout = error.is_timeout();
        return Exchange::Unknown(if timeout { "no answer in time" } else { "the connection broke" });
    }
    if error.is_dns() {
        return Exchange::NotSent("the name was not resolved");
    }
    let causes = || std::iter::successors(error.source(), |cause| StdError::source(*cause));
    let io_kind = causes().find_map(|cause| cause.downcast_ref::<io::Error>()).map(io::Error::kind);
    let tls = causes().any(is_tls);
    Exchange::NotSent(match io_kind {
        _ if tls => "the TLS handshake failed",
        Some(io::ErrorKind::ConnectionRefused) => "the connection was refused",
        _ if error.is_timeout() => "no connection in time",
        _ => "no connection",
    })
}

/// An I/O error hides what it wraps from `source`, so wrapped ones are opened one by one.
fn is_tls(error: &(dyn StdError + 'static)) -> bool {
    let wrapped = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
    error.is::<rustls::Error>() || wrapped.is_some_and(|inner| is_tls(inner))
}

#[cfg(test)]
mod tests;

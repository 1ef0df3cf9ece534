//! Bad answers as octets: what a client sees when a script says that something goes wrong.
//!
//! Pure; it decides nothing and sends nothing.

use std::io::Write as _;
use std::time::Duration;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use http_body_util::Full;
use hyper::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderValue, LOCATION, RETRY_AFTER};
use hyper::{Response, StatusCode};

use super::script::{Answering, RetryAfter};
use crate::model::clock::Timestamp;

/// A connection whose answer was cut wrongly stays open this long, to see what the client makes of the rest.
const LINGER: Duration = Duration::from_secs(2);

/// What a client sees.
pub(super) enum Shown {
    /// An answer like any other; the connection goes on.
    Response(Response<Full<Bytes>>),
    /// Octets that no proper server would write; the connection ends with them.
    Raw(Raw),
    /// Nothing for this long, then the end of the connection.
    Silence(Duration),
    /// A reset.
    Reset,
}

/// Octets for the socket itself.
#[derive(Clone, Debug)]
pub(super) struct Raw {
    pub(super) bytes: Bytes,
    /// Time between two octets; none writes them at once.
    pub(super) every: Option<Duration>,
    /// How long the connection stays open afterwards.
    pub(super) linger: Duration,
}

/// The answer with this fault to a submission that got `id`; `same` is the id that others get, too.
pub(super) fn show(kind: &Answering, id: &str, same: &str, now: Timestamp) -> Shown {
    let good = taken(id);
    let length = good.len();
    match kind {
        Answering::Throttle(wait) => throttle(wait.as_ref(), now),
        Answering::Status { code, error } => {
            let body = error.as_ref().map_or_else(String::new, |error| format!(r#"{{"error":"{error}"}}"#));
            response(*code, "application/json", body)
        }
        Answering::Html { code } => {
            let page = "<!doctype html><title>Welcome</title><p>Please accept our terms to go on.";
            response(*code, "text/html; charset=utf-8", page)
        }
        Answering::Reset => Shown::Reset,
        Answering::Silent(hold) => Shown::Silence(*hold),
        Answering::Drip(every) => raw(&good, length, Some(*every), Duration::ZERO),
        Answering::Malformed => response(202, "application/json", format!("{{\"id\":\"{id}\",\"status\"")),
        Answering::Truncated => raw(&good[..length / 2], length, None, Duration::ZERO),
        Answering::WrongLength => raw(&good, length / 2, None, LINGER),
        Answering::Huge(bytes) => {
            let padding = " ".repeat(bytes.saturating_sub(length));
            response(202, "application/json", format!("{padding}{good}"))
        }
        Answering::Bomb(bytes) => bomb(&good, *bytes),
        Answering::Redirect { code, to } => {
            let mut answer = plain(*code, "text/plain", Bytes::new());
            answer.headers_mut().extend(HeaderValue::from_str(to).ok().map(|to| (LOCATION, to)));
            Shown::Response(answer)
        }
        Answering::WrongId => response(202, "application/json", taken(&format!("other-{id}"))),
        Answering::SameId => response(202, "application/json", taken(same)),
        Answering::Empty => response(200, "application/json", ""),
    }
}

fn taken(id: &str) -> String {
    format!(r#"{{"id":"{id}","status":"accepted"}}"#)
}

fn throttle(wait: Option<&RetryAfter>, now: Timestamp) -> Shown {
    let text = wait.map(|wait| match wait {
        RetryAfter::Text(text) => text.clone(),
        RetryAfter::Date(seconds) => {
            let at = Timestamp(now.0.saturating_add(seconds * 1_000)).to_jiff();
            at.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string()
        }
    });
    let mut answer = plain(429, "application/json", Bytes::from_static(br#"{"error":"throttled"}"#));
    let value = text.and_then(|text| HeaderValue::from_str(&text).ok());
    answer.headers_mut().extend(value.map(|value| (RETRY_AFTER, value)));
    Shown::Response(answer)
}

/// A good answer, then blanks up to `bytes` octets, all of it compressed.
fn bomb(good: &str, bytes: usize) -> Shown {
    let mut packed = GzEncoder::new(Vec::new(), Compression::fast());
    let blanks = [b' '; 8 * 1024];
    let mut left = bytes.saturating_sub(good.len());
    let mut written = packed.write_all(good.as_bytes());
    while left > 0 && written.is_ok() {
        let some = left.min(blanks.len());
        written = packed.write_all(&blanks[..some]);
        left -= some;
    }
    // Writing to memory does not fail; an answer without a body would be a fault as well.
    let body = written.and_then(|()| packed.finish()).unwrap_or_default();
    let mut answer = plain(202, "application/json", Bytes::from(body));
    answer.headers_mut().insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    Shown::Response(answer)
}

fn raw(body: &str, length: usize, every: Option<Duration>, linger: Duration) -> Shown {
    let head = format!(
        "HTTP/1.1 202 Accepted\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n"
    );
    Shown::Raw(Raw { bytes: Bytes::from([head.as_bytes(), body.as_bytes()].concat()), every, linger })
}

fn response(code: u16, content_type: &'static str, body: impl Into<Bytes>) -> Shown {
    Shown::Response(plain(code, content_type, body.into()))
}

fn plain(code: u16, content_type: &'static str, body: Bytes) -> Response<Full<Bytes>> {
    let mut answer = Response::new(Full::new(body));
    *answer.status_mut() = StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    answer
}

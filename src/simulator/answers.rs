//! What the provider answers when nothing is wrong with the answer itself: JSON, or a line of text to whoever submitted
//! by query.
//!
//! Pure; it decides nothing and sends nothing. Answers that are wrong in themselves are in `odd`.

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::{Response, StatusCode};
use serde::Serialize;

use super::wire::{Problem, Taken};

/// How a client is spoken to: as it spoke.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// JSON objects.
    Json,
    /// A line of text in the words of SMS gateways.
    Text,
}

impl Form {
    /// The answer to an accepted submission.
    pub(super) fn taken(self, id: &str) -> Response<Full<Bytes>> {
        match self {
            Self::Json => json(StatusCode::ACCEPTED, &Taken { id, status: "accepted" }),
            Self::Text => text(StatusCode::ACCEPTED, format!("0: Accepted for delivery, id {id}")),
        }
    }

    /// The answer to everything else; `detail` is for people.
    pub(super) fn problem(
        self,
        status: StatusCode,
        error: &str,
        detail: Option<&str>,
    ) -> Response<Full<Bytes>> {
        match self {
            Self::Json => json(status, &Problem { error, detail }),
            Self::Text => {
                let (status, words) = in_words(status, error, detail);
                text(status, words)
            }
        }
    }
}

/// The words that gateways with a query interface have for a problem: there are fewer of them than in JSON.
fn in_words(status: StatusCode, error: &str, detail: Option<&str>) -> (StatusCode, String) {
    let denied = "Number(s) has/have been denied by white- and/or black-lists.";
    match error {
        "credentials" => (StatusCode::FORBIDDEN, "Authorization failed for sendsms".to_owned()),
        "bad_number" | "opted_out" => (StatusCode::FORBIDDEN, denied.to_owned()),
        "bad_text" => (status, "Empty text or too many parts, rejected".to_owned()),
        "throttled" | "unavailable" => (status, "Temporal failure, try again later.".to_owned()),
        other => (status, format!("{}, rejected", detail.unwrap_or(other))),
    }
}

/// JSON.
pub(super) fn json(status: StatusCode, body: &impl Serialize) -> Response<Full<Bytes>> {
    match serde_json::to_vec(body) {
        Ok(body) => respond(status, "application/json", Bytes::from(body)),
        Err(_) => fixed(StatusCode::INTERNAL_SERVER_ERROR, r#"{"error":"internal"}"#),
    }
}

/// JSON that is always the same.
pub(super) fn fixed(status: StatusCode, body: &'static str) -> Response<Full<Bytes>> {
    respond(status, "application/json", Bytes::from_static(body.as_bytes()))
}

fn text(status: StatusCode, body: String) -> Response<Full<Bytes>> {
    respond(status, "text/plain", Bytes::from(body))
}

fn respond(status: StatusCode, content_type: &'static str, body: Bytes) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

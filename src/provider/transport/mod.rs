//! The way to a provider's network. Each transport says one of three things: an answer, certainly not sent, or unknown.

mod http;

pub use http::{Transport, TransportError, TransportLimits};

pub(crate) use http::url_allowed;

/// What came of sending a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Exchange {
    /// The provider, or something on the way, answered.
    Answer(Answer),
    /// Proven: not one octet of the message left this machine.
    NotSent(&'static str),
    /// An octet may have left, and no whole answer came back.
    Unknown(&'static str),
}

/// An answer, as far as it was read.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// The `Retry-After` header, as given.
    pub retry_after: Option<String>,
    /// The body, up to the cap.
    pub body: Vec<u8>,
    /// The body was larger than the cap and has not been read to its end.
    pub truncated: bool,
}

impl std::fmt::Debug for Answer {
    /// Bodies can hold numbers and texts, so they are not shown.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let cut = if self.truncated { " and more" } else { "" };
        write!(f, "Answer(http {}, {} octets{cut})", self.status, self.body.len())
    }
}

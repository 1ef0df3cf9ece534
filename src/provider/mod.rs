//! Turns a message into a provider's request, its answer into an outcome, its callbacks into receipts and texts.
//!
//! A provider is data: `providers/<name>.toml`, read by [`catalog`], checked by [`check`], and run by [`Adapter`].
//! Rust knows signatures and protocols by what they are, never a provider by its name. This module never touches the
//! store, never reads the environment or the clock, and reaches the network only through [`transport`].

pub mod adapter;
pub mod callback;
pub mod cases;
pub mod catalog;
pub mod check;
pub mod complaint;
pub mod definition;
pub mod extract;
pub mod filter;
pub mod format;
pub mod lookup;
mod print;
mod render;
pub mod request;
pub mod response;
pub mod rule;
pub mod template;
pub mod transport;
pub mod verify;

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

pub use adapter::{Adapter, Sent};
pub use callback::{Callback, CallbackError, CallbackKind, Reply};
pub use catalog::Catalog;
pub use complaint::Complaint;
pub use definition::Definition;
pub use format::schema;
pub use lookup::{Found, LookupError};
pub use request::HttpRequest;
pub use response::Judged;
pub use transport::{Answer, Exchange, Transport, TransportError, TransportLimits};
pub use verify::VerifyError;

use crate::model::encoding::Encoding;
use crate::model::phone::Phone;
use crate::telemetry::Secret;

/// One message on its way to a provider; frozen before the first octet leaves.
#[derive(Clone, PartialEq, Eq)]
pub struct Submission {
    /// Our reference of this attempt: short, of letters, digits and `-._~`, never used twice.
    pub reference: String,
    /// The recipient.
    pub to: Phone,
    /// Our sender: a number or a name.
    pub sender: String,
    /// The text as it shall arrive.
    pub text: String,
    /// How its characters travel.
    pub encoding: Encoding,
    /// How many parts it has.
    pub parts: u16,
    /// Where receipts go, from [`Adapter::callback_url`]; none if nobody can call us.
    pub callback_url: Option<String>,
    /// How long it is worth delivering; none leaves that to the provider.
    pub validity: Option<Duration>,
}

impl fmt::Debug for Submission {
    /// The reference and the size; a text may hold a coupon code, so it is never shown.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { reference, to, parts, .. } = self;
        write!(f, "Submission({reference} to {to:?}, {parts} parts)")
    }
}

/// What a route says about its provider.
#[derive(Clone, Debug)]
pub struct RouteSettings {
    /// The route's name: lower-case letters, digits, `-` and `_`, because it stands in callback addresses.
    pub route: String,
    /// Credentials, by the names that the definition declares.
    pub secrets: BTreeMap<String, Secret>,
    /// Settings, by the names that the definition declares.
    pub settings: BTreeMap<String, String>,
    /// Whether plain `http://` may leave this machine.
    pub allow_http: bool,
    /// What makes the callback addresses of providers that sign nothing unguessable: 22 or more letters, digits, `-`, `_`.
    pub callback_token: Secret,
}

#[cfg(test)]
impl Submission {
    /// A message as tests need one; they change what they are about.
    pub(crate) fn sample() -> Self {
        Self {
            reference: "k3f9-1z8".to_owned(),
            to: Phone::from_e164("+14155550100").expect("valid"),
            sender: "ACME".to_owned(),
            text: "Hello".to_owned(),
            encoding: Encoding::Gsm7,
            parts: 1,
            callback_url: None,
            validity: None,
        }
    }
}

//! What `<name>.cases.toml` may say: recorded requests, answers, look-ups, receipts and texts, with what they mean.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::model::delivery::Delivery;
use crate::model::encoding::Encoding;
use crate::model::outcome::OutcomeClass;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CasesFile {
    pub(super) route: RouteCase,
    #[serde(default)]
    pub(super) request: Vec<RequestCase>,
    #[serde(default)]
    pub(super) answer: Vec<AnswerCase>,
    #[serde(default)]
    pub(super) lookup: Vec<LookupCase>,
    #[serde(default)]
    pub(super) receipt: Vec<ReceiptCase>,
    #[serde(default)]
    pub(super) inbound: Vec<InboundCase>,
}

/// The route that the cases were recorded with; its secrets are invented.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RouteCase {
    #[serde(default)]
    pub(super) secrets: BTreeMap<String, String>,
    #[serde(default)]
    pub(super) settings: BTreeMap<String, String>,
    #[serde(default)]
    pub(super) callback_token: String,
    #[serde(default)]
    pub(super) allow_http: bool,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct MessageCase {
    #[serde(default = "reference")]
    pub(super) reference: String,
    #[serde(default = "to")]
    pub(super) to: String,
    #[serde(default = "sender")]
    pub(super) sender: String,
    #[serde(default = "text")]
    pub(super) text: String,
    #[serde(default = "encoding")]
    pub(super) encoding: Encoding,
    #[serde(default)]
    pub(super) callback_url: Option<String>,
    #[serde(default)]
    pub(super) validity_seconds: Option<u64>,
}

fn reference() -> String {
    "k3f9-1z8".to_owned()
}

fn to() -> String {
    "+14155550100".to_owned()
}

fn sender() -> String {
    "ACME".to_owned()
}

fn text() -> String {
    "Hello".to_owned()
}

fn encoding() -> Encoding {
    Encoding::Gsm7
}

impl Default for MessageCase {
    fn default() -> Self {
        Self {
            reference: reference(),
            to: to(),
            sender: sender(),
            text: text(),
            encoding: encoding(),
            callback_url: None,
            validity_seconds: None,
        }
    }
}

/// What a request must be. Of query, form and json, those that are written are compared whole.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Expectation {
    pub(super) method: String,
    /// Without the query.
    pub(super) url: String,
    /// Headers that must be there.
    #[serde(default)]
    pub(super) headers: BTreeMap<String, String>,
    #[serde(default)]
    pub(super) query: BTreeMap<String, String>,
    #[serde(default)]
    pub(super) form: BTreeMap<String, String>,
    #[serde(default)]
    pub(super) json: Option<String>,
    /// The raw query, where its escapes matter.
    #[serde(default)]
    pub(super) raw_query: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RequestCase {
    pub(super) name: String,
    pub(super) messages: Vec<MessageCase>,
    pub(super) expect: Expectation,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AnswerCase {
    pub(super) name: String,
    /// The messages that were submitted; one with the default reference if missing.
    #[serde(default)]
    pub(super) messages: Vec<MessageCase>,
    pub(super) status: u16,
    #[serde(default)]
    pub(super) retry_after: Option<String>,
    #[serde(default)]
    pub(super) body: String,
    /// True if the provider had taken the same submission before: what a replay is answered with.
    #[serde(default)]
    pub(super) repeated: bool,
    /// One for each message.
    pub(super) expect: Vec<OutcomeCase>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct OutcomeCase {
    pub(super) class: OutcomeClass,
    #[serde(default)]
    pub(super) id: Option<String>,
    #[serde(default)]
    pub(super) code: Option<String>,
    #[serde(default)]
    pub(super) retry_after_seconds: Option<u64>,
    #[serde(default)]
    pub(super) duplicate: bool,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct LookupCase {
    pub(super) name: String,
    #[serde(default)]
    pub(super) message: MessageCase,
    /// RFC 3339.
    pub(super) submitted: String,
    #[serde(default)]
    pub(super) expect: Option<Expectation>,
    #[serde(default = "ok")]
    pub(super) status: u16,
    pub(super) body: String,
    /// The provider ids of those that could be ours; missing = the answer must be refused.
    #[serde(default)]
    pub(super) found: Option<Vec<FoundCase>>,
}

fn ok() -> u16 {
    200
}

#[derive(Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FoundCase {
    pub(super) id: String,
    #[serde(default)]
    pub(super) state: Delivery,
}

/// Whether a callback must be believed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Believed {
    #[default]
    Ok,
    Missing,
    Mismatch,
    Stale,
    Malformed,
}

/// A call as it came in.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CallCase {
    #[serde(default = "post")]
    pub(super) method: String,
    pub(super) url: String,
    #[serde(default)]
    pub(super) path_ref: Option<String>,
    #[serde(default)]
    pub(super) headers: BTreeMap<String, String>,
    #[serde(default)]
    pub(super) body: String,
    /// RFC 3339; only signatures with a time look at it.
    #[serde(default = "epoch")]
    pub(super) now: String,
}

fn post() -> String {
    "POST".to_owned()
}

fn epoch() -> String {
    "1970-01-01T00:00:00Z".to_owned()
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ReceiptCase {
    pub(super) name: String,
    pub(super) call: CallCase,
    #[serde(default)]
    pub(super) verify: Believed,
    /// What it reports; missing = only the verification is looked at.
    #[serde(default)]
    pub(super) expect: Option<Vec<ReportCase>>,
}

#[derive(Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ReportCase {
    #[serde(default)]
    pub(super) reference: Option<String>,
    #[serde(default)]
    pub(super) id: Option<String>,
    pub(super) state: Delivery,
    pub(super) status: String,
    #[serde(default)]
    pub(super) code: Option<String>,
    #[serde(default)]
    pub(super) opted_out: bool,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct InboundCase {
    pub(super) name: String,
    pub(super) call: CallCase,
    #[serde(default)]
    pub(super) verify: Believed,
    /// What was written; missing = only the verification is looked at.
    #[serde(default)]
    pub(super) expect: Option<Vec<TextCase>>,
}

#[derive(Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TextCase {
    pub(super) from: String,
    pub(super) to: String,
    pub(super) text: String,
    #[serde(default)]
    pub(super) id: Option<String>,
}

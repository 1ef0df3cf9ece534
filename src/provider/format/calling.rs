//! `[receipt]` and `[inbound]`: what providers call us with.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use super::{BodyWord, FieldFile, RuleFile, ScalarFile};
use crate::model::delivery::Delivery;

/// Which address the provider calls with receipts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum AddressWord {
    /// One for each message, ending in our reference.
    #[default]
    Message,
    /// One for the whole route; the receipt itself names the message.
    Route,
}

/// How a callback proves who called.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum VerifyFile {
    /// Base64 HMAC-SHA1 over the URL and the sorted form parameters; for other bodies the URL's `bodySHA256`.
    UrlParamsHmacSha1 {
        /// The header that holds the signature.
        header: String,
        /// The key.
        key: String,
    },
    /// HMAC-SHA256 over the raw body, or over `payload`.
    #[serde(rename = "hmac-sha256")]
    HmacSha256(HmacFile),
    /// HMAC-SHA1 over the raw body, or over `payload`.
    #[serde(rename = "hmac-sha1")]
    HmacSha1(HmacFile),
    /// `Authorization: Basic`.
    Basic {
        /// User name.
        user: String,
        /// Password.
        password: String,
    },
    /// The last path segment begins with the route's callback token; for providers that sign nothing.
    PathToken {},
}

/// An HMAC over a callback.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HmacFile {
    /// The header that holds the signature.
    pub header: String,
    /// The key.
    pub key: String,
    /// How the signature is written.
    #[serde(default)]
    pub encoding: DigestWord,
    /// What stands before it in the header, like `sha256=`.
    #[serde(default)]
    pub prefix: String,
    /// The header that holds the time of signing, in seconds since 1970.
    #[serde(default)]
    pub timestamp: Option<String>,
    /// How far that time may be from now, in seconds.
    #[serde(default = "tolerance")]
    pub tolerance_seconds: u64,
    /// What is signed, of `{timestamp}` and `{body}`.
    #[serde(default = "payload")]
    pub payload: String,
}

fn tolerance() -> u64 {
    300
}

fn payload() -> String {
    "{body}".to_owned()
}

/// How a digest is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum DigestWord {
    /// Hexadecimal, either case.
    #[default]
    Hex,
    /// Standard base64 with padding.
    Base64,
}

/// What we answer to a callback once it is stored.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ReplyFile {
    /// HTTP status.
    #[serde(default = "reply_status")]
    pub status: u16,
    /// Content type; none for an empty body.
    #[serde(default)]
    pub content_type: Option<String>,
    /// Body.
    #[serde(default)]
    pub body: String,
}

impl Default for ReplyFile {
    fn default() -> Self {
        Self { status: reply_status(), content_type: None, body: String::new() }
    }
}

fn reply_status() -> u16 {
    200
}

/// How delivery receipts are read.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ReceiptFile {
    /// One address for each message, or one for the route.
    #[serde(default)]
    pub address: AddressWord,
    /// How the provider proves that it is the one who calls.
    pub verify: VerifyFile,
    /// `form`, `json` or `query`.
    pub format: BodyWord,
    /// JSON pointer to the array, where one call carries many receipts.
    #[serde(default)]
    pub each: Option<String>,
    /// The provider's id of the message.
    #[serde(default)]
    pub id: Option<FieldFile>,
    /// Our reference, where the receipt holds it; otherwise it is taken from the address.
    #[serde(default)]
    pub reference: Option<FieldFile>,
    /// The provider's status.
    pub status: FieldFile,
    /// The provider's error code.
    #[serde(default)]
    pub code: Option<FieldFile>,
    /// Codes which say that the person opted out.
    #[serde(default)]
    pub opted_out: Vec<ScalarFile>,
    /// Status = state; a key may be a range of numbers like `20..29`.
    pub states: BTreeMap<String, Delivery>,
    /// Ordered rules that overrule `states`, the first that matches wins.
    #[serde(default)]
    pub refine: Vec<RuleFile<Delivery>>,
    /// What we answer.
    #[serde(default)]
    pub reply: ReplyFile,
}

/// How texts from customers are read.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct InboundFile {
    /// How the provider proves that it is the one who calls.
    pub verify: VerifyFile,
    /// `form`, `json` or `query`.
    pub format: BodyWord,
    /// JSON pointer to the array, where one call carries many texts.
    #[serde(default)]
    pub each: Option<String>,
    /// Who wrote.
    pub from: FieldFile,
    /// Our sender it was written to.
    pub to: FieldFile,
    /// What was written.
    pub text: FieldFile,
    /// The provider's id of the text.
    #[serde(default)]
    pub id: Option<FieldFile>,
    /// What we answer.
    #[serde(default)]
    pub reply: ReplyFile,
}

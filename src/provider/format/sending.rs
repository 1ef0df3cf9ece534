//! `[send]`: how a message is submitted.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The methods a request may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum MethodWord {
    /// Everything travels in the query.
    Get,
    /// A body.
    Post,
    /// A body, for providers that want it so.
    Put,
}

/// How a message is submitted. At most one of `form` and `json`.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SendFile {
    /// GET, POST or PUT.
    pub method: MethodWord,
    /// Where; may use `{secret.…}` and `{setting.…}` only.
    pub url: String,
    /// How the request proves who sends it.
    #[serde(default)]
    pub auth: Option<AuthFile>,
    /// Further headers; may use `{reference}`, `{secret.…}`, `{setting.…}`.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// Parameters of the URL.
    #[serde(default)]
    pub query: BTreeMap<String, ValueFile>,
    /// Fields of an `application/x-www-form-urlencoded` body.
    #[serde(default)]
    pub form: BTreeMap<String, ValueFile>,
    /// A JSON body: tables, arrays, strings with placeholders, numbers and booleans.
    #[serde(default)]
    #[schemars(with = "Option<serde_json::Map<String, serde_json::Value>>")]
    pub json: Option<toml::Table>,
    /// The field that makes a repeated submission harmless at the provider; only `reference` exists.
    #[serde(default)]
    pub idempotent_by: Option<IdempotentBy>,
    /// How long the provider remembers that field, in seconds.
    #[serde(default)]
    pub idempotent_seconds: Option<u64>,
    /// What a repeated submission must be, so that it is harmless.
    #[serde(default)]
    pub idempotent_request: RepeatWord,
}

/// What makes a repeated submission harmless.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum IdempotentBy {
    /// Our reference of the attempt.
    Reference,
}

/// What a repeated submission must be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RepeatWord {
    /// The same octets: the provider compares them.
    #[default]
    Same,
    /// Anything with the same reference: that alone decides.
    Any,
}

/// How the request proves who sends it.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum AuthFile {
    /// `Authorization: Basic`, RFC 7617.
    Basic {
        /// User name.
        user: String,
        /// Password.
        password: String,
    },
    /// `Authorization: Bearer`, RFC 6750.
    Bearer {
        /// The token.
        token: String,
    },
    /// Any one header.
    Header {
        /// Its name.
        name: String,
        /// Its value.
        value: String,
    },
}

/// A value: a text with placeholders, or one text for each encoding.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(
    untagged,
    expecting = "a value is a text, a number, a boolean, or a table like { gsm7 = \"0\", ucs2 = \"2\" }"
)]
pub enum ValueFile {
    /// A text with placeholders.
    Text(String),
    /// A whole number.
    Integer(i64),
    /// `true` or `false`.
    Boolean(bool),
    /// One text for each encoding.
    ByEncoding(EncodingFile),
}

/// One text for each encoding; the only conditional there is.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EncodingFile {
    /// For a text in GSM-7.
    pub gsm7: String,
    /// For a text in UCS-2.
    pub ucs2: String,
}

//! The TOML format of a definition, `format = 1`, as serde types: what may be written, not yet what it means.
//!
//! Doc comments here become the descriptions in `providers/schema.json`. Nothing here is checked beyond its shape;
//! [`super::check`] does that.

mod answering;
mod calling;
mod sending;

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

pub use answering::{EachFile, FoundBy, LookupFile, MatchBy, ResponseFile, TimeWord};
pub use calling::{AddressWord, DigestWord, HmacFile, InboundFile, ReceiptFile, ReplyFile, VerifyFile};
pub use sending::{AuthFile, EncodingFile, IdempotentBy, MethodWord, RepeatWord, SendFile, ValueFile};

/// One provider: how to submit, how to read its answers, how to read what it calls back with.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DefinitionFile {
    /// The version of this format: 1.
    pub format: u32,
    /// The provider's name; equal to the file's.
    pub name: String,
    /// One line for people.
    #[serde(default)]
    pub about: String,
    /// Another definition; every top-level key that is missing here is taken from it, whole. One level only.
    #[serde(default)]
    pub extends: Option<String>,
    /// Credentials a route must give: name = what it is and where to find it.
    #[serde(default)]
    pub secrets: BTreeMap<String, String>,
    /// Settings that are no secret: a base URL, a service id.
    #[serde(default)]
    pub settings: BTreeMap<String, SettingFile>,
    /// What one request and one account can bear.
    #[serde(default)]
    pub limits: LimitsFile,
    /// How a message is submitted.
    pub send: SendFile,
    /// How the answer to a submission is read.
    pub response: ResponseFile,
    /// How the provider is asked about a submission whose fate is unknown, in this order; `[]` if it cannot be.
    #[serde(default)]
    pub doubt: Option<Vec<RungWord>>,
    /// How to ask the provider whether it took a message.
    #[serde(default)]
    pub lookup: Option<LookupFile>,
    /// How delivery receipts are read.
    #[serde(default)]
    pub receipt: Option<ReceiptFile>,
    /// How texts from customers are read.
    #[serde(default)]
    pub inbound: Option<InboundFile>,
}

/// A way to ask a provider about a submission whose fate is unknown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RungWord {
    /// `[lookup]` by `reference`.
    Lookup,
    /// The same submission again, within `send.idempotent_seconds`.
    Replay,
    /// `[lookup]` by `content`.
    List,
}

/// One setting of a route.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SettingFile {
    /// What it is, for people.
    #[serde(default)]
    pub about: String,
    /// Its value where the route gives none; without a default the route must give one.
    #[serde(default)]
    pub default: Option<String>,
}

/// What one request and one account can bear.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LimitsFile {
    /// Messages in one request; more than 1 needs `each = "message"` in `send.json`.
    #[serde(default = "one")]
    pub recipients: u16,
    /// Parts a second that a new account may send, as a default for routes.
    #[serde(default)]
    pub parts_per_second: Option<u32>,
}

impl Default for LimitsFile {
    fn default() -> Self {
        Self { recipients: 1, parts_per_second: None }
    }
}

fn one() -> u16 {
    1
}

/// What a body looks like.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum BodyWord {
    /// JSON; fields are JSON pointers.
    #[default]
    Json,
    /// `application/x-www-form-urlencoded`; fields are names.
    Form,
    /// The parameters of the URL; fields are names.
    Query,
    /// Plain text; the only field is the text itself.
    Text,
}

/// Where to find one value.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(
    untagged,
    expecting = "a field is a text (a JSON pointer like \"/sid\", or a name) or a table like { at = \"/status\", after = \"id: \", before = \" \" }"
)]
pub enum FieldFile {
    /// A JSON pointer (RFC 6901) or the name of a form or query field.
    At(String),
    /// A stretch of such a value, or of the whole body where `at` is missing.
    Cut(CutFile),
}

/// A stretch of a text, between two marks.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CutFile {
    /// The value to cut from; the whole body if missing.
    #[serde(default)]
    pub at: Option<String>,
    /// The stretch begins after the first occurrence of this.
    #[serde(default)]
    pub after: String,
    /// The stretch ends before the next occurrence of this; missing = to the end.
    #[serde(default)]
    pub before: Option<String>,
}

/// A word or number to compare with.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(
    untagged,
    expecting = "a value to compare with is a text, a whole number or a boolean; a range is a text like \"500..599\""
)]
pub enum ScalarFile {
    /// A number.
    Integer(i64),
    /// A boolean.
    Boolean(bool),
    /// A word, or a range of numbers like `500..599`, both ends included.
    Text(String),
}

/// When a rule matches: every condition that is written must hold.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RuleFile<T> {
    /// Any of these HTTP statuses.
    #[serde(default)]
    pub http: Vec<ScalarFile>,
    /// The value that `is`, `contains` and `starts_with` look at; the whole body if missing.
    #[serde(default)]
    pub at: Option<String>,
    /// Any of these.
    #[serde(default)]
    pub is: Vec<ScalarFile>,
    /// A text inside it.
    #[serde(default)]
    pub contains: Option<String>,
    /// A text at its beginning.
    #[serde(default)]
    pub starts_with: Option<String>,
    /// What it means.
    #[serde(rename = "as")]
    pub as_: T,
    /// Why, for people; shown with the message and by `provider try`.
    #[serde(default)]
    pub why: Option<String>,
    /// With `accepted`: the provider refused a repeated id, so it already has the message.
    #[serde(default)]
    pub duplicate: bool,
}

/// The JSON Schema of [`DefinitionFile`], as `providers/schema.json` holds it: for completion in editors.
pub fn schema() -> String {
    let mut schema = schemars::schema_for!(DefinitionFile);
    // What is missing may come from the definition that is extended.
    if let Some(required) = schema.get_mut("required").and_then(serde_json::Value::as_array_mut) {
        required.retain(|key| key == "format" || key == "name");
    }
    let mut text = serde_json::to_string_pretty(&schema).expect("a schema is plain JSON");
    text.push('\n');
    text
}

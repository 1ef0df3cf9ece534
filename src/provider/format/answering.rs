//! `[response]` and `[lookup]`: how answers are read.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use super::{BodyWord, FieldFile, MethodWord, RuleFile, ValueFile};
use crate::model::outcome::OutcomeClass;

/// How the answer to a submission is read.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ResponseFile {
    /// `json` (the default), `form` or `text`.
    #[serde(default)]
    pub format: BodyWord,
    /// The provider's id of the message.
    #[serde(default)]
    pub id: Option<FieldFile>,
    /// The provider's error code; its presence makes a 4xx a definitive refusal.
    #[serde(default)]
    pub code: Option<FieldFile>,
    /// The provider's words; digits that could be a phone number are masked.
    #[serde(default)]
    pub detail: Option<FieldFile>,
    /// Ordered rules, the first that matches wins; without a match the HTTP status decides.
    #[serde(default)]
    pub class: Vec<RuleFile<OutcomeClass>>,
    /// How to read an answer that judges each message by itself.
    #[serde(default)]
    pub each: Option<EachFile>,
}

/// How to find the message that one item of an answer is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum MatchBy {
    /// The item holds our reference.
    Reference,
    /// The item holds the recipient's number.
    To,
    /// The items come in the order of the request.
    Index,
}

/// How to read an answer that judges each message by itself.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EachFile {
    /// JSON pointer to the array.
    pub list: String,
    /// How an item names its message.
    pub match_by: MatchBy,
    /// Where the item holds what `match_by` compares; not for `index`.
    #[serde(default)]
    pub match_at: Option<String>,
    /// The provider's id, inside the item.
    #[serde(default)]
    pub id: Option<FieldFile>,
    /// The provider's code, inside the item.
    #[serde(default)]
    pub code: Option<FieldFile>,
    /// The provider's words, inside the item.
    #[serde(default)]
    pub detail: Option<FieldFile>,
    /// Ordered rules; an item that none matches is garbled, an item that is missing is unknown.
    pub class: Vec<RuleFile<OutcomeClass>>,
}

/// How times are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TimeWord {
    /// `2026-10-01T10:00:00Z`.
    #[default]
    Rfc3339,
    /// `Thu, 01 Oct 2026 10:00:00 +0000`.
    Rfc2822,
    /// Seconds since 1970.
    Epoch,
    /// Milliseconds since 1970.
    EpochMs,
}

/// What makes a found message ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum FoundBy {
    /// It holds our reference.
    Reference,
    /// Same recipient, same text, and a time near the submission.
    Content,
}

/// How to ask the provider whether it took a message.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LookupFile {
    /// GET, as a rule.
    pub method: MethodWord,
    /// Where; may use `{secret.…}` and `{setting.…}` only. Authenticated like `send`.
    pub url: String,
    /// Parameters; may use the message's placeholders and `{submitted}`, milliseconds less two minutes of slack.
    #[serde(default)]
    pub query: BTreeMap<String, ValueFile>,
    /// How long the provider may take to show a message it took, in seconds; a minute if nothing is known.
    #[serde(default = "minute")]
    pub after_seconds: u64,
    /// How far back it can look, in seconds.
    pub within_seconds: u64,
    /// True if "not found" proves that the message was not taken.
    #[serde(default)]
    pub authoritative: bool,
    /// JSON pointer to the array of messages.
    pub list: String,
    /// What makes one of them ours.
    pub match_by: FoundBy,
    /// The provider's id.
    pub id: String,
    /// Our reference.
    #[serde(default)]
    pub reference: Option<String>,
    /// The recipient.
    #[serde(default)]
    pub to: Option<String>,
    /// The sender.
    #[serde(default)]
    pub from: Option<String>,
    /// The text.
    #[serde(default)]
    pub text: Option<String>,
    /// When the provider took it.
    #[serde(default)]
    pub at: Option<String>,
    /// How `at` is written.
    #[serde(default)]
    pub at_format: TimeWord,
    /// The provider's status, translated like that of a receipt.
    #[serde(default)]
    pub status: Option<String>,
}

fn minute() -> u64 {
    60
}

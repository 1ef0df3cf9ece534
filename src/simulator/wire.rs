//! The JSON that the simulated provider reads and writes, and what it makes of a submission in any form.
//!
//! Requests are borrowed from their bytes. It never decides anything.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

/// `POST /v1/messages`.
#[derive(Debug, Deserialize)]
pub(super) struct Submission<'a> {
    #[serde(borrow)]
    pub(super) to: Cow<'a, str>,
    #[serde(borrow)]
    pub(super) from: Cow<'a, str>,
    #[serde(borrow)]
    pub(super) text: Cow<'a, str>,
    #[serde(borrow)]
    pub(super) reference: Cow<'a, str>,
    #[serde(borrow, default)]
    pub(super) callback_url: Option<Cow<'a, str>>,
    #[serde(skip)]
    pub(super) report: Report,
}

/// How the receipts of a submission travel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Report {
    /// Posted as JSON, signed.
    #[default]
    Signed,
    /// As a call of an address with codes filled in, about the events whose bits are set.
    Filled(u8),
}

/// The answer to an accepted submission.
#[derive(Debug, Serialize)]
pub(super) struct Taken<'a> {
    pub(super) id: &'a str,
    pub(super) status: &'static str,
}

/// The answer to everything else; `detail` is for people.
#[derive(Debug, Serialize)]
pub(super) struct Problem<'a> {
    pub(super) error: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) detail: Option<&'a str>,
}

/// The answer to a look-up: every accepted submission with the reference or for the recipient, oldest first.
#[derive(Debug, Serialize)]
pub(super) struct Found {
    pub(super) messages: Vec<FoundMessage>,
}

/// One accepted submission and how far it came.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct FoundMessage {
    pub(super) id: String,
    pub(super) reference: String,
    pub(super) to: String,
    pub(super) from: String,
    pub(super) text: String,
    pub(super) at: i64,
    pub(super) status: &'static str,
}

/// A callback with receipts.
#[derive(Debug, Serialize)]
pub(super) struct ReceiptCallback<'a> {
    pub(super) receipts: Vec<ReceiptLine<'a>>,
}

/// One receipt.
#[derive(Debug, Serialize)]
pub(super) struct ReceiptLine<'a> {
    pub(super) id: String,
    pub(super) reference: &'a str,
    pub(super) status: &'static str,
    pub(super) code: Option<&'static str>,
    pub(super) at: i64,
}

/// A callback with a customer's reply.
#[derive(Debug, Serialize)]
pub(super) struct ReplyCallback<'a> {
    pub(super) id: String,
    pub(super) from: &'a str,
    pub(super) to: &'a str,
    pub(super) text: &'a str,
}

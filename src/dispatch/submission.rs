//! A message as its provider is given it: the same for a lane, a replay and a question about it. Pure.

use std::time::Duration;

use crate::model::clock::Timestamp;
use crate::model::message::Claimed;
use crate::provider::{Adapter, Submission};

/// Longest time a provider is asked to keep trying to deliver.
const LONGEST_VALIDITY: Duration = Duration::from_hours(24);

/// The request for one attempt of a message, known by `reference`; its answers come back to `public_url`.
pub(super) fn submission(
    adapter: &Adapter,
    public_url: Option<&str>,
    message: &Claimed,
    reference: String,
    now: Timestamp,
) -> Submission {
    Submission {
        callback_url: public_url.and_then(|url| adapter.callback_url(url, &reference)),
        reference,
        to: message.phone,
        sender: message.sender.clone(),
        text: message.body.clone(),
        encoding: message.encoding,
        parts: message.parts,
        validity: Some(message.expires_at.since(now).min(LONGEST_VALIDITY)),
    }
}

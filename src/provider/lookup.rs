//! Reads the answer to "did you take this message?".
//!
//! It only says which messages of the provider could be ours; what that proves is decided by whoever asked.

use std::time::Duration;

use super::Submission;
use super::definition::{Definition, Lookup};
use super::extract::{Field, Fields};
use super::format::{BodyWord, FoundBy, TimeWord};
use super::rule::{self, Evidence};
use super::transport::Answer;
use crate::model::clock::Timestamp;
use crate::model::delivery::Delivery;
use crate::model::phone::Phone;

/// How much earlier than our submission a provider's clock may date a message.
pub(crate) const SLACK_BEFORE: Duration = Duration::from_mins(2);
/// How much later than our submission a provider may date a message.
const SLACK_AFTER: Duration = Duration::from_mins(10);

/// A message that the provider has and that could be ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// The provider's id.
    pub provider_id: String,
    /// Our reference, if the provider kept it.
    pub reference: Option<String>,
    /// When the provider took it, if it says so.
    pub at: Option<Timestamp>,
    /// The provider's status, as given.
    pub status: Option<String>,
    /// What that status means, by the definition's table for receipts.
    pub delivery: Delivery,
}

/// Why an answer to a look-up says nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LookupError {
    /// The definition has no `[lookup]`.
    #[error("the provider offers no look-up")]
    NotOffered,
    /// No answer at all.
    #[error("the look-up was not answered: {0}; ask again later")]
    NoAnswer(&'static str),
    /// Not a success.
    #[error("the provider answered the look-up with http {0}; ask again later")]
    Status(u16),
    /// A success that cannot be read.
    #[error("the answer to the look-up has no array at `{0}`; ask again later")]
    Unreadable(String),
}

/// The messages in `answer` that could be `submission`.
pub(crate) fn found(
    definition: &Definition,
    answer: &Answer,
    submission: &Submission,
    submitted: Timestamp,
) -> Result<Vec<Found>, LookupError> {
    let lookup = definition.lookup.as_ref().ok_or(LookupError::NotOffered)?;
    if !(200..300).contains(&answer.status) {
        return Err(LookupError::Status(answer.status));
    }
    let unreadable = || LookupError::Unreadable(lookup.list.clone());
    if answer.truncated {
        return Err(unreadable());
    }
    let fields = Fields::read(BodyWord::Json, &answer.body);
    let list = fields.list(&lookup.list).ok_or_else(unreadable)?;
    let ours = list.iter().map(Fields::item).filter(|item| is_ours(lookup, item, submission, submitted));
    Ok(ours.filter_map(|item| read(definition, lookup, &item)).collect())
}

fn is_ours(lookup: &Lookup, item: &Fields<'_>, submission: &Submission, submitted: Timestamp) -> bool {
    let value = |field: &Option<Field>| field.as_ref().and_then(|field| field.find(item));
    match lookup.match_by {
        FoundBy::Reference => value(&lookup.reference).is_some_and(|found| found == submission.reference),
        FoundBy::Content => {
            let to = value(&lookup.to).and_then(|to| Phone::from_e164(&to)) == Some(submission.to);
            let text = value(&lookup.text).is_some_and(|text| text == submission.text);
            let from = value(&lookup.from).is_none_or(|from| from == submission.sender);
            let near = time(lookup, item)
                .is_some_and(|at| at >= submitted.minus(SLACK_BEFORE) && at <= submitted.plus(SLACK_AFTER));
            to && text && from && near
        }
    }
}

fn read(definition: &Definition, lookup: &Lookup, item: &Fields<'_>) -> Option<Found> {
    let value = |field: &Option<Field>| field.as_ref().and_then(|field| field.find(item));
    let status = value(&lookup.status).map(std::borrow::Cow::into_owned);
    let delivery = definition.receipt.as_ref().and_then(|receipt| {
        let evidence = Evidence { status: None, body: "", fields: item };
        let refined = rule::first(&receipt.refine, &evidence).map(|(_, rule)| rule.meaning);
        refined.or_else(|| receipt.states.read(status.as_deref()?).map(|(_, state)| state))
    });
    Some(Found {
        provider_id: lookup.id.find(item)?.into_owned(),
        reference: value(&lookup.reference).map(std::borrow::Cow::into_owned),
        at: time(lookup, item),
        status,
        delivery: delivery.unwrap_or_default(),
    })
}

fn time(lookup: &Lookup, item: &Fields<'_>) -> Option<Timestamp> {
    let text = lookup.at.as_ref()?.find(item)?;
    match lookup.at_format {
        TimeWord::Rfc3339 => Timestamp::parse(&text).ok(),
        TimeWord::Rfc2822 => jiff::fmt::rfc2822::parse(&text).ok().map(|at| Timestamp::from(at.timestamp())),
        TimeWord::Epoch => text.parse::<i64>().ok().map(|seconds| Timestamp(seconds.saturating_mul(1000))),
        TimeWord::EpochMs => text.parse().ok().map(Timestamp),
    }
}

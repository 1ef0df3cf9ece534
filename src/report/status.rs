//! One run in numbers: accepted, delivered, failed, in doubt, parts, money, codes.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::model::clock::Timestamp;
use crate::model::delivery::Delivery;
use crate::model::money::Micros;
use crate::model::run::Run;
use crate::model::state::Dispatch;
use crate::store::status::Tally;
use crate::store::{Store, StoreError};

/// A run in numbers.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Status {
    /// The campaign.
    pub campaign: String,
    /// The run.
    pub run: i64,
    /// Where it stands.
    pub state: &'static str,
    /// When it was launched.
    #[serde(serialize_with = "Timestamp::as_text")]
    pub launched_at: Timestamp,
    /// When nothing was left to send.
    #[serde(serialize_with = "Timestamp::as_text")]
    pub finished_at: Option<Timestamp>,
    /// Messages written, of how many.
    pub prepared: i64,
    /// Messages it was launched with.
    pub messages: i64,
    /// Contacts that were left out at launch because they had enough texts.
    pub withheld: i64,
    /// Messages that wait: planned, queued or claimed.
    pub waiting: i64,
    /// Messages between intent and outcome.
    pub submitting: i64,
    /// Messages that providers accepted.
    pub accepted: i64,
    /// Of these, those that only a person says were accepted.
    pub accepted_by_decision: i64,
    /// Accepted messages on the handset.
    pub delivered: i64,
    /// Accepted messages that could not be delivered.
    pub undelivered: i64,
    /// Accepted messages without a final receipt.
    pub open_receipts: i64,
    /// Messages that were refused or ran out of attempts.
    pub failed: i64,
    /// Messages whose fate nobody knows, open and closed.
    pub in_doubt: i64,
    /// Of these, those closed as unknown.
    pub parked: i64,
    /// Messages withdrawn before a byte left: suppressed, cancelled, expired, blocked.
    pub withdrawn: i64,
    /// Messages that may have arrived twice: two copies of them were taken, or may have been, by decision.
    pub possible_duplicates: i64,
    /// Messages whose final receipts contradict each other.
    pub conflicts: i64,
    /// Parts of accepted messages.
    pub parts: i64,
    /// Price of accepted messages and of those in doubt; of those that were sent again, of every copy that was taken or may
    /// have been.
    #[serde(serialize_with = "Micros::as_text")]
    pub cost: Micros,
    /// Money reserved by submissions.
    #[serde(serialize_with = "Micros::as_text")]
    pub spent: Micros,
    /// Most it may spend.
    #[serde(serialize_with = "Micros::as_text")]
    pub budget: Option<Micros>,
    /// Currency of the money.
    pub currency: String,
    /// Every message by dispatch state.
    pub dispatch: BTreeMap<&'static str, i64>,
    /// Accepted messages by delivery state.
    pub delivery: BTreeMap<&'static str, i64>,
    /// Messages by route.
    pub routes: BTreeMap<String, i64>,
    /// Why messages ended without acceptance.
    pub reasons: Vec<Reason>,
    /// Codes bound to messages, by state.
    pub codes: BTreeMap<String, i64>,
}

/// Why messages ended without acceptance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Reason {
    /// Their state.
    pub state: &'static str,
    /// The reason as recorded.
    pub reason: String,
    /// How many.
    pub messages: i64,
}

/// Reads the numbers of a run, as it stands now: all of one instant.
///
/// # Errors
/// When the store cannot be read, or has no such run.
pub async fn status(store: &Store, run: &Run) -> Result<Status, StoreError> {
    let numbers = store.numbers(run.id).await?;
    let mut status = sum(&numbers.run, &numbers.tallies);
    status.reasons = numbers
        .reasons
        .into_iter()
        .map(|(state, reason, messages)| Reason { state: state.as_str(), reason, messages })
        .collect();
    status.accepted_by_decision = numbers.accepted_by_decision;
    status.codes = numbers.codes.into_iter().collect();
    Ok(status)
}

/// What texts that share a state cost, as far as is known: each once, and of those that were sent again each copy.
fn cost(tally: &Tally) -> Micros {
    let once = match tally.dispatch {
        Dispatch::Accepted | Dispatch::Ambiguous | Dispatch::Unknown => tally.price.0 - tally.resent_price.0,
        _ => 0,
    };
    Micros(once).plus(tally.copies_price)
}

fn sum(run: &Run, tallies: &[Tally]) -> Status {
    let of = |wanted: &dyn Fn(&Tally) -> bool| -> i64 {
        tallies.iter().filter(|tally| wanted(tally)).map(|tally| tally.messages).sum()
    };
    let is = |states: &'static [Dispatch]| move |tally: &Tally| states.contains(&tally.dispatch);
    let accepted = is(&[Dispatch::Accepted]);
    let mut status = Status {
        campaign: run.terms.campaign.clone(),
        run: run.id.0,
        state: run.state.as_str(),
        launched_at: run.created_at,
        finished_at: run.finished_at,
        prepared: run.prepared,
        messages: run.messages(),
        withheld: run.withheld,
        waiting: of(&is(&[Dispatch::Planned, Dispatch::Queued, Dispatch::Claimed])),
        submitting: of(&is(&[Dispatch::Submitting])),
        accepted: of(&accepted),
        accepted_by_decision: 0,
        delivered: of(&|t| accepted(t) && t.delivery.rank() >= Delivery::Delivered.rank()),
        undelivered: of(&|t| accepted(t) && t.delivery.rank() == Delivery::Undelivered.rank()),
        open_receipts: of(&|t| accepted(t) && !t.delivery.is_final()),
        failed: of(&is(&[Dispatch::Rejected, Dispatch::Failed])),
        in_doubt: of(&is(&[Dispatch::Ambiguous, Dispatch::Unknown])),
        parked: of(&is(&[Dispatch::Unknown])),
        withdrawn: of(&is(&[
            Dispatch::Suppressed,
            Dispatch::Cancelled,
            Dispatch::Expired,
            Dispatch::Blocked,
        ])),
        possible_duplicates: tallies.iter().map(|tally| tally.possible_duplicates).sum(),
        conflicts: tallies.iter().map(|tally| tally.conflicts).sum(),
        parts: tallies.iter().filter(|tally| accepted(tally)).map(|tally| tally.parts).sum(),
        cost: tallies.iter().fold(Micros(0), |sum, tally| sum.plus(cost(tally))),
        spent: run.spent,
        budget: run.terms.budget,
        currency: run.terms.currency.clone(),
        dispatch: BTreeMap::new(),
        delivery: BTreeMap::new(),
        routes: BTreeMap::new(),
        reasons: Vec::new(),
        codes: BTreeMap::new(),
    };
    for tally in tallies {
        *status.dispatch.entry(tally.dispatch.as_str()).or_default() += tally.messages;
        *status.routes.entry(tally.route.clone()).or_default() += tally.messages;
        if accepted(tally) {
            *status.delivery.entry(tally.delivery.as_str()).or_default() += tally.messages;
        }
    }
    status
}

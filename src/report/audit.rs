//! Holds a provider's ledger against the store: what it accepted must be what we believe it accepted.
//!
//! The ledger is the truth about the wire; our own tables are what is being judged.

use std::collections::HashMap;

use serde::Serialize;
use sha2::{Digest as _, Sha256};

use crate::model::hex::hex;
use crate::model::ids::{MessageId, RunId};
use crate::model::reference;
use crate::model::state::Dispatch;
use crate::store::{Store, StoreError};

/// Messages read at a time.
const PAGE: i64 = 5_000;

/// One message that a provider took.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Taken {
    /// The reference it was given.
    pub reference: String,
    /// The number, in E.164.
    pub to: String,
    /// SHA-256 of the text, in hex.
    pub body_sha256: String,
}

/// The result, in fixed terms. Every list but `accepted` must be empty.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Audit {
    /// Messages that both sides know as accepted.
    pub accepted: i64,
    /// Accepted by us, unknown to the ledger.
    pub lost: i64,
    /// Taken more than once without a recorded decision to resend.
    pub duplicated: i64,
    /// Taken, and never planned.
    pub unexpected: i64,
    /// Taken, and not known as accepted or in doubt.
    pub unrecorded: i64,
    /// Taken with another text or number than planned.
    pub wrong: i64,
    /// In doubt on our side, taken or not.
    pub unresolved: i64,
}

impl Audit {
    /// Whether ledger and store agree. Doubt is not disagreement: it is said, counted and visible.
    pub fn agrees(&self) -> bool {
        self.lost + self.duplicated + self.unexpected + self.unrecorded + self.wrong == 0
    }
}

/// Compares a ledger with one run.
///
/// # Errors
/// When the store cannot be read.
pub async fn audit(
    store: &Store,
    run: RunId,
    ledger: impl IntoIterator<Item = Taken>,
) -> Result<Audit, StoreError> {
    let mut audit = Audit::default();
    let mut taken: HashMap<i64, Vec<Taken>> = HashMap::new();
    for entry in ledger {
        match reference::resolve(store.tag(), &entry.reference) {
            Some((message, _)) => taken.entry(message.0).or_default().push(entry),
            None => audit.unexpected += 1,
        }
    }
    let mut after = MessageId(0);
    loop {
        let page = store.messages(run, None, after, PAGE).await?;
        let Some(last) = page.last() else { break };
        after = last.id;
        for message in page {
            let entries = taken.remove(&message.id.0).unwrap_or_default();
            let accepted = message.dispatch == Dispatch::Accepted;
            // A message that was sent again by decision may have arrived the first time, whatever became of the second.
            let doubtful = matches!(message.dispatch, Dispatch::Ambiguous | Dispatch::Unknown)
                || (message.possible_duplicate && !accepted);
            audit.unresolved += i64::from(doubtful);
            match entries.len() {
                0 => audit.lost += i64::from(accepted),
                _ if accepted => audit.accepted += 1,
                _ if doubtful => {}
                _ => audit.unrecorded += 1,
            }
            audit.duplicated += i64::from(entries.len() > 1 && !message.possible_duplicate);
            let body = hex(&Sha256::digest(message.body.as_bytes()));
            let number = message.phone.e164();
            audit.wrong += i64::from(entries.iter().any(|e| e.to != number || e.body_sha256 != body));
        }
    }
    audit.unexpected += i64::try_from(taken.len()).unwrap_or(i64::MAX);
    Ok(audit)
}

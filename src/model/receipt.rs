//! What providers tell us after a submission: delivery receipts and texts from customers, as plain nouns.

use serde::{Deserialize, Serialize};

use super::delivery::Delivery;
use super::phone::Phone;

/// One delivery report, already translated from the provider's own words.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receipt {
    /// Our own reference, if the provider hands it back.
    pub reference: Option<String>,
    /// The provider's id of the message, normalised as its definition says.
    pub provider_id: Option<String>,
    /// What it reports.
    pub state: Delivery,
    /// The provider's word for it, as given.
    pub status: String,
    /// The provider's error code, if any.
    pub code: Option<String>,
    /// True when the code says that the person opted out at the provider.
    pub opted_out: bool,
}

/// One text from a customer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Inbound {
    /// Who wrote.
    pub from: Phone,
    /// Our sender it was written to, as the provider gives it.
    pub to: String,
    /// What was written.
    pub text: String,
    /// The provider's id of this text, the key that makes a repeated callback a no-op.
    pub provider_id: Option<String>,
}

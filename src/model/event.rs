//! What a contact did at a time, as an import or a hook tells it.

use super::attributes::Attributes;
use super::clock::Timestamp;
use super::money::Micros;
use super::phone::Phone;

/// One event on its way into the store. `kind` and `event_id` together name it: told twice, it is kept once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventRecord {
    /// `order`, `login`, `visit`, `redemption`, … in the words of the shop.
    pub kind: String,
    /// The shop's own id of the event, unique within its kind.
    pub event_id: String,
    /// Whose it is, by the shop's key. An event of a customer who is not known yet waits for the contact.
    pub customer_id: Option<String>,
    /// Whose it is, by number; used when the key is missing or belongs to nobody.
    pub phone: Option<Phone>,
    /// When it happened.
    pub occurred_at: Timestamp,
    /// What it was worth.
    pub value: Option<Micros>,
    /// Everything else that was told about it.
    pub props: Attributes,
}

//! Row ids as distinct types, so that a message id never lands where a contact id is meant.

use serde::{Deserialize, Serialize};

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident),+ $(,)?) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub i64);

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                self.0.fmt(f)
            }
        }
    )+};
}

ids! {
    /// A contact.
    ContactId,
    /// One launch of a campaign.
    RunId,
    /// One text for one contact in one run.
    MessageId,
    /// One submission of a message to a provider.
    AttemptId,
    /// A stock of coupon codes.
    PoolId,
    /// One coupon code.
    CouponId,
    /// One row of the receipt inbox.
    ReceiptId,
}

//! The nouns of winback, pure: no input, no output, no SQL.
//!
//! Only this module decides whether a state may change ([`state`], [`delivery`]) and only [`clock`] reads the time.

pub mod attributes;
pub mod clock;
pub mod contact;
pub mod country;
pub mod coupon;
pub mod delivery;
pub mod doubt;
pub mod encoding;
pub mod event;
pub mod hex;
pub mod ids;
pub mod message;
pub mod money;
pub mod number;
pub mod outcome;
pub mod phone;
pub mod receipt;
pub mod reference;
pub mod run;
pub mod stage;
pub mod state;
pub mod suppression;

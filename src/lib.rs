//! winback sends coupon messages by SMS to customers who are about to be lost, and proves what that brought.
//!
//! The tour, in dependency order; a module may use those above it, never those below:
//!
//! - [`telemetry`]: metric names, log set-up, strings that never print themselves
//! - [`model`]: the nouns: ids, phone, contact, message and its states, outcome, receipt, coupon, money, clock
//! - [`provider`]: definitions of SMS services; a message into a request, an answer into an outcome, callbacks into receipts

pub mod telemetry;

pub mod model;

pub mod provider;

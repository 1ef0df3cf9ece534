//! winback sends coupon messages by SMS to customers who are about to be lost, and proves what that brought.
//!
//! The tour, in dependency order; a module may use those above it, never those below:
//!
//! - [`telemetry`]: metric names, log set-up, strings that never print themselves
//! - [`model`]: the nouns: ids, phone, contact, message and its states, outcome, receipt, coupon, money, clock
//! - [`document`]: TOML files read strictly, every mistake shown in its place
//! - [`text`]: pure SMS text: the alphabet, parts, plain spellings, templates, keywords
//! - [`segment`]: who receives: the audience language, parsed into a typed tree and compiled to SQL
//! - [`campaign`]: pure: campaign files, calendar, zones and lawful windows
//! - [`provider`]: definitions as data: a message into a request, an answer into an outcome, a callback into receipts
//! - [`store`]: the only module that runs SQL; SQLite and PostgreSQL
//! - [`intake`]: files and lists into the store: contacts, events, coupons, opt-outs
//! - [`dispatch`]: runs into messages, messages through their states
//! - [`http`]: callbacks, health, metrics
//! - [`report`]: what happened: status, funnel, cost
//! - [`simulator`]: an SMS provider to rehearse against, with a ledger of everything it accepted
//! - [`config`]: one file composes each module's own configuration; the only reader of the environment
//! - [`daemon`]: starts and stops everything in order
//! - [`cli`]: one file per command

pub mod telemetry;

pub mod model;

pub mod campaign;
pub mod document;
pub mod segment;
pub mod text;

pub mod provider;
pub mod store;

pub mod dispatch;
pub mod http;
pub mod intake;
pub mod report;
pub mod simulator;

pub mod cli;
pub mod config;
pub mod daemon;

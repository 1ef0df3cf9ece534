//! The audience language: a condition over one contact, read from SQL-like text into a typed tree and compiled to
//! parameterised SQL. Pure: it never runs SQL, never reads the clock, and nothing a user writes becomes SQL text.
//!
//! ```text
//! stage in ('sleeping', 'lost') and sum('order', '365 days') >= 200 and not tagged('vip')
//! ```
//!
//! The grammar and its precedences come from a SQL parser; [`parse()`] refuses everything that is not listed here and
//! checks every type. The same text gives the same contacts on `SQLite` and on `PostgreSQL`.
//!
//! # What can be asked
//!
//! | written | is | compared with |
//! |---|---|---|
//! | `stage`, `country`, `locale`, `zone`, `first_name`, `last_name`, `email`, `customer_id`, `number_kind` | text | `'text'`, by code point; `like` |
//! | `created_at`, `updated_at`, `consent_at` | instant | `'2026-03-01'`, `'2026-03-01 10:00'`, `'2026-03-01T10:00:00Z'` |
//! | `attr.NAME`, `attr."Any name"` | imported value | `'text'`, a number, `true` or `false`; `like` |
//! | `tagged('vip')` | condition | |
//! | `count('order')`, `count('order', '90 days')` | whole number, 0 without events | `3` |
//! | `sum('order')`, `sum('order', '90 days')` | money, 0 without events | `199.90` |
//! | `first('order')`, `last('order')` | instant, null without events | as instants above |
//! | `days_since('order')` | whole days, null without events | `30` |
//! | `received('campaign')`, `received('campaign', '30 days')` | condition | |
//! | `true`, `false` | everyone, no one | |
//!
//! Tests are `= <> < <= > >=`, `[not] between a and b`, `[not] in (…)`, `[not] like`, `is [not] null`; they combine
//! with `and`, `or`, `not` and parentheses. Two values of one type may be compared with each other
//! (`last('order') < last('login')`).
//!
//! # Exact meanings
//!
//! - **Null.** Three-valued logic as in SQL; a contact is in the segment when the condition is true. An empty text is
//!   null, so comparing with `''` is refused: `is null` says it.
//! - **Text** is compared by code point, with case. `like` ignores the case of the letters a to z only; `%` stands for
//!   any run of characters, `_` for one, and `\` takes the next `%`, `_` or `\` literally.
//! - **Attributes** are JSON texts, numbers or truths; lists and objects are null. Compared with a text, the value is
//!   taken as it is written. Compared with a number, the value must be written in plain decimals (at most twelve digits
//!   before the point; after the sixth one behind it the rest is cut off), else it is null. Compared with a truth, it
//!   must be written `true` or `false`, else it is null.
//! - **As of.** Events and messages count when they happened at or before the *as of* instant, so that a past audience
//!   can be asked again. Columns, tags and attributes have no history: they are as they are now.
//! - **Periods** (`'24 hours'`, `'30 days'`, `'2 weeks'`, `'6 months'`, `'1 year'`) reach back from the *as of* instant:
//!   `as_of - period < occurred_at <= as_of`. Hours are exact; the others move by the calendar of the shop's zone and
//!   keep the local time of day.
//! - **Days** are counted between local dates in the shop's zone: an order late yesterday is one day ago this morning.
//! - **A date** without a time is the whole local day: `= '2026-03-01'` is any instant of it, `<= '2026-03-01'`
//!   includes it, `> '2026-03-01'` begins with the next day. A time without an offset is local to the shop's zone.
//!
//! A new condition is one file in [`condition`] and one line in its list.

pub mod condition;
mod dialect;
pub mod error;
mod grammar;
mod literal;
mod parse;
pub mod period;
mod refusal;
mod show;
pub mod sql;
pub mod tree;

#[cfg(test)]
mod tests;

pub use dialect::Dialect;
pub use error::SegmentError;
pub use parse::parse;
pub use period::AsOf;
pub use sql::{Fragment, Value, compile};
pub use tree::{Expression, UnknownKind};

/// Longest text of an expression, in bytes.
pub const MAX_LENGTH: usize = 8 * 1024;

/// Deepest nesting of parentheses and `not`.
pub const MAX_DEPTH: usize = 64;

/// Most values in one `in (…)` list.
pub const MAX_LIST: usize = 1000;

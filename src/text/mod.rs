//! Pure SMS text: what it costs, how to spell it cheaper, how a template becomes a text, and what an answer means.
//!
//! - [`gsm7`]: the default alphabet
//! - [`parts`]: encoding, units and parts of a text
//! - [`smart`]: plain spellings that keep a text in GSM-7
//! - [`template`]: a marketer's template, checked once and rendered for each contact
//! - [`keywords`]: STOP, START and HELP in the answers of customers
//! - [`mod@report`]: all that a person wants to know about one text before paying for it
//!
//! Nothing here reads a file, a clock or a store, and nothing decides whether a text may be sent.

pub mod gsm7;
pub mod keywords;
pub mod parts;
pub mod report;
pub mod smart;
pub mod template;

#[cfg(test)]
mod vectors;

pub use report::{TextReport, report};

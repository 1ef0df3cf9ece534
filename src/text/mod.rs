//!
//! - [`gsm7`]: the default alphabet and its packing
//! - [`parts`]: encoding, units and parts of a text
//!
//! Nothing here reads a file, a clock or a store, and nothing decides whether a text may be sent.

pub mod gsm7;
pub mod parts;

#[cfg(test)]
mod vectors;


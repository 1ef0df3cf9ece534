//! What the outside sees of a running process: metric names, log set-up, and strings that never print themselves.
//!
//! Open to every module; depends on none. It never decides anything and never holds business data.

pub mod secret;

pub use secret::Secret;

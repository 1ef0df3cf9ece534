//! What the outside sees of a running process: metric names, log set-up, and strings that never print themselves.
//!
//! Open to every module; depends on none. It never decides anything and never holds business data.

pub mod fault;
pub mod log;
pub mod metrics;
pub mod secret;

pub use metrics::Metrics;
pub use secret::Secret;

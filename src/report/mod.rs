//! What happened: the numbers of a run, from the store alone. Reads, never writes.

pub mod audit;
pub mod status;

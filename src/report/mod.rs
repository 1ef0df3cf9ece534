//! What happened: the numbers of a run, from the store alone. Changes nothing in it.

pub mod archive;
pub mod audit;
pub mod slow;
pub mod status;

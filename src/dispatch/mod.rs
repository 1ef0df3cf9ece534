//! Moves runs into messages and messages through their states.
//!
//! What to do is decided by pure modules ([`core`], [`settle`], [`pace`], [`breaker`], [`retry`], [`prepare`]); the others
//! move rows and bytes for them. Nothing here runs SQL or knows a provider's name.

pub mod audience;
pub mod bell;
pub mod breaker;
pub mod core;
pub mod finish;
pub mod inquire;
pub mod ladder;
pub mod lane;
pub mod launch;
pub mod pace;
pub mod permits;
pub mod plan;
pub mod prepare;
pub mod resolve;
pub mod retry;
pub mod settle;
pub mod sweep;
pub mod terms;
pub mod why;

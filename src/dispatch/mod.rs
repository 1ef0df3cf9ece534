//! Moves runs into messages and messages through their states.

pub mod breaker;
pub mod core;
pub mod lane;
pub mod pace;
pub mod retry;
pub mod settle;

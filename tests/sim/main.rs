//! The simulation: many small worlds in which everything that can go wrong does, decided by the real core of dispatch.
//!
//! `cargo test --test sim -- seed=7` plays one world again and shows all of its history; `seeds=1000000` plays as many.
//! What the worlds are made of says `docs/simulation.md`.

// `cfg(test)` is always on here; it tells the lints that these modules are tests.
#[cfg(test)]
mod answering;
#[cfg(test)]
mod asking;
#[cfg(test)]
mod calls;
#[cfg(test)]
mod character;
#[cfg(test)]
mod clockwork;
#[cfg(test)]
mod dice;
#[cfg(test)]
mod differential;
#[cfg(test)]
mod dump;
#[cfg(test)]
mod faults;
#[cfg(test)]
mod history;
#[cfg(test)]
mod invariants;
#[cfg(test)]
mod launching;
#[cfg(test)]
mod model;
#[cfg(test)]
mod node;
#[cfg(test)]
mod provider;
#[cfg(test)]
mod stale;
#[cfg(test)]
mod tables;
#[cfg(test)]
mod taught;
#[cfg(test)]
mod telling;
#[cfg(test)]
mod trouble;
#[cfg(test)]
mod world;
#[cfg(test)]
mod worlds;
#[cfg(test)]
mod writing;

//! Real daemons that are killed, stopped, starved and lied to, against a simulator in a process of its own. Every story
//! ends with an audit of the provider's ledger and a check of the store.
//!
//! Chance comes from a seed that is printed; `cargo test --test it -- faults:: seed=7` plays another one. A test whose
//! fault never came about fails.

mod clock;
mod disk;
mod kills;
mod life;
mod mount;
mod points;
mod power;
mod server;
mod signals;
mod soak;
mod stand;

/// A number that the command line names, as `seed=7`: the test runner takes it for a name that no test has.
fn named(key: &str) -> Option<u64> {
    std::env::args().find_map(|arg| arg.strip_prefix(key)?.strip_prefix('=')?.parse().ok())
}

/// The seed of a test, printed.
fn seed(test: &str) -> u64 {
    let seed = named("seed").unwrap_or(7);
    println!("{test}: seed={seed}");
    seed
}

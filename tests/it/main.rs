//! The integration tests: one binary, so that they share one PostgreSQL and link once.

// `cfg(test)` is always on here; it tells the lints that these modules are tests.
#[cfg(test)]
mod cli;
#[cfg(test)]
mod dispatch;
#[cfg(test)]
mod faults;
#[cfg(test)]
mod intake;
#[cfg(test)]
mod journey;
#[cfg(test)]
mod providers;
#[cfg(test)]
mod receipts;
#[cfg(test)]
mod segment;
#[cfg(test)]
mod simulator;
#[cfg(test)]
mod states;
#[cfg(test)]
mod store;
#[cfg(test)]
mod support;
#[cfg(test)]
mod tidy;

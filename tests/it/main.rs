//! The integration tests: one binary, one module for each subject.

// `cfg(test)` is always on here; it tells the lints that these modules are tests.
#[cfg(test)]
mod segment;
#[cfg(test)]
mod support;

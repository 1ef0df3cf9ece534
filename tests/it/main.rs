//! The integration tests: one binary, so that they share one PostgreSQL and link once.

mod store;
mod support;

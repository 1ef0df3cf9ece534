//! What the integration tests stand on: databases that come and go with the test process.

pub(crate) mod postgres;
pub(crate) mod sql;
pub(crate) mod stores;

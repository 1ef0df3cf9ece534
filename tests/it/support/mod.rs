//! What several integration tests share.

pub(crate) mod audience;
pub(crate) mod evaluate;
pub(crate) mod postgres;

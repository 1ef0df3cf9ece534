//! What the integration tests stand on: databases that come and go with the test process, people to ask about.

pub(crate) mod audience;
pub(crate) mod calls;
pub(crate) mod evaluate;
pub(crate) mod gate;
pub(crate) mod hand;
pub(crate) mod postgres;
pub(crate) mod sql;
pub(crate) mod stores;
pub(crate) mod world;

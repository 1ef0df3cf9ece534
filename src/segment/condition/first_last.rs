//! `first(kind)` and `last(kind)`: the instants of the first and the last event of a kind, null without any.

use super::{Argument, Function, events};
use crate::segment::sql::Writer;
use crate::segment::tree::{Call, Kind};

pub(super) static FIRST: Function = Function {
    name: "first",
    takes: Argument::Kind,
    period: false,
    yields: Kind::Instant,
    about: "when the contact's first event of a kind happened, null without any",
    sql: |call, sql| format!("(SELECT min(e.occurred_at) {})", events(call, sql)),
};

pub(super) static LAST: Function = Function {
    name: "last",
    takes: Argument::Kind,
    period: false,
    yields: Kind::Instant,
    about: "when the contact's last event of a kind happened, null without any",
    sql: last,
};

/// The instant of the last event; both databases read it from the end of the index.
pub(super) fn last(call: &Call, sql: &mut Writer<'_>) -> String {
    format!("(SELECT max(e.occurred_at) {})", events(call, sql))
}

//! `sum(kind, period)`: the value of the events of a kind together; 0 without any, events without a value add nothing.

use super::{Argument, Function, events};
use crate::segment::tree::Kind;

pub(super) static SUM: Function = Function {
    name: "sum",
    takes: Argument::Kind,
    period: true,
    yields: Kind::Money,
    about: "the money of the contact's events of a kind together, 0 without any",
    sql: |call, sql| format!("(SELECT coalesce(sum(e.value), 0) {})", events(call, sql)),
};

//! `count(kind, period)`: how many events of a kind; 0 without any.

use super::{Argument, Function, events};
use crate::segment::tree::Kind;

pub(super) static COUNT: Function = Function {
    name: "count",
    takes: Argument::Kind,
    period: true,
    yields: Kind::Count,
    about: "how many events of a kind the contact has, 0 without any",
    sql: |call, sql| format!("(SELECT count(*) {})", events(call, sql)),
};

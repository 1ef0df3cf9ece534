//! `days_since(kind)`: whole days between the local dates of the last event and of *as of*, null without any.
//!
//! The number itself is never computed in SQL, where local dates are hard: the test on days becomes a test on the
//! instant of the last event, against midnights computed with the shop's zone (see [`crate::segment::sql`]).

use super::{Argument, Function, first_last};
use crate::segment::tree::Kind;

pub(super) static DAYS_SINCE: Function = Function {
    name: "days_since",
    takes: Argument::Kind,
    period: false,
    yields: Kind::Days,
    about: "days since the contact's last event of a kind, by local dates, null without any",
    sql: first_last::last,
};

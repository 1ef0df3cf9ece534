//! `received(campaign, period)`: whether a message of a campaign was submitted to the contact.

use super::{Argument, Function, since};
use crate::segment::tree::Kind;

pub(super) static RECEIVED: Function = Function {
    name: "received",
    takes: Argument::Campaign,
    period: true,
    yields: Kind::Truth,
    about: "a message of the campaign was submitted to the contact",
    sql: |call, sql| {
        let campaign = sql.text(&call.name);
        let until = sql.as_of();
        let after = since("m.submitted_at", call, sql);
        format!(
            "EXISTS (SELECT 1 FROM messages m JOIN runs r ON r.id = m.run_id WHERE m.contact_id = c.id \
             AND r.campaign = {campaign} AND m.submitted_at <= {until}{after})"
        )
    },
};

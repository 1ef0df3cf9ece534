//! `received(campaign, period)`: whether a message of a campaign went out to the contact, or may have.

use super::{Argument, Function, since};
use crate::segment::tree::Kind;

/// Whether a submitted message `m` may have left: what was refused, or never reached the provider, does not count as had.
/// Of a message that was sent again in doubt an earlier copy may have left whatever became of the last one; when
/// retention has taken its attempts (its text went with them), nobody can say any more that none did. They are counted
/// because PostgreSQL might look at all attempts there are for an `EXISTS` within an `OR`.
macro_rules! may_have_left {
    () => {
        "(m.dispatch IN ('submitting', 'accepted', 'ambiguous', 'unknown') OR (m.possible_duplicate = 1 \
          AND (m.body = '' OR (SELECT count(*) FROM attempts AS a WHERE a.message_id = m.id \
            AND (a.outcome IS NULL OR a.outcome IN ('accepted', 'unknown', 'garbled')) \
            AND NOT EXISTS (SELECT 1 FROM decisions AS d WHERE d.message_id = a.message_id AND d.number = a.number \
              AND d.verdict = 'not-sent')) > 0)))"
    };
}
pub(crate) use may_have_left;

pub(super) static RECEIVED: Function = Function {
    name: "received",
    takes: Argument::Campaign,
    period: true,
    yields: Kind::Truth,
    about: "a message of the campaign went out to the contact, or may have",
    sql: |call, sql| {
        let campaign = sql.text(&call.name);
        let until = sql.as_of();
        let after = since("m.submitted_at", call, sql);
        let left = may_have_left!();
        format!(
            "EXISTS (SELECT 1 FROM messages m JOIN runs r ON r.id = m.run_id WHERE m.contact_id = c.id \
             AND r.campaign = {campaign} AND m.submitted_at <= {until}{after} AND {left})"
        )
    },
};

//! `tagged(tag)`: whether the contact carries a tag, by its exact name.

use super::{Argument, Function};
use crate::segment::tree::Kind;

pub(super) static TAGGED: Function = Function {
    name: "tagged",
    takes: Argument::Tag,
    period: false,
    yields: Kind::Truth,
    about: "the contact carries the tag",
    sql: |call, sql| {
        let tag = sql.text(&call.name);
        format!("EXISTS (SELECT 1 FROM contact_tags t WHERE t.contact_id = c.id AND t.tag = {tag})")
    },
};

//! The known columns of a contact. `phone` is not among them: a segment describes people, and a number in an expression
//! would be a number in a file, a plan and a log.

use crate::segment::tree::Kind;

/// A column of a contact.
#[derive(Debug, PartialEq, Eq)]
pub struct Column {
    /// Its name in the language.
    pub name: &'static str,
    /// Its type.
    pub kind: Kind,
    /// Its name in SQL.
    pub(in crate::segment) sql: &'static str,
}

const fn text(name: &'static str, sql: &'static str) -> Column {
    Column { name, kind: Kind::Text, sql }
}

const fn instant(name: &'static str, sql: &'static str) -> Column {
    Column { name, kind: Kind::Instant, sql }
}

/// Every column of the language.
pub static COLUMNS: &[Column] = &[
    text("stage", "c.stage"),
    text("country", "c.country"),
    text("locale", "c.locale"),
    text("zone", "c.zone"),
    text("first_name", "c.first_name"),
    text("last_name", "c.last_name"),
    text("email", "c.email"),
    text("customer_id", "c.customer_id"),
    text("number_kind", "c.number_kind"),
    instant("created_at", "c.created_at"),
    instant("updated_at", "c.updated_at"),
    instant("consent_at", "c.consent_at"),
];

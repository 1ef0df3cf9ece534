//! `attr.NAME`: a value that an import brought along, read as the text, the number or the truth it is compared with.

use crate::segment::sql::Writer;

/// How the value of a subject is read; matters for attributes alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::segment) enum Reading {
    /// As it is written.
    Plain,
    /// As a number in millionths, else null.
    Number,
    /// As `true` or `false`, else null.
    Truth,
}

/// The attribute of the contact `c` in the given reading.
pub(super) fn value(name: &str, reading: Reading, sql: &mut Writer<'_>) -> String {
    let dialect = sql.dialect;
    let key = sql.text(&dialect.json_key(name));
    let plain = dialect.json_text("c.attrs", &key);
    match reading {
        Reading::Plain => plain,
        Reading::Number => dialect.millionths(&plain),
        Reading::Truth => {
            format!(
                "(SELECT CASE WHEN v.t IN ('true', 'false') THEN v.t END FROM (SELECT {plain} AS t) AS v)"
            )
        }
    }
}

//! What can be asked about a contact, one file for each condition with its type and its SQL. A new function is a file
//! here and a line in [`FUNCTIONS`]; a new column is a line in [`COLUMNS`]. Only text of this module becomes SQL text.

mod attribute;
mod column;
mod count;
mod days_since;
mod first_last;
mod received;
mod sum;
mod tagged;

use std::fmt;

use super::sql::Writer;
use super::tree::{Call, Kind, Subject};

pub(super) use attribute::Reading;
pub use column::{COLUMNS, Column};
pub(crate) use received::may_have_left;

/// Every function of the language.
pub static FUNCTIONS: &[&Function] = &[
    &tagged::TAGGED,
    &count::COUNT,
    &sum::SUM,
    &days_since::DAYS_SINCE,
    &first_last::FIRST,
    &first_last::LAST,
    &received::RECEIVED,
];

/// A function: how it is written, what it yields, and its SQL.
pub struct Function {
    /// Its name in the language.
    pub name: &'static str,
    /// What its first argument names.
    pub takes: Argument,
    /// Whether a period may follow.
    pub period: bool,
    /// The type of its value.
    pub yields: Kind,
    /// What it means, in one line for people.
    pub about: &'static str,
    /// Its value as a SQL expression over the contact `c`.
    pub(super) sql: fn(&Call, &mut Writer<'_>) -> String,
}

/// What the first argument of a function names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Argument {
    /// A kind of event.
    Kind,
    /// A tag.
    Tag,
    /// A campaign.
    Campaign,
}

impl Argument {
    /// The word for people.
    pub fn word(self) -> &'static str {
        match self {
            Self::Kind => "kind",
            Self::Tag => "tag",
            Self::Campaign => "campaign",
        }
    }

    /// A typical value, for suggestions.
    pub(super) fn sample(self) -> &'static str {
        match self {
            Self::Kind => "order",
            Self::Tag => "vip",
            Self::Campaign => "national-day",
        }
    }
}

impl Function {
    /// How it is written: `count(kind, period)`.
    pub fn usage(&self) -> String {
        format!("{}({}{})", self.name, self.takes.word(), if self.period { ", period" } else { "" })
    }

    /// An example: `count('order', '90 days')`.
    pub fn example(&self) -> String {
        let period = if self.period { ", '90 days'" } else { "" };
        format!("{}('{}'{period})", self.name, self.takes.sample())
    }
}

impl PartialEq for Function {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl fmt::Debug for Function {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

/// The value of a subject as SQL, an attribute in the reading that its test needs.
pub(super) fn value(subject: &Subject, reading: Reading, sql: &mut Writer<'_>) -> String {
    match subject {
        Subject::Column(column) => column.sql.to_owned(),
        Subject::Attribute(name) => attribute::value(name, reading, sql),
        Subject::Call(call) => (call.function.sql)(call, sql),
    }
}

/// The events of a call: `FROM … WHERE …`, those after *as of* or before the period left out.
fn events(call: &Call, sql: &mut Writer<'_>) -> String {
    let kind = sql.text(&call.name);
    let until = sql.as_of();
    let after = since("e.occurred_at", call, sql);
    format!("FROM events e WHERE e.contact_id = c.id AND e.kind = {kind} AND e.occurred_at <= {until}{after}")
}

/// The lower bound of the call's period, if it has one, as a further `AND`.
fn since(instant: &str, call: &Call, sql: &mut Writer<'_>) -> String {
    call.period.map_or_else(String::new, |period| format!(" AND {instant} > {}", sql.start_of(period)))
}

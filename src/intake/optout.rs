//! A row of a list of opt-outs into a draft of a suppression, or the reason to reject it.
//!
//! Errs on the side of silence: a number that fits no numbering plan is suppressed all the same, and an unreadable
//! time or an overlong reason never lets an opt-out get lost.

use jiff::tz::TimeZone;

use super::headers::{Columns, Field, HeaderError, Mapping};
use super::reason::Reason;
use super::table::Row;
use super::value::{self, DayPart, MAX_SHORT};
use crate::model::clock::Timestamp;
use crate::model::country::Country;
use crate::model::number;
use crate::model::phone::Phone;

/// The columns of a list of opt-outs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OptoutField {
    /// The number; required.
    Phone,
    /// Why, or from where.
    Reason,
    /// When.
    At,
}

impl Field for OptoutField {
    const ALL: &'static [Self] = &[Self::Phone, Self::Reason, Self::At];
    const EXTRA: Option<&'static str> = None;

    fn word(self) -> &'static str {
        match self {
            Self::Phone => "phone",
            Self::Reason => "reason",
            Self::At => "at",
        }
    }

    fn synonyms(self) -> &'static str {
        super::synonyms::optout(self)
    }
}

/// What holds for every row of a file.
#[derive(Clone, Debug)]
pub struct OptoutOptions {
    /// Country of phone numbers that have no country code.
    pub country: Option<Country>,
    /// Zone of times that have none: the shop's.
    pub zone: TimeZone,
}

/// A number that must not be texted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OptoutDraft {
    /// Where the row begins.
    pub line: u64,
    /// The number.
    pub phone: Phone,
    /// Why, as the file says, at most 254 characters of it.
    pub reason: Option<String>,
    /// When, if the file says so legibly; else it counts from the import.
    pub at: Option<Timestamp>,
}

/// Reads the rows of one list of opt-outs.
#[derive(Debug)]
pub struct OptoutReader {
    columns: Columns<OptoutField>,
    phone: usize,
    options: OptoutOptions,
}

impl OptoutReader {
    /// Finds the columns of the list.
    ///
    /// # Errors
    /// When no column, or more than one, is the phone.
    pub fn new(headers: &[String], mapping: &Mapping, options: OptoutOptions) -> Result<Self, HeaderError> {
        let columns = Columns::find(headers, mapping)?;
        let phone = columns.require(OptoutField::Phone, headers)?;
        Ok(Self { columns, phone, options })
    }

    /// Which column is what.
    pub fn columns(&self) -> &Columns<OptoutField> {
        &self.columns
    }

    /// Reads one row.
    ///
    /// # Errors
    /// When the number cannot be read.
    pub fn read(&self, row: &Row) -> Result<OptoutDraft, Reason> {
        let phone = number::parse(&value::clean(row.get(self.phone)), self.options.country)?.phone;
        let field = |field| self.columns.get(field).map_or("", |at| row.get(at));
        let reason: String = value::clean(field(OptoutField::Reason)).chars().take(MAX_SHORT).collect();
        let at = value::time(field(OptoutField::At), &self.options.zone, DayPart::Start).ok();
        Ok(OptoutDraft { line: row.line(), phone, reason: (!reason.is_empty()).then_some(reason), at })
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;
    use crate::intake::source::Source;
    use crate::intake::table::{Next, Table, TableOptions};

    #[test]
    fn an_opt_out_is_kept_even_where_the_row_is_sloppy() {
        let text = "Handynummer;Grund;Datum\n\
                    0151 23456789;STOP;2026-10-01\n\
                    +49 30 0000;Anruf;neulich\n\
                    keine;x;\n";
        let source = Source::from_reader("test", Cursor::new(text), None).expect("opens");
        let mut table = Table::open(source, &TableOptions::default()).expect("opens");
        let options = OptoutOptions { country: "DE".parse().ok(), zone: TimeZone::UTC };
        let reader = OptoutReader::new(table.headers(), &Mapping::default(), options).expect("columns");
        let (mut row, mut all) = (Row::default(), Vec::new());
        while table.next_row(&mut row).expect("reads") == Next::Row {
            all.push(reader.read(&row));
        }
        let first = all[0].as_ref().expect("a draft");
        assert_eq!((first.phone.digits(), first.reason.as_deref()), (4_915_123_456_789, Some("STOP")));
        assert_eq!(first.at.map(Timestamp::rfc3339).as_deref(), Some("2026-10-01T00:00:00Z"));
        let second = all[1].as_ref().expect("kept although no number is like that");
        assert_eq!((second.phone.digits(), second.at), (49_300_000, None));
        assert!(all[2].is_err());
    }
}

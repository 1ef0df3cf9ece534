//! A row of a list of coupon codes into a clean draft of a code, or the reason to reject it.
//!
//! Takes free codes for one use only: a code with a recipient, another usage limit or a later start is rejected, not
//! bent. Columns beyond those known are not imported. Never prints a code.

use std::collections::HashSet;

use jiff::tz::TimeZone;
use sha2::{Digest, Sha256};
use unicode_normalization::UnicodeNormalization;

use super::headers::{Columns, Field, HeaderError, Mapping, fold};
use super::reason::Reason;
use super::table::Row;
use super::value::{self, DayPart};
use crate::model::clock::Timestamp;
use crate::model::coupon::CouponCode;
use crate::model::money::Micros;

/// Codes of one file that are remembered to find repeats (some 70 MiB); beyond, the pool's unique index finds them.
const MAX_REMEMBERED: usize = 2_000_000;

/// The columns of a list of codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CouponField {
    /// The code; required.
    Code,
    /// When it ends.
    Expires,
    /// When it begins.
    Starts,
    /// What it is worth, in the unit of its pool.
    Value,
    /// How often it can be used.
    Limit,
    /// Whose it is already.
    Recipient,
}

impl Field for CouponField {
    const ALL: &'static [Self] =
        &[Self::Code, Self::Expires, Self::Starts, Self::Value, Self::Limit, Self::Recipient];
    const EXTRA: Option<&'static str> = None;

    fn word(self) -> &'static str {
        match self {
            Self::Code => "code",
            Self::Expires => "expires",
            Self::Starts => "starts",
            Self::Value => "value",
            Self::Limit => "limit",
            Self::Recipient => "recipient",
        }
    }

    fn synonyms(self) -> &'static str {
        super::synonyms::coupon(self)
    }
}

/// What holds for every row of a file.
#[derive(Clone, Debug)]
pub struct CouponOptions {
    /// Zone of times that have none: the shop's. A code with a date as its end is good until the end of that day.
    pub zone: TimeZone,
    /// What is past is expired.
    pub now: Timestamp,
    /// Fewest characters of a code, without spaces and hyphens.
    pub least_length: usize,
}

/// A code as a row describes it. `Debug` shows the start of the code only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CouponDraft {
    /// Where the row begins.
    pub line: u64,
    /// The code as it is looked up.
    pub code: CouponCode,
    /// The code as the shop writes it, for the text; a plain hyphen and a plain space stand for all others.
    pub spelling: Spelling,
    /// When it ends, if the row says so.
    pub expires_at: Option<Timestamp>,
    /// What it is worth, in the unit of its pool, if the row says so.
    pub value: Option<Micros>,
}

/// A code in the shop's spelling; never prints itself.
#[derive(Clone, PartialEq, Eq)]
pub struct Spelling(String);

impl Spelling {
    /// The code, for the text that carries it.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for Spelling {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("[code]")
    }
}

/// Reads the rows of one list of codes and remembers them to find repeats.
#[derive(Debug)]
pub struct CouponReader {
    columns: Columns<CouponField>,
    options: CouponOptions,
    seen: HashSet<[u8; 16]>,
}

impl CouponReader {
    /// Finds the columns of the list. A column `value` is the code in some systems and its worth in others: without a
    /// column of codes beside it the user must say.
    ///
    /// # Errors
    /// When no column, or more than one, is the code.
    pub fn new(headers: &[String], mapping: &Mapping, options: CouponOptions) -> Result<Self, HeaderError> {
        let columns = Columns::find(headers, mapping)?;
        if columns.get(CouponField::Code).is_none() && headers.iter().any(|header| fold(header) == "value") {
            return Err(HeaderError::CodeOrValue);
        }
        columns.require(CouponField::Code, headers)?;
        Ok(Self { columns, options, seen: HashSet::new() })
    }

    /// Which column is what.
    pub fn columns(&self) -> &Columns<CouponField> {
        &self.columns
    }

    /// Reads one row. A rejected code is not remembered: a good row with it may follow.
    ///
    /// # Errors
    /// Why the row is rejected.
    pub fn read(&mut self, row: &Row) -> Result<CouponDraft, Reason> {
        let raw = value::clean(self.field(row, CouponField::Code));
        let code = CouponCode::parse(&raw)?;
        if code.reveal().len() < self.options.least_length {
            return Err(Reason::CodeTooShort);
        }
        let limit = value::clean(self.field(row, CouponField::Limit));
        if !matches!(limit.as_ref(), "" | "1") {
            return Err(Reason::CodeReusable);
        }
        if !value::clean(self.field(row, CouponField::Recipient)).is_empty() {
            return Err(Reason::CodeBound);
        }
        let expires_at = self.time(row, CouponField::Expires, DayPart::End)?;
        if expires_at.is_some_and(|end| end <= self.options.now) {
            return Err(Reason::CodeExpired);
        }
        if self.time(row, CouponField::Starts, DayPart::Start)?.is_some_and(|start| start > self.options.now)
        {
            return Err(Reason::CodeNotStarted);
        }
        let value = self.value(row)?;
        if !self.remember(&code) {
            return Err(Reason::CodeRepeated);
        }
        Ok(CouponDraft { line: row.line(), code, spelling: Spelling(spelling(&raw)), expires_at, value })
    }

    fn field<'r>(&self, row: &'r Row, field: CouponField) -> &'r str {
        self.columns.get(field).map_or("", |at| row.get(at))
    }

    fn time(&self, row: &Row, field: CouponField, part: DayPart) -> Result<Option<Timestamp>, Reason> {
        let raw = self.field(row, field);
        if raw.trim().is_empty() {
            return Ok(None);
        }
        value::time(raw, &self.options.zone, part)
            .map(Some)
            .map_err(|_| Reason::Time { column: field.word() })
    }

    fn value(&self, row: &Row) -> Result<Option<Micros>, Reason> {
        let raw = self.field(row, CouponField::Value);
        if raw.trim().is_empty() {
            return Ok(None);
        }
        value::amount(raw).map(Some).map_err(|_| Reason::Amount)
    }

    /// False if the code was in the file before.
    fn remember(&mut self, code: &CouponCode) -> bool {
        let mut key = [0; 16];
        key.copy_from_slice(&Sha256::digest(code.reveal().as_bytes())[..16]);
        if self.seen.len() >= MAX_REMEMBERED {
            return !self.seen.contains(&key);
        }
        self.seen.insert(key)
    }
}

/// The code as written, in characters that cost one septet each: every kind of hyphen and space is the plain one.
fn spelling(raw: &str) -> String {
    let plain = |c: char| match c {
        c if c.is_whitespace() => ' ',
        c if c.is_ascii() => c,
        _ => '-',
    };
    raw.nfkc().map(plain).collect()
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;
    use crate::intake::source::Source;
    use crate::intake::table::{Next, Table, TableOptions};
    use crate::model::coupon::BadCode;

    fn read(text: &str, mapping: &str) -> Result<Vec<Result<CouponDraft, Reason>>, HeaderError> {
        let source = Source::from_reader("test", Cursor::new(text.to_owned()), None).expect("opens");
        let mut table = Table::open(source, &TableOptions::default()).expect("opens");
        let now = Timestamp::parse("2026-10-01T12:00:00Z").expect("a time");
        let options = CouponOptions { zone: TimeZone::UTC, now, least_length: 6 };
        let mut reader = CouponReader::new(table.headers(), &mapping.parse()?, options)?;
        let (mut row, mut all) = (Row::default(), Vec::new());
        while table.next_row(&mut row).expect("reads") == Next::Row {
            all.push(reader.read(&row));
        }
        Ok(all)
    }

    #[test]
    fn every_code_that_cannot_be_given_away_is_rejected_with_the_reason() {
        let header = "code,expires,starts,limit,recipient,amount\n";
        let check = |row: &str, expected: Result<(), Reason>| {
            let read = read(&format!("{header}{row}\n"), "").expect("columns").remove(0);
            assert_eq!(read.map(drop), expected, "{row}");
        };
        check("7KM9PQ2X5,2026-12-31,2026-01-01,1,,20", Ok(()));
        check("7KM9PQ2X5,2026-10-01,,,,", Ok(()));
        check("7KM9PQ2X5,2026-09-30,,,,", Err(Reason::CodeExpired));
        check("7KM9PQ2X5,31.12.2026,,,,", Err(Reason::Time { column: "expires" }));
        check("7KM9PQ2X5,,2026-10-02,,,", Err(Reason::CodeNotStarted));
        check("7KM9PQ2X5,,,0,,", Err(Reason::CodeReusable));
        check("7KM9PQ2X5,,,,9,", Err(Reason::CodeBound));
        check("7KM9PQ2X5,,,,,free", Err(Reason::Amount));
        check("7K-M9,,,,,", Err(Reason::CodeTooShort));
        check("SAVE%20NOW,,,,,", Err(Reason::Code(BadCode::Characters)));
        check(",,,1,,", Err(Reason::Code(BadCode::Empty)));
    }

    #[test]
    fn a_repeat_is_found_however_it_is_spelled() {
        let read = read("Voucher Code;valid until\nSave-20\u{2011}now;2026-12-31\nSAVE 20 NOW;\n", "")
            .expect("columns");
        let first = read[0].as_ref().expect("a draft");
        assert_eq!((first.code.reveal(), first.spelling.reveal()), ("SAVE20NOW", "Save-20-now"));
        assert_eq!(first.expires_at.map(Timestamp::rfc3339).as_deref(), Some("2026-12-31T23:59:59Z"));
        assert_eq!(read[1], Err(Reason::CodeRepeated));
        assert!(!format!("{first:?}").contains("20N"), "{first:?}");
    }

    #[test]
    fn a_column_value_is_asked_about() {
        let text = "value,expirydate\n7KM9PQ2X5,2026-12-31T00:00:00Z\n";
        let error = read(text, "").expect_err("ambiguous").to_string();
        assert!(error.contains("--map code=value"), "{error}");
        assert!(read(text, "code=value").expect("columns")[0].is_ok());
    }
}

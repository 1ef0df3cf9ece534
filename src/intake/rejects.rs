//! The rejected rows as a CSV file that a person mends and imports again: why, then the row as it was.
//!
//! Never writes a cell that a spreadsheet would run as a formula: a cell that begins like one gets an apostrophe in
//! front, which intake takes away again. That holds for phone numbers with a plus, too.

use std::borrow::Cow;
use std::io::Write;

use super::reason::Reason;
use super::table::Row;

/// The columns before those of the file.
pub const COLUMNS: [&str; 3] = ["rejected_line", "rejected_reason", "rejected_why"];

/// Whether a file that begins like this was written by [`Rejects`], also when a spreadsheet has saved it since.
pub fn begins(beginning: &[u8]) -> bool {
    let text = String::from_utf8_lossy(beginning);
    let first = text.trim_start_matches('\u{FEFF}').trim_start_matches('"');
    first
        .strip_prefix(COLUMNS[0])
        .is_some_and(|rest| !rest.starts_with(|c: char| c.is_alphanumeric() || c == '_'))
}

/// Writes rejected rows, comma-separated UTF-8, every cell quoted.
pub struct Rejects<W: Write> {
    writer: csv::Writer<W>,
    keep: Vec<bool>,
}

impl<W: Write> Rejects<W> {
    /// Writes the header. Columns of an earlier reject file are dropped, so that mending twice does not pile them up.
    ///
    /// # Errors
    /// When the output cannot be written.
    pub fn new(output: W, headers: &[String]) -> Result<Self, csv::Error> {
        let keep: Vec<bool> = headers.iter().map(|header| !COLUMNS.contains(&header.as_str())).collect();
        let mut writer =
            csv::WriterBuilder::new().quote_style(csv::QuoteStyle::Always).flexible(true).from_writer(output);
        let kept = headers.iter().zip(&keep).filter(|(_, keep)| **keep).map(|(header, _)| header.as_str());
        writer.write_record(COLUMNS.into_iter().chain(kept).map(|cell| plain(cell).into_owned()))?;
        Ok(Self { writer, keep })
    }

    /// Writes one row, with the line it had in its file.
    ///
    /// # Errors
    /// When the output cannot be written.
    pub fn write(&mut self, row: &Row, reason: &Reason) -> Result<(), csv::Error> {
        let (line, why) = (row.line().to_string(), reason.to_string());
        for cell in [line.as_str(), &reason.word(), &why] {
            self.writer.write_field(cell)?;
        }
        for (at, cell) in row.fields().enumerate() {
            if self.keep.get(at).copied().unwrap_or(true) {
                self.writer.write_field(plain(cell).as_ref())?;
            }
        }
        self.writer.write_record(None::<&[u8]>)
    }

    /// Writes out what is buffered and gives the output back.
    ///
    /// # Errors
    /// When the output cannot be written.
    pub fn finish(self) -> std::io::Result<W> {
        self.writer.into_inner().map_err(csv::IntoInnerError::into_error)
    }
}

/// A cell that no spreadsheet takes for a formula: spaces and tabs before it say nothing and go.
fn plain(cell: &str) -> Cow<'_, str> {
    let cell = cell.trim_start();
    if cell.starts_with(['=', '+', '-', '@']) { Cow::Owned(format!("'{cell}")) } else { Cow::Borrowed(cell) }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use proptest::prelude::*;

    use super::*;
    use crate::intake::source::Source;
    use crate::intake::table::{Next, RowFault, Table, TableOptions};
    use crate::intake::value::clean;

    fn open(text: &str) -> Table {
        let source = Source::from_reader("test", Cursor::new(text.to_owned()), None).expect("opens");
        Table::open(source, &TableOptions::default()).expect("opens")
    }

    fn reject_all(text: &str, reason: &Reason) -> String {
        let (mut table, mut row) = (open(text), Row::default());
        let mut rejects = Rejects::new(Vec::new(), table.headers()).expect("writes");
        while table.next_row(&mut row).expect("reads") != Next::End {
            rejects.write(&row, reason).expect("writes");
        }
        String::from_utf8(rejects.finish().expect("writes")).expect("text")
    }

    #[test]
    fn a_reject_tells_line_and_reason_and_keeps_the_row() {
        let written = reject_all("id;phone\n1;+1 480;\n2\n", &Reason::PhoneInvalid);
        let why = Reason::PhoneInvalid.to_string();
        let expected = format!(
            "\"rejected_line\",\"rejected_reason\",\"rejected_why\",\"id\",\"phone\"\n\
             \"2\",\"phone_invalid\",\"{why}\",\"1\",\"'+1 480\"\n\"3\",\"phone_invalid\",\"{why}\",\"2\"\n"
        );
        assert_eq!(written, expected);
    }

    #[test]
    fn a_file_of_rejected_rows_is_known_by_its_first_column() {
        let check = |text: &str, is: bool| assert_eq!(begins(text.as_bytes()), is, "{text}");
        check(&reject_all("id;phone\n1;x\n", &Reason::PhoneInvalid), true);
        check("\u{FEFF}rejected_line;rejected_reason;rejected_why;phone\n", true);
        for other in ["", "id,phone\n", "rejected_lines,phone\n", "phone,rejected_line\n", "[store]\n"] {
            check(other, false);
        }
    }

    #[test]
    fn a_mended_file_that_is_rejected_again_does_not_pile_up_columns() {
        let once = reject_all("id,phone\n1,x\n", &Reason::PhoneInvalid);
        assert_eq!(reject_all(&once, &Reason::PhoneInvalid), once);
    }

    #[test]
    fn no_reason_lacks_a_word_or_a_sentence() {
        let reasons = [
            Reason::Row(RowFault::ZeroByte),
            Reason::Phone(crate::model::number::BadNumber::Rounded),
            Reason::TooLong { column: "attr.notes".into() },
            Reason::Code(crate::model::coupon::BadCode::Characters),
        ];
        for reason in reasons {
            assert!(reason.word().chars().all(|c| c.is_ascii_lowercase() || c == '_'), "{reason}");
            assert!(reason.to_string().len() > 10, "{reason}");
        }
    }

    proptest! {
        #[test]
        fn no_cell_is_a_formula_and_every_value_survives(cell in "[=+@a\t \"',-]{1,8}") {
            let text = plain(&cell);
            prop_assert!(!text.trim_start().starts_with(['=', '+', '-', '@']), "{text}");
            // An apostrophe that stood before a formula already is the spreadsheet's own and is not part of the value.
            prop_assume!(!cell.trim().starts_with('\''));
            prop_assert_eq!(clean(&text), clean(&cell));
        }
    }
}

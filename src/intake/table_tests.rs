//! The table reader against what people really export, and against arbitrary bytes.

use std::io::Cursor;

use proptest::prelude::*;

use super::*;
use crate::intake::lines::MAX_ROW;

fn open(bytes: impl Into<Vec<u8>>) -> Result<Table, IntakeError> {
    let source = Source::from_reader("test.csv", Cursor::new(bytes.into()), None)?;
    Table::open(source, &TableOptions::default())
}

/// Every row as line and fields, or line and fault.
fn rows(table: &mut Table) -> Vec<(u64, Result<Vec<String>, RowFault>)> {
    let mut row = Row::default();
    let mut all = Vec::new();
    loop {
        match table.next_row(&mut row).expect("readable") {
            Next::Row => all.push((row.line(), Ok(row.fields().map(str::to_owned).collect()))),
            Next::Bad(fault) => all.push((row.line(), Err(fault))),
            Next::End => return all,
        }
    }
}

fn good(line: u64, fields: &[&str]) -> (u64, Result<Vec<String>, RowFault>) {
    (line, Ok(fields.iter().map(|field| (*field).to_owned()).collect()))
}

#[test]
fn every_common_delimiter_is_recognised_from_the_header() {
    let check = |text: &str, delimiter: char, columns: usize| {
        let table = open(text).expect("opens");
        assert_eq!((table.delimiter(), table.headers().len()), (delimiter, columns), "{text}");
    };
    check("id,phone\n", ',', 2);
    check("id;phone;name, first\n", ';', 3);
    check("id\tphone\n", '\t', 2);
    check("id|phone\n", '|', 2);
    check("\"a;b;c\",phone\n", ',', 2);
    check("phone", ',', 1);
    check("sep=;\nid,x;phone\n", ';', 2);
    check("\n\nid;phone\n", ';', 2);
}

#[test]
fn line_numbers_are_those_an_editor_shows() {
    let check = |text: &str, expected: &[(u64, Result<Vec<String>, RowFault>)]| {
        assert_eq!(rows(&mut open(text).expect("opens")), expected, "{text:?}");
    };
    check("a,b\n1,2\n3,4", &[good(2, &["1", "2"]), good(3, &["3", "4"])]);
    check("a,b\r\n1,2\r\n\r\n3,4\r\n", &[good(2, &["1", "2"]), good(4, &["3", "4"])]);
    check("a,b\r1,2\r3,4\r", &[good(2, &["1", "2"]), good(3, &["3", "4"])]);
    check("a,b\n\"x\r\ny\",2\n3,4\n", &[good(2, &["x\ny", "2"]), good(4, &["3", "4"])]);
    check(
        "a,b\n , \n;\n5,6\n",
        &[(3, Err(RowFault::TooFewFields { found: 1, expected: 2 })), good(4, &["5", "6"])],
    );
    check("a,b\n\"say \"\"hi\"\"\",2\n", &[good(2, &["say \"hi\"", "2"])]);
    check("a,b\n5\" pipe,2\n", &[good(2, &["5\" pipe", "2"])]);
}

#[test]
fn a_bad_row_is_told_with_its_line_and_reading_goes_on() {
    let check = |text: &[u8], expected: RowFault| {
        let all = rows(&mut open(text).expect("opens"));
        assert_eq!(all[0], (2, Err(expected)));
        assert!(
            expected == RowFault::OpenQuote { quote_line: 3 } || all[1] == good(3, &["8", "9"]),
            "{all:?}"
        );
    };
    check(b"a,b\n1\n8,9\n", RowFault::TooFewFields { found: 1, expected: 2 });
    check(b"a,b\n1,2,,x\n8,9\n", RowFault::TooManyFields { found: 4, expected: 2 });
    check(b"a,b\n1,\0\n8,9\n", RowFault::ZeroByte);
    check("é,b\n1,ö\n8,9\n".replace('ö', "\u{FFFD}").as_bytes(), RowFault::Unreadable);
    check(b"\xC3\xA9,b\n1,\xFF\n8,9\n", RowFault::Unreadable);
    check(b"a,b\n\"1\n\",\"2\n8,9\n", RowFault::OpenQuote { quote_line: 3 });
}

#[test]
fn empty_fields_behind_the_last_column_are_no_fault() {
    assert_eq!(rows(&mut open("a,b\n1,2,,\n").expect("opens")), [good(2, &["1", "2"])]);
}

#[test]
fn a_giant_line_costs_one_row_and_no_memory() {
    let giant = "x".repeat(MAX_ROW * 3);
    let mut table = open(format!("a,b\n1,{giant}\n8,9\n")).expect("opens");
    assert_eq!(rows(&mut table), [(2, Err(RowFault::TooLong { quote_line: None })), good(3, &["8", "9"])]);

    let mut row = Row::default();
    let mut table = open(format!("a,b\n1,\"{}\n\n8,9\n", "y\n".repeat(MAX_ROW))).expect("opens");
    let first = table.next_row(&mut row).expect("readable");
    assert_eq!(first, Next::Bad(RowFault::TooLong { quote_line: Some(2) }));
    assert!(row.fields().map(str::len).sum::<usize>() <= MAX_ROW + 2);
    let rest = rows(&mut table);
    assert_eq!(rest.last(), Some(&good(MAX_ROW as u64 + 4, &["8", "9"])), "the reader recovers at a line");
}

#[test]
fn a_file_that_cannot_be_a_table_is_refused_with_the_way_out() {
    let check = |bytes: &[u8], words: &str| {
        let error = open(bytes).expect_err("refused").to_string();
        assert!(error.contains("test.csv") && error.contains(words), "{error}");
    };
    check(b"", "is empty");
    check(b"\r\n\n", "is empty");
    check(b"a,\"b\n1,2\n", "quote opened in line 1");
    check(b"a,\0\n", "zero byte");
    check(b"\x1F\x8Bnot really gzip", "reading broke off");
}

#[test]
fn a_cut_archive_is_an_error_not_an_end() {
    let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    std::io::Write::write_all(&mut packer, "a,b\n1,2\n".repeat(90_000).as_bytes()).expect("packs");
    let packed = packer.finish().expect("packs");
    let mut table = open(&packed[..packed.len() - 20]).expect("opens");
    let mut row = Row::default();
    let end = loop {
        match table.next_row(&mut row) {
            Ok(Next::End) => break None,
            Ok(_) => {}
            Err(error) => break Some(error.to_string()),
        }
    };
    assert!(end.expect("an error").contains("reading broke off"));
}

/// Encodes as `kind` 0 UTF-8, 1 UTF-8 with a mark, 2 and 3 UTF-16 with a mark, 4 Windows-1252.
fn encode(text: &str, kind: u8) -> Vec<u8> {
    match kind {
        0 => text.as_bytes().to_vec(),
        1 => ["\u{feff}", text].concat().into_bytes(),
        2 => "\u{feff}".encode_utf16().chain(text.encode_utf16()).flat_map(u16::to_le_bytes).collect(),
        3 => "\u{feff}".encode_utf16().chain(text.encode_utf16()).flat_map(u16::to_be_bytes).collect(),
        _ => encoding_rs::WINDOWS_1252.encode(text).0.into_owned(),
    }
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic_or_hang(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        if let Ok(mut table) = open(bytes.clone()) {
            let mut row = Row::default();
            let mut count = 0;
            while !matches!(table.next_row(&mut row), Ok(Next::End) | Err(_)) {
                count += 1;
                prop_assert!(count <= bytes.len());
            }
        }
    }

    #[test]
    fn arbitrary_csv_never_panics_or_loses_a_line(text in "[ab,;\"\r\n\u{e9}]{0,200}") {
        let all = open(format!("a,b\n{text}")).map(|mut table| rows(&mut table)).expect("opens");
        prop_assert!(all.windows(2).all(|pair| pair[0].0 < pair[1].0), "lines rise");
    }

    #[test]
    fn what_a_csv_writer_wrote_is_read_back(
        kind in 0_u8..5,
        delimiter in prop_oneof![Just(b','), Just(b';'), Just(b'\t'), Just(b'|')],
        windows in any::<bool>(),
        fields in proptest::collection::vec(("[a-z0-9 ,;\t|\"\né€ß]{0,12}", "[x-z]{1,3}"), 0..30),
    ) {
        let terminator = if windows { csv::Terminator::CRLF } else { csv::Terminator::Any(b'\n') };
        let mut writer = csv::WriterBuilder::new().delimiter(delimiter).terminator(terminator).from_writer(Vec::new());
        writer.write_record(["first é", "second"]).expect("writes");
        for (first, second) in &fields {
            writer.write_record([first, second]).expect("writes");
        }
        let text = String::from_utf8(writer.into_inner().expect("flushes")).expect("text");
        let mut table = open(encode(&text, kind)).expect("opens");
        prop_assert_eq!(table.headers(), ["first é", "second"]);
        let read: Vec<_> = rows(&mut table).into_iter().map(|(_, row)| row.expect("good")).collect();
        let written: Vec<_> = fields.into_iter().map(|(first, second)| vec![first, second]).collect();
        prop_assert_eq!(read, written);
    }
}

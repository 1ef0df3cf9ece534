//! Customer lists as teams export them, including the shared example data.

use std::io::Cursor;

use super::*;
use crate::intake::source::Source;
use crate::intake::table::{Next, Table, TableOptions};
use crate::model::number::BadNumber;

fn options(country: &str) -> ContactOptions {
    ContactOptions {
        country: country.parse().ok(),
        zone: TimeZone::UTC,
        consent_at: None,
        latest_consent: Timestamp::MAX,
    }
}

fn read_with(bytes: impl Into<Vec<u8>>, options: ContactOptions) -> Vec<Result<ContactDraft, (u64, Reason)>> {
    let source = Source::from_reader("test", Cursor::new(bytes.into()), None).expect("opens");
    let mut table = Table::open(source, &TableOptions::default()).expect("opens");
    let mut reader = ContactReader::new(table.headers(), &Mapping::default(), options).expect("columns");
    let (mut row, mut all) = (Row::default(), Vec::new());
    loop {
        match table.next_row(&mut row).expect("reads") {
            Next::Row => all.push(reader.read(&row).map_err(|reason| (row.line(), reason))),
            Next::Bad(fault) => all.push(Err((row.line(), fault.into()))),
            Next::End => return all,
        }
    }
}

fn read(text: &str) -> Result<ContactDraft, Reason> {
    read_with(text, options("US")).remove(0).map_err(|(_, reason)| reason)
}

#[test]
fn a_full_row_fills_the_contact_and_keeps_the_rest_as_attributes() {
    let text = "Kundennummer;Handy;Vorname;Nachname;E-Mail;Sprache;Zeitzone;Land;Stage;Tags;Einwilligung am;Kunde seit;Name;Schuhgröße\n\
                A-9;0151 23456789;Jose\u{301};Weiß;j@x.de;de_at;europe/berlin;DE;Loyal;vip|neu,vip;2026-01-02;2020-01-01;José Weiß;042\n";
    let draft = read(text).expect("a draft");
    assert_eq!(draft.customer_id.as_deref(), Some("A-9"));
    assert_eq!((draft.phone.digits(), draft.number_kind), (4_915_123_456_789, NumberKind::Mobile));
    assert_eq!(draft.country.map(|country| country.to_string()).as_deref(), Some("DE"));
    assert_eq!((draft.first_name.as_deref(), draft.last_name.as_deref()), (Some("José"), Some("Weiß")));
    assert_eq!((draft.locale.as_deref(), draft.zone.as_deref()), (Some("de-AT"), Some("Europe/Berlin")));
    assert_eq!((draft.stage, draft.tags), (Some(Stage::Loyal), vec!["neu".to_owned(), "vip".to_owned()]));
    assert_eq!(draft.consent, Consent::Given(Timestamp::parse("2026-01-02T00:00:00Z").expect("a time")));
    assert_eq!(draft.attrs, r#"{"name":"José Weiß","schuhgrosse":"042"}"#);
}

#[test]
fn what_cannot_be_read_rejects_the_row_with_the_reason() {
    let header = "phone,zone,country,locale,stage,created_at,first_name";
    let check = |row: &str, expected: Result<(), Reason>| {
        assert_eq!(read(&format!("{header}\n{row}\n")).map(drop), expected, "{row}");
    };
    check("(480) 555-0126,,,,,,", Ok(()));
    check("+18005550199,,,,,,", Ok(()));
    check(",,,,,,Bea", Err(Reason::Phone(BadNumber::Empty)));
    check("n/a,,,,,,", Err(Reason::Phone(BadNumber::NotANumber)));
    check("1.48E+10,,,,,,", Err(Reason::Phone(BadNumber::Rounded)));
    check("+447700900123,,,,,,", Err(Reason::PhoneInvalid));
    check("4805550126,Mars/Olympus,,,,,", Err(Reason::Zone));
    check("4805550126,,Germany,,,,", Err(Reason::Country));
    check("4805550126,,,German,,,", Err(Reason::Locale));
    check("4805550126,,,,vip,,", Err(Reason::Stage));
    check("4805550126,,,,,1/2/2020,", Err(Reason::Time { column: "created_at" }));
    let long = format!("4805550126,,,,,,{}", "x".repeat(255));
    check(&long, Err(Reason::TooLong { column: "first_name".to_owned() }));
    check("020 7946 0958,,uk,,,,", Ok(()));
    check("4805550126,,,,,,\"Bea \"\"B\"\"\n\"", Ok(()));
}

#[test]
fn a_stray_quote_that_takes_lines_along_is_rejected_with_its_line_and_notes_may_have_lines() {
    let check = |rows: &str, expected: &[Result<(), (u64, &'static str)>]| {
        let text = format!("phone,first_name,tags,notes\n{rows}");
        let read = read_with(text, options("US")).into_iter().map(|read| match read {
            Ok(_) => Ok(()),
            Err((line, Reason::LineBreak { column })) => Err((line, column)),
            Err(other) => panic!("{rows}: {other:?}"),
        });
        assert_eq!(read.collect::<Vec<_>>(), expected, "{rows}");
    };
    check("4805550126,Bea,a,\"likes\nlines\"\n", &[Ok(())]);
    check("4805550126,\"Bea\n4805550127,Cy\",a,n\n4805550128,Di,,\n", &[Err((2, "first_name")), Ok(())]);
    check("4805550126,Bea,\"a\nb\",\n", &[Err((2, "tags"))]);
    check("4805550125,Al,,\n\"4805550\n126\",Bea,,\n", &[Ok(()), Err((3, "phone"))]);
}

#[test]
fn only_a_yes_with_a_time_or_a_time_is_consent() {
    let at = |text: &str| Consent::Given(Timestamp::parse(text).expect("a time"));
    let check = |row: &str, file: Option<&str>, expected: Result<Consent, Reason>| {
        let consent_at = file.map(|text| Timestamp::parse(text).expect("a time"));
        let text = format!("phone,Accepts SMS Marketing,consent_at\n4805550126,{row}\n");
        let draft = read_with(text, ContactOptions { consent_at, ..options("US") }).remove(0);
        assert_eq!(draft.map(|draft| draft.consent).map_err(|(_, reason)| reason), expected, "{row}");
    };
    let (own, files) = ("2020-01-01T00:00:00Z", "2021-01-01T00:00:00Z");
    check(",", None, Ok(Consent::Unstated));
    check(",2020-01-01", None, Ok(at(own)));
    check("yes,2020-01-01", Some(files), Ok(at(own)));
    check("Opt-in,", Some(files), Ok(at(files)));
    check("yes,", None, Err(Reason::ConsentUndated));
    check(",", Some(files), Ok(Consent::Unstated));
    check("no,2020-01-01", Some(files), Ok(Consent::Denied));
    check("perhaps,2020-01-01", Some(files), Err(Reason::Consent));
    check("yes,soon", Some(files), Err(Reason::Time { column: "consent_at" }));
}

/// Counted independently with Python's csv module: 2494 rows, of which 12 have `n/a` for a phone, 12 nothing and
/// 9 `12345`; 26 notes have a line break in quotes; 25 customers come twice, always with the same number.
#[test]
fn the_messy_example_list_is_read_in_full() {
    let bytes = include_bytes!("../../tests/data/journey/customers-messy.csv");
    let all = read_with(&bytes[..], options("US"));
    assert_eq!(all.len(), 2494);
    let reasons =
        |wanted: &str| all.iter().filter(|row| matches!(row, Err((_, r)) if r.word() == wanted)).count();
    assert_eq!((reasons("phone_not_a_number"), reasons("phone_empty")), (12, 12));
    assert_eq!(all.iter().filter(|row| row.is_err()).count(), 33, "the nine `12345` are rejected as well");
    let drafts: Vec<_> = all.iter().filter_map(|row| row.as_ref().ok()).collect();
    let notes =
        drafts.iter().filter(|draft| draft.attrs.contains(r#""notes":"said \"call later\" second line""#));
    assert_eq!(notes.count(), 26);
    let customers: std::collections::HashSet<_> =
        drafts.iter().map(|draft| draft.customer_id.clone()).collect();
    assert_eq!(
        (drafts.len(), customers.len()),
        (2461, 2437),
        "one customer who comes twice has no usable number"
    );
    let last = drafts.last().expect("a draft");
    assert_eq!(
        (last.line, last.customer_id.as_deref()),
        (2521, Some("2500")),
        "quoted line breaks count as lines"
    );
}

#[test]
fn the_clean_and_the_messy_list_name_the_same_numbers() {
    let clean = read_with(&include_bytes!("../../tests/data/journey/customers.csv")[..], options(""));
    assert_eq!(clean.len(), 2469);
    let phones: HashMap<_, _> = clean
        .iter()
        .map(|row| row.as_ref().expect("a clean row"))
        .map(|draft| (draft.customer_id.clone(), draft.phone))
        .collect();
    let consents = clean.iter().flatten().filter(|draft| matches!(draft.consent, Consent::Given(_))).count();
    assert_eq!((phones.len(), consents), (2469, 2386));
    let messy = include_bytes!("../../tests/data/journey/customers-messy.csv");
    for draft in read_with(&messy[..], options("US")).into_iter().flatten() {
        assert_eq!(phones.get(&draft.customer_id), Some(&draft.phone), "line {}", draft.line);
    }
}

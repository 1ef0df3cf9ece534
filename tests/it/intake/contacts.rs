//! Customer lists: the clean and the messy list of the example year, and what a person may do with a file.

use std::collections::HashMap;
use std::io::Cursor;

use encoding_rs::WINDOWS_1252;
use winback::intake::import::{Handling, Step};

use super::{
    LATER, NOW, Paper, contacts, cut_short, first, journey, people, rehearsal, showing, table, times,
};
use crate::support::stores::on_both;

#[tokio::test]
async fn a_clean_list_comes_in_whole_and_a_second_time_changes_nothing() {
    on_both(async |bench| {
        let done = contacts(bench, journey("customers.csv"), NOW, showing(5)).await.expect("imported");
        assert_eq!((done.rows, done.inserted, done.repeats, done.rejected.count), (2469, 2469, 0, 0));
        let rows = bench.lines(
            "SELECT phone, country, first_name, consent_at, attrs FROM contacts WHERE customer_id = '1'",
        );
        let attrs = r#"{"age":"65+","household_size":"2","income":"35-49K","kids":"0"}"#;
        assert_eq!(rows.await, [format!("14805550126|US|Bea|1481796000000|{attrs}")]);
        let before = (people(bench).await, times(bench).await);
        let again = contacts(bench, journey("customers.csv"), LATER, showing(5)).await.expect("imported");
        assert_eq!((again.rows, again.unchanged), (2469, 2469));
        assert!((people(bench).await, times(bench).await) == before, "the second import changed something");
    })
    .await;
}

/// Counted independently with Python's csv module.
#[tokio::test]
async fn a_messy_list_is_taken_as_far_as_it_goes_and_every_reject_is_told_with_its_line() {
    on_both(async |bench| {
        let expected = ["5 phone_too_short", "10 phone_empty", "12 phone_not_a_number"];
        let rehearsed =
            contacts(bench, journey("customers-messy.csv"), NOW, rehearsal(3)).await.expect("read");
        assert_eq!(bench.contact_count().await.expect("read"), 0, "a dry run writes nothing");
        let done = contacts(bench, journey("customers-messy.csv"), NOW, showing(3)).await.expect("imported");
        assert_eq!(rehearsed, done);
        assert_eq!((done.rows, done.inserted, done.updated, done.unchanged), (2494, 2437, 24, 0));
        assert_eq!((done.repeats, done.rejected.count), (24, 33));
        let reasons: Vec<_> =
            done.rejected.by_reason.iter().map(|(word, count)| format!("{word} {count}")).collect();
        assert_eq!(reasons, ["phone_empty 12", "phone_not_a_number 12", "phone_too_short 9"]);
        assert_eq!(first(&done.rejected), expected);
        let again =
            contacts(bench, journey("customers-messy.csv"), LATER, showing(0)).await.expect("imported");
        assert_eq!((again.inserted, again.updated, again.unchanged), (0, 0, 2461));
        let touched = bench.lines("SELECT count(*) FROM contacts WHERE updated_at <> created_at").await;
        assert_eq!(touched, ["0"]);
    })
    .await;
}

/// Of the 2461 usable rows 25 say "repeat" and 26 have a longer note; nothing else in them is news.
#[tokio::test]
async fn the_messy_list_after_the_clean_one_adds_its_notes_and_keeps_what_it_does_not_say() {
    on_both(async |bench| {
        contacts(bench, journey("customers.csv"), NOW, showing(0)).await.expect("imported");
        let done =
            contacts(bench, journey("customers-messy.csv"), LATER, showing(0)).await.expect("imported");
        assert_eq!((done.inserted, done.updated, done.unchanged), (0, 51, 2410));
        let noted = bench.lines("SELECT count(*) FROM contacts WHERE attrs LIKE '%\"notes\":%'").await;
        let touched = bench.lines("SELECT count(*) FROM contacts WHERE updated_at <> created_at").await;
        assert_eq!((noted, touched), (vec!["51".to_owned()], vec!["51".to_owned()]));
        let kept = bench.lines("SELECT count(*) FROM contacts WHERE consent_at IS NOT NULL").await;
        let attrs = bench.lines("SELECT count(*) FROM contacts WHERE attrs LIKE '%\"income\":%'").await;
        assert_eq!((kept, attrs), (vec!["2386".to_owned()], vec!["801".to_owned()]));
    })
    .await;
}

#[tokio::test]
async fn an_import_that_dies_anywhere_and_is_run_again_ends_like_one_that_never_died() {
    on_both(async |bench| {
        let mut sql = bench.sql().await;
        contacts(bench, journey("customers.csv"), NOW, showing(0)).await.expect("imported");
        let clean = people(bench).await;
        let mut died = 0;
        for polls in [1, 2, 3, 4, 5, 6, 8, 10, 13, 16, 20] {
            sql.run("DELETE FROM contact_tags; DELETE FROM contacts").await;
            let import = contacts(bench, journey("customers.csv"), NOW, showing(0));
            let ended = cut_short(polls, import).await;
            died += usize::from(ended.is_none());
            contacts(bench, journey("customers.csv"), LATER, showing(0)).await.expect("imported");
            assert!(people(bench).await == clean, "dead after {polls} polls");
        }
        assert!(died > 3, "{died} imports died");
    })
    .await;
}

#[tokio::test]
async fn rejected_rows_are_mended_in_their_own_file_and_come_in_then() {
    on_both(async |bench| {
        let paper = Paper::default();
        let handling = Handling { rejects: Some(paper.open()), ..Handling::default() };
        contacts(bench, journey("customers-messy.csv"), NOW, handling).await.expect("imported");
        let mut rejects = csv::Reader::from_reader(Cursor::new(paper.text()));
        let header = [
            "rejected_line",
            "rejected_reason",
            "rejected_why",
            "Customer No.",
            "Mobile Phone",
            "First Name",
        ];
        assert_eq!(rejects.headers().expect("a header").iter().take(6).collect::<Vec<_>>(), header);
        let phones = clean_phones();
        let mut mended = csv::Writer::from_writer(Vec::new());
        mended.write_record(rejects.headers().expect("a header")).expect("written");
        let rows: Vec<csv::StringRecord> = rejects.records().map(|row| row.expect("a row")).collect();
        assert_eq!(rows.len(), 33);
        assert_eq!(rows[0].iter().take(5).collect::<Vec<_>>()[..2], ["5", "phone_too_short"]);
        assert!(rows.iter().map(|row| row[0].parse::<u64>().expect("a line")).is_sorted());
        for row in &rows {
            let phone = format!("'{}", phones[&row[3]]);
            let cells = row.iter().enumerate().map(|(at, cell)| if at == 4 { phone.as_str() } else { cell });
            mended.write_record(cells).expect("written");
        }
        let mended = table(mended.into_inner().expect("written"));
        let untouched = Paper::default();
        let handling = Handling { rejects: Some(untouched.open()), show: 5, ..Handling::default() };
        let done = contacts(bench, mended, LATER, handling).await.expect("imported");
        // One of them had come twice, the second time with a number.
        assert_eq!((done.inserted, done.unchanged, done.rejected.count), (32, 1, 0));
        assert_eq!((bench.contact_count().await.expect("read"), untouched.text().as_str()), (2469, ""));
    })
    .await;
}

fn clean_phones() -> HashMap<String, String> {
    let bytes = include_str!("../../data/journey/customers.csv");
    let mut rows = csv::Reader::from_reader(Cursor::new(bytes));
    rows.records().map(|row| row.expect("a row")).map(|row| (row[0].to_owned(), row[1].to_owned())).collect()
}

#[tokio::test]
async fn a_number_of_another_customer_is_rejected_by_the_store_among_the_others_and_in_a_dry_run() {
    on_both(async |bench| {
        let list = "customer_id,phone,first_name\na,4805550101,Ann\nb,4805550102,Bob\n";
        contacts(bench, table(list), NOW, showing(0)).await.expect("imported");
        let list = "customer_id,phone,first_name\nb,n/a,\nc,4805550101,Cy\na,4805550102,Al\nd,1,\ne,4805550105,Eve\n";
        let expected = ["2 phone_not_a_number", "3 phone_taken", "4 phone_taken", "5 phone_too_short"];
        let before = people(bench).await;
        let done = contacts(bench, table(list), LATER, rehearsal(9)).await.expect("read");
        assert_eq!((first(&done.rejected), done.inserted), (expected.map(str::to_owned).to_vec(), 1));
        assert_eq!(people(bench).await, before);
        let paper = Paper::default();
        let handling = Handling { rejects: Some(paper.open()), show: 9, ..Handling::default() };
        let done = contacts(bench, table(list), LATER, handling).await.expect("imported");
        assert_eq!((first(&done.rejected), done.inserted), (expected.map(str::to_owned).to_vec(), 1));
        let lines: Vec<_> = paper.text().lines().skip(1).map(|line| line[1..2].to_owned()).collect();
        assert_eq!(lines, ["2", "3", "4", "5"]);
        assert!(paper.text().contains(r#""c","4805550101","Cy""#), "{}", paper.text());
        assert!(!format!("{done:?}").contains("555"), "no number is shown");
    })
    .await;
}

#[tokio::test]
async fn a_list_gives_the_same_contacts_in_any_encoding_and_with_any_delimiter() {
    let text = include_str!("../../data/journey/customers.csv");
    // Windows-1252 has no Ł.
    let rows: Vec<&str> = text.lines().filter(|line| !line.contains('Ł')).take(51).collect();
    let plain = rows.join("\n");
    assert!(plain.contains('ø'), "letters beyond ASCII are among the names");
    let utf16 = |text: &str| -> Vec<u8> { text.encode_utf16().flat_map(u16::to_le_bytes).collect() };
    let variants = [
        ("UTF-16", utf16(&format!("\u{feff}{plain}"))),
        ("Windows-1252", WINDOWS_1252.encode(&plain).0.into_owned()),
        ("semicolons and CRLF", plain.replace(',', ";").replace('\n', "\r\n").into_bytes()),
        ("tabs in UTF-16", utf16(&plain.replace(',', "\t"))),
    ];
    on_both(async |bench| {
        contacts(bench, table(plain.as_str()), NOW, showing(0)).await.expect("imported");
        let expected = people(bench).await;
        assert!(expected.len() > 50);
        for (name, bytes) in &variants {
            bench.sql().await.run("DELETE FROM contact_tags; DELETE FROM contacts").await;
            let done = contacts(bench, table(bytes.clone()), NOW, showing(1)).await.expect("imported");
            assert_eq!((done.inserted, first(&done.rejected)), (50, vec![]), "{name}");
            assert_eq!(people(bench).await, expected, "{name}");
        }
    })
    .await;
}

#[tokio::test]
async fn progress_tells_bytes_and_rows_up_to_the_end() {
    on_both(async |bench| {
        let mut steps: Vec<Step> = Vec::new();
        let mut tell = |step| steps.push(step);
        let handling = Handling { progress: Some(&mut tell), ..Handling::default() };
        contacts(bench, journey("customers.csv"), NOW, handling).await.expect("imported");
        let last = *steps.last().expect("told");
        assert!(steps.len() > 1 && steps.is_sorted_by_key(|step| step.rows), "{steps:?}");
        assert_eq!((last.rows, Some(last.bytes)), (2469, last.total));
    })
    .await;
}

#[tokio::test]
async fn a_stated_no_ends_consent_and_a_stated_day_is_when_the_customer_came() {
    on_both(async |bench| {
        let import = async |text: &str| {
            contacts(bench, table(text), NOW, showing(0)).await.expect("imported");
            bench.lines("SELECT customer_id, consent_at, created_at FROM contacts ORDER BY 1").await
        };
        let yes = "customer_id,phone,consent_at,created_at\na,4805550101,1970-01-01T00:00:05Z,1970-01-02\n\
                   b,4805550102,1970-01-01T00:00:06Z,\n";
        let now = NOW.0;
        let expected = ["a|5000|86400000".to_owned(), format!("b|6000|{now}")];
        assert_eq!(import(yes).await, expected);
        assert_eq!(import(&yes.replace("00:00:05Z", "00:00:04Z")).await, expected, "a second yes is no news");
        let no = "customer_id,phone,consent\na,4805550101,no\nb,4805550102,\n";
        let expected = ["a|-|86400000".to_owned(), format!("b|6000|{now}")];
        assert_eq!(import(no).await, expected);
        assert_eq!(import(no).await, expected);
    })
    .await;
}

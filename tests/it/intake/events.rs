//! Orders: a year of them at once, twice, cut short, and before their customers are known.

use std::io::{BufRead as _, BufReader};

use flate2::read::MultiGzDecoder;
use winback::intake::import::{Handling, Step};
use winback::intake::table::Table;

use super::{NOW, Paper, contacts, cut_short, first, happened, journey, orders, rehearsal, showing, table};
use crate::support::stores::{Bench, on_both};

/// The first orders of the year, in six batches and a bit.
const SOME: u64 = 30_100;

fn some_orders() -> Table {
    let year = MultiGzDecoder::new(&include_bytes!("../../data/journey/orders.csv.gz")[..]);
    let lines = BufReader::new(year).lines().take(usize::try_from(SOME).expect("small") + 1);
    table(lines.map(|line| line.expect("text") + "\n").collect::<String>())
}

#[tokio::test]
async fn a_year_of_orders_comes_in_whole_and_a_second_time_is_all_repeated() {
    let bench = Bench::sqlite().await;
    contacts(&bench, journey("customers.csv"), NOW, showing(0)).await.expect("imported");
    let done = orders(&bench, journey("orders.csv.gz"), showing(0)).await.expect("imported");
    assert_eq!((done.rows, done.joined, done.waiting, done.repeated), (155_848, 155_848, 0, 0));
    let again = orders(&bench, journey("orders.csv.gz"), showing(0)).await.expect("imported");
    let none = (again.inserted(), again.rejected.count);
    assert_eq!((again.rows, again.repeated, none), (155_848, 155_848, (0, 0)));
    let sums = bench.lines("SELECT count(*), sum(value) FROM events").await;
    assert_eq!(sums, ["155848|4596039580000"]);
}

#[tokio::test]
async fn orders_that_come_before_their_customers_wait_and_are_joined_then() {
    on_both(async |bench| {
        let done = orders(bench, some_orders(), showing(0)).await.expect("imported");
        assert_eq!((done.joined, done.waiting), (0, SOME));
        let told = contacts(bench, journey("customers.csv"), NOW, showing(0)).await.expect("imported");
        assert_eq!((told.inserted, told.linked), (2469, SOME));
        assert_eq!(bench.waiting_event_count().await.expect("read"), 0);
        let again = orders(bench, some_orders(), showing(0)).await.expect("imported");
        assert_eq!((again.inserted(), again.repeated), (0, SOME));
    })
    .await;
}

#[tokio::test]
async fn an_import_of_orders_that_dies_anywhere_and_is_run_again_ends_like_one_that_never_died() {
    on_both(async |bench| {
        contacts(bench, journey("customers.csv"), NOW, showing(0)).await.expect("imported");
        orders(bench, some_orders(), showing(0)).await.expect("imported");
        let clean = happened(bench).await;
        let mut died = 0;
        for polls in [1, 4, 9, 18] {
            bench.sql().await.run("DELETE FROM events").await;
            let ended = cut_short(polls, orders(bench, some_orders(), showing(0))).await;
            died += usize::from(ended.is_none());
            let again = orders(bench, some_orders(), showing(0)).await.expect("imported");
            assert_eq!((again.inserted() + again.repeated, again.rejected.count), (SOME, 0));
            assert!(happened(bench).await == clean, "dead after {polls} polls");
        }
        assert!(died > 1, "{died} imports died");
    })
    .await;
}

#[tokio::test]
async fn an_order_of_nobody_is_rejected_with_its_line_and_a_dry_run_keeps_none() {
    let list = "order_id,customer_id,phone,time,value\n1,a,,2017-01-01,5\n2,,4805550109,2017-01-01,5\n3,,,2017-01-01,5\n\
                4,new,,2017-01-01,5\n1,a,,2017-01-01,5\n5,,4805550101,2017-01-01,5\n";
    on_both(async |bench| {
        let people = "customer_id,phone\na,4805550101\n";
        contacts(bench, table(people), NOW, showing(0)).await.expect("imported");
        let rehearsed = orders(bench, table(list), rehearsal(9)).await.expect("read");
        assert_eq!(happened(bench).await, Vec::<String>::new());
        let paper = Paper::default();
        let handling = Handling { rejects: Some(paper.open()), ..showing(9) };
        let done = orders(bench, table(list), handling).await.expect("imported");
        assert_eq!(rehearsed, done);
        let rejects = paper.text();
        assert!(
            rejects.contains("\"3\",\"customer_unknown\"") && rejects.contains("4805550109"),
            "{rejects}"
        );
        assert_eq!((done.rows, done.joined, done.waiting, done.repeated), (6, 2, 1, 1));
        assert_eq!(first(&done.rejected), ["3 customer_unknown", "4 customer_missing"]);
        assert_eq!(happened(bench).await.len(), 3);
    })
    .await;
}

/// Rows so wide that the file is read in two goes and written in eight transactions.
const WIDE: usize = 1_700;

#[tokio::test]
async fn an_event_that_comes_again_far_behind_in_a_file_is_kept_once_as_it_was_told_first() {
    let wide = [",", &"x".repeat(1_990)].concat().repeat(10);
    let twins = [1, WIDE / 2, WIDE - 1];
    let mut list = String::from("order_id,customer_id,time,value,a,b,c,d,e,f,g,h,i,j\n");
    for n in 0..WIDE {
        // Customers in no order, and every tenth without a contact.
        let (id, person) =
            if twins.contains(&n) { ("twin".to_owned(), 3) } else { (format!("o{n}"), n * 7919 % 10) };
        list += &[&format!("{id},c{person},2017-01-01,{n}"), &wide, "\n"].concat();
    }
    let bench = Bench::sqlite().await;
    let people: Vec<String> = (0..9).map(|n| format!("c{n},480555010{n}\n")).collect();
    let people = format!("customer_id,phone\n{}", people.concat());
    contacts(&bench, table(people), NOW, showing(0)).await.expect("imported");
    let mut steps = Vec::new();
    let mut tell = |step: Step| steps.push(step);
    let handling = Handling { progress: Some(&mut tell), ..Handling::default() };
    let done = orders(&bench, table(list.as_str()), handling).await.expect("imported");
    let all = WIDE as u64;
    assert_eq!((done.rows, done.inserted(), done.repeated), (all, all - 2, 2));
    assert!(done.waiting > all / 11 && done.joined > all / 2, "{done:?}");
    let twin = bench.lines("SELECT count(*), min(value) FROM events WHERE event_id = 'twin'").await;
    assert_eq!(twin, ["1|1000000"]);
    assert!(steps.len() > 7, "{} transactions", steps.len());
    assert!(steps.is_sorted_by_key(|step| (step.rows, step.bytes)), "it never goes back: {steps:?}");
    assert!(steps.is_sorted_by_key(|step| step.bytes), "it never goes back: {steps:?}");
    assert_eq!(steps.last().map(|step| (step.rows, step.bytes)), Some((all, list.len() as u64)));
}

//! Orders: a year of them at once, twice, cut short, and before their customers are known.

use super::{NOW, contacts, cut_short, first, happened, journey, orders, rehearsal, showing, table};
use crate::support::stores::{Bench, on_both};

#[tokio::test]
async fn a_year_of_orders_comes_in_whole_and_a_second_time_is_all_repeated() {
    on_both(async |bench| {
        contacts(bench, journey("customers.csv"), NOW, showing(0)).await.expect("imported");
        let done = orders(bench, journey("orders.csv.gz"), showing(0)).await.expect("imported");
        assert_eq!((done.rows, done.joined, done.waiting, done.repeated), (155_848, 155_848, 0, 0));
        let again = orders(bench, journey("orders.csv.gz"), showing(0)).await.expect("imported");
        assert_eq!(
            (again.rows, again.repeated, again.inserted(), again.rejected.count),
            (155_848, 155_848, 0, 0)
        );
        let sums = bench.lines("SELECT count(*), CAST(sum(value) AS BIGINT) FROM events").await;
        assert_eq!(sums, ["155848|4596039580000"]);
    })
    .await;
}

#[tokio::test]
async fn orders_that_come_before_their_customers_wait_and_are_joined_then() {
    let bench = Bench::sqlite().await;
    let done = orders(&bench, journey("orders.csv.gz"), showing(0)).await.expect("imported");
    assert_eq!((done.joined, done.waiting), (0, 155_848));
    let told = contacts(&bench, journey("customers.csv"), NOW, showing(0)).await.expect("imported");
    assert_eq!((told.inserted, told.linked), (2469, 155_848));
    assert_eq!(bench.waiting_event_count().await.expect("read"), 0);
}

#[tokio::test]
async fn an_import_of_orders_that_dies_anywhere_and_is_run_again_ends_like_one_that_never_died() {
    let bench = Bench::sqlite().await;
    contacts(&bench, journey("customers.csv"), NOW, showing(0)).await.expect("imported");
    orders(&bench, journey("orders.csv.gz"), showing(0)).await.expect("imported");
    let clean = happened(&bench).await;
    for polls in [2, 30, 75] {
        bench.sql().await.run("DELETE FROM events").await;
        let ended = cut_short(polls, orders(&bench, journey("orders.csv.gz"), showing(0))).await;
        assert_eq!(ended.map(|done| done.is_ok()), None, "it was meant to die");
        let again = orders(&bench, journey("orders.csv.gz"), showing(0)).await.expect("imported");
        assert_eq!((again.inserted() + again.repeated, again.rejected.count), (155_848, 0));
        assert!(happened(&bench).await == clean, "dead after {polls} polls");
    }
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
        let done = orders(bench, table(list), showing(9)).await.expect("imported");
        assert_eq!(rehearsed, done);
        assert_eq!((done.rows, done.joined, done.waiting, done.repeated), (6, 2, 1, 1));
        assert_eq!(first(&done.rejected), ["3 customer_unknown", "4 customer_missing"]);
        assert_eq!(happened(bench).await.len(), 3);
    })
    .await;
}

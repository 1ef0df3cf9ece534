//! A year of a shop: segments over the imported example data against a computation straight from its CSV files.

use std::collections::HashMap;
use std::io::Cursor;

use flate2::read::MultiGzDecoder;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Span, Zoned};
use winback::intake::import::Handling;
use winback::model::clock::Timestamp;
use winback::segment::{AsOf, Dialect, compile, parse};

use crate::intake::{contacts, journey, orders};
use crate::support::stores::Bench;

const CUSTOMERS: &str = include_str!("../data/journey/customers.csv");
const ORDERS: &[u8] = include_bytes!("../data/journey/orders.csv.gz");

/// A customer as the files have it.
struct Household {
    cells: HashMap<String, String>,
    /// Time and value, in milliseconds and cents.
    orders: Vec<(jiff::Timestamp, i64)>,
}

fn households() -> Vec<Household> {
    let mut orders: HashMap<String, Vec<(jiff::Timestamp, i64)>> = HashMap::new();
    let mut rows = csv::Reader::from_reader(MultiGzDecoder::new(ORDERS));
    for row in rows.deserialize::<HashMap<String, String>>() {
        let row = row.expect("a row");
        let (whole, cents) = row["value"].split_once('.').expect("two decimals");
        let value: i64 = format!("{whole}{cents}").parse().expect("an amount");
        let at = row["occurred_at"].parse().expect("a time");
        orders.entry(row["customer_id"].clone()).or_default().push((at, value));
    }
    let mut rows = csv::Reader::from_reader(Cursor::new(CUSTOMERS));
    let rows = rows.deserialize::<HashMap<String, String>>().map(|row| row.expect("a row"));
    rows.map(|cells| Household { orders: orders.remove(&cells["customer_id"]).unwrap_or_default(), cells })
        .collect()
}

/// A household as it was known at an instant, in the shop's zone.
struct Known<'a> {
    cells: &'a HashMap<String, String>,
    orders: Vec<(jiff::Timestamp, i64)>,
    now: &'a Zoned,
}

impl<'a> Known<'a> {
    fn at(household: &'a Household, now: &'a Zoned) -> Self {
        let past = household.orders.iter().filter(|(at, _)| *at <= now.timestamp());
        let mut orders: Vec<_> = past.copied().collect();
        orders.sort_unstable();
        Self { cells: &household.cells, orders, now }
    }

    /// An empty cell is nothing.
    fn cell(&self, name: &str) -> Option<&str> {
        Some(self.cells[name].as_str()).filter(|text| !text.is_empty())
    }

    fn tagged(&self, tag: &str) -> bool {
        self.cells["tags"].split('|').any(|own| own == tag)
    }

    fn within(&self, period: Span) -> impl Iterator<Item = i64> {
        let from = (self.now - period).timestamp();
        self.orders.iter().filter(move |(at, _)| *at > from).map(|(_, value)| *value)
    }

    fn total(&self) -> i64 {
        self.orders.iter().map(|(_, value)| value).sum()
    }

    fn first(&self) -> Option<Zoned> {
        self.orders.first().map(|(at, _)| at.to_zoned(self.now.time_zone().clone()))
    }

    fn last(&self) -> Option<Zoned> {
        self.orders.last().map(|(at, _)| at.to_zoned(self.now.time_zone().clone()))
    }

    fn days_since(&self) -> Option<i32> {
        let days = |last: Zoned| self.now.date().since(last.date()).expect("in range").get_days();
        self.last().map(days)
    }
}

/// The same question twice: as a segment, and in plain Rust.
type Question = (&'static str, fn(&Known) -> bool);

const QUESTIONS: [Question; 12] = [
    ("attr.age in ('35-44', '45-54') and tagged('homeowner')", |h| {
        matches!(h.cell("age"), Some("35-44" | "45-54")) && h.tagged("homeowner")
    }),
    ("count('order', '90 days') >= 10", |h| h.within(Span::new().days(90)).count() >= 10),
    ("sum('order') between 500 and 1000.50", |h| (50_000..=100_050).contains(&h.total())),
    ("sum('order', '6 months') > 999.50 or first_name like 'z%'", |h| {
        h.within(Span::new().months(6)).sum::<i64>() > 99_950
            || h.cell("first_name").is_some_and(|name| name.starts_with(['z', 'Z']))
    }),
    ("days_since('order') > 30", |h| h.days_since().is_some_and(|days| days > 30)),
    ("first('order') >= '2017-03-01' and not tagged('family')", |h| {
        h.first().is_some_and(|at| at.date() >= date("2017-03-01")) && !h.tagged("family")
    }),
    ("last('order') < '2017-06-20 12:00'", |h| {
        h.last().is_some_and(|at| at.datetime() < "2017-06-20T12:00".parse().expect("a time"))
    }),
    ("attr.income is null and consent_at is not null", |h| {
        h.cell("income").is_none() && h.cell("consent_at").is_some()
    }),
    // What is not known makes neither the question nor its opposite true.
    ("not (attr.kids = '0' or attr.household_size <> '2')", |h| {
        h.cell("kids").is_some_and(|kids| kids != "0") && h.cell("household_size") == Some("2")
    }),
    ("days_since('order') in (0, 1, 2) and count('order', '2 weeks') between 1 and 3", |h| {
        h.days_since().is_some_and(|days| days <= 2)
            && (1..=3).contains(&h.within(Span::new().weeks(2)).count())
    }),
    // `5+` is no number.
    ("customer_id = '900' or (attr.household_size > 2 and first('order') is not null)", |h| {
        h.cell("customer_id") == Some("900")
            || (matches!(h.cell("household_size"), Some("3" | "4")) && !h.orders.is_empty())
    }),
    ("last('order') = '2017-06-30' or count('order', '24 hours') > 1", |h| {
        h.last().is_some_and(|at| at.date() == date("2017-06-30"))
            || h.within(Span::new().hours(24)).count() > 1
    }),
];

fn date(text: &str) -> Date {
    text.parse().expect("a date")
}

/// Instants at which a day in New York is not a day in UTC; one lies in the hour that comes twice.
const INSTANTS: [(&str, &str); 4] = [
    ("2017-07-01T02:00:00Z", "UTC"),
    ("2017-07-01T02:00:00Z", "America/New_York"),
    ("2017-11-05T05:30:00Z", "America/New_York"),
    ("2018-01-01T04:30:00Z", "America/New_York"),
];

#[tokio::test]
async fn segments_count_what_a_separate_computation_from_the_files_counts() {
    let bench = Bench::sqlite().await;
    let imported = Timestamp(1_514_764_800_000);
    contacts(&bench, journey("customers.csv"), imported, Handling::default()).await.expect("imported");
    orders(&bench, journey("orders.csv.gz"), Handling::default()).await.expect("imported");
    let households = households();
    for (text, counts) in QUESTIONS {
        let mut answers = Vec::new();
        for (at, zone) in INSTANTS {
            let zone = TimeZone::get(zone).expect("a zone");
            let now = at.parse::<jiff::Timestamp>().expect("a time").to_zoned(zone.clone());
            let expected = households.iter().filter(|household| counts(&Known::at(household, &now))).count();
            let as_of = AsOf { at: Timestamp::parse(at).expect("a time"), zone };
            let fragment = compile(&parse(text).expect("a segment"), &as_of, Dialect::Sqlite, 1);
            let found = bench.segment_count(&fragment).await.expect("read");
            assert_eq!(usize::try_from(found), Ok(expected), "{text} as of {now}");
            answers.push(expected);
        }
        assert!(
            answers.iter().all(|n| (1..households.len()).contains(n)),
            "{text}: {answers:?} tell nothing"
        );
    }
}

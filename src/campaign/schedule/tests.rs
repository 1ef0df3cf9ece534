//! When a text may leave: vectors, clock changes, and a search that checks every minute.

use std::time::Duration;

use jiff::tz::TimeZone;
use serde::Deserialize;

use super::{Interval, NoSchedule, Schedule, ScheduleKey};
use crate::campaign::law::{LawRegion, Lawful, Rules};
use crate::campaign::window::Window;
use crate::campaign::zones::{Candidates, time_zone};
use crate::model::clock::Timestamp;
use crate::model::number::parse;

const VECTORS: &str = include_str!("../../../tests/data/calendar/next-allowed.jsonl");

#[derive(Deserialize)]
struct Vector {
    id: String,
    to: String,
    window: String,
    now: String,
    zones: Vec<String>,
    zone_source: String,
    next_allowed: String,
    allowed_now: bool,
}

fn at(text: &str) -> Timestamp {
    Timestamp::parse(text).unwrap()
}

fn no_law() -> Lawful {
    Lawful { window: Window::ALWAYS, holidays: Vec::new(), clock: None, rules: Vec::new() }
}

fn schedule(zones: &[&str], hours: &str) -> Schedule {
    Schedule::new(zones, hours.parse().unwrap(), &no_law(), Duration::ZERO).unwrap()
}

fn shown(interval: Option<Interval>) -> Option<(String, String)> {
    interval.map(|interval| (interval.open.rfc3339(), interval.close.rfc3339()))
}

#[test]
fn the_next_allowed_instant_of_a_number() {
    for line in VECTORS.lines() {
        let vector: Vector = serde_json::from_str(line).unwrap();
        let hours = match vector.window.as_str() {
            "8-21" | "KR" => "08:00-21:00",
            "8-20" => "08:00-20:00",
            "TX" => "mon-sat 09:00-21:00, sun 12:00-21:00",
            "FR" => "mon-sat 08:00-22:00",
            "IN" => "10:00-21:00",
            other => panic!("no window {other}"),
        };
        let number = parse(&vector.to, None).unwrap();
        let candidates = Candidates::of(None, Some(&number));
        assert_eq!(candidates.zones(), vector.zones, "{}", vector.id);
        assert_eq!(candidates.source().as_str(), vector.zone_source, "{}", vector.id);
        let schedule = schedule(candidates.zones(), hours);
        let now = at(&vector.now);
        let next = schedule.next_allowed(now).unwrap();
        assert_eq!(next.open, at(&vector.next_allowed), "{}", vector.id);
        assert_eq!(schedule.is_open(now), vector.allowed_now, "{}", vector.id);
    }
}

#[test]
fn a_clock_change_moves_a_window_by_its_own_rules() {
    let check = |hours: &str, now: &str, open: &str, close: &str| {
        let got = shown(schedule(&["America/New_York"], hours).next_allowed(at(now)));
        assert_eq!(got, Some((open.to_owned(), close.to_owned())), "{hours} from {now}");
    };
    // 8 March 2026: 02:00 to 03:00 does not exist; it is 07:00 UTC when the clock jumps.
    check("02:30-05:00", "2026-03-08T05:00:00Z", "2026-03-08T07:00:00Z", "2026-03-08T09:00:00Z");
    check("01:00-02:30", "2026-03-08T05:00:00Z", "2026-03-08T06:00:00Z", "2026-03-08T07:00:00Z");
    // A window that falls wholly into the gap does not open on that day.
    check("02:00-03:00", "2026-03-08T05:00:00Z", "2026-03-09T06:00:00Z", "2026-03-09T07:00:00Z");
    // 1 November 2026: 01:00 to 02:00 happens twice, from 05:00 and from 06:00 UTC.
    check("01:00-03:00", "2026-11-01T04:00:00Z", "2026-11-01T05:00:00Z", "2026-11-01T08:00:00Z");
    check("01:00-01:30", "2026-11-01T04:00:00Z", "2026-11-01T05:00:00Z", "2026-11-01T05:30:00Z");
    check("01:00-01:30", "2026-11-01T05:30:00Z", "2026-11-01T06:00:00Z", "2026-11-01T06:30:00Z");
}

#[test]
fn nothing_leaves_in_the_last_minutes_of_a_window() {
    let law = no_law();
    let hours = "08:00-20:00".parse().unwrap();
    let schedule = Schedule::new(&["Europe/London"], hours, &law, Duration::from_mins(10)).unwrap();
    let check = |now: &str, open: &str, close: &str| {
        assert_eq!(shown(schedule.next_allowed(at(now))), Some((open.to_owned(), close.to_owned())), "{now}");
    };
    check("2026-01-15T19:49:59Z", "2026-01-15T19:49:59Z", "2026-01-15T19:50:00Z");
    check("2026-01-15T19:50:00Z", "2026-01-16T08:00:00Z", "2026-01-16T19:50:00Z");
}

#[test]
fn zones_without_a_common_hour_have_no_window() {
    let law = no_law();
    let far = schedule(&["Pacific/Auckland", "America/New_York"], "09:00-12:00");
    assert_eq!(far.next_allowed(at("2026-06-01T00:00:00Z")), None);
    let none =
        Schedule::new(&["UTC"], "mon 10:00-12:00".parse().unwrap(), &law, Duration::from_hours(3)).unwrap();
    assert_eq!(none.next_allowed(at("2026-06-01T00:00:00Z")), None);
    let unknown = Schedule::new(&[], Window::ALWAYS, &law, Duration::ZERO);
    assert_eq!(unknown.err(), Some(NoSchedule::ZoneUnknown));
    let bad = Schedule::new(&["Mars/Base"], Window::ALWAYS, &law, Duration::ZERO);
    assert_eq!(bad.err(), Some(NoSchedule::BadZone("Mars/Base".into())));
}

#[test]
fn an_endless_window_is_always_open() {
    let now = at("2026-06-01T03:21:00Z");
    let schedule = schedule(&["Asia/Tokyo", "America/New_York"], "00:00-24:00");
    let interval = schedule.next_allowed(now).unwrap();
    assert_eq!(interval.open, now);
    assert_eq!(interval.close, at("2026-06-10T03:21:00Z"));
    assert!(schedule.next_allowed(Timestamp::MAX).is_none());
}

#[test]
fn a_campaign_never_widens_the_law() {
    let rules = Rules::load();
    let check = |key: &str, now: &str, open: &str| {
        let now = at(now);
        let key = ScheduleKey::from_text(key);
        let schedule = key.schedule(&rules, "06:00-23:00".parse().unwrap(), Duration::ZERO, now).unwrap();
        assert_eq!(schedule.next_allowed(now).map(|i| i.open.rfc3339()).as_deref(), Some(open), "{key}");
    };
    check("America/New_York@US-FL", "2026-01-16T01:00:00Z", "2026-01-16T13:00:00Z");
    check("America/Chicago@US-TX", "2026-11-22T15:00:00Z", "2026-11-22T18:00:00Z");
    // Saturday evening, Sunday, then Whit Monday.
    check("Europe/Paris@FR", "2026-05-23T20:00:00Z", "2026-05-26T06:00:00Z");
    // The law of India counts by India's clock, wherever the contact is; the campaign's hours by the contact's.
    check("Europe/London@IN", "2026-03-01T03:00:00Z", "2026-03-01T06:00:00Z");
    check("Europe/London@IN", "2026-03-01T15:30:00Z", "2026-03-02T06:00:00Z");
}

#[test]
fn a_key_is_the_same_whatever_the_order_of_its_zones() {
    let law: LawRegion = "US-FL".parse().unwrap();
    let key = ScheduleKey::new(&["America/New_York", "America/Chicago", "America/New_York"], law);
    assert_eq!(key.as_str(), "America/Chicago|America/New_York@US-FL");
    assert_eq!(key.parts().unwrap(), (vec!["America/Chicago", "America/New_York"], law));
    assert!(ScheduleKey::from_text("America/Chicago").parts().is_err());
    assert_eq!(ScheduleKey::new(&[], law).parts().unwrap().0, Vec::<&str>::new());
}

/// Whether a minute is inside the hours by every clock, asked the plain way.
fn inside(zones: &[TimeZone], hours: &Window, ms: i64) -> bool {
    zones.iter().all(|zone| {
        let local = zone.to_datetime(jiff::Timestamp::from_millisecond(ms).unwrap());
        let minute = u16::try_from(local.hour()).unwrap() * 60 + u16::try_from(local.minute()).unwrap();
        hours.on(local.weekday()).is_some_and(|span| (span.from..span.to).contains(&minute))
    })
}

const ZONES: [&str; 10] = [
    "America/New_York",
    "America/Los_Angeles",
    "America/St_Johns",
    "Europe/London",
    "Europe/Paris",
    "Africa/Casablanca",
    "Asia/Kolkata",
    "Australia/Lord_Howe",
    "Australia/Adelaide",
    "Pacific/Chatham",
];
/// Weeks in which clocks change somewhere, and one in which none does.
const WEEKS: [&str; 6] = [
    "2026-03-06T00:00:00Z",
    "2026-03-27T00:00:00Z",
    "2026-04-03T00:00:00Z",
    "2026-10-02T00:00:00Z",
    "2026-10-30T00:00:00Z",
    "2026-07-01T00:00:00Z",
];

proptest::proptest! {
    #![proptest_config(proptest::test_runner::Config::with_cases(64))]

    #[test]
    fn no_text_leaves_at_a_closed_hour_and_none_waits_too_long(
        first in 0..ZONES.len(),
        second in 0..ZONES.len(),
        week in 0..WEEKS.len(),
        skip in 0..6 * 24 * 60_i64,
        from in 0..23 * 2_u16,
        length in 1..48_u16,
    ) {
        let to = (from + length).min(48);
        let hours = format!("mon-sat {:02}:{:02}-{:02}:{:02}", from / 2, from % 2 * 30, to / 2, to % 2 * 30);
        let now = Timestamp(at(WEEKS[week]).0 + skip * 60_000);
        let got = schedule(&[ZONES[first], ZONES[second]], &hours).next_allowed(now);
        let zones = [ZONES[first], ZONES[second]].map(|name| time_zone(name).unwrap());
        let hours: Window = hours.parse().unwrap();
        let minutes = (0..8 * 24 * 60).map(|minute| now.0 + minute * 60_000);
        let open = minutes.clone().find(|&ms| inside(&zones, &hours, ms));
        proptest::prop_assert_eq!(got.map(|i| i.open.0), open);
        if let Some(open) = open {
            let close = minutes.into_iter().find(|&ms| ms > open && !inside(&zones, &hours, ms));
            let end = got.map_or(0, |interval| interval.close.0);
            proptest::prop_assert!(close.is_none_or(|close| close == end), "{:?} {:?}", close, end);
        }
    }
}

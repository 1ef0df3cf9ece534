//! Times in a campaign file: when a run starts and ends, and when its codes expire.

use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;

use crate::campaign::terms::Period;
use crate::campaign::timing::{End, ScheduleZone, Start, Timing, end_of_day, instant};
use crate::campaign::zones::{time_zone, zone_name};
use crate::document::{Value, quoted};
use crate::model::clock::Timestamp;

const TIME_HELP: &str = "write \"2026-10-01 10:00\", \"2026-10-01T10:00:00-04:00\" or \"now\"";

/// The zone of times that name no other.
pub(super) struct ShopZone<'a> {
    pub(super) name: &'a str,
    pub(super) zone: TimeZone,
}

/// A point in time as a file says it.
#[derive(Clone, Copy)]
enum Said {
    Instant(Timestamp),
    Local(DateTime),
}

pub(super) fn timing_of(value: &Value<'_>, shop: &ShopZone<'_>) -> Option<Timing> {
    let table = value.table()?;
    table.refuse("every", "`schedule.every` is not supported yet", "write at = \"…\" for one run");
    let every = table.entries().iter().any(|(key, _)| key == "every");
    // Whoever wrote `every` meant no `at`.
    let at = if every { table.get("at") } else { table.require("at", TIME_HELP) };
    let until = table.get("until");
    let zone_value = table.get("zone");
    table.finish();
    let zone = zone_value
        .as_ref()
        .map_or(Some((ScheduleZone::Named(shop.name.to_owned()), Some(shop.zone.clone()))), zone_of);
    let said_until = until.as_ref().map(said);
    let at = at?;
    let now = at.is_text() && at.text()?.trim() == "now";
    let said_at = if now { None } else { Some(said(&at)?) };
    let (zone, zone_rules) = zone?;
    let uses_zone =
        matches!(said_at, Some(Said::Local(_))) || matches!(said_until, Some(Some(Said::Local(_))));
    if let (Some(zone), false) = (&zone_value, uses_zone) {
        let help = "remove it, or write a local time like \"2026-10-01 10:00\"";
        zone.complain("`schedule.zone` changes nothing here: no time depends on it", help);
    }
    let start = match (said_at, &zone_rules) {
        (None, _) => Start::Now,
        (Some(Said::Instant(at)), _) => Start::Instant(at),
        (Some(Said::Local(at)), Some(rules)) => Start::Instant(instant(at, rules)),
        (Some(Said::Local(at)), None) => Start::Local(at),
    };
    let end = match (said_until, &zone_rules) {
        (None, rules) => week_after(start, said_at, rules.as_ref()),
        (Some(said), rules) => match (said?, rules) {
            (Said::Instant(at), _) => End::Instant(at),
            (Said::Local(at), Some(rules)) => End::Instant(instant(at, rules)),
            (Said::Local(at), None) => End::Local(at),
        },
    };
    let timing = Timing { start, end, zone };
    if let (true, Some(until)) = (timing.is_empty(), until) {
        until
            .complain("the run ends before it starts", "choose a later `until`, or remove it for seven days");
    }
    Some(timing)
}

/// Seven days by the calendar in which the start was written.
fn week_after(start: Start, said: Option<Said>, zone: Option<&TimeZone>) -> End {
    match (start, said, zone) {
        (Start::Instant(at), Some(Said::Local(_)), Some(zone)) => End::Instant(Period::WEEK.after(at, zone)),
        (Start::Instant(at), ..) => End::Instant(Period::WEEK.after(at, &TimeZone::UTC)),
        (Start::Now | Start::Local(_), ..) => End::After(Period::WEEK),
    }
}

/// A zone and its rules; no rules if it is each contact's own.
fn zone_of(value: &Value<'_>) -> Option<(ScheduleZone, Option<TimeZone>)> {
    let text = value.text()?.trim();
    if text == "contact" {
        return Some((ScheduleZone::Contact, None));
    }
    let known =
        zone_name(text).and_then(|name| Some((ScheduleZone::Named(name.to_owned()), Some(time_zone(name)?))));
    if known.is_none() {
        value.complain(
            format!("{} is no time zone", quoted(text)),
            "write an IANA name like \"Europe/Paris\", or \"contact\" for each contact's own",
        );
    }
    known
}

/// A time with or without offset. A date alone is refused: midnight is never what a sender means.
fn said(value: &Value<'_>) -> Option<Said> {
    let text = value.text_or_time()?;
    let text = text.trim();
    if let Ok(at) = Timestamp::parse(text) {
        return Some(Said::Instant(at));
    }
    let local = local_time(text).map(Said::Local);
    if local.is_none() {
        value.complain(format!("{} is not a time with date and hour", quoted(text)), TIME_HELP);
    }
    local
}

/// A date and time of day, and nothing else: no offset, no zone in brackets, which would be dropped silently.
fn local_time(text: &str) -> Option<DateTime> {
    let plain = |c: char| c.is_ascii_digit() || matches!(c, '-' | ':' | '.' | ' ' | 'T');
    let time = text.get(10..)?;
    if !text.chars().all(plain) || !time.contains(':') || time.contains('-') {
        return None;
    }
    text.parse().ok()
}

/// An instant, a local time in the shop, or a date: good until that day is over in the shop.
pub(super) fn expires_at(value: &Value<'_>, shop: &ShopZone<'_>) -> Option<Timestamp> {
    let text = value.text_or_time()?;
    let text = text.trim();
    let date = || (text.len() == 10).then(|| text.parse::<Date>().ok()).flatten();
    let at = Timestamp::parse(text).ok();
    let at = at.or_else(|| local_time(text).map(|local| instant(local, &shop.zone)));
    let at = at.or_else(|| date().map(|date| end_of_day(date, &shop.zone)));
    if at.is_none() {
        value.complain(
            format!("{} is not a time", quoted(text)),
            "write \"2026-10-08\" for the end of that day in the shop's zone, or \"2026-10-08 20:00\"",
        );
    }
    at
}

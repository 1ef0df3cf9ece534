//! From a campaign file to its definition, with every mistake at its place.

use std::collections::{BTreeMap, HashSet};
use std::path::Path;

use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;

use super::{Audience, CouponExpiry, CouponTerms, Definition, Limits, MOST_PARTS, Texts, plain_locale};
use crate::campaign::terms::Period;
use crate::campaign::timing::{End, ScheduleZone, Start, Timing, end_of_day, instant};
use crate::campaign::zones::{time_zone, zone_name};
use crate::document::{Document, FileErrors, NAME_RULE, Table, Value, is_name, quoted};
use crate::model::clock::Timestamp;
use crate::model::message::WhenInDoubt;

/// Keys with a meaning that this version does not have yet.
const NOT_YET: [&str; 4] = ["holdout", "goal", "remind", "variant"];
const NOT_YET_HELP: &str = "remove it; nothing is ignored silently";
const TIME_HELP: &str = "write \"2026-10-01 10:00\", \"2026-10-01T10:00:00-04:00\" or \"now\"";

pub(super) fn definition(file: &str, text: &str, shop_zone: &str) -> Result<Definition, FileErrors> {
    let document = Document::parse(file, text)?;
    let name = name(&document, file);
    let shop = ShopZone { name: shop_zone, zone: time_zone(shop_zone).unwrap_or(TimeZone::UTC) };
    let root = document.root();
    let segment = root
        .require("segment", "name one of [segments] in winback.toml, or write an expression")
        .and_then(|value| value.some_text().map(audience));
    let routes = root.require("routes", "write routes = [\"NAME\"] with the routes of winback.toml");
    let routes = routes.and_then(|value| routes_of(&value));
    let timing = root.require("schedule", "write schedule = { at = \"2026-10-01 10:00\" }, or at = \"now\"");
    let timing = timing.and_then(|value| timing_of(&value, &shop));
    let window = root.get("window").map(|value| value.parsed());
    let limits = root.table("limits").map_or(Some(Limits::default()), |table| limits_of(table));
    let when_in_doubt = root.get("when_in_doubt").map_or(Some(WhenInDoubt::default()), |value| {
        value.word(
            &[WhenInDoubt::Park, WhenInDoubt::Resend, WhenInDoubt::Ask]
                .map(|policy| (policy.as_str(), policy)),
        )
    });
    let coupon = root.get("coupon").map(|value| value.table().and_then(|table| coupon_of(table, &shop)));
    let smart_text = root.get("smart_text").map_or(Some(true), |value| value.truth());
    let texts = root.require("text", "write [text] and below it en = \"…\"");
    let texts = texts.and_then(|value| texts_of(&value.table()?));
    for key in NOT_YET {
        root.refuse(key, format!("{} is not supported yet", quoted(key)), NOT_YET_HELP);
    }
    root.finish();
    let definition = (|| {
        Some(Definition {
            name: name?,
            segment: segment?,
            routes: routes?,
            timing: timing?,
            window: flatten(window)?,
            limits: limits?,
            when_in_doubt: when_in_doubt?,
            coupon: flatten(coupon)?,
            smart_text: smart_text?,
            text: texts?,
        })
    })();
    document.finish(definition)
}

/// A key that is not set is fine; one that is set and wrong is not.
fn flatten<T>(read: Option<Option<T>>) -> Option<Option<T>> {
    match read {
        None => Some(None),
        Some(value) => value.map(Some),
    }
}

fn name(document: &Document<'_>, file: &str) -> Option<String> {
    let stem = Path::new(file).file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
    if is_name(stem) {
        return Some(stem.to_owned());
    }
    let title = format!("a campaign has the name of its file, and {} cannot be one", quoted(stem));
    document.complain(title, format!("rename the file: {NAME_RULE}"));
    None
}

/// One word is a name; every other expression has more than one.
fn audience(text: &str) -> Audience {
    let text = text.trim();
    if is_name(text) && text != "true" && text != "false" {
        Audience::Named(text.to_owned())
    } else {
        Audience::Expression(text.to_owned())
    }
}

fn routes_of(value: &Value<'_>) -> Option<Vec<String>> {
    let list = value.list()?;
    if list.is_empty() {
        value.complain("a campaign needs at least one route", "name a route of winback.toml");
    }
    let mut routes: Vec<String> = Vec::new();
    for element in list {
        let Some(route) = element.text() else { continue };
        if routes.iter().any(|known| known == route) {
            element.complain(format!("the route {} is named twice", quoted(route)), "name it once");
        } else if is_name(route) {
            routes.push(route.to_owned());
        } else {
            element.complain(format!("{} is not the name of a route", quoted(route)), NAME_RULE);
        }
    }
    Some(routes)
}

struct ShopZone<'a> {
    name: &'a str,
    zone: TimeZone,
}

/// A point in time as a file says it.
#[derive(Clone, Copy)]
enum Said {
    Instant(Timestamp),
    Local(DateTime),
}

fn timing_of(value: &Value<'_>, shop: &ShopZone<'_>) -> Option<Timing> {
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

fn limits_of(table: Table<'_>) -> Option<Limits> {
    let limits = Limits {
        per_contact: table.get("per_contact").and_then(|value| value.parsed()),
        budget: table.get("budget").and_then(|value| value.parsed()),
        parts: table.get("parts").and_then(|value| value.whole(1..=i64::from(MOST_PARTS))?.try_into().ok()),
    };
    table.finish();
    Some(limits)
}

fn coupon_of(table: Table<'_>, shop: &ShopZone<'_>) -> Option<CouponTerms> {
    let pool = table.require("pool", "name the pool that the codes come from").and_then(|value| {
        let pool = value.text()?;
        if !is_name(pool) {
            value.complain(format!("{} is not the name of a pool", quoted(pool)), NAME_RULE);
        }
        Some(pool.to_owned())
    });
    let within = table.get("expires_in");
    let at = table.get("expires_at");
    table.finish();
    let expiry = match (within, at) {
        (None, None) => CouponExpiry::OfPool,
        (Some(within), None) => CouponExpiry::After(within.parsed()?),
        (None, Some(at)) => CouponExpiry::At(expires_at(&at, shop)?),
        (Some(_), Some(at)) => {
            at.complain_at_key("a code cannot expire in two ways", "keep `expires_in` or `expires_at`");
            return None;
        }
    };
    Some(CouponTerms { pool: pool?, expiry })
}

/// An instant, a local time in the shop, or a date: good until that day is over in the shop.
fn expires_at(value: &Value<'_>, shop: &ShopZone<'_>) -> Option<Timestamp> {
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

fn texts_of(table: &Table<'_>) -> Option<Texts> {
    let entries = table.entries();
    if entries.is_empty() {
        table.complain("`text` has no language", "write en = \"…\" below it");
        return None;
    }
    let mut variants = BTreeMap::new();
    let mut seen = HashSet::new();
    let mut default = None;
    let languages: Vec<&str> =
        entries.iter().map(|(key, _)| key.as_str()).filter(|key| *key != "default").collect();
    for (language, value) in &entries {
        let Some(template) = value.some_text() else { continue };
        if language == "default" && languages.contains(&template.trim()) {
            default = Some(template.trim().to_owned());
            continue;
        }
        if language != "default" && !is_language(language) {
            let title = format!("{} is not a language", quoted(language));
            value.complain_at_key(title, "use codes like en, zh or pt-BR");
        } else if !seen.insert(plain_locale(language)) {
            value.complain_at_key(format!("the language {} is there twice", quoted(language)), "keep one");
        }
        if let Some(at) = link_call(template) {
            value.complain_inside(
                at..at + "link".len(),
                "`link(…)` is not supported yet",
                "write the address itself",
            );
        }
        variants.insert(language.clone(), template.to_owned());
    }
    let named = variants.contains_key("default").then(|| "default".to_owned());
    let first = languages.first().map(|language| (*language).to_owned());
    Some(Texts { default: default.or(named).or(first)?, variants })
}

/// The form of a language tag: a language of two or three letters, then script, region or variant.
fn is_language(key: &str) -> bool {
    let mut parts = key.split('-');
    let language = parts.next().unwrap_or_default();
    let part_is_sound =
        |part: &str| (2..=8).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_alphanumeric());
    (2..=3).contains(&language.len())
        && language.bytes().all(|b| b.is_ascii_alphabetic())
        && parts.all(part_is_sound)
}

/// Where a template calls `link(…)`: inside a tag, as a word of its own.
fn link_call(template: &str) -> Option<usize> {
    let tag_opens = |at: usize| {
        let before = &template[..at];
        let open = before.rfind("{{").max(before.rfind("{%"));
        let close = before.rfind("}}").max(before.rfind("%}"));
        open.is_some() && open > close
    };
    let word_alone =
        |at: usize| !template[..at].ends_with(|c: char| c.is_alphanumeric() || matches!(c, '_' | '.'));
    let called = |at: usize| template[at + "link".len()..].trim_start().starts_with('(');
    let mut calls = template.match_indices("link").map(|(at, _)| at);
    calls.find(|at| word_alone(*at) && called(*at) && tag_opens(*at))
}

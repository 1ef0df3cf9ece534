//! From a campaign file to its definition, with every mistake at its place.

use std::collections::{BTreeMap, HashSet};
use std::path::Path;

use jiff::tz::TimeZone;

use super::times::{ShopZone, expires_at, timing_of};
use super::{Audience, CouponExpiry, CouponTerms, Definition, Limits, MOST_PARTS, Texts, plain_locale};
use crate::campaign::zones::time_zone;
use crate::document::{Document, FileErrors, NAME_RULE, Table, Value, is_name, quoted};
use crate::model::message::WhenInDoubt;

/// Keys with a meaning that this version does not have yet.
const NOT_YET: [&str; 4] = ["holdout", "goal", "remind", "variant"];
const NOT_YET_HELP: &str = "remove it; nothing is ignored silently";

pub(super) fn definition(file: &str, text: &str, shop_zone: &str) -> Result<Definition, FileErrors> {
    let document = Document::parse(file, text)?;
    let definition = read(&document, file, shop_zone);
    document.finish(definition)
}

/// Reads everything before it gives up on anything, so that all mistakes are found.
fn read(document: &Document<'_>, file: &str, shop_zone: &str) -> Option<Definition> {
    let name = name(document, file);
    let shop = ShopZone { name: shop_zone, zone: time_zone(shop_zone).unwrap_or(TimeZone::UTC) };
    let root = document.root();
    let segment = root.require("segment", "name one of [segments] in winback.toml, or write an expression");
    let segment = segment.and_then(|value| value.some_text().map(audience));
    let routes = root.require("routes", "write routes = [\"NAME\"] with the routes of winback.toml");
    let routes = routes.and_then(|value| routes_of(&value));
    let timing = root.require("schedule", "write schedule = { at = \"2026-10-01 10:00\" }, or at = \"now\"");
    let timing = timing.and_then(|value| timing_of(&value, &shop));
    let texts = root.require("text", "write [text] and below it en = \"…\"");
    let texts = texts.and_then(|value| texts_of(&value.table()?));
    let window = root.get("window").and_then(|value| value.parsed());
    let limits = root.table("limits").map(limits_of).unwrap_or_default();
    let policies = [WhenInDoubt::Park, WhenInDoubt::Resend, WhenInDoubt::Ask];
    let policies = policies.map(|policy| (policy.as_str(), policy));
    let when_in_doubt = root.get("when_in_doubt").and_then(|value| value.word(&policies)).unwrap_or_default();
    let coupon = root.table("coupon").and_then(|table| coupon_of(table, &shop));
    let smart_text = root.get("smart_text").and_then(|value| value.truth()).unwrap_or(true);
    for key in NOT_YET {
        root.refuse(key, format!("{} is not supported yet", quoted(key)), NOT_YET_HELP);
    }
    root.finish();
    Some(Definition {
        name: name?,
        segment: segment?,
        routes: routes?,
        timing: timing?,
        window,
        limits,
        when_in_doubt,
        coupon,
        smart_text,
        text: texts?,
    })
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

fn limits_of(table: Table<'_>) -> Limits {
    let limits = Limits {
        per_contact: table.get("per_contact").and_then(|value| value.parsed()),
        budget: table.get("budget").and_then(|value| value.parsed()),
        parts: table.get("parts").and_then(|value| value.whole(1..=i64::from(MOST_PARTS))?.try_into().ok()),
    };
    table.finish();
    limits
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

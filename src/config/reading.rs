//! From the text of `winback.toml` to a `Config`, with every mistake at its place.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tracing_subscriber::EnvFilter;
use url::{Host, Url};

use super::duration::duration;
use super::route::routes;
use super::{Config, DaemonConfig, DispatchConfig, IntakeConfig, LogConfig, ShopConfig, StoreConfig};
use crate::campaign::law::Rules;
use crate::campaign::zones::zone_name;
use crate::document::{Document, FileErrors, NAME_RULE, Table, Value, is_name, nearest, quoted};
use crate::telemetry::log::LogFormat;

pub(super) fn config(file: &str, text: &str) -> Result<Config, FileErrors> {
    let document = Document::parse(file, text)?;
    let config = read(&document, file);
    document.finish(Some(config))
}

/// Reads everything; what is wrong is complained about and left at its default.
pub(super) fn read(document: &Document<'_>, file: &str) -> Config {
    let folder = Path::new(file).parent().unwrap_or(Path::new(""));
    let mut config = Config::default();
    let root = document.root();
    if let Some(table) = root.table("store") {
        config.store = store(table, folder);
    } else {
        config.store.url = store_url(&config.store.url, folder).unwrap_or(config.store.url);
    }
    config.daemon = root.table("daemon").map(daemon).unwrap_or_default();
    config.shop = root.table("shop").map(shop).unwrap_or_default();
    config.routes = root.table("routes").map(|table| routes(&table, folder)).unwrap_or_default();
    if let Some(table) = root.table("segments") {
        config.segments = segments(&table);
    }
    config.dispatch = root.table("dispatch").map(dispatch).unwrap_or_default();
    config.intake = root.table("intake").map(intake).unwrap_or_default();
    config.law_switched_off = root.table("law").map(law).unwrap_or_default();
    config.log = root.table("log").map(log).unwrap_or_default();
    let path = |key, otherwise: PathBuf| {
        let named = root.get(key).and_then(|value| value.some_text().map(PathBuf::from));
        folder.join(named.unwrap_or(otherwise))
    };
    config.providers_folder = path("providers_folder", config.providers_folder);
    config.campaigns_folder = path("campaigns_folder", config.campaigns_folder);
    root.finish();
    config
}

/// A store address whose relative path starts at `folder`; none if it is no store address.
pub(super) fn store_url(url: &str, folder: &Path) -> Option<String> {
    let url = url.trim();
    if url.starts_with("postgres://") || url.starts_with("postgresql://") {
        return Url::parse(url).is_ok().then(|| url.to_owned());
    }
    let path = url.strip_prefix("sqlite:")?;
    let path = path.strip_prefix("//").unwrap_or(path);
    if path.is_empty() || path.starts_with(':') || path.contains('?') {
        return None;
    }
    Some(format!("sqlite:{}", folder.join(path).to_string_lossy()))
}

fn store(table: Table<'_>, folder: &Path) -> StoreConfig {
    let mut store = StoreConfig::default();
    let value = table.get("url");
    let written = value.as_ref().and_then(Value::text);
    match store_url(written.unwrap_or(&store.url), folder) {
        Some(url) => store.url = url,
        None => {
            if let Some(value) = value {
                let help = "write \"sqlite:winback.db\" for a file, or \"postgres://user@host/database\"";
                value.complain("`store.url` is not the address of a store", help);
            }
        }
    }
    table.finish();
    store
}

fn daemon(table: Table<'_>) -> DaemonConfig {
    let default = DaemonConfig::default();
    let times = Duration::from_secs(1)..=Duration::from_mins(5);
    let time = |key| table.get(key).and_then(|value| duration(&value, times.clone()));
    let kept = Duration::from_hours(96)..=Duration::from_hours(366 * 24);
    let kept = table.get("keep_unmatched_receipts").and_then(|value| duration(&value, kept));
    let count = |key, least, most, otherwise: usize| {
        let written = table.get(key).and_then(|value| value.whole(least..=most));
        written.and_then(|n| n.try_into().ok()).unwrap_or(otherwise)
    };
    let body = |key, otherwise| count(key, 1_024, 67_108_864, otherwise);
    let daemon = DaemonConfig {
        listen: table.get("listen").and_then(|value| listen(&value)).unwrap_or(default.listen),
        public_url: table.get("public_url").and_then(|value| public_url(&value)),
        callback_body_bytes: body("callback_body_bytes", default.callback_body_bytes),
        callback_header_time: time("callback_header_time").unwrap_or(default.callback_header_time),
        callback_body_time: time("callback_body_time").unwrap_or(default.callback_body_time),
        callback_connections: count("callback_connections", 1, 65_536, default.callback_connections),
        callbacks_at_once: count("callbacks_at_once", 1, 65_536, default.callbacks_at_once),
        callback_waiting_bytes: body("callback_waiting_bytes", default.callback_waiting_bytes),
        keep_unmatched_receipts: kept.unwrap_or(default.keep_unmatched_receipts),
    };
    table.finish();
    daemon
}

fn listen(value: &Value<'_>) -> Option<SocketAddr> {
    let address = value.text()?.trim().parse().ok();
    if address.is_none() {
        let help = "write a numeric address and a port, like \"127.0.0.1:8480\" or \"0.0.0.0:8480\"";
        value.complain(format!("{} is not an address to listen on", value.name()), help);
    }
    address
}

/// Receipts carry phone numbers: they travel over TLS, or stay on this machine.
fn public_url(value: &Value<'_>) -> Option<String> {
    let written = value.text()?.trim();
    let wrong = |title: &str, help: &str| {
        value.complain(format!("`daemon.public_url` {title}"), help);
        None
    };
    let example =
        "write the address under which providers reach this daemon, like \"https://sms.example.com\"";
    let Ok(url) = Url::parse(written) else { return wrong("is not an address", example) };
    let local = match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(ip)) => ip.is_loopback(),
        Some(Host::Ipv6(ip)) => ip.is_loopback(),
        None => return wrong("names no machine", example),
    };
    if !(url.scheme() == "https" || url.scheme() == "http" && local) {
        return wrong(
            "must begin with https://",
            "put TLS in front of the daemon; http:// is for this machine only",
        );
    }
    if url.query().is_some()
        || url.fragment().is_some()
        || !url.username().is_empty()
        || url.password().is_some()
    {
        return wrong(
            "must be an address and at most a path",
            "remove the login, the query and the fragment",
        );
    }
    Some(url.as_str().trim_end_matches('/').to_owned())
}

fn shop(table: Table<'_>) -> ShopConfig {
    let default = ShopConfig::default();
    let zone = table.get("zone").and_then(|value| {
        let name = zone_name(value.text()?);
        if name.is_none() {
            let title = format!("{} is no time zone", quoted(value.text()?));
            value.complain(title, "write an IANA name, like \"America/New_York\"");
        }
        name
    });
    let shop = ShopConfig {
        name: table.get("name").and_then(|value| value.text().map(str::to_owned)).unwrap_or(default.name),
        zone: zone.map_or(default.zone, str::to_owned),
        country: table.get("country").and_then(|value| value.parsed()),
        currency: table.get("currency").and_then(|value| value.parsed()).unwrap_or(default.currency),
    };
    table.finish();
    shop
}

fn segments(table: &Table<'_>) -> std::collections::BTreeMap<String, String> {
    let mut segments = std::collections::BTreeMap::new();
    for (name, value) in table.entries() {
        if !is_name(&name) || name == "true" || name == "false" {
            value.complain_at_key(format!("{} cannot be the name of a segment", quoted(&name)), NAME_RULE);
        }
        segments.extend(value.some_text().map(|expression| (name, expression.trim().to_owned())));
    }
    segments
}

fn dispatch(table: Table<'_>) -> DispatchConfig {
    let default = DispatchConfig::default();
    let time = |key, least, most| table.get(key).and_then(|value| duration(&value, least..=most));
    let (minute, hour, days) = (Duration::from_mins(1), Duration::from_hours(1), Duration::from_hours(96));
    let attempts = table.get("resend_attempts").and_then(|value| value.whole(1..=10));
    let dispatch = DispatchConfig {
        park_after: time("park_after", minute, days).unwrap_or(default.park_after),
        resend_after: time("resend_after", minute, days).unwrap_or(default.resend_after),
        resend_attempts: attempts.and_then(|n| n.try_into().ok()).unwrap_or(default.resend_attempts),
        window_guard: time("window_guard", Duration::ZERO, hour * 2).unwrap_or(default.window_guard),
    };
    table.finish();
    dispatch
}

fn intake(table: Table<'_>) -> IntakeConfig {
    let default = IntakeConfig::default();
    let length = table.get("least_code_length").and_then(|value| value.whole(1..=64));
    table.finish();
    IntakeConfig {
        least_code_length: length.and_then(|n| n.try_into().ok()).unwrap_or(default.least_code_length),
    }
}

fn law(table: Table<'_>) -> Vec<String> {
    let mut off = Vec::new();
    let list = table.get("switched_off").and_then(|value| value.list()).unwrap_or_default();
    for element in list {
        let Some(id) = element.text() else { continue };
        match Rules::load().switch_off(id) {
            Ok(_) => off.push(id.to_owned()),
            Err(error) => element.complain(error.to_string(), ""),
        }
    }
    table.finish();
    off
}

fn log(table: Table<'_>) -> LogConfig {
    let default = LogConfig::default();
    let formats = [("text", LogFormat::Text), ("json", LogFormat::Json)];
    let log = LogConfig {
        format: table.get("format").and_then(|value| value.word(&formats)).unwrap_or_default(),
        level: table.get("level").and_then(|value| level(&value)).unwrap_or(default.level),
    };
    table.finish();
    log
}

/// A level or a filter. A single word that is no level would be taken as a module's name, and silence everything else.
fn level(value: &Value<'_>) -> Option<String> {
    const LEVELS: [&str; 6] = ["error", "warn", "info", "debug", "trace", "off"];
    let text = value.some_text()?.trim();
    let filter = text.contains(['=', ',']) && EnvFilter::try_new(text).is_ok();
    if filter || LEVELS.contains(&text) {
        return Some(text.to_owned());
    }
    let help = match nearest(text, LEVELS) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("known are {}, or a filter like info,winback::dispatch=debug", LEVELS.join(", ")),
    };
    value.complain(format!("{} is not a level", quoted(text)), help);
    None
}

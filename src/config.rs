//! `winback.toml`: one file composes what each module is told. Defaults, then the file, then two environment variables.
//!
//! Only this module reads the environment, and only when it is asked: secrets are named in the file and fetched when a
//! route is started. Relative paths in the file start at the file's folder. It opens no store and no connection.

mod accounts;
pub mod check;
mod duration;
pub mod facts;
mod reading;
mod route;
pub mod secrets;
pub mod starter;

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::tz::TimeZone;

use crate::campaign::terms::Currency;
use crate::campaign::zones::time_zone;
use crate::dispatch::pace::LaneLimits;
use crate::dispatch::sweep::DoubtPolicy;
use crate::document::FileErrors;
use crate::http::HttpLimits;
use crate::model::country::Country;
use crate::model::money::Micros;
use crate::telemetry::log::LogFormat;

pub use route::RouteConfig;

/// Every key with its default and its reason; what is missing in a user's file is as it is here.
pub const DEFAULTS: &str = include_str!("../config/default.toml");

/// The file that is read when none is named.
pub const FILE: &str = "winback.toml";

/// Overrides `store.url`; a relative path starts at the working directory.
pub const STORE_URL_VARIABLE: &str = "WINBACK_STORE_URL";

/// Overrides `daemon.listen`.
pub const LISTEN_VARIABLE: &str = "WINBACK_DAEMON_LISTEN";

/// Octets that a configuration or campaign file may have.
const LONGEST_FILE: u64 = 1 << 20;

/// Everything a daemon or a command is told.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Where everything is kept.
    pub store: StoreConfig,
    /// The daemon and its HTTP side.
    pub daemon: DaemonConfig,
    /// Facts about the shop.
    pub shop: ShopConfig,
    /// Accounts at providers, by name.
    pub routes: BTreeMap<String, RouteConfig>,
    /// Audiences: expressions by name.
    pub segments: BTreeMap<String, String>,
    /// Sending.
    pub dispatch: DispatchConfig,
    /// Reading files of customers and codes.
    pub intake: IntakeConfig,
    /// Ids of rules of `config/compliance/windows.toml` that the shop's recorded consent lifts.
    pub law_switched_off: Vec<String>,
    /// Logging.
    pub log: LogConfig,
    /// The user's own provider definitions; need not exist.
    pub providers_folder: PathBuf,
    /// The campaign files.
    pub campaigns_folder: PathBuf,
}

/// Where everything is kept.
#[derive(Clone, PartialEq, Eq)]
pub struct StoreConfig {
    /// `sqlite:PATH` or `postgres://…`; may hold a password, so it never prints itself.
    pub url: String,
}

/// The daemon and its HTTP side.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DaemonConfig {
    /// Where it listens.
    pub listen: SocketAddr,
    /// Where providers reach it, without a slash at the end; none if nobody can call.
    pub public_url: Option<String>,
    /// Octets that a callback may have.
    pub callback_body_bytes: usize,
    /// Longest wait for the headers of a request.
    pub callback_header_time: Duration,
    /// Longest time for a whole request.
    pub callback_body_time: Duration,
    /// Connections open at a time.
    pub callback_connections: usize,
    /// Callbacks under way at a time.
    pub callbacks_at_once: usize,
    /// Octets of callbacks that may wait for the store together.
    pub callback_waiting_bytes: usize,
    /// How long receipts that match no text are kept.
    pub keep_unmatched_receipts: Duration,
}

/// Facts about the shop.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShopConfig {
    /// Its name, for texts and pages; may be empty.
    pub name: String,
    /// The IANA zone in which its days are counted and times without a zone are meant.
    pub zone: String,
    /// Country of phone numbers that have no country code.
    pub country: Option<Country>,
    /// Currency of prices, budgets and orders.
    pub currency: Currency,
}

/// Sending.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DispatchConfig {
    /// Evidence about a message in doubt is awaited this long before it is closed as unknown.
    pub park_after: Duration,
    /// Evidence is awaited this long before a message is sent again, where its campaign wants that.
    pub resend_after: Duration,
    /// Submissions of one message in all, resends included.
    pub resend_attempts: u32,
    /// Nothing leaves in the last stretch of this length before a lawful window closes.
    pub window_guard: Duration,
}

/// Reading files of customers and codes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IntakeConfig {
    /// Fewest characters of an imported code, without spaces and hyphens.
    pub least_code_length: usize,
}

/// Logging.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogConfig {
    /// How lines look.
    pub format: LogFormat,
    /// A level, or a filter such as `info,winback::dispatch=debug`.
    pub level: String,
}

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigErrors {
    /// No file where one should be.
    #[error("there is no {}; write one with `winback init`, or name one with --config", .0.display())]
    Missing(PathBuf),
    /// A file that cannot be read.
    #[error("{} cannot be read: {source}", .path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A file that is too long to be a configuration.
    #[error("{} has more than a million octets; a configuration has a few thousand", .0.display())]
    TooLong(PathBuf),
    /// A file with mistakes.
    #[error(transparent)]
    Wrong(#[from] FileErrors),
    /// An environment variable with a mistake.
    #[error("the environment variable {variable} is wrong: {problem}")]
    Variable {
        /// Its name.
        variable: &'static str,
        /// What is wrong, without the value.
        problem: &'static str,
    },
}

impl Config {
    /// Reads the file at `path`, or `winback.toml` in the working directory, and the two variables that override it.
    ///
    /// # Errors
    /// When there is no file, or with everything that is wrong with it at once.
    pub fn load(path: Option<&Path>) -> Result<Self, ConfigErrors> {
        Self::load_with(path, &secrets::environment)
    }

    fn load_with(
        path: Option<&Path>,
        environment: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Self, ConfigErrors> {
        let path = path.unwrap_or(Path::new(FILE));
        Self::parse(&path.to_string_lossy(), &read_file(path)?)?.overridden(environment)
    }

    /// The same configuration with the two variables that override it.
    ///
    /// # Errors
    /// When one of them is wrong.
    pub fn with_environment(self) -> Result<Self, ConfigErrors> {
        self.overridden(&secrets::environment)
    }

    fn overridden(mut self, environment: &dyn Fn(&str) -> Option<String>) -> Result<Self, ConfigErrors> {
        if let Some(url) = environment(STORE_URL_VARIABLE) {
            let problem = "write sqlite:PATH or postgres://…";
            let wrong = ConfigErrors::Variable { variable: STORE_URL_VARIABLE, problem };
            self.store.url = reading::store_url(&url, Path::new("")).ok_or(wrong)?;
        }
        if let Some(listen) = environment(LISTEN_VARIABLE) {
            let problem = "write an address and a port, like 127.0.0.1:8480";
            let wrong = ConfigErrors::Variable { variable: LISTEN_VARIABLE, problem };
            self.daemon.listen = listen.trim().parse().map_err(|_| wrong)?;
        }
        Ok(self)
    }

    /// Reads the text of a configuration. `file` is its path: complaints show it, and relative paths start in its folder.
    ///
    /// # Errors
    /// Everything that is wrong with it, at once.
    pub fn parse(file: &str, text: &str) -> Result<Self, FileErrors> {
        reading::config(file, text)
    }

    /// The limits of a route's lane; none for a route that does not exist.
    pub fn lane_limits(&self, route: &str) -> Option<&LaneLimits> {
        self.routes.get(route).map(|route| &route.limits)
    }

    /// What a part costs on a route to a country, in [`ShopConfig::currency`]; none if nobody said.
    pub fn price(&self, route: &str, country: Country) -> Option<Micros> {
        self.routes.get(route)?.price.get(&country).copied()
    }

    /// The limits of the HTTP side.
    pub fn http_limits(&self) -> HttpLimits {
        HttpLimits {
            body_bytes: self.daemon.callback_body_bytes,
            header_seconds: self.daemon.callback_header_time.as_secs(),
            body_seconds: self.daemon.callback_body_time.as_secs(),
            connections: self.daemon.callback_connections,
            callbacks: self.daemon.callbacks_at_once,
            waiting_bytes: self.daemon.callback_waiting_bytes,
        }
    }

    /// How long doubt lasts before it is decided.
    pub fn doubt_policy(&self) -> DoubtPolicy {
        let DispatchConfig { park_after, resend_after, resend_attempts, .. } = self.dispatch;
        DoubtPolicy { park_after, resend_after, attempts: resend_attempts }
    }

    /// The faults that a test asks a debug build for; see [`crate::telemetry::fault::ask`].
    #[cfg(debug_assertions)]
    pub fn faults() -> Option<String> {
        secrets::environment("WINBACK_FAULTS")
    }

    /// Who is at the keyboard, for the record of what a person decided.
    pub fn person() -> String {
        let named = secrets::environment("USER").or_else(|| secrets::environment("LOGNAME"));
        named.unwrap_or_else(|| format!("uid {}", rustix::process::getuid().as_raw()))
    }

    /// Reads an exact span of time as it is written in a configuration; a day is 24 hours.
    pub fn span(text: &str) -> Option<Duration> {
        duration::parse(text)
    }

    /// The shop's zone for calendar arithmetic.
    pub fn shop_zone(&self) -> TimeZone {
        time_zone(&self.shop.zone).unwrap_or(TimeZone::UTC)
    }

    /// The file of a campaign, by its name.
    pub fn campaign_file(&self, name: &str) -> PathBuf {
        self.campaigns_folder.join(name).with_extension("toml")
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            store: StoreConfig::default(),
            daemon: DaemonConfig::default(),
            shop: ShopConfig::default(),
            routes: BTreeMap::new(),
            segments: BTreeMap::new(),
            dispatch: DispatchConfig::default(),
            intake: IntakeConfig::default(),
            law_switched_off: Vec::new(),
            log: LogConfig::default(),
            providers_folder: PathBuf::from("providers"),
            campaigns_folder: PathBuf::from("campaigns"),
        }
    }
}

impl Default for StoreConfig {
    fn default() -> Self {
        Self { url: "sqlite:winback.db".to_owned() }
    }
}

impl std::fmt::Debug for StoreConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let kind = self.url.split(':').next().unwrap_or_default();
        write!(f, "StoreConfig({kind}:…)")
    }
}

impl Default for DaemonConfig {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 8480)),
            public_url: None,
            callback_body_bytes: 1 << 20,
            callback_header_time: Duration::from_secs(10),
            callback_body_time: Duration::from_secs(15),
            callback_connections: 1_024,
            callbacks_at_once: 512,
            callback_waiting_bytes: 32 << 20,
            keep_unmatched_receipts: Duration::from_hours(30 * 24),
        }
    }
}

impl Default for ShopConfig {
    fn default() -> Self {
        Self { name: String::new(), zone: "UTC".to_owned(), country: None, currency: Currency::default() }
    }
}

impl Default for DispatchConfig {
    fn default() -> Self {
        Self {
            park_after: Duration::from_hours(24),
            resend_after: Duration::from_mins(10),
            resend_attempts: 3,
            window_guard: Duration::from_mins(10),
        }
    }
}

impl Default for IntakeConfig {
    fn default() -> Self {
        Self { least_code_length: 6 }
    }
}

impl Default for LogConfig {
    fn default() -> Self {
        Self { format: LogFormat::Text, level: "info".to_owned() }
    }
}

/// The text of a file that a person wrote.
pub(crate) fn read_file(path: &Path) -> Result<String, ConfigErrors> {
    use std::io::Read as _;
    let unreadable = |source| ConfigErrors::Unreadable { path: path.to_owned(), source };
    let file = match std::fs::File::open(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Err(ConfigErrors::Missing(path.to_owned()));
        }
        other => other.map_err(unreadable)?,
    };
    let mut text = String::new();
    file.take(LONGEST_FILE + 1).read_to_string(&mut text).map_err(unreadable)?;
    if text.len() as u64 > LONGEST_FILE {
        return Err(ConfigErrors::TooLong(path.to_owned()));
    }
    Ok(text)
}

#[cfg(test)]
mod tests;

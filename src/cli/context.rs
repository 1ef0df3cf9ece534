//! What every command starts from: the configuration, the store, the clock, and how to answer.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::config::{Config, ConfigErrors};
#[cfg(debug_assertions)]
use crate::model::clock::SteeredClock;
use crate::model::clock::{Clock, SystemClock, Timestamp};
use crate::store::Store;

use super::WrongUse;

/// The surroundings of one command.
#[derive(Debug)]
pub struct Context {
    path: Option<PathBuf>,
    json: bool,
    clock: Arc<dyn Clock>,
}

impl Context {
    /// Surroundings with the machine's clock.
    pub fn new(path: Option<PathBuf>, json: bool) -> Self {
        Self { path, json, clock: clock() }
    }

    /// Whether the answer is for a machine.
    pub fn json(&self) -> bool {
        self.json
    }

    /// Where the configuration was said to be.
    pub fn path(&self) -> Option<&Path> {
        self.path.as_deref()
    }

    /// The clock.
    pub fn clock(&self) -> Arc<dyn Clock> {
        Arc::clone(&self.clock)
    }

    /// The time.
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Reads the configuration.
    ///
    /// # Errors
    /// When there is none, or with everything that is wrong with it.
    pub fn config(&self) -> anyhow::Result<Config> {
        match Config::load(self.path()) {
            // A file that the call names and that is not there is a mistake of the call.
            Err(missing @ ConfigErrors::Missing(_)) if self.path.is_some() => {
                Err(WrongUse(missing.to_string()).into())
            }
            read => Ok(read?),
        }
    }

    /// Reads the configuration if there is one: a file that was named must be there, `winback.toml` need not.
    ///
    /// # Errors
    /// With everything that is wrong with it.
    pub fn config_if_any(&self) -> anyhow::Result<Option<Config>> {
        match Config::load(self.path()) {
            Err(ConfigErrors::Missing(_)) if self.path.is_none() => Ok(None),
            Err(_) => Ok(Some(self.config()?)),
            Ok(config) => Ok(Some(config)),
        }
    }

    /// Opens the store of a configuration.
    ///
    /// # Errors
    /// When it does not exist, is of another version or cannot be reached.
    pub async fn store(&self, config: &Config) -> anyhow::Result<Store> {
        Ok(Store::open(&config.store.url).await?)
    }

    /// The store, for what goes on from where it stands. A backup that was only copied into place does not know what was
    /// sent since, and what is done to it is lost with the next restore.
    ///
    /// # Errors
    /// As [`Context::store`], and when it is such a backup.
    pub async fn live_store(&self, config: &Config) -> anyhow::Result<Store> {
        let store = self.store(config).await?;
        store.refuse_backup().await?;
        Ok(store)
    }
}

/// The machine's clock; in a debug build another one, if a test steers it.
fn clock() -> Arc<dyn Clock> {
    #[cfg(debug_assertions)]
    if let Some(file) = crate::telemetry::fault::clock() {
        return steered(file);
    }
    Arc::new(SystemClock)
}

/// A clock that is off by what a file says, soon after the file says so.
#[cfg(debug_assertions)]
fn steered(file: &'static Path) -> Arc<dyn Clock> {
    let off = move || std::fs::read_to_string(file).ok().and_then(|text| text.trim().parse().ok());
    let clock = Arc::new(SteeredClock::off_by(off().expect("the file of a steered clock holds a number")));
    let steered = Arc::clone(&clock);
    std::thread::spawn(move || {
        loop {
            std::thread::sleep(std::time::Duration::from_millis(5));
            // A file that is being written says nothing for a moment.
            if let Some(by_ms) = off() {
                steered.steer(by_ms);
            }
        }
    });
    clock
}

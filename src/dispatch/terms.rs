//! Everything a run needs that was settled before it was launched: kept with it, so that files may change meanwhile.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::campaign::definition::Definition;
use crate::campaign::law::Rules;
use crate::campaign::schedule::{Interval, ScheduleKey};
use crate::campaign::window::Window;
use crate::campaign::zones::time_zone;
use crate::model::clock::Timestamp;
use crate::model::ids::{PoolId, RunId};
use crate::model::money::Micros;
use crate::store::{Store, StoreError};

/// Runs whose terms are held in memory at a time.
const RUNS_AT_ONCE: i64 = 500;

/// One route that a campaign may use, as configured when it was launched.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RouteTerms {
    /// Its name.
    pub name: String,
    /// Its senders; a contact always hears from the same one.
    pub senders: Vec<String>,
    /// Countries it may text; none means those it has a price for.
    pub countries: Vec<String>,
    /// Price of a part by country.
    pub prices: BTreeMap<String, Micros>,
    /// Parts per second that its account allows, for the estimate of the finish.
    pub parts_per_second: Option<f64>,
}

/// The pool a campaign's codes come from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PoolTerms {
    /// Its row.
    pub id: PoolId,
    /// Its name.
    pub name: String,
    /// What a code is worth, as customers read it.
    pub value: String,
    /// When its codes end.
    pub expires_at: Option<Timestamp>,
}

/// The settled terms of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Terms {
    /// The campaign.
    pub definition: Definition,
    /// The segment's expression, names resolved.
    pub segment: String,
    /// The routes it may use, in its order.
    pub routes: Vec<RouteTerms>,
    /// The currency of every price.
    pub currency: String,
    /// The shop's zone: days of the segment are counted in it.
    pub shop_zone: String,
    /// Nothing is handed over in the last moments of a window.
    pub guard: Duration,
    /// The pool of its coupons.
    pub pool: Option<PoolTerms>,
    /// The instant the segment is asked at; none means the launch.
    pub as_of: Option<Timestamp>,
    /// The launch.
    pub launched_at: Timestamp,
}

/// Why stored terms cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("the stored terms of a run cannot be read; they were written by another version of winback: {0}")]
pub struct TermsError(#[from] serde_json::Error);

impl Terms {
    /// Reads what [`Terms::to_json`] wrote.
    ///
    /// # Errors
    /// When it is something else.
    pub fn read(json: &str) -> Result<Self, TermsError> {
        Ok(serde_json::from_str(json)?)
    }

    /// The terms as JSON.
    ///
    /// # Errors
    /// Never for terms that were read or built here.
    pub fn to_json(&self) -> Result<String, TermsError> {
        Ok(serde_json::to_string(self)?)
    }

    /// Digest of everything that an approval covers; the moment of planning is not part of it.
    ///
    /// # Errors
    /// Never for terms that were read or built here.
    pub fn fingerprint(&self) -> Result<Sha256, TermsError> {
        let approved = Self { launched_at: Timestamp(0), ..self.clone() };
        Ok(Sha256::new_with_prefix(approved.to_json()?))
    }

    /// The shop's zone.
    pub fn zone(&self) -> TimeZone {
        time_zone(&self.shop_zone).unwrap_or(TimeZone::UTC)
    }

    /// The first route that may text a country, and its price there.
    ///
    /// # Errors
    /// When no route may.
    pub fn route_for(&self, country: &str) -> Result<(&RouteTerms, Micros), NoRoute> {
        let mut found = Err(NoRoute::Country);
        for route in &self.routes {
            let listed = route.countries.is_empty() || route.countries.iter().any(|c| c == country);
            match route.prices.get(country) {
                Some(price) if listed => return Ok((route, *price)),
                None if listed && !route.countries.is_empty() => found = Err(NoRoute::Price),
                _ => {}
            }
        }
        found
    }

    /// The next interval in which contacts with this key may be texted, inside the schedule of the run. With several
    /// candidate zones it starts when it has started in all of them and ends when it ends in the first.
    pub fn next_interval(
        &self,
        key: &ScheduleKey,
        rules: &Rules,
        now: Timestamp,
    ) -> Option<(Timestamp, Timestamp)> {
        let window = self.definition.window.unwrap_or(Window::ALWAYS);
        let schedule = key.schedule(rules, window, self.guard, now).ok()?;
        let (zones, _) = key.parts().ok()?;
        let zones: Vec<TimeZone> = zones.into_iter().filter_map(time_zone).collect();
        let timing = &self.definition.timing;
        let starts = zones.iter().map(|zone| timing.starts_at(zone, self.launched_at)).max()?;
        let ends = self.ends(key)?;
        let Interval { open, close } = schedule.next_allowed(now.max(starts))?;
        (open < ends).then_some((open, close.min(ends)))
    }

    /// When the run ends for contacts with this key: in the first of their candidate zones.
    pub fn ends(&self, key: &ScheduleKey) -> Option<Timestamp> {
        let (zones, _) = key.parts().ok()?;
        let zones = zones.into_iter().filter_map(time_zone);
        zones.map(|zone| self.definition.timing.ends_at(&zone, self.launched_at)).min()
    }
}

/// Runs of a store whose terms cannot be read, newest first: nobody can say in which hours they may send, or sent.
///
/// # Errors
/// When the store cannot be read.
pub async fn unreadable(store: &Store) -> Result<Vec<RunId>, StoreError> {
    let (mut unread, mut before) = (Vec::new(), RunId(i64::MAX));
    loop {
        let runs = store.runs_before(before, RUNS_AT_ONCE).await?;
        let Some(last) = runs.last() else { return Ok(unread) };
        before = last.id;
        let bad = runs.iter().filter(|run| Terms::read(&run.terms.definition).is_err());
        unread.extend(bad.map(|run| run.id));
    }
}

/// Why no route takes a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoRoute {
    /// None of them texts this country.
    Country,
    /// One would, but it has no price for it, and nothing is sent without knowing what it costs.
    Price,
}

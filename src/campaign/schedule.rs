//! The next moment at which a text may leave, in every zone its contact may be in.
//!
//! Works on the zones' own rules, never by adding 24 hours: hours that a clock change skips do not exist, and hours
//! that it repeats are inside or outside both times. Contacts with the same zones and the same law share one
//! schedule, so a plan over millions of them computes a few hundred. Sends nothing and reads no clock.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use jiff::ToSpan;
use jiff::civil::{Date, date};
use jiff::tz::TimeZone;

use super::holidays::HolidaySet;
use super::law::{BadLawRegion, LawRegion, Lawful, Rules};
use super::window::Window;
use super::zones;
use crate::model::clock::Timestamp;

/// When texts may leave for contacts in given zones under a given law.
#[derive(Clone, Debug)]
pub struct Schedule {
    tracks: Vec<Track>,
    guard: i64,
}

/// One clock that must agree.
#[derive(Clone, Debug)]
struct Track {
    zone: TimeZone,
    window: Window,
    holidays: Vec<Arc<HolidaySet>>,
}

/// A stretch of time in which texts may leave: `open` included, `close` not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Interval {
    /// The first allowed instant, never before the one that was asked about.
    pub open: Timestamp,
    /// The first instant that is no longer allowed; the guard is already taken off.
    pub close: Timestamp,
}

/// Why there is no schedule.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoSchedule {
    /// Nothing is known about where the contact is.
    #[error(
        "no time zone is known for the contact; give it a zone, or let the campaign name one for such contacts"
    )]
    ZoneUnknown,
    /// A name that no time zone has.
    #[error("`{0}` is no time zone; write an IANA name like Europe/Paris")]
    BadZone(String),
    /// The key is not of the form `Zone|Zone@REGION`.
    #[error(transparent)]
    BadRegion(#[from] BadLawRegion),
}

/// Zones and law region as one text, `America/Chicago|America/New_York@US-FL`: equal keys have equal schedules.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ScheduleKey(String);

const DAY_MS: i64 = 24 * 60 * 60 * 1000;
/// A common window must open within this many days.
const SEARCH_DAYS: i64 = 8;

impl Schedule {
    /// A schedule for contacts who may be in any of `zones`: the campaign's hours and the lawful ones, in all zones
    /// at once. Where the law fixes a clock, its hours count by that clock and the campaign's by the zones.
    /// Nothing leaves in the last `guard` before a window ends, because networks take their time.
    ///
    /// # Errors
    /// When `zones` is empty or holds a name that is no zone.
    pub fn new(
        zones: &[&str],
        campaign: Window,
        lawful: &Lawful,
        guard: Duration,
    ) -> Result<Self, NoSchedule> {
        let zone = |name: &str| zones::time_zone(name).ok_or_else(|| NoSchedule::BadZone(name.to_owned()));
        if zones.is_empty() {
            return Err(NoSchedule::ZoneUnknown);
        }
        let (window, holidays) = match lawful.clock {
            None => (campaign.intersect(&lawful.window), lawful.holidays.clone()),
            Some(_) => (campaign, Vec::new()),
        };
        let mut tracks = Vec::with_capacity(zones.len() + 1);
        for name in zones {
            tracks.push(Track { zone: zone(name)?, window, holidays: holidays.clone() });
        }
        if let Some(clock) = lawful.clock {
            let holidays = lawful.holidays.clone();
            tracks.push(Track { zone: zone(clock)?, window: lawful.window, holidays });
        }
        Ok(Self { tracks, guard: i64::try_from(guard.as_millis()).unwrap_or(i64::MAX) })
    }

    /// The first allowed instant at or after `now`, and the end of that stretch; `None` when nothing opens within
    /// eight days (`no_common_window`). A stretch that lasts beyond the ninth day is cut there.
    pub fn next_allowed(&self, now: Timestamp) -> Option<Interval> {
        let start = now.to_jiff().as_millisecond();
        let mut open = vec![(start, start.saturating_add((SEARCH_DAYS + 1) * DAY_MS))];
        for track in &self.tracks {
            open = intersect(&open, &track.open(start, (SEARCH_DAYS + 1) * DAY_MS));
        }
        let latest = start.saturating_add(SEARCH_DAYS * DAY_MS);
        open.into_iter()
            .map(|(open, close)| (open, close.saturating_sub(self.guard)))
            .find(|&(open, close)| open < close && open < latest)
            .map(|(open, close)| Interval { open: Timestamp(open), close: Timestamp(close) })
    }

    /// Whether a text may leave at this very instant.
    pub fn is_open(&self, now: Timestamp) -> bool {
        self.next_allowed(now).is_some_and(|interval| interval.open == now)
    }
}

impl Track {
    /// The stretches inside the window from `start` on, in UTC milliseconds, ascending and apart.
    fn open(&self, start: i64, length: i64) -> Vec<(i64, i64)> {
        let end = start.saturating_add(length);
        let mut open: Vec<(i64, i64)> = Vec::new();
        let mut at = start;
        while at < end {
            let Ok(instant) = jiff::Timestamp::from_millisecond(at) else { break };
            let change =
                self.zone.following(instant).next().map(|change| change.timestamp().as_millisecond());
            let until = change.filter(|&change| change > at).map_or(end, |change| change.min(end));
            // Between two changes a local clock runs evenly, so local days map to UTC by one subtraction.
            let offset = i64::from(self.zone.to_offset(instant).seconds()) * 1000;
            for day in (at + offset).div_euclid(DAY_MS)..=(until - 1 + offset).div_euclid(DAY_MS) {
                let Some((from, to)) = self.hours_on(day) else { continue };
                let (from, to) = ((from - offset).max(at), (to - offset).min(until));
                match open.last_mut() {
                    _ if from >= to => {}
                    Some(last) if last.1 == from => last.1 = to,
                    _ => open.push((from, to)),
                }
            }
            at = until;
        }
        open
    }

    /// The hours of a local day, counted from 1 January 1970, in local milliseconds since then.
    fn hours_on(&self, day: i64) -> Option<(i64, i64)> {
        let local: Date = date(1970, 1, 1).checked_add(i32::try_from(day).ok()?.days()).ok()?;
        let hours = self.window.on(local.weekday())?;
        if self.holidays.iter().any(|set| set.contains(local)) {
            return None;
        }
        let at = |minute: u16| day * DAY_MS + i64::from(minute) * 60_000;
        Some((at(hours.from), at(hours.to)))
    }
}

/// The stretches that both lists have; both ascending and apart.
fn intersect(a: &[(i64, i64)], b: &[(i64, i64)]) -> Vec<(i64, i64)> {
    let mut both = Vec::new();
    let (mut i, mut j) = (0, 0);
    while let (Some(x), Some(y)) = (a.get(i), b.get(j)) {
        let (from, to) = (x.0.max(y.0), x.1.min(y.1));
        if from < to {
            both.push((from, to));
        }
        if x.1 < y.1 {
            i += 1;
        } else {
            j += 1;
        }
    }
    both
}

impl ScheduleKey {
    /// The key of these zones under this law; the order of the zones does not matter.
    pub fn new(zones: &[&str], law: LawRegion) -> Self {
        let mut zones = zones.to_vec();
        zones.sort_unstable();
        zones.dedup();
        Self(format!("{}@{law}", zones.join("|")))
    }

    /// The key as stored.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// A key that was stored.
    pub fn from_text(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The zones and the law region of the key.
    ///
    /// # Errors
    /// When the text is no key.
    pub fn parts(&self) -> Result<(Vec<&str>, LawRegion), NoSchedule> {
        let (zones, law) = self.0.rsplit_once('@').ok_or(BadLawRegion)?;
        Ok((zones.split('|').filter(|zone| !zone.is_empty()).collect(), law.parse()?))
    }

    /// The schedule of this key for a campaign's hours, under the rules as of `now`.
    ///
    /// # Errors
    /// When the text is no key, or the key has no zones.
    pub fn schedule(
        &self,
        rules: &Rules,
        campaign: Window,
        guard: Duration,
        now: Timestamp,
    ) -> Result<Schedule, NoSchedule> {
        let (zones, law) = self.parts()?;
        Schedule::new(&zones, campaign, &rules.lawful(law, now), guard)
    }
}

impl fmt::Display for ScheduleKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

#[cfg(test)]
mod tests;

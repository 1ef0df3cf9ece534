//! When a run would be done: parts per second against windows that open and close. Pure.
//!
//! A lane serves the window that closes first; a lane without a configured rate is taken to be as fast as asked.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use crate::campaign::law::Rules;
use crate::model::clock::Timestamp;

use super::plan::schedule_key;
use super::terms::Terms;

/// Windows looked ahead for one lane; far more than any campaign has days and zones.
const STEPS: usize = 100_000;

/// What waits for one route in one window.
#[derive(Clone, Copy, Debug, Default)]
pub struct Load {
    /// Messages.
    pub messages: i64,
    /// Their parts.
    pub parts: i64,
}

/// The estimate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Finish {
    /// When the first may go.
    pub(super) starts_at: Option<Timestamp>,
    /// When the last would have gone.
    pub(super) finishes_at: Option<Timestamp>,
    /// Messages that would be left when the campaign ends.
    pub(super) too_late: i64,
}

/// When one route would be done with what waits in windows (key, opens, closes), at so many parts per second, or as
/// fast as asked without a rate. None if some of it would be too late.
pub fn done_at(
    waiting: &[(&str, Timestamp, Timestamp, Load)],
    rate: Option<f64>,
    now: Timestamp,
    terms: &Terms,
    rules: &Rules,
) -> Option<Timestamp> {
    let waiting = waiting.iter().map(|(key, opens, closes, load)| {
        #[expect(clippy::cast_precision_loss, reason = "an estimate")]
        let parts = load.parts as f64;
        Waiting { key: (*key).to_owned(), opens: now.max(*opens), closes: *closes, parts, load: *load }
    });
    let finish = serve(waiting.collect(), rate, terms, rules);
    finish.finishes_at.filter(|_| finish.too_late == 0)
}

struct Waiting {
    key: String,
    opens: Timestamp,
    closes: Timestamp,
    parts: f64,
    load: Load,
}

/// Estimates start and finish of the loads by route and window.
pub(super) fn estimate(
    loads: &BTreeMap<(String, String), Load>,
    windows: &HashMap<&str, (Timestamp, Timestamp)>,
    terms: &Terms,
    rules: &Rules,
) -> Finish {
    let mut finish = Finish::default();
    for route in &terms.routes {
        let waiting =
            loads.iter().filter(|((name, _), _)| *name == route.name).filter_map(|((_, key), load)| {
                let (opens, closes) = *windows.get(key.as_str())?;
                #[expect(clippy::cast_precision_loss, reason = "an estimate")]
                let parts = load.parts as f64;
                Some(Waiting { key: key.clone(), opens, closes, parts, load: *load })
            });
        let lane = serve(waiting.collect(), route.parts_per_second, terms, rules);
        finish.starts_at = [finish.starts_at, lane.starts_at].into_iter().flatten().min();
        finish.finishes_at = finish.finishes_at.max(lane.finishes_at);
        finish.too_late += lane.too_late;
    }
    finish
}

fn serve(mut waiting: Vec<Waiting>, rate: Option<f64>, terms: &Terms, rules: &Rules) -> Finish {
    let mut finish =
        Finish { starts_at: waiting.iter().map(|w| w.opens).min(), finishes_at: None, too_late: 0 };
    let Some(mut now) = finish.starts_at else { return finish };
    for _ in 0..STEPS {
        roll(&mut waiting, now, terms, rules, &mut finish);
        let Some(at) = next_served(&waiting, now) else {
            match waiting.iter().map(|w| w.opens).filter(|opens| *opens > now).min() {
                Some(opens) => now = opens,
                None => return finish,
            }
            continue;
        };
        // Until it is done, it closes, or another window opens that closes earlier.
        let opening = waiting.iter().map(|w| w.opens).filter(|opens| *opens > now).min();
        let served = &mut waiting[at];
        let end = opening.map_or(served.closes, |opening| opening.min(served.closes));
        let needed = rate.map_or(Duration::ZERO, |rate| seconds(served.parts / rate.max(1e-9)));
        let done = now.plus(needed);
        if done <= end {
            finish.finishes_at = finish.finishes_at.max(Some(done));
            waiting.swap_remove(at);
            now = done;
        } else {
            served.parts -= end.since(now).as_secs_f64() * rate.unwrap_or(0.0);
            now = end;
        }
    }
    finish
}

/// Moves closed windows to their next opening; those without one are too late.
fn roll(waiting: &mut Vec<Waiting>, now: Timestamp, terms: &Terms, rules: &Rules, finish: &mut Finish) {
    waiting.retain_mut(|w| {
        if w.closes > now {
            return true;
        }
        if let Some((opens, closes)) = terms.next_interval(&schedule_key(&w.key), rules, now) {
            (w.opens, w.closes) = (opens, closes);
            return true;
        }
        #[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, reason = "an estimate")]
        let left = (w.parts / (w.load.parts.max(1) as f64) * w.load.messages as f64).ceil() as i64;
        finish.too_late += left;
        false
    });
}

/// The open window that closes first.
fn next_served(waiting: &[Waiting], now: Timestamp) -> Option<usize> {
    let open = waiting.iter().enumerate().filter(|(_, w)| w.opens <= now);
    open.min_by_key(|(_, w)| w.closes).map(|(at, _)| at)
}

fn seconds(value: f64) -> Duration {
    Duration::try_from_secs_f64(value).unwrap_or(Duration::MAX)
}

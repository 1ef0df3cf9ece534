//! What the running daemon says of its lanes, as commands beside it read it from its metrics. It asks this machine alone,
//! and a daemon that does not answer here is no mistake.

use std::time::Duration;

use serde::Serialize;

use crate::config::Config;
use crate::model::clock::Timestamp;
use crate::provider::{Transport, TransportLimits};

/// Octets of a metrics page; one of a thousand routes fits.
const PAGE_BYTES: usize = 8 << 20;

/// A lane that runs at this share of its limit or above is not worth a word.
const NEARLY_ALL: f64 = 0.9;

/// A wait that ends this soon is not worth a word.
const SOON: Duration = Duration::from_secs(2);

/// One look at a daemon's metrics.
#[derive(Debug)]
pub(super) struct Gauges(pub(super) String);

impl Gauges {
    /// Looks; none if no daemon answers here in time.
    pub(super) async fn read(config: &Config, patience: Duration) -> anyhow::Result<Option<Self>> {
        let limits = TransportLimits {
            connect_timeout: patience,
            total_timeout: patience,
            in_flight: 1,
            answer_bytes: PAGE_BYTES,
        };
        let look = Transport::new(limits)?.look(&format!("http://{}/metrics", config.daemon.listen)).await;
        Ok(look.ok().filter(|look| look.status == 200).map(|look| Self(look.body)))
    }

    /// What a metric of a route reads, summed over its kinds; of all routes if `route` is empty.
    pub(super) fn value(&self, name: &str, route: &str) -> Option<f64> {
        let label = format!("route=\"{route}\"");
        let wanted = [label.as_str()];
        self.sum(name, if route.is_empty() { &[] } else { &wanted })
    }

    /// What a metric of a route reads for one of its kinds.
    pub(super) fn kind(&self, name: &str, route: &str, kind: &str) -> Option<f64> {
        self.sum(name, &[&format!("route=\"{route}\""), &format!("kind=\"{kind}\"")])
    }

    /// The sum of the series of a metric that have all of these labels.
    fn sum(&self, name: &str, wanted: &[&str]) -> Option<f64> {
        let lines = self.0.lines().filter_map(|line| {
            let (series, number) = line.rsplit_once(' ')?;
            let (found, labels) = series.split_once('{').unwrap_or((series, ""));
            let has = |label: &&str| labels.trim_end_matches('}').split(',').any(|one| one == *label);
            let ours = wanted.iter().all(has);
            if found == name && ours { number.parse::<f64>().ok() } else { None }
        });
        lines.fold(None, |sum, number| Some(sum.unwrap_or(0.0) + number))
    }

    /// What holds these routes back now.
    pub(super) fn holds<'r>(&self, routes: impl Iterator<Item = &'r str>, now: Timestamp) -> Vec<Hold> {
        if self.value("winback_store_writable", "") == Some(0.0) {
            return vec![Hold::Store];
        }
        routes.filter_map(|route| self.hold(route, now)).collect()
    }

    fn hold(&self, route: &str, now: Timestamp) -> Option<Hold> {
        let reads = |name: &str| self.value(name, route).unwrap_or(0.0);
        #[expect(clippy::cast_possible_truncation, reason = "whole seconds of a calendar time")]
        let next = Timestamp((reads("winback_next_try_seconds") * 1_000.0) as i64);
        let next_try_at = Some(next).filter(|at| *at > now);
        let route = || route.to_owned();
        if reads("winback_breaker_open") > 0.0 {
            return Some(Hold::Unwell { route: route(), next_try_at });
        }
        if next > now.plus(SOON) {
            return Some(Hold::AskedToWait { route: route(), next_try_at });
        }
        let share = self.value("winback_rate_share", &route()).unwrap_or(1.0);
        (share < NEARLY_ALL).then(|| Hold::Throttled { route: route(), share })
    }
}

/// What holds a lane back, as its daemon sees it.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "hold", rename_all = "snake_case")]
pub(super) enum Hold {
    /// The store is a backup that was only copied into place: nothing may be sent from it.
    Backup {
        /// What it is, and the way out.
        told: String,
    },
    /// No daemon works on the store.
    NoDaemon,
    /// The store cannot be written, so nothing is sent at all.
    Store,
    /// Its provider is unwell: single texts try.
    Unwell {
        /// The route.
        route: String,
        /// When the next of them goes; none while the answer to one is awaited.
        #[serde(serialize_with = "Timestamp::as_text")]
        next_try_at: Option<Timestamp>,
    },
    /// Its provider asked to wait.
    AskedToWait {
        /// The route.
        route: String,
        /// Until when.
        #[serde(serialize_with = "Timestamp::as_text")]
        next_try_at: Option<Timestamp>,
    },
    /// Its provider throttles it.
    Throttled {
        /// The route.
        route: String,
        /// Share of its limit at which it runs.
        share: f64,
    },
}

impl Hold {
    /// In a sentence.
    pub(super) fn words(&self) -> String {
        let at = |at: &Option<Timestamp>| at.map(Timestamp::rfc3339);
        match self {
            Self::Backup { told } => told.clone(),
            Self::NoDaemon => {
                "no daemon is running, so nothing is sent; start it with `winback daemon`".to_owned()
            }
            Self::Store => {
                "the store cannot be written, so nothing is sent; `winback doctor` says why".to_owned()
            }
            Self::Unwell { route, next_try_at } => {
                let next = at(next_try_at)
                    .map_or_else(|| "one is trying now".to_owned(), |at| format!("the next at {at}"));
                format!("the provider of route {route} is unwell: only single texts try, {next}")
            }
            Self::AskedToWait { route, next_try_at } => {
                let until = at(next_try_at).unwrap_or_default();
                format!("the provider of route {route} asked to wait: the next text goes at {until}")
            }
            Self::Throttled { route, share } => format!(
                "the provider throttles route {route}: it runs at {:.0} % of its limit and recovers by itself",
                share * 100.0
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = "# TYPE winback_outcomes counter\n\
        winback_outcomes_total{route=\"us\",kind=\"accepted\"} 7\n\
        winback_outcomes_total{route=\"us\",kind=\"unknown\"} 2\n\
        winback_outcomes_total{route=\"us2\",kind=\"accepted\"} 40\n\
        winback_store_writable 1\n# EOF\n";

    #[test]
    fn a_metric_is_read_for_one_route_and_summed_over_its_kinds() {
        let page = Gauges(PAGE.to_owned());
        let check =
            |name: &str, route: &str, wanted: Option<f64>| assert_eq!(page.value(name, route), wanted);
        check("winback_outcomes_total", "us", Some(9.0));
        check("winback_outcomes_total", "us2", Some(40.0));
        check("winback_outcomes_total", "u", None);
        check("winback_store_writable", "", Some(1.0));
        check("winback_outcomes", "us", None);
        assert_eq!(page.kind("winback_outcomes_total", "us", "accepted"), Some(7.0));
        assert_eq!(page.kind("winback_outcomes_total", "us", "refused"), None);
    }

    #[test]
    fn what_holds_a_lane_is_said_with_the_time_of_the_next_try() {
        let now = Timestamp(1_000_000_000);
        let check = |lines: &str, wanted: &[&str]| {
            let held = Gauges(format!("winback_store_writable 1\n{lines}")).holds(["us"].into_iter(), now);
            let told: Vec<String> = held.iter().map(Hold::words).collect();
            assert_eq!(told.len(), wanted.len(), "{told:?}");
            assert!(told.iter().zip(wanted).all(|(told, wanted)| told.contains(wanted)), "{told:?}");
        };
        check("winback_rate_share{route=\"us\"} 1.0\n", &[]);
        check("winback_rate_share{route=\"us\"} 0.25\n", &["at 25 % of its limit"]);
        check("winback_rate_share{route=\"ca\"} 0.25\nwinback_breaker_open{route=\"ca\"} 1\n", &[]);
        let unwell = "winback_rate_share{route=\"us\"} 0.5\nwinback_breaker_open{route=\"us\"} 1\n";
        check(unwell, &["is unwell: only single texts try, one is trying now"]);
        let next = format!("{unwell}winback_next_try_seconds{{route=\"us\"}} 1000060\n");
        check(&next, &["the next at 1970-01-12T13:47:40Z"]);
        let waits = "winback_next_try_seconds{route=\"us\"} 1000060\n";
        check(waits, &["asked to wait: the next text goes at 1970-01-12T13:47:40Z"]);
        check("winback_next_try_seconds{route=\"us\"} 1000001\n", &[]);
        let stopped = Gauges("winback_store_writable 0\n".to_owned()).holds(["us"].into_iter(), now);
        assert_eq!(stopped, [Hold::Store]);
    }
}

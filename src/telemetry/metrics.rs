//! Every metric winback has: its name, kind, labels and help text, in one place. No metric is named elsewhere.

use std::sync::atomic::AtomicU64;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;

/// One route.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Route {
    /// Name of the route.
    pub route: String,
}

/// One route and a word from a closed list; never a number, a code or a text.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct RouteWord {
    /// Name of the route.
    pub route: String,
    /// The word.
    pub kind: &'static str,
}

/// What one lane counts.
#[derive(Debug)]
pub struct LaneMetrics {
    outcomes: Vec<(&'static str, Counter)>,
    /// Parts accepted by the provider.
    pub parts: Counter,
    /// From the first byte to the classified answer.
    pub answer_seconds: Histogram,
    /// Messages between intent and stored outcome.
    pub under_way: Gauge,
    /// Messages on the wire, their answer outstanding.
    pub on_wire: Gauge,
    /// Share of its limit at which the lane runs.
    pub rate_share: Gauge<f64, AtomicU64>,
    /// 1 while its breaker is open.
    pub breaker_open: Gauge,
    /// Until when it is held back, in seconds since 1970; 0 while it is not.
    pub next_try: Gauge,
}

impl LaneMetrics {
    /// Counts an answer of one of the kinds that were named at the start.
    pub fn outcome(&self, kind: &str) {
        for (_, counter) in self.outcomes.iter().filter(|(name, _)| *name == kind) {
            counter.inc();
        }
    }
}

type Seconds = Family<Route, Histogram, fn() -> Histogram>;

/// Handles on every metric of one process. A registry is a value, so two daemons in one test do not mix.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    /// Answers to submissions, by class.
    pub outcomes: Family<RouteWord, Counter>,
    /// Parts accepted by providers.
    pub parts: Family<Route, Counter>,
    /// From the first byte to the classified answer.
    pub answer_seconds: Seconds,
    /// Messages between intent and stored outcome.
    pub under_way: Family<Route, Gauge>,
    /// Messages on the wire, their answer outstanding.
    pub on_wire: Family<Route, Gauge>,
    /// Share of its limit at which a lane runs.
    pub rate_share: Family<Route, Gauge<f64, AtomicU64>>,
    /// 1 while the breaker of a lane is open.
    pub breaker_open: Family<Route, Gauge>,
    /// Until when a lane is held back, in seconds since 1970; 0 while it is not.
    pub next_try: Family<Route, Gauge>,
    /// Receipts acknowledged, by reported state.
    pub receipts: Family<RouteWord, Counter>,
    /// Customer texts acknowledged, by keyword.
    pub inbound: Family<RouteWord, Counter>,
    /// Callbacks refused, by reason. They leave no other trace.
    pub refused_callbacks: Family<RouteWord, Counter>,
    /// Connections closed because too many were open.
    pub refused_connections: Counter,
    /// From the end of a callback's body to its commit.
    pub acknowledge_seconds: Seconds,
    /// Receipts whose message is not known. Counted when the page is read.
    pub waiting_receipts: Gauge,
    /// 1 while the store can be written. Sending stops when it is 0.
    pub store_writable: Gauge,
    /// Octets of the store's log. Looked up when the page is read.
    pub store_log_bytes: Gauge,
    /// Octets free on the store's disk. Looked up when the page is read.
    pub disk_free_bytes: Gauge,
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// A fresh set, all zero.
    pub fn new() -> Self {
        let histogram: fn() -> Histogram = || Histogram::new(exponential_buckets(0.001, 2.0, 16));
        let mut metrics = Self {
            outcomes: Family::default(),
            parts: Family::default(),
            answer_seconds: Family::new_with_constructor(histogram),
            under_way: Family::default(),
            on_wire: Family::default(),
            rate_share: Family::default(),
            breaker_open: Family::default(),
            next_try: Family::default(),
            receipts: Family::default(),
            inbound: Family::default(),
            refused_callbacks: Family::default(),
            refused_connections: Counter::default(),
            acknowledge_seconds: Family::new_with_constructor(histogram),
            waiting_receipts: Gauge::default(),
            store_writable: Gauge::default(),
            store_log_bytes: Gauge::default(),
            disk_free_bytes: Gauge::default(),
            registry: Registry::with_prefix("winback"),
        };
        metrics.register_sending();
        metrics.register_callbacks();
        metrics.register_store();
        metrics.store_writable.set(1);
        metrics
    }

    fn register_sending(&mut self) {
        let r = &mut self.registry;
        r.register("outcomes", "Answers to submissions, by class", self.outcomes.clone());
        r.register("parts", "Parts accepted by providers", self.parts.clone());
        r.register(
            "answer_seconds",
            "From the first byte to the classified answer",
            self.answer_seconds.clone(),
        );
        r.register("under_way", "Messages between intent and stored outcome", self.under_way.clone());
        r.register("on_wire", "Messages whose answer is outstanding", self.on_wire.clone());
        r.register("rate_share", "Share of its limit at which a lane runs", self.rate_share.clone());
        r.register("breaker_open", "1 while the breaker of a lane is open", self.breaker_open.clone());
        r.register(
            "next_try_seconds",
            "Until when a lane is held back, in seconds since 1970; 0 while it is not",
            self.next_try.clone(),
        );
    }

    fn register_callbacks(&mut self) {
        let r = &mut self.registry;
        r.register("receipts", "Receipts acknowledged, by reported state", self.receipts.clone());
        r.register("inbound", "Customer texts acknowledged, by keyword", self.inbound.clone());
        r.register("refused_callbacks", "Callbacks refused, by reason", self.refused_callbacks.clone());
        r.register(
            "refused_connections",
            "Connections closed because too many were open",
            self.refused_connections.clone(),
        );
        r.register(
            "acknowledge_seconds",
            "From a callback's body to its commit",
            self.acknowledge_seconds.clone(),
        );
        r.register(
            "waiting_receipts",
            "Receipts whose message is not known; more than 100000 are shown as 100001",
            self.waiting_receipts.clone(),
        );
    }

    fn register_store(&mut self) {
        let r = &mut self.registry;
        r.register("store_writable", "1 while the store can be written", self.store_writable.clone());
        r.register(
            "store_log_bytes",
            "Octets of the log of an SQLite store; a reader that does not end keeps it long",
            self.store_log_bytes.clone(),
        );
        r.register(
            "disk_free_bytes",
            "Octets free on the disk of an SQLite store; sending stops when it is full",
            self.disk_free_bytes.clone(),
        );
    }

    /// Handles on what one lane counts, looked up once instead of with every message; `kinds` are the classes of answers.
    pub fn lane(&self, route: &str, kinds: impl IntoIterator<Item = &'static str>) -> LaneMetrics {
        let of = Route { route: route.to_owned() };
        let counter = |kind| {
            let word = RouteWord { route: route.to_owned(), kind };
            (kind, self.outcomes.get_or_create_owned(&word))
        };
        LaneMetrics {
            outcomes: kinds.into_iter().map(counter).collect(),
            parts: self.parts.get_or_create_owned(&of),
            answer_seconds: self.answer_seconds.get_or_create_owned(&of),
            under_way: self.under_way.get_or_create_owned(&of),
            on_wire: self.on_wire.get_or_create_owned(&of),
            rate_share: self.rate_share.get_or_create_owned(&of),
            breaker_open: self.breaker_open.get_or_create_owned(&of),
            next_try: self.next_try.get_or_create_owned(&of),
        }
    }

    /// The page that Prometheus reads (OpenMetrics text).
    ///
    /// # Errors
    /// Only if formatting fails.
    pub fn page(&self) -> Result<String, std::fmt::Error> {
        let mut page = String::new();
        encode(&mut page, &self.registry)?;
        Ok(page)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_names_every_metric_and_counts_what_happened() {
        let metrics = Metrics::new();
        metrics.outcomes.get_or_create(&RouteWord { route: "us".to_owned(), kind: "accepted" }).inc();
        let page = metrics.page().unwrap();
        assert!(page.contains("winback_outcomes_total{route=\"us\",kind=\"accepted\"} 1"), "{page}");
        assert!(page.contains("winback_store_writable 1"), "{page}");
        assert!(page.ends_with("# EOF\n"));
    }
}

//! `winback why-slow`: which limit holds a run, and when it would be done with and without it.
//!
//! The store says what waits, the daemon's metrics what its lanes do; which limit binds is found in `report::slow`.

use std::collections::{BTreeMap, HashMap};
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use serde_json::json;

use crate::campaign::law::Rules;
use crate::config::{Config, RouteConfig};
use crate::daemon::routes;
use crate::dispatch::finish::{Load, done_at};
use crate::dispatch::terms::Terms;
use crate::model::clock::Timestamp;
use crate::model::run::{Run, RunState};
use crate::report::slow::{Facts, Finish, Lane, Limit, NEARLY_FULL, Narrow, Slow, slow};
use crate::store::Store;
use crate::store::waiting::Waiting;

use super::gauges::Gauges;
use super::{Context, print, terms};

/// How long the daemon's lanes are watched.
const WATCHED: Duration = Duration::from_secs(2);

/// How long each look may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// Which limit holds a campaign's run, and when it would be done with and without it.
///
/// A run that sends is watched for two seconds through the metrics of the running daemon.
#[derive(Debug, Args)]
pub(super) struct WhySlowArgs {
    /// Name of the campaign; its latest run is meant.
    campaign: String,
    /// This run of it.
    #[arg(long, value_name = "ID")]
    run: Option<i64>,
}

/// What waits for one route in one window.
type Loads = HashMap<String, BTreeMap<(String, Timestamp, Timestamp), Load>>;

/// Two looks at a daemon's metrics, [`WATCHED`] apart.
struct Watched {
    first: Gauges,
    second: Gauges,
}

impl Watched {
    /// What a metric of a route reads.
    fn value(&self, name: &str, route: &str) -> Option<f64> {
        self.second.value(name, route)
    }

    /// How much it rose between the looks.
    fn rise(&self, name: &str, route: &str) -> Option<f64> {
        Some(self.second.value(name, route)? - self.first.value(name, route).unwrap_or(0.0))
    }
}

impl Watched {
    /// Whether texts that wait for their answer take nearly all places of a route, and none was answered between the looks,
    /// although answers have come faster than that so far.
    fn silent(&self, route: &str, in_flight: f64, ever: Option<f64>) -> bool {
        let full =
            |page: &Gauges| page.value("winback_on_wire", route).unwrap_or(0.0) >= in_flight * NEARLY_FULL;
        full(&self.first)
            && full(&self.second)
            && self.rise("winback_answer_seconds_count", route).unwrap_or(0.0) <= 0.0
            && ever.is_none_or(|seconds| seconds < WATCHED.as_secs_f64())
    }

    /// Share of the answers of a route between the looks that were acceptances; none if there was no answer.
    fn accepted(&self, route: &str) -> Option<f64> {
        let answers = self.rise("winback_outcomes_total", route).filter(|answers| *answers > 0.0)?;
        let of = |page: &Gauges| page.kind("winback_outcomes_total", route, "accepted").unwrap_or(0.0);
        Some((of(&self.second) - of(&self.first)) / answers)
    }
}

pub(super) async fn run(context: &Context, args: WhySlowArgs) -> anyhow::Result<ExitCode> {
    let config = context.config()?;
    let store = context.store(&config).await?;
    let run = match args.run {
        Some(id) => terms::run_of(&store, &args.campaign, id).await?,
        None => terms::latest_run(&store, &args.campaign).await?,
    };
    let waiting = store.waiting(run.id).await?;
    let daemon = store.daemon().await?.is_some();
    let watched = if daemon && run.state == RunState::Running && !waiting.is_empty() {
        watch(&config).await?
    } else {
        None
    };
    let facts = facts(context.now(), &config, &store, &run, &waiting, watched.as_ref(), daemon).await?;
    store.close().await;
    let rules = routes::rules(&config)?;
    let terms = Terms::read(&run.terms.definition)?;
    let hours = Hours { loads: loads(&waiting), now: facts.now, terms: &terms, rules: &rules };
    let told = slow(&facts, &hours);
    if context.json() {
        let (campaign, limits) = (&run.terms.campaign, &told.limits);
        let limits: Vec<_> =
            limits.iter().map(|(l, rate)| json!({"limit": l, "parts_per_second": rate})).collect();
        let not_accepted = told.not_accepted.iter();
        let not_accepted: Vec<_> =
            not_accepted.map(|(route, share)| json!({"route": route, "share": share})).collect();
        print::json(&json!({
            "campaign": campaign, "run": run.id, "state": run.state.as_str(), "waiting": facts.messages,
            "in_doubt": facts.in_doubt, "limit": told.limit, "done_at": told.done_at.map(Timestamp::rfc3339),
            "without_it": told.without_it.map(Timestamp::rfc3339), "limits": limits, "uncovered": told.uncovered,
            "watched": watched.is_some(), "not_accepted": not_accepted,
        }))?;
    } else {
        show(&run, &facts, &told, watched.is_some());
    }
    Ok(ExitCode::SUCCESS)
}

/// Looks at the daemon twice; none if it does not answer here.
async fn watch(config: &Config) -> anyhow::Result<Option<Watched>> {
    let Some(first) = Gauges::read(config, PATIENCE).await? else { return Ok(None) };
    tokio::time::sleep(WATCHED).await;
    Ok(Gauges::read(config, PATIENCE).await?.map(|second| Watched { first, second }))
}

async fn facts(
    now: Timestamp,
    config: &Config,
    store: &Store,
    run: &Run,
    waiting: &[Waiting],
    watched: Option<&Watched>,
    daemon: bool,
) -> anyhow::Result<Facts> {
    let beside = store.waiting_beside(run.id, now).await?;
    let mut names: Vec<&str> = waiting.iter().map(|one| one.route.as_str()).collect();
    names.sort_unstable();
    names.dedup();
    let lanes = names.into_iter().filter_map(|name| {
        let account = config.routes.get(name)?;
        let own: Vec<&Waiting> = waiting.iter().filter(|one| one.route == name).collect();
        let last = own.iter().map(|one| one.closes_at).max()?;
        let first = beside.iter().filter(|one| one.route == name && one.goes_before(run.id, last));
        let ahead = first.map(|one| one.parts).sum();
        Some(lane(now, name, account, &own, ahead, watched))
    });
    let lanes = lanes.collect();
    Ok(Facts {
        now,
        state: run.state,
        daemon,
        writable: watched.and_then(|page| page.value("winback_store_writable", "")) != Some(0.0),
        messages: waiting.iter().map(|one| one.messages).sum(),
        in_doubt: store.open_messages(run.id).await?.in_doubt,
        cost: waiting.iter().map(|one| one.cost).sum(),
        budget_left: run.terms.budget.map(|budget| budget.0 - run.spent.0),
        lanes,
    })
}

#[expect(clippy::cast_precision_loss, reason = "an estimate")]
fn lane(
    now: Timestamp,
    name: &str,
    account: &RouteConfig,
    own: &[&Waiting],
    ahead: i64,
    watched: Option<&Watched>,
) -> Lane {
    let parts = |of: &dyn Fn(&Waiting) -> bool| -> f64 {
        own.iter().filter(|one| of(one)).map(|one| one.parts as f64).sum()
    };
    let limits = &account.limits;
    let senders = limits.senders.iter().map(|(sender, limit)| Narrow {
        name: format!("sender {sender}"),
        allows: limit.parts_per_second,
        parts: parts(&|one| one.sender == *sender),
    });
    let countries = limits.countries.iter().map(|(country, limit)| Narrow {
        name: format!("country {country}"),
        allows: limit.parts_per_second,
        parts: parts(&|one| one.country == *country),
    });
    let read = |metric: &str| watched.and_then(|page| page.value(metric, name));
    let rise = |metric: &str| watched.and_then(|page| page.rise(metric, name));
    let answers = rise("winback_answer_seconds_count").filter(|count| *count > 0.0);
    let recent = answers.and_then(|count| Some(rise("winback_answer_seconds_sum")? / count));
    let ever = read("winback_answer_seconds_count").filter(|count| *count > 0.0);
    let ever = ever.and_then(|count| Some(read("winback_answer_seconds_sum")? / count));
    let open = own.iter().any(|one| one.opens_at <= now && one.closes_at > now);
    Lane {
        route: name.to_owned(),
        messages: own.iter().map(|one| one.messages as f64).sum(),
        parts: parts(&|_| true),
        ahead: ahead as f64,
        account: limits.account.map(|limit| limit.parts_per_second),
        share: read("winback_rate_share").unwrap_or(1.0),
        in_flight: account.in_flight as f64,
        answer_seconds: recent.or(ever),
        on_wire: read("winback_on_wire").unwrap_or(0.0),
        accepted: watched.and_then(|page| page.accepted(name)),
        measured: rise("winback_parts_total").map(|parts| parts / WATCHED.as_secs_f64()),
        silent: watched.is_some_and(|page| page.silent(name, account.in_flight as f64, ever)),
        broken: read("winback_breaker_open").is_some_and(|open| open > 0.0),
        narrow: senders.chain(countries).collect(),
        opens_at: if open { None } else { own.iter().map(|one| one.opens_at).min() },
    }
}

fn loads(waiting: &[Waiting]) -> Loads {
    let mut loads = Loads::new();
    for one in waiting {
        let key = (one.window.clone(), one.opens_at, one.closes_at);
        let load = loads.entry(one.route.clone()).or_default().entry(key).or_default();
        load.messages += one.messages;
        load.parts += one.parts;
    }
    loads
}

/// The hours of one run.
struct Hours<'a> {
    loads: Loads,
    now: Timestamp,
    terms: &'a Terms,
    rules: &'a Rules,
}

impl Finish for Hours<'_> {
    fn within_hours(&self, lane: &Lane, rate: Option<f64>) -> Option<Timestamp> {
        let loads = self.loads.get(&lane.route)?;
        let waiting: Vec<_> =
            loads.iter().map(|((key, opens, closes), load)| (key.as_str(), *opens, *closes, *load)).collect();
        done_at(&waiting, rate, self.now, self.terms, self.rules)
    }

    fn at_any_hour(&self, lane: &Lane, rate: Option<f64>) -> Option<Timestamp> {
        let takes = rate.map_or(0.0, |rate| lane.parts / rate.max(1e-9));
        Some(self.now.plus(Duration::try_from_secs_f64(takes).unwrap_or(Duration::MAX)))
    }
}

fn show(run: &Run, facts: &Facts, told: &Slow, watched: bool) {
    let count = print::count(facts.messages);
    print::line(format!("{} · run {} · {} · {count} wait", run.terms.campaign, run.id, run.state.as_str()));
    print::line(words(&told.limit, &run.terms.campaign));
    if let Some(at) = told.done_at {
        print::line(format!("done       {}", at.rfc3339()));
    } else if told.without_it.is_some() {
        print::line("done       not while this lasts, or not before the run ends");
    }
    if let Some(at) = told.without_it {
        print::line(format!("without it {}", at.rfc3339()));
    }
    for (limit, rate) in &told.limits {
        print::line(format!("  {rate:>9.1} parts/s  {}", words(limit, &run.terms.campaign)));
    }
    for (route, share) in &told.not_accepted {
        print::line(format!(
            "{:.0} % of the submissions of route {route} were not accepted while it was watched; `winback status {}` tells \
             what became of them",
            share * 100.0,
            run.terms.campaign
        ));
    }
    if told.uncovered {
        print::line("the budget does not cover all that waits; what it does not cover is blocked");
    }
    if facts.in_doubt > 0 {
        let campaign = &run.terms.campaign;
        print::line(format!(
            "{} are in doubt: winback message list {campaign} --in-doubt",
            print::count(facts.in_doubt)
        ));
    }
    if !watched && facts.daemon && facts.messages > 0 && facts.state == RunState::Running {
        print::note(
            "the daemon's metrics cannot be read from here; time of answers and real pace are not known",
        );
    }
}

fn words(limit: &Limit, campaign: &str) -> String {
    match limit {
        Limit::Nothing => "nothing of it waits".to_owned(),
        Limit::NoDaemon => "no daemon is running: start it with `winback daemon`".to_owned(),
        Limit::Store => "the store cannot be written; see `winback doctor`".to_owned(),
        Limit::Launch => "its messages are still being written".to_owned(),
        Limit::Paused => format!("it is paused: `winback resume {campaign}`"),
        Limit::Cancelled => "it is being withdrawn".to_owned(),
        Limit::Budget => "its budget is spent; what waits is blocked".to_owned(),
        Limit::Hours { opens_at: Some(at) } => {
            format!("lawful hours and its own window: nothing goes before {at}")
        }
        Limit::Hours { opens_at: None } => "lawful hours and its own window".to_owned(),
        Limit::Breaker { route } => {
            format!("the provider of route {route} is unwell: its breaker is open and lets single texts try")
        }
        Limit::Silence { route, in_flight } => format!(
            "the provider of route {route} does not answer: {in_flight:.0} texts are on the wire, as many as limits.in_flight \
             allows, and no answer came while it was watched; ask the provider"
        ),
        Limit::Account { route, allows, share, ahead } => {
            let throttled = if *share < 0.999 {
                format!(", throttled by the provider to {:.0} %", share * 100.0)
            } else {
                String::new()
            };
            let after = if *ahead > 0.0 {
                format!("; {ahead:.0} parts of other runs go first")
            } else {
                String::new()
            };
            format!("the limit of route {route}: {allows} parts/s{throttled}{after}")
        }
        Limit::Narrow { route, name, allows } => {
            format!("the limit of {name} on route {route}: {allows} parts/s")
        }
        Limit::InFlight { route, allows, in_flight, answer_seconds } => format!(
            "answers of route {route} take {answer_seconds:.2} s and {in_flight:.0} texts may be under way: {allows:.0} \
             parts/s; raise limits.in_flight if the account allows it"
        ),
        Limit::Machine { route, measured, allows } => format!(
            "this machine or its store: route {route} does {measured:.0} parts/s where its limits allow {allows:.0}; look at \
             the disk's fsync time and the processor"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_provider_is_silent_only_if_every_place_waited_and_nothing_came() {
        let page = |on_wire: f64, answers: u32| {
            Gauges(format!(
                "winback_on_wire{{route=\"us\"}} {on_wire}\nwinback_answer_seconds_count{{route=\"us\"}} {answers}\n"
            ))
        };
        let check = |first: Gauges, second: Gauges, ever: Option<f64>, wanted: bool| {
            let watched = Watched { first, second };
            assert_eq!(watched.silent("us", 4.0, ever), wanted, "{:?} {ever:?}", watched.second.0);
        };
        check(page(4.0, 7), page(4.0, 7), Some(0.1), true);
        check(page(4.0, 0), page(4.0, 0), None, true);
        check(page(4.0, 7), page(4.0, 8), Some(0.1), false);
        check(page(2.0, 7), page(4.0, 7), Some(0.1), false);
        check(page(4.0, 7), page(2.0, 7), Some(0.1), false);
        // Answers that take longer than anybody watched.
        check(page(4.0, 7), page(4.0, 7), Some(3.0), false);
    }
}

//! `winback status` and `winback watch`: where runs stand, once or live.

use std::collections::BTreeSet;
use std::io::IsTerminal as _;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use console::Term;

use crate::config::Config;
use crate::model::clock::Timestamp;
use crate::model::ids::RunId;
use crate::model::run::{Run, RunState};
use crate::report::status::{Status, status};
use crate::store::{Store, StoreError};

use super::doubt::Doubts;
use super::gauges::{Gauges, Hold};
use super::{Context, print, terms};

/// Runs listed without a name.
const RECENT: i64 = 20;

/// How long a daemon may take to say what holds its lanes.
const PATIENCE: Duration = Duration::from_secs(1);

/// How often a live view is drawn.
const FRAME: Duration = Duration::from_millis(500);

/// Off a terminal, a line is told at least this far apart.
const TOLD_EVERY: Duration = Duration::from_secs(5);

/// Width of the progress bar of a live view.
const BAR: usize = 40;

/// Where campaigns stand: all recent ones, or one in detail.
#[derive(Debug, Args)]
#[command(after_help = WORDS)]
pub(super) struct StatusArgs {
    /// Name of the campaign; its latest run is meant.
    campaign: Option<String>,
    /// This run of it.
    #[arg(long, value_name = "ID", requires = "campaign")]
    run: Option<i64>,
}

/// Live view of a campaign: progress, rates, receipts. Ends when nothing is left to send and no receipt is awaited, or with Ctrl-C.
#[derive(Debug, Args)]
#[command(after_help = WORDS)]
pub(super) struct WatchArgs {
    /// Name of the campaign; its latest run is meant.
    campaign: String,
    /// This run of it.
    #[arg(long, value_name = "ID")]
    run: Option<i64>,
}

/// What each counter means; one word, one meaning, in status, watch and report alike.
const WORDS: &str = "\
What the words mean:
  messages              texts that the run was launched with, one for each contact; whoever was left
                        out has none, and `winback why CONTACT CAMPAIGN` says why
  waiting               not handed over yet: its window, its turn or a retry is still to come
  under way             with its lane: about to go, on the wire (at most limits.in_flight of its
                        route), or its answer is being stored
  accepted              the provider took it and says so, or a receipt or a person does
    by decision         of these, accepted because a person said so and no receipt has said it since
    delivered           of these, a receipt says that it is on the handset
    not delivered       of these, a receipt says that it never will be
    receipt awaited     of these, no final receipt is here yet
  failed                refused by the provider, or never taken after all attempts; nobody got it
  in doubt              nobody knows whether the provider took it: the answer got lost
    parked              of these, closed by policy; a late receipt or `winback message resolve` still ends them
  withdrawn             stopped before it left: STOP, cancel, its end passed, the budget is spent
  possible duplicates   sent again by policy or decision while in doubt; may have arrived twice, with the same code
  parts accepted        parts of the accepted messages; a part is one SMS of a long text
  cost                  price of the parts accepted and in doubt; of what was sent again, of each copy that may be billed
  reserved              money set aside when texts were handed over; returns when one is proven not to have left
  codes                 coupon codes of the run: reserved (its text waits), sent (its text was accepted), quarantined
                        (its text, or an earlier copy of it, is in doubt, so nobody else gets the code), redeemed,
                        contested (it was given back, and then its text turned out to have left)
Every message is in exactly one of waiting, under way, accepted, failed, in doubt and withdrawn.";

pub(super) async fn run(context: &Context, args: StatusArgs) -> anyhow::Result<ExitCode> {
    let config = context.config()?;
    let store = context.store(&config).await?;
    if let Some(campaign) = &args.campaign {
        let run = meant(&store, campaign, args.run).await?;
        let status = status(&store, &run).await?;
        let doubts = Doubts::of(context, &config, &store, &run).await?;
        let holds = holds(context, &config, &store, std::slice::from_ref(&status)).await?;
        if context.json() {
            let mut told = serde_json::to_value(&status)?;
            told["doubts"] = doubts.as_json();
            told["holds"] = serde_json::to_value(&holds)?;
            print::json(&told)?;
        } else {
            show(&status);
            doubts.lines(status.in_doubt).into_iter().for_each(print::line);
            for hold in &holds {
                print::line(format!("held     {}", hold.words()));
            }
            if let Some(told) = waits_for(context, &config, &store, &status).await? {
                print::line(told);
            }
        }
    } else {
        list(context, &config, &store).await?;
    }
    store.close().await;
    Ok(ExitCode::SUCCESS)
}

async fn meant(store: &Store, campaign: &str, run: Option<i64>) -> anyhow::Result<Run> {
    match run {
        Some(id) => terms::run_of(store, campaign, id).await,
        None => terms::latest_run(store, campaign).await,
    }
}

/// What holds back the lanes of running runs of which something waits.
async fn holds(
    context: &Context,
    config: &Config,
    store: &Store,
    runs: &[Status],
) -> anyhow::Result<Vec<Hold>> {
    let sends = |s: &&Status| s.state == RunState::Running.as_str() && s.waiting + s.submitting > 0;
    let routes: BTreeSet<&str> =
        runs.iter().filter(sends).flat_map(|s| s.routes.keys()).map(String::as_str).collect();
    if routes.is_empty() {
        return Ok(Vec::new());
    }
    match store.refuse_backup().await {
        Err(StoreError::Refused(told)) => return Ok(vec![Hold::Backup { told }]),
        other => other?,
    }
    if store.daemon().await?.is_none() {
        return Ok(vec![Hold::NoDaemon]);
    }
    let gauges = Gauges::read(config, PATIENCE).await?;
    Ok(gauges.map(|gauges| gauges.holds(routes.into_iter(), context.now())).unwrap_or_default())
}

/// What a run that has messages waiting waits for, unless that is only its turn.
pub(super) async fn waits_for(
    context: &Context,
    config: &Config,
    store: &Store,
    status: &Status,
) -> anyhow::Result<Option<String>> {
    if status.state == RunState::Preparing.as_str() {
        let (written, all) = (print::count(status.prepared), print::count(status.messages));
        return Ok(Some(format!(
            "waits    for its launch: {written} of {all} messages are written. If that has ended, a running daemon \
             goes on with it within a minute; `winback launch` does at once"
        )));
    }
    if status.waiting == 0 || status.state != RunState::Running.as_str() {
        return Ok(None);
    }
    let now = context.now();
    let next = store.next_text(RunId(status.run), now).await?;
    let Some(next) = next.filter(|at| *at > now.plus(Duration::from_secs(2))) else { return Ok(None) };
    let local = next.to_jiff().to_zoned(config.shop_zone()).strftime("%Y-%m-%d %H:%M %Z").to_string();
    Ok(Some(format!("waits    for lawful hours and its own window: the next text goes at {local}")))
}

async fn list(context: &Context, config: &Config, store: &Store) -> anyhow::Result<()> {
    let mut all = Vec::new();
    for run in store.recent_runs(RECENT).await? {
        all.push(status(store, &run).await?);
    }
    if context.json() {
        return print::json(&all);
    }
    if all.is_empty() {
        print::line("nothing was launched yet; `winback plan CAMPAIGN` shows what a campaign would do");
        return Ok(());
    }
    let rows = all.iter().map(|s| {
        let counts = [s.messages, s.accepted, s.delivered, s.failed, s.in_doubt].map(print::count);
        let mut row = vec![s.campaign.clone(), s.run.to_string(), s.state.to_owned()];
        row.extend(counts);
        row.push(format!("{} {}", s.cost, s.currency));
        row
    });
    let headers =
        ["campaign", "run", "state", "messages", "accepted", "delivered", "failed", "in doubt", "cost"];
    print::table(&headers, &[1, 3, 4, 5, 6, 7, 8], rows);
    for hold in holds(context, config, store, &all).await? {
        print::line(format!("held     {}", hold.words()));
    }
    Ok(())
}

/// Prints a run in detail.
pub(super) fn show(s: &Status) {
    print::line(format!("{} · run {} · {}", s.campaign, s.run, s.state));
    print::line("");
    let row = |name: &str, n: i64| vec![name.to_owned(), print::count(n)];
    let mut rows = vec![
        row("messages", s.messages),
        row("waiting", s.waiting),
        row("under way", s.submitting),
        row("accepted", s.accepted),
        row("  by decision", s.accepted_by_decision),
        row("  delivered", s.delivered),
        row("  not delivered", s.undelivered),
        row("  receipt awaited", s.open_receipts),
        row("failed", s.failed),
        row("in doubt", s.in_doubt),
        row("  parked", s.parked),
        row("withdrawn", s.withdrawn),
        row("possible duplicates", s.possible_duplicates),
        row("parts accepted", s.parts),
    ];
    // What happens seldom is shown when it did.
    let seldom = [("  by decision", s.accepted_by_decision), ("  parked", s.parked)];
    rows.retain(|row| !seldom.contains(&(row[0].as_str(), 0)));
    print::table(&["", ""], &[1], rows);
    print::line("");
    let budget = s.budget.map_or_else(String::new, |budget| format!(" of {budget}"));
    print::line(format!("cost   {} {}, reserved {}{budget}", s.cost, s.currency, s.spent));
    let codes: Vec<String> =
        s.codes.iter().map(|(state, n)| format!("{} {state}", print::count(*n))).collect();
    print::line(format!("codes  {}", if codes.is_empty() { "none".to_owned() } else { codes.join(", ") }));
    if s.withheld > 0 {
        print::line(format!("  {} left out at launch: had enough texts", print::count(s.withheld)));
    }
    for reason in &s.reasons {
        print::line(format!("  {} × {}: {}", print::count(reason.messages), reason.state, reason.reason));
    }
    if s.in_doubt > 0 {
        print::line(format!("what is in doubt: winback message list {} --in-doubt", s.campaign));
    }
}

pub(super) async fn watch(context: &Context, args: WatchArgs) -> anyhow::Result<ExitCode> {
    let config = context.config()?;
    let store = context.store(&config).await?;
    let run = meant(&store, &args.campaign, args.run).await?;
    let ended = tokio::select! {
        ended = follow(context, &store, run) => ended?,
        _ = tokio::signal::ctrl_c() => None,
    };
    if let Some(status) = ended {
        if context.json() { print::json(&status)? } else { show(&status) }
    }
    store.close().await;
    Ok(ExitCode::SUCCESS)
}

/// Draws a run until nothing more will happen to it soon; answers its last status.
pub(super) async fn follow(context: &Context, store: &Store, run: Run) -> anyhow::Result<Option<Status>> {
    let mut view = View::new(context);
    loop {
        let now = context.now();
        let Some(run) = store.run(run.id).await? else { return Ok(None) };
        let status = status(store, &run).await?;
        view.draw(&status, now)?;
        let ended = matches!(run.state, RunState::Finished | RunState::Cancelled);
        if ended && status.open_receipts == 0 {
            view.clear()?;
            return Ok(Some(status));
        }
        tokio::time::sleep(FRAME).await;
    }
}

/// The live view: redrawn in place on a terminal, a line now and then elsewhere, one JSON object a line for machines.
struct View {
    term: Option<Term>,
    json: bool,
    told: Option<Timestamp>,
    lines: usize,
    last: Option<(Timestamp, i64, i64)>,
    rates: (f64, f64),
}

impl View {
    fn new(context: &Context) -> Self {
        let live = std::io::stderr().is_terminal() && !context.json();
        Self {
            term: live.then(Term::stderr),
            json: context.json(),
            told: None,
            lines: 0,
            last: None,
            rates: (0.0, 0.0),
        }
    }

    fn draw(&mut self, s: &Status, now: Timestamp) -> anyhow::Result<()> {
        let receipts = s.delivered + s.undelivered;
        if let Some((then, sent, received)) = self.last {
            let seconds = now.since(then).as_secs_f64().max(0.001);
            #[expect(clippy::cast_precision_loss, reason = "a rate for people")]
            let rate = |more: i64| more as f64 / seconds;
            // Half of the old rate stays, so that the number can be read.
            self.rates.0 = self.rates.0 / 2.0 + rate(s.accepted - sent) / 2.0;
            self.rates.1 = self.rates.1 / 2.0 + rate(receipts - received) / 2.0;
        }
        self.last = Some((now, s.accepted, receipts));
        let Some(term) = &self.term else { return self.tell(s, now) };
        if self.lines > 0 {
            term.clear_last_lines(self.lines)?;
        }
        let frame = frame(s, self.rates);
        self.lines = frame.len();
        for line in frame {
            term.write_line(&line)?;
        }
        Ok(())
    }

    fn tell(&mut self, s: &Status, now: Timestamp) -> anyhow::Result<()> {
        if self.told.is_some_and(|told| now.since(told) < TOLD_EVERY) {
            return Ok(());
        }
        self.told = Some(now);
        if self.json {
            print::line(serde_json::to_string(s)?);
            return Ok(());
        }
        let of = |n: i64| print::count(n);
        print::note(format!(
            "{} {}: {} of {} accepted ({:.0}/s), {} delivered, {} waiting, {} in doubt",
            s.campaign,
            s.state,
            of(s.accepted),
            of(s.messages),
            self.rates.0,
            of(s.delivered),
            of(s.waiting),
            of(s.in_doubt)
        ));
        Ok(())
    }

    fn clear(&mut self) -> anyhow::Result<()> {
        if let Some(term) = &self.term {
            term.clear_last_lines(self.lines)?;
        }
        Ok(())
    }
}

fn frame(s: &Status, rates: (f64, f64)) -> Vec<String> {
    let total = s.messages.max(1);
    let done = (s.messages - s.waiting - s.submitting).max(0);
    let bar = |n: i64| {
        let filled =
            usize::try_from(n.clamp(0, total)).unwrap_or(0) * BAR / usize::try_from(total).unwrap_or(1);
        format!("{}{}", "█".repeat(filled), "░".repeat(BAR - filled))
    };
    let routes: Vec<String> =
        s.routes.iter().map(|(route, n)| format!("{route} {}", print::count(*n))).collect();
    vec![
        format!("{} · run {} · {}", s.campaign, s.run, s.state),
        format!(
            "  accepted   {} {:>9} of {}  {:>7.0}/s",
            bar(done),
            print::count(s.accepted),
            print::count(s.messages),
            rates.0
        ),
        format!("  delivered  {} {:>9}  {:>16.0}/s", bar(s.delivered), print::count(s.delivered), rates.1),
        format!(
            "  not delivered {} · failed {} · in doubt {} · withdrawn {} · under way {}",
            print::count(s.undelivered),
            print::count(s.failed),
            print::count(s.in_doubt),
            print::count(s.withdrawn),
            print::count(s.submitting)
        ),
        format!(
            "  parts {} · cost {} {} · lanes: {}",
            print::count(s.parts),
            s.cost,
            s.currency,
            routes.join(", ")
        ),
    ]
}

#[cfg(test)]
mod tests {
    use super::WORDS;

    #[test]
    fn every_counter_that_is_shown_is_explained_once() {
        let source = include_str!("status.rs");
        let shown = source.lines().filter_map(|line| line.trim().strip_prefix("row(\"")?.split('"').next());
        let mut shown: Vec<&str> = shown.map(str::trim).collect();
        assert!(shown.len() > 10, "{shown:?}");
        shown.extend(["cost", "reserved", "codes"]);
        for word in shown {
            let explained = WORDS.lines().filter(|line| {
                let rest = line.trim_start().strip_prefix(word);
                line.starts_with("  ") && rest.is_some_and(|rest| rest.starts_with("  "))
            });
            assert_eq!(explained.count(), 1, "{word}");
        }
    }
}

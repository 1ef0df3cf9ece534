//! `winback message list --in-doubt` and `winback message resolve`: what nobody knows, and a person's word about it.

mod awaited;
mod changed;

use std::process::ExitCode;

use clap::Args;
use serde_json::{Value, json};

use crate::config::Config;
use crate::daemon::routes;
use crate::dispatch::ladder::Ladder;
use crate::dispatch::resolve::{Decider, Kept, Resolved, resolve, resolve_copies};
use crate::model::clock::Timestamp;
use crate::model::ids::{MessageId, RunId};
use crate::model::message::Verdict;
use crate::model::run::Run;
use crate::store::resolve::Doubt;
use crate::store::{Store, StoreError};

use super::{Context, WrongUse, message, print, terms};

pub(super) use awaited::Awaited;
use changed::changed;

/// Messages decided between two looks at the store.
const PAGE: i64 = 1_000;

/// Messages in doubt that a status tells to machines; `winback message list` has the others.
const LISTED: i64 = 100;

/// Of these, those that it tells to people.
const NAMED: usize = 10;

/// Messages left as they are that are told one by one.
const TOLD: usize = 20;

/// Which messages in doubt, and what they are.
#[derive(Debug, Args)]
#[command(after_help = "\
accepted  the provider took it: its code counts as sent, the message as accepted by decision
not-sent  its last copy never left: it counts as failed, that copy's money returns to the budget and its code to the
          pool. While an earlier copy is in doubt too (it had been sent again), the code may have arrived with that one:
          it stays in quarantine and that copy's money spent, until a receipt comes or you add --every-copy
resend    send it again with the same code, marked as a possible duplicate; refused for a run that was cancelled, is
          past its end or has spent its budget, and for a number that must not be texted

A message that a receipt has proven, or that is no longer in doubt, stays as it is. Each decision is recorded with who,
when and why. It works with a running daemon and without one.")]
pub(super) struct ResolveArgs {
    /// Ids of messages, as `winback message list --in-doubt` shows them.
    #[arg(
        required_unless_present_any = ["campaign", "all"], conflicts_with = "campaign", value_parser = message::id
    )]
    ids: Vec<i64>,
    /// What they are.
    #[arg(long = "as", value_name = "VERDICT", value_parser = verdict)]
    verdict: Verdict,
    /// Why, for the record.
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    /// Every message in doubt of this campaign.
    #[arg(long, value_name = "NAME", requires = "all")]
    campaign: Option<String>,
    /// Really every one of them.
    #[arg(long, requires = "campaign")]
    all: bool,
    /// With `--as not-sent`: no copy of it left, neither the last one nor any before it. All of its money and its code
    /// return, also those of a message that failed before while an earlier copy was in doubt.
    #[arg(long)]
    every_copy: bool,
    /// Who decides, for the record; whoever is logged in if not given.
    #[arg(long, value_name = "NAME")]
    by: Option<String>,
}

fn verdict(word: &str) -> Result<Verdict, String> {
    Verdict::from_word(word).ok_or_else(|| {
        let known: Vec<&str> = Verdict::ALL.iter().map(|verdict| verdict.as_str()).collect();
        format!("there is no such verdict; there are: {}", known.join(", "))
    })
}

/// Which messages in doubt are listed.
pub(super) struct Listing {
    pub(super) campaign: Option<String>,
    pub(super) after: i64,
    pub(super) limit: i64,
    pub(super) phones: bool,
}

/// Lists messages in doubt with what was looked for and what they wait for.
pub(super) async fn list(context: &Context, listing: Listing) -> anyhow::Result<ExitCode> {
    let config = context.config()?;
    let store = context.store(&config).await?;
    let after = match store.message(MessageId(listing.after)).await? {
        Some((message, ..)) => (message.run, message.id),
        None => (RunId(0), MessageId(0)),
    };
    let mut found = Vec::new();
    for (first, last) in ranges(&store, listing.campaign.as_deref()).await? {
        let room = listing.limit - i64::try_from(found.len()).unwrap_or(i64::MAX);
        if room > 0 && last >= after.0 {
            found.extend(store.doubts(after.max((first, MessageId(0))), last, room).await?);
        }
    }
    let ladder = routes::ladder(&config, &store).await?;
    store.close().await;
    let now = context.now();
    if context.json() {
        let list: Vec<Value> = found.iter().map(|one| as_json(one, &ladder, now, listing.phones)).collect();
        print::json(&list)?;
        return Ok(ExitCode::SUCCESS);
    }
    if found.is_empty() {
        print::line("nothing is in doubt");
        return Ok(ExitCode::SUCCESS);
    }
    let rows = found.iter().map(|one| {
        vec![
            one.message.id.to_string(),
            one.campaign.clone(),
            print::phone(one.phone, listing.phones),
            since(one).rfc3339(),
            one.attempt.as_ref().map_or_else(String::new, |attempt| attempt.number.to_string()),
            why(one),
            looked_for(one),
            Awaited::of(one, &ladder, now).words(one),
        ]
    });
    let headers = ["message", "campaign", "number", "since", "attempt", "why", "looked for", "waits for"];
    print::table(&headers, &[0, 4], rows);
    if i64::try_from(found.len()).unwrap_or(i64::MAX) == listing.limit
        && let Some(last) = found.last()
    {
        print::line(format!("more may follow: --after {}", last.message.id));
    }
    print::line("decide with: winback message resolve ID… --as accepted|not-sent|resend");
    Ok(ExitCode::SUCCESS)
}

/// Runs to look into: each a first and a last one.
async fn ranges(store: &Store, campaign: Option<&str>) -> anyhow::Result<Vec<(RunId, RunId)>> {
    let Some(campaign) = campaign else { return Ok(vec![(RunId(0), RunId(i64::MAX))]) };
    terms::latest_run(store, campaign).await?;
    let mut runs: Vec<RunId> =
        store.runs_of(&terms::name(campaign), i64::MAX).await?.iter().map(|run| run.id).collect();
    runs.sort_unstable();
    Ok(runs.into_iter().map(|run| (run, run)).collect())
}

/// The messages in doubt of one run, as its status names them.
pub(super) struct Doubts {
    found: Vec<Doubt>,
    ladder: Ladder,
    now: Timestamp,
}

impl Doubts {
    /// Reads them, up to [`LISTED`].
    pub(super) async fn of(
        context: &Context,
        config: &Config,
        store: &Store,
        run: &Run,
    ) -> anyhow::Result<Self> {
        let found = store.doubts((run.id, MessageId(0)), run.id, LISTED).await?;
        Ok(Self { found, ladder: routes::ladder(config, store).await?, now: context.now() })
    }

    /// The first of `all`, each with what it waits for, and where the others are told.
    pub(super) fn lines(&self, all: i64) -> Vec<String> {
        let named = self.found.iter().take(NAMED).map(|one| {
            let awaited = Awaited::of(one, &self.ladder, self.now);
            format!("  message {} waits for {}", one.message.id, awaited.words(one))
        });
        let mut lines: Vec<String> = named.collect();
        let more = all - i64::try_from(lines.len()).unwrap_or(i64::MAX);
        if let Some(first) = self.found.first().filter(|_| more > 0) {
            let (more, campaign) = (print::count(more), &first.campaign);
            lines.push(format!("  and {more} more: winback message list {campaign} --in-doubt"));
        }
        lines
    }

    /// The same for machines; numbers are masked.
    pub(super) fn as_json(&self) -> Value {
        self.found.iter().map(|one| as_json(one, &self.ladder, self.now, false)).collect()
    }
}

/// Since when nobody knows: since the attempt that got no answer.
fn since(doubt: &Doubt) -> Timestamp {
    doubt.attempt.as_ref().map_or(doubt.message.since, |attempt| attempt.intent_at)
}

/// Why its fate is unknown.
pub(super) fn why(doubt: &Doubt) -> String {
    let told = doubt.attempt.as_ref().and_then(|attempt| attempt.detail.clone().or(attempt.outcome.clone()));
    told.unwrap_or_else(|| "no answer was stored".to_owned())
}

/// By what a receipt of it would be known, of which none has come, and what the provider was asked.
pub(super) fn looked_for(doubt: &Doubt) -> String {
    let receipts = match doubt.attempt.as_ref().map(|attempt| attempt.provider_id.is_some()) {
        Some(true) => "receipts with our reference or the provider's id: none",
        Some(false) => "receipts with our reference: none",
        None => "nothing: it has no attempt",
    };
    let asked = doubt.standing.asked.times();
    match &doubt.answered {
        Some(answered) => format!("{receipts}; asked the provider {asked} times: {answered}"),
        None => receipts.to_owned(),
    }
}

pub(super) fn as_json(doubt: &Doubt, ladder: &Ladder, now: Timestamp, phones: bool) -> Value {
    let attempt = doubt.attempt.as_ref().map(|attempt| {
        json!({
            "number": attempt.number, "reference": attempt.reference, "at": attempt.intent_at.rfc3339(),
            "provider_id": attempt.provider_id, "why": why(doubt),
        })
    });
    json!({
        "id": doubt.message.id, "run": doubt.message.run, "campaign": doubt.campaign, "route": doubt.route,
        "phone": print::phone(doubt.phone, phones), "state": doubt.dispatch.as_str(), "since": since(doubt).rfc3339(),
        "attempts": doubt.message.attempts, "attempt": attempt, "possible_duplicate": doubt.possible_duplicate,
        "looked_for": looked_for(doubt), "waits_for": Awaited::of(doubt, ladder, now).as_json(),
    })
}

/// What is said of messages, and whether of every copy of them.
#[derive(Clone, Copy)]
struct Word {
    verdict: Verdict,
    every_copy: bool,
}

impl Word {
    async fn say(
        self,
        store: &Store,
        ids: &[MessageId],
        decider: Decider<'_>,
        now: Timestamp,
    ) -> Result<Resolved, StoreError> {
        if self.every_copy {
            resolve_copies(store, ids, decider, now).await
        } else {
            resolve(store, ids, self.verdict, decider, now).await
        }
    }
}

/// Decides about messages in doubt.
pub(super) async fn decide(context: &Context, args: ResolveArgs) -> anyhow::Result<ExitCode> {
    let by = args.by.unwrap_or_else(Config::person);
    if by.trim().is_empty() || args.reason.as_ref().is_some_and(|reason| reason.trim().is_empty()) {
        return Err(WrongUse(
            "--by and --reason are for the record; write something or leave them out".to_owned(),
        )
        .into());
    }
    if args.every_copy && args.verdict != Verdict::NotSent {
        return Err(WrongUse("--every-copy goes with --as not-sent".to_owned()).into());
    }
    let (word, config) = (Word { verdict: args.verdict, every_copy: args.every_copy }, context.config()?);
    let store = context.store(&config).await?;
    let decider = Decider { by: &by, reason: args.reason.as_deref() };
    let resolved = match &args.campaign {
        None => {
            let ids: Vec<MessageId> = args.ids.iter().map(|id| MessageId(*id)).collect();
            for id in &ids {
                if store.message(*id).await?.is_none() {
                    let told = format!(
                        "there is no message {id}, so nothing was decided; `winback message list` shows ids"
                    );
                    return Err(WrongUse(told).into());
                }
            }
            word.say(&store, &ids, decider, context.now()).await?
        }
        Some(campaign) => decide_all(context, &store, campaign, word, decider).await?,
    };
    store.close().await;
    told(context, args.verdict, &by, &resolved)
}

/// Decides about everything in doubt of a campaign, page by page.
async fn decide_all(
    context: &Context,
    store: &Store,
    campaign: &str,
    word: Word,
    decider: Decider<'_>,
) -> anyhow::Result<Resolved> {
    let mut all = Resolved::default();
    for (first, last) in ranges(store, Some(campaign)).await? {
        let mut after = (first, MessageId(0));
        loop {
            let page = store.doubts(after, last, PAGE).await?;
            let Some(end) = page.last() else { break };
            after = (end.message.run, end.message.id);
            let ids: Vec<MessageId> = page.iter().map(|one| one.message.id).collect();
            all.add(word.say(store, &ids, decider, context.now()).await?);
        }
        let mut after = Some(MessageId(0)).filter(|_| word.every_copy);
        while let Some(last) = after {
            let ids = store.locked_codes(first, last, PAGE).await?;
            after = ids.last().copied();
            all.add(word.say(store, &ids, decider, context.now()).await?);
        }
    }
    Ok(all)
}

fn told(context: &Context, verdict: Verdict, by: &str, resolved: &Resolved) -> anyhow::Result<ExitCode> {
    // Saying the same twice is no mistake.
    let (already, kept): (Vec<_>, Vec<_>) =
        resolved.kept.iter().copied().partition(|(_, why)| *why == Kept::Decided(verdict));
    if context.json() {
        let ids = |list: &[(MessageId, Kept)]| list.iter().map(|(id, _)| *id).collect::<Vec<_>>();
        let kept: Vec<Value> = kept.iter().map(|(id, why)| json!({"id": id, "why": why.words()})).collect();
        print::json(&json!({
            "as": verdict.as_str(), "by": by, "changed": resolved.changed, "already": ids(&already), "kept": kept,
            "code_kept": resolved.locked,
        }))?;
    } else {
        let count = |n: usize| print::count(i64::try_from(n).unwrap_or(i64::MAX));
        for line in changed(verdict, resolved, by) {
            print::line(line);
        }
        let counted = |n: usize, one, many| print::counted(i64::try_from(n).unwrap_or(i64::MAX), one, many);
        if already.is_empty() && kept.is_empty() && resolved.changed.is_empty() {
            print::line("nothing is in doubt, so nothing was decided");
        }
        if !already.is_empty() {
            let already = counted(already.len(), "was", "were");
            print::line(format!("{already} decided so before; nothing changed"));
        }
        for (id, why) in kept.iter().take(TOLD) {
            print::line(format!("message {id} stays as it is: {}", why.words()));
        }
        if kept.len() > TOLD {
            print::line(format!("and {} more", count(kept.len() - TOLD)));
        }
    }
    Ok(if kept.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

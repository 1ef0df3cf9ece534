//! `winback why`: which rule stopped or delayed a campaign's text for one contact.
//!
//! It asks the plan, the fence and the doubt policy, each for its own reasons; it has none itself.

mod delays;
mod resent;

use std::process::ExitCode;

use clap::Args;
use serde_json::{Value, json};

use crate::campaign::definition::Audience;
use crate::config::Config;
use crate::daemon::routes;
use crate::dispatch::prepare::Skip;
use crate::dispatch::terms::Terms;
use crate::dispatch::why::{Planned, planned};
use crate::model::clock::Timestamp;
use crate::model::contact::Contact;
use crate::model::ids::MessageId;
use crate::model::message::{Refusal, Verdict};
use crate::model::outcome::OutcomeClass;
use crate::model::run::{Run, RunState};
use crate::model::state::Dispatch;
use crate::store::Store;
use crate::store::resolve::SENT_BEFORE;
use crate::store::status::{AttemptView, MessageView};

use super::doubt::{self, Awaited};
use super::{Context, contact, print, terms};

/// Which rule stopped or delayed a campaign's text for one contact.
#[derive(Debug, Args)]
pub(super) struct WhyArgs {
    /// Customer id or number of the contact.
    #[arg(allow_hyphen_values = true)]
    contact: String,
    /// Name of the campaign: its latest run is meant, or what a launch would do now if it has none.
    campaign: String,
    /// This run of it.
    #[arg(long, value_name = "ID")]
    run: Option<i64>,
}

/// The answer.
struct Answer {
    message: Option<MessageId>,
    /// Where the text stands, in a word.
    state: &'static str,
    /// The rule, in words.
    why: String,
    /// Until when it stays so, if that is known.
    until: Option<Timestamp>,
    /// What a message in doubt waits for.
    waits_for: Option<Value>,
    /// What held it up before.
    delays: Vec<String>,
    /// Why it may arrive twice.
    twice: Option<String>,
}

impl Answer {
    fn of(state: &'static str, why: impl Into<String>) -> Self {
        let (why, delays) = (why.into(), Vec::new());
        Self { message: None, state, why, until: None, waits_for: None, delays, twice: None }
    }

    fn until(self, until: Timestamp) -> Self {
        Self { until: Some(until), ..self }
    }
}

pub(super) async fn run(context: &Context, args: WhyArgs) -> anyhow::Result<ExitCode> {
    let config = context.config()?;
    let store = context.store(&config).await?;
    let found = contact::find(&config, &store, &args.contact).await?;
    let campaign = terms::name(&args.campaign);
    let run = match args.run {
        Some(id) => Some(terms::run_of(&store, &campaign, id).await?),
        None => store.runs_of(&campaign, 1).await?.pop(),
    };
    let message = match &run {
        Some(run) => store.message_of(run.id, found.id).await?,
        None => None,
    };
    let message = match message {
        Some(id) => store.message(id).await?.map(|(message, attempts, _)| (message, attempts)),
        None => None,
    };
    let answer = match (&run, message) {
        (Some(run), Some((message, attempts))) => {
            let answer = about_message(context, &config, &store, run, (&message, &attempts)).await?;
            held_up(&store, run, &message, &attempts, answer).await?
        }
        (Some(run), None) => left_out(&config, &store, run, &found).await?,
        (None, _) => before_launch(context, &config, &store, &args.campaign, &found).await?,
    };
    store.close().await;
    if context.json() {
        print::json(&json!({
            "campaign": campaign, "contact": found.id, "run": run.as_ref().map(|run| run.id),
            "message": answer.message, "state": answer.state, "why": answer.why,
            "until": answer.until.map(Timestamp::rfc3339), "waits_for": answer.waits_for,
            "delayed_by": answer.delays, "possible_duplicate": answer.twice.is_some(), "sent_again": answer.twice,
        }))?;
        return Ok(ExitCode::SUCCESS);
    }
    let run = run.map_or_else(
        || "not launched yet".to_owned(),
        |run| format!("run {} ({})", run.id, run.state.as_str()),
    );
    let message = answer.message.map_or_else(String::new, |id| format!(" · message {id}"));
    print::line(format!("contact {} · {campaign} · {run}{message}", found.id));
    print::line(format!("{}: {}", answer.state, answer.why));
    for told in &answer.delays {
        print::line(format!("  delayed: {told}"));
    }
    if let Some(told) = &answer.twice {
        print::line(format!("  possible duplicate: {told}"));
    }
    Ok(ExitCode::SUCCESS)
}

/// Adds what held the text up before, and whether it may arrive twice.
async fn held_up(
    store: &Store,
    run: &Run,
    message: &MessageView,
    attempts: &[AttemptView],
    answer: Answer,
) -> anyhow::Result<Answer> {
    let (_, opened_at) = store.gate(message.id, message.not_before).await?;
    let delays = delays::delays(run, opened_at, attempts, &message.route);
    if !message.possible_duplicate {
        return Ok(Answer { delays, ..answer });
    }
    let decisions = store.decisions_of(message.id).await?;
    let twice = resent::sent_again(&run.terms.campaign, message.dispatch, attempts, &decisions);
    Ok(Answer { delays, twice: Some(twice), ..answer })
}

async fn about_message(
    context: &Context,
    config: &Config,
    store: &Store,
    run: &Run,
    (message, attempts): (&MessageView, &[AttemptView]),
) -> anyhow::Result<Answer> {
    let state = message.dispatch.as_str();
    let reason = || message.reason.clone().unwrap_or_else(|| "no reason was recorded".to_owned());
    let answer = match message.dispatch {
        Dispatch::Planned | Dispatch::Queued | Dispatch::Claimed => {
            waiting(context, store, run, message).await?
        }
        Dispatch::Submitting => Answer::of(state, "handed over; the provider's answer is awaited"),
        Dispatch::Accepted => {
            let decisions = store.decisions_of(message.id).await?;
            let by = decisions.last().filter(|one| one.verdict == Verdict::Accepted);
            let by = by.map_or_else(String::new, |one| format!(", as operator {} decided", one.decided_by));
            let taken =
                attempts.iter().rfind(|one| one.outcome.as_deref() == Some(OutcomeClass::Accepted.as_str()));
            let handed = taken.map(|one| one.intent_at).or(message.submitted_at);
            let handed = handed.map_or_else(String::new, |at| format!(" at {}", at.rfc3339()));
            Answer::of(
                state,
                format!(
                    "nothing stopped it: handed over{handed}{by}; delivery: {}",
                    message.delivery.as_str()
                ),
            )
        }
        Dispatch::Ambiguous | Dispatch::Unknown => in_doubt(context, config, store, message).await?,
        Dispatch::Rejected
        | Dispatch::Failed
        | Dispatch::Suppressed
        | Dispatch::Cancelled
        | Dispatch::Expired
        | Dispatch::Blocked => Answer::of(state, reason()),
    };
    Ok(Answer { message: Some(message.id), ..answer })
}

/// What a message that has not left waits for.
async fn waiting(
    context: &Context,
    store: &Store,
    run: &Run,
    message: &MessageView,
) -> anyhow::Result<Answer> {
    let now = context.now();
    let (refusal, opens) = store.gate(message.id, now).await?;
    let state = message.dispatch.as_str();
    let told = match refusal {
        Some(Refusal::Suppressed) => Answer::of(state, "its number is suppressed by now; it will not go out"),
        Some(Refusal::Expired) => Answer::of(state, "its last useful moment has passed; it will not go out"),
        Some(Refusal::OverBudget) => Answer::of(state, "the budget of its run is spent; it will not go out"),
        Some(Refusal::RunStopped) => Answer::of(state, stopped(run)),
        Some(Refusal::WindowClosed) if opens > now => {
            Answer::of(state, format!("outside its lawful hours and window until {}", opens.rfc3339()))
                .until(opens)
        }
        Some(Refusal::WindowClosed) => {
            Answer::of(state, "its window has closed; the next one is being looked up")
        }
        Some(Refusal::Stale) | None if message.not_before > now => {
            let why = message.reason.clone().unwrap_or_else(|| "it was put off".to_owned());
            let at = message.not_before;
            Answer::of(state, format!("{why}; it is tried again at {}", at.rfc3339())).until(at)
        }
        Some(Refusal::Stale) | None => {
            Answer::of(state, format!("nothing but its turn within the limits of route {}", message.route))
        }
    };
    let alone = store.daemon().await?.is_none();
    let note = if alone { "; no daemon is running" } else { "" };
    Ok(Answer { why: format!("{}{note}", told.why), ..told })
}

fn stopped(run: &Run) -> String {
    match run.state {
        RunState::Paused => format!("its run is paused; `winback resume {}` goes on", run.terms.campaign),
        RunState::Preparing => "its run is still being written".to_owned(),
        other => format!("its run is {}; it will not go out", other.as_str()),
    }
}

async fn in_doubt(
    context: &Context,
    config: &Config,
    store: &Store,
    message: &MessageView,
) -> anyhow::Result<Answer> {
    let before = MessageId(message.id.0 - 1);
    let found = store.doubts((message.run, before), message.run, 1).await?.pop();
    let Some(found) = found.filter(|one| one.message.id == message.id) else {
        return Ok(Answer::of(message.dispatch.as_str(), "its doubt has just ended; ask again"));
    };
    let ladder = routes::ladder(config, store).await?;
    let awaited = Awaited::of(&found, &ladder, context.now());
    let kept_back = message.reason.as_deref().filter(|reason| reason.ends_with(SENT_BEFORE));
    let why = format!(
        "{}nobody knows whether it was taken ({}); looked for {}; waits for {}",
        kept_back.map_or_else(String::new, |reason| format!("it is not sent again: {reason}; ")),
        doubt::why(&found),
        doubt::looked_for(&found),
        awaited.words(&found)
    );
    let answer = Answer::of(message.dispatch.as_str(), why);
    Ok(Answer { until: awaited.until(), waits_for: Some(awaited.as_json()), ..answer })
}

/// Why a launched run has no message for a contact, as of its launch.
async fn left_out(config: &Config, store: &Store, run: &Run, found: &Contact) -> anyhow::Result<Answer> {
    let at = run.created_at;
    if found.record.created_at.is_some_and(|created| created > at) {
        return Ok(Answer::of("withheld", "the contact was not known when the run was launched"));
    }
    let terms = Terms::read(&run.terms.definition)?;
    let rules = routes::rules(config)?;
    let told = planned(store, &terms, &rules, found, at, Some(run.id)).await?;
    Ok(match told {
        Planned::Texted { .. } if run.state == RunState::Preparing => {
            Answer::of("preparing", "the messages of the run are still being written")
        }
        Planned::Texted { .. } => Answer::of(
            "withheld",
            "the plan left it out for something that has changed since: consent, columns, tags or texts it had then",
        ),
        other => withheld(&terms, store, found, other).await?,
    })
}

/// What a launch would do about a contact now.
async fn before_launch(
    context: &Context,
    config: &Config,
    store: &Store,
    campaign: &str,
    found: &Contact,
) -> anyhow::Result<Answer> {
    let now = context.now();
    let terms = terms::terms(config, store, campaign, None, now).await?;
    let rules = routes::rules(config)?;
    Ok(match planned(store, &terms, &rules, found, now, None).await? {
        Planned::Texted { route, expires_at } => Answer::of(
            "not launched",
            format!(
                "nothing stops it: a launch now would text this contact through {route} until {}",
                expires_at.rfc3339()
            ),
        ),
        other => withheld(&terms, store, found, other).await?,
    })
}

async fn withheld(terms: &Terms, store: &Store, found: &Contact, told: Planned) -> anyhow::Result<Answer> {
    let why = match told {
        Planned::LeftOut(Skip::Suppressed) => {
            let history = store.suppressions_of(found.record.phone).await?;
            let last = history.iter().max_by_key(|one| (one.lifted_at.is_none(), one.created_at));
            last.map_or_else(
                || "suppressed".to_owned(),
                |one| {
                    format!(
                        "suppressed since {} ({}, {})",
                        one.created_at.rfc3339(),
                        one.reason.as_str(),
                        one.source
                    )
                },
            )
        }
        Planned::LeftOut(skip) => skip.words(),
        Planned::Capped(had) => {
            let cap = terms.definition.limits.per_contact.map_or_else(String::new, |cap| cap.to_string());
            let texts = print::counted(had, "text", "texts");
            format!(
                "{}: {texts} of all campaigns on the way or sent, and limits.per_contact allows {cap}",
                Skip::Capped.words()
            )
        }
        Planned::NotInSegment | Planned::Texted { .. } => not_in(&terms.definition.segment),
    };
    Ok(Answer::of("withheld", why))
}

/// Which segment a contact is not in: its name, or the beginning of a long expression.
fn not_in(audience: &Audience) -> String {
    let most = 80;
    match audience {
        Audience::Named(name) => {
            format!("not in the segment {name}; `winback segment list` says what it asks for")
        }
        Audience::Expression(text) if text.chars().count() > most => {
            let start: String = text.chars().take(most).collect();
            format!("not in the segment of the campaign, which begins with: {start}…")
        }
        Audience::Expression(text) => format!("not in the segment: {text}"),
    }
}

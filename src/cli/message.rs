//! `winback message`: the messages of a campaign, and one with all that is known about its way.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use crate::model::clock::Timestamp;
use crate::model::ids::MessageId;
use crate::model::message::Verdict;
use crate::model::outcome::OutcomeClass;
use crate::model::state::Dispatch;
use crate::store::resolve::DecisionView;
use crate::store::status::{AttemptView, MessageView, ReceiptView};

use super::{Context, WrongUse, doubt, print, terms};

/// Single messages.
#[derive(Debug, Subcommand)]
pub(super) enum MessageCommand {
    /// Messages of the latest run of a campaign, or all that are in doubt.
    List(ListArgs),
    /// One message with its attempts and receipts.
    Show(ShowArgs),
    /// Decide what messages in doubt are: accepted, not sent, or to be sent again.
    Resolve(doubt::ResolveArgs),
}

/// What is listed.
#[derive(Debug, Args)]
pub(super) struct ListArgs {
    /// Name of the campaign.
    #[arg(required_unless_present = "in_doubt")]
    campaign: Option<String>,
    /// Messages in doubt, of the campaign or of all: since when, what was looked for, what they wait for.
    #[arg(long, conflicts_with = "state")]
    in_doubt: bool,
    /// Only this run.
    #[arg(long, value_name = "ID", conflicts_with = "in_doubt")]
    run: Option<i64>,
    /// Only messages in this state, such as ambiguous or failed.
    #[arg(long)]
    state: Option<String>,
    /// Only messages after this one.
    #[arg(long, value_name = "ID", default_value_t = 0)]
    after: i64,
    /// How many.
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(i64).range(1..=100_000))]
    limit: i64,
    /// Show numbers whole.
    #[arg(long)]
    phones: bool,
}

/// The message.
#[derive(Debug, Args)]
pub(super) struct ShowArgs {
    /// Its id, as `winback message list` shows it.
    #[arg(value_parser = id)]
    id: i64,
    /// Show the number whole.
    #[arg(long)]
    phones: bool,
    /// Show the text; it holds a coupon code.
    #[arg(long)]
    text: bool,
}

/// The id of a message as somebody wrote it.
pub(super) fn id(text: &str) -> Result<i64, String> {
    let read = text.parse::<i64>().ok().filter(|id| *id > 0);
    read.ok_or_else(|| {
        "an id is a whole number such as 1234, the first column of `winback message list`".to_owned()
    })
}

pub(super) async fn run(context: &Context, command: MessageCommand) -> anyhow::Result<ExitCode> {
    match command {
        MessageCommand::List(args) if args.in_doubt => {
            let ListArgs { campaign, after, limit, phones, .. } = args;
            doubt::list(context, doubt::Listing { campaign, after, limit, phones }).await
        }
        MessageCommand::List(args) => list(context, args).await,
        MessageCommand::Show(args) => show(context, args).await,
        MessageCommand::Resolve(args) => doubt::decide(context, args).await,
    }
}

async fn list(context: &Context, args: ListArgs) -> anyhow::Result<ExitCode> {
    let state = match args.state.as_deref() {
        None => None,
        Some(word) => Some(Dispatch::from_word(word).ok_or_else(|| no_state(word))?),
    };
    let config = context.config()?;
    let store = context.store(&config).await?;
    let campaign = args.campaign.as_deref().unwrap_or_default();
    let latest = terms::latest_run(&store, campaign).await?;
    let run = match args.run {
        Some(id) => terms::run_of(&store, campaign, id).await?,
        None => latest,
    };
    let messages = store.messages(run.id, state, MessageId(args.after), args.limit).await?;
    store.close().await;
    if context.json() {
        let list: Vec<Value> = messages
            .iter()
            .map(|message| as_json(message, &run.terms.currency, args.phones, false))
            .collect();
        print::json(&list)?;
        return Ok(ExitCode::SUCCESS);
    }
    let full = i64::try_from(messages.len()).unwrap_or(i64::MAX) == args.limit;
    let rows = messages.iter().map(|message| {
        vec![
            message.id.to_string(),
            print::phone(message.phone, args.phones),
            message.route.clone(),
            message.dispatch.as_str().to_owned(),
            message.delivery.as_str().to_owned(),
            message.attempts.to_string(),
            message.parts.to_string(),
            message.reason.clone().unwrap_or_default(),
        ]
    });
    let headers = ["message", "number", "route", "state", "delivery", "attempts", "parts", "reason"];
    print::table(&headers, &[0, 5, 6], rows);
    if full && let Some(last) = messages.last() {
        print::line(format!("more may follow: --after {}", last.id));
    }
    Ok(ExitCode::SUCCESS)
}

fn no_state(word: &str) -> WrongUse {
    let known: Vec<&str> = Dispatch::ALL.iter().map(|state| state.as_str()).collect();
    WrongUse(format!("--state {word}: there is no such state; there are: {}", known.join(", ")))
}

async fn show(context: &Context, args: ShowArgs) -> anyhow::Result<ExitCode> {
    let config = context.config()?;
    let store = context.store(&config).await?;
    let found = store.message(MessageId(args.id)).await?;
    let decisions = store.decisions_of(MessageId(args.id)).await?;
    let none = || WrongUse(format!("there is no message {}; `winback message list` shows ids", args.id));
    let (message, attempts, receipts) = found.ok_or_else(none)?;
    let currency = store.run(message.run).await?.map(|run| run.terms.currency).unwrap_or_default();
    store.close().await;
    if context.json() {
        let mut answer = as_json(&message, &currency, args.phones, args.text);
        answer["attempt_list"] = attempts.iter().map(attempt_json).collect();
        answer["receipt_list"] = receipts.iter().map(receipt_json).collect();
        answer["decision_list"] = decisions.iter().map(decision_json).collect();
        print::json(&answer)?;
        return Ok(ExitCode::SUCCESS);
    }
    print_message(&message, &currency, copies(&attempts, &decisions), &args);
    print_way(&attempts, &receipts);
    for one in &decisions {
        let why = one.reason.as_deref().map_or_else(String::new, |reason| format!(": {reason}"));
        let (at, by) = (one.decided_at.rfc3339(), &one.decided_by);
        print::line(format!(
            "attempt {} decided as {} by operator {by} at {at}{why}",
            one.number,
            one.verdict.as_str()
        ));
    }
    Ok(ExitCode::SUCCESS)
}

fn as_json(message: &MessageView, currency: &str, phones: bool, text: bool) -> Value {
    let mut answer = json!({
        "id": message.id, "run": message.run, "contact": message.contact,
        "phone": print::phone(message.phone, phones), "country": message.country, "route": message.route,
        "parts": message.parts, "price": message.price.to_string(), "currency": currency, "state": message.dispatch.as_str(),
        "delivery": message.delivery.as_str(), "attempts": message.attempts, "reason": message.reason,
        "possible_duplicate": message.possible_duplicate, "conflict": message.conflict,
        "code_contested": message.code_contested,
        "not_before": message.not_before.rfc3339(),
        "submitted_at": message.submitted_at.map(Timestamp::rfc3339),
        "delivery_at": message.delivery_at.map(Timestamp::rfc3339),
    });
    if text {
        answer["text"] = Value::String(message.body.clone());
    }
    answer
}

fn attempt_json(attempt: &AttemptView) -> Value {
    json!({
        "number": attempt.number, "reference": attempt.reference, "intent_at": attempt.intent_at.rfc3339(),
        "answered_at": attempt.answered_at.map(Timestamp::rfc3339), "outcome": attempt.outcome,
        "code": attempt.code, "detail": attempt.detail, "provider_id": attempt.provider_id,
    })
}

fn receipt_json(receipt: &ReceiptView) -> Value {
    json!({
        "received_at": receipt.received_at.rfc3339(), "state": receipt.state, "status": receipt.status,
        "code": receipt.code,
    })
}

fn decision_json(decision: &DecisionView) -> Value {
    json!({
        "number": decision.number, "decided_at": decision.decided_at.rfc3339(), "as": decision.verdict,
        "by": decision.decided_by, "reason": decision.reason,
    })
}

/// How many copies of a message were taken, or may have been.
fn copies(attempts: &[AttemptView], decisions: &[DecisionView]) -> usize {
    let unsent = |number| decisions.iter().any(|one| one.number == number && one.verdict == Verdict::NotSent);
    let class = |one: &AttemptView| one.outcome.as_deref().and_then(OutcomeClass::from_word);
    let may_have_left = |one: &&AttemptView| class(one).is_none_or(OutcomeClass::costs);
    let copies = attempts.iter().filter(may_have_left);
    copies.filter(|one| class(one) == Some(OutcomeClass::Accepted) || !unsent(one.number)).count()
}

fn print_message(message: &MessageView, currency: &str, copies: usize, args: &ShowArgs) {
    let marks = [
        (copies > 1, "may have arrived twice"),
        (message.conflict, "receipts contradict"),
        (message.code_contested, "somebody else has its code"),
    ];
    let marks: Vec<&str> = marks.into_iter().filter_map(|(set, words)| set.then_some(words)).collect();
    let mut rows = vec![
        vec!["to".to_owned(), print::phone(message.phone, args.phones)],
        vec!["run".to_owned(), message.run.to_string()],
        vec!["contact".to_owned(), message.contact.to_string()],
        vec!["route".to_owned(), format!("{} ({})", message.route, message.country)],
        vec!["parts".to_owned(), format!("{} for {} {currency}", message.parts, message.price)],
        vec!["state".to_owned(), message.dispatch.as_str().to_owned()],
        vec!["delivery".to_owned(), message.delivery.as_str().to_owned()],
        vec!["reason".to_owned(), message.reason.clone().unwrap_or_else(|| "-".to_owned())],
        vec!["not before".to_owned(), message.not_before.rfc3339()],
        vec!["submitted".to_owned(), print::time(message.submitted_at)],
        vec!["delivery at".to_owned(), print::time(message.delivery_at)],
    ];
    if !marks.is_empty() {
        rows.push(vec!["note".to_owned(), marks.join(", ")]);
    }
    if args.text {
        rows.push(vec!["text".to_owned(), message.body.replace('\n', "⏎")]);
    }
    print::table(&["message", &message.id.to_string()], &[], rows);
}

fn print_way(attempts: &[AttemptView], receipts: &[ReceiptView]) {
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    if !attempts.is_empty() {
        print::line("");
        let rows = attempts.iter().map(|one| {
            vec![
                one.number.to_string(),
                one.intent_at.rfc3339(),
                print::time(one.answered_at),
                one.outcome.clone().unwrap_or_else(|| "no answer".to_owned()),
                text(&one.code),
                text(&one.provider_id),
                text(&one.detail),
            ]
        });
        print::table(
            &["attempt", "intent", "answer", "outcome", "code", "provider id", "detail"],
            &[0],
            rows,
        );
    }
    if !receipts.is_empty() {
        print::line("");
        let rows = receipts.iter().map(|one| {
            vec![one.received_at.rfc3339(), one.state.clone(), one.status.clone(), text(&one.code)]
        });
        print::table(&["receipt", "state", "status", "code"], &[], rows);
    }
}

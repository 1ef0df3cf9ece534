//! A simulator's ledger held against a store, and the result as people read it. Both sides are only read.

use std::path::Path;

use crate::campaign::law::Rules;
use crate::dispatch::pace::Limit;
use crate::model::ids::RunId;
use crate::report::audit::{Audit, Question, Taken, audit};
use crate::simulator::LedgerError;
use crate::simulator::ledger;
use crate::store::Store;

use super::print;

/// Terms that are no fault whatever their count.
const NEUTRAL: [&str; 7] = ["taken", "accepted", "under_way", "waiting", "not_sent", "unresolved", "pruned"];

/// Holds a ledger against a store; says so where that proves nothing.
pub(super) async fn hold(store: &Store, path: &Path, question: &Question<'_>) -> anyhow::Result<Audit> {
    let mut entries = ledger::read(path)?;
    let taken = entries.by_ref().map(|entry| -> Result<Taken, LedgerError> {
        let entry = entry?;
        Ok(Taken {
            at: entry.at,
            reference: entry.reference.into_owned(),
            to: entry.to.into_owned(),
            body_sha256: entry.body_sha256.into_owned(),
            parts: entry.parts,
        })
    });
    let audit = audit(store, taken, question).await?;
    if entries.torn_bytes() > 0 {
        let path = path.display();
        print::note(format!(
            "the last line of {path} was cut off and is passed over: nobody was told of that text"
        ));
    }
    if audit.taken == 0 {
        print::note(format!("{} holds no text, so nothing was held against the store", path.display()));
    }
    Ok(audit)
}

/// Prints every term on a line of its own.
pub(super) fn show(audit: &Audit) {
    let Audit { taken, accepted, under_way, waiting, not_sent, unresolved, pruned, .. } = audit;
    let neutral = [taken, accepted, under_way, waiting, not_sent, unresolved, pruned].map(|count| *count);
    let rows = NEUTRAL.into_iter().zip(neutral).chain(audit.faults());
    // What happens seldom is shown when it did.
    let rows = rows.filter(|row| !matches!(row, ("pruned" | "unjudged" | "under_way", 0)));
    let rows = rows.map(|(term, count)| {
        let unchecked = match term {
            "over_rate" if audit.over_rate.is_none() => Some(meaning("unchecked")),
            "outside_window" if count == 0 && audit.unjudged > 0 => Some("not checked: see unjudged"),
            _ => None,
        };
        let (count, told) = match unchecked {
            Some(why) => ("-".to_owned(), why.to_owned()),
            None => (print::count(count), examples(audit, term)),
        };
        vec![term.replace('_', " "), count, told]
    });
    print::table(&["", "", ""], &[1], rows);
    print::line("");
    print::line(if audit.agrees() { "ledger and store agree" } else { "ledger and store DISAGREE" });
}

fn examples(audit: &Audit, term: &str) -> String {
    match audit.examples.get(term) {
        Some(told) => format!("{}: {}", meaning(term), told.join(", ")),
        None => meaning(term).to_owned(),
    }
}

fn meaning(term: &str) -> &'static str {
    match term {
        "taken" => "texts in the ledger",
        "accepted" => "known to both sides",
        "under_way" => "taken, and the answer is awaited",
        "waiting" => "not handed over yet",
        "not_sent" => "ended without being sent",
        "unresolved" => "in doubt, taken or not",
        "pruned" => "taken and then pruned: judged without their words and intents",
        "lost" => "the provider has never had them",
        "duplicated" => "taken twice and nobody decided so",
        "unexpected" => "taken and never planned",
        "unrecorded" => "taken, and believed not to be sent",
        "after_stop" => "taken after a STOP",
        "outside_window" => "taken outside lawful hours",
        "unjudged" => "taken at hours that cannot be checked: the terms of their run cannot be read",
        "over_rate" => "parts above rate and burst",
        "over_budget" => "beyond the budget of the run",
        "wrong_body" => "another text than planned",
        "wrong_number" => "another number than planned",
        "wrong_code" => "a code that is not theirs",
        _ => "not checked: name the account's rate with --rate",
    }
}

/// What is asked about one run.
pub(super) fn about(run: RunId, rules: &Rules, limit: Option<Limit>) -> Question<'_> {
    Question { run: Some(run), limit, rules }
}

//! What held a text up before it stood where it stands: its window, its turn, attempts that came to nothing. Pure.

use std::time::Duration;

use crate::model::clock::Timestamp;
use crate::model::outcome::OutcomeClass;
use crate::model::run::Run;
use crate::store::status::AttemptView;

/// A wait that is shorter is no delay.
const WORTH_A_WORD: Duration = Duration::from_mins(1);

/// Attempts that are told one by one, the latest ones.
const TOLD: usize = 3;

/// Everything that held a text up, in the order in which it did. `opened_at` is when its window opened, `on` its route.
pub(super) fn delays(run: &Run, opened_at: Timestamp, attempts: &[AttemptView], on: &str) -> Vec<String> {
    let mut told = Vec::new();
    let Some((last, earlier)) = attempts.split_last() else { return told };
    let first = earlier.first().unwrap_or(last).intent_at;
    let launched = run.created_at;
    let may_go = launched.max(run.terms.starts_at).max(opened_at.min(first));
    if run.terms.starts_at.since(launched) > WORTH_A_WORD {
        told.push(format!("its run started at {}", run.terms.starts_at.rfc3339()));
    }
    if opened_at <= first && opened_at.since(launched.max(run.terms.starts_at)) > WORTH_A_WORD {
        told.push(format!("its window opened at {}", opened_at.rfc3339()));
    }
    if first.since(may_go) > WORTH_A_WORD {
        let waited = minutes(first.since(may_go));
        told.push(format!("it waited {waited} for its turn within the limits of route {on}"));
    }
    let unsaid = earlier.len().saturating_sub(TOLD);
    if unsaid > 0 {
        told.push(format!("{unsaid} earlier attempts came to nothing"));
    }
    let held_up = |one: &&AttemptView| one.outcome.as_deref() != Some(OutcomeClass::Accepted.as_str());
    told.extend(earlier[unsaid..].iter().filter(held_up).map(attempt));
    told
}

fn attempt(one: &AttemptView) -> String {
    let outcome = one.outcome.as_deref().unwrap_or("no answer was stored");
    let detail = one.detail.as_deref().filter(|detail| *detail != outcome);
    let detail = detail.map_or_else(String::new, |detail| format!(" ({detail})"));
    format!("attempt {} at {}: {outcome}{detail}", one.number, one.intent_at.rfc3339())
}

fn minutes(span: Duration) -> String {
    let minutes = span.as_secs() / 60;
    match (minutes / 60, minutes % 60) {
        (0, minutes) => format!("{minutes} min"),
        (hours, minutes) => format!("{hours} h {minutes} min"),
    }
}

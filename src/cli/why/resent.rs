//! Whether a text may arrive twice, and who wanted that, in words. Decides nothing and reads no store.

use crate::model::message::Verdict;
use crate::model::outcome::{OutcomeClass, Proof};
use crate::model::state::Dispatch;
use crate::store::resolve::DecisionView;
use crate::store::status::AttemptView;

/// That a message was to be sent again, who wanted it, and whether it was.
pub(super) fn sent_again(
    campaign: &str,
    state: Dispatch,
    attempts: &[AttemptView],
    decisions: &[DecisionView],
) -> String {
    let waits = matches!(state, Dispatch::Queued | Dispatch::Claimed);
    let last = attempts.last().map_or(0, |attempt| attempt.number);
    let decided = |number: i64| decisions.iter().find(|one| one.number == number);
    let wanted = |number: i64| decided(number).is_some_and(|one| one.verdict == Verdict::Resend);
    let class = |attempt: &AttemptView| attempt.outcome.as_deref().and_then(OutcomeClass::from_word);
    // Only what may have been taken is sent again by decision; everything else is simply tried again.
    let copies = attempts.iter().filter(|attempt| class(attempt).is_none_or(OutcomeClass::costs));
    let about = copies
        .map(|attempt| attempt.number)
        .rfind(|number| waits || *number < last || attempts.len() == 1 || wanted(*number));
    let by = match about.map_or_else(|| decisions.iter().rfind(|one| one.verdict == Verdict::Resend), decided)
    {
        None => format!("as `when_in_doubt` of {campaign} asks"),
        Some(one) if one.verdict == Verdict::Resend => {
            format!("as operator {} decided at {}", one.decided_by, one.decided_at.rfc3339())
        }
        Some(_) => "as was decided then".to_owned(),
    };
    // What never left after it is no second copy.
    let unsent = |attempt: &AttemptView| class(attempt).is_some_and(|class| class.proof() == Proof::NotSent);
    let followed = |number| attempts.iter().any(|later| later.number > number && !unsent(later));
    let again = match about {
        Some(_) if waits => "it is to be sent again",
        Some(number) if !followed(number) => "it was to be sent again and was not",
        _ => "it was sent again",
    };
    format!("{again}, with the same code, while nobody knew whether it had arrived, {by}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::clock::Timestamp;

    #[test]
    fn it_says_whether_a_second_copy_left_and_who_wanted_it() {
        let check = |outcomes: &[&str], state, decided: &[(i64, Verdict)], wanted: &str, by: &str| {
            let attempt = |(number, outcome): (i64, &&str)| AttemptView {
                number,
                reference: String::new(),
                intent_at: Timestamp(0),
                answered_at: None,
                outcome: (!outcome.is_empty()).then(|| (*outcome).to_owned()),
                code: None,
                detail: None,
                provider_id: None,
            };
            let attempts: Vec<_> = (1..).zip(outcomes).map(attempt).collect();
            let decision = |(number, verdict): &(i64, Verdict)| DecisionView {
                number: *number,
                decided_at: Timestamp(0),
                verdict: *verdict,
                decided_by: "ada".to_owned(),
                reason: None,
            };
            let decisions: Vec<_> = decided.iter().map(decision).collect();
            let told = sent_again("comeback", state, &attempts, &decisions);
            assert!(told.starts_with(&format!("{wanted}, with")) && told.contains(by), "{outcomes:?} {told}");
        };
        let (ada, policy) = ("operator ada", "`when_in_doubt` of comeback");
        let (resend, waits, was) = (Verdict::Resend, "it is to be sent again", "it was sent again");
        let stopped = "it was to be sent again and was not";
        check(&["unknown"], Dispatch::Queued, &[], waits, policy);
        check(&["unknown"], Dispatch::Claimed, &[(1, resend)], waits, ada);
        check(&["unknown"], Dispatch::Unknown, &[(1, resend)], stopped, ada);
        check(&["unknown", "rejected"], Dispatch::Unknown, &[(1, resend)], was, ada);
        check(&["unknown", "throttled"], Dispatch::Unknown, &[(1, resend)], stopped, ada);
        check(&["unknown", "throttled"], Dispatch::Queued, &[(1, resend)], waits, ada);
        check(&["", "unknown"], Dispatch::Ambiguous, &[], was, policy);
        check(&["unknown", "unknown", "accepted"], Dispatch::Accepted, &[(1, resend)], was, policy);
        check(&["unknown", "unknown", "accepted"], Dispatch::Accepted, &[(2, resend)], was, ada);
        check(&["unknown"], Dispatch::Accepted, &[(1, Verdict::Accepted)], stopped, "as was decided then");
        // What it was sent again for has turned out not to have left.
        check(&["throttled", "accepted"], Dispatch::Accepted, &[], was, policy);
    }
}

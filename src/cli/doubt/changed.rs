//! What a person's decision about doubt did, in words. Decides nothing and reads no store.

use crate::dispatch::resolve::Resolved;
use crate::model::message::Verdict;

use super::super::print;

/// What was changed, in words.
pub(super) fn changed(verdict: Verdict, resolved: &Resolved, by: &str) -> Vec<String> {
    let counted =
        |n: usize| print::counted(i64::try_from(n).unwrap_or(i64::MAX), "message is", "messages are");
    let what = match verdict {
        Verdict::Accepted => "accepted by decision, codes count as sent",
        Verdict::NotSent => "failed, codes and money are back",
        Verdict::Resend => "queued again with the same code, as a possible duplicate",
    };
    let (locked, ended) = (resolved.locked.len(), resolved.ended.len());
    let free = resolved.changed.len() - locked - ended;
    let mut lines = Vec::new();
    if free > 0 {
        lines.push(format!("{} {what}; recorded as decided by {by}", counted(free)));
    }
    if ended > 0 {
        let stay = |n: usize| {
            print::counted(
                i64::try_from(n).unwrap_or(i64::MAX),
                "message stays what it is",
                "messages stay what they are",
            )
        };
        lines.push(format!(
            "{}, codes and money of copies are back; recorded as decided by {by}",
            stay(ended)
        ));
    }
    if locked > 0 {
        lines.push(format!(
            "{} failed, the money of the last copy is back; recorded as decided by {by}",
            counted(locked)
        ));
        lines.push(
            "they had been sent before, and that copy may have arrived: codes stay in quarantine, and money of copies of which \
             nobody knows stays spent; if no copy left, say so with --every-copy"
                .to_owned(),
        );
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ids::MessageId;

    #[test]
    fn what_is_said_of_a_decision_is_what_it_did() {
        let ids = |n: i64| (1..=n).map(MessageId).collect::<Vec<_>>();
        let check = |of: i64, locked: i64, ended: i64, wanted: &[&str], never: &str| {
            let resolved =
                Resolved { changed: ids(of), locked: ids(locked), ended: ids(ended), ..Resolved::default() };
            let told = changed(Verdict::NotSent, &resolved, "ada");
            assert_eq!(told.len(), wanted.len(), "{told:?}");
            assert!(told.iter().zip(wanted).all(|(told, wanted)| told.contains(wanted)), "{told:?}");
            assert!(never.is_empty() || !told.concat().contains(never), "{told:?}");
        };
        check(0, 0, 0, &[], "");
        check(
            2,
            0,
            0,
            &["2 messages are failed, codes and money are back; recorded as decided by ada"],
            "quarantine",
        );
        let half = ["1 message is failed, the money of the last copy is back", "codes stay in quarantine"];
        check(1, 1, 0, &half, "codes and money are back");
        check(2, 0, 2, &["2 messages stay what they are, codes and money of copies are back"], "failed");
        check(3, 1, 0, &["2 messages are failed, codes and money are back", half[0], half[1]], "");
    }
}

//! The word that was meant: a slip of the keyboard is answered with the nearest known word.

/// The word in `known` that is closest to `word`, if one is close enough to have been meant.
pub fn nearest<'k>(word: &str, known: impl IntoIterator<Item = &'k str>) -> Option<&'k str> {
    let length = word.chars().count();
    let limit = (length / 3).max(1);
    // Longer words than any key are never a slip, and must not cost time.
    if length > 100 {
        return None;
    }
    let scored = known.into_iter().map(|candidate| (distance(word, candidate), candidate));
    scored.filter(|(distance, _)| *distance <= limit).min_by_key(|(distance, _)| *distance).map(|(_, c)| c)
}

/// Optimal string alignment: insertions, deletions, changes and swaps of neighbours count one each.
fn distance(from: &str, to: &str) -> usize {
    let (from, to): (Vec<char>, Vec<char>) = (from.chars().collect(), to.chars().collect());
    let mut before: Vec<usize> = Vec::new();
    let mut above: Vec<usize> = (0..=to.len()).collect();
    for i in 1..=from.len() {
        let mut row = vec![i];
        for j in 1..=to.len() {
            let change = above[j - 1] + usize::from(from[i - 1] != to[j - 1]);
            let mut best = change.min(above[j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && from[i - 1] == to[j - 2] && from[i - 2] == to[j - 1] {
                best = best.min(before[j - 2] + 1);
            }
            row.push(best);
        }
        before = std::mem::replace(&mut above, row);
    }
    above[to.len()]
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn a_slip_of_the_keyboard_is_answered_with_the_word_that_was_meant() {
        let known = ["routes", "segment", "schedule", "at"];
        let check = |word: &str, meant: Option<&str>| assert_eq!(nearest(word, known), meant, "{word}");
        check("rotues", Some("routes"));
        check("route", Some("routes"));
        check("segmnets", Some("segment"));
        check("ta", Some("at"));
        check("zebra", None);
        check("", None);
        check(&"x".repeat(10_000), None);
    }
}

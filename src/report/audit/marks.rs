//! A word for each row id, in blocks that exist only where something was marked. Ids are dense, so this stays near eight
//! octets an id where a hash table would take five times that.

use std::collections::BTreeMap;

/// Ids in one block.
const BLOCK: i64 = 4_096;

/// Words by id; zero where nothing was marked.
#[derive(Debug, Default)]
pub(super) struct Marks(BTreeMap<i64, Box<[u64]>>);

impl Marks {
    /// Marks that attempt `number` of a message was taken; true if it was before. Attempts beyond the 63rd share a mark.
    pub(super) fn mark_attempt(&mut self, message: i64, number: i64) -> bool {
        let bit = 1_u64 << number.clamp(0, 63);
        let word = self.word(message);
        let before = *word & bit != 0;
        *word |= bit;
        before
    }

    /// How many attempts of a message were taken.
    pub(super) fn attempts(&self, message: i64) -> u32 {
        let block = self.0.get(&message.div_euclid(BLOCK));
        block.map_or(0, |words| words[place(message)].count_ones())
    }

    fn word(&mut self, id: i64) -> &mut u64 {
        let empty = || vec![0; usize::try_from(BLOCK).unwrap_or_default()].into_boxed_slice();
        &mut self.0.entry(id.div_euclid(BLOCK)).or_insert_with(empty)[place(id)]
    }
}

fn place(id: i64) -> usize {
    usize::try_from(id.rem_euclid(BLOCK)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::Marks;

    #[test]
    fn a_repeated_attempt_is_told_from_another_one() {
        let mut marks = Marks::default();
        assert!(!marks.mark_attempt(7, 1));
        assert!(!marks.mark_attempt(7, 2));
        assert!(marks.mark_attempt(7, 1));
        assert_eq!([7, 8, 7 + 4_096, 1 << 40].map(|id| marks.attempts(id)), [2, 0, 0, 0]);
    }
}

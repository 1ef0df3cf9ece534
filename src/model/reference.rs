//! Our reference of an attempt: the short text a provider hands back in receipts and look-ups.
//!
//! It names the store, the message and the attempt, so a receipt finds its message without any table of ids,
//! even when the answer to the submission never arrived.

use super::ids::MessageId;

/// Digits and letters that no provider changes, in the order of their value.
const DIGITS: &[u8; 36] = b"0123456789abcdefghijklmnopqrstuvwxyz";

/// Length of the tag that tells one store's references from another's.
pub const TAG_LENGTH: usize = 4;

/// The reference of attempt `number` of `message` in the store called `tag`: `k3f9-1z8-1`.
pub fn compose(tag: &str, message: MessageId, number: i64) -> String {
    let mut text = String::with_capacity(TAG_LENGTH + 16);
    text.push_str(tag);
    text.push('-');
    push_base36(&mut text, message.0);
    text.push('-');
    push_base36(&mut text, number);
    text
}

/// The message and attempt that a reference names; `None` for other stores' references and for nonsense.
pub fn resolve(tag: &str, reference: &str) -> Option<(MessageId, i64)> {
    let mut pieces = reference.split('-');
    let (own, message, number) = (pieces.next()?, pieces.next()?, pieces.next()?);
    if own != tag || pieces.next().is_some() {
        return None;
    }
    Some((MessageId(read_base36(message)?), read_base36(number)?))
}

fn push_base36(text: &mut String, value: i64) {
    let mut rest = value.unsigned_abs();
    let mut digits = [0u8; 13];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = DIGITS[(rest % 36) as usize];
        rest /= 36;
        if rest == 0 {
            break;
        }
    }
    text.extend(digits[at..].iter().map(|digit| char::from(*digit)));
}

fn read_base36(text: &str) -> Option<i64> {
    if text.is_empty()
        || text.len() > 12
        || !text.bytes().all(|b| b.is_ascii_digit() || b.is_ascii_lowercase())
    {
        return None;
    }
    i64::from_str_radix(text, 36).ok()
}

#[cfg(test)]
mod tests {
    use super::{compose, resolve};
    use crate::model::ids::MessageId;

    #[test]
    fn a_reference_leads_back_to_its_attempt() {
        for (message, number) in [(1, 1), (35, 36), (1_679_616, 2), (9_007_199_254_740_991, 7)] {
            let reference = compose("k3f9", MessageId(message), number);
            assert_eq!(resolve("k3f9", &reference), Some((MessageId(message), number)), "{reference}");
            assert_eq!(resolve("zzzz", &reference), None, "another store's reference");
        }
    }

    #[test]
    fn nonsense_is_nobodys_reference() {
        for text in
            ["", "k3f9", "k3f9-", "k3f9--1", "k3f9-1", "k3f9-1-2-3", "k3f9-A-1", "k3f9-zzzzzzzzzzzzzz-1"]
        {
            assert_eq!(resolve("k3f9", text), None, "{text}");
        }
    }
}

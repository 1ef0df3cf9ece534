//! Hashes and signatures, as text on the wire.
//!
//! It signs with the key it is given and never keeps one.

use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};

/// Hex HMAC-SHA256 of `timestamp`, a dot and the raw body.
pub(super) fn signature(key: &[u8], timestamp: &str, body: &[u8]) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length");
    mac.update(timestamp.as_bytes());
    mac.update(b".");
    mac.update(body);
    hex(&mac.finalize().into_bytes())
}

/// Hex SHA-256.
pub(super) fn sha256(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        text.push(char::from(DIGITS[usize::from(byte >> 4)]));
        text.push(char::from(DIGITS[usize::from(byte & 15)]));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_published_vectors_come_out() {
        // FIPS 180-4 example "abc".
        assert_eq!(sha256(b"abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        // RFC 4231 test case 2, whose data happens to hold no dot; the dot is ours, so it is placed by the split.
        let expected = Hmac::<Sha256>::new_from_slice(b"Jefe")
            .expect("any length")
            .chain_update("17.what do ya want for nothing?")
            .finalize()
            .into_bytes();
        assert_eq!(signature(b"Jefe", "17", b"what do ya want for nothing?"), hex(&expected));
    }
}

//! HMAC over a payload made of the raw body and, where the provider sends one, the time of signing.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac};
use sha1::Sha1;
use sha2::Sha256;

use super::{VerifyError, header, same};
use crate::model::clock::Timestamp;
use crate::provider::callback::Callback;
use crate::provider::definition::{Digest, HmacPlan, PayloadPiece};
use crate::provider::format::DigestWord;
use crate::telemetry::Secret;

/// Checks the signature, then the time, so that a forged time tells nothing.
pub(super) fn verify(
    plan: &HmacPlan,
    key: &Secret,
    callback: &Callback<'_>,
    now: Timestamp,
) -> Result<(), VerifyError> {
    let written = header(callback, &plan.header)?;
    let written = written.strip_prefix(plan.prefix.as_str()).ok_or(VerifyError::Malformed)?;
    let given = match plan.encoding {
        DigestWord::Hex => from_hex(written),
        DigestWord::Base64 => STANDARD.decode(written).ok(),
    };
    let given = given.ok_or(VerifyError::Malformed)?;
    let timestamp = match &plan.timestamp {
        Some((name, _)) => header(callback, name)?,
        None => "",
    };
    let key = key.expose().as_bytes();
    let expected = match plan.digest {
        Digest::Sha1 => sign_sha1(key, pieces(plan, timestamp, callback.body)),
        Digest::Sha256 => sign_sha256(key, pieces(plan, timestamp, callback.body)),
    };
    if !same(&given, &expected) {
        return Err(VerifyError::Mismatch);
    }
    let Some((_, tolerance)) = &plan.timestamp else { return Ok(()) };
    let signed = timestamp.parse::<i64>().map_err(|_| VerifyError::Malformed)?;
    let signed = Timestamp(signed.saturating_mul(1000));
    let fresh = now.since(signed) <= *tolerance && signed.since(now) <= *tolerance;
    if fresh { Ok(()) } else { Err(VerifyError::Stale) }
}

/// HMAC-SHA1 of the concatenated pieces.
pub(super) fn sign_sha1<'p>(key: &[u8], pieces: impl Iterator<Item = &'p [u8]>) -> Vec<u8> {
    let mac = Hmac::<Sha1>::new_from_slice(key).expect("HMAC takes keys of any length");
    sign(mac, pieces)
}

fn sign_sha256<'p>(key: &[u8], pieces: impl Iterator<Item = &'p [u8]>) -> Vec<u8> {
    let mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length");
    sign(mac, pieces)
}

fn sign<'p>(mut mac: impl Mac, pieces: impl Iterator<Item = &'p [u8]>) -> Vec<u8> {
    for piece in pieces {
        mac.update(piece);
    }
    mac.finalize().into_bytes().to_vec()
}

fn pieces<'p>(plan: &'p HmacPlan, timestamp: &'p str, body: &'p [u8]) -> impl Iterator<Item = &'p [u8]> {
    plan.payload.iter().map(move |piece| match piece {
        PayloadPiece::Text(text) => text.as_bytes(),
        PayloadPiece::Timestamp => timestamp.as_bytes(),
        PayloadPiece::Body => body,
    })
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    let bytes = text.as_bytes();
    if !bytes.len().is_multiple_of(2) {
        return None;
    }
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    bytes.chunks_exact(2).map(|pair| Some(digit(pair[0])? << 4 | digit(pair[1])?)).collect()
}

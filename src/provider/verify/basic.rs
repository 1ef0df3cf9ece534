//! Callbacks that prove themselves by something both sides know: user and password, or a token in the address.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::header::AUTHORIZATION;
use subtle::ConstantTimeEq as _;

use super::{VerifyError, header};
use crate::provider::callback::Callback;
use crate::telemetry::Secret;

/// Compares without telling by the time it takes how much was right. Lengths are no secret.
pub(crate) fn same(one: &[u8], other: &[u8]) -> bool {
    one.ct_eq(other).into()
}

/// `Authorization: Basic`, RFC 7617; `expected` is `user:password`.
pub(super) fn verify(expected: &Secret, callback: &Callback<'_>) -> Result<(), VerifyError> {
    let value = header(callback, &AUTHORIZATION)?;
    let (scheme, encoded) = value.split_once(' ').ok_or(VerifyError::Malformed)?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return Err(VerifyError::Malformed);
    }
    let given = STANDARD.decode(encoded.trim()).map_err(|_| VerifyError::Malformed)?;
    if same(&given, expected.expose().as_bytes()) { Ok(()) } else { Err(VerifyError::Mismatch) }
}

/// The last path segment is the token, or the token, a dot and our reference.
pub(super) fn verify_token(token: &Secret, callback: &Callback<'_>) -> Result<(), VerifyError> {
    let segment = callback.path_ref.ok_or(VerifyError::Missing)?;
    let given = segment.split_once('.').map_or(segment, |(token, _)| token);
    if same(given.as_bytes(), token.expose().as_bytes()) { Ok(()) } else { Err(VerifyError::Mismatch) }
}

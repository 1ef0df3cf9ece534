//! HMAC-SHA1 over the URL followed by the sorted form parameters, in base64 (published by the provider that signs so,
//! with test vectors, as its request validator). For bodies that are no form, the signed URL carries the body's SHA-256.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::header::{CONTENT_TYPE, HeaderName};
use sha2::{Digest as _, Sha256};

use super::hmac::sign_sha1;
use super::{VerifyError, header, same};
use crate::model::hex::hex;
use crate::provider::callback::Callback;
use crate::telemetry::Secret;

type Pair<'a> = (Cow<'a, str>, Cow<'a, str>);

const BODY_DIGEST: &str = "bodySHA256";

/// Checks against the URL as it is, without its default port, and with it: signers differ in what they sign.
pub(super) fn verify(name: &HeaderName, key: &Secret, callback: &Callback<'_>) -> Result<(), VerifyError> {
    let given = STANDARD.decode(header(callback, name)?).map_err(|_| VerifyError::Malformed)?;
    let params = match body_digest(callback.url) {
        Some(digest) => {
            let actual = hex(&Sha256::digest(callback.body));
            if !same(actual.as_bytes(), digest.to_ascii_lowercase().as_bytes()) {
                return Err(VerifyError::Mismatch);
            }
            Vec::new()
        }
        None if callback.body.is_empty() => Vec::new(),
        None => form(callback)?,
    };
    let mut right = false;
    for url in [Cow::Borrowed(callback.url), other_form(callback.url)] {
        let pairs = params.iter().flat_map(|(name, value)| [name.as_bytes(), value.as_bytes()]);
        let expected = sign_sha1(key.expose().as_bytes(), std::iter::once(url.as_bytes()).chain(pairs));
        right |= same(&given, &expected);
    }
    if right { Ok(()) } else { Err(VerifyError::Mismatch) }
}

/// The parameters by name, those of one name by value, each value once.
fn form<'a>(callback: &Callback<'a>) -> Result<Vec<Pair<'a>>, VerifyError> {
    let kind = callback.headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or("");
    if !kind.is_empty() && !kind.to_ascii_lowercase().starts_with("application/x-www-form-urlencoded") {
        return Err(VerifyError::Malformed);
    }
    let mut params: Vec<_> = form_urlencoded::parse(callback.body).collect();
    params.sort();
    params.dedup();
    Ok(params)
}

fn body_digest(url: &str) -> Option<Cow<'_, str>> {
    let (_, query) = url.split_once('?')?;
    form_urlencoded::parse(query.as_bytes()).find(|(name, _)| name == BODY_DIGEST).map(|(_, value)| value)
}

/// The same URL with its scheme's default port added, or taken away.
fn other_form(url: &str) -> Cow<'_, str> {
    let port = if url.starts_with("https://") { ":443" } else { ":80" };
    let Some(start) = url.find("://").map(|at| at + 3) else { return Cow::Borrowed(url) };
    let end = url[start..].find(['/', '?', '#']).map_or(url.len(), |at| start + at);
    let (head, rest) = url.split_at(end);
    let host = head[start..].rsplit('@').next().unwrap_or("");
    let has_port = host.rsplit(']').next().unwrap_or("").contains(':');
    match (head.strip_suffix(port), has_port) {
        (Some(bare), _) => Cow::Owned(format!("{bare}{rest}")),
        (None, true) => Cow::Borrowed(url),
        (None, false) => Cow::Owned(format!("{head}{port}{rest}")),
    }
}

#[cfg(test)]
mod tests {
    use super::other_form;

    #[test]
    fn only_the_default_port_may_come_and_go() {
        let check = |url: &str, other: &str| {
            assert_eq!(other_form(url), other);
            if url != other {
                assert_eq!(other_form(other), url, "and back");
            }
        };
        check("https://a.example/x?y=1", "https://a.example:443/x?y=1");
        check("http://a.example:80/x", "http://a.example/x");
        check("https://a.example:1234/x", "https://a.example:1234/x");
        check("https://a.example?x=:1", "https://a.example:443?x=:1");
        check("https://u:p@a.example/x", "https://u:p@a.example:443/x");
        check("https://[::1]/x", "https://[::1]:443/x");
    }
}

//! Who called? Checks callbacks against signatures over their raw bytes, in constant time.
//!
//! Schemes are named by what they are. No scheme looks into a body before its signature holds.

mod basic;
mod hmac;
mod url_params;

use super::callback::Callback;
use super::definition::{HmacPlan, Verify};
use super::render::RouteValues;
use super::template::Template;
use crate::model::clock::Timestamp;
use crate::telemetry::Secret;

pub(crate) use basic::same;

/// Why a callback is not believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VerifyError {
    /// No signature, credentials or token at all.
    #[error("the callback is not signed; check what the provider's console is set to")]
    Missing,
    /// A signature that is not the right one.
    #[error(
        "the callback's signature is wrong; check the key, and that public_url is what the provider calls"
    )]
    Mismatch,
    /// Signed too long ago, or in the future.
    #[error("the callback was signed too long ago; check both clocks")]
    Stale,
    /// A signature that cannot be read.
    #[error("the callback's signature cannot be read")]
    Malformed,
}

/// A scheme with a route's keys in place.
#[derive(Debug)]
pub(crate) enum Verifier {
    UrlParams { header: reqwest::header::HeaderName, key: Secret },
    Hmac { plan: HmacPlan, key: Secret },
    Basic { expected: Secret },
    PathToken { token: Secret },
}

impl Verifier {
    /// Puts a route's keys in place.
    pub(crate) fn new(verify: &Verify, values: &RouteValues, token: &Secret) -> Self {
        let secret = |template: &Template| Secret::new(template.bind(values).text().text);
        match verify {
            Verify::UrlParams { header, key } => Self::UrlParams { header: header.clone(), key: secret(key) },
            Verify::Hmac(plan) => Self::Hmac { plan: plan.clone(), key: secret(&plan.key) },
            Verify::Basic { user, password } => {
                let (user, password) = (secret(user), secret(password));
                let expected = Secret::new(format!("{}:{}", user.expose(), password.expose()));
                Self::Basic { expected }
            }
            Verify::PathToken => Self::PathToken { token: token.clone() },
        }
    }

    /// Believes the callback or says why not.
    pub(crate) fn verify(&self, callback: &Callback<'_>, now: Timestamp) -> Result<(), VerifyError> {
        match self {
            Self::UrlParams { header, key } => url_params::verify(header, key, callback),
            Self::Hmac { plan, key } => hmac::verify(plan, key, callback, now),
            Self::Basic { expected } => basic::verify(expected, callback),
            Self::PathToken { token } => basic::verify_token(token, callback),
        }
    }
}

/// A header's value as text.
fn header<'a>(callback: &Callback<'a>, name: &reqwest::header::HeaderName) -> Result<&'a str, VerifyError> {
    let value = callback.headers.get(name).ok_or(VerifyError::Missing)?;
    value.to_str().map(str::trim).map_err(|_| VerifyError::Malformed)
}

#[cfg(test)]
mod tests;

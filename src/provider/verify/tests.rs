//! Signatures against published vectors, and against what a forger would try.

use reqwest::header::{HeaderMap, HeaderName, HeaderValue};

use super::{Verifier, VerifyError};
use crate::model::clock::Timestamp;
use crate::provider::callback::{Callback, CallbackKind};
use crate::provider::check::check;
use crate::provider::render::RouteValues;
use crate::telemetry::Secret;

/// The schemes with published vectors stand in the cases of the definitions that use them; these are the others.
fn verified(
    verify: &str,
    headers: &[(&str, &str)],
    path_ref: Option<&str>,
    body: &str,
) -> Result<(), VerifyError> {
    let text = format!(
        "format = 1\nname = 'acme'\nsecrets.key = 'k'\n[send]\nmethod = 'POST'\nurl = 'https://acme.example/'\n\
        [send.form]\nto = '{{to}}'\ntext = '{{text}}'\n[response]\nid = '/id'\n[receipt]\nverify = {verify}\n\
        format = 'json'\nid = '/id'\nstatus = '/s'\nstates = {{ ok = 'delivered' }}\n"
    );
    let definition = check("acme.toml", &text).expect("is right");
    let mut values = RouteValues::default();
    values.secrets.insert("key".to_owned(), Secret::new("Jefe"));
    let plan = definition.receipt.expect("is there");
    let verifier = Verifier::new(&plan.verify, &values, &Secret::new("token-0123456789-abcdef"));
    let header = |(name, value): &(&str, &str)| {
        let name = HeaderName::from_bytes(name.as_bytes()).expect("a name");
        (name, HeaderValue::from_str(value).expect("a value"))
    };
    let headers: HeaderMap = headers.iter().map(header).collect();
    let (kind, url) = (CallbackKind::Receipt, "https://sms.example.com/callback/us/receipt");
    let callback = Callback { kind, method: "POST", url, path_ref, headers: &headers, body: body.as_bytes() };
    verifier.verify(&callback, Timestamp(0))
}

#[test]
fn an_hmac_over_the_body_is_the_one_of_the_standards() {
    // RFC 4231 test case 2 and RFC 2202 test case 2: key "Jefe", data "what do ya want for nothing?".
    let body = "what do ya want for nothing?";
    let sha256 = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";
    let sha1 = "effcdf6ae5eb2fa2d27416d5f184df9c259a7c79";
    let hmac = |kind: &str, more: &str| {
        format!("{{ kind = '{kind}', header = 'x-sig', key = '{{secret.key}}'{more} }}")
    };
    let check = |verify: &str, signature: &str, wanted: Result<(), VerifyError>| {
        assert_eq!(verified(verify, &[("x-sig", signature)], None, body), wanted, "{verify} {signature}");
    };
    check(&hmac("hmac-sha256", ""), sha256, Ok(()));
    check(&hmac("hmac-sha256", ""), &sha256.to_uppercase(), Ok(()));
    check(&hmac("hmac-sha256", ", prefix = 'sha256='"), &format!("sha256={sha256}"), Ok(()));
    check(&hmac("hmac-sha256", ", prefix = 'sha256='"), sha256, Err(VerifyError::Malformed));
    check(
        &hmac("hmac-sha256", ", encoding = 'base64'"),
        "W9zBRr9gdU5qBCQmCJV1x1oAPwidJzmDnexYuWTsOEM=",
        Ok(()),
    );
    check(&hmac("hmac-sha1", ""), sha1, Ok(()));
    check(&hmac("hmac-sha1", ""), sha256, Err(VerifyError::Mismatch));
    check(&hmac("hmac-sha256", ""), &sha256.replace('5', "6"), Err(VerifyError::Mismatch));
    check(&hmac("hmac-sha256", ""), &sha256[..62], Err(VerifyError::Mismatch));
    check(&hmac("hmac-sha256", ""), &sha256[..63], Err(VerifyError::Malformed));
    check(&hmac("hmac-sha256", ""), "", Err(VerifyError::Mismatch));
}

#[test]
fn user_and_password_must_both_be_right() {
    let basic = "{ kind = 'basic', user = 'winback', password = '{secret.key}' }";
    let check = |value: Option<&str>, wanted: Result<(), VerifyError>| {
        let headers: Vec<_> = value.map(|value| ("authorization", value)).into_iter().collect();
        assert_eq!(verified(basic, &headers, None, "{}"), wanted, "{value:?}");
    };
    check(Some("Basic d2luYmFjazpKZWZl"), Ok(()));
    check(Some("basic d2luYmFjazpKZWZl"), Ok(()));
    check(Some("Basic d2luYmFjazpKZWZm"), Err(VerifyError::Mismatch));
    check(Some("Bearer d2luYmFjazpKZWZl"), Err(VerifyError::Malformed));
    check(Some("Basic"), Err(VerifyError::Malformed));
    check(None, Err(VerifyError::Missing));
}

#[test]
fn a_token_in_the_address_must_be_all_of_it() {
    let check = |path_ref: Option<&str>, wanted: Result<(), VerifyError>| {
        assert_eq!(verified("{ kind = 'path-token' }", &[], path_ref, "{}"), wanted, "{path_ref:?}");
    };
    check(Some("token-0123456789-abcdef"), Ok(()));
    check(Some("token-0123456789-abcdef.k3f9-1z8"), Ok(()));
    check(Some("token-0123456789-abcde"), Err(VerifyError::Mismatch));
    check(Some("token-0123456789-abcdefg"), Err(VerifyError::Mismatch));
    check(Some("k3f9-1z8"), Err(VerifyError::Mismatch));
    check(Some(""), Err(VerifyError::Mismatch));
    check(None, Err(VerifyError::Missing));
}

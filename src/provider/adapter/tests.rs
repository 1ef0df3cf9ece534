//! A route bound to a definition: what it lacks, what it prints, and batches that are refused as a whole.

use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::http::StatusCode;
use axum::routing::post;

use super::Adapter;
use crate::model::clock::Timestamp;
use crate::model::outcome::OutcomeClass::{self, *};
use crate::provider::check::check;
use crate::provider::{Catalog, RouteSettings, Submission, Transport, TransportLimits};
use crate::telemetry::Secret;

const TOKEN: &str = "token-0123456789-abcdef";

fn settings(secrets: &[&str], given: &[(&str, &str)]) -> RouteSettings {
    RouteSettings {
        route: "us".to_owned(),
        secrets: secrets
            .iter()
            .map(|name| ((*name).to_owned(), Secret::new(format!("the-{name}"))))
            .collect(),
        settings: given.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
        allow_http: false,
        callback_token: Secret::new(TOKEN),
    }
}

fn bound(name: &str, settings: RouteSettings) -> Result<Adapter, String> {
    let definition = Catalog::builtin().get(name).expect("built in");
    Adapter::new(definition, settings)
        .map_err(|complaints| complaints.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))
}

#[test]
fn a_route_that_does_not_fit_is_told_what_is_missing() {
    let check = |name: &str, settings: RouteSettings, said: &str| {
        let complaints = bound(name, settings).expect_err("does not fit");
        assert!(complaints.contains(said), "{complaints}");
        assert!(!complaints.contains("the-"), "no secret in a complaint: {complaints}");
    };
    let kannel = &["username", "password"];
    check(
        "twilio",
        settings(&["account_sid"], &[]),
        "routes.us: secrets.auth_token is missing: primary auth token",
    );
    check(
        "twilio",
        settings(&["account_sid", "auth_tokn"], &[]),
        "twilio has no secret `auth_tokn`; did you mean `auth_token`?",
    );
    check("kannel", settings(kannel, &[]), "settings.base_url is missing: smsbox");
    check("kannel", settings(kannel, &[("base_ulr", "x")]), "did you mean `base_url`?");
    check("kannel", settings(kannel, &[("base_url", "10.0.0.5")]), "is no URL");
    check(
        "kannel",
        settings(kannel, &[("base_url", "http://10.0.0.5:13013")]),
        "plain http would show credentials",
    );
    let here = settings(kannel, &[("base_url", "http://127.0.0.1:1")]);
    check(
        "kannel",
        RouteSettings { callback_token: Secret::new("short"), ..here.clone() },
        "callback_token must have 22",
    );
    check("kannel", RouteSettings { route: "a b".to_owned(), ..here }, "a route's name is made of");
}

#[test]
fn callback_addresses_carry_what_the_definition_needs_and_no_percent_sign() {
    let check = |name: &str, settings: RouteSettings, receipt: &str, inbound: &str| {
        let adapter = bound(name, settings).expect("fits");
        let public = "https://sms.example.com/";
        assert_eq!(adapter.callback_url(public, "k3f9-1z8").as_deref(), Some(receipt));
        assert_eq!(adapter.inbound_url(public).as_deref(), Some(inbound));
    };
    let base = "https://sms.example.com/callback/us";
    let inbound = format!("{base}/inbound");
    let secret_inbound = format!("{base}/inbound/{TOKEN}");
    check(
        "twilio",
        settings(&["account_sid", "auth_token"], &[]),
        &format!("{base}/receipt/k3f9-1z8"),
        &inbound,
    );
    check("simulator", settings(&["api_key", "signing_key"], &[]), &format!("{base}/receipt"), &inbound);
    check("infobip", settings(&["api_key"], &[]), &format!("{base}/receipt/{TOKEN}"), &secret_inbound);
    let kannel = settings(&["username", "password"], &[("base_url", "http://127.0.0.1:1")]);
    check("kannel", kannel, &format!("{base}/receipt/{TOKEN}.k3f9-1z8"), &secret_inbound);
}

#[test]
fn a_printed_request_says_everything_but_secrets_and_numbers() {
    let kannel = settings(&["username", "password"], &[("base_url", "http://127.0.0.1:1")]);
    let adapter = bound("kannel", kannel).expect("fits");
    let callback_url = adapter.callback_url("https://sms.example.com", "k3f9-1z8");
    let request = adapter.request(&[Submission { callback_url, ..Submission::sample() }]);
    assert_eq!(
        request.to_string(),
        "GET http://127.0.0.1:1/cgi-bin/sendsms?charset=UTF-8&coding=0&dlr-mask=31\
        &dlr-url=[callback_url]%3Ftype%3D%25d%26id%3D%25I%26foreign%3D%25F%26ans%3D%25A\
        &from=ACME&password=[secret.password]&text=Hello&to=[phone …00]&username=[secret.username]"
    );
    assert_eq!(format!("{request:?}"), "HttpRequest(GET 127.0.0.1, 0 octets)");
    assert_eq!(format!("{:?}", Submission::sample()), "Submission(k3f9-1z8 to +…00, 1 parts)");
    let twilio = bound("twilio", settings(&["account_sid", "auth_token"], &[])).expect("fits");
    let print = twilio.request(&[Submission::sample()]).to_string();
    assert!(print.contains("authorization: Basic [secret.account_sid]:[secret.auth_token]"), "{print}");
    assert!(print.contains("/Accounts/[secret.account_sid]/Messages.json"), "{print}");
}

/// A provider that takes many messages and refuses the whole request if one of them is for a number ending in 13.
async fn picky(body: Bytes) -> (StatusCode, String) {
    let body: serde_json::Value = serde_json::from_slice(&body).expect("JSON");
    let list = body["m"].as_array().expect("an array");
    if list.iter().any(|one| one["to"].as_str().is_some_and(|to| to.ends_with("13"))) {
        return (StatusCode::BAD_REQUEST, r#"{"code":"E13"}"#.to_owned());
    }
    let ids: Vec<String> = list.iter().map(|one| format!(r#"{{"ref":{},"ok":true}}"#, one["ref"])).collect();
    (StatusCode::OK, format!(r#"{{"m":[{}]}}"#, ids.join(",")))
}

async fn sent(numbers: &[u64]) -> (bool, Vec<OutcomeClass>) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let base = format!("http://{}", listener.local_addr().expect("bound"));
    let server = tokio::spawn(async { axum::serve(listener, Router::new().route("/", post(picky))).await });
    let definition = "format = 1\nname = 'acme'\nlimits = { recipients = 100 }\n[settings.base]\n[send]\n\
        method = 'POST'\nurl = '{setting.base}/'\n[[send.json.m]]\neach = 'message'\nto = '{to}'\ntext = '{text}'\n\
        ref = '{reference}'\n[response]\ncode = '/code'\n[response.each]\nlist = '/m'\nmatch_by = 'reference'\n\
        match_at = '/ref'\n[[response.each.class]]\nat = '/ok'\nis = [true]\nas = 'accepted'\n";
    let definition = check("acme.toml", definition).expect("is right");
    let adapter = Adapter::new(Arc::new(definition), settings(&[], &[("base", &base)])).expect("fits");
    let transport = Transport::new(TransportLimits::default()).expect("builds");
    let message = |(at, number): (usize, &u64)| Submission {
        reference: format!("r{at}"),
        to: crate::model::phone::Phone::from_digits(*number).expect("a number"),
        ..Submission::sample()
    };
    let messages: Vec<_> = numbers.iter().enumerate().map(message).collect();
    let sent = adapter.submit(&transport, &messages, Timestamp(0)).await;
    server.abort();
    (sent.together, sent.outcomes.into_iter().map(|outcome| outcome.class).collect())
}

#[tokio::test]
async fn a_provider_that_cannot_be_reached_has_taken_nothing() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let base = format!("http://{}", listener.local_addr().expect("bound"));
    drop(listener);
    let adapter =
        bound("simulator", settings(&["api_key", "signing_key"], &[("base_url", &base)])).expect("fits");
    let transport = Transport::new(TransportLimits::default()).expect("builds");
    let sent = adapter.submit(&transport, &[Submission::sample()], Timestamp(0)).await;
    let [outcome] = sent.outcomes.as_slice() else { panic!("one outcome for one message") };
    assert_eq!((outcome.class, outcome.detail.as_deref()), (Unavailable, Some("the connection was refused")));
}

#[tokio::test]
async fn a_request_that_is_refused_as_a_whole_is_told_from_messages_that_are() {
    let mut numbers: Vec<u64> = (0..40).map(|n| 14_155_550_000 + 100 * n).collect();
    assert_eq!(sent(&numbers).await, (false, vec![Accepted; 40]));
    numbers[27] += 13;
    assert_eq!(sent(&numbers).await, (true, vec![BadContent; 40]), "nobody knows whom it minds");
    assert_eq!(sent(&numbers[27..28]).await, (false, vec![BadContent]), "it can only be this one");
}

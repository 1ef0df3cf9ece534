//! Every mistake a definition can have, with the place and the way out that its author is shown.

use super::check;

const GOOD: &str = r#"format = 1
name = "acme"
limits = { recipients = 1 }
[secrets]
api_key = "key"
[settings.base_url]
default = "https://acme.example"
[send]
method = "POST"
url = "{setting.base_url}/send"
auth = { kind = "bearer", token = "{secret.api_key}" }
[send.json]
to = "{to|bare}"
text = "{text}"
coding = { gsm7 = "0", ucs2 = "8" }
[response]
id = "/id"
[[response.class]]
at = "/code"
is = [1, "20..29"]
as = "opted_out"
[receipt]
verify = { kind = "hmac-sha256", header = "x-sig", key = "{secret.api_key}" }
format = "json"
id = "/id"
status = "/status"
states = { ok = "delivered" }
"#;

#[test]
fn a_sound_definition_is_taken() {
    assert_eq!(check("acme.toml", GOOD).map(|definition| definition.name).ok().as_deref(), Some("acme"));
}

/// What is replaced in the sample, by what, and what is said about it.
const MISTAKES: &[(&str, &str, &str)] = &[
    ("recipients = 1", "recipents = 1", "acme.toml:3:12: unknown field `recipents`"),
    ("recipients = 1", "recipents = 1", "did you mean `recipients`?"),
    ("format = 1", "format = 2", "acme.toml:1:1: `format`: format 2 is not known"),
    ("\"acme\"", "\"other\"", "acme.toml:2:1: `name`: is `other`, but the file is called `acme.toml`"),
    ("{to|bare}", "{too}", "acme.toml:13:1: `send.json.to`: unknown placeholder `{too}`; did you mean `to`?"),
    ("{to|bare}", "{to|baer}", "unknown filter `baer`; did you mean `bare`?"),
    ("{to|bare}", "{to|minutes}", "the filter Minutes reads a number"),
    ("{to|bare}", "{submitted}", "{submitted} exists only in `lookup.query`"),
    ("{to|bare}", "x", "acme.toml:8:2: `send`: {to} stands nowhere"),
    ("{secret.api_key}\" }\n[send", "{secret.api_kye}\" }\n[send", "did you mean `api_key`?"),
    (
        "{setting.base_url}/send",
        "{setting.url}/send",
        "setting `url` is not declared in [settings]; known are base_url",
    ),
    (
        "{setting.base_url}/send",
        "{setting.base_url}/{to}",
        "only {secret.…} and {setting.…} are allowed here",
    ),
    ("{setting.base_url}/send", "ftp://x", "must begin with https:// or with a setting"),
    ("method = \"POST\"", "method = \"GET\"", "`send.method`: GET has no body"),
    ("recipients = 1", "recipients = 9", "exactly one array must hold a table with each = \"message\""),
    ("recipients = 1", "recipients = 9", "acme.toml:14:1: `send.json.text`: depends on the message"),
    ("id = \"/id\"\n[[", "id = \"id\"\n[[", "`id` is not a JSON pointer; write /outer/inner or /list/0"),
    ("as = \"opted_out\"", "as = \"optout\"", "unknown variant `optout`"),
    ("as = \"opted_out\"", "as = \"opted_ot\"", "did you mean `opted_out`?"),
    (
        "is = [1, \"20..29\"]\n",
        "",
        "acme.toml:19:1: `response.class[0].at`: says where to look but not for what",
    ),
    ("at = \"/code\"\nis = [1, \"20..29\"]\n", "", "`response.class[0]`: has no condition"),
    ("at = \"/code\"\n", "", "`response.class[0].is`: needs `at`"),
    (
        "as = \"opted_out\"",
        "as = \"opted_out\"\nduplicate = true",
        "only an accepted message can be a duplicate",
    ),
    ("id = \"/id\"\n[[", "[[", "nothing says what an accepted message looks like"),
    ("hmac-sha256", "hmac-md5", "unknown variant `hmac-md5`"),
    ("x-sig", "x sig", "`x sig` is not a header name"),
    (
        "header = \"x-sig\"",
        "header = \"x-sig\", payload = \"{timestamp}.{body}\"",
        "`timestamp` names a header",
    ),
    ("header = \"x-sig\"", "header = \"x-sig\", payload = \"{nonce}\"", "knows {timestamp} and {body} only"),
    ("ok = \"delivered\"", "ok = \"arrived\"", "unknown variant `arrived`"),
    ("format = \"json\"", "format = \"text\"", "a callback is `json`, `form` or `query`"),
    ("states =", "reply = { status = 500 }\nstates =", "is answered with 200 to 299"),
    ("[send.json]", "[send.form]\nx = \"1\"\n[send.json]", "a request has one body"),
    (
        "recipients = 1 }",
        "recipients = 1 }\ndoubt = [\"lookup\"]",
        "`doubt`: `lookup` needs [lookup] with match_by",
    ),
    (
        "recipients = 1 }",
        "recipients = 1 }\ndoubt = [\"list\", \"lookup\"]",
        "`doubt`: each rung stands once, in the order",
    ),
    (
        "method = \"POST\"",
        "method = \"POST\"\nidempotent_by = \"reference\"\nidempotent_seconds = 60",
        "`doubt`: is missing; write doubt = [\"replay\"], or [] to ask nothing",
    ),
    (
        "method = \"POST\"",
        "method = \"POST\"\nidempotent_by = \"reference\"\nidempotent_seconds = 60",
        "`send.idempotent_by`: {reference} stands nowhere",
    ),
    (
        "method = \"POST\"",
        "method = \"POST\"\nidempotent_by = \"reference\"\nidempotent_seconds = 60\nquery = { v = \"{validity}\" }",
        "{validity} changes with time, so a repeated request would differ; say idempotent_request = \"any\"",
    ),
    ("\"{text}\"", "\"{text}\"\nn = \"{parts|number} parts\"", "needs a value that is one placeholder"),
];

#[test]
fn every_mistake_is_named_with_file_line_key_and_way_out() {
    for (from, to, said) in MISTAKES {
        let text = GOOD.replacen(from, to, 1);
        assert_ne!(text, GOOD, "{from} is in the sample");
        let complaints = check("acme.toml", &text).expect_err(to);
        let all: Vec<String> = complaints.iter().map(ToString::to_string).collect();
        assert!(all.iter().any(|line| line.contains(said)), "{to}\n  expected {said}\n  got {all:#?}");
    }
}

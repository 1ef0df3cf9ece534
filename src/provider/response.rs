//! Classifies answers: rules of the definition first, then what HTTP itself says.
//!
//! What HTTP itself says, where no rule matches:
//!
//! | status | class |
//! |---|---|
//! | 2xx with an id | accepted |
//! | 2xx without one, unreadable, or larger than the cap | garbled |
//! | 429 | throttled |
//! | 401, 402, 403 | account |
//! | 408 | unknown |
//! | other 4xx with a provider's error code | bad content: a definitive refusal that blames neither person nor route |
//! | other 4xx without one, 3xx | garbled: something that is not the provider may have answered |
//! | 5xx | unknown: it may have been taken before it failed |
//!
//! Pure: no network, no clock; the same answer always means the same.

use std::borrow::Cow;
use std::time::Duration;

use super::Submission;
use super::definition::{Each, Response};
use super::extract::{Field, Fields};
use super::format::{BodyWord, MatchBy};
use super::rule::{self, Evidence, Rule};
use super::transport::Answer;
use crate::model::clock::Timestamp;
use crate::model::outcome::{Outcome, OutcomeClass, Proof};
use crate::model::phone::Phone;

/// The shortest and the longest wait that a provider can ask for.
const RETRY_AFTER: (Duration, Duration) = (Duration::from_secs(1), Duration::from_mins(15));

/// One message's outcome, and why it is that one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judged {
    /// What became of the message.
    pub outcome: Outcome,
    /// What decided: a rule with what it matched (`response.class[3]: /code is 21610`), or a default (`http 502`).
    pub because: String,
    /// The provider refused a repeated id: it already had the message.
    pub duplicate: bool,
    /// The answer judged the request as a whole, not this message.
    pub whole: bool,
}

impl Judged {
    /// True if the provider refused a request of many messages as one, so that nobody knows which one it minds.
    pub fn refused_in_company(&self, messages: usize) -> bool {
        self.whole && messages > 1 && self.outcome.class.proof() == Proof::Refused
    }
}

/// Judges `answer` for each of `submissions`, in their order.
pub(crate) fn judge(
    response: &Response,
    answer: &Answer,
    submissions: &[Submission],
    now: Timestamp,
) -> Vec<Judged> {
    let wait = answer.retry_after.as_deref().and_then(|text| retry_after(text, now));
    let body = if answer.truncated { &[] } else { answer.body.as_slice() };
    let fields = Fields::read(response.format, body);
    let success = (200..300).contains(&answer.status);
    let each = response.each.as_ref().filter(|_| success);
    if let Some((each, list)) = each.and_then(|each| Some((each, fields.list(&each.list)?))) {
        let judged = (0..submissions.len()).map(|at| item(each, list, at, submissions, answer.status, wait));
        return judged.collect();
    }
    let judged = whole(response, answer, &fields, wait);
    vec![judged; submissions.len()]
}

fn whole(response: &Response, answer: &Answer, fields: &Fields<'_>, wait: Option<Duration>) -> Judged {
    let text = if answer.truncated { Cow::Borrowed("") } else { String::from_utf8_lossy(&answer.body) };
    let evidence = Evidence { status: Some(answer.status), body: &text, fields };
    let said = Words {
        id: response.id.as_ref().and_then(|field| field.find(fields)),
        code: response.code.as_ref().and_then(|field| field.find(fields)),
        detail: response.detail.as_ref().and_then(|field| field.find(fields)),
        wait,
    };
    let success = (200..300).contains(&answer.status);
    if success && answer.truncated {
        return said.judged(OutcomeClass::Garbled, answer.status, "the answer is too long to be read".into());
    }
    let mut judged = if let Some((at, rule)) = rule::first(&response.rules, &evidence) {
        said.by_rule(rule, answer.status, "response.class", at, &evidence)
    } else {
        let (id, code) = (said.id.is_some(), said.code.is_some());
        let (class, because) = by_status(answer.status, id, code, response.format);
        said.judged(class, answer.status, because)
    };
    judged.whole = true;
    judged
}

fn item(
    each: &Each,
    list: &[serde_json::Value],
    at: usize,
    submissions: &[Submission],
    status: u16,
    wait: Option<Duration>,
) -> Judged {
    let Some(found) = item_of(each, list, at, submissions) else {
        let outcome = Outcome::of(OutcomeClass::Unknown).because("the answer does not mention this message");
        let because = format!("no item of {} is this message", each.list);
        return Judged { outcome, because, duplicate: false, whole: false };
    };
    let fields = Fields::item(found);
    let evidence = Evidence { status: Some(status), body: "", fields: &fields };
    let said = Words {
        id: each.id.as_ref().and_then(|field| field.find(&fields)),
        code: each.code.as_ref().and_then(|field| field.find(&fields)),
        detail: each.detail.as_ref().and_then(|field| field.find(&fields)),
        wait,
    };
    match rule::first(&each.rules, &evidence) {
        Some((at, rule)) => said.by_rule(rule, status, "response.each.class", at, &evidence),
        None => said.judged(OutcomeClass::Garbled, status, "no class of response.each matches".into()),
    }
}

/// The item about the message at `at`. The second of two messages to one number gets the second item of that number;
/// a list that is not as long as the request cannot be matched by place.
fn item_of<'l>(
    each: &Each,
    list: &'l [serde_json::Value],
    at: usize,
    submissions: &[Submission],
) -> Option<&'l serde_json::Value> {
    let field = each.match_at.as_deref().map(Field::at);
    let value = |item: &&serde_json::Value| field.as_ref()?.find(&Fields::item(item)).map(Cow::into_owned);
    let Submission { reference, to, .. } = &submissions[at];
    match each.match_by {
        MatchBy::Index => list.get(at).filter(|_| list.len() == submissions.len()),
        MatchBy::Reference => list.iter().find(|item| value(item).as_ref() == Some(reference)),
        MatchBy::To => {
            let earlier = submissions[..at].iter().filter(|other| other.to == *to).count();
            let number = |found: String| Phone::from_e164(&found);
            list.iter().filter(|item| value(item).and_then(number) == Some(*to)).nth(earlier)
        }
    }
}

/// What an answer or an item says about a message.
struct Words<'a> {
    id: Option<Cow<'a, str>>,
    code: Option<Cow<'a, str>>,
    detail: Option<Cow<'a, str>>,
    wait: Option<Duration>,
}

impl Words<'_> {
    fn by_rule(
        self,
        rule: &Rule<OutcomeClass>,
        status: u16,
        place: &str,
        at: usize,
        evidence: &Evidence<'_, '_>,
    ) -> Judged {
        let because = format!("{place}[{at}]: {}", rule.describe(evidence));
        let mut judged = self.judged(rule.meaning, status, because);
        judged.duplicate = rule.duplicate;
        if rule.why.is_some() {
            judged.outcome.detail.clone_from(&rule.why);
        } else if rule.duplicate {
            judged.outcome.detail = Some("the provider already had it".to_owned());
        }
        judged
    }

    fn judged(self, class: OutcomeClass, status: u16, because: String) -> Judged {
        let accepted = class == OutcomeClass::Accepted;
        let code = self.code.map(Cow::into_owned);
        let code = if accepted { code } else { code.or_else(|| Some(format!("http {status}"))) };
        let outcome = Outcome {
            class,
            provider_id: self.id.filter(|_| accepted).map(Cow::into_owned),
            code,
            detail: self.detail.filter(|_| !accepted).map(|text| without_numbers(&text)),
            retry_after: self.wait.filter(|_| class.proof() == Proof::NotSent),
        };
        Judged { outcome, because, duplicate: false, whole: false }
    }
}

fn by_status(status: u16, id: bool, code: bool, format: BodyWord) -> (OutcomeClass, String) {
    let class = match status {
        200..=299 if id => OutcomeClass::Accepted,
        429 => OutcomeClass::Throttled,
        401..=403 => OutcomeClass::Account,
        408 | 500..=599 => OutcomeClass::Unknown,
        400..=499 if code => OutcomeClass::BadContent,
        _ => OutcomeClass::Garbled,
    };
    let what = match class {
        OutcomeClass::Accepted => " with an id",
        OutcomeClass::BadContent => " with a provider's error code",
        OutcomeClass::Garbled if format == BodyWord::Text => " with a text that no class knows",
        OutcomeClass::Garbled if status < 300 => " without an id",
        OutcomeClass::Garbled => " without a provider's error code",
        _ => "",
    };
    (class, format!("http {status}{what}"))
}

/// `Retry-After`, in seconds or as an HTTP date, clamped.
fn retry_after(text: &str, now: Timestamp) -> Option<Duration> {
    let text = text.trim();
    let wait = if let Ok(seconds) = text.parse() {
        Duration::from_secs(seconds)
    } else {
        let at = jiff::fmt::rfc2822::parse(text).ok()?;
        Timestamp::from(at.timestamp()).since(now)
    };
    Some(wait.clamp(RETRY_AFTER.0, RETRY_AFTER.1))
}

/// A provider's words, at most 200 characters, with everything that could be a phone number masked:
/// seven or more digits, whatever spaces, dots, dashes and brackets stand between them.
pub(crate) fn without_numbers(text: &str) -> String {
    let mut out = String::new();
    let mut run = String::new();
    let mut digits = 0;
    let flush = |run: &mut String, digits: &mut usize, out: &mut String| {
        if *digits >= 7 {
            out.push('…');
            out.push_str(&run[run.trim_end_matches(|c: char| !c.is_ascii_digit()).len()..]);
        } else {
            out.push_str(run);
        }
        run.clear();
        *digits = 0;
    };
    for c in text.chars().filter(|c| !c.is_control()).take(200) {
        let digit = c.is_ascii_digit();
        if digit || c == '+' || (digits > 0 && matches!(c, ' ' | '.' | '-' | '(' | ')')) {
            run.push(c);
            digits += usize::from(digit);
        } else {
            flush(&mut run, &mut digits, &mut out);
            out.push(c);
        }
    }
    flush(&mut run, &mut digits, &mut out);
    out
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Answer, judge, retry_after, without_numbers};
    use crate::model::clock::Timestamp;
    use crate::model::outcome::OutcomeClass::{self, *};
    use crate::provider::Submission;
    use crate::provider::check::check;

    const NOW: Timestamp = Timestamp(1_790_848_800_000);

    fn classes(definition: &str, answer: &Answer, submissions: &[Submission]) -> Vec<OutcomeClass> {
        let head = "format = 1\nname = 'acme'\n[send]\nmethod = 'POST'\nurl = 'https://acme.example/'\n\
            [send.form]\nto = '{to}'\ntext = '{text}'\n";
        let definition = check("acme.toml", &format!("{head}{definition}")).expect("is right");
        let judged = judge(&definition.response, answer, submissions, NOW);
        judged.iter().map(|one| one.outcome.class).collect()
    }

    fn answer(status: u16, body: &str) -> Answer {
        Answer { status, body: body.as_bytes().to_vec(), ..Answer::default() }
    }

    #[test]
    fn without_a_rule_the_http_status_decides_and_doubt_stays_doubt() {
        let check = |status: u16, body: &str, class: OutcomeClass| {
            let definition = "[response]\nid = '/id'\ncode = '/code'\n";
            let got = classes(definition, &answer(status, body), &[Submission::sample()]);
            assert_eq!(got, [class], "{status} {body}");
        };
        check(200, r#"{"id":"m1"}"#, Accepted);
        check(201, r#"{"id":7}"#, Accepted);
        check(200, r#"{"id":""}"#, Garbled);
        check(200, r#"{"ok":true}"#, Garbled);
        check(200, "<html>", Garbled);
        check(204, "", Garbled);
        check(302, "", Garbled);
        check(400, r#"{"code":"E1"}"#, BadContent);
        check(400, r#"{"id":"m1"}"#, Garbled);
        check(400, "<html>", Garbled);
        check(404, "not here", Garbled);
        check(401, "", Account);
        check(402, "", Account);
        check(403, "<html>", Account);
        check(408, r#"{"code":"E1"}"#, Unknown);
        check(429, "", Throttled);
        check(500, r#"{"code":"E1"}"#, Unknown);
        check(502, "", Unknown);
        check(503, "", Unknown);
        check(504, r#"{"id":"m1"}"#, Unknown);
    }

    #[test]
    fn the_first_rule_that_matches_wins_over_the_http_status() {
        let definition = "[response]\nid = '/id'\n\
            [[response.class]]\nhttp = ['500..599']\nat = '/error'\nis = ['busy']\nas = 'unavailable'\n\
            [[response.class]]\nat = '/error'\nis = ['busy', 'stop']\nas = 'opted_out'\n\
            [[response.class]]\ncontains = 'weird'\nas = 'account'\n";
        let check = |status: u16, body: &str, class: OutcomeClass| {
            let got = classes(definition, &answer(status, body), &[Submission::sample()]);
            assert_eq!(got, [class], "{status} {body}");
        };
        check(503, r#"{"error":"busy"}"#, Unavailable);
        check(200, r#"{"error":"busy","id":"1"}"#, OptedOut);
        check(200, r#"{"error":"stop","id":"1"}"#, OptedOut);
        check(200, "weird", Account);
        check(200, r#"{"id":"1"}"#, Accepted);
    }

    #[test]
    fn an_answer_over_the_cap_is_in_doubt_whatever_its_beginning_says() {
        let definition = "[response]\nid = '/id'\n[[response.class]]\ncontains = 'id'\nas = 'accepted'\n";
        let cut = Answer { truncated: true, ..answer(200, r#"{"id":"1"}"#) };
        assert_eq!(classes(definition, &cut, &[Submission::sample()]), [Garbled]);
    }

    #[test]
    fn each_message_of_a_request_gets_its_own_class() {
        let many: Vec<Submission> =
            (0..4_u64).map(|n| Submission { reference: format!("r{n}"), ..Submission::sample() }).collect();
        let definition = "[response]\nid = '/id'\n[response.each]\nlist = '/list'\nmatch_by = 'reference'\n\
            match_at = '/ref'\n[[response.each.class]]\nat = '/ok'\nis = [true]\nas = 'accepted'\n\
            [[response.each.class]]\nat = '/ok'\nis = ['no']\nas = 'bad_recipient'\n";
        let body = r#"{"list":[{"ref":"r2","ok":"no"},{"ref":"r0","ok":true},{"ref":"r3","ok":"?"}]}"#;
        assert_eq!(
            classes(definition, &answer(200, body), &many),
            [Accepted, Unknown, BadRecipient, Garbled]
        );
        assert_eq!(classes(definition, &answer(200, "{}"), &many), [Garbled; 4]);
        assert_eq!(classes(definition, &answer(429, body), &many), [Throttled; 4]);
        let by_to = definition.replace("match_by = 'reference'", "match_by = 'to'").replace("/ref", "/to");
        let body = r#"{"list":[{"to":"14155550100","ok":true}]}"#;
        assert_eq!(classes(&by_to, &answer(200, body), &many[..1]), [Accepted]);
        assert_eq!(classes(&by_to, &answer(200, body), &many[..2]), [Accepted, Unknown]);
        let by_index = definition
            .replace("match_by = 'reference'", "match_by = 'index'")
            .replace("match_at = '/ref'\n", "");
        assert_eq!(
            classes(&by_index, &answer(200, r#"{"list":[{"ok":"no"},{"ok":true}]}"#), &many[..3]),
            [Unknown; 3],
            "a list of another length says nothing about anybody"
        );
        assert_eq!(
            classes(&by_index, &answer(200, r#"{"list":[{"ok":"no"},{"ok":true}]}"#), &many[..2]),
            [BadRecipient, Accepted]
        );
    }

    #[test]
    fn a_wish_to_wait_is_read_as_seconds_or_date_and_clamped() {
        let check = |text: &str, seconds: Option<u64>| {
            assert_eq!(retry_after(text, NOW), seconds.map(Duration::from_secs), "{text}");
        };
        check("7", Some(7));
        check(" 30 ", Some(30));
        check("0", Some(1));
        check("999999", Some(900));
        check("Thu, 01 Oct 2026 10:01:00 GMT", Some(60));
        check("Thu, 01 Oct 2026 09:00:00 GMT", Some(1));
        check("soon", None);
        check("-5", None);
    }

    #[test]
    fn a_providers_words_are_kept_without_phone_numbers() {
        let check = |text: &str, kept: &str| assert_eq!(without_numbers(text), kept);
        check("The 'To' number +14155550100 is not valid.", "The 'To' number … is not valid.");
        check("to (415) 555-0100 failed, code 30007", "to (… failed, code 30007");
        check("error 21211 at 12:30", "error 21211 at 12:30");
    }
}

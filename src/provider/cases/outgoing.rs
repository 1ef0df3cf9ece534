//! Cases about what leaves: requests, the prints of them, answers and look-ups.

use std::collections::BTreeMap;

use super::format::{AnswerCase, Expectation, FoundCase, LookupCase, MessageCase, OutcomeCase, RequestCase};
use super::{Run, submission};
use crate::model::clock::Timestamp;
use crate::model::outcome::OutcomeClass;
use crate::provider::filter::percent;
use crate::provider::{Answer, HttpRequest, Submission};

impl Run<'_> {
    pub(super) fn request(&mut self, case: &RequestCase) {
        let name = format!("request {:?}", case.name);
        self.report.ran += 1;
        let Some(submissions) = self.submissions(&name, &case.messages) else { return };
        let request = self.adapter.request(&submissions);
        self.compare(&name, &request, &case.expect);
        self.masked(&name, &request, &submissions);
    }

    pub(super) fn answer(&mut self, case: &AnswerCase) {
        let name = format!("answer {:?}", case.name);
        self.report.ran += 1;
        let one = [MessageCase::default()];
        let messages = if case.messages.is_empty() { &one[..] } else { &case.messages };
        let Some(submissions) = self.submissions(&name, messages) else { return };
        let answer = Answer {
            status: case.status,
            retry_after: case.retry_after.clone(),
            body: case.body.clone().into_bytes(),
            truncated: false,
        };
        let judged = self.adapter.judge(&answer, &submissions, Timestamp(0));
        self.expect(&name, "the number of outcomes", &judged.len(), &case.expect.len());
        for (judged, wanted) in judged.iter().zip(&case.expect) {
            let place = judged.because.split(':').next().unwrap_or("");
            self.used.insert(place.to_owned());
            let OutcomeCase { class, id, code, retry_after_seconds, duplicate } = wanted;
            let outcome = &judged.outcome;
            let what = format!("the class by {}", judged.because);
            self.expect(&name, &what, &outcome.class.as_str(), &class.as_str());
            self.expect(&name, "the id", &outcome.provider_id, id);
            if code.is_some() {
                self.expect(&name, "the code", &outcome.code, code);
            }
            let wait = outcome.retry_after.map(|wait| wait.as_secs());
            self.expect(&name, "the wait", &wait, retry_after_seconds);
            self.expect(&name, "the duplicate flag", &judged.duplicate, duplicate);
            if case.repeated && outcome.class != OutcomeClass::Accepted {
                self.fail(&name, "a repeated submission that the provider has must be read as accepted");
            }
        }
    }

    pub(super) fn lookup(&mut self, case: &LookupCase) {
        let name = format!("lookup {:?}", case.name);
        self.report.ran += 1;
        let Some(submissions) = self.submissions(&name, std::slice::from_ref(&case.message)) else { return };
        let Ok(submitted) = Timestamp::parse(&case.submitted) else {
            return self.fail(&name, "`submitted` is not RFC 3339");
        };
        let Some(request) = self.adapter.lookup_request(&submissions[0], submitted) else {
            return self.fail(&name, "the definition has no [lookup]");
        };
        if let Some(expect) = &case.expect {
            self.compare(&name, &request, expect);
        }
        self.masked(&name, &request, &submissions);
        let body = case.body.clone().into_bytes();
        let answer = Answer { status: case.status, body, ..Answer::default() };
        let found = self.adapter.lookup_answer(&answer, &submissions[0], submitted);
        let found = found.ok().map(|found| {
            let plain = found.into_iter().map(|one| FoundCase { id: one.provider_id, state: one.delivery });
            plain.collect::<Vec<_>>()
        });
        self.expect(&name, "what was found", &found, &case.found);
    }

    fn submissions(&mut self, name: &str, cases: &[MessageCase]) -> Option<Vec<Submission>> {
        match cases.iter().map(submission).collect::<Result<Vec<_>, _>>() {
            Ok(submissions) if !submissions.is_empty() => Some(submissions),
            Ok(_) => {
                self.fail(name, "has no message");
                None
            }
            Err(problem) => {
                self.fail(name, problem);
                None
            }
        }
    }

    fn compare(&mut self, name: &str, request: &HttpRequest, wanted: &Expectation) {
        let url = request.url();
        let mut bare = url.clone();
        bare.set_query(None);
        self.expect(name, "the method", &request.method().as_str(), &wanted.method.as_str());
        self.expect(name, "the URL", &bare.as_str(), &wanted.url.as_str());
        let query = decoded(url.query().unwrap_or(""));
        match &wanted.raw_query {
            Some(raw) => self.expect(name, "the raw query", &url.query().unwrap_or(""), &raw.as_str()),
            None => self.expect(name, "the query", &query, &wanted.query),
        }
        let headers = request.headers();
        for (header, value) in &wanted.headers {
            let got = headers.get(header).and_then(|value| value.to_str().ok());
            self.expect(name, header, &got, &Some(value.as_str()));
        }
        match &wanted.json {
            Some(json) => {
                let read = |text: &str| serde_json::from_str::<serde_json::Value>(text).ok();
                let (got, expected) = (read(request.body()), read(json));
                if got.is_none() || got != expected {
                    self.fail(name, format!("the body is {}, expected {json}", request.body()));
                }
            }
            None => self.expect(name, "the form", &decoded(request.body()), &wanted.form),
        }
    }

    /// No print shows a secret, in any form it takes on the wire, or a whole phone number.
    fn masked(&mut self, name: &str, request: &HttpRequest, submissions: &[Submission]) {
        let prints = format!("{request}\n{request:?}");
        let mut hidden: Vec<(String, String)> = Vec::new();
        for (secret, value) in &self.route.secrets {
            let mut encoded = String::new();
            percent(value, &mut encoded);
            hidden.push((secret.clone(), value.clone()));
            hidden.push((secret.clone(), encoded));
        }
        hidden.push(("callback_token".to_owned(), self.route.callback_token.clone()));
        for submission in submissions {
            hidden.push(("phone number".to_owned(), submission.to.digits().to_string()));
        }
        for header in request.headers().values().filter(|value| value.is_sensitive()) {
            hidden.push(("header".to_owned(), header.to_str().unwrap_or("").to_owned()));
        }
        for (what, value) in hidden {
            if !value.is_empty() && prints.contains(&value) {
                self.fail(name, format!("the masked print shows the {what}"));
            }
        }
    }
}

fn decoded(pairs: &str) -> BTreeMap<String, String> {
    form_urlencoded::parse(pairs.as_bytes()).into_owned().collect()
}

//! A definition bound to one route: everything that dispatch and the callback pages ask of a provider.
//!
//! It holds no state that changes: two adapters of the same route answer alike.

use std::sync::Arc;

use super::callback::{self, Callback, CallbackError, CallbackKind, Reply, Used};
use super::complaint::{Complaint, hint};
use super::definition::{Body, Definition, Verify};
use super::format::{AddressWord, ReplyFile};
use super::lookup::{self, Found, LookupError};
use super::render::RouteValues;
use super::request::{HttpRequest, Plan, PlanSource};
use super::response::{self, Judged};
use super::transport::{Answer, Exchange, Transport};
use super::verify::{Verifier, VerifyError};
use super::{RouteSettings, Submission};
use crate::model::clock::Timestamp;
use crate::model::outcome::{Outcome, OutcomeClass};
use crate::model::receipt::{Inbound, Receipt};
use crate::telemetry::Secret;

/// What became of the messages of one request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sent {
    /// What became of each, in their order.
    pub outcomes: Vec<Outcome>,
    /// True if the provider refused them as one without saying which it minds: none of them was sent, and fewer of them
    /// in a request may pass.
    pub together: bool,
}

/// A definition bound to one route.
#[derive(Debug)]
pub struct Adapter {
    definition: Arc<Definition>,
    route: String,
    token: Secret,
    send: Plan,
    lookup: Option<Plan>,
    receipt: Option<Verifier>,
    inbound: Option<Verifier>,
}

impl Adapter {
    /// Binds `definition` to a route.
    ///
    /// # Errors
    /// Every secret or setting that is missing, unknown or unfit.
    pub fn new(definition: Arc<Definition>, settings: RouteSettings) -> Result<Self, Vec<Complaint>> {
        let mut problems = missing(&definition, &settings);
        problems.extend(unfit(&definition, &settings));
        let RouteSettings { route, secrets, settings, allow_http, callback_token } = settings;
        let file = format!("routes.{route}");
        let complaints =
            |list: Vec<String>| list.into_iter().map(|problem| Complaint::whole(&*file, problem)).collect();
        if !problems.is_empty() {
            return Err(complaints(problems));
        }
        let mut values = RouteValues { secrets, settings };
        for (name, setting) in &definition.settings {
            let default = setting.default.clone().unwrap_or_default();
            values.settings.entry(name.clone()).or_insert(default);
        }
        let plan = |source: &PlanSource<'_>| Plan::new(source, &values, allow_http);
        let send = plan(&send_source(&definition)).map_err(|problem| complaints(vec![problem]))?;
        let lookup = lookup_source(&definition).map(|source| plan(&source)).transpose();
        let lookup = lookup.map_err(|problem| complaints(vec![problem]))?;
        let verifier = |verify: &Verify| Verifier::new(verify, &values, &callback_token);
        let receipt = definition.receipt.as_ref().map(|receipt| verifier(&receipt.verify));
        let inbound = definition.inbound.as_ref().map(|inbound| verifier(&inbound.verify));
        Ok(Self { definition, route, token: callback_token, send, lookup, receipt, inbound })
    }

    /// The definition it is bound to.
    pub fn definition(&self) -> &Definition {
        &self.definition
    }

    /// How many messages one request can carry.
    pub fn recipients_per_request(&self) -> usize {
        usize::from(self.definition.limits.recipients)
    }

    /// The request that submits `submissions`: at least one, at most [`Adapter::recipients_per_request`].
    pub fn request(&self, submissions: &[Submission]) -> HttpRequest {
        self.send.request(submissions, None, self.shown_token())
    }

    /// What `answer` means for each of `submissions`, in their order.
    pub fn classify(&self, answer: &Answer, submissions: &[Submission], now: Timestamp) -> Vec<Outcome> {
        self.judge(answer, submissions, now).into_iter().map(|judged| judged.outcome).collect()
    }

    /// The same, and which rule decided.
    pub fn judge(&self, answer: &Answer, submissions: &[Submission], now: Timestamp) -> Vec<Judged> {
        response::judge(&self.definition.response, answer, submissions, now)
    }

    /// Sends `submissions` in one request. `now` reads `Retry-After` dates.
    ///
    /// It never sends a second one: whether a part of what was refused may still go is for the caller, who knows its
    /// deadline, its limits, and who has opted out meanwhile.
    pub async fn submit(&self, transport: &Transport, submissions: &[Submission], now: Timestamp) -> Sent {
        let judged = self.exchange(transport, submissions, now).await;
        let together = judged.iter().all(|one| one.refused_in_company(submissions.len()));
        Sent { outcomes: judged.into_iter().map(|one| one.outcome).collect(), together }
    }

    async fn exchange(&self, transport: &Transport, part: &[Submission], now: Timestamp) -> Vec<Judged> {
        let all = |class: OutcomeClass, why: &str| {
            let outcome = Outcome::of(class).because(why);
            let because = why.to_owned();
            vec![Judged { outcome, because, duplicate: false, whole: false }; part.len()]
        };
        match transport.send(self.request(part)).await {
            Exchange::Answer(answer) => self.judge(&answer, part, now),
            Exchange::NotSent(why) => all(OutcomeClass::Unavailable, why),
            Exchange::Unknown(why) => all(OutcomeClass::Unknown, why),
        }
    }

    /// Asks whether the provider took `submission`; answers its messages that could be that one.
    ///
    /// # Errors
    /// Why there is no answer.
    pub async fn look_up(
        &self,
        transport: &Transport,
        submission: &Submission,
        submitted: Timestamp,
    ) -> Result<Vec<Found>, LookupError> {
        let request = self.lookup_request(submission, submitted).ok_or(LookupError::NotOffered)?;
        match transport.send(request).await {
            Exchange::Answer(answer) => self.lookup_answer(&answer, submission, submitted),
            Exchange::NotSent(why) | Exchange::Unknown(why) => Err(LookupError::NoAnswer(why)),
        }
    }

    /// The request that asks whether the provider took `submission`; none if it offers no look-up.
    pub fn lookup_request(&self, submission: &Submission, submitted: Timestamp) -> Option<HttpRequest> {
        let submitted = submitted.minus(lookup::SLACK_BEFORE);
        let one = std::slice::from_ref(submission);
        Some(self.lookup.as_ref()?.request(one, Some(submitted), self.shown_token()))
    }

    /// The provider's messages that could be `submission`.
    ///
    /// # Errors
    /// When the answer says nothing, so that the question has to be asked again.
    pub fn lookup_answer(
        &self,
        answer: &Answer,
        submission: &Submission,
        submitted: Timestamp,
    ) -> Result<Vec<Found>, LookupError> {
        lookup::found(&self.definition, answer, submission, submitted)
    }

    /// Whether the provider itself made this call.
    ///
    /// # Errors
    /// Why it is not believed. A definition that does not read this kind believes nobody.
    pub fn verify(&self, callback: &Callback<'_>, now: Timestamp) -> Result<(), VerifyError> {
        let verifier = match callback.kind {
            CallbackKind::Receipt => self.receipt.as_ref(),
            CallbackKind::Inbound => self.inbound.as_ref(),
        };
        verifier.ok_or(VerifyError::Missing)?.verify(callback, now)
    }

    /// The receipts in a verified call; one whose status nobody translates has the state `none`.
    ///
    /// # Errors
    /// When the body is not what the definition says.
    pub fn receipts(&self, callback: &Callback<'_>) -> Result<Vec<Receipt>, CallbackError> {
        Ok(self.receipts_used(callback)?.into_iter().map(|(receipt, _)| receipt).collect())
    }

    pub(crate) fn receipts_used(
        &self,
        callback: &Callback<'_>,
    ) -> Result<Vec<(Receipt, Used)>, CallbackError> {
        callback::receipts(&self.definition, callback)
    }

    /// The texts from customers in a verified call.
    ///
    /// # Errors
    /// When the body is not what the definition says.
    pub fn inbound(&self, callback: &Callback<'_>) -> Result<Vec<Inbound>, CallbackError> {
        callback::inbound(&self.definition, callback)
    }

    /// What to answer once a call is stored.
    pub fn reply(&self, kind: CallbackKind) -> Reply {
        let reply = match kind {
            CallbackKind::Receipt => self.definition.receipt.as_ref().map(|plan| plan.reply.clone()),
            CallbackKind::Inbound => self.definition.inbound.as_ref().map(|plan| plan.reply.clone()),
        };
        let ReplyFile { status, content_type, body } = reply.unwrap_or_default();
        Reply { status, content_type, body }
    }

    /// Where the provider shall report on the message with this reference; none if its definition reads no receipts.
    /// Holds unreserved characters only after `public_url`, so that gateways which expand `%` leave it alone.
    pub fn callback_url(&self, public_url: &str, reference: &str) -> Option<String> {
        let plan = self.definition.receipt.as_ref()?;
        let base = format!("{}/callback/{}/receipt", public_url.trim_end_matches('/'), self.route);
        let token = self.token.expose();
        Some(match (&plan.verify, plan.address) {
            (Verify::PathToken, AddressWord::Message) => format!("{base}/{token}.{reference}"),
            (Verify::PathToken, AddressWord::Route) => format!("{base}/{token}"),
            (_, AddressWord::Message) => format!("{base}/{reference}"),
            (_, AddressWord::Route) => base,
        })
    }

    /// Where the provider shall deliver texts from customers, for its console; none if the definition reads none.
    pub fn inbound_url(&self, public_url: &str) -> Option<String> {
        let plan = self.definition.inbound.as_ref()?;
        let base = format!("{}/callback/{}/inbound", public_url.trim_end_matches('/'), self.route);
        let by_token = matches!(plan.verify, Verify::PathToken);
        Some(if by_token { format!("{base}/{}", self.token.expose()) } else { base })
    }

    /// An address of this route for people: the token, if it holds one, is masked.
    pub fn without_token(&self, address: &str) -> String {
        match self.shown_token() {
            "" => address.to_owned(),
            token => address.replace(token, "[token]"),
        }
    }

    /// The token, where addresses hold it, so that prints mask them.
    fn shown_token(&self) -> &str {
        if uses_token(&self.definition) { self.token.expose() } else { "" }
    }
}

fn send_source(definition: &Definition) -> PlanSource<'_> {
    let send = &definition.send;
    PlanSource {
        method: &send.method,
        url: &send.url,
        auth: send.auth.as_ref(),
        headers: &send.headers,
        query: &send.query,
        body: &send.body,
    }
}

fn lookup_source(definition: &Definition) -> Option<PlanSource<'_>> {
    let lookup = definition.lookup.as_ref()?;
    Some(PlanSource {
        method: &lookup.method,
        url: &lookup.url,
        auth: definition.send.auth.as_ref(),
        headers: &[],
        query: &lookup.query,
        body: &Body::None,
    })
}

fn uses_token(definition: &Definition) -> bool {
    let receipt = definition.receipt.as_ref().map(|plan| &plan.verify);
    let inbound = definition.inbound.as_ref().map(|plan| &plan.verify);
    receipt.into_iter().chain(inbound).any(|verify| matches!(verify, Verify::PathToken))
}

fn missing(definition: &Definition, route: &RouteSettings) -> Vec<String> {
    let mut problems = Vec::new();
    for (name, about) in &definition.secrets {
        if route.secrets.get(name).is_none_or(|secret| secret.expose().is_empty()) {
            problems.push(format!("secrets.{name} is missing: {about}"));
        }
    }
    for (name, setting) in &definition.settings {
        if setting.default.is_none() && !route.settings.contains_key(name) {
            problems.push(format!("settings.{name} is missing: {}", setting.about));
        }
    }
    for name in route.secrets.keys().filter(|name| !definition.secrets.contains_key(*name)) {
        let known = definition.secrets.keys().map(String::as_str);
        problems.push(format!("{} has no secret `{name}`{}", definition.name, hint(name, known)));
    }
    for name in route.settings.keys().filter(|name| !definition.settings.contains_key(*name)) {
        let known = definition.settings.keys().map(String::as_str);
        problems.push(format!("{} has no setting `{name}`{}", definition.name, hint(name, known)));
    }
    problems
}

fn unfit(definition: &Definition, route: &RouteSettings) -> Vec<String> {
    let mut problems = Vec::new();
    let safe = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '_');
    if route.route.is_empty() || !route.route.chars().all(safe) {
        problems.push("a route's name is made of lower-case letters, digits, `-` and `_`".to_owned());
    }
    let token = route.callback_token.expose();
    let fit = token.len() >= 22 && token.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_'));
    if uses_token(definition) && !fit {
        let problem = "callback_token must have 22 or more letters, digits, `-` and `_`: it is all that guards the callbacks";
        problems.push(problem.to_owned());
    }
    problems
}

#[cfg(test)]
mod tests;

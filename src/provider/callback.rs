//! Reads what providers call us with: receipts and texts from customers, one or many in a call.
//!
//! It trusts nothing it has not been told to verify first, never fails on one odd item among good ones, and stores nothing.

use std::borrow::Cow;

use reqwest::header::HeaderMap;

use super::definition::{Definition, InboundPlan, ReceiptPlan, Verify};
use super::extract::{Field, Fields};
use super::format::{AddressWord, BodyWord};
use super::rule::{self, Evidence};
use crate::model::delivery::Delivery;
use crate::model::phone::Phone;
use crate::model::receipt::{Inbound, Receipt};

/// What a callback is about, known from the address that was called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallbackKind {
    /// Delivery receipts.
    Receipt,
    /// Texts from customers.
    Inbound,
}

/// One call from a provider, raw.
#[derive(Clone, Copy)]
pub struct Callback<'a> {
    /// What it is about.
    pub kind: CallbackKind,
    /// The HTTP method.
    pub method: &'a str,
    /// The external URL exactly as the provider called it, query included; rebuilt from our configuration.
    pub url: &'a str,
    /// The path segment after `receipt/` or `inbound/`, percent-decoded.
    pub path_ref: Option<&'a str>,
    /// The headers.
    pub headers: &'a HeaderMap,
    /// The body as it came.
    pub body: &'a [u8],
}

impl std::fmt::Debug for Callback<'_> {
    /// Addresses can hold a token and bodies hold numbers, so neither is shown.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Callback({:?} by {}, {} octets)", self.kind, self.method, self.body.len())
    }
}

/// What we answer to a callback once it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// HTTP status.
    pub status: u16,
    /// Content type; none for an empty body.
    pub content_type: Option<String>,
    /// Body.
    pub body: String,
}

/// Why a verified callback could not be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CallbackError {
    /// The definition does not read this kind.
    #[error("the provider's definition does not read {0}")]
    NotRead(&'static str),
    /// The body is not what the definition says.
    #[error("the body is not {0}")]
    Malformed(&'static str),
    /// Not one item in it holds the fields that are needed.
    #[error("not one item has `{0}`")]
    Missing(&'static str),
}

/// Which entry of a definition an item made use of; the runner of cases wants all of them used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Used {
    State(usize),
    Refine(usize),
    Nothing,
}

/// The receipts in a callback, each with the entry that translated it.
pub(crate) fn receipts(
    definition: &Definition,
    callback: &Callback<'_>,
) -> Result<Vec<(Receipt, Used)>, CallbackError> {
    let plan = definition.receipt.as_ref().ok_or(CallbackError::NotRead("receipts"))?;
    let from_path = path_reference(plan, callback.path_ref);
    let source = Source::of(plan.format, callback)?;
    let items = source.items(plan.each.as_deref())?;
    let read = items.iter().filter_map(|item| receipt(plan, item, from_path));
    let read: Vec<_> = read.collect();
    if read.is_empty() && !items.is_empty() {
        return Err(CallbackError::Missing("id or reference, and status"));
    }
    Ok(read)
}

/// The texts in a callback.
pub(crate) fn inbound(
    definition: &Definition,
    callback: &Callback<'_>,
) -> Result<Vec<Inbound>, CallbackError> {
    let plan = definition.inbound.as_ref().ok_or(CallbackError::NotRead("texts from customers"))?;
    let source = Source::of(plan.format, callback)?;
    let items = source.items(plan.each.as_deref())?;
    let read: Vec<_> = items.iter().filter_map(|item| text(plan, item)).collect();
    if read.is_empty() && !items.is_empty() {
        return Err(CallbackError::Missing("a sender's number"));
    }
    Ok(read)
}

/// Our reference in the address of one message: all of the last segment, or what follows the token in it.
fn path_reference<'a>(plan: &ReceiptPlan, path_ref: Option<&'a str>) -> Option<&'a str> {
    let reference = match (plan.address, &plan.verify) {
        (AddressWord::Route, _) => return None,
        (AddressWord::Message, Verify::PathToken) => path_ref?.split_once('.')?.1,
        (AddressWord::Message, _) => path_ref?,
    };
    (!reference.is_empty()).then_some(reference)
}

fn receipt(plan: &ReceiptPlan, item: &Fields<'_>, from_path: Option<&str>) -> Option<(Receipt, Used)> {
    let value =
        |field: &Option<Field>| field.as_ref().and_then(|field| field.find(item)).map(Cow::into_owned);
    let reference = value(&plan.reference).or_else(|| from_path.map(str::to_owned));
    let provider_id = value(&plan.id);
    let status = plan.status.find(item)?.into_owned();
    if reference.is_none() && provider_id.is_none() {
        return None;
    }
    let evidence = Evidence { status: None, body: "", fields: item };
    let (state, used) = match (rule::first(&plan.refine, &evidence), plan.states.read(&status)) {
        (Some((at, rule)), _) => (rule.meaning, Used::Refine(at)),
        (None, Some((at, state))) => (state, Used::State(at)),
        (None, None) => (Delivery::None, Used::Nothing),
    };
    let code = value(&plan.code);
    let opted_out = code.as_deref().is_some_and(|code| plan.opted_out.iter().any(|one| one.is(code)));
    Some((Receipt { reference, provider_id, state, status, code, opted_out }, used))
}

fn text(plan: &InboundPlan, item: &Fields<'_>) -> Option<Inbound> {
    let value = |field: &Field| field.find(item).map(Cow::into_owned).unwrap_or_default();
    Some(Inbound {
        from: Phone::from_e164(&plan.from.find(item)?)?,
        to: value(&plan.to),
        text: value(&plan.text),
        provider_id: plan.id.as_ref().and_then(|id| id.find(item)).map(Cow::into_owned),
    })
}

/// The readable part of a callback.
struct Source<'a>(Fields<'a>);

impl<'a> Source<'a> {
    fn of(format: BodyWord, callback: &Callback<'a>) -> Result<Self, CallbackError> {
        let raw = match format {
            BodyWord::Query => callback.url.split_once('?').map_or("", |(_, query)| query).as_bytes(),
            BodyWord::Form | BodyWord::Json | BodyWord::Text => callback.body,
        };
        match Fields::read(format, raw) {
            Fields::None => Err(CallbackError::Malformed("JSON")),
            fields => Ok(Self(fields)),
        }
    }

    /// The items of the array, or the whole as the only item.
    fn items(&self, each: Option<&str>) -> Result<Vec<Fields<'_>>, CallbackError> {
        match (each, &self.0) {
            (Some(pointer), fields) => {
                let list =
                    fields.list(pointer).ok_or(CallbackError::Malformed("an object with the array"))?;
                Ok(list.iter().map(Fields::item).collect())
            }
            (None, Fields::Json(value)) => Ok(vec![Fields::item(value)]),
            (None, Fields::Pairs(pairs)) => Ok(vec![Fields::Pairs(pairs.clone())]),
            (None, Fields::Text(_) | Fields::None) => Err(CallbackError::Malformed("made of fields")),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use reqwest::header::HeaderMap;

    use super::{Callback, CallbackError, CallbackKind, inbound, receipts};
    use crate::model::clock::Timestamp;
    use crate::provider::{Answer, Catalog, Submission, response};

    fn call<'a>(kind: CallbackKind, url: &'a str, body: &'a [u8], headers: &'a HeaderMap) -> Callback<'a> {
        Callback { kind, method: "POST", url, path_ref: Some("token.k3f9-1z8"), headers, body }
    }

    #[test]
    fn one_odd_item_does_not_hide_the_good_ones() {
        let definition = Catalog::builtin().get("simulator").expect("built in");
        let headers = HeaderMap::new();
        let check = |body: &str, wanted: Result<usize, CallbackError>| {
            let callback = call(CallbackKind::Receipt, "https://x.example/", body.as_bytes(), &headers);
            assert_eq!(receipts(&definition, &callback).map(|read| read.len()), wanted, "{body}");
        };
        let good = r#"{"id":"s1","status":"delivered"}"#;
        check(&format!(r#"{{"receipts":[7,{{"status":"x"}},{good},null]}}"#), Ok(1));
        check(r#"{"receipts":[]}"#, Ok(0));
        check(r#"{"receipts":[{"id":"s1"}]}"#, Err(CallbackError::Missing("id or reference, and status")));
        check("{}", Err(CallbackError::Malformed("an object with the array")));
        check("<html>", Err(CallbackError::Malformed("JSON")));
    }

    proptest! {
        #[test]
        fn whatever_anybody_sends_nothing_panics(body in prop::collection::vec(any::<u8>(), 0..200), query in ".*") {
            let (catalog, headers) = (Catalog::builtin(), HeaderMap::new());
            let url = format!("https://x.example/?{query}");
            for name in catalog.names() {
                let definition = catalog.get(name).expect("named by the catalog");
                let _ = receipts(&definition, &call(CallbackKind::Receipt, &url, &body, &headers));
                let _ = inbound(&definition, &call(CallbackKind::Inbound, &url, &body, &headers));
                let answer = Answer { status: 200, body: body.clone(), retry_after: Some(query.clone()), truncated: false };
                let judged = response::judge(&definition.response, &answer, &[Submission::sample()], Timestamp(0));
                prop_assert_eq!(judged.len(), 1);
            }
        }
    }
}

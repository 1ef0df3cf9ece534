//! Cases about what comes in: receipts and texts from customers, signed rightly and wrongly.

use reqwest::header::{HeaderMap, HeaderName, HeaderValue};

use super::Run;
use super::format::{Believed, CallCase, InboundCase, ReceiptCase, ReportCase, TextCase};
use crate::model::clock::Timestamp;
use crate::provider::callback::Used;
use crate::provider::{Callback, CallbackKind, VerifyError};

impl Run<'_> {
    pub(super) fn receipt(&mut self, case: &ReceiptCase) {
        let name = format!("receipt {:?}", case.name);
        let Some(headers) = self.begin(&name, &case.call) else { return };
        let callback = callback(CallbackKind::Receipt, &case.call, &headers);
        self.believed(&name, &callback, &case.call, case.verify);
        let Some(wanted) = &case.expect else { return };
        let read = match self.adapter.receipts_used(&callback) {
            Ok(read) => read,
            Err(error) => return self.fail(&name, error.to_string()),
        };
        let mut got = Vec::new();
        for (receipt, used) in read {
            match used {
                Used::State(at) => self.used.insert(format!("receipt.states[{at}]")),
                Used::Refine(at) => self.used.insert(format!("receipt.refine[{at}]")),
                Used::Nothing => false,
            };
            got.push(ReportCase {
                reference: receipt.reference,
                id: receipt.provider_id,
                state: receipt.state,
                status: receipt.status,
                code: receipt.code,
                opted_out: receipt.opted_out,
            });
        }
        self.expect(&name, "the report", &got, wanted);
    }

    pub(super) fn inbound(&mut self, case: &InboundCase) {
        let name = format!("inbound {:?}", case.name);
        let Some(headers) = self.begin(&name, &case.call) else { return };
        let callback = callback(CallbackKind::Inbound, &case.call, &headers);
        self.believed(&name, &callback, &case.call, case.verify);
        let Some(wanted) = &case.expect else { return };
        match self.adapter.inbound(&callback) {
            Ok(read) => {
                let plain = read.into_iter().map(|text| TextCase {
                    from: text.from.e164(),
                    to: text.to,
                    text: text.text,
                    id: text.provider_id,
                });
                self.expect(&name, "the text", &plain.collect::<Vec<_>>(), wanted);
            }
            Err(error) => self.fail(&name, error.to_string()),
        }
    }

    fn begin(&mut self, name: &str, call: &CallCase) -> Option<HeaderMap> {
        self.report.ran += 1;
        let mut headers = HeaderMap::new();
        for (key, value) in &call.headers {
            let (Ok(key), Ok(value)) = (HeaderName::from_bytes(key.as_bytes()), HeaderValue::from_str(value))
            else {
                self.fail(name, format!("`{key}` is not a header"));
                return None;
            };
            headers.insert(key, value);
        }
        Some(headers)
    }

    fn believed(&mut self, name: &str, callback: &Callback<'_>, call: &CallCase, wanted: Believed) {
        let Ok(now) = Timestamp::parse(&call.now) else {
            return self.fail(name, "`now` is not RFC 3339");
        };
        let got = match self.adapter.verify(callback, now) {
            Ok(()) => Believed::Ok,
            Err(VerifyError::Missing) => Believed::Missing,
            Err(VerifyError::Mismatch) => Believed::Mismatch,
            Err(VerifyError::Stale) => Believed::Stale,
            Err(VerifyError::Malformed) => Believed::Malformed,
        };
        self.expect(name, "the verification", &got, &wanted);
    }
}

fn callback<'a>(kind: CallbackKind, call: &'a CallCase, headers: &'a HeaderMap) -> Callback<'a> {
    let CallCase { method, url, path_ref, body, .. } = call;
    Callback { kind, method, url, path_ref: path_ref.as_deref(), headers, body: body.as_bytes() }
}

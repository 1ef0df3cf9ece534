//! Checks `[receipt]` and `[inbound]`: what providers call us with.

use super::{Allow, Checker, expected, seconds};
use crate::provider::complaint::KeyPath;
use crate::provider::definition::{
    Digest, HmacPlan, InboundPlan, PayloadPiece, ReceiptPlan, StateMap, Verify,
};
use crate::provider::format::{
    AddressWord, BodyWord, HmacFile, InboundFile, ReceiptFile, ReplyFile, VerifyFile,
};
use crate::provider::rule::Expected;

impl Checker<'_> {
    pub(super) fn receipt(&mut self, file: &ReceiptFile) -> ReceiptPlan {
        let path = KeyPath::root().key("receipt");
        let format = self.callback_format(&path, file.format, file.each.as_ref());
        if file.address == AddressWord::Route && file.id.is_none() && file.reference.is_none() {
            let problem = "one address for the route needs `id` or `reference` in the receipt itself";
            self.complaints.add(&path.key("address"), problem);
        }
        if file.states.is_empty() && file.refine.is_empty() {
            self.complaints.add(&path.key("states"), "no status is translated");
        }
        let states = file.states.iter().map(|(status, state)| (Expected::read(status), *state));
        let states = StateMap(states.collect());
        self.reply(&path.key("reply"), &file.reply);
        ReceiptPlan {
            address: file.address,
            verify: self.verify(&path.key("verify"), &file.verify),
            format,
            each: file.each.as_ref().map(|each| self.pointer(&path.key("each"), each)),
            id: self.optional_field(&path.key("id"), file.id.as_ref(), format),
            reference: self.optional_field(&path.key("reference"), file.reference.as_ref(), format),
            status: self.field(&path.key("status"), &file.status, format),
            code: self.optional_field(&path.key("code"), file.code.as_ref(), format),
            opted_out: expected(&file.opted_out),
            states,
            refine: self.rules(&path.key("refine"), &file.refine, format, false),
            reply: file.reply.clone(),
        }
    }

    pub(super) fn inbound(&mut self, file: &InboundFile) -> InboundPlan {
        let path = KeyPath::root().key("inbound");
        let format = self.callback_format(&path, file.format, file.each.as_ref());
        self.reply(&path.key("reply"), &file.reply);
        InboundPlan {
            verify: self.verify(&path.key("verify"), &file.verify),
            format,
            each: file.each.as_ref().map(|each| self.pointer(&path.key("each"), each)),
            from: self.field(&path.key("from"), &file.from, format),
            to: self.field(&path.key("to"), &file.to, format),
            text: self.field(&path.key("text"), &file.text, format),
            id: self.optional_field(&path.key("id"), file.id.as_ref(), format),
            reply: file.reply.clone(),
        }
    }

    fn callback_format(&mut self, path: &KeyPath, format: BodyWord, each: Option<&String>) -> BodyWord {
        if format == BodyWord::Text {
            self.complaints.add(&path.key("format"), "a callback is `json`, `form` or `query`");
        }
        if each.is_some() && format != BodyWord::Json {
            self.complaints.add(&path.key("each"), "only JSON holds an array");
        }
        format
    }

    fn reply(&mut self, path: &KeyPath, reply: &ReplyFile) {
        if !(200..300).contains(&reply.status) {
            self.complaints.add(&path.key("status"), "a stored callback is answered with 200 to 299");
        }
    }

    fn verify(&mut self, path: &KeyPath, file: &VerifyFile) -> Verify {
        match file {
            VerifyFile::UrlParamsHmacSha1 { header, key } => Verify::UrlParams {
                header: self.header(&path.key("header"), header),
                key: self.template(&path.key("key"), key, Allow::Static),
            },
            VerifyFile::HmacSha256(hmac) => Verify::Hmac(self.hmac(path, hmac, Digest::Sha256)),
            VerifyFile::HmacSha1(hmac) => Verify::Hmac(self.hmac(path, hmac, Digest::Sha1)),
            VerifyFile::Basic { user, password } => Verify::Basic {
                user: self.template(&path.key("user"), user, Allow::Static),
                password: self.template(&path.key("password"), password, Allow::Static),
            },
            VerifyFile::PathToken {} => Verify::PathToken,
        }
    }

    fn hmac(&mut self, path: &KeyPath, file: &HmacFile, digest: Digest) -> HmacPlan {
        let payload = self.payload(&path.key("payload"), &file.payload);
        let signs_time = payload.contains(&PayloadPiece::Timestamp);
        if signs_time != file.timestamp.is_some() {
            let problem = "`timestamp` names a header and `payload` holds {timestamp}, or neither; a time that is not signed proves nothing";
            self.complaints.add(path, problem);
        }
        let timestamp = file
            .timestamp
            .as_ref()
            .map(|name| (self.header(&path.key("timestamp"), name), seconds(file.tolerance_seconds)));
        HmacPlan {
            digest,
            header: self.header(&path.key("header"), &file.header),
            key: self.template(&path.key("key"), &file.key, Allow::Static),
            encoding: file.encoding,
            prefix: file.prefix.clone(),
            timestamp,
            payload,
        }
    }

    fn payload(&mut self, path: &KeyPath, text: &str) -> Vec<PayloadPiece> {
        let mut pieces = Vec::new();
        let mut rest = text;
        while let Some(start) = rest.find('{') {
            if start > 0 {
                pieces.push(PayloadPiece::Text(rest[..start].to_owned()));
            }
            rest = &rest[start..];
            if let Some(after) = rest.strip_prefix("{timestamp}") {
                pieces.push(PayloadPiece::Timestamp);
                rest = after;
            } else if let Some(after) = rest.strip_prefix("{body}") {
                pieces.push(PayloadPiece::Body);
                rest = after;
            } else {
                self.complaints.add(path, "knows {timestamp} and {body} only");
                return pieces;
            }
        }
        if !rest.is_empty() {
            pieces.push(PayloadPiece::Text(rest.to_owned()));
        }
        if !pieces.contains(&PayloadPiece::Body) {
            self.complaints.add(path, "must hold {body}, or the body could be forged");
        }
        pieces
    }
}

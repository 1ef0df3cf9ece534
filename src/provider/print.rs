//! Prints of renderings: whether a request would be made today as it was made then. Shows nothing of what it digests.

use std::time::Duration;

use sha2::{Digest as _, Sha256};

use super::{Adapter, Submission};
use crate::model::encoding::Encoding;
use crate::model::hex::hex;
use crate::model::phone::Phone;

impl Adapter {
    /// What tells renderings apart: a digest of requests with a sample message in each encoding, credentials included: a
    /// key of ours means something to one account only. Another definition, setting, account or public address makes
    /// another print; another message does not.
    pub fn print(&self, public_url: Option<&str>) -> String {
        let mut digest = Sha256::new();
        let mut feed = |part: &[u8]| {
            digest.update(part.len().to_be_bytes());
            digest.update(part);
        };
        for (encoding, text) in [(Encoding::Gsm7, "sample"), (Encoding::Ucs2, "\u{2603}")] {
            let reference = "0000-000".to_owned();
            let sample = Submission {
                callback_url: public_url.and_then(|url| self.callback_url(url, &reference)),
                reference,
                to: Phone::from_digits(14_155_550_100).expect("a number of the sample"),
                sender: "sample".to_owned(),
                text: text.to_owned(),
                encoding,
                parts: 1,
                validity: Some(Duration::from_hours(1)),
            };
            let request = self.request(std::slice::from_ref(&sample));
            for part in [request.method().as_str(), request.url().as_str(), request.body()] {
                feed(part.as_bytes());
            }
            let headers = request.headers();
            let mut headers: Vec<_> = headers.iter().collect();
            headers.sort_unstable_by_key(|(name, _)| name.as_str());
            for (name, value) in headers {
                feed(name.as_str().as_bytes());
                feed(value.as_bytes());
            }
        }
        hex(&digest.finalize()[..16])
    }
}

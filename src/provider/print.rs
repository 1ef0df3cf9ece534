//! Prints of renderings: whether a request would be made today as it was made then. Shows nothing of what it digests.

use std::time::Duration;

use sha2::{Digest as _, Sha256};

use super::{Adapter, Submission};
use crate::model::encoding::Encoding;
use crate::model::hex::hex;
use crate::model::phone::Phone;

impl Adapter {
    /// What tells renderings apart: a digest of a request with a sample message, less what proves who sends it. Another
    /// definition, setting or public address makes another print; another message does not.
    pub fn print(&self, public_url: Option<&str>) -> String {
        let reference = "0000-000".to_owned();
        let sample = Submission {
            callback_url: public_url.and_then(|url| self.callback_url(url, &reference)),
            reference,
            to: Phone::from_digits(14_155_550_100).expect("a number of the sample"),
            sender: "sample".to_owned(),
            text: "sample".to_owned(),
            encoding: Encoding::Gsm7,
            parts: 1,
            validity: Some(Duration::from_hours(1)),
        };
        let request = self.request(std::slice::from_ref(&sample));
        let mut digest = Sha256::new();
        for part in [request.method().as_str(), request.url().as_str(), request.body()] {
            digest.update(part.len().to_be_bytes());
            digest.update(part);
        }
        for (name, _) in &self.definition().send.headers {
            if let Some(value) = request.headers().get(name).filter(|value| !value.is_sensitive()) {
                digest.update(name.as_str());
                digest.update(value.as_bytes());
            }
        }
        hex(&digest.finalize()[..16])
    }
}

//! Where callbacks go: addresses shared by many messages instead of one string each.
//!
//! It parses and checks addresses; it never connects to one.

use std::borrow::Cow;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, PoisonError, RwLock};

use hyper::Uri;
use hyper::http::uri::InvalidUri;

/// Different addresses kept for sharing; further ones still work, at the cost of a string per message.
const SHARED: usize = 1024;

/// One address of callbacks: whole, or a beginning that the message's reference completes.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Target {
    prefix: Box<str>,
    /// True when the reference is appended, so that receipts of two messages cannot share a request.
    pub(super) by_reference: bool,
}

impl Target {
    /// Whether callbacks may go to `url`: plain HTTP, and to this machine unless `remote`.
    pub(super) fn check(url: &str, remote: bool) -> Result<(), &'static str> {
        let uri: Uri = url.parse().map_err(|_| "is not an address")?;
        if uri.scheme_str() != Some("http") {
            return Err("must begin with http://, as the simulator speaks no TLS");
        }
        let host = uri.host().filter(|host| !host.is_empty()).ok_or("names no host")?;
        let local = host == "localhost"
            || host.trim_matches(['[', ']']).parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback());
        if local || remote {
            Ok(())
        } else {
            Err("is not a loopback address; allow remote callbacks to use it")
        }
    }

    /// The address alone, for callbacks of all messages.
    pub(super) fn whole(url: &str) -> Self {
        Self { prefix: url.into(), by_reference: false }
    }

    /// The address for the message with this reference.
    pub(super) fn uri(&self, reference: &str) -> Result<Uri, InvalidUri> {
        self.text(reference).parse()
    }

    /// The same as it was given, with the codes that may be in it.
    pub(super) fn text(&self, reference: &str) -> Cow<'_, str> {
        if self.by_reference {
            Cow::Owned(format!("{}{reference}", self.prefix))
        } else {
            Cow::Borrowed(&self.prefix)
        }
    }
}

/// The addresses in use.
#[derive(Debug)]
pub(super) struct Targets {
    fixed: Option<Arc<Target>>,
    remote: bool,
    shared: RwLock<HashMap<Box<str>, Arc<Target>>>,
}

impl Targets {
    /// With `fixed`, all receipts go there and a message's own address is ignored.
    pub(super) fn new(fixed: Option<&str>, remote: bool) -> Self {
        let fixed = fixed.map(|url| Arc::new(Target::whole(url)));
        Self { fixed, remote, shared: RwLock::default() }
    }

    /// Where the receipts of a message go; `None` when it names no address and none is fixed.
    pub(super) fn of(&self, url: Option<&str>, reference: &str) -> Result<Option<Arc<Target>>, &'static str> {
        if let Some(fixed) = &self.fixed {
            return Ok(Some(fixed.clone()));
        }
        let Some(url) = url else { return Ok(None) };
        // The reference may complete a path or a query, never a host, and only if it means itself in an address.
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte);
        let prefix = url
            .strip_suffix(reference)
            .filter(|prefix| prefix.ends_with(['/', '=']) && reference.bytes().all(plain))
            .filter(|prefix| Target::check(prefix, self.remote).is_ok());
        let (key, by_reference) = prefix.map_or((url, false), |prefix| (prefix, true));
        let known = self.shared.read().unwrap_or_else(PoisonError::into_inner).get(key).cloned();
        if let Some(target) = known.filter(|target| target.by_reference == by_reference) {
            return Ok(Some(target));
        }
        Target::check(url, self.remote)?;
        let target = Arc::new(Target { prefix: key.into(), by_reference });
        let mut shared = self.shared.write().unwrap_or_else(PoisonError::into_inner);
        if shared.len() < SHARED {
            shared.insert(key.into(), target.clone());
        }
        Ok(Some(target))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn callbacks_stay_on_this_machine_unless_allowed() {
        let check = |url, remote, allowed| assert_eq!(Target::check(url, remote).is_ok(), allowed, "{url}");
        check("http://127.0.0.1:8480/callback", false, true);
        check("http://localhost/x", false, true);
        check("http://[::1]:9/x", false, true);
        check("http://127.0.0.1@example.com/x", false, false);
        check("http://localhost.example.com/x", false, false);
        check("http://192.0.2.7/x", false, false);
        check("http://192.0.2.7/x", true, true);
        check("https://127.0.0.1/x", true, false);
        check("/callback", true, false);
        check("http://", true, false);
    }

    #[test]
    fn messages_share_the_beginning_of_their_address() {
        let targets = Targets::new(None, false);
        let of = |url, reference| targets.of(Some(url), reference).expect("allowed").expect("an address");
        let first = of("http://127.0.0.1:1/receipt/a1", "a1");
        let second = of("http://127.0.0.1:1/receipt/b2", "b2");
        assert!(Arc::ptr_eq(&first, &second));
        assert_eq!(second.uri("b2").expect("valid").path(), "/receipt/b2");
        let whole = of("http://127.0.0.1:1/receipt", "c3");
        assert!(!whole.by_reference);
        assert!(Arc::ptr_eq(&whole, &of("http://127.0.0.1:1/receipt", "d4")));
    }

    #[test]
    fn a_reference_cannot_turn_a_local_host_into_another() {
        let targets = Targets::new(None, false);
        assert!(targets.of(Some("http://localhost.example.com"), ".example.com").is_err());
        assert!(targets.of(Some("http://localhost/ok"), "ok").is_ok());
        assert!(
            targets.of(Some("http://localhost/a b"), "a b").is_err(),
            "not an address, known beginning or not"
        );
    }

    #[test]
    fn a_fixed_address_wins() {
        let targets = Targets::new(Some("http://127.0.0.1/all"), false);
        let target = targets.of(Some("http://127.0.0.1/own"), "r").expect("allowed").expect("an address");
        assert_eq!(target.uri("r").expect("valid").path(), "/all");
    }
}

//! Submissions and receipts as queries, the way SMS gateways have long been spoken to: a submission is an address with
//! everything in it, and a receipt is a call of an address that the submission left, with codes filled in.
//!
//! It reads and writes addresses; it never connects to one.

use std::borrow::Cow;

use super::behaviour::Status;
use super::wire::{Report, Submission};

/// What one query asks for.
#[derive(Debug)]
pub(super) struct Query<'a> {
    /// The word that must be the key; whose word it is does not matter.
    pub(super) password: Cow<'a, str>,
    pub(super) submission: Submission<'a>,
}

/// Reads `username`, `password`, `from`, `to`, `text`, `reference`, `dlr-mask` and `dlr-url`; other names are ignored. What
/// comes without a reference is known by the end of its report address.
///
/// # Errors
/// When a part is missing, in words for people.
pub(super) fn read(query: &str) -> Result<Query<'_>, &'static str> {
    let named = |wanted: &str| {
        form_urlencoded::parse(query.as_bytes()).find(|(name, _)| name == wanted).map(|(_, value)| value)
    };
    let mask = named("dlr-mask").map_or(Ok(0), |mask| mask.parse::<u8>());
    let mask = mask.map_err(|_| "dlr-mask misformed")?;
    let callback_url = named("dlr-url").filter(|url| mask != 0 && !url.is_empty());
    let reference = match (named("reference"), &callback_url) {
        (Some(reference), _) => reference,
        (None, Some(url)) => Cow::Owned(end_of_path(url).to_owned()),
        (None, None) => return Err("reference and dlr-url missing"),
    };
    Ok(Query {
        password: named("password").unwrap_or_default(),
        submission: Submission {
            to: named("to").ok_or("to missing")?,
            from: named("from").ok_or("from missing")?,
            text: named("text").ok_or("text missing")?,
            reference,
            callback_url,
            report: Report::Filled(mask),
        },
    })
}

/// The address of a receipt: `%d` becomes what happened as a bit of the mask, `%I` and `%F` the message's id, `%A` the
/// network's words, `%%` a percent sign; anything else stays.
pub(super) fn fill(address: &str, id: &str, status: Status, code: Option<&str>) -> String {
    let mut filled = String::with_capacity(address.len() + 64);
    let mut rest = address;
    while let Some((before, from)) = rest.split_once('%') {
        filled.push_str(before);
        let escaped = |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
        match from.as_bytes().first() {
            Some(b'd') => filled.push_str(&bit(status).to_string()),
            Some(b'I' | b'F') => filled.push_str(&escaped(id)),
            Some(b'A') => filled.push_str(&escaped(&words(id, status, code))),
            Some(b'%') => filled.push('%'),
            _ => {
                filled.push('%');
                rest = from;
                continue;
            }
        }
        rest = &from[1..];
    }
    filled + rest
}

/// What happened, as a bit of a mask of events: 1 delivered, 2 not delivered, 4 on its way, 8 taken.
pub(super) fn bit(status: Status) -> u8 {
    match status {
        Status::Delivered => 1,
        Status::Undelivered | Status::Expired | Status::Rejected => 2,
        Status::EnRoute => 4,
        Status::Accepted => 8,
    }
}

/// A delivery receipt in words (SMPP 3.4, appendix B), which tell apart what is one bit.
fn words(id: &str, status: Status, code: Option<&str>) -> String {
    let stat = match status {
        Status::Accepted => "ACCEPTD",
        Status::EnRoute => "ENROUTE",
        Status::Delivered => "DELIVRD",
        Status::Undelivered => "UNDELIV",
        Status::Expired => "EXPIRED",
        Status::Rejected => "REJECTD",
    };
    format!("id:{id} stat:{stat} err:{}", code.unwrap_or("000"))
}

/// The last piece of an address's path, without a token before a dot.
fn end_of_path(url: &str) -> &str {
    let path = url.split(['?', '#']).next().unwrap_or_default();
    path.rsplit(['/', '.']).next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_is_read_as_it_was_meant() {
        let whole = read(
            "username=u&password=p%26s&from=%2B15005550006&to=%2B14805550126&text=Caf%C3%A9+%26+co&coding=0\
             &dlr-mask=31&dlr-url=http%3A%2F%2F127.0.0.1%2Freceipt%2Ftoken.k3f9-1%3Ftype%3D%25d%26at%3D1.5",
        )
        .expect("whole");
        let Submission { to, from, text, reference, callback_url, report } = whole.submission;
        assert_eq!((&*whole.password, &*from, &*to), ("p&s", "+15005550006", "+14805550126"));
        assert_eq!((&*text, &*reference), ("Café & co", "k3f9-1"));
        let url = "http://127.0.0.1/receipt/token.k3f9-1?type=%d&at=1.5";
        assert_eq!((callback_url.as_deref(), report), (Some(url), Report::Filled(31)));
    }

    #[test]
    fn what_is_missing_is_said() {
        let check = |query, missing| assert_eq!(read(query).err(), missing, "{query}");
        check("to=1&from=2&text=x&reference=r", None);
        check("from=2&text=x&reference=r", Some("to missing"));
        check("to=1&text=x&reference=r", Some("from missing"));
        check("to=1&from=2&reference=r", Some("text missing"));
        check("to=1&from=2&text=x", Some("reference and dlr-url missing"));
        check("to=1&from=2&text=x&reference=r&dlr-mask=all", Some("dlr-mask misformed"));
    }

    #[test]
    fn nobody_is_called_who_wants_to_hear_of_nothing() {
        let url = |query: &str| read(query).expect("whole").submission.callback_url.map(Cow::into_owned);
        let start = "to=1&from=2&text=x&reference=r&dlr-url=http://127.0.0.1/";
        assert_eq!(url(start), None);
        assert_eq!(url(&format!("{start}&dlr-mask=0")), None);
        assert_eq!(url(&format!("{start}&dlr-mask=3")).as_deref(), Some("http://127.0.0.1/"));
    }

    #[test]
    fn codes_of_an_address_are_filled_in_and_escapes_stay() {
        let check =
            |address, status, code, expected| assert_eq!(fill(address, "s 1", status, code), expected);
        check("/?t=%d&i=%I&f=%F", Status::Delivered, None, "/?t=1&i=s+1&f=s+1");
        check("/?t=%d", Status::Undelivered, Some("blocked"), "/?t=2");
        check("/?t=%d", Status::EnRoute, None, "/?t=4");
        check("%A", Status::Expired, Some("validity"), "id%3As+1+stat%3AEXPIRED+err%3Avalidity");
        check("%A", Status::Rejected, None, "id%3As+1+stat%3AREJECTD+err%3A000");
        check("/a%20b?x=%%d%", Status::Delivered, None, "/a%20b?x=%d%");
    }
}

//! A provider's definition after it has been checked: parsed templates, compiled rules, nothing left to go wrong.
//!
//! Built only by [`super::check`]; read by the adapter and by whoever shows a definition to people.

use std::collections::BTreeMap;
use std::time::Duration;

use reqwest::Method;
use reqwest::header::HeaderName;

use super::extract::Field;
use super::format::{
    AddressWord, BodyWord, DigestWord, FoundBy, LimitsFile, MatchBy, ReplyFile, SettingFile, TimeWord,
};
use super::rule::{Expected, Rule};
use super::template::Template;
use crate::model::clock::Timestamp;
use crate::model::delivery::Delivery;
use crate::model::doubt::{Ask, Means, Repeat, Rung};
use crate::model::outcome::OutcomeClass;

/// One provider, ready to be bound to a route.
#[derive(Clone, Debug)]
pub struct Definition {
    /// Its name.
    pub name: String,
    /// One line for people.
    pub about: String,
    /// Credentials it needs: name = what it is.
    pub secrets: BTreeMap<String, String>,
    /// Settings it knows.
    pub settings: BTreeMap<String, SettingFile>,
    /// What one request and one account can bear.
    pub limits: LimitsFile,
    /// How a message is submitted.
    pub send: Send,
    /// How the answer is read.
    pub response: Response,
    /// How the provider is asked about what is in doubt, in order.
    pub doubt: Vec<Rung>,
    /// How to ask whether a message was taken.
    pub lookup: Option<Lookup>,
    /// How receipts are read.
    pub receipt: Option<ReceiptPlan>,
    /// How texts from customers are read.
    pub inbound: Option<InboundPlan>,
}

impl Definition {
    /// For how long a submission in doubt may be repeated with the same reference without being sent twice; none if never.
    pub fn idempotent_for(&self) -> Option<Duration> {
        self.send.idempotent_for.filter(|_| self.doubt.contains(&Rung::Replay))
    }

    /// What the provider can be asked about a submission in doubt, if requests have been rendered alike since
    /// `alike_since`.
    pub fn means(&self, alike_since: Timestamp) -> Means {
        let repeat = self.idempotent_for().map(|lifetime| Repeat { lifetime, alike_since });
        Means { ask: self.ask(), repeat }
    }

    /// The question that is asked about a submission in doubt; none if the provider answers none.
    pub fn ask(&self) -> Option<Ask> {
        let lookup = self.lookup.as_ref()?;
        let rung = lookup.rung();
        // What is found by its content is found by chance: that it is not there says less.
        let authoritative = lookup.authoritative && rung == Rung::Lookup;
        let ask = Ask { rung, after: lookup.after, within: lookup.within, authoritative };
        self.doubt.contains(&ask.rung).then_some(ask)
    }
}

/// A value of a field: one template, or one for each encoding.
#[derive(Clone, Debug)]
pub enum Value<T = Template> {
    /// The same for every text.
    One(T),
    /// Chosen by the encoding of the text.
    ByEncoding {
        /// For GSM-7.
        gsm7: T,
        /// For UCS-2.
        ucs2: T,
    },
}

impl<T> Value<T> {
    /// Every template in it.
    pub fn templates(&self) -> impl Iterator<Item = &T> {
        let (first, second) = match self {
            Self::One(one) => (one, None),
            Self::ByEncoding { gsm7, ucs2 } => (gsm7, Some(ucs2)),
        };
        std::iter::once(first).chain(second)
    }

    pub(crate) fn map<U>(&self, change: &impl Fn(&T) -> U) -> Value<U> {
        match self {
            Self::One(one) => Value::One(change(one)),
            Self::ByEncoding { gsm7, ucs2 } => Value::ByEncoding { gsm7: change(gsm7), ucs2: change(ucs2) },
        }
    }
}

/// A piece of a JSON body.
#[derive(Clone, Debug)]
pub enum Node<T = Template> {
    /// JSON as it is.
    Raw(String),
    /// A string.
    Text(Value<T>),
    /// A number from one placeholder.
    Number(T),
    /// An object; keys in order.
    Table(Vec<(String, Node<T>)>),
    /// An array.
    List(Vec<Node<T>>),
    /// An array with one such object for each message of the request.
    Each(Box<Node<T>>),
}

impl<T> Node<T> {
    pub(crate) fn map<U>(&self, change: &impl Fn(&T) -> U) -> Node<U> {
        match self {
            Self::Raw(raw) => Node::Raw(raw.clone()),
            Self::Text(value) => Node::Text(value.map(change)),
            Self::Number(template) => Node::Number(change(template)),
            Self::Table(fields) => {
                Node::Table(fields.iter().map(|(key, node)| (key.clone(), node.map(change))).collect())
            }
            Self::List(nodes) => Node::List(nodes.iter().map(|node| node.map(change)).collect()),
            Self::Each(node) => Node::Each(Box::new(node.map(change))),
        }
    }
}

/// A body.
#[derive(Clone, Debug)]
pub enum Body<T = Template> {
    /// None.
    None,
    /// `application/x-www-form-urlencoded`.
    Form(Vec<(String, Value<T>)>),
    /// `application/json`.
    Json(Node<T>),
}

/// How the request proves who sends it.
#[derive(Clone, Debug)]
pub enum Auth {
    /// `Authorization: Basic`.
    Basic {
        /// User name.
        user: Template,
        /// Password.
        password: Template,
    },
    /// One header.
    Header(HeaderName, Template),
}

/// How a message is submitted.
#[derive(Clone, Debug)]
pub struct Send {
    /// GET, POST or PUT.
    pub method: Method,
    /// Where.
    pub url: Template,
    /// How the request proves who sends it.
    pub auth: Option<Auth>,
    /// Further headers.
    pub headers: Vec<(HeaderName, Template)>,
    /// Parameters of the URL.
    pub query: Vec<(String, Value)>,
    /// The body.
    pub body: Body,
    /// See [`Definition::idempotent_for`].
    pub idempotent_for: Option<Duration>,
}

/// How the answer to a submission is read.
#[derive(Clone, Debug)]
pub struct Response {
    /// What the body looks like.
    pub format: BodyWord,
    /// The provider's id.
    pub id: Option<Field>,
    /// The provider's error code.
    pub code: Option<Field>,
    /// The provider's words.
    pub detail: Option<Field>,
    /// Ordered rules.
    pub rules: Vec<Rule<OutcomeClass>>,
    /// For answers that judge each message by itself.
    pub each: Option<Each>,
}

/// How to read one item of an answer.
#[derive(Clone, Debug)]
pub struct Each {
    /// JSON pointer to the array.
    pub list: String,
    /// How an item names its message.
    pub match_by: MatchBy,
    /// Where it does.
    pub match_at: Option<String>,
    /// The provider's id.
    pub id: Option<Field>,
    /// The provider's code.
    pub code: Option<Field>,
    /// The provider's words.
    pub detail: Option<Field>,
    /// Ordered rules.
    pub rules: Vec<Rule<OutcomeClass>>,
}

/// How to ask whether a message was taken.
#[derive(Clone, Debug)]
pub struct Lookup {
    /// GET, as a rule.
    pub method: Method,
    /// Where.
    pub url: Template,
    /// Parameters of the URL.
    pub query: Vec<(String, Value)>,
    /// How long the provider may take to show a message.
    pub after: Duration,
    /// How far back it can look.
    pub within: Duration,
    /// Whether "not found" is a proof.
    pub authoritative: bool,
    /// JSON pointer to the array.
    pub list: String,
    /// What makes an item ours.
    pub match_by: FoundBy,
    /// The provider's id.
    pub id: Field,
    /// Our reference.
    pub reference: Option<Field>,
    /// The recipient.
    pub to: Option<Field>,
    /// The sender.
    pub from: Option<Field>,
    /// The text.
    pub text: Option<Field>,
    /// When the provider took it.
    pub at: Option<Field>,
    /// How that is written.
    pub at_format: TimeWord,
    /// The provider's status.
    pub status: Option<Field>,
}

impl Lookup {
    /// Which rung it is.
    pub fn rung(&self) -> Rung {
        match self.match_by {
            FoundBy::Reference => Rung::Lookup,
            FoundBy::Content => Rung::List,
        }
    }
}

/// The digests an HMAC can use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Digest {
    /// SHA-1.
    Sha1,
    /// SHA-256.
    Sha256,
}

/// How a callback proves who called.
#[derive(Clone, Debug)]
pub enum Verify {
    /// HMAC-SHA1 over URL and sorted parameters.
    UrlParams {
        /// The header that holds the signature.
        header: HeaderName,
        /// The key.
        key: Template,
    },
    /// HMAC over a payload.
    Hmac(HmacPlan),
    /// `Authorization: Basic`.
    Basic {
        /// User name.
        user: Template,
        /// Password.
        password: Template,
    },
    /// The route's token in the address.
    PathToken,
}

/// An HMAC over a callback.
#[derive(Clone, Debug)]
pub struct HmacPlan {
    /// Which digest.
    pub digest: Digest,
    /// The header that holds the signature.
    pub header: HeaderName,
    /// The key.
    pub key: Template,
    /// How the signature is written.
    pub encoding: DigestWord,
    /// What stands before it.
    pub prefix: String,
    /// The header that holds the time, and how far it may be from now.
    pub timestamp: Option<(HeaderName, Duration)>,
    /// What is signed, piece by piece.
    pub payload: Vec<PayloadPiece>,
}

/// A piece of what is signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PayloadPiece {
    /// Text as it is.
    Text(String),
    /// The timestamp header's value.
    Timestamp,
    /// The raw body.
    Body,
}

/// How receipts are read.
#[derive(Clone, Debug)]
pub struct ReceiptPlan {
    /// One address for each message, or one for the route.
    pub address: AddressWord,
    /// How the provider proves itself.
    pub verify: Verify,
    /// What the body looks like.
    pub format: BodyWord,
    /// JSON pointer to the array.
    pub each: Option<String>,
    /// The provider's id.
    pub id: Option<Field>,
    /// Our reference.
    pub reference: Option<Field>,
    /// The provider's status.
    pub status: Field,
    /// The provider's code.
    pub code: Option<Field>,
    /// Codes that mean an opt-out.
    pub opted_out: Vec<Expected>,
    /// Status = state.
    pub states: StateMap,
    /// Rules that overrule the map.
    pub refine: Vec<Rule<Delivery>>,
    /// What we answer.
    pub reply: ReplyFile,
}

/// A provider's words for states of delivery.
#[derive(Clone, Debug, Default)]
pub struct StateMap(pub Vec<(Expected, Delivery)>);

impl StateMap {
    /// What a status means, and the place of the entry that says so. A word goes before a range.
    pub fn read(&self, status: &str) -> Option<(usize, Delivery)> {
        let exact = |entry: &Expected| matches!(entry, Expected::Text(text) if text == status);
        let at = self.0.iter().position(|(entry, _)| exact(entry));
        let at = at.or_else(|| self.0.iter().position(|(entry, _)| entry.is(status)))?;
        Some((at, self.0[at].1))
    }
}

/// How texts from customers are read.
#[derive(Clone, Debug)]
pub struct InboundPlan {
    /// How the provider proves itself.
    pub verify: Verify,
    /// What the body looks like.
    pub format: BodyWord,
    /// JSON pointer to the array.
    pub each: Option<String>,
    /// Who wrote.
    pub from: Field,
    /// Our sender.
    pub to: Field,
    /// What was written.
    pub text: Field,
    /// The provider's id.
    pub id: Option<Field>,
    /// What we answer.
    pub reply: ReplyFile,
}

#[cfg(test)]
mod tests {
    use super::StateMap;
    use crate::model::delivery::Delivery;
    use crate::provider::rule::Expected;

    #[test]
    fn a_word_of_its_own_goes_before_a_range() {
        let map = StateMap(vec![
            (Expected::read("20..29"), Delivery::Expired),
            (Expected::read("25"), Delivery::Delivered),
        ]);
        assert_eq!(map.read("25"), Some((1, Delivery::Delivered)));
        assert_eq!(map.read("21"), Some((0, Delivery::Expired)));
        assert_eq!(map.read("DELIVRD"), None);
    }
}

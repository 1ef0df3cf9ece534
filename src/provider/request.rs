//! Builds a request from a definition, a route and messages: bytes for the wire, and a print without secrets or phones.
//!
//! Whatever is the same in every request of a route is made once: the parsed URL, headers, constant parts of a body.

use std::fmt;
use std::sync::Arc;

use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Method, Url};

use super::Submission;
use super::definition::{Auth, Body, Node, Value};
use super::filter::percent;
use super::render::{Bound, Context, Output, RouteValues, Sink, json_escape};
use super::template::Template;
use crate::model::clock::Timestamp;
use crate::model::encoding::Encoding;

/// A request, ready to be sent. `Display` prints it whole with secrets and phone numbers masked;
/// `Debug` prints its method and host only.
#[derive(Clone)]
pub struct HttpRequest {
    fixed: Arc<Fixed>,
    headers: Vec<(HeaderName, Output)>,
    query: Output,
    body: Output,
}

/// What is the same in every request of a route.
#[derive(Debug)]
struct Fixed {
    method: Method,
    url: Url,
    url_masked: String,
    headers: HeaderMap,
    headers_masked: Vec<(String, String)>,
    allow_http: bool,
}

/// How requests of one kind are made for one route.
#[derive(Debug)]
pub(crate) struct Plan {
    fixed: Arc<Fixed>,
    headers: Vec<(HeaderName, Bound)>,
    query: Vec<(String, Value<Bound>)>,
    body: Body<Bound>,
}

/// What a plan is made from.
pub(crate) struct PlanSource<'a> {
    pub(crate) method: &'a Method,
    pub(crate) url: &'a Template,
    pub(crate) auth: Option<&'a Auth>,
    pub(crate) headers: &'a [(HeaderName, Template)],
    pub(crate) query: &'a [(String, Value)],
    pub(crate) body: &'a Body,
}

impl Plan {
    /// Puts a route's values in place. The error says what is wrong with the URL or a header that came of it.
    pub(crate) fn new(
        source: &PlanSource<'_>,
        values: &RouteValues,
        allow_http: bool,
    ) -> Result<Self, String> {
        let url = source.url.bind(values).text();
        let url_masked = url.masked();
        let url = Url::parse(&url.text).map_err(|error| format!("`{url_masked}` is no URL: {error}"))?;
        super::transport::url_allowed(&url, allow_http).map_err(|why| format!("`{url_masked}`: {why}"))?;
        let mut headers = HeaderMap::new();
        let mut headers_masked = Vec::new();
        let mut add = |name: &HeaderName, value: &str, masked: String| {
            let mut value = HeaderValue::from_str(value).map_err(|_| {
                format!("the value of the header `{name}` holds characters no header may hold")
            })?;
            value.set_sensitive(masked.contains("[secret."));
            headers_masked.push((name.to_string(), masked));
            headers.insert(name.clone(), value);
            Ok::<(), String>(())
        };
        if let Some(auth) = source.auth {
            let (name, value, masked) = authorization(auth, values);
            add(&name, &value, masked)?;
        }
        let content_type = match source.body {
            Body::None => None,
            Body::Form(_) => Some("application/x-www-form-urlencoded"),
            Body::Json(_) => Some("application/json"),
        };
        if let Some(content_type) = content_type {
            add(&CONTENT_TYPE, content_type, content_type.to_owned())?;
        }
        let mut open_headers = Vec::new();
        for (name, template) in source.headers {
            let bound = template.bind(values);
            if bound.is_static() {
                let value = bound.text();
                if !value.text.is_empty() {
                    add(name, &value.text, value.masked())?;
                }
            } else {
                open_headers.push((name.clone(), bound));
            }
        }
        let bind = |template: &Template| template.bind(values);
        let encoded = |(name, value): &(String, Value)| {
            let mut encoded = String::with_capacity(name.len());
            percent(name, &mut encoded);
            (encoded, value.map(&bind))
        };
        let body = match source.body {
            Body::None => Body::None,
            Body::Form(fields) => Body::Form(fields.iter().map(encoded).collect()),
            Body::Json(node) => Body::Json(constant_folded(node.map(&bind))),
        };
        let method = source.method.clone();
        let fixed = Fixed { method, url, url_masked, headers, headers_masked, allow_http };
        let query = source.query.iter().map(encoded).collect();
        Ok(Self { fixed: Arc::new(fixed), headers: open_headers, query, body })
    }

    /// Renders the request for `submissions`, of which there is at least one.
    pub(crate) fn request(
        &self,
        submissions: &[Submission],
        submitted: Option<Timestamp>,
        token: &str,
    ) -> HttpRequest {
        let context = |submission| Context { submission, submitted, token };
        let first = submissions.first().map(context);
        let mut query = Output::default();
        pairs(&self.query, first.as_ref(), &mut query);
        let mut body = Output::default();
        match &self.body {
            Body::None => {}
            Body::Form(fields) => pairs(fields, first.as_ref(), &mut body),
            Body::Json(node) => {
                body.text.reserve(64 + submissions.len() * 384);
                json(node, first.as_ref(), &|| submissions.iter().map(context).collect(), &mut body);
                if body.text.is_empty() {
                    body.text.push_str("{}");
                }
            }
        }
        let headers = self.headers.iter().filter_map(|(name, bound)| {
            let mut value = Output::default();
            bound.render(first.as_ref(), Sink::Raw, &mut value).then(|| (name.clone(), value))
        });
        HttpRequest { fixed: Arc::clone(&self.fixed), headers: headers.collect(), query, body }
    }
}

impl HttpRequest {
    /// GET, POST or PUT.
    pub fn method(&self) -> &Method {
        &self.fixed.method
    }

    /// The whole URL, secrets included.
    pub fn url(&self) -> Url {
        let mut url = self.fixed.url.clone();
        if !self.query.text.is_empty() {
            let query = match url.query() {
                Some(fixed) => format!("{fixed}&{}", self.query.text),
                None => self.query.text.clone(),
            };
            url.set_query(Some(&query));
        }
        url
    }

    /// Every header, secrets included.
    pub fn headers(&self) -> HeaderMap {
        let mut headers = self.fixed.headers.clone();
        for (name, value) in &self.headers {
            // A reference is plain ASCII by contract; anything else is left to the provider to miss.
            if let Ok(value) = HeaderValue::from_str(&value.text) {
                headers.insert(name.clone(), value);
            }
        }
        headers
    }

    /// The body; empty if there is none.
    pub fn body(&self) -> &str {
        &self.body.text
    }

    /// Whether plain `http://` may leave this machine.
    pub(crate) fn allow_http(&self) -> bool {
        self.fixed.allow_http
    }

    /// The request as reqwest wants it; the body is moved, not copied.
    pub(crate) fn into_reqwest(self) -> reqwest::Request {
        let mut request = reqwest::Request::new(self.fixed.method.clone(), self.url());
        *request.headers_mut() = self.headers();
        if !self.body.text.is_empty() {
            *request.body_mut() = Some(self.body.text.into());
        }
        request
    }
}

impl fmt::Display for HttpRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fixed = &self.fixed;
        write!(f, "{} {}", fixed.method, fixed.url_masked)?;
        if !self.query.text.is_empty() {
            let joint = if fixed.url.query().is_some() { '&' } else { '?' };
            write!(f, "{joint}{}", self.query.masked())?;
        }
        for (name, value) in &fixed.headers_masked {
            write!(f, "\n{name}: {value}")?;
        }
        for (name, value) in &self.headers {
            write!(f, "\n{name}: {}", value.masked())?;
        }
        if !self.body.text.is_empty() {
            write!(f, "\n\n{}", self.body.masked())?;
        }
        Ok(())
    }
}

impl fmt::Debug for HttpRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let host = self.fixed.url.host_str().unwrap_or("");
        write!(f, "HttpRequest({} {host}, {} octets)", self.fixed.method, self.body.text.len())
    }
}

fn authorization(auth: &Auth, values: &RouteValues) -> (HeaderName, String, String) {
    use base64::Engine as _;
    match auth {
        Auth::Basic { user, password } => {
            let (user, password) = (user.bind(values).text(), password.bind(values).text());
            let both = format!("{}:{}", user.text, password.text);
            let value = format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(both));
            let masked = format!("Basic {}:{}", user.masked(), password.masked());
            (reqwest::header::AUTHORIZATION, value, masked)
        }
        Auth::Header(name, template) => {
            let value = template.bind(values).text();
            let masked = value.masked();
            (name.clone(), value.text, masked)
        }
    }
}

fn pairs(fields: &[(String, Value<Bound>)], context: Option<&Context<'_>>, out: &mut Output) {
    for (name, value) in fields {
        let before = out.here();
        if !out.text.is_empty() {
            out.text.push('&');
        }
        out.text.push_str(name);
        out.text.push('=');
        if !chosen(value, context).is_some_and(|bound| bound.render(context, Sink::Percent, out)) {
            out.cut_back(before);
        }
    }
}

fn chosen<'v>(value: &'v Value<Bound>, context: Option<&Context<'_>>) -> Option<&'v Bound> {
    match (value, context?.submission.encoding) {
        (Value::One(one), _) => Some(one),
        (Value::ByEncoding { gsm7, .. }, Encoding::Gsm7) => Some(gsm7),
        (Value::ByEncoding { ucs2, .. }, Encoding::Ucs2) => Some(ucs2),
    }
}

/// What a piece of JSON had to say.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Said {
    /// Nothing that depends on a placeholder.
    Constant,
    /// At least one placeholder had a value.
    Something,
    /// It has placeholders and all of them were empty; nothing was written.
    Nothing,
}

impl Said {
    fn and(self, other: Said) -> Said {
        match (self, other) {
            (Self::Something, _) | (_, Self::Something) => Self::Something,
            (Self::Nothing, _) | (_, Self::Nothing) => Self::Nothing,
            (Self::Constant, Self::Constant) => Self::Constant,
        }
    }
}

type Contexts<'c, 'a> = &'c dyn Fn() -> Vec<Context<'a>>;

fn json(node: &Node<Bound>, context: Option<&Context<'_>>, all: Contexts<'_, '_>, out: &mut Output) -> Said {
    let before = out.here();
    let said = match node {
        Node::Raw(raw) => {
            out.text.push_str(raw);
            Said::Constant
        }
        Node::Text(value) => {
            out.text.push('"');
            let bound = chosen(value, context);
            let filled = bound.is_some_and(|bound| bound.render(context, Sink::Json, out));
            out.text.push('"');
            let constant = matches!(value, Value::One(one) if !one.has_placeholder());
            if constant { Said::Constant } else { if_filled(filled) }
        }
        Node::Number(bound) => if_filled(bound.render(context, Sink::Raw, out)),
        Node::Table(fields) => {
            let fields = fields.iter().map(|(key, node)| (Some(key.as_str()), node));
            members(('{', '}'), fields, out, |node, out| json(node, context, all, out))
        }
        Node::List(nodes) => {
            let nodes = nodes.iter().map(|node| (None, node));
            members(('[', ']'), nodes, out, |node, out| json(node, context, all, out))
        }
        Node::Each(node) => {
            let contexts = all();
            let items = contexts.iter().map(|context| (None, context));
            members(('[', ']'), items, out, |context, out| json(node, Some(context), all, out))
        }
    };
    if said == Said::Nothing {
        out.cut_back(before);
    }
    said
}

fn if_filled(filled: bool) -> Said {
    if filled { Said::Something } else { Said::Nothing }
}

/// Writes the members of an object or array; those with nothing to say are left out with their comma.
fn members<'k, T>(
    brackets: (char, char),
    items: impl Iterator<Item = (Option<&'k str>, T)>,
    out: &mut Output,
    mut write: impl FnMut(T, &mut Output) -> Said,
) -> Said {
    let mut said = Said::Constant;
    out.text.push(brackets.0);
    let mut first = true;
    for (key, item) in items {
        let before = out.here();
        if !first {
            out.text.push(',');
        }
        if let Some(key) = key {
            out.text.push('"');
            out.text.push_str(key);
            out.text.push_str("\":");
        }
        let member = write(item, out);
        said = said.and(member);
        if member == Said::Nothing {
            out.cut_back(before);
        } else {
            first = false;
        }
    }
    out.text.push(brackets.1);
    said
}

/// Strings without placeholders become raw JSON once, so that nothing is escaped again for each message.
fn constant_folded(node: Node<Bound>) -> Node<Bound> {
    match node {
        Node::Text(Value::One(bound)) if !bound.has_placeholder() => {
            let mut raw = String::from("\"");
            json_escape(&bound.text().text, &mut raw);
            raw.push('"');
            Node::Raw(raw)
        }
        Node::Table(fields) => {
            Node::Table(fields.into_iter().map(|(key, node)| (key, constant_folded(node))).collect())
        }
        Node::List(nodes) => Node::List(nodes.into_iter().map(constant_folded).collect()),
        Node::Each(node) => Node::Each(Box::new(constant_folded(*node))),
        other => other,
    }
}

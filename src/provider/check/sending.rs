//! Checks `[send]` and `[lookup]`: what leaves this machine.

use std::collections::BTreeMap;

use super::{Allow, Checker, method, seconds};
use crate::provider::complaint::KeyPath;
use crate::provider::definition::{Auth, Body, Lookup, Node, Send, Value};
use crate::provider::extract::Field;
use crate::provider::format::{AuthFile, FoundBy, LookupFile, MethodWord, RepeatWord, SendFile, ValueFile};
use crate::provider::render::json_escape;
use crate::provider::template::{Source, Template};
use reqwest::header::HeaderName;

impl Checker<'_> {
    pub(super) fn send(&mut self, file: &SendFile) -> Send {
        let path = KeyPath::root().key("send");
        let url = self.url(&path.key("url"), &file.url);
        let auth = file.auth.as_ref().map(|auth| self.auth(&path.key("auth"), auth));
        let mut headers = Vec::new();
        for (name, text) in &file.headers {
            let path = path.key("headers").key(name);
            let header = self.header(&path, name);
            headers.push((header, self.template(&path, text, Allow::Reference)));
        }
        let query = self.values(&path.key("query"), &file.query, Allow::Message);
        let body = self.body(&path, file);
        if self.complaints.is_empty() {
            self.carries_message(&path, &query, &body);
        }
        self.idempotence(&path, file, &sources(&headers, &query, &body));
        let idempotent_for = file.idempotent_by.and(file.idempotent_seconds).map(seconds);
        Send { method: method(file.method), url, auth, headers, query, body, idempotent_for }
    }

    pub(super) fn lookup(&mut self, file: &LookupFile) -> Lookup {
        let path = KeyPath::root().key("lookup");
        let url = self.url(&path.key("url"), &file.url);
        let query = self.values(&path.key("query"), &file.query, Allow::Lookup);
        let list = self.pointer(&path.key("list"), &file.list);
        let mut field = |name: &str, at: &Option<String>| {
            at.as_ref().map(|at| Field::at(self.pointer(&path.key(name), at)))
        };
        let lookup = Lookup {
            method: method(file.method),
            url,
            query,
            after: seconds(file.after_seconds),
            within: seconds(file.within_seconds),
            authoritative: file.authoritative,
            list,
            match_by: file.match_by,
            id: field("id", &Some(file.id.clone())).unwrap_or_else(|| Field::at("")),
            reference: field("reference", &file.reference),
            to: field("to", &file.to),
            from: field("from", &file.from),
            text: field("text", &file.text),
            at: field("at", &file.at),
            at_format: file.at_format,
            status: field("status", &file.status),
        };
        let needs = match file.match_by {
            FoundBy::Reference => lookup.reference.is_some(),
            FoundBy::Content => lookup.to.is_some() && lookup.text.is_some() && lookup.at.is_some(),
        };
        if !needs {
            let problem = "by `reference` needs `reference`; by `content` needs `to`, `text` and `at`";
            self.complaints.add(&path.key("match_by"), problem);
        }
        lookup
    }

    fn url(&mut self, path: &KeyPath, text: &str) -> Template {
        let begins = text.starts_with("https://") || text.starts_with("{setting.");
        if !begins {
            let problem = "must begin with https:// or with a setting like {setting.base_url}";
            self.complaints.add(path, problem);
        }
        self.template(path, text, Allow::Static)
    }

    fn auth(&mut self, path: &KeyPath, file: &AuthFile) -> Auth {
        match file {
            AuthFile::Basic { user, password } => Auth::Basic {
                user: self.template(&path.key("user"), user, Allow::Static),
                password: self.template(&path.key("password"), password, Allow::Static),
            },
            AuthFile::Bearer { token } => {
                let text = format!("Bearer {token}");
                let template = self.template(&path.key("token"), &text, Allow::Static);
                Auth::Header(reqwest::header::AUTHORIZATION, template)
            }
            AuthFile::Header { name, value } => {
                let name = self.header(&path.key("name"), name);
                Auth::Header(name, self.template(&path.key("value"), value, Allow::Static))
            }
        }
    }

    fn values(
        &mut self,
        path: &KeyPath,
        file: &BTreeMap<String, ValueFile>,
        allow: Allow,
    ) -> Vec<(String, Value)> {
        let checked = file.iter().map(|(name, value)| {
            let value = self.value(&path.key(name), value, allow);
            if value.templates().any(Template::is_number) {
                self.complaints.add(&path.key(name), "the filter `number` is for JSON bodies only");
            }
            (name.clone(), value)
        });
        checked.collect()
    }

    fn value(&mut self, path: &KeyPath, file: &ValueFile, allow: Allow) -> Value {
        match file {
            ValueFile::Text(text) => Value::One(self.template(path, text, allow)),
            ValueFile::Integer(number) => Value::One(Template::plain(number.to_string())),
            ValueFile::Boolean(flag) => Value::One(Template::plain(flag.to_string())),
            ValueFile::ByEncoding(both) => Value::ByEncoding {
                gsm7: self.template(&path.key("gsm7"), &both.gsm7, allow),
                ucs2: self.template(&path.key("ucs2"), &both.ucs2, allow),
            },
        }
    }

    fn body(&mut self, path: &KeyPath, file: &SendFile) -> Body {
        let body = match (&file.json, file.form.is_empty()) {
            (Some(_), false) => {
                self.complaints.add(path, "has both `form` and `json`; a request has one body");
                Body::None
            }
            (Some(table), true) => {
                let path = path.key("json");
                let mut each = 0;
                let node = self.table(&path, table, false, &mut each);
                if self.file.limits.recipients > 1 && each != 1 {
                    let problem = "limits.recipients is above 1, so exactly one array must hold a table with each = \"message\"";
                    self.complaints.add(&path, problem);
                }
                Body::Json(node)
            }
            (None, false) => Body::Form(self.values(&path.key("form"), &file.form, Allow::Message)),
            (None, true) => Body::None,
        };
        if self.file.limits.recipients > 1 && file.json.is_none() {
            let problem = "many messages in one request need `send.json` with each = \"message\"";
            self.complaints.add(&KeyPath::root().key("limits").key("recipients"), problem);
        }
        if file.method == MethodWord::Get && !matches!(body, Body::None) {
            self.complaints.add(&path.key("method"), "GET has no body; use `query`, or POST");
        }
        body
    }

    fn table(&mut self, path: &KeyPath, table: &toml::Table, inside: bool, each: &mut u32) -> Node {
        if is_by_encoding(table) {
            self.needs_each(path, inside);
            let text = |key: &str| table[key].as_str().unwrap_or("").to_owned();
            let (gsm7, ucs2) = (text("gsm7"), text("ucs2"));
            let both = ValueFile::ByEncoding(crate::provider::format::EncodingFile { gsm7, ucs2 });
            return Node::Text(self.value(path, &both, Allow::Message));
        }
        let fields = table.iter().filter(|(key, _)| *key != "each").map(|(key, value)| {
            let mut quoted = String::new();
            json_escape(key, &mut quoted);
            (quoted, self.node(&path.key(key), value, inside, each))
        });
        Node::Table(fields.collect())
    }

    fn node(&mut self, path: &KeyPath, value: &toml::Value, inside: bool, each: &mut u32) -> Node {
        match value {
            toml::Value::String(text) => self.json_text(path, text, inside),
            toml::Value::Integer(number) => Node::Raw(number.to_string()),
            toml::Value::Boolean(flag) => Node::Raw(flag.to_string()),
            toml::Value::Float(number) if number.is_finite() => Node::Raw(number.to_string()),
            toml::Value::Table(table) => {
                if table.contains_key("each") {
                    self.complaints
                        .add(path, "`each` belongs into a table that is the only element of an array");
                }
                self.table(path, table, inside, each)
            }
            toml::Value::Array(items) => self.list(path, items, inside, each),
            toml::Value::Float(_) | toml::Value::Datetime(_) => {
                self.complaints.add(path, "JSON has no such value; write it as a text");
                Node::Raw("null".to_owned())
            }
        }
    }

    fn list(&mut self, path: &KeyPath, items: &[toml::Value], inside: bool, each: &mut u32) -> Node {
        let word = match items {
            [toml::Value::Table(only)] => only.get("each").map(|word| (only, word.as_str())),
            _ => None,
        };
        match word {
            Some((only, Some("message"))) => {
                if inside {
                    self.complaints.add(path, "`each` cannot stand inside another `each`");
                }
                *each += 1;
                Node::Each(Box::new(self.table(&path.index(0), only, true, each)))
            }
            Some(_) => {
                self.complaints.add(&path.index(0).key("each"), "can only be \"message\"");
                Node::Raw("null".to_owned())
            }
            None => {
                let nodes = items.iter().enumerate();
                Node::List(nodes.map(|(at, item)| self.node(&path.index(at), item, inside, each)).collect())
            }
        }
    }

    fn json_text(&mut self, path: &KeyPath, text: &str, inside: bool) -> Node {
        let template = self.template(path, text, Allow::Message);
        if template.holes().any(|hole| !hole.source.is_static()) {
            self.needs_each(path, inside);
        }
        if !template.is_number() {
            return Node::Text(Value::One(template));
        }
        if !template.is_one_hole() {
            self.complaints
                .add(path, "the filter `number` needs a value that is one placeholder and nothing else");
        }
        Node::Number(template)
    }

    fn needs_each(&mut self, path: &KeyPath, inside: bool) {
        if self.file.limits.recipients > 1 && !inside {
            let problem = "depends on the message; with many messages in a request it must stand inside `each = \"message\"`";
            self.complaints.add(path, problem);
        }
    }

    /// A request that is repeated must be the same, octet by octet, unless the provider looks at its reference alone.
    fn idempotence(&mut self, path: &KeyPath, file: &SendFile, sources: &[Source]) {
        if file.idempotent_by.is_some() != file.idempotent_seconds.is_some() {
            let problem = "`idempotent_by` and `idempotent_seconds` belong together";
            self.complaints.add(path, problem);
        }
        if file.idempotent_by.is_none() {
            return;
        }
        let path = path.key("idempotent_by");
        if !sources.contains(&Source::Reference) {
            self.complaints.add(&path, "{reference} stands nowhere in headers, query, form or json");
        }
        let way_out =
            "say idempotent_request = \"any\" if the provider judges a repeat by its reference alone";
        if file.idempotent_request == RepeatWord::Same && sources.contains(&Source::Validity) {
            let problem =
                format!("{{validity}} changes with time, so a repeated request would differ; {way_out}");
            self.complaints.add(&path, problem);
        }
        if file.idempotent_request == RepeatWord::Same && self.file.limits.recipients > 1 {
            let problem = format!(
                "a message that is repeated goes alone, so a request of many would differ; {way_out}"
            );
            self.complaints.add(&path, problem);
        }
    }

    /// A request that never says who shall get what is a mistake in every protocol.
    fn carries_message(&mut self, path: &KeyPath, query: &[(String, Value)], body: &Body) {
        let sources = sources(&[], query, body);
        for (source, written) in [(Source::To, "{to}"), (Source::Text, "{text}")] {
            if !sources.contains(&source) {
                self.complaints.add(path, format!("{written} stands nowhere in query, form or json"));
            }
        }
    }
}

/// Every placeholder of a request.
fn sources(headers: &[(HeaderName, Template)], query: &[(String, Value)], body: &Body) -> Vec<Source> {
    let mut sources = Vec::new();
    let mut note = |template: &Template| {
        sources.extend(template.holes().map(|hole| hole.source.clone()));
    };
    for (_, template) in headers {
        note(template);
    }
    let fields = query.iter().chain(if let Body::Form(form) = body { form.as_slice() } else { &[] });
    fields.flat_map(|(_, value)| value.templates()).for_each(&mut note);
    if let Body::Json(node) = body {
        visit(node, &mut note);
    }
    sources
}

fn visit(node: &Node, note: &mut impl FnMut(&Template)) {
    match node {
        Node::Raw(_) => {}
        Node::Text(value) => value.templates().for_each(&mut *note),
        Node::Number(template) => note(template),
        Node::Table(fields) => fields.iter().for_each(|(_, node)| visit(node, note)),
        Node::List(nodes) => nodes.iter().for_each(|node| visit(node, note)),
        Node::Each(node) => visit(node, note),
    }
}

fn is_by_encoding(table: &toml::Table) -> bool {
    table.len() == 2 && table.get("gsm7").is_some_and(toml::Value::is_str) && table.contains_key("ucs2")
}

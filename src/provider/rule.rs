//! Ordered rules: conditions over an HTTP status and a body, the first that matches wins.
//!
//! A rule only compares. It has no expressions, no order of its own and no effect.

use super::extract::Fields;

/// What a value may be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expected {
    /// Exactly this text; numbers and booleans are compared as they are written.
    Text(String),
    /// A whole number between two, both included.
    Range(i64, i64),
}

impl Expected {
    /// Reads `404`, `500..599` or any word.
    pub(crate) fn read(text: &str) -> Self {
        let range = text.split_once("..").and_then(|(low, high)| {
            let (low, high) = (low.trim().parse().ok()?, high.trim().parse().ok()?);
            (low <= high).then_some(Self::Range(low, high))
        });
        range.unwrap_or_else(|| Self::Text(text.to_owned()))
    }

    /// Whether `value` is it.
    pub(crate) fn is(&self, value: &str) -> bool {
        match self {
            Self::Text(text) => text == value,
            Self::Range(low, high) => {
                value.parse::<i64>().is_ok_and(|number| (*low..=*high).contains(&number))
            }
        }
    }
}

/// One rule and what it means.
#[derive(Clone, Debug)]
pub struct Rule<T> {
    /// Any of these HTTP statuses; empty = any status.
    pub http: Vec<Expected>,
    /// What the next three look at; nothing = the whole body.
    pub at: Option<String>,
    /// Any of these; empty = not asked.
    pub is: Vec<Expected>,
    /// A text inside it.
    pub contains: Option<String>,
    /// A text at its beginning.
    pub starts_with: Option<String>,
    /// What it means.
    pub meaning: T,
    /// Why, for people.
    pub why: Option<String>,
    /// See [`super::format::RuleFile::duplicate`].
    pub duplicate: bool,
}

/// What rules look at.
#[derive(Debug)]
pub(crate) struct Evidence<'e, 'a> {
    /// The HTTP status, where there is one.
    pub(crate) status: Option<u16>,
    /// The raw body, for conditions on the whole of it.
    pub(crate) body: &'e str,
    /// The fields of the body or of one item.
    pub(crate) fields: &'e Fields<'a>,
}

impl<T> Rule<T> {
    /// Whether every condition holds.
    pub(crate) fn matches(&self, evidence: &Evidence<'_, '_>) -> bool {
        let status_holds = self.http.is_empty()
            || evidence.status.is_some_and(|status| {
                let status = status.to_string();
                self.http.iter().any(|expected| expected.is(&status))
            });
        status_holds && self.value_holds(evidence)
    }

    /// What matched, for people who debug a definition: `/code is 21610`.
    pub(crate) fn describe(&self, evidence: &Evidence<'_, '_>) -> String {
        let mut said = Vec::new();
        if let (false, Some(status)) = (self.http.is_empty(), evidence.status) {
            said.push(format!("http {status}"));
        }
        let place = self.at.as_deref().unwrap_or("body");
        if !self.is.is_empty() {
            let value = self.at.as_deref().and_then(|at| evidence.fields.get(at));
            said.push(format!("{place} is {}", value.unwrap_or_default()));
        }
        said.extend(self.starts_with.iter().map(|text| format!("{place} starts with {text:?}")));
        said.extend(self.contains.iter().map(|text| format!("{place} contains {text:?}")));
        said.join(", ")
    }

    fn value_holds(&self, evidence: &Evidence<'_, '_>) -> bool {
        if self.is.is_empty() && self.contains.is_none() && self.starts_with.is_none() {
            return true;
        }
        let found = self.at.as_deref().map(|at| evidence.fields.get(at));
        let value = match &found {
            Some(Some(value)) => value.as_ref(),
            Some(None) => return false,
            None => evidence.body,
        };
        (self.is.is_empty() || self.is.iter().any(|expected| expected.is(value)))
            && self.contains.as_deref().is_none_or(|text| value.contains(text))
            && self.starts_with.as_deref().is_none_or(|text| value.trim_start().starts_with(text))
    }
}

/// The first rule that matches, with its place in the list.
pub(crate) fn first<'r, T>(
    rules: &'r [Rule<T>],
    evidence: &Evidence<'_, '_>,
) -> Option<(usize, &'r Rule<T>)> {
    rules.iter().enumerate().find(|(_, rule)| rule.matches(evidence))
}

#[cfg(test)]
mod tests {
    use super::{Evidence, Expected, Rule};
    use crate::provider::extract::Fields;
    use crate::provider::format::BodyWord;

    fn rule(change: impl Fn(&mut Rule<()>)) -> Rule<()> {
        let (http, at, is, contains, starts_with) = (vec![], None, vec![], None, None);
        let mut rule = Rule { http, at, is, contains, starts_with, meaning: (), why: None, duplicate: false };
        change(&mut rule);
        rule
    }

    #[test]
    fn every_condition_of_a_rule_must_hold() {
        let body = r#"{"code":21610,"text":"Number stopped"}"#;
        let fields = Fields::read(BodyWord::Json, body.as_bytes());
        let evidence = Evidence { status: Some(400), body, fields: &fields };
        let check = |holds: bool, rule: &Rule<()>| assert_eq!(rule.matches(&evidence), holds, "{rule:?}");
        check(true, &rule(|r| r.http = vec![Expected::read("400..499")]));
        check(false, &rule(|r| r.http = vec![Expected::read("500..599")]));
        let code = |expected: &str| {
            let expected = Expected::read(expected);
            rule(move |r| (r.at, r.is) = (Some("/code".to_owned()), vec![expected.clone()]))
        };
        check(true, &code("21610"));
        check(true, &code("21600..21620"));
        check(false, &code("2161"));
        check(false, &rule(|r| (r.at, r.is) = (Some("/nil".into()), vec![Expected::read("1")])));
        check(true, &rule(|r| r.contains = Some("stopped".into())));
        check(false, &rule(|r| (r.contains, r.http) = (Some("stopped".into()), vec![Expected::read("200")])));
        check(true, &rule(|r| (r.at, r.starts_with) = (Some("/text".into()), Some("Number".into()))));
    }
}

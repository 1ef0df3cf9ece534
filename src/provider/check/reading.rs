//! Checks `[response]`: how answers are read.

use super::{Checker, expected};
use crate::model::outcome::OutcomeClass;
use crate::provider::complaint::KeyPath;
use crate::provider::definition::{Each, Response};
use crate::provider::extract::Field;
use crate::provider::format::{BodyWord, EachFile, FieldFile, MatchBy, ResponseFile, RuleFile};
use crate::provider::rule::Rule;

impl Checker<'_> {
    pub(super) fn response(&mut self, file: &ResponseFile) -> Response {
        let path = KeyPath::root().key("response");
        if file.format == BodyWord::Query {
            self.complaints.add(&path.key("format"), "an answer is `json`, `form` or `text`");
        }
        let rules = self.classes(&path, &file.class, file.format);
        if file.id.is_none() && file.each.is_none() && !rules.iter().any(accepts) {
            let problem =
                "nothing says what an accepted message looks like; give `id` or a class as = \"accepted\"";
            self.complaints.add(&path, problem);
        }
        Response {
            format: file.format,
            id: self.optional_field(&path.key("id"), file.id.as_ref(), file.format),
            code: self.optional_field(&path.key("code"), file.code.as_ref(), file.format),
            detail: self.optional_field(&path.key("detail"), file.detail.as_ref(), file.format),
            rules,
            each: file.each.as_ref().map(|each| self.each(&path.key("each"), each, file.format)),
        }
    }

    fn each(&mut self, path: &KeyPath, file: &EachFile, format: BodyWord) -> Each {
        if format != BodyWord::Json {
            self.complaints.add(path, "only a JSON answer can judge each message by itself");
        }
        let by_index = file.match_by == MatchBy::Index;
        if by_index == file.match_at.is_some() {
            let problem =
                "`match_at` says where an item holds the reference or the number; `index` needs none";
            self.complaints.add(&path.key("match_by"), problem);
        }
        let rules = self.classes(path, &file.class, BodyWord::Json);
        if !rules.iter().any(accepts) {
            self.complaints
                .add(path, "no class here is as = \"accepted\", so nothing could ever be accepted");
        }
        Each {
            list: self.pointer(&path.key("list"), &file.list),
            match_by: file.match_by,
            match_at: file.match_at.as_ref().map(|at| self.pointer(&path.key("match_at"), at)),
            id: self.optional_field(&path.key("id"), file.id.as_ref(), BodyWord::Json),
            code: self.optional_field(&path.key("code"), file.code.as_ref(), BodyWord::Json),
            detail: self.optional_field(&path.key("detail"), file.detail.as_ref(), BodyWord::Json),
            rules,
        }
    }

    fn classes(
        &mut self,
        path: &KeyPath,
        files: &[RuleFile<OutcomeClass>],
        format: BodyWord,
    ) -> Vec<Rule<OutcomeClass>> {
        for (at, file) in files.iter().enumerate() {
            if file.duplicate && file.as_ != OutcomeClass::Accepted {
                let path = path.key("class").index(at).key("duplicate");
                self.complaints.add(&path, "only an accepted message can be a duplicate");
            }
        }
        self.rules(&path.key("class"), files, format, true)
    }

    pub(super) fn rules<T: Copy>(
        &mut self,
        path: &KeyPath,
        files: &[RuleFile<T>],
        format: BodyWord,
        http: bool,
    ) -> Vec<Rule<T>> {
        let checked =
            files.iter().enumerate().map(|(at, file)| self.rule(&path.index(at), file, format, http));
        checked.collect()
    }

    fn rule<T: Copy>(&mut self, path: &KeyPath, file: &RuleFile<T>, format: BodyWord, http: bool) -> Rule<T> {
        let compares = !file.is.is_empty() || file.contains.is_some() || file.starts_with.is_some();
        if !compares && file.http.is_empty() {
            self.complaints.add(path, "has no condition; give `http`, or `at` with `is`, or `contains`");
        }
        if !file.http.is_empty() && !http {
            self.complaints.add(&path.key("http"), "a callback has no HTTP status");
        }
        if file.at.is_some() && !compares {
            self.complaints
                .add(&path.key("at"), "says where to look but not for what; give `is` or `contains`");
        }
        if !file.is.is_empty() && file.at.is_none() {
            self.complaints.add(&path.key("is"), "needs `at`, the place to look at");
        }
        if file.at.is_some() && format == BodyWord::Text {
            self.complaints
                .add(&path.key("at"), "a plain text has no places; use `contains` or `starts_with`");
        }
        let at = file.at.as_ref().map(|at| self.place(&path.key("at"), at, format));
        Rule {
            http: expected(&file.http),
            at,
            is: expected(&file.is),
            contains: file.contains.clone(),
            starts_with: file.starts_with.clone(),
            meaning: file.as_,
            why: file.why.clone(),
            duplicate: file.duplicate,
        }
    }

    pub(super) fn optional_field(
        &mut self,
        path: &KeyPath,
        file: Option<&FieldFile>,
        format: BodyWord,
    ) -> Option<Field> {
        file.map(|file| self.field(path, file, format))
    }

    pub(super) fn field(&mut self, path: &KeyPath, file: &FieldFile, format: BodyWord) -> Field {
        let (at, after, before) = match file {
            FieldFile::At(at) => (Some(at.clone()), String::new(), None),
            FieldFile::Cut(cut) => (cut.at.clone(), cut.after.clone(), cut.before.clone()),
        };
        if at.is_some() == (format == BodyWord::Text) {
            let problem = if format == BodyWord::Text {
                "a plain text has no places; cut it with { after = \"…\", before = \"…\" }"
            } else {
                "needs `at`, a JSON pointer or the name of a field"
            };
            self.complaints.add(path, problem);
        }
        Field { at: at.map(|at| self.place(path, &at, format)), after, before }
    }

    fn place(&mut self, path: &KeyPath, at: &str, format: BodyWord) -> String {
        if format == BodyWord::Json { self.pointer(path, at) } else { at.to_owned() }
    }

    /// RFC 6901: empty, or a `/` before each step; `~` only as `~0` or `~1`.
    pub(super) fn pointer(&mut self, path: &KeyPath, pointer: &str) -> String {
        let tilde = pointer.split('~').skip(1).all(|rest| rest.starts_with(['0', '1']));
        if (!pointer.is_empty() && !pointer.starts_with('/')) || !tilde {
            let problem = format!("`{pointer}` is not a JSON pointer; write /outer/inner or /list/0");
            self.complaints.add(path, problem);
        }
        pointer.to_owned()
    }
}

fn accepts(rule: &Rule<OutcomeClass>) -> bool {
    rule.meaning == OutcomeClass::Accepted
}

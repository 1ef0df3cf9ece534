//! All known definitions: those compiled in, and those of a user's folder, which add to them or replace them whole.
//!
//! Reads files once, when it is built; never at send time.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use super::check;
use super::complaint::{Complaint, Complaints, KeyPath, hint};
use super::definition::Definition;
use super::format::DefinitionFile;

/// `providers/*.toml` as (file name, text), listed by the build script.
const BUILTIN: &[(&str, &str)] = include!(concat!(env!("OUT_DIR"), "/providers.rs"));

const CASES: &str = ".cases.toml";

/// Every definition that routes may name.
#[derive(Debug)]
pub struct Catalog {
    entries: BTreeMap<String, Entry>,
}

#[derive(Debug)]
struct Entry {
    definition: Arc<Definition>,
    text: String,
    cases: Option<CasesText>,
}

/// The recorded cases of a definition, unread.
#[derive(Clone, Debug)]
pub struct CasesText {
    /// The file's name, for complaints.
    pub file: String,
    /// Its text.
    pub text: String,
}

/// Files by their name inside their folder.
type Files = BTreeMap<String, (String, String)>;

impl Catalog {
    /// The definitions that are compiled in.
    pub fn builtin() -> Self {
        let built = Self::build(&builtin_files());
        built.unwrap_or_else(|complaints| {
            let list: Vec<String> = complaints.iter().map(Complaint::to_string).collect();
            unreachable!("built-in definitions are checked by a test:\n{}", list.join("\n"))
        })
    }

    /// The definitions that are compiled in, with those of `folder`: a file of the same name replaces a built-in one
    /// and its cases whole.
    ///
    /// # Errors
    /// Everything that is wrong with the folder's definitions.
    pub fn with_folder(folder: &Path) -> Result<Self, Vec<Complaint>> {
        let mut files = builtin_files();
        let own = read_folder(folder)?;
        for name in own.keys().filter(|name| !name.ends_with(CASES)) {
            files.remove(&cases_name(name));
        }
        files.extend(own);
        Self::build(&files)
    }

    /// One definition.
    pub fn get(&self, name: &str) -> Option<Arc<Definition>> {
        self.entries.get(name).map(|entry| Arc::clone(&entry.definition))
    }

    /// Every name, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.entries.keys().map(String::as_str)
    }

    /// The text of a definition as its author wrote it.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.entries.get(name).map(|entry| entry.text.as_str())
    }

    /// The recorded cases of a definition.
    pub fn cases(&self, name: &str) -> Option<&CasesText> {
        self.entries.get(name)?.cases.as_ref()
    }

    fn build(files: &Files) -> Result<Self, Vec<Complaint>> {
        let mut entries = BTreeMap::new();
        let mut complaints = Vec::new();
        for (name, (file, text)) in files.iter().filter(|(name, _)| !name.ends_with(CASES)) {
            match load(file, text, files) {
                Ok(definition) => {
                    let cases = files.get(&cases_name(name));
                    let cases = cases.cloned().map(|(file, text)| CasesText { file, text });
                    let definition = Arc::new(definition);
                    let entry = Entry { definition, text: text.clone(), cases };
                    entries.insert(entry.definition.name.clone(), entry);
                }
                Err(list) => complaints.extend(list),
            }
        }
        if complaints.is_empty() { Ok(Self { entries }) } else { Err(complaints) }
    }
}

fn builtin_files() -> Files {
    let named =
        |(name, text): &(&str, &str)| ((*name).to_owned(), (format!("providers/{name}"), (*text).to_owned()));
    BUILTIN.iter().map(named).collect()
}

fn read_folder(folder: &Path) -> Result<Files, Vec<Complaint>> {
    let unreadable = |path: &Path, error: &std::io::Error| {
        vec![Complaint::whole(path.display().to_string(), format!("cannot be read: {error}"))]
    };
    let mut files = Files::new();
    for entry in fs::read_dir(folder).map_err(|error| unreadable(folder, &error))? {
        let path = entry.map_err(|error| unreadable(folder, &error))?.path();
        if path.extension().is_some_and(|extension| extension == "toml") {
            let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
            let text = fs::read_to_string(&path).map_err(|error| unreadable(&path, &error))?;
            files.insert(name, (path.display().to_string(), text));
        }
    }
    Ok(files)
}

fn cases_name(name: &str) -> String {
    format!("{}{CASES}", name.trim_end_matches(".toml"))
}

/// Reads one definition; what it extends lends it the top-level keys that it lacks.
fn load(file: &str, text: &str, files: &Files) -> Result<Definition, Vec<Complaint>> {
    let Ok(own) = toml::from_str::<toml::Table>(text) else { return check::check(file, text) };
    let Some(parent) = own.get("extends").and_then(toml::Value::as_str) else {
        return check::check(file, text);
    };
    let mut complaints = Complaints::about(file, text);
    let path = KeyPath::root().key("extends");
    let Some((_, parent_text)) = files.get(&format!("{parent}.toml")) else {
        let known = files.keys().filter(|name| !name.ends_with(CASES)).map(|n| n.trim_end_matches(".toml"));
        complaints.add(&path, format!("no definition is called `{parent}`{}", hint(parent, known)));
        return Err(complaints.finish().err().unwrap_or_default());
    };
    let lent = toml::from_str::<toml::Table>(parent_text).unwrap_or_default();
    if lent.contains_key("extends") {
        complaints.add(&path, format!("`{parent}` extends another definition; one level is all there is"));
    }
    let mut merged = own;
    for (key, value) in lent {
        merged.entry(key).or_insert(value);
    }
    match serde_path_to_error::deserialize::<_, DefinitionFile>(toml::Value::Table(merged)) {
        Ok(parsed) => {
            complaints.finish()?;
            check::compile(file, text, &parsed)
        }
        Err(error) => {
            let at = error.path().iter().fold(KeyPath::root(), |path, segment| match segment {
                serde_path_to_error::Segment::Seq { index } => path.index(*index),
                serde_path_to_error::Segment::Map { key } => path.key(key),
                _ => path,
            });
            complaints.add(&at, error.inner().message().to_owned());
            Err(complaints.finish().err().unwrap_or_default())
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::Catalog;
    use crate::provider::Complaint;

    const ACME: &str = "format = 1\nname = 'acme'\n[send]\nmethod = 'POST'\nurl = 'https://acme.example/send'\n\
        [send.form]\nto = '{to}'\ntext = '{text}'\n[response]\nid = '/id'\n";

    fn with_files(files: &[(&str, &str)]) -> Result<Catalog, Vec<Complaint>> {
        let folder = tempfile::tempdir().expect("a folder");
        for (name, text) in files {
            fs::write(folder.path().join(name), text).expect("a file");
        }
        Catalog::with_folder(folder.path())
    }

    #[test]
    fn a_users_folder_adds_and_replaces_whole_files() {
        let twilio = ACME.replace("'acme'", "'twilio'");
        let catalog = with_files(&[("acme.toml", ACME), ("twilio.toml", &twilio)]).expect("both are right");
        assert!(catalog.names().any(|name| name == "acme"));
        assert!(catalog.get("twilio").expect("replaced").secrets.is_empty());
        assert!(catalog.cases("twilio").is_none(), "the cases of the replaced file are gone with it");
        assert!(catalog.get("kannel").is_some(), "the others stay");
    }

    #[test]
    fn a_definition_takes_what_it_lacks_from_the_one_it_extends() {
        let child = "format = 1\nname = 'acme-eu'\nextends = 'acme'\n[limits]\nparts_per_second = 5\n";
        let catalog = with_files(&[("acme.toml", ACME), ("acme-eu.toml", child)]).expect("both are right");
        let definition = catalog.get("acme-eu").expect("is there");
        assert_eq!((definition.limits.parts_per_second, definition.response.id.is_some()), (Some(5), true));
    }

    #[test]
    fn a_wrong_parent_is_named_with_the_way_out() {
        let check = |files: &[(&str, &str)], said: &str| {
            let list = with_files(files).expect_err("is wrong");
            let all: Vec<String> = list.iter().map(ToString::to_string).collect();
            assert!(all.iter().any(|line| line.contains(said)), "{all:?}");
        };
        let child = "format = 1\nname = 'b'\nextends = 'acm'\n";
        check(
            &[("acme.toml", ACME), ("b.toml", child)],
            "b.toml:3:1: `extends`: no definition is called `acm`",
        );
        let middle = "format = 1\nname = 'b'\nextends = 'acme'\n";
        let last = "format = 1\nname = 'c'\nextends = 'b'\n";
        check(&[("acme.toml", ACME), ("b.toml", middle), ("c.toml", last)], "one level is all there is");
        let typo = "format = 1\nname = 'b'\nextends = 'acme'\n[limits]\nrecipents = 1\n";
        check(&[("acme.toml", ACME), ("b.toml", typo)], "b.toml:5:1: `limits.recipents`");
    }
}

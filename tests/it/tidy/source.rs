//! The repository as the rules see it: its text files, and its Rust files as syntax trees with every path resolved.
//!
//! It reads files and judges nothing.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::sync::OnceLock;

use syn::visit::Visit as _;

use super::paths::{Collector, Function, Named};

/// One text file.
#[derive(Debug)]
pub(super) struct Text {
    /// Its path from the root of the repository, with `/`.
    pub(super) path: String,
    pub(super) text: String,
}

impl Text {
    /// Whether its name ends with a dot and this.
    pub(super) fn has_ending(&self, ending: &str) -> bool {
        Path::new(&self.path).extension().is_some_and(|own| own == ending)
    }
}

/// One Rust file, read as code.
#[derive(Debug)]
pub(super) struct Source {
    pub(super) path: String,
    pub(super) text: String,
    /// Compiled for tests only: below `tests/`, or declared by a `#[cfg(test)] mod`.
    pub(super) test: bool,
    /// How many items it has.
    pub(super) items: usize,
    /// Every path that is named in it, resolved through its imports.
    pub(super) named: Vec<Named>,
    /// Every function with a body.
    pub(super) functions: Vec<Function>,
    /// Lines of `#[allow]`.
    pub(super) allows: Vec<usize>,
    /// First and last lines of inline `#[cfg(test)]` modules.
    pub(super) test_lines: Vec<(usize, usize)>,
}

impl Source {
    /// Reads `text` as the file at `path`; what it declares as test modules goes into `tests`.
    pub(super) fn read(path: &str, text: &str, tests: &mut BTreeSet<String>) -> Self {
        let file = syn::parse_file(text).unwrap_or_else(|error| {
            panic!("{path}:{}: cannot be read as Rust: {error}", error.span().start().line)
        });
        let mut collector = Collector::new(module_of(path));
        collector.visit_file(&file);
        tests.extend(collector.test_modules.iter().map(|name| beside(path, name)));
        Self {
            path: path.to_owned(),
            text: text.to_owned(),
            test: path.starts_with("tests/") || path.starts_with("benches/"),
            items: file.items.len(),
            allows: collector.allows.clone(),
            test_lines: collector.test_lines.clone(),
            functions: std::mem::take(&mut collector.functions),
            named: collector.resolved(),
        }
    }

    /// A snippet as the rules see it; for their negative tests.
    pub(super) fn snippet(path: &str, text: &str) -> Self {
        Self::read(path, text, &mut BTreeSet::new())
    }

    /// The top-level module it belongs to; none for `main.rs`, `lib.rs` and what is outside `src/`.
    pub(super) fn top(&self) -> Option<&str> {
        let inside = self.path.strip_prefix("src/")?;
        let name = inside.split('/').next().unwrap_or(inside).trim_end_matches(".rs");
        (name != "main" && name != "lib").then_some(name)
    }

    /// Whether a line is compiled for tests only.
    pub(super) fn is_test_line(&self, line: usize) -> bool {
        self.test || self.test_lines.iter().any(|(first, last)| (*first..=*last).contains(&line))
    }
}

/// Everything there is.
pub(super) struct Repository {
    pub(super) texts: Vec<Text>,
    pub(super) sources: Vec<Source>,
}

impl Repository {
    /// The repository, read once for all rules.
    pub(super) fn read() -> &'static Self {
        static READ: OnceLock<Repository> = OnceLock::new();
        READ.get_or_init(Self::collect)
    }

    /// What `.gitignore` names and what is no text is left out.
    fn collect() -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let ignored = fs::read_to_string(root.join(".gitignore")).unwrap_or_default();
        let ignored: Vec<&str> = ignored.lines().filter(|line| !line.starts_with('#')).collect();
        let mut texts = Vec::new();
        walk(root, "", &ignored, &mut texts);
        texts.sort_by(|a, b| a.path.cmp(&b.path));
        let mut tests = BTreeSet::new();
        let rust = texts.iter().filter(|file| file.has_ending("rs"));
        let mut sources: Vec<_> = rust.map(|file| Source::read(&file.path, &file.text, &mut tests)).collect();
        for source in &mut sources {
            source.test |= tests.iter().any(|module| {
                let rest = source.path.strip_prefix(module.as_str());
                rest.is_some_and(|rest| rest == ".rs" || rest.starts_with('/'))
            });
        }
        Self { texts, sources }
    }

    /// Rust files of the product and its inline tests.
    pub(super) fn house(&self) -> impl Iterator<Item = &Source> {
        self.sources.iter().filter(|source| source.path.starts_with("src/"))
    }

    /// Names of the files directly inside a folder.
    pub(super) fn names_in(&self, folder: &str) -> Vec<&str> {
        let inside = self.texts.iter().filter_map(|file| file.path.strip_prefix(folder)?.strip_prefix('/'));
        inside.filter(|name| !name.contains('/')).collect()
    }

    /// Every path of a file or folder.
    pub(super) fn places(&self) -> BTreeSet<&str> {
        let mut places = BTreeSet::new();
        for file in &self.texts {
            let mut place = Some(file.path.as_str());
            while let Some(here) = place {
                places.insert(here);
                place = here.rsplit_once('/').map(|(folder, _)| folder);
            }
        }
        places
    }
}

fn walk(root: &Path, below: &str, ignored: &[&str], texts: &mut Vec<Text>) {
    for entry in fs::read_dir(root.join(below)).expect("the folder can be read") {
        let entry = entry.expect("the entry can be read");
        let name = entry.file_name().to_string_lossy().into_owned();
        let path = if below.is_empty() { name.clone() } else { format!("{below}/{name}") };
        if name == ".git" || ignored.iter().any(|pattern| matches(pattern, &name, &path)) {
            continue;
        }
        if entry.path().is_dir() {
            walk(root, &path, ignored, texts);
        } else if let Ok(text) = fs::read_to_string(entry.path()) {
            texts.push(Text { path, text });
        }
    }
}

/// As much of `.gitignore` as this repository uses: names, paths and `*.ending`.
fn matches(pattern: &str, name: &str, path: &str) -> bool {
    let pattern = pattern.trim().trim_end_matches('/');
    match (pattern.strip_prefix('*'), pattern.strip_prefix('/')) {
        _ if pattern.is_empty() => false,
        (Some(ending), _) => name.ends_with(ending),
        (_, Some(place)) => path == place,
        _ => name == pattern || path == pattern,
    }
}

/// `src/a/b.rs` is the module `a::b`.
fn module_of(path: &str) -> Vec<String> {
    let inside = path.strip_prefix("src/").unwrap_or(path).trim_end_matches(".rs");
    let mut parts: Vec<String> = inside.split('/').map(str::to_owned).collect();
    if matches!(parts.last().map(String::as_str), Some("mod" | "lib" | "main")) {
        parts.pop();
    }
    parts
}

/// Where the module `name`, declared in the file at `path`, lies, without its ending.
fn beside(path: &str, name: &str) -> String {
    if let Some(stem) = name.strip_suffix(".rs") {
        return path.rsplit_once('/').map_or(stem.to_owned(), |(folder, _)| format!("{folder}/{stem}"));
    }
    let file = path.trim_end_matches(".rs");
    let folder = ["/mod", "/lib", "/main"].iter().find_map(|end| file.strip_suffix(end)).unwrap_or(file);
    format!("{folder}/{name}")
}

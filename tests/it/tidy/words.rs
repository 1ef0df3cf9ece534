//! Which words stay out of the repository, and that links lead somewhere.

use std::collections::BTreeSet;

use super::Complaint;
use super::source::{Repository, Text};

/// A word, the files it may stand in, and the way out. Written in two halves, so that this file passes its own rule.
struct Banned {
    halves: (&'static str, &'static str),
    /// `XX` and `xx` are different words.
    exact: bool,
    allowed: &'static [&'static str],
    way_out: &'static str,
}

const DO_IT: &str = "do it, or leave it out and say in the documentation what there is";
const NO_MACHINE: &str = "write a path from the repository's root, or one of the reader's own";
const NO_REGISTRY: &str = "name the crate; its home is known to the tools";
/// Where it means `{to}` in a definition.
const FORMAT: &[&str] = &[
    "src/provider/",
    "src/segment/",
    "providers/",
    "tests/data/segment/",
    "docs/providers.md",
    "docs/adr/",
    "docs/segments.md",
];

const BANNED: &[Banned] = &[
    Banned { halves: ("to", "do"), exact: false, allowed: &["Cargo.toml"], way_out: DO_IT },
    Banned { halves: ("fix", "me"), exact: false, allowed: &[], way_out: DO_IT },
    Banned { halves: ("XX", "X"), exact: true, allowed: &[], way_out: DO_IT },
    Banned { halves: ("for ", "now"), exact: false, allowed: &[], way_out: DO_IT },
    Banned { halves: ("unimple", "mented"), exact: false, allowed: &[], way_out: DO_IT },
    Banned { halves: ("place", "holder"), exact: false, allowed: FORMAT, way_out: DO_IT },
    Banned { halves: ("/wo", "rk"), exact: true, allowed: &[], way_out: NO_MACHINE },
    Banned { halves: ("/ro", "ot"), exact: true, allowed: &[], way_out: NO_MACHINE },
    Banned { halves: ("/ho", "me"), exact: true, allowed: &[], way_out: NO_MACHINE },
    Banned { halves: ("crates", ".io"), exact: false, allowed: &["Cargo.lock"], way_out: NO_REGISTRY },
    Banned { halves: ("pypi", ".org"), exact: false, allowed: &[], way_out: NO_REGISTRY },
    Banned { halves: ("npm", "js"), exact: false, allowed: &[], way_out: NO_REGISTRY },
];

/// Words that say a thing is not finished, or that belong to one machine.
pub(super) fn banned_words(file: &Text) -> Vec<Complaint> {
    let mut complaints = Vec::new();
    for banned in BANNED.iter().filter(|b| !b.allowed.iter().any(|place| file.path.starts_with(place))) {
        let word = [banned.halves.0, banned.halves.1].concat();
        for (at, line) in file.text.lines().enumerate() {
            let found =
                if banned.exact { has_word(line, &word) } else { has_word(&line.to_lowercase(), &word) };
            if found {
                let rule = format!("`{word}` stays out of the repository");
                complaints.push(Complaint::at(&file.path, at + 1, rule, banned.way_out));
            }
        }
    }
    complaints
}

fn has_word(line: &str, word: &str) -> bool {
    let letter = |c: char| c.is_alphanumeric() || c == '_';
    line.match_indices(word).any(|(at, _)| {
        let (before, after) = (&line[..at], &line[at + word.len()..]);
        // A plural is the same word; a path goes on after its first folder; an address has its host before it.
        let after = after.strip_prefix('s').unwrap_or(after);
        let inside = before.ends_with(letter) || after.starts_with(letter);
        let relative = word.starts_with('/') && before.ends_with('.');
        !(inside || relative)
    })
}

/// Links of a page that lead to no file, and paths it names that do not exist.
pub(super) fn dead_links(page: &Text, places: &BTreeSet<&str>) -> Vec<Complaint> {
    let folder = page.path.rsplit_once('/').map_or("", |(folder, _)| folder);
    let mut complaints = Vec::new();
    let mut fenced = false;
    for (at, line) in page.text.lines().enumerate() {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
        }
        if fenced {
            continue;
        }
        for target in
            line.split("](").skip(1).filter_map(|rest| rest.split_once(')')).map(|(target, _)| target)
        {
            let file = target.split('#').next().unwrap_or(target);
            if !file.is_empty() && !file.contains("://") && !places.contains(joined(folder, file).as_str()) {
                let rule = format!("the link to `{target}` leads nowhere");
                complaints.push(Complaint::at(&page.path, at + 1, rule, "mend the link, or write the page"));
            }
        }
        for path in line.split('`').skip(1).step_by(2).filter(|code| is_path(code)) {
            if !places.contains(path.trim_end_matches('/')) {
                let rule = format!("there is no `{path}`");
                complaints.push(Complaint::at(&page.path, at + 1, rule, "name the file that is meant"));
            }
        }
    }
    complaints
}

/// `src/store/claims.rs`, but not `src/cli/<noun>.rs` or a command with a path in it.
fn is_path(code: &str) -> bool {
    let folders = ["src/", "tests/", "providers/", "migrations/", "docs/", "config/"];
    let plain = code.chars().all(|c| c.is_ascii_alphanumeric() || "/._-".contains(c));
    plain && folders.iter().any(|folder| code.starts_with(folder))
}

/// `docs` and `../README.md` make `README.md`.
fn joined(folder: &str, link: &str) -> String {
    let mut parts: Vec<&str> = folder.split('/').filter(|part| !part.is_empty()).collect();
    for part in link.trim_end_matches('/').split('/') {
        match part {
            ".." => _ = parts.pop(),
            "." => {}
            part => parts.push(part),
        }
    }
    parts.join("/")
}

#[test]
fn nothing_is_left_half_done_and_nothing_belongs_to_one_machine() {
    let repository = Repository::read();
    Complaint::none(&repository.texts.iter().flat_map(banned_words).collect::<Vec<_>>());
}

#[test]
fn links_and_paths_in_the_documentation_lead_somewhere() {
    let repository = Repository::read();
    let places = repository.places();
    let pages = repository.texts.iter().filter(|file| file.has_ending("md"));
    Complaint::none(&pages.flat_map(|page| dead_links(page, &places)).collect::<Vec<_>>());
}

#[test]
fn a_banned_word_is_found_as_a_word_only() {
    let check = |path: &str, text: &str, wanted: &[usize]| {
        let file = Text { path: path.to_owned(), text: text.to_owned() };
        let said: Vec<usize> = banned_words(&file).into_iter().map(|complaint| complaint.line).collect();
        assert_eq!(said, wanted, "{text}");
    };
    for banned in BANNED {
        let word = [banned.halves.0, banned.halves.1].concat();
        check("docs/a.md", &format!("fine\nit says {word} here"), &[2]);
        check("docs/a.md", &format!("it says {word}ish here\nand a{word}"), &[]);
        if let Some(place) = banned.allowed.first() {
            check(place, &word, &[]);
        }
    }
    check("src/a.rs", concat!("let dir = \"/ho", "me/me/x\";"), &[1]);
    check("src/a.rs", concat!("https://example.com/ho", "me"), &[]);
    check("src/a.rs", concat!("// TO", "DO: later\n// to", "dos"), &[1, 2]);
    check("src/a.rs", "method and mastodon, a number as xxx", &[]);
}

#[test]
fn a_link_or_path_that_leads_nowhere_is_found() {
    let places = BTreeSet::from(["README.md", "docs", "docs/a.md", "src/store/mod.rs"]);
    let check = |text: &str, wanted: usize| {
        let page = Text { path: "docs/page.md".to_owned(), text: text.to_owned() };
        let said = dead_links(&page, &places);
        assert_eq!(said.len(), wanted, "{text}: {said:?}");
    };
    check("[a](a.md), [up](../README.md#top), [web](https://example.com/x), [here](#here)", 0);
    check("[a](b.md) and [c](../c.md)", 2);
    check("```text\n[a](b.md)\n```\n[a](b.md)", 1);
    check("`src/store/mod.rs` is there, `src/store/gone.rs` is not", 1);
    check("a new file is `src/cli/<noun>.rs`, run `cargo test src/x`", 0);
}

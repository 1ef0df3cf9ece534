//! Many questions of one process: the vectors of texts and numbers through the program itself.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::process::Stdio;

use serde_json::Value;

use super::{Said, Shop};

const COUNTING: &str = include_str!("../../data/text/counting.jsonl");
const NUMBERS: &str = include_str!("../../data/number/numbers.jsonl");

/// Sends lines to a command in a folder without any configuration.
fn ask(args: &[&str], lines: &str) -> Said {
    let shop = Shop::empty();
    let mut child = shop
        .command(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("starts");
    let (mut input, lines) = (child.stdin.take().expect("a pipe"), lines.to_owned());
    let writer = std::thread::spawn(move || input.write_all(lines.as_bytes()));
    let said = Said::of(&child.wait_with_output().expect("ends"));
    writer.join().expect("joined").expect("written");
    said
}

fn answers(args: &[&str], questions: &[String]) -> Vec<Value> {
    let lines: String = questions.iter().map(|text| Value::String(text.clone()).to_string() + "\n").collect();
    let said = ask(args, &lines);
    assert_eq!(said.code, Some(0), "{args:?}: {}", said.err);
    said.out.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

fn vectors(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).expect("a vector")).collect()
}

/// A text as such, or pieces with the number of their repetitions.
fn expand(text: &Value) -> String {
    let piece = |piece: &Value| {
        let times = usize::try_from(piece[1].as_u64().expect("a number")).expect("small");
        piece[0].as_str().expect("a text").repeat(times)
    };
    text.as_array()
        .map_or_else(|| text.as_str().expect("a text").to_owned(), |list| list.iter().map(piece).collect())
}

#[test]
fn texts_are_measured_as_the_vectors_say() {
    let vectors = vectors(COUNTING);
    let texts: Vec<String> = vectors.iter().map(|vector| expand(&vector["text"])).collect();
    let answers = answers(&["text", "--lines"], &texts);
    assert_eq!(answers.len(), vectors.len());
    for (vector, answer) in vectors.iter().zip(&answers) {
        for key in ["encoding", "units", "parts", "per_part", "parts_ref16"] {
            assert_eq!(answer[key], vector[key], "{}: {key}", vector["id"]);
        }
    }
}

#[test]
fn numbers_are_read_as_the_vectors_say() {
    let mut by_country: BTreeMap<Option<String>, Vec<Value>> = BTreeMap::new();
    for vector in vectors(NUMBERS) {
        by_country.entry(vector["default_region"].as_str().map(str::to_owned)).or_default().push(vector);
    }
    for (country, vectors) in by_country {
        let raw: Vec<String> =
            vectors.iter().map(|vector| vector["raw"].as_str().expect("a text").to_owned()).collect();
        let mut args = vec!["phone", "--lines"];
        args.extend(country.iter().flat_map(|country| ["--country", country.as_str()]));
        let answers = answers(&args, &raw);
        assert_eq!(answers.len(), vectors.len());
        for (vector, answer) in vectors.iter().zip(&answers) {
            if vector["parse"] != "ok" {
                assert_eq!(answer["error"], vector["error"], "{}", vector["id"]);
                continue;
            }
            for key in ["e164", "region", "type", "valid"] {
                assert_eq!(answer[key], vector[key], "{}: {key}", vector["id"]);
            }
        }
    }
}

#[test]
fn a_line_that_is_no_json_string_is_told_and_the_others_are_answered() {
    let said = ask(&["text", "--lines"], "\"a\"\nraw\n\"b\"");
    assert_eq!(said.code, Some(1));
    let lines: Vec<Value> = said.out.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(lines.len(), 3, "{}", said.out);
    assert_eq!(
        (&lines[0]["units"], &lines[1]["line"], &lines[2]["units"]),
        (&1.into(), &2.into(), &1.into())
    );
}

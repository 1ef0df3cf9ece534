//! Documents as people write them: what is right, what is wrong, and what is shown of it.

use super::{Document, FileErrors};

fn read(text: &str) -> FileErrors {
    let document = Document::parse("shop.toml", text).expect("TOML");
    let root = document.root();
    let name = root.require("name", "write name = \"…\"").and_then(|value| value.text().map(str::to_owned));
    if let Some(shop) = root.table("shop") {
        let _ = shop.get("parts").and_then(|value| value.whole(1..=9));
        let _ = shop.get("mode").and_then(|value| value.word(&[("park", 1), ("ask", 2)]));
        shop.finish();
    }
    root.refuse("later", "`later` comes later", "remove it");
    root.finish();
    document.finish(name).expect_err("wrong")
}

#[test]
fn all_complaints_of_a_file_come_at_once_with_place_and_way_out() {
    let errors = read("nmae = 'x'\nlater = 1\n[shop]\nparts = 12\nmode = \"prak\"\ncolour = 1\n");
    let expected = r#"error: `nmae` is not a key that is known here
 --> shop.toml:1:1
  |
1 | nmae = 'x'
  | ^^^^
  |
  = help: did you mean `name`?

error: `later` comes later
 --> shop.toml:2:1
  |
2 | later = 1
  | ^^^^^
  |
  = help: remove it

error: `shop.parts` is out of range
 --> shop.toml:4:9
  |
4 | parts = 12
  |         ^^
  |
  = help: 1 to 9 is possible

error: `shop.mode` cannot be `prak`
 --> shop.toml:5:8
  |
5 | mode = "prak"
  |        ^^^^^^
  |
  = help: did you mean `park`?

error: `shop.colour` is not a key that is known here
 --> shop.toml:6:1
  |
6 | colour = 1
  | ^^^^^^
  |
  = help: known keys are parts, mode"#;
    assert_eq!(errors.to_string(), expected);
    assert_eq!((errors.places()[3].line, errors.places()[3].column), (5, 8));
}

#[test]
fn what_is_missing_is_said_without_a_line() {
    let errors = read("");
    assert_eq!(errors.to_string(), "error: `name` is missing\n--> shop.toml\n = help: write name = \"…\"");
}

#[test]
fn a_file_that_is_not_toml_is_explained_line_by_line() {
    let errors = Document::parse("shop.toml", "a = \nb = 1\nc = ]\n").expect_err("not TOML");
    assert_eq!(errors.places().iter().map(|place| place.line).collect::<Vec<_>>(), [1, 3]);
}

#[test]
fn what_may_be_secret_is_never_shown() {
    let check = |text: &str, shown: &[&str]| {
        let errors = match Document::parse("f", text) {
            Err(errors) => errors,
            Ok(document) => {
                document.root().finish();
                for (_, value) in document.root().entries() {
                    value.complain("wrong", "");
                    let inner = value.as_table().map(|table| table.entries()).unwrap_or_default();
                    for (_, value) in inner {
                        value.complain("wrong", "");
                    }
                }
                document.finish(Some(())).expect_err("complaints")
            }
        };
        let text = errors.to_string();
        assert!(!text.contains("hunter"), "{text}");
        for word in shown {
            assert!(text.contains(word), "{word} in {text}");
        }
    };
    check("us = { secrets = { auth_token = \"hunter2\" }, bogus = 1 }", &["bogus"]);
    check("api_token = 'hunter2'", &[]);
    check("x = { secrets = { a = { env = \"A_NAME\" }, b = { file = \"/run/b\" } } }", &["A_NAME", "/run/b"]);
    check("x = { secrets = { a = { env = \"hunter2\" } } }", &[]);
    check("url = 'postgres://winback:hunter2@db/x'", &["@db/x"]);
    check("[us.secrets]\nkey = \"hunter2\nb = \"hunter3\"", &["key"]);
    check("[us]\nsecrets.key = \"\"\"\nhunter4\nhunter5 == \"", &[]);
}

#[test]
fn a_mistake_inside_a_text_is_marked_inside_it() {
    let check = |text: &str, at: (usize, usize)| {
        let document = Document::parse("f", text).expect("TOML");
        document.find(&["s", "x"]).expect("there").complain_inside(3..5, "wrong", "");
        let errors = document.finish(Some(())).expect_err("one");
        assert_eq!((errors.places()[0].line, errors.places()[0].column), at, "{text}");
    };
    check("[s]\nx = \"abcdef\"", (2, 9));
    check("[s]\nx = '''\nabcdef'''", (3, 4));
    check("s.x = \"\\u0061bcdef\"", (1, 7));
}

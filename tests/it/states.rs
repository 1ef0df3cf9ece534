//! The states of a message are the same in the code, on the page about them, and in both schemas.
//!
//! `UPDATE_DOCS=1 cargo test --test it states` writes `docs/states.md` anew.

use std::fs;
use std::path::Path;

use winback::model::delivery::Delivery;
use winback::model::state::{Dispatch, states_page};

#[test]
fn the_page_of_message_states_is_that_of_the_code() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/states.md");
    #[expect(clippy::disallowed_methods, reason = "whoever runs the test says so here")]
    let update = std::env::var_os("UPDATE_DOCS").is_some();
    if update {
        fs::write(&path, states_page()).expect("docs can be written");
    }
    let page = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        page == states_page(),
        "docs/states.md is not what src/model/state.rs says; run `UPDATE_DOCS=1 cargo test --test it states`"
    );
}

#[test]
fn both_schemas_take_the_states_of_the_code_and_no_others() {
    let schemas = [
        ("sqlite", include_str!("../../migrations/sqlite/0001_initial.sql")),
        ("postgres", include_str!("../../migrations/postgres/0001_initial.sql")),
    ];
    for (database, schema) in schemas {
        let check = |column: &str, code: Vec<&str>| {
            let rule = format!("CHECK ({column} IN");
            let (_, rest) = schema.split_once(&rule).expect("the column is checked");
            let (list, _) = rest.split_once("))").expect("the list ends");
            let allowed: Vec<&str> = list.split('\'').skip(1).step_by(2).collect();
            assert_eq!(allowed, code, "{column} on {database}; a new state needs a migration for its CHECK");
        };
        check("dispatch", Dispatch::ALL.iter().map(|state| state.as_str()).collect());
        check("delivery", Delivery::ALL.iter().map(|state| state.as_str()).collect());
    }
}

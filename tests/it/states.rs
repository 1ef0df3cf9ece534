//! `docs/states.md` shows the transition table of the code. `UPDATE_DOCS=1 cargo test --test it states` writes it anew.

use std::fs;
use std::path::Path;

use winback::model::state::states_page;

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

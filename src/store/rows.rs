//! Many rows as one argument: a JSON array that `jsonb_each` takes apart again on both databases.

use serde::Serialize;

use super::StoreError;
use super::connection::Row;

/// Most rows that one call may write, so that a daemon on the same file never waits long for its turn.
pub const MOST_ROWS: usize = 5_000;

/// Most events that one call may write. They come by the million and their rows are narrow; a page of their indexes is
/// written once for all rows of a call that fall on it, so more at once cost less each.
pub const MOST_EVENTS: usize = 16_000;

/// The rows as one JSON text.
pub(super) fn json<T: Serialize>(rows: &[T]) -> Result<String, StoreError> {
    let text = serde_json::to_string(rows)?;
    refuse_nul(&text)?;
    Ok(text)
}

/// `NUL` is legal in JSON and in SQLite but not in PostgreSQL, so neither takes it. JSON that travels inside a batch
/// as text must be checked by itself, because the batch escapes its escapes.
pub(super) fn refuse_nul(json: &str) -> Result<(), StoreError> {
    let escaped = |at: usize| json[..at].bytes().rev().take_while(|byte| *byte == b'\\').count() % 2 == 1;
    if json.match_indices("\\u0000").any(|(at, _)| !escaped(at)) { Err(holds_nul()) } else { Ok(()) }
}

/// The same for texts that are not JSON.
pub(super) fn refuse_nul_in(texts: &[&str]) -> Result<(), StoreError> {
    if texts.iter().any(|text| text.contains('\0')) { Err(holds_nul()) } else { Ok(()) }
}

fn holds_nul() -> StoreError {
    StoreError::Refused(
        "a text holds the character NUL, which cannot be stored; remove it from the input".to_owned(),
    )
}

/// Refuses a batch that would hold the write lock for too long.
pub(super) fn refuse_more_than(most: usize, rows: usize) -> Result<(), StoreError> {
    if rows > most {
        let told =
            format!("{rows} rows were given at once, at most {most} are taken; give them in smaller batches");
        return Err(StoreError::Refused(told));
    }
    Ok(())
}

/// Reads the place of a row in its batch from the first column.
pub(super) fn place(row: &Row) -> Result<usize, StoreError> {
    usize::try_from(row.int(0)?).map_err(|_| StoreError::NoRow)
}

#[cfg(test)]
mod tests {
    use super::json;

    #[test]
    fn nul_is_refused_and_text_that_only_looks_like_it_is_not() {
        let check = |text: &str, taken: bool| assert_eq!(json(&[[text]]).is_ok(), taken, "{text:?}");
        check("plain", true);
        check("\\u0000", true);
        check("\\\\u0000", true);
        check("a\0b", false);
        check("\\\0", false);
    }
}

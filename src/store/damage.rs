//! What a database error says about the store as a whole: a file that is damaged, foreign or busy, told with its name and
//! the way out. Knows no statement and mends nothing.

use std::path::Path;

use super::StoreError;

/// SQLite: broken pages, no database at all.
const CORRUPT: i64 = 11;
const NOT_A_DATABASE: i64 = 26;
/// The file ends in the middle of a page.
const SHORT_READ: i64 = 522;
/// Somebody else holds the file, or a table of it.
const BUSY: i64 = 5;
const LOCKED: i64 = 6;
/// A file or its folder was written and could not be synced.
const UNSYNCED: [i64; 2] = [1034, 1290];
/// The file, or its folder, takes no writes or cannot be opened.
const READ_ONLY: i64 = 8;
/// No room is left, or the disk failed; of the latter, these happened while reading.
const FULL: i64 = 13;
const DISK: i64 = 10;
const READING: [i64; 2] = [266, 8458];
const CANNOT_OPEN: i64 = 14;
/// PostgreSQL: the table does not exist.
const UNDEFINED_TABLE: &str = "42P01";
/// PostgreSQL: we may not come in, and there is no such database.
const REFUSED: [&str; 2] = ["28", "3D"];

/// Turns an error of the database at `path` (none for PostgreSQL) into what can be done about it.
pub(super) fn told(path: Option<&Path>, error: sqlx::Error) -> StoreError {
    let sqlx::Error::Database(said) = &error else { return unread(error) };
    let code = said.code().unwrap_or_default().into_owned();
    let Some(path) = path else {
        return match code.as_str() {
            UNDEFINED_TABLE => StoreError::NoTable { place: "the PostgreSQL database".to_owned() },
            _ => StoreError::Database(error),
        };
    };
    let damaged = |what| StoreError::Damaged { path: path.to_owned(), what };
    let number = code.parse::<i64>().unwrap_or_default();
    match number & 0xff {
        NOT_A_DATABASE => damaged("it is no SQLite file"),
        CORRUPT => damaged("its pages are broken"),
        _ if number == SHORT_READ => damaged("it was cut off"),
        _ if UNSYNCED.contains(&number) => StoreError::Unsynced { path: path.to_owned() },
        FULL => StoreError::Full { path: path.to_owned() },
        DISK => StoreError::Disk { path: path.to_owned(), code: number },
        READ_ONLY | CANNOT_OPEN => StoreError::Unwritable { path: path.to_owned() },
        BUSY | LOCKED => StoreError::Busy { path: path.to_owned() },
        1 if said.message().starts_with("no such table") || said.message().starts_with("no such column") => {
            StoreError::NoTable { place: path.display().to_string() }
        }
        _ => StoreError::Database(error),
    }
}

/// Why a PostgreSQL server cannot be worked with, if waiting for it does not help: nobody is there, or it refuses us or
/// the database. One that is starting, or has no place free, may be ready soon.
pub(super) fn unreachable(error: &sqlx::Error) -> Option<String> {
    match error {
        sqlx::Error::Io(why) => Some(why.to_string()),
        sqlx::Error::Tls(why) => Some(why.to_string()),
        sqlx::Error::Database(said) => {
            let code = said.code().unwrap_or_default();
            REFUSED.iter().any(|class| code.starts_with(class)).then(|| said.message().to_owned())
        }
        _ => None,
    }
}

/// A value that does not fit its column's type; everything else is the database's own word.
pub(super) fn unread(error: sqlx::Error) -> StoreError {
    match error {
        sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_) | sqlx::Error::TypeNotFound { .. } => {
            StoreError::Unreadable
        }
        error => StoreError::Database(error),
    }
}

/// Whether an error of a disk happened while reading from it.
pub(super) fn of_reading(code: i64) -> bool {
    READING.contains(&code)
}

/// Whether the file is busy and may be free in a moment.
pub(super) fn is_busy(error: &sqlx::Error) -> bool {
    let sqlx::Error::Database(said) = error else { return false };
    let number = said.code().and_then(|code| code.parse::<i64>().ok()).unwrap_or_default();
    matches!(number & 0xff, BUSY | LOCKED)
}

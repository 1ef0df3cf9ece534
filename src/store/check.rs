//! Looks for damage: the file itself, references between rows, coupons and their messages, who may read the files.
//!
//! Only reads; it mends nothing.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::connection::Row;
use super::dialect::{Named, Pair, statements};
use super::{Backend, Store, StoreError, files, migrate};
use crate::model::clock::Timestamp;

/// One question that was asked of a store, and the answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What was looked at.
    pub what: &'static str,
    /// What is wrong and the way out; none if all is well.
    pub problem: Option<String>,
}

impl Store {
    /// Asks everything that can be asked without knowing the future: some minutes for a large file.
    ///
    /// # Errors
    /// When the store cannot be read at all.
    pub async fn check(&self) -> Result<Vec<Finding>, StoreError> {
        let said = self.ask(INTEGRITY).await?;
        let said = said.iter().map(|row| row.text(0)).collect::<Result<Vec<_>, _>>()?;
        let whole = said.iter().all(|line| line == "ok");
        let broken =
            format!("the database is damaged: {}; restore the last backup", said.first().map_or("", |s| s));
        let mut findings = vec![finding("database", (!whole).then_some(broken))];
        let lost = self.ask(FOREIGN).await?.len();
        let told = format!("{lost} rows point to rows that are gone; restore the last backup");
        findings.push(finding("references", (lost > 0).then_some(told)));
        for (what, statement, told) in BOOKS {
            let wrong = self.pools.read(statement, vec![]).await?;
            let wrong = wrong.first().ok_or(StoreError::NoRow)?.int(0)?;
            findings.push(finding(what, (wrong > 0).then(|| format!("{wrong} {told}"))));
        }
        findings.push(self.check_files());
        Ok(findings)
    }

    /// Looks for damage before anything is sent from this store: at what forbids a text and what a run is, always, and at the
    /// whole file if it has at most `whole` octets, so that a start never takes long. PostgreSQL looks after its own pages.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] when something is broken.
    pub async fn check_before_sending(&self, whole: u64) -> Result<(), StoreError> {
        let Some(path) = self.path() else { return Ok(()) };
        let octets = std::fs::metadata(path).map_or(0, |facts| facts.len());
        let damaged = |what| StoreError::Damaged { path: path.to_owned(), what };
        if self.log_bytes() == Some(0) {
            let told = self.pools.read(LENGTH.sqlite, vec![]).await?;
            let told = told.first().ok_or(StoreError::NoRow)?.int(0)?;
            if octets < told.unsigned_abs() {
                return Err(damaged("it was cut off"));
            }
        }
        let all = (octets <= whole).then_some(QUICK.sqlite);
        for statement in FORBIDS.into_iter().chain(all) {
            for row in self.pools.read(statement, vec![]).await? {
                if row.text(0)? != "ok" {
                    return Err(damaged("its pages are broken"));
                }
            }
        }
        Ok(())
    }

    /// Whether the files of the store belong to their owner alone.
    pub fn check_files(&self) -> Finding {
        let files = self.files();
        let open: Vec<String> =
            files.iter().filter(|path| open_to_others(path)).map(|path| path.display().to_string()).collect();
        let told = format!("others may read {0}; run `chmod 600 {0}`", open.join(" "));
        finding("file modes", (!open.is_empty()).then_some(told))
    }

    /// The first of its files, or their folder, that this process may not write, and why. A file can be opened all the same,
    /// and read.
    pub fn unwritable(&self) -> Option<(PathBuf, std::io::Error)> {
        let files = self.files();
        let folder = files.first()?.parent().filter(|folder| !folder.as_os_str().is_empty());
        let folder = folder.unwrap_or(Path::new(".")).to_path_buf();
        files.into_iter().chain([folder]).find_map(|path| {
            let denied = rustix::fs::access(&path, rustix::fs::Access::WRITE_OK).err()?;
            Some((path, denied.into()))
        })
    }

    /// The schema version this program was written for, which an open store has.
    pub fn schema_version(&self) -> i64 {
        migrate::newest()
    }

    /// The version of the database: that of the linked SQLite, or of the server.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn database_version(&self) -> Result<String, StoreError> {
        self.ask(VERSION).await?.first().ok_or(StoreError::NoRow)?.text(0)
    }

    /// The newest time that this program wrote down as its own: of launches, submissions, callbacks and imports. A
    /// clock that shows less was set back. Looks at the last row of each, so its cost does not grow.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn newest_time(&self) -> Result<Option<Timestamp>, StoreError> {
        let rows = self.pools.read(NEWEST, vec![]).await?;
        let times = rows.iter().map(|row| row.opt_int(0)).collect::<Result<Vec<_>, _>>()?;
        Ok(times.into_iter().flatten().max().map(Timestamp))
    }

    /// What the clock of a server says; none for SQLite, which has ours.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn server_time(&self) -> Result<Option<Timestamp>, StoreError> {
        Ok(self.ask(SERVER_TIME).await?.first().ok_or(StoreError::NoRow)?.opt_int(0)?.map(Timestamp))
    }

    async fn ask(&self, pair: Pair) -> Result<Vec<Row>, StoreError> {
        let statement = match self.backend() {
            Backend::Sqlite => pair.sqlite,
            Backend::Postgres => pair.postgres,
        };
        self.pools.read(statement, vec![]).await
    }

    fn files(&self) -> Vec<PathBuf> {
        let Some(path) = self.path() else { return Vec::new() };
        files::all(path).filter(|path| path.exists()).collect()
    }
}

fn finding(what: &'static str, problem: Option<String>) -> Finding {
    Finding { what, problem }
}

fn open_to_others(path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|facts| facts.permissions().mode() & 0o077 != 0)
}

/// The whole database; PostgreSQL checks its pages itself as it reads them.
const INTEGRITY: Pair = Pair { sqlite: "PRAGMA integrity_check", postgres: "SELECT CAST('ok' AS TEXT)" };

/// The pages of the whole database, without holding every index against its table.
const QUICK: Pair = Pair { sqlite: "PRAGMA quick_check", postgres: "SELECT CAST('ok' AS TEXT)" };

/// The length that a file must have by its own word.
const LENGTH: Pair = Pair {
    sqlite: "SELECT c.page_count * s.page_size FROM pragma_page_count AS c, pragma_page_size AS s",
    postgres: "SELECT CAST(0 AS BIGINT)",
};

/// What forbids a text, and what decides whether a run sends: small tables, held against their indexes.
const FORBIDS: [&str; 4] = [
    "PRAGMA integrity_check('suppressions')",
    "PRAGMA integrity_check('runs')",
    "PRAGMA integrity_check('run_windows')",
    "PRAGMA integrity_check('store_meta')",
];

/// Rows that point nowhere; PostgreSQL never lets one be written.
const FOREIGN: Pair = Pair { sqlite: "PRAGMA foreign_key_check", postgres: "SELECT 1 WHERE false" };

/// The version of the database.
const VERSION: Pair =
    Pair { sqlite: "SELECT sqlite_version()", postgres: "SELECT current_setting('server_version')" };

/// The clock of a server, in milliseconds.
const SERVER_TIME: Pair = Pair {
    sqlite: "SELECT NULL",
    postgres: "SELECT CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000 AS BIGINT)",
};

/// The statements whose texts differ.
pub(super) const PAIRS: &[Named] = &[
    ("INTEGRITY", INTEGRITY.sqlite, INTEGRITY.postgres),
    ("FOREIGN", FOREIGN.sqlite, FOREIGN.postgres),
    ("QUICK", QUICK.sqlite, QUICK.postgres),
    ("LENGTH", LENGTH.sqlite, LENGTH.postgres),
    ("SERVER_TIME", SERVER_TIME.sqlite, SERVER_TIME.postgres),
    ("VERSION", VERSION.sqlite, VERSION.postgres),
];

/// What must be zero, and what it means otherwise.
const BOOKS: [(&str, &str, &str); 6] = [
    (
        "coupons on the shelf",
        HELD_ON_SHELF,
        "codes are available and bound to a message at once; report this",
    ),
    (
        "coupons given out",
        GIVEN_TO_NOBODY,
        "codes are given out to a message that does not carry them; report this",
    ),
    (
        "coupons of sent texts",
        SENT_WITHOUT,
        "texts carry a code that is not theirs: it was withdrawn, or given back before they were proven accepted; \
         `winback message show` names each, and its customer may need another code",
    ),
    (
        "hours of texts",
        WINDOWLESS,
        "texts belong to no hours of their run, so nobody knows when they may go; restore the last backup",
    ),
    ("money of runs", SPENT_ELSEWISE, "runs have spent another sum than their submissions cost; report this"),
    (
        "texts in one run",
        TWICE_IN_RUN,
        "numbers have two texts in one run; look at them with `winback message list`",
    ),
];

statements! {
    HELD_ON_SHELF = "SELECT count(*) FROM coupons WHERE state = 'available' AND message_id IS NOT NULL";
    /// A code that was redeemed or withdrawn without a text needs none.
    GIVEN_TO_NOBODY = "SELECT count(*) FROM coupons AS c LEFT JOIN messages AS m ON m.id = c.message_id \
        WHERE c.state IN ('reserved', 'sent', 'quarantined') AND (m.id IS NULL OR m.coupon_id IS NULL OR m.coupon_id <> c.id)";
    SENT_WITHOUT = "SELECT count(*) FROM messages AS m LEFT JOIN coupons AS c ON c.id = m.coupon_id \
        WHERE m.dispatch = 'accepted' AND m.coupon_id IS NOT NULL \
          AND (c.id IS NULL OR c.message_id IS NULL OR c.message_id <> m.id OR c.state IN ('available', 'reserved', 'voided'))";
    WINDOWLESS = "SELECT count(*) FROM messages AS m LEFT JOIN run_windows AS w ON w.id = m.window_id AND w.run_id = m.run_id \
        WHERE w.id IS NULL";
    /// An attempt costs until it is certain, or decided, that nothing was taken. Retention takes attempts away.
    SPENT_ELSEWISE = "SELECT count(*) FROM runs AS r WHERE r.pruned = 0 AND r.spent <> (SELECT CAST(COALESCE(SUM(m.price), 0) AS BIGINT) \
        FROM messages AS m JOIN attempts AS a ON a.message_id = m.id WHERE m.run_id = r.id \
          AND (a.outcome IS NULL OR a.outcome IN ('accepted', 'unknown', 'garbled')) \
          AND (a.outcome = 'accepted' OR NOT EXISTS (SELECT 1 FROM decisions AS d \
            WHERE d.message_id = a.message_id AND d.number = a.number AND d.verdict = 'not-sent')))";
    /// One row each; null where there is none.
    NEWEST = "SELECT (SELECT created_at FROM runs ORDER BY id DESC LIMIT 1) \
        UNION ALL SELECT (SELECT intent_at FROM attempts ORDER BY message_id DESC, number DESC LIMIT 1) \
        UNION ALL SELECT (SELECT received_at FROM inbox ORDER BY id DESC LIMIT 1) \
        UNION ALL SELECT (SELECT updated_at FROM contacts ORDER BY id DESC LIMIT 1) \
        UNION ALL SELECT (SELECT changed_at FROM coupons ORDER BY id DESC LIMIT 1)";
    TWICE_IN_RUN = "SELECT count(*) FROM (SELECT run_id FROM messages WHERE dispatch = 'accepted' \
        GROUP BY run_id, phone HAVING count(*) > 1) AS twice";
}

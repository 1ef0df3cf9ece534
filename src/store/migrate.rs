//! Brings a store to the current schema; the files are compiled in, paired by number.

use sqlx::SqlSafeStr as _;
use sqlx::migrate::{Migration, MigrationType, Migrator};

use super::StoreError;
use super::connection::Pools;

/// Number, name, SQLite text, PostgreSQL text.
const MIGRATIONS: &[(i64, &str, &str, &str)] = &[
    (
        1,
        "initial",
        include_str!("../../migrations/sqlite/0001_initial.sql"),
        include_str!("../../migrations/postgres/0001_initial.sql"),
    ),
    (
        2,
        "books",
        include_str!("../../migrations/sqlite/0002_books.sql"),
        include_str!("../../migrations/postgres/0002_books.sql"),
    ),
    (
        3,
        "decisions",
        include_str!("../../migrations/sqlite/0003_decisions.sql"),
        include_str!("../../migrations/postgres/0003_decisions.sql"),
    ),
    (
        4,
        "unmatched_receipts",
        include_str!("../../migrations/sqlite/0004_unmatched_receipts.sql"),
        include_str!("../../migrations/postgres/0004_unmatched_receipts.sql"),
    ),
    (
        5,
        "lean",
        include_str!("../../migrations/sqlite/0005_lean.sql"),
        include_str!("../../migrations/postgres/0005_lean.sql"),
    ),
    (
        6,
        "lifted",
        include_str!("../../migrations/sqlite/0006_lifted.sql"),
        include_str!("../../migrations/postgres/0006_lifted.sql"),
    ),
    (
        7,
        "retention",
        include_str!("../../migrations/sqlite/0007_retention.sql"),
        include_str!("../../migrations/postgres/0007_retention.sql"),
    ),
    (
        8,
        "inquiries",
        include_str!("../../migrations/sqlite/0008_inquiries.sql"),
        include_str!("../../migrations/postgres/0008_inquiries.sql"),
    ),
    (
        9,
        "unanswered",
        include_str!("../../migrations/sqlite/0009_unanswered.sql"),
        include_str!("../../migrations/postgres/0009_unanswered.sql"),
    ),
    (
        10,
        "rows",
        include_str!("../../migrations/sqlite/0010_rows.sql"),
        include_str!("../../migrations/postgres/0010_rows.sql"),
    ),
    (
        11,
        "inlined",
        include_str!("../../migrations/sqlite/0011_inlined.sql"),
        include_str!("../../migrations/postgres/0011_inlined.sql"),
    ),
];

/// The schema version this program was written for.
pub(crate) fn newest() -> i64 {
    MIGRATIONS.last().map_or(0, |(number, ..)| *number)
}

/// Applies what is missing; applying twice changes nothing.
pub(crate) async fn migrate(pools: &Pools) -> Result<(), StoreError> {
    match pools {
        Pools::Sqlite { writer, .. } => migrator(true).run(writer).await?,
        Pools::Postgres { pool } => migrator(false).run(pool).await?,
    }
    Ok(())
}

fn migrator(sqlite: bool) -> Migrator {
    let migrations = MIGRATIONS.iter().map(|(number, name, for_sqlite, for_postgres)| {
        let text = if sqlite { *for_sqlite } else { *for_postgres };
        Migration::new(*number, (*name).into(), MigrationType::Simple, text.into_sql_str(), false)
    });
    Migrator::with_migrations(migrations.collect())
}

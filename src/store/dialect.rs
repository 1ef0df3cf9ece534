//! The few statements whose text must differ between SQLite and PostgreSQL. Everything else is written once.

/// A statement in both dialects; same arguments, same columns.
#[derive(Clone, Copy, Debug)]
pub struct Pair {
    /// The text for SQLite.
    pub sqlite: &'static str,
    /// The text for PostgreSQL.
    pub postgres: &'static str,
}

/// Statements as tests want them: name (with the module that it is written in, where others could have the same), text for SQLite, text for PostgreSQL.
pub type Named = (&'static str, &'static str, &'static str);

/// Declares the statements of one table family as constants and lists them, so that a test can prepare each of them
/// on both databases.
macro_rules! statements {
    ($($(#[$doc:meta])* $name:ident = $text:expr;)+) => {
        $($(#[$doc])* const $name: &str = $text;)+
        /// Every statement of this family, by name.
        pub(super) const STATEMENTS: &[$crate::store::dialect::Named] =
            &[$((concat!(module_path!(), "::", stringify!($name)), $name, $name)),+];
    };
}
pub(super) use statements;

macro_rules! claim_head {
    () => {
        "UPDATE messages SET dispatch = 'claimed', epoch = epoch + 1, owner = $4, lease_until = $5 \
         WHERE dispatch = 'queued' AND id "
    };
}

macro_rules! due {
    () => {
        "SELECT m.id FROM messages AS m JOIN runs AS r ON r.id = m.run_id \
         WHERE m.route = $1 AND m.dispatch = 'queued' AND m.not_before <= $2 AND r.state = 'running' \
         ORDER BY m.not_before, m.id LIMIT CAST($3 AS BIGINT)"
    };
}

macro_rules! claim_columns {
    () => {
        "id, run_id, contact_id, phone, epoch, attempts, last_number, parts, encoding, sender, country, body, \
         price, expires_at"
    };
}

/// Takes due messages of one lane (T3). PostgreSQL skips what another node is taking; SQLite has one writer. The array
/// makes PostgreSQL ask once: a locking sub-select that it repeats for each row would take more than the limit.
/// `$1` route, `$2` now, `$3` how many, `$4` owner, `$5` end of the lease.
pub const CLAIM: Pair = Pair {
    sqlite: concat!(claim_head!(), "IN (", due!(), ") RETURNING ", claim_columns!()),
    postgres: concat!(
        claim_head!(),
        "= ANY (ARRAY(",
        due!(),
        " FOR UPDATE OF m SKIP LOCKED)) RETURNING ",
        claim_columns!()
    ),
};

macro_rules! fresh_head {
    () => {
        "UPDATE messages SET dispatch = 'claimed', not_before = $3, epoch = epoch + 1, owner = $5, lease_until = $6 \
         WHERE dispatch = 'planned' AND id "
    };
}

macro_rules! fresh {
    () => {
        "SELECT m.id FROM messages AS m WHERE m.window_id = $1 AND m.route = $2 AND m.dispatch = 'planned' \
         ORDER BY m.id LIMIT CAST($4 AS BIGINT)"
    };
}

/// Queues and takes planned messages of an open window in one write (T2, T3). `$1` window, `$2` route, `$3` now, `$4` how
/// many, `$5` owner, `$6` end of the lease.
pub const CLAIM_FRESH: Pair = Pair {
    sqlite: concat!(fresh_head!(), "IN (", fresh!(), ") RETURNING ", claim_columns!()),
    postgres: concat!(
        fresh_head!(),
        "= ANY (ARRAY(",
        fresh!(),
        " FOR UPDATE OF m SKIP LOCKED)) RETURNING ",
        claim_columns!()
    ),
};

/// Codes of a pool that nobody has. `$1` pool, `$2` how many.
pub const AVAILABLE_CODES: Pair = Pair {
    sqlite: "SELECT id, code FROM coupons WHERE pool_id = $1 AND state = 'available' ORDER BY id LIMIT CAST($2 AS BIGINT)",
    postgres: "SELECT id, code FROM coupons WHERE pool_id = $1 AND state = 'available' ORDER BY id LIMIT CAST($2 AS BIGINT) \
               FOR UPDATE SKIP LOCKED",
};

/// Locks the runs named in a JSON list, so that their budget is counted by one node at a time. `$1` run ids.
pub const LOCK_RUNS: Pair = Pair {
    sqlite: "SELECT r.id FROM jsonb_each(CAST($1 AS TEXT)) AS j JOIN runs AS r ON r.id = CAST(j.value ->> 0 AS BIGINT)",
    postgres: "SELECT r.id FROM runs AS r \
               WHERE r.id IN (SELECT CAST(j.value ->> 0 AS BIGINT) FROM jsonb_each(CAST($1 AS TEXT)) AS j) \
               ORDER BY r.id FOR UPDATE",
};

/// Lets one launch at a time count texts towards a cap, until its transaction ends. A launch takes it after
/// its own run and before its codes; nobody else takes it. SQLite has one writer.
pub const LOCK_CAPS: Pair = Pair {
    sqlite: "SELECT 1 WHERE false",
    postgres: "SELECT CAST(pg_advisory_xact_lock(hashtextextended('winback caps', 0)) AS TEXT)",
};

/// Where messages stand before reports are joined into them. PostgreSQL locks them, so that two nodes that hear of one
/// message at once cannot undo each other's rank. `$1` message ids.
pub const STATE_OF: Pair = Pair {
    sqlite: "SELECT m.id, m.dispatch, m.delivery, m.conflict FROM jsonb_each(CAST($1 AS TEXT)) AS j \
             JOIN messages AS m ON m.id = CAST(j.value ->> 0 AS BIGINT)",
    postgres: "SELECT m.id, m.dispatch, m.delivery, m.conflict FROM messages AS m \
               WHERE m.id IN (SELECT CAST(j.value ->> 0 AS BIGINT) FROM jsonb_each(CAST($1 AS TEXT)) AS j) \
               ORDER BY m.id FOR UPDATE",
};

/// Every pair, by name.
pub(super) const STATEMENTS: &[Named] = &[
    ("CLAIM", CLAIM.sqlite, CLAIM.postgres),
    ("CLAIM_FRESH", CLAIM_FRESH.sqlite, CLAIM_FRESH.postgres),
    ("AVAILABLE_CODES", AVAILABLE_CODES.sqlite, AVAILABLE_CODES.postgres),
    ("STATE_OF", STATE_OF.sqlite, STATE_OF.postgres),
    ("LOCK_CAPS", LOCK_CAPS.sqlite, LOCK_CAPS.postgres),
    ("LOCK_RUNS", LOCK_RUNS.sqlite, LOCK_RUNS.postgres),
];

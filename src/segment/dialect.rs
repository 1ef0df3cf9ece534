//! The few fragments of SQL that differ between the two databases, each written so that the answers do not.

/// Which database the SQL is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Dialect {
    /// `SQLite` 3.38 or newer.
    Sqlite,
    /// `PostgreSQL` 12 or newer, with a UTF-8 database.
    Postgres,
}

impl Dialect {
    /// A text that compares by code point: `SQLite` always does, `PostgreSQL` by the locale of the database.
    pub(super) fn by_code_point(self, text: &str) -> String {
        match self {
            Self::Sqlite => text.to_owned(),
            Self::Postgres => format!("({text}) COLLATE \"C\""),
        }
    }

    /// `like` that ignores the case of a to z and of no other letter; `pattern` is in lower case already. `SQLite`'s own
    /// rule is exactly that; on `PostgreSQL` `lower` changes only those letters under the collation "C".
    pub(super) fn like(self, text: &str, not: &str, pattern: &str) -> String {
        match self {
            Self::Sqlite => format!("{text} {not}LIKE {pattern} ESCAPE '\\'"),
            Self::Postgres => format!("lower(({text}) COLLATE \"C\") {not}LIKE {pattern} ESCAPE '\\'"),
        }
    }

    /// The key of an attribute as the functions of [`Self::json_text`] take it. Names with quotes or backslashes never
    /// get here, so the path needs no escapes.
    pub(super) fn json_key(self, name: &str) -> String {
        match self {
            Self::Sqlite => format!("$.\"{name}\""),
            Self::Postgres => name.to_owned(),
        }
    }

    /// A text, number or truth of a JSON object as it is written there; null if it is missing, empty or something else.
    /// `PostgreSQL`'s `json`, unlike `jsonb`, keeps `1.50` as it is, as `SQLite`'s `->` does.
    pub(super) fn json_text(self, object: &str, key: &str) -> String {
        match self {
            Self::Sqlite => format!(
                "CASE json_type({object}, {key}) WHEN 'text' THEN nullif({object} ->> {key}, '') \
                 WHEN 'integer' THEN {object} -> {key} WHEN 'real' THEN {object} -> {key} \
                 WHEN 'true' THEN 'true' WHEN 'false' THEN 'false' END"
            ),
            Self::Postgres => format!(
                "CASE WHEN json_typeof({object}::json -> {key}) IN ('string', 'number', 'boolean') \
                 THEN nullif({object}::json ->> {key}, '') END"
            ),
        }
    }

    /// A text read as a decimal number in millionths, cut off after the sixth decimal; null if it is not written as up
    /// to twelve digits, a point and up to thirty decimals. Guarded, so that no row can raise an error, and computed in
    /// whole numbers, so that no row is rounded differently.
    pub(super) fn millionths(self, text: &str) -> String {
        match self {
            // `LIMIT 1` keeps SQLite from writing the text out at each of its uses, which would read the JSON ten times.
            Self::Sqlite => format!(
                "(SELECT CASE WHEN (t GLOB '[0-9]*' OR t GLOB '-[0-9]*') AND t NOT GLOB '?*[^0-9.]*' \
                 AND t NOT GLOB '*.' AND t NOT GLOB '*.*.*' \
                 AND point - (t GLOB '-*') <= 13 AND length(t) - point <= 30 \
                 THEN CAST(substr(t, 1, point - 1) || substr(substr(t, point + 1) || '000000', 1, 6) AS INTEGER) END \
                 FROM (SELECT t, instr(t || '.', '.') AS point FROM (SELECT {text} AS t LIMIT 1) LIMIT 1))"
            ),
            Self::Postgres => format!(
                "(SELECT CASE WHEN v.t ~ '^-?[0-9]{{1,12}}([.][0-9]{{1,30}})?$' \
                 THEN CAST(trunc(CAST(v.t AS numeric) * 1000000) AS bigint) END FROM (SELECT {text} AS t) AS v)"
            ),
        }
    }
}

-- Nothing to change here: SQLite's `jsonb_each` is its own.
SELECT 1;

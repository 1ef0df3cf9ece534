-- Nothing to change here: SQLite brings its `jsonb_each` along.
SELECT 1;

-- What providers were asked about attempts in doubt: one row for each attempt that was asked about, kept for good. What
-- a message waits for follows from these times, so that a restart changes nothing.
CREATE TABLE inquiries (
    message_id INTEGER NOT NULL REFERENCES messages (id),
    number INTEGER NOT NULL,
    looks INTEGER NOT NULL DEFAULT 0,
    looked_at INTEGER,
    replays INTEGER NOT NULL DEFAULT 0,
    replayed_at INTEGER,
    finding TEXT CHECK (finding IN ('nothing', 'no-answer', 'twice')),
    detail TEXT,
    PRIMARY KEY (message_id, number)
) STRICT, WITHOUT ROWID;
-- How the requests of a route are rendered, and since when: an earlier one would be another request if it were repeated.
CREATE TABLE renderings (
    route TEXT NOT NULL PRIMARY KEY,
    print TEXT NOT NULL,
    since INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

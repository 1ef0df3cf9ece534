-- What providers were asked about attempts in doubt: one row for each attempt that was asked about, kept for good. What
-- a message waits for follows from these times, so that a restart changes nothing.
CREATE TABLE inquiries (
    message_id BIGINT NOT NULL REFERENCES messages (id),
    number BIGINT NOT NULL,
    looks BIGINT NOT NULL DEFAULT 0,
    looked_at BIGINT,
    replays BIGINT NOT NULL DEFAULT 0,
    replayed_at BIGINT,
    finding TEXT COLLATE "C" CHECK (finding IN ('nothing', 'no-answer', 'twice')),
    detail TEXT COLLATE "C",
    PRIMARY KEY (message_id, number)
);
-- How the requests of a route are rendered, and since when: an earlier one would be another request if it were repeated.
CREATE TABLE renderings (
    route TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    print TEXT COLLATE "C" NOT NULL,
    since BIGINT NOT NULL
);

-- Questions to providers that were not answered are counted apart from those that were. `answer_by`: the answer to a
-- replay may come until then; 0 once it came. `replay_over`: 1 once the attempt must never be replayed any more.
CREATE TABLE inquiries_anew (
    message_id INTEGER NOT NULL REFERENCES messages (id),
    number INTEGER NOT NULL,
    looks INTEGER NOT NULL DEFAULT 0,
    looked_at INTEGER,
    replays INTEGER NOT NULL DEFAULT 0,
    replayed_at INTEGER,
    finding TEXT CHECK (finding IN ('nothing', 'no-answer', 'twice', 'alike')),
    detail TEXT,
    looks_unanswered INTEGER NOT NULL DEFAULT 0,
    replays_unanswered INTEGER NOT NULL DEFAULT 0,
    answer_by INTEGER,
    replay_over INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (message_id, number)
) STRICT, WITHOUT ROWID;
INSERT INTO inquiries_anew (message_id, number, looks, looked_at, replays, replayed_at, finding, detail)
SELECT message_id, number, looks, looked_at, replays, replayed_at, finding, detail FROM inquiries;
DROP TABLE inquiries;
ALTER TABLE inquiries_anew RENAME TO inquiries;

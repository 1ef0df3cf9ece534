-- What people decided about messages in doubt, one for each attempt at most; kept for good.
CREATE TABLE decisions (
    message_id BIGINT NOT NULL REFERENCES messages (id),
    number BIGINT NOT NULL,
    run_id BIGINT NOT NULL REFERENCES runs (id),
    decided_at BIGINT NOT NULL,
    verdict TEXT COLLATE "C" NOT NULL CHECK (verdict IN ('accepted', 'not-sent', 'resend')),
    decided_by TEXT COLLATE "C" NOT NULL,
    reason TEXT COLLATE "C",
    PRIMARY KEY (message_id, number)
);
-- Accepted by decision, in the numbers of a run.
CREATE INDEX decisions_of_run ON decisions (run_id, verdict);
-- The operator's list of what is in doubt; only rows in doubt touch it.
CREATE INDEX messages_in_doubt ON messages (dispatch, run_id, id) WHERE dispatch IN ('ambiguous', 'unknown');

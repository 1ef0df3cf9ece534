-- Indexes that a message's way through its states does not touch.

-- STOP withdraws by number. An index over all messages is written once for each; one over those that wait was written
-- with every step.
DROP INDEX messages_withdrawable;
CREATE INDEX messages_by_phone ON messages (phone);

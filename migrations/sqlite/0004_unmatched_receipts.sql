-- Receipts that match no text, oldest first: the sweep that ends them, and the question whether a replay has kept one.
CREATE INDEX receipts_unmatched ON receipts (inbox_id) WHERE message_id IS NULL;

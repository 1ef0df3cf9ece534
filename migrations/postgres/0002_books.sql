-- PostgreSQL: books that balance after late proof, caps that hold between launches, receipts found again.

-- A message that was proven to carry this code after the code had gone elsewhere; whoever has it now is in `message_id`.
ALTER TABLE coupons ADD COLUMN contested_by BIGINT;

-- Contacts whom the plan left out for the cap, those whom the launch did, and the hash over both and everybody texted.
ALTER TABLE runs ADD COLUMN capped BIGINT NOT NULL DEFAULT 0;
ALTER TABLE runs ADD COLUMN withheld BIGINT NOT NULL DEFAULT 0;
ALTER TABLE runs ADD COLUMN audience_hash TEXT COLLATE "C" NOT NULL DEFAULT '';

-- A replay reads callbacks again and writes what is in them anew.
CREATE INDEX receipts_of_inbox ON receipts (inbox_id);
-- Receipts that met the answer they wait for are found again while they are young.
CREATE INDEX receipts_parked ON receipts (received_at) WHERE message_id IS NULL;

-- What retention has done with a run: 0 nothing, 1 it is at work, 2 its texts, attempts and receipts are gone.
ALTER TABLE runs ADD COLUMN pruned INTEGER NOT NULL DEFAULT 0;

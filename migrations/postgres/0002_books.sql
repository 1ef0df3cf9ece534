-- PostgreSQL: books that balance after late proof, and receipts found again.

-- A message that was proven to carry this code after the code had gone elsewhere; whoever has it now is in `message_id`.
ALTER TABLE coupons ADD COLUMN contested_by BIGINT;

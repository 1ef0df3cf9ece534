-- A function that answers nothing to nothing (STRICT) is called from outside; without that, PostgreSQL writes its text into
-- the statement that asks and plans both as one.
CREATE OR REPLACE FUNCTION jsonb_each(list TEXT) RETURNS TABLE (key BIGINT, value JSONB)
LANGUAGE sql IMMUTABLE CALLED ON NULL INPUT PARALLEL SAFE ROWS 500
AS $$ SELECT ordinality - 1, element FROM jsonb_array_elements(list::jsonb) WITH ORDINALITY AS rows (element, ordinality) $$;

-- The elements of a JSON list, in order, under the name that SQLite has for giving them away unwritten: there each column
-- of a row is then read without parsing the row again.
CREATE FUNCTION jsonb_each(list TEXT) RETURNS TABLE (key BIGINT, value JSONB)
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE ROWS 500
AS $$ SELECT ordinality - 1, element FROM jsonb_array_elements(list::jsonb) WITH ORDINALITY AS rows (element, ordinality) $$;
DROP FUNCTION json_each(TEXT);

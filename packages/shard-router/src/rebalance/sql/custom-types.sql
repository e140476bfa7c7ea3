-- How many columns of these tables are of types that are not PostgreSQL's own. Their numbers differ between
-- databases, and an array or a row of them names the number in its binary form.
-- $1 schemas  $2 names, two arrays of one length
SELECT count(*)::integer AS columns
FROM unnest($1::text[], $2::text[]) AS wanted(schema, name)
JOIN pg_catalog.pg_namespace AS n ON n.nspname = wanted.schema
JOIN pg_catalog.pg_class AS c ON c.relnamespace = n.oid AND c.relname = wanted.name
JOIN pg_catalog.pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
WHERE a.atttypid >= 16384

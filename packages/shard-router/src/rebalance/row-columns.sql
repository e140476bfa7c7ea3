-- The columns of a table, for comparing rows: by name, since two shards may have them in another order.
-- $1 schema  $2 table
SELECT a.attname AS "column", format_type(a.atttypid, a.atttypmod) AS "type", a.attcollation <> 0 AS "isText",
  -- Place in the primary key, counted from zero; null for the others.
  array_position(i.indkey::int2[], a.attnum) AS "keyPlace"
FROM pg_catalog.pg_class AS c
JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
JOIN pg_catalog.pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
LEFT JOIN pg_catalog.pg_index AS i ON i.indrelid = c.oid AND i.indisprimary
WHERE n.nspname = $1 AND c.relname = $2
ORDER BY a.attname COLLATE "C"

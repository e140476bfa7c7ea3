-- The columns of a reference table, for writing its rows.
-- $1 schema  $2 table
SELECT a.attname AS "column", a.attgenerated <> '' AS "isGenerated",
  coalesce(a.attnum = ANY(i.indkey::int2[]), false) AS "isKey"
FROM pg_catalog.pg_class AS c
JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
JOIN pg_catalog.pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
LEFT JOIN pg_catalog.pg_index AS i ON i.indrelid = c.oid AND i.indisprimary
WHERE n.nspname = $1 AND c.relname = $2
ORDER BY a.attnum

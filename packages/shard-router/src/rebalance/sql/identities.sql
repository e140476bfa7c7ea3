-- Tables whose replica identity does not hold the column that the rows are filtered by, with the statement that
-- brings the present identity back. Partitions have identities of their own, so they are listed one by one.
-- $1 schemas  $2 names  $3 columns of the filter, three arrays of one length
SELECT pg_catalog.format('%I.%I', n.nspname, c.relname) AS name,
  CASE c.relreplident
    WHEN 'n' THEN 'NOTHING'
    WHEN 'i' THEN pg_catalog.format('USING INDEX %I', (
      SELECT ic.relname FROM pg_catalog.pg_index AS i JOIN pg_catalog.pg_class AS ic ON ic.oid = i.indexrelid
      WHERE i.indrelid = c.oid AND i.indisreplident))
    ELSE 'DEFAULT' END AS identity
FROM unnest($1::text[], $2::text[], $3::text[]) AS wanted(schema, name, filter)
JOIN pg_catalog.pg_namespace AS rn ON rn.nspname = wanted.schema
JOIN pg_catalog.pg_class AS root ON root.relnamespace = rn.oid AND root.relname = wanted.name
CROSS JOIN LATERAL (
  SELECT root.oid AS oid UNION SELECT relid FROM pg_catalog.pg_partition_tree(root.oid)
) AS part
JOIN pg_catalog.pg_class AS c ON c.oid = part.oid
JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
WHERE c.relreplident <> 'f'
  AND NOT EXISTS (
    SELECT 1 FROM pg_catalog.pg_index AS i
    JOIN pg_catalog.pg_attribute AS a ON a.attrelid = i.indrelid AND a.attnum = ANY (i.indkey)
    WHERE i.indrelid = c.oid AND a.attname = wanted.filter AND i.indisvalid
      AND CASE c.relreplident WHEN 'd' THEN i.indisprimary WHEN 'i' THEN i.indisreplident ELSE false END)
ORDER BY 1

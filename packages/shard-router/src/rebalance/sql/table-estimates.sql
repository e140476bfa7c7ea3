-- Rows and bytes of tables with their partitions, as the last ANALYZE or VACUUM estimated the rows.
-- $1 schemas  $2 names, two arrays of one length
SELECT pg_catalog.format('%s.%s', wanted.schema, wanted.name) AS table,
  coalesce(sum(greatest(c.reltuples, 0)), 0)::float8 AS rows,
  coalesce(sum(pg_catalog.pg_table_size(c.oid)), 0)::float8 AS bytes
FROM unnest($1::text[], $2::text[]) AS wanted(schema, name)
JOIN pg_catalog.pg_namespace AS n ON n.nspname = wanted.schema
JOIN pg_catalog.pg_class AS root ON root.relnamespace = n.oid AND root.relname = wanted.name
CROSS JOIN LATERAL (
  SELECT root.oid AS oid UNION SELECT relid FROM pg_catalog.pg_partition_tree(root.oid)) AS part
JOIN pg_catalog.pg_class AS c ON c.oid = part.oid AND c.relkind = 'r'
GROUP BY 1

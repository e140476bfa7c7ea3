-- How large a table is, with its partitions, indexes and long values.
-- $1 schema  $2 table
SELECT coalesce(sum(pg_catalog.pg_relation_size(p.oid)), 0)::float8 AS "heapBytes",
  coalesce(sum(pg_catalog.pg_total_relation_size(p.oid)), 0)::float8 AS "totalBytes"
FROM pg_catalog.pg_class AS c
JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
CROSS JOIN LATERAL (SELECT c.oid UNION SELECT relid FROM pg_catalog.pg_partition_tree(c.oid)) AS p
WHERE n.nspname = $1 AND c.relname = $2

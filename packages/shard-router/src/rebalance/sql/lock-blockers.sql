-- Sessions whose locks on these tables keep writers from being shut out for a moment, the oldest first.
-- $1 schemas  $2 names, two arrays of one length
SELECT a.pid, coalesce(a.backend_type, '') AS kind, coalesce(a.application_name, '') AS application,
  coalesce(extract(epoch FROM pg_catalog.clock_timestamp() - a.xact_start) * 1000, 0)::float8 AS "ageMs"
FROM pg_catalog.pg_stat_activity AS a
WHERE a.pid <> pg_catalog.pg_backend_pid() AND EXISTS (
  SELECT 1 FROM unnest($1::text[], $2::text[]) AS wanted(schema, name)
  JOIN pg_catalog.pg_namespace AS n ON n.nspname = wanted.schema
  JOIN pg_catalog.pg_class AS root ON root.relnamespace = n.oid AND root.relname = wanted.name
  CROSS JOIN LATERAL (
    SELECT root.oid AS oid UNION SELECT relid FROM pg_catalog.pg_partition_tree(root.oid)) AS part
  JOIN pg_catalog.pg_locks AS l ON l.relation = part.oid
  WHERE l.pid = a.pid AND l.granted AND l.locktype = 'relation'
    AND l.database = (SELECT d.oid FROM pg_catalog.pg_database AS d WHERE d.datname = pg_catalog.current_database())
    AND l.mode NOT IN ('AccessShareLock', 'RowShareLock'))
ORDER BY a.xact_start

-- Locks all guarded tables of a keyspace so that nobody writes, in a fixed order, so that two of these cannot deadlock.
-- Which they are is asked and done in one trip: callers may be waiting.
-- :keyspace  as a literal
DO $lock$
DECLARE
  tables text;
BEGIN
  SELECT pg_catalog.string_agg(
    pg_catalog.format('%I.%I', g.table_schema, g.table_name), ', ' ORDER BY g.table_schema, g.table_name)
  INTO tables
  FROM shardline.guarded_table AS g
  WHERE g.keyspace = :keyspace
    AND pg_catalog.to_regclass(pg_catalog.format('%I.%I', g.table_schema, g.table_name)) IS NOT NULL;
  IF tables IS NOT NULL THEN
    EXECUTE 'LOCK TABLE ' || tables || ' IN SHARE ROW EXCLUSIVE MODE';
  END IF;
END
$lock$

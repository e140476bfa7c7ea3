-- Indexes that a table can do without while it is filled, with the statement that brings each back as it was.
-- What identifies rows, or is part of a constraint, stays. So does what that statement would not bring back whole (a
-- tablespace, a comment, a statistics target, the mark of CLUSTER), an index of a partitioned table, and any index of a
-- table without a primary key or replica identity of its own, where rows to be changed may be found by it.
-- $1 schemas  $2 names, two arrays of one length
SELECT pg_catalog.format('%I.%I', n.nspname, ic.relname) AS name, pg_catalog.pg_get_indexdef(i.indexrelid) AS statement
FROM unnest($1::text[], $2::text[]) AS wanted(schema, name)
JOIN pg_catalog.pg_namespace AS n ON n.nspname = wanted.schema
JOIN pg_catalog.pg_class AS c ON c.relnamespace = n.oid AND c.relname = wanted.name AND c.relkind = 'r'
JOIN pg_catalog.pg_index AS i ON i.indrelid = c.oid
JOIN pg_catalog.pg_class AS ic ON ic.oid = i.indexrelid
WHERE NOT (i.indisunique OR i.indisprimary OR i.indisexclusion OR i.indisreplident OR i.indisclustered)
  AND i.indisvalid AND i.indisready AND ic.reltablespace = 0
  AND pg_catalog.obj_description(ic.oid, 'pg_class') IS NULL
  AND NOT EXISTS (SELECT 1 FROM pg_catalog.pg_constraint AS k WHERE k.conindid = ic.oid)
  AND NOT EXISTS (SELECT 1 FROM pg_catalog.pg_inherits AS h WHERE h.inhrelid IN (ic.oid, c.oid))
  AND NOT EXISTS (
    SELECT 1 FROM pg_catalog.pg_attribute AS a WHERE a.attrelid = ic.oid AND coalesce(a.attstattarget, -1) >= 0)
  AND EXISTS (
    SELECT 1 FROM pg_catalog.pg_index AS own
    WHERE own.indrelid = c.oid AND own.indisvalid AND (own.indisprimary OR own.indisreplident))
ORDER BY 1

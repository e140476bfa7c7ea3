-- Functions that are not PostgreSQL's own and are written in a language that can read tables.
SELECT DISTINCT p.proname::text AS name
FROM pg_catalog.pg_proc AS p
JOIN pg_catalog.pg_namespace AS n ON n.oid = p.pronamespace
JOIN pg_catalog.pg_language AS l ON l.oid = p.prolang
WHERE n.nspname NOT IN ('pg_catalog', 'information_schema', 'shardline')
  AND l.lanname NOT IN ('internal', 'c')

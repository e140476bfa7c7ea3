-- How far the copying of a subscription is: tables in all and done, what is copied of them, and what is being copied.
-- $1 name of the subscription
SELECT count(r.srrelid)::integer AS tables,
  count(r.srrelid) FILTER (WHERE r.srsubstate = 'r')::integer AS ready,
  coalesce(sum(p.bytes_processed), 0)::float8 AS "runningBytes",
  coalesce(sum(p.tuples_processed), 0)::float8 AS "runningRows",
  coalesce(array_agg(pg_catalog.format('%s.%s', n.nspname, c.relname))
    FILTER (WHERE r.srsubstate IN ('f', 's', 'r')), '{}')::text[] AS "doneTables",
  coalesce(array_agg(pg_catalog.format('%s.%s', n.nspname, c.relname))
    FILTER (WHERE r.srsubstate NOT IN ('f', 's', 'r')), '{}')::text[] AS "openTables"
FROM pg_catalog.pg_subscription AS s
JOIN pg_catalog.pg_subscription_rel AS r ON r.srsubid = s.oid
JOIN pg_catalog.pg_class AS c ON c.oid = r.srrelid
JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
LEFT JOIN pg_catalog.pg_stat_progress_copy AS p ON p.relid = r.srrelid AND p.command = 'COPY FROM'
WHERE s.subname = $1

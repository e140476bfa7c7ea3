-- How far the copying of a subscription is: tables in all and done, and bytes of those being copied now.
-- $1 name of the subscription
SELECT count(r.srrelid)::integer AS tables,
  count(r.srrelid) FILTER (WHERE r.srsubstate = 'r')::integer AS ready,
  coalesce(sum(pg_catalog.pg_table_size(r.srrelid)) FILTER (WHERE r.srsubstate IN ('r', 's')), 0)::float8 AS "copiedBytes",
  coalesce(sum(p.bytes_processed), 0)::float8 AS "runningBytes",
  coalesce(sum(p.tuples_processed), 0)::float8 AS "runningRows"
FROM pg_catalog.pg_subscription AS s
JOIN pg_catalog.pg_subscription_rel AS r ON r.srsubid = s.oid
LEFT JOIN pg_catalog.pg_stat_progress_copy AS p ON p.relid = r.srrelid AND p.command = 'COPY FROM'
WHERE s.subname = $1

-- How often a subscription has failed since it was made, and how many of its tables are copied.
-- $1 name of the subscription
SELECT (f.apply_error_count + f.sync_error_count)::float8 AS failures,
  (SELECT count(*) FROM pg_catalog.pg_subscription_rel AS r
   WHERE r.srsubid = f.subid AND r.srsubstate IN ('f', 's', 'r'))::integer AS "copiedTables"
FROM pg_catalog.pg_stat_subscription_stats AS f
WHERE f.subname = $1

-- Everything on this server, or in this database, that bears the name of a move.
SELECT 'subscription' AS kind, subname::text AS name FROM pg_catalog.pg_subscription
WHERE subdbid = (SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database())
  AND subname ~ '^shardline_[a-z0-9]+_(forward|reverse)$'
UNION ALL
SELECT 'replication slot', slot_name::text FROM pg_catalog.pg_replication_slots
WHERE database = pg_catalog.current_database() AND slot_name ~ '^shardline_[a-z0-9]+_(forward|reverse)$'
UNION ALL
SELECT 'publication', pubname::text FROM pg_catalog.pg_publication
WHERE pubname ~ '^shardline_[a-z0-9]+_(forward|reverse)$'
UNION ALL
SELECT 'role', rolname::text FROM pg_catalog.pg_roles
WHERE rolname ~ '^shardline_[a-z0-9]+_(forward|reverse)$'
ORDER BY 1 DESC, 2

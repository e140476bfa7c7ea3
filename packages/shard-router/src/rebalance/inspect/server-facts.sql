-- What a server says of itself that decides whether a move can work: one row with one JSON value.
-- $1 names of settings; those that the server does not have are left out
SELECT json_build_object(
  'version', current_setting('server_version_num')::integer,
  'isReplica', pg_is_in_recovery(),
  'encoding', current_setting('server_encoding'),
  'settings', (SELECT coalesce(json_object_agg(s.name, s.setting), '{}') FROM pg_catalog.pg_settings AS s WHERE s.name = ANY($1)),
  'usedSlots', (SELECT count(*) FROM pg_catalog.pg_replication_slots),
  'usedSenders', (SELECT count(*) FROM pg_catalog.pg_stat_get_wal_senders()),
  'usedSubscriptionWorkers', (SELECT count(*) FROM pg_catalog.pg_stat_subscription WHERE pid IS NOT NULL),
  'usedOrigins', (SELECT count(*) FROM pg_catalog.pg_replication_origin),
  'usedWorkers', (SELECT count(*) FROM pg_catalog.pg_stat_activity WHERE backend_type NOT IN (
    'client backend', 'walsender', 'autovacuum launcher', 'autovacuum worker', 'checkpointer', 'background writer',
    'walwriter', 'archiver', 'startup', 'walreceiver', 'walsummarizer', 'slotsync worker', 'io worker', 'standalone backend')),
  'preparedTransactions', (SELECT coalesce(json_agg(json_build_object('id', p.gid, 'database', p.database,
      'seconds', extract(epoch FROM clock_timestamp() - p.prepared)) ORDER BY p.prepared), '[]')
    FROM pg_catalog.pg_prepared_xacts AS p),
  'longTransactions', (SELECT coalesce(json_agg(json_build_object('pid', a.pid, 'application', a.application_name,
      'writes', a.backend_xid IS NOT NULL,
      'seconds', extract(epoch FROM clock_timestamp() - a.xact_start)) ORDER BY a.xact_start), '[]')
    FROM pg_catalog.pg_stat_activity AS a
    WHERE a.xact_start < clock_timestamp() - interval '10 seconds' AND a.pid <> pg_backend_pid()
      AND a.backend_type = 'client backend'),
  'xidAge', (SELECT max(age(d.datfrozenxid)) FROM pg_catalog.pg_database AS d WHERE d.datallowconn),
  'databaseBytes', (SELECT CASE WHEN has_database_privilege(current_database(), 'CONNECT') THEN pg_database_size(current_database()) END),
  'hasLargeObjects', EXISTS (SELECT 1 FROM pg_catalog.pg_largeobject_metadata),
  'heldSlots', (SELECT coalesce(json_agg(json_build_object('name', s.slot_name, 'active', s.active,
      'bytes', CASE WHEN pg_is_in_recovery() THEN NULL ELSE pg_wal_lsn_diff(pg_current_wal_lsn(), s.restart_lsn) END,
      'walStatus', s.wal_status) ORDER BY s.slot_name), '[]')
    FROM pg_catalog.pg_replication_slots AS s),
  'role', (SELECT json_build_object('name', r.rolname, 'isSuperuser', r.rolsuper, 'mayReplicate', r.rolreplication,
      'mayCreateRoles', r.rolcreaterole,
      'mayCreateInDatabase', has_database_privilege(current_database(), 'CREATE'),
      'memberOf', (SELECT coalesce(json_agg(g.rolname ORDER BY g.rolname), '[]') FROM pg_catalog.pg_roles AS g
                   WHERE g.oid <> r.oid AND NOT r.rolsuper AND pg_has_role(r.oid, g.oid, 'USAGE')))
    FROM pg_catalog.pg_roles AS r WHERE r.rolname = current_user)
) AS facts

-- What the throttle watches on a server: the replica that is furthest behind, and the replication slot of a move.
-- $1 name of the slot; null where the move has none
SELECT
  (SELECT json_build_object('name', r.application_name,
     'lagMs', coalesce(extract(epoch FROM r.replay_lag) * 1000, 0))
   FROM pg_catalog.pg_stat_replication AS r
   WHERE NOT EXISTS (SELECT 1 FROM pg_catalog.pg_replication_slots AS l
                     WHERE l.active_pid = r.pid AND l.slot_type = 'logical')
   ORDER BY r.replay_lag DESC NULLS LAST LIMIT 1) AS replica,
  (SELECT json_build_object(
     'bytes', coalesce(max(pg_wal_lsn_diff(pg_current_wal_lsn(), s.restart_lsn)), 0),
     'bytesLeft', min(s.safe_wal_size),
     'isLost', coalesce(bool_or(s.wal_status = 'lost'), false))
   FROM pg_catalog.pg_replication_slots AS s WHERE s.slot_name = $1) AS slot

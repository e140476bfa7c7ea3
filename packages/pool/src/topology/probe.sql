-- Asks one server for its role, position and identity, in one snapshot and without locks.
-- Runs on a primary and on a hot standby, by any user, also through a transaction pooler.
--
-- $1             started_at of an earlier answer, or null.
-- system_identifier  null if the server is still the process that gave $1, which keeps its data directory as long as it
--                runs: to ask means that the server reads a file, a quarter of what all of this costs.
-- timeline       primary: of the file being written. Standby: of what it receives, as far as this user may
--                see it, and at least that of the last restart point: a lower bound.
-- lsn            primary: where the next record starts (covers commits with synchronous_commit off).
--                Standby: how far it has replayed.
-- segment_bytes  needed to tell the header of a segment from that of a page.
SELECT pg_is_in_recovery() AS in_recovery,
       CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn()
            ELSE pg_current_wal_insert_lsn() END::text AS lsn,
       CASE WHEN pg_is_in_recovery() THEN pg_last_wal_receive_lsn() END::text AS received_lsn,
       CASE WHEN pg_is_in_recovery()
            THEN (extract(epoch FROM clock_timestamp() - pg_last_xact_replay_timestamp()) * 1000)::float8
            ELSE 0::float8 END AS replay_age_ms,
       CASE WHEN pg_is_in_recovery()
            THEN greatest((SELECT received_tli FROM pg_stat_wal_receiver LIMIT 1),
                          (SELECT timeline_id FROM pg_control_checkpoint()))
            ELSE ('x' || substr(pg_walfile_name(pg_current_wal_insert_lsn()), 1, 8))::bit(32)::int
       END::text AS timeline,
       CASE WHEN started.at = $1::text THEN NULL
            ELSE (SELECT system_identifier FROM pg_control_system())::text END AS system_identifier,
       started.at AS started_at,
       pg_snapshot_xmax(pg_current_snapshot())::text AS snapshot_xmax,
       pg_snapshot_xmin(pg_current_snapshot())::text AS snapshot_xmin,
       pg_size_bytes(current_setting('wal_segment_size'))::text AS segment_bytes
FROM (SELECT (extract(epoch FROM pg_postmaster_start_time()) * 1000000)::bigint::text AS at) started

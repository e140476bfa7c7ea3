/**
 * What is known of PostgreSQL's own functions without asking a server.
 *
 * The catalog's volatility is not the whole truth for routing. Some volatile functions change nothing
 * and may run anywhere (`random`); some stable ones need the primary (`pg_current_xact_id` assigns a
 * transaction id); and some succeed silently on a replica while meaning something only on the primary
 * (advisory locks). These lists overrule the catalog; for every other name the catalog speaks.
 */

/** Volatile by the catalog, yet they neither change nor lock anything, and run on a standby. */
export const HARMLESS_VOLATILE: ReadonlySet<string> = new Set([
  'clock_timestamp',
  'gen_random_uuid',
  'pg_database_size',
  'pg_indexes_size',
  'pg_is_in_recovery',
  'pg_last_wal_receive_lsn',
  'pg_last_wal_replay_lsn',
  'pg_last_xact_replay_timestamp',
  'pg_relation_size',
  'pg_sleep',
  'pg_sleep_for',
  'pg_sleep_until',
  'pg_table_size',
  'pg_tablespace_size',
  'pg_total_relation_size',
  'random',
  'random_normal',
  'timeofday',
  'uuidv4',
  'uuidv7',
]);

/** They set or use state of the server session, on whichever connection they meet. */
export const SESSION_FUNCTIONS: ReadonlySet<string> = new Set([
  'currval',
  'lastval',
  'pg_advisory_lock',
  'pg_advisory_lock_shared',
  'pg_advisory_unlock',
  'pg_advisory_unlock_all',
  'pg_advisory_unlock_shared',
  'pg_try_advisory_lock',
  'pg_try_advisory_lock_shared',
  'set_config',
  'setseed',
]);

/** Not volatile by the catalog, yet refused by a standby or meaningless there. */
export const PRIMARY_ONLY_STABLE: ReadonlySet<string> = new Set([
  'pg_current_xact_id',
  'pg_walfile_name',
  'pg_walfile_name_offset',
  'txid_current',
]);

/** Volatile functions worth knowing before the catalog of the connected database has been read. */
export const WELL_KNOWN_VOLATILE: ReadonlySet<string> = new Set([
  'lo_create',
  'lo_export',
  'lo_from_bytea',
  'lo_import',
  'lo_put',
  'lo_unlink',
  'lowrite',
  'nextval',
  'pg_advisory_xact_lock',
  'pg_advisory_xact_lock_shared',
  'pg_cancel_backend',
  'pg_create_logical_replication_slot',
  'pg_create_physical_replication_slot',
  'pg_create_restore_point',
  'pg_current_wal_flush_lsn',
  'pg_current_wal_insert_lsn',
  'pg_current_wal_lsn',
  'pg_drop_replication_slot',
  'pg_export_snapshot',
  'pg_logical_emit_message',
  'pg_notify',
  'pg_promote',
  'pg_reload_conf',
  'pg_switch_wal',
  'pg_terminate_backend',
  'pg_try_advisory_xact_lock',
  'pg_try_advisory_xact_lock_shared',
  'query_to_xml',
  'setval',
]);

/**
 * Pure functions common enough to be worth routing in the moments before the catalog has been read.
 * A user's function of the same name is found once it has.
 */
export const WELL_KNOWN_PURE: ReadonlySet<string> = new Set(
  (
    'abs array_agg array_length array_to_json avg bool_and bool_or btrim cardinality ceil ceiling ' +
    'char_length coalesce concat concat_ws count current_database current_schema current_schemas ' +
    'current_setting date_bin date_part date_trunc dense_rank every exp extract first_value floor ' +
    'format format_type generate_series generate_subscripts greatest json_agg json_array_elements ' +
    'json_build_array json_build_object json_each json_object_agg jsonb_agg jsonb_array_elements ' +
    'jsonb_build_array jsonb_build_object jsonb_each jsonb_object_agg jsonb_path_query lag ' +
    'last_value lead least left length ln log lower lpad ltrim max md5 min mod now nth_value ntile ' +
    'nullif octet_length overlay pg_backend_pid percent_rank position power rank regexp_matches ' +
    'regexp_replace repeat replace reverse right round row_number row_to_json rpad rtrim sign split_part sqrt ' +
    'string_agg string_to_array strpos substr substring sum timezone to_char to_date to_json ' +
    'to_jsonb to_number to_timestamp trim trunc unnest upper version'
  ).split(' '),
);

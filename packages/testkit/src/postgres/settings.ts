import { type Duration, durationMs } from '@shardline/core';

/**
 * The configuration of a test server. Values of the caller come last and win; so does whatever ALTER
 * SYSTEM writes, since nothing is given on the command line.
 */

/** A server setting as the caller writes it. */
export type SettingValue = string | number | boolean;

export type PostgresSettings = Readonly<Record<string, SettingValue>>;

/** Who must show a password. Superuser `postgres` never must: the kit itself uses it. */
export type PostgresAuthentication = 'trust' | 'scram-sha-256';

/** What every server gets, besides port and places. */
export const DEFAULT_SETTINGS: PostgresSettings = {
  listen_addresses: '127.0.0.1',
  // Paths of sockets have a length limit that a temporary folder may exceed, and nobody needs them.
  unix_socket_directories: '',
  timezone: 'UTC',
  log_timezone: 'UTC',
  log_line_prefix: '%m [%p] %q%a ',
  wal_level: 'logical',
  max_connections: 200,
  max_wal_senders: 30,
  max_replication_slots: 60,
  max_worker_processes: 32,
  max_logical_replication_workers: 20,
  shared_buffers: '64MB',
  // In the data folder instead of /dev/shm, so that a killed server leaves nothing outside.
  dynamic_shared_memory_type: 'mmap',
  // Replicas tell their position every second and look for a primary that came back twice in one.
  wal_receiver_status_interval: '1s',
  wal_retrieve_retry_interval: '500ms',
};

/**
 * Without these nothing is forced to disk: a killed server still recovers everything, since the
 * system keeps what it was given; only a crash of the machine loses data. full_page_writes stays on,
 * since a SIGKILL may fall between the halves of a page.
 */
const NOT_DURABLE: PostgresSettings = { fsync: false };

/** The text of postgresql.conf. Pure. */
export function renderSettings(
  place: { readonly folder: string; readonly port: number },
  isDurable: boolean,
  settings: PostgresSettings,
): string {
  const all: PostgresSettings = {
    ...DEFAULT_SETTINGS,
    ...(isDurable ? {} : NOT_DURABLE),
    ...settings,
    port: place.port,
    hba_file: `${place.folder}/pg_hba.conf`,
  };
  return Object.entries(all)
    .map(([name, value]) => `${name} = ${quoteSetting(value)}\n`)
    .join('');
}

/** A value as configuration files want it. */
export function quoteSetting(value: SettingValue): string {
  if (typeof value === 'boolean') return value ? 'on' : 'off';
  if (typeof value === 'number') return String(value);
  return `'${value.replaceAll('\\', '\\\\').replaceAll("'", "''").replaceAll('\n', '\\n')}'`;
}

/** The text of pg_hba.conf. Pure. */
export function renderAccess(authentication: PostgresAuthentication): string {
  const lines = [
    ['all', 'postgres', 'trust'],
    ['replication', 'postgres', 'trust'],
    ['all', 'all', authentication],
    ['replication', 'all', authentication],
  ];
  return lines
    .map(([database, user, method]) => `host ${database} ${user} 127.0.0.1/32 ${method}\n`)
    .join('');
}

/** A replica has its primary's settings (some must not be lower), then its own. Pure. */
export function replicaSettings(
  inherited: PostgresSettings,
  own: PostgresSettings,
  applyDelay: Duration,
): PostgresSettings {
  return { ...inherited, recovery_min_apply_delay: `${durationMs(applyDelay)}ms`, ...own };
}

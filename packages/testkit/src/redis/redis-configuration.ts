import type { ServerPlace } from '../server/server.js';
import type { CheckedRedisOptions, RedisSettings } from './redis-options.js';

/** Names of the files that a Redis with TLS has in its folder. */
export const TLS_FILES = { certificate: 'server.crt', key: 'server.key' } as const;

/** What goes into a configuration besides the common options. */
export interface ConfigurationExtras {
  readonly users?: Readonly<Record<string, string>>;
  readonly hasTls?: boolean;
  /** Whether DEBUG is asked for; only releases from 7.0 on have a directive for it. */
  readonly hasDebugDirective?: boolean;
  /** The kit's own directives for the role that this server plays. */
  readonly role?: RedisSettings;
}

/** Writes redis.conf. What the user sets comes last: Redis takes the last of two directives. */
export function redisConfiguration(
  place: Pick<ServerPlace, 'folder' | 'port'>,
  options: CheckedRedisOptions,
  extras: ConfigurationExtras = {},
): string {
  return lines({
    bind: '127.0.0.1',
    ...listening(place.port, place.folder, extras.hasTls ?? false),
    dir: quoted(place.folder),
    databases: '16',
    save: '""',
    ...(options.persistence
      ? { appendonly: 'yes', appendfsync: 'everysec' }
      : { appendonly: 'no' }),
    // A replica asks for a copy at once instead of waiting for others to share it with.
    'repl-diskless-sync': 'yes',
    'repl-diskless-sync-delay': '0',
    'repl-ping-replica-period': '1',
    ...(extras.hasDebugDirective ? { 'enable-debug-command': 'local' } : {}),
    ...credentials(options.password, extras.users ?? {}),
    ...optional('maxmemory', options.maxMemory),
    ...optional('maxmemory-policy', options.maxMemoryPolicy),
    ...optional('notify-keyspace-events', options.notifyKeyspaceEvents, quoted),
    ...extras.role,
    ...options.settings,
  });
}

/** What a Sentinel is told of its primary. */
export interface SentinelConfiguration {
  readonly masterName: string;
  readonly primaryPort: number;
  readonly quorum: number;
  readonly replicas: number;
  readonly downAfterMs: number;
  readonly failoverTimeoutMs: number;
  readonly password?: string | undefined;
}

/** Writes sentinel.conf, which Sentinel then rewrites with what it learns. */
export function sentinelConfiguration(
  place: Pick<ServerPlace, 'folder' | 'port'>,
  told: SentinelConfiguration,
): string {
  const name = told.masterName;
  return lines({
    bind: '127.0.0.1',
    port: place.port,
    dir: quoted(place.folder),
    sentinel: [
      `monitor ${name} 127.0.0.1 ${told.primaryPort} ${told.quorum}`,
      `down-after-milliseconds ${name} ${told.downAfterMs}`,
      `failover-timeout ${name} ${told.failoverTimeoutMs}`,
      // All replicas turn to the new primary at once.
      `parallel-syncs ${name} ${Math.max(1, told.replicas)}`,
      ...(told.password === undefined ? [] : [`auth-pass ${name} ${quoted(told.password)}`]),
    ],
  });
}

/** A value in the quotes of redis.conf. */
export function quoted(value: string): string {
  return `"${value.replace(/[\\"]/g, '\\$&')}"`;
}

function listening(port: number, folder: string, hasTls: boolean): RedisSettings {
  if (!hasTls) return { port };
  return {
    port: 0,
    'tls-port': port,
    'tls-cert-file': quoted(`${folder}/${TLS_FILES.certificate}`),
    'tls-key-file': quoted(`${folder}/${TLS_FILES.key}`),
    'tls-ca-cert-file': quoted(`${folder}/${TLS_FILES.certificate}`),
    'tls-auth-clients': 'no',
  };
}

function credentials(
  password: string | undefined,
  users: Readonly<Record<string, string>>,
): RedisSettings {
  const rules = Object.entries(users).map(([name, rule]) => `${name} ${rule}`);
  return {
    ...(password === undefined
      ? {}
      : { requirepass: quoted(password), masterauth: quoted(password) }),
    ...(rules.length === 0 ? {} : { user: rules }),
  };
}

function optional(
  name: string,
  value: string | undefined,
  write: (value: string) => string = (text) => text,
): RedisSettings {
  return value === undefined ? {} : { [name]: write(value) };
}

function lines(settings: RedisSettings): string {
  return Object.entries(settings)
    .flatMap(([name, value]) => (Array.isArray(value) ? value : [value]).map((one) => [name, one]))
    .map(([name, value]) => `${name} ${value}\n`)
    .join('');
}

import type { ServerKind } from '../server/server.js';

/** Programs of one kind of server, ready to be started on this machine. */
export interface Installation {
  readonly kind: ServerKind;
  /** As the program names it: `18.4`, `7.0.15`. */
  readonly version: string;
  /** The absolute path of one of its programs. */
  binary(name: string): string;
  /** Variables that its programs need, such as LD_LIBRARY_PATH. */
  readonly environment: Readonly<Record<string, string>>;
  readonly origin: 'npm' | 'path' | 'debian-packages';
}

/** The programs without which a kind of server cannot be run. */
export const requiredPrograms: Readonly<Record<ServerKind, readonly string[]>> = {
  postgres: ['postgres', 'initdb'],
  redis: ['redis-server'],
  memcached: ['memcached'],
  pgbouncer: ['pgbouncer'],
};

/** The program that serves, and that is asked for its version. */
export const mainProgram: Readonly<Record<ServerKind, string>> = {
  postgres: 'postgres',
  redis: 'redis-server',
  memcached: 'memcached',
  pgbouncer: 'pgbouncer',
};

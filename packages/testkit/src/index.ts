export { type FindBinariesOptions, findBinaries } from './binaries/find-binaries.js';
export type { Installation } from './binaries/installation.js';
export { testkitErrors } from './errors.js';
export {
  type MemcachedNodes,
  type MemcachedOptions,
  type MemcachedServer,
  startMemcached,
  startMemcachedNodes,
} from './memcached/memcached-server.js';
export {
  type PgBouncerOptions,
  type PgBouncerServer,
  startPgBouncer,
} from './pgbouncer/pgbouncer-server.js';
export type { PgBouncerSettings, PoolMode } from './pgbouncer/pgbouncer-settings.js';
export type { PostgresOptions, ReplicaOptions } from './postgres/postgres-options.js';
export type { ConnectionTarget, PostgresServer } from './postgres/postgres-server.js';
export type {
  PostgresAuthentication,
  PostgresSettings,
  SettingValue,
} from './postgres/settings.js';
export { startPostgres } from './postgres/start-postgres.js';

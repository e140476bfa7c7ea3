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
export type {
  Backend,
  Endpoint,
  Server,
  ServerKind,
  ServerPlace,
  ServerSpec,
  ServerState,
} from './server/server.js';

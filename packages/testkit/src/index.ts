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
export { type FaultProxy, startFaultProxy } from './proxy/fault-proxy.js';
export type {
  CutOptions,
  FaultDirection,
  FaultProxyOptions,
  LatencyOptions,
  ProxyTraffic,
} from './proxy/fault-proxy-options.js';
export type { CutEnding, Direction } from './proxy/link.js';
export type { RedisCluster } from './redis/redis-cluster.js';
export type { RedisCommonOptions, RedisOptions, RedisSettings } from './redis/redis-options.js';
export type { RedisSentinel } from './redis/redis-sentinel.js';
export { type RedisServer, startRedis } from './redis/redis-server.js';
export type { RedisWait } from './redis/redis-wait.js';
export type { SlotMove } from './redis/slot-move.js';
export { type RedisClusterOptions, startRedisCluster } from './redis/start-redis-cluster.js';
export { type RedisSentinelOptions, startRedisSentinel } from './redis/start-redis-sentinel.js';
export type {
  Backend,
  Endpoint,
  Server,
  ServerKind,
  ServerPlace,
  ServerSpec,
  ServerState,
} from './server/server.js';

export { type FindBinariesOptions, findBinaries } from './binaries/find-binaries.js';
export type { Installation } from './binaries/installation.js';
export { testkitErrors } from './errors.js';
export {
  type Exploration,
  type ExploredModel,
  type ExploreOptions,
  explore,
  type Finding,
  formatTrace,
  type TraceStep,
} from './explore/explorer.js';
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
export { furthestFirst } from './postgres/furthest-first.js';
export type { PostgresOptions, ReplicaOptions } from './postgres/postgres-options.js';
export type { ConnectionTarget, PostgresServer } from './postgres/postgres-server.js';
export { takeInventory } from './postgres/replication-inventory.js';
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
export { type BackendName, chooseBackend } from './server/choose-backend.js';
export { releasePort, reservePort, startOnFreePort } from './server/free-port.js';
export { isPortFree } from './server/port-probe.js';
export type {
  Backend,
  Endpoint,
  LocalPlace,
  Server,
  ServerKind,
  ServerPlace,
  ServerSpec,
  ServerState,
  UserIds,
} from './server/server.js';
export { type WaitOptions, waitUntil } from './server/wait-until.js';
export { startTopology } from './start-topology.js';
export type { Shard, Topology } from './topology.js';
export type { ShardOptions, TopologyOptions, TopologyPostgresOptions } from './topology-options.js';

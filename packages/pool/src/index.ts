export type { ConnectCallback, RoutedQueryConfig } from './base-pool.js';
export type { RouteHint, StatementClass, StatementKind } from './classify/statement-class.js';
export { type PoolErrorCode, poolErrors } from './errors.js';
export type { NodeHealth, PoolHealth } from './health.js';
export type { NodePoolCounts } from './node/node-pool-options.js';
export type {
  Balancing,
  NodeOptions,
  QueryOptions,
  ReplicaPoolOptions,
  SessionOptions,
} from './options.js';
export type { LeakReport } from './pool-events.js';
export { type PoolSession, runInPoolSessions, type SessionPosition } from './pool-session.js';
export { ReplicaPool } from './replica-pool.js';
export type { RouteTarget } from './route/decide.js';
export type { RouteExplanation } from './router.js';
export type { TargetedPool } from './targeted-pool.js';

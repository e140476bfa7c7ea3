export { type PoolErrorCode, poolErrors } from './errors.js';
export type {
  Balancing,
  NodeOptions,
  QueryOptions,
  ReplicaPoolOptions,
  SessionOptions,
} from './options.js';
export { type ConnectCallback, ReplicaPool, type RoutedQueryConfig } from './replica-pool.js';

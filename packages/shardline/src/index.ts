export { PROVIDERS, type Provider } from '@shardline/shard-router';
export type {
  AdministrationConfig,
  ShardAdministrationConfig,
} from './administration.js';
export {
  administratorConfigOf,
  administratorRouterOptionsOf,
  prepareLayerShard,
  rebalancerOptionsOf,
} from './administrator.js';
export {
  type DataLayerConfig,
  defineConfig,
  type EntityCachePolicy,
  type EntityDefinition,
  type EntityDefinitions,
  type EventDefinition,
  type EventDefinitions,
  type KeyspaceDefinition,
  type KeyspaceDefinitions,
  type KeyType,
  type LimitsDefinition,
  type NamespaceDefinition,
  type NamespaceDefinitions,
  type NamespaceLoadContext,
  type PoolPolicy,
  type SessionPolicy,
  type ShardServers,
  type TierLimit,
} from './config.js';
export { createDataLayer } from './create-data-layer.js';
export type {
  DataLayer,
  DataLayerHealth,
  DataLayerStats,
  DrizzleFactory,
  KyselyModule,
} from './data-layer.js';
export type {
  Entity,
  EntityCallOptions,
  Key,
  ListOptions,
  NameArguments,
  NameOf,
} from './entity/entity.js';
export { type Environment, expandEnvironment } from './environment.js';
export { layerErrors } from './errors.js';
export type {
  EntitiesOf,
  IdOf,
  KeyOf,
  NamespacesOf,
  PayloadOf,
  RowOf,
} from './infer.js';
export { closeOnSignals, type SignalOptions } from './lifecycle/close-on-signals.js';
export type { ClosableServer, CloseOptions } from './lifecycle/close-options.js';
export type { CloseReport, CloseStep } from './lifecycle/close-report.js';
export {
  liveness,
  type ProbeAnswer,
  type ProbedLayer,
  type ProbePaths,
  readiness,
} from './lifecycle/probes.js';
export type { LayerSession, SessionStart } from './session/layer-session.js';
export { initialiseShards } from './shards.js';
export type { LayerTransaction } from './transaction/layer-transaction.js';

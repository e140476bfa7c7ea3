export type {
  AdministrationConfig,
  Provider,
  ShardAdministrationConfig,
} from './administration.js';
export { PROVIDERS } from './administration.js';
export {
  administratorConfigOf,
  administratorRouterOptionsOf,
  rebalancerOptionsOf,
} from './administrator.js';
export {
  type DataLayerConfig,
  defineConfig,
  type EntityCachePolicy,
  type EntityDefinition,
  type EntityDefinitions,
  type KeyspaceDefinition,
  type KeyType,
  type ShardServers,
  type TierLimit,
} from './config.js';
export {
  createDataLayer,
  type DataLayer,
  type DataLayerHealth,
  type DataLayerStats,
  type EntitiesOf,
  type RowOf,
} from './data-layer.js';
export type { Entity, Key } from './entity/entity.js';
export { type Environment, expandEnvironment } from './environment.js';
export { layerErrors } from './errors.js';
export { initialiseShards } from './shards.js';

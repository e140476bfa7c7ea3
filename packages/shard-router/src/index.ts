export { bootstrap } from './bootstrap.js';
export { createRouter } from './create-router.js';
export { type BootstrapStep, describeBootstrap } from './describe-bootstrap.js';
export type { SchemaDifference } from './doctor/compare-schemas.js';
export { routerErrors } from './errors.js';
export { jumpHash } from './hash/jump.js';
export { type Hash128, murmur3x64, murmur3x86 } from './hash/murmur3.js';
export { hashInt8Extended, hashTextExtended, uuidHashExtended } from './hash/postgres-hash.js';
export { rendezvous, type WeightedNode } from './hash/rendezvous.js';
export { createSlotIds, type SlotIdOptions, type SlotIds } from './ids/leased-ids.js';
export { readSlotId, type SlotIdParts } from './ids/slot-id.js';
export {
  type HashName,
  Keyspace,
  type KeyspaceDefinition,
  type KeyType,
  type ShardedTable,
  type ShardKey,
  slotExpression,
} from './keyspace.js';
export type { ByKeysOptions, KeyspaceRouter } from './keyspace-router.js';
export {
  type AnalysisThresholds,
  analyze,
  type DistributionAnalysis,
  type ShardLoad,
  type SlotMeasure,
} from './placement/analyze.js';
export { diffSlots, movedSlots, type SlotMove } from './placement/diff.js';
export { HashRing, type HashRingOptions } from './placement/hash-ring.js';
export { proposeSlots, type SlotOwners } from './placement/slot-map.js';
export { PROVIDERS, type Provider } from './provider-names.js';
export type { KeyGroup, RouteDecision } from './route/decide.js';
export type {
  ExplainedShard,
  ExplainOptions,
  StatementExplanation,
} from './route/explain-statement.js';
export type { PlacementRule } from './route/place-statement.js';
export { Router, type RouterHealth, type TablePlacement } from './router.js';
export type { CallOptions, StatementOptions } from './router-core.js';
export type { KeyspaceOptions, RouterOptions, ShardLocation } from './router-options.js';
export type { Aggregate, OrderTerm, ScatterOptions } from './scatter/options.js';
export type { ScatterRows, ShardFailure } from './scatter/scatter.js';
export { installShard, type KeyspaceTables } from './shard/install.js';
export type { QueryAnswer, Queryable } from './shard/queryable.js';
export {
  applyChange,
  type CatalogState,
  checkCatalog,
  grantRouter,
  type HoldRequest,
  loadCatalog,
  migrateCatalog,
  publishChange,
  publishFirst,
  releaseHold,
  requestHold,
  type UnacknowledgedRouter,
  unacknowledgedRouters,
} from './topology/catalog.js';
export {
  guardTable,
  MISPLACED_WRITE,
  misplacedWrite,
  type OwnershipRecord,
  readOwnership,
  uninstallShard,
  writeOwnership,
} from './topology/ownership.js';
export { formatSlots, parseSlots } from './topology/slot-set.js';
export {
  type KeyspaceData,
  type KeyspaceTopology,
  Topology,
  type TopologyChange,
  type TopologyData,
  type TopologyShard,
} from './topology/topology.js';
export {
  readTopologyFile,
  type TopologyFile,
  topologyFileOf,
  topologyOf,
} from './topology/topology-file.js';
export type { ShardTransaction, TransactionOptions } from './transaction.js';
export type { CopyOptions, CopyReport } from './write/copy-from.js';
export type { EverywhereOptions, ShardOutcome } from './write/everywhere.js';
export type { InsertOptions } from './write/insert-many.js';
export type { ReferenceTables } from './write/reference-tables.js';

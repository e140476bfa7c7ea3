export type { Bus, BusListener, BusMessage } from './bus/bus.js';
export { Cache, createCache } from './cache.js';
export type { CacheCloseReport } from './cache-close.js';
export type { CacheOptions } from './cache-options.js';
export type {
  CacheKey,
  GetOptions,
  InvalidateOptions,
  ReportedChange,
  SetOptions,
  UpdateOptions,
} from './call-options.js';
export { type CloudflareOptions, cloudflarePurger } from './edge/cloudflare.js';
export {
  type CloudFrontOptions,
  cloudFrontPurger,
  type UnsignedRequest,
} from './edge/cloudfront.js';
export { type FastlyOptions, fastlyPurger } from './edge/fastly.js';
export type { HeaderFields } from './edge/headers.js';
export type { EdgePurger, Fetch } from './edge/purger.js';
export type { EdgeTarget } from './edge/surrogate-keys.js';
export type { Codec } from './entry/codec.js';
export type { CompressionName } from './entry/compression.js';
export { FRESHEST } from './entry/standing-freshness.js';
export { cacheErrors } from './errors.js';
export type { CacheHealth } from './health.js';
export type { InvalidationReport } from './invalidate/invalidator.js';
export {
  type InvalidationRecord,
  type OutboxRelay,
  type OutboxRow,
  type OutboxSource,
  type RelayOptions,
  startOutboxRelay,
} from './invalidate/outbox.js';
export type { Rules } from './invalidate/rules.js';
export { type KeyvStore, keyvStore } from './keyv-store.js';
export type { CacheNamespace, NamespaceStats } from './namespace.js';
export type {
  LoadContext,
  Loader,
  NamespaceOptions,
  Store,
  TierName,
} from './namespace-options.js';
export type { PartitionOptions } from './partition.js';
export type { Inconsistency, ProbeStage } from './probe/probe.js';
export type { ScheduleOptions } from './schedule/schedules.js';
export type { MemcachedOptions, MemcachedTarget } from './tiers/memcached/open-memcached.js';
export type { Lease, Seen, SharedTier, Tombstone } from './tiers/tier.js';
export type { WarmOptions } from './warm/warm-plan.js';
export type { WarmProgress, WarmReport } from './warm/warmer.js';
export type { WarmingOptions } from './warm/warming-options.js';
export type {
  FlushReport,
  StoreMany,
  UnwrittenWrite,
  WriteBehindOptions,
} from './write/behind-policy.js';

import { type Cache, createCache, type PartitionOptions } from '@shardline/cache';
import type { Duration } from '@shardline/core';
import { createLimiter, type RateLimiter } from '@shardline/ratelimit';
import type { ResolvedConfig } from './config-check.js';
import { policyOf } from './entity/entity-limits.js';
import { TOMBSTONE_MS } from './freshness/recent-floors.js';
import { eventOf } from './invalidation/row-rules.js';

/** Opens the cache of a configuration, if anything is cached. */
export function openCache(
  config: ResolvedConfig,
  provenSince: () => number | undefined,
): Cache | undefined {
  const entities = Object.entries(config.entities);
  const isUsed =
    entities.some(([, { cache }]) => cache !== undefined) ||
    Object.keys(config.namespaces).length > 0;
  if (!isUsed) return undefined;
  const rowRules = entities
    .filter(([, { invalidates }]) => invalidates.length > 0)
    .map(([name, { invalidates }]) => [eventOf(name), invalidates]);
  const events = Object.entries(config.events);
  const eventRules = events
    .filter(([, { invalidates }]) => invalidates.length > 0)
    .map(([name, { invalidates }]) => [name, invalidates]);
  const warmed = events
    .filter(([, { warms }]) => warms.length > 0)
    .map(([name, { warms }]) => [name, warms]);
  const partitions = Object.entries(config.partitions).map(([name, place]) => [
    name,
    placeOf(place),
  ]);
  return createCache({
    prefix: config.name,
    ...placeOf(config),
    partitions: Object.fromEntries(partitions),
    rules: Object.fromEntries([...eventRules, ...rowRules]),
    schedules: config.schedules,
    warming: { ...config.warming, events: Object.fromEntries(warmed) },
    tombstoneTtl: `${TOMBSTONE_MS}ms`,
    provenSince,
  });
}

function placeOf({
  redis,
  memcached,
}: Pick<ResolvedConfig, 'redis' | 'memcached'>): PartitionOptions {
  return {
    ...(redis === undefined ? {} : { redis }),
    ...(memcached === undefined || memcached.length === 0
      ? {}
      : { memcached: memcached.join(',') }),
  };
}

interface Limit {
  readonly limit: number;
  readonly per: number;
  readonly burst?: number | undefined;
}

/** Opens the limits that the service checks by itself. */
export function openLimiter(config: ResolvedConfig): RateLimiter | undefined {
  if (config.limits === undefined) return undefined;
  const { tiers, policies, ...common } = config.limits;
  return createLimiter({
    ...storeOf(config),
    prefix: `${config.name}:rl:`,
    ...common,
    ...(tiers === undefined
      ? { policies: policies ?? {} }
      : {
          tiers: Object.fromEntries(
            Object.entries(tiers).map(([name, one]) => [name, rateOf(one)]),
          ),
        }),
  });
}

/** Opens the limits of entities, which `layer.limits.check` does not ask. */
export function openEntityLimiter(config: ResolvedConfig): RateLimiter | undefined {
  const policies = Object.entries(config.entities).flatMap(([entity, { limits }]) =>
    (['reads', 'writes'] as const).flatMap((kind) => {
      const limit = limits[kind];
      return limit === undefined ? [] : [[policyOf(entity, kind), rateOf(limit)] as const];
    }),
  );
  if (policies.length === 0) return undefined;
  return createLimiter({
    ...storeOf(config),
    prefix: `${config.name}:rle:`,
    policies: Object.fromEntries(policies),
  });
}

/** Without a Redis limits hold for one process. */
function storeOf({ redis }: ResolvedConfig) {
  return redis === undefined ? { memory: true } : { redis };
}

function rateOf({ limit, per, burst }: Limit) {
  const window: Duration = `${per}ms`;
  return { limit, window, ...(burst === undefined ? {} : { burst }) };
}

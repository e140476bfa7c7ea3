import type { BreakerState } from '@shardline/core';
import type { Invalidator } from './invalidate/invalidator.js';
import type { Partition } from './partition.js';
import type { NamespaceRuntime } from './runtime.js';

/** How a cache is. */
export interface CacheHealth {
  /** Every tier answers and nothing waits to be invalidated. */
  readonly healthy: boolean;
  readonly tiers: readonly {
    readonly tier: string;
    readonly breaker: BreakerState;
  }[];
  /** Invalidations that a tier has not taken yet. */
  readonly pendingInvalidations: number;
  /** By how long this process may lag behind an invalidation at most, now, in milliseconds. */
  readonly stalenessBoundMs: number;
}

export function healthOf(
  partitions: Iterable<Partition>,
  runtimes: Iterable<NamespaceRuntime>,
  invalidator: Invalidator,
): CacheHealth {
  const tiers = [...partitions].flatMap(({ name, breakers }) =>
    [...breakers].map(([tier, { state }]) => ({
      tier: name === '' ? tier : `${name} ${tier}`,
      breaker: state,
    })),
  );
  const pendingInvalidations = invalidator.pendingCount;
  const bounds = [...runtimes].map(({ policy }) => policy.boundMs);
  return {
    healthy: pendingInvalidations === 0 && tiers.every(({ breaker }) => breaker === 'closed'),
    tiers,
    pendingInvalidations,
    stalenessBoundMs: Math.max(0, ...bounds.filter(Number.isFinite)),
  };
}

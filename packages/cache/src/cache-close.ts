import { type Clock, withDeadline } from '@shardline/core';
import type { Background } from './background.js';
import type { Edge } from './edge/edge.js';
import type { Invalidator } from './invalidate/invalidator.js';
import type { Partition } from './partition.js';
import type { NamespaceRuntime } from './runtime.js';
import type { CacheTelemetry } from './telemetry.js';
import type { Tracing } from './tracing.js';
import type { FlushReport } from './write/behind-policy.js';

/** What closing a cache came to. */
export interface CacheCloseReport extends FlushReport {
  /** Invalidations that no tier has acknowledged; their entries live until their ttl. */
  readonly pendingInvalidations: number;
}

/** What a cache has to end. */
export interface ClosingParts {
  readonly clock: Clock;
  readonly closing: AbortController;
  readonly runtimes: ReadonlyMap<string, NamespaceRuntime>;
  readonly partitions: ReadonlyMap<string, Partition>;
  readonly invalidator: Invalidator;
  readonly background: Background;
  readonly edge: Edge;
  readonly telemetry: CacheTelemetry;
  readonly tracing: Tracing;
}

/**
 * The order in which a cache ends: no new work, then what waits behind is written, work under way and
 * pending invalidations get what is left of the time, and the connections go last.
 */
export async function closeCache(
  parts: ClosingParts,
  timeoutMs: number,
): Promise<CacheCloseReport> {
  const { clock, closing, runtimes, partitions, invalidator, background, edge } = parts;
  closing.abort();
  const endsAtMs = clock.monotonicMs() + timeoutMs;
  const leftMs = () => Math.max(1, endsAtMs - clock.monotonicMs());
  const flushed = await Promise.all(
    [...runtimes.values()].map(({ behind }) => behind?.close(leftMs())),
  );
  invalidator.close();
  const finishing = async () => {
    await background.close();
    for (const runtime of runtimes.values()) await runtime.idle();
    if (invalidator.pendingCount > 0) await invalidator.replay();
    await edge.close(leftMs());
  };
  await withDeadline({ timeoutMs: leftMs(), doing: 'Closing the cache' }, finishing).catch(() => {
    // What is left waits on tiers that do not answer; they are cut off below.
  });
  for (const runtime of runtimes.values()) runtime.memory.clear();
  for (const partition of partitions.values()) await partition.close();
  parts.telemetry.close();
  parts.tracing.close();
  return {
    written: flushed.reduce((sum, report) => sum + (report?.written ?? 0), 0),
    unwritten: flushed.flatMap((report) => report?.unwritten ?? []),
    pendingInvalidations: invalidator.pendingCount,
  };
}

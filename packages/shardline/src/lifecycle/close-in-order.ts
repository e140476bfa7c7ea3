import type { Cache } from '@shardline/cache';
import { type Clock, type Duration, withDeadline } from '@shardline/core';
import type { ReplicaPool } from '@shardline/pool';
import type { RateLimiter } from '@shardline/ratelimit';
import type { Router } from '@shardline/shard-router';
import type { Outbox } from '../outbox/outbox.js';
import type { Admission } from './admission.js';
import type { CloseReport, CloseStep } from './close-report.js';

/** What is to be closed. */
export interface ClosingParts {
  readonly timeoutMs: number;
  readonly clock: Clock;
  readonly admission: Admission;
  readonly outbox: Outbox | undefined;
  readonly limiters: readonly RateLimiter[];
  readonly cache: Cache | undefined;
  readonly router: Router;
  readonly pools: readonly ReplicaPool[];
}

/** Waiting for calls may take this share of the time, so that the rest can still be closed in order. */
const DRAIN_SHARE = 0.6;
/** What is left at the end is given this long to be cut off. */
const LEAST_MS = 200;

/**
 * Ends a layer, nearest to the user first: whatever a later step closes, an earlier one may still need.
 *
 *     drain    nothing new is admitted, calls under way end
 *     outbox   relays stop; what was carried out is deleted
 *     limits   leased tokens are given back
 *     cache    what is queued is tried once more, background work ends
 *     router   the lease in the catalog ends
 *     pools    connections are closed
 *
 * A step that fails or takes too long does not keep the others from their turn.
 */
export async function closeInOrder(parts: ClosingParts): Promise<CloseReport> {
  const { clock, timeoutMs, admission, outbox, limiters, cache, router, pools } = parts;
  const untilMs = clock.monotonicMs() + timeoutMs;
  const leftMs = () => Math.max(LEAST_MS, untilMs - clock.monotonicMs());
  const deadline = () => ({ deadline: `${Math.ceil(leftMs())}ms` as Duration });
  const steps: CloseStep[] = [];
  const step = async (name: CloseStep['step'], work: () => Promise<unknown>) => {
    const startedAtMs = clock.monotonicMs();
    let error: unknown;
    try {
      const doing = `Closing the data layer (${name})`;
      await withDeadline({ timeoutMs: leftMs(), doing, clock }, work);
    } catch (caught) {
      error = caught;
    }
    steps.push({ step: name, tookMs: clock.monotonicMs() - startedAtMs, error });
  };
  let abandonedCalls = 0;
  await step('drain', async () => {
    abandonedCalls = await admission.drain(timeoutMs * DRAIN_SHARE);
  });
  await step('outbox', async () => outbox?.close());
  await step('limits', () => Promise.all(limiters.map((limiter) => limiter.close(deadline()))));
  await step('cache', async () => cache?.close(deadline()));
  await step('router', () => router.close(deadline()));
  await step('pools', () => Promise.all(pools.map((pool) => pool.close(deadline()))));
  const clean = abandonedCalls === 0 && steps.every(({ error }) => error === undefined);
  return { clean, abandonedCalls, steps };
}

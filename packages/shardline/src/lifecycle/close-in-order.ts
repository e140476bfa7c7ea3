import type { Cache } from '@shardline/cache';
import { type Clock, type Duration, sleep, withDeadline } from '@shardline/core';
import type { ReplicaPool } from '@shardline/pool';
import type { RateLimiter } from '@shardline/ratelimit';
import type { Router } from '@shardline/shard-router';
import type { Outbox } from '../outbox/outbox.js';
import type { Admission } from './admission.js';
import type { ClosableServer } from './close-options.js';
import type { CloseReport, CloseStep } from './close-report.js';

/** What is to be closed. */
export interface ClosingParts {
  readonly timeoutMs: number;
  readonly readinessDelayMs: number;
  readonly servers: readonly ClosableServer[];
  readonly clock: Clock;
  readonly admission: Admission;
  readonly outbox: Outbox | undefined;
  readonly limiters: readonly RateLimiter[];
  readonly cache: Cache | undefined;
  readonly router: Router;
  readonly pools: readonly ReplicaPool[];
}

/** Waiting for requests, and for calls, may take this share of what is left each, so that the rest has its turn. */
const DRAIN_SHARE = 0.6;
/** What is left at the end is given this long to be cut off. */
const LEAST_MS = 200;

/**
 * Ends a layer, nearest to the user first: whatever a later step closes, an earlier one may still need.
 *
 *     readiness  everything is served on while a balancer learns that this process is leaving
 *     servers  no new connection is taken, requests under way are answered
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
  if (parts.readinessDelayMs > 0) {
    await step('readiness', () => sleep(Math.min(parts.readinessDelayMs, leftMs()), { clock }));
  }
  if (parts.servers.length > 0) {
    await step('servers', () => closeServers(parts.servers, leftMs() * DRAIN_SHARE, clock));
  }
  await step('drain', async () => {
    abandonedCalls = await admission.drain(leftMs() * DRAIN_SHARE);
  });
  await step('outbox', async () => outbox?.close());
  await step('limits', () => Promise.all(limiters.map((limiter) => limiter.close(deadline()))));
  await step('cache', async () => cache?.close(deadline()));
  await step('router', () => router.close(deadline()));
  await step('pools', () => Promise.all(pools.map((pool) => pool.close(deadline()))));
  const clean = abandonedCalls === 0 && steps.every(({ error }) => error === undefined);
  return { clean, abandonedCalls, steps };
}

function closeServers(
  servers: readonly ClosableServer[],
  timeoutMs: number,
  clock: Clock,
): Promise<unknown> {
  const closing = servers.map(
    (server) =>
      new Promise<void>((resolve, reject) => {
        server.close((error) => (error === undefined ? resolve() : reject(error)));
      }),
  );
  const doing = 'Waiting for requests under way';
  return withDeadline({ timeoutMs, doing, clock }, () => Promise.all(closing));
}

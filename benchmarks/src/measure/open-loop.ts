import { setTimeout as sleep } from 'node:timers/promises';
import type { Histogram } from 'hdr-histogram-js';
import { latencyHistogram, recordMs } from './latency.js';

/** What came of an open loop. */
export interface OpenLoop {
  /** From when each call was due, not from when it could be made. */
  readonly latencies: Histogram;
  readonly done: number;
  readonly failures: readonly unknown[];
}

/**
 * Calls that come at their own times, whether or not earlier ones are done, as users do.
 *
 * A caller who waits for each answer before he asks again stops asking exactly while the service is slow, and so does
 * not see how slow it is ("coordinated omission"). Here a call is due at a time of its own, by chance, and its latency
 * counts from then, even if this process was too busy to make it.
 */
export async function openLoop(
  work: () => Promise<unknown>,
  options: {
    readonly perSecond: number;
    readonly durationMs: number;
    readonly random: () => number;
    readonly signal: AbortSignal;
  },
): Promise<OpenLoop> {
  const { perSecond, durationMs, random, signal } = options;
  const latencies = latencyHistogram();
  const failures: unknown[] = [];
  const underWay = new Set<Promise<void>>();
  const startedMs = performance.now();
  let done = 0;
  const call = async (dueMs: number) => {
    try {
      await work();
      done += 1;
      recordMs(latencies, performance.now() - startedMs - dueMs);
    } catch (error) {
      failures.push(error);
    }
  };
  let dueMs = gapMs(perSecond, random);
  while (dueMs < durationMs) {
    signal.throwIfAborted();
    const nowMs = performance.now() - startedMs;
    for (; dueMs <= nowMs && dueMs < durationMs; dueMs += gapMs(perSecond, random)) {
      const under = call(dueMs);
      underWay.add(under);
      void under.finally(() => underWay.delete(under));
    }
    await sleep(Math.max(0, Math.min(dueMs - (performance.now() - startedMs), 50)));
  }
  await Promise.all(underWay);
  return { latencies, done, failures };
}

/** Users know nothing of each other: the times between their calls are exponential. */
function gapMs(perSecond: number, random: () => number): number {
  return (-Math.log(1 - random()) * 1000) / perSecond;
}

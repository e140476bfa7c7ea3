import { type Clock, sleep } from '@shardline/core';
import type { LoadTimes } from '../read/load-times.js';

/**
 * What warming may cost the source: so many loads a second, and none when the source grows slow.
 *
 * A load is paid for before its key is read, not within the read: whoever waited for the budget while
 * holding a lease would make everyone else wait with him. What turned out to be there already is paid back.
 */
export class LoadBudget {
  readonly #clock: Clock;
  readonly #intervalMs: number;
  #nextAtMs: number;

  constructor(loadsPerSecond: number, clock: Clock) {
    this.#clock = clock;
    this.#intervalMs = 1000 / loadsPerSecond;
    this.#nextAtMs = clock.monotonicMs();
  }

  async pay(signal: AbortSignal): Promise<void> {
    const nowMs = this.#clock.monotonicMs();
    const turnMs = Math.max(nowMs, this.#nextAtMs);
    this.#nextAtMs = turnMs + this.#intervalMs;
    if (turnMs <= nowMs) return;
    await sleep(turnMs - nowMs, { signal, clock: this.#clock, doing: 'Waiting to warm' });
  }

  payBack(): void {
    this.#nextAtMs -= this.#intervalMs;
  }
}

/** Fewer loads than this say nothing about a 99th percentile. */
const FEWEST_LOADS = 20;
const WATCHED_MS = 60_000;

/** Whether the loads of the last minute were slower than allowed. */
export function isSourceSlow(times: LoadTimes, maxLoadP99Ms: number, nowMs: number): boolean {
  const took = times.since(nowMs - WATCHED_MS);
  if (took.length < FEWEST_LOADS) return false;
  return (took[Math.floor(took.length * 0.99)] as number) > maxLoadP99Ms;
}

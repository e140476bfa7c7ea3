import type { Clock } from '@shardline/core';
import { TOMBSTONE_MS } from '../freshness/recent-floors.js';

/**
 * The marks of this process's own writes, for entities that are cached in its memory alone: there is no tier
 * that keeps them for the next load. Bounded; when there is no room every load begins at a primary for as
 * long as a mark would have been kept.
 */
const MAX_MARKS = 10_000;

export class RecentWrites {
  readonly #clock: Clock;
  readonly #marks = new Map<string, { readonly freshness: string; readonly atMs: number }>();
  #allUntilMs = Number.NEGATIVE_INFINITY;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  wrote(cacheKey: string, freshness: string): void {
    const atMs = this.#clock.monotonicMs();
    this.#marks.delete(cacheKey);
    this.#marks.set(cacheKey, { freshness, atMs });
    for (const [key, mark] of this.#marks) {
      const isOver = mark.atMs + TOMBSTONE_MS < atMs;
      if (!isOver && this.#marks.size <= MAX_MARKS) break;
      if (!isOver) this.#allUntilMs = atMs + TOMBSTONE_MS;
      this.#marks.delete(key);
    }
  }

  /** How fresh the next load of a row must be. */
  freshness(cacheKey: string): string | undefined {
    const nowMs = this.#clock.monotonicMs();
    if (nowMs < this.#allUntilMs) return 'now';
    const mark = this.#marks.get(cacheKey);
    return mark === undefined || mark.atMs + TOMBSTONE_MS < nowMs ? undefined : mark.freshness;
  }
}

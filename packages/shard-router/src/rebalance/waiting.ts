/**
 * How often a mover looks while there is nothing to do (pure).
 *
 * Nobody tells it when a copy is complete, so it asks, and every question costs the servers a little. Asking after a twentieth
 * of the time that was waited already makes no wait longer than it must be by more than that share, and keeps questions rare
 * where a wait is long.
 */

import type { WaitFor } from './progress-teller.js';

const SHARE = 1 / 20;

/** The shortest and the longest pause, in milliseconds. Where callers are held back it is always the same. */
const PAUSE_MS: Readonly<Record<WaitFor, { readonly least: number; readonly most: number }>> = {
  copy: { least: 20, most: 200 },
  stream: { least: 20, most: 100 },
  release: { least: 100, most: 100 },
  routers: { least: 2, most: 2 },
  barrier: { least: 1, most: 1 },
  wish: { least: 100, most: 250 },
};

/** @param waitedMs for how long the same has been waited for. */
export function lookAgainAfterMs(what: WaitFor, waitedMs: number): number {
  const { least, most } = PAUSE_MS[what];
  return Math.min(most, Math.max(least, waitedMs * SHARE));
}

/** What is waited for, and since when. */
export class Waiting {
  #what: WaitFor | undefined;
  #sinceMs = 0;

  /** @returns the pause before the next look. */
  waits(what: WaitFor, nowMs: number): number {
    if (this.#what !== what) this.#sinceMs = nowMs;
    this.#what = what;
    return lookAgainAfterMs(what, nowMs - this.#sinceMs);
  }

  /** Something was done. */
  ends(): void {
    this.#what = undefined;
  }
}

/**
 * How long callers are held back, and when a switch that was withdrawn is tried again (pure, but for the clock).
 *
 * Whatever kept a switch from being made may take a while, so each attempt waits longer than the one before.
 */

import type { Clock } from '@shardline/core';

const FIRST_RETRY_MS = 1000;
const LONGEST_RETRY_MS = 60_000;

/** The times of a move's switch, as this process has seen them. */
export class SwitchTimer {
  readonly #clock: Pick<Clock, 'monotonicMs'>;
  #heldSinceMs: number | undefined;
  #withdrawals = 0;
  #againAtMs = Number.NEGATIVE_INFINITY;

  constructor(clock: Pick<Clock, 'monotonicMs'>) {
    this.#clock = clock;
  }

  /** Callers are held back. A mover that finds them held counts from when it came. */
  hold(): void {
    this.#heldSinceMs ??= this.#clock.monotonicMs();
  }

  /** Callers are let go. @returns for how long they were held. */
  release(): number {
    const heldMs = this.heldMs() ?? 0;
    this.#heldSinceMs = undefined;
    return heldMs;
  }

  /** For how long callers have been held; undefined if they are not. */
  heldMs(): number | undefined {
    return this.#heldSinceMs === undefined
      ? undefined
      : this.#clock.monotonicMs() - this.#heldSinceMs;
  }

  /** A switch was withdrawn. @returns after how long it is tried again. */
  withdraw(): number {
    this.#withdrawals += 1;
    const delayMs = Math.min(FIRST_RETRY_MS * 2 ** (this.#withdrawals - 1), LONGEST_RETRY_MS);
    this.#againAtMs = this.#clock.monotonicMs() + delayMs;
    return delayMs;
  }

  /** Whether it is too early to try again. */
  isTooEarly(): boolean {
    return this.#clock.monotonicMs() < this.#againAtMs;
  }
}

import type { Clock } from '@shardline/core';
import type { View } from './bucket/operation.js';
import type { Rate } from './bucket/rate.js';

/**
 * Answers no without asking, and never wrongly.
 *
 * The last level seen of a key bounds what it can hold now: others only take, so level + rate x time
 * is an upper bound as long as nobody gives tokens back. A check is denied here only if even that bound is
 * below its cost; so a denial of a cost of 5 says nothing to a cost of 1 (upstash's cache gets this
 * wrong), and a changed rate is another object that has no entry (envoyproxy/ratelimit#1077).
 *
 * Tokens are given back by refund, reset, penalties lifted and returned leases. This process drops its
 * entry when it does so itself; another process may do so unseen, hence no entry is believed for
 * longer than `maxAgeMs`. That is the one bound on a stale denial, and it is stated in the options.
 *
 * Time is measured from *before* the level was asked for, and runs 0.1 % fast, so that no difference
 * between this clock and the server's makes the bound too low.
 */
interface Denial {
  readonly rate: Rate;
  readonly units: number;
  /** Monotonic time from which the level is carried on. */
  readonly fromMs: number;
  readonly seenMs: number;
}

const CLOCK_MARGIN = 1.001;

/** Remembers levels that were too low, a bounded number of them. */
export class DenialCache {
  readonly #clock: Clock;
  readonly #maxEntries: number;
  readonly #maxAgeMs: number;
  readonly #entries = new Map<string, Denial>();

  constructor(options: { clock: Clock; maxEntries: number; maxAgeMs: number }) {
    this.#clock = options.clock;
    this.#maxEntries = options.maxEntries;
    this.#maxAgeMs = options.maxAgeMs;
  }

  get size(): number {
    return this.#entries.size;
  }

  /** Remembers the level at which a check was denied. Windows are not remembered: they do not only fall. */
  remember(key: string, rate: Rate, view: View, askedMs: number): void {
    if (rate.algorithm !== 'token-bucket') return;
    this.#entries.delete(key);
    if (this.#entries.size >= this.#maxEntries) {
      for (const oldest of this.#entries.keys()) {
        this.#entries.delete(oldest);
        break;
      }
    }
    const seenMs = this.#clock.monotonicMs();
    this.#entries.set(key, { rate, units: view.units, fromMs: askedMs, seenMs });
  }

  /** The view that proves a denial, or undefined if Redis must be asked. */
  prove(key: string, rate: Rate, cost: number): View | undefined {
    const denial = this.#entries.get(key);
    if (denial === undefined) return undefined;
    const nowMs = this.#clock.monotonicMs();
    if (
      denial.rate !== rate ||
      rate.algorithm !== 'token-bucket' ||
      nowMs - denial.seenMs > this.#maxAgeMs
    ) {
      this.#entries.delete(key);
      return undefined;
    }
    const elapsedUs = (nowMs - denial.fromMs) * 1000 * CLOCK_MARGIN + 1;
    const units = Math.ceil(denial.units + elapsedUs * rate.num);
    if (units >= cost * rate.den) return undefined;
    return { units, previous: 0, current: 0, positionMs: 0 };
  }

  /** Forgets a key: tokens were given back. */
  drop(key: string): void {
    this.#entries.delete(key);
  }

  clear(): void {
    this.#entries.clear();
  }
}

import { type Clock, type ScheduledCall, withDeadline } from '@shardline/core';
import { NAMESPACE_STAMP } from '../invalidate/key-template.js';
import type { EdgePurger } from './purger.js';
import { type EdgeTarget, targetOfStamp } from './surrogate-keys.js';

/**
 * Purges on their way to one edge.
 *
 * The edge comes last in the order of invalidation: purged earlier it would only fetch the old value again.
 * For the same reason each purge is repeated once other processes have surely heard (after the namespace's
 * bound): one that had not might have answered the edge in between. An invalidation does not wait for an
 * edge, which takes a second and more; what fails is tried again, further and further apart.
 *
 * Bounded: past the limit all targets of a namespace become one, the namespace itself.
 */
const GATHER_MS = 20;
const FIRST_BACKOFF_MS = 500;
const MAX_BACKOFF_MS = 30_000;
const MAX_TARGETS = 10_000;
const PURGE_TIMEOUT_MS = 10_000;

interface Waiting {
  readonly target: EdgeTarget;
  readonly atMs: number;
}

export class PurgeQueue {
  /** Calls that failed so far. */
  failures = 0;
  /** Targets purged so far, repeats included. */
  purged = 0;
  readonly #purger: EdgePurger;
  readonly #prefix: string;
  readonly #clock: Clock;
  readonly #onError: (error: unknown, doing: string) => void;
  /** When each target is to be purged, by its surrogate key. */
  #due = new Map<string, Waiting>();
  #again = new Map<string, Waiting>();
  #timer: ScheduledCall | undefined;
  #sending: Promise<void> | undefined;
  #failedInARow = 0;
  #restUntilMs = Number.NEGATIVE_INFINITY;
  #isClosed = false;

  constructor(
    purger: EdgePurger,
    parts: {
      readonly prefix: string;
      readonly clock: Clock;
      readonly onError: (error: unknown, doing: string) => void;
    },
  ) {
    this.#purger = purger;
    this.#prefix = parts.prefix;
    this.#clock = parts.clock;
    this.#onError = parts.onError;
  }

  get name(): string {
    return this.#purger.name;
  }

  /** Targets that wait, repeats not counted. */
  get size(): number {
    return this.#due.size;
  }

  add(targets: readonly EdgeTarget[], repeatAfterMs: number): void {
    if (this.#isClosed) return;
    const nowMs = this.#clock.monotonicMs();
    for (const target of targets) {
      const { surrogateKey } = target;
      this.#due.set(surrogateKey, { target, atMs: nowMs + GATHER_MS });
      if (repeatAfterMs > 0) {
        this.#again.set(surrogateKey, { target, atMs: nowMs + repeatAfterMs });
      }
    }
    if (this.#due.size > MAX_TARGETS) this.#due = this.#byNamespace(this.#due);
    if (this.#again.size > MAX_TARGETS) this.#again = this.#byNamespace(this.#again);
    this.#plan();
  }

  /** Sends what waits, repeats included, once; what the edge does not take is told and given up. */
  async close(timeoutMs: number): Promise<void> {
    this.#isClosed = true;
    this.#timer?.cancel();
    const doing = `Purging ${this.#purger.name}`;
    const rest = async () => {
      await this.#sending;
      for (const [key, waiting] of this.#again) this.#due.set(key, waiting);
      this.#again.clear();
      if (this.#due.size > 0) await this.#send(Number.POSITIVE_INFINITY);
    };
    await withDeadline({ timeoutMs, clock: this.#clock, doing }, rest).catch(() => {});
    if (this.#due.size === 0) return;
    this.#onError(new Error(`${this.#due.size} targets were not purged`), `edge ${this.name}`);
  }

  #plan(): void {
    if (this.#sending !== undefined || this.#isClosed) return;
    this.#timer?.cancel();
    let nextMs = Number.POSITIVE_INFINITY;
    for (const waiting of [this.#due, this.#again]) {
      for (const { atMs } of waiting.values()) nextMs = Math.min(nextMs, atMs);
    }
    if (nextMs === Number.POSITIVE_INFINITY) return;
    const nowMs = this.#clock.monotonicMs();
    const waitMs = Math.max(0, nextMs - nowMs, this.#restUntilMs - nowMs);
    this.#timer = this.#clock.schedule(waitMs, () => {
      this.#sending = this.#send(this.#clock.monotonicMs()).finally(() => {
        this.#sending = undefined;
        this.#plan();
      });
    });
  }

  /** Never throws. */
  async #send(nowMs: number): Promise<void> {
    for (const [key, waiting] of this.#again) {
      if (waiting.atMs > nowMs) continue;
      this.#again.delete(key);
      this.#due.set(key, waiting);
    }
    const due = [...this.#due].filter(([, { atMs }]) => atMs <= nowMs);
    for (let from = 0; from < due.length; from += this.#purger.maxTargets) {
      const batch = due.slice(from, from + this.#purger.maxTargets);
      if (!(await this.#purge(batch.map(([, { target }]) => target)))) return;
      for (const [key, sent] of batch) {
        // What was invalidated again meanwhile stays, to be purged again.
        if (this.#due.get(key) === sent) this.#due.delete(key);
      }
    }
  }

  async #purge(targets: readonly EdgeTarget[]): Promise<boolean> {
    const doing = `Purging ${this.#purger.name}`;
    try {
      await withDeadline({ timeoutMs: PURGE_TIMEOUT_MS, clock: this.#clock, doing }, (signal) =>
        this.#purger.purge(targets, { signal }),
      );
      this.#failedInARow = 0;
      this.purged += targets.length;
      return true;
    } catch (error) {
      this.failures += 1;
      const backoffMs = Math.min(MAX_BACKOFF_MS, FIRST_BACKOFF_MS * 2 ** this.#failedInARow);
      this.#failedInARow += 1;
      this.#restUntilMs = this.#clock.monotonicMs() + backoffMs;
      this.#onError(error, `edge ${this.name}`);
      return false;
    }
  }

  #byNamespace(waiting: ReadonlyMap<string, Waiting>): Map<string, Waiting> {
    const merged = new Map<string, Waiting>();
    for (const { target, atMs } of waiting.values()) {
      const whole = targetOfStamp(this.#prefix, target.namespace, NAMESPACE_STAMP);
      const latestMs = Math.max(atMs, merged.get(whole.surrogateKey)?.atMs ?? atMs);
      merged.set(whole.surrogateKey, { target: whole, atMs: latestMs });
    }
    return merged;
  }
}

import { performance } from 'node:perf_hooks';

/**
 * Time as an input.
 *
 * Whoever decides by time takes a `Clock`, so that a test can stand at any moment it likes and move
 * on by its own hand. Two readings are kept apart: the wall clock (`now`), which may step when the
 * machine's time is corrected and is only fit for dates shown to people or shared with other
 * machines; and the monotonic one, which never goes back and is what every wait is measured by.
 */
export interface Clock {
  /** Milliseconds since 1970 by the wall clock. It may step either way. */
  now(): number;
  /** Milliseconds, fractions included, since some moment in the past. It never goes back. */
  monotonicMs(): number;
  /**
   * Calls back once, after a delay of any length.
   *
   * @param keepAlive whether the pending call keeps the process running. @default false
   */
  schedule(delayMs: number, callback: () => void, keepAlive?: boolean): ScheduledCall;
}

/** A callback that has been scheduled and can be called off. */
export interface ScheduledCall {
  cancel(): void;
}

/** `setTimeout` fires at once beyond 2^31 - 1 ms (24.8 days), so longer waits go in legs. */
const LONGEST_TIMER_MS = 2 ** 31 - 1;

/** The machine's own time. */
export const systemClock: Clock = {
  now: () => Date.now(),
  monotonicMs: () => performance.now(),
  schedule(delayMs, callback, keepAlive = false) {
    let remainingMs = delayMs;
    let timer: NodeJS.Timeout;
    const nextLeg = () => {
      const legMs = Math.min(remainingMs, LONGEST_TIMER_MS);
      remainingMs -= legMs;
      timer = setTimeout(remainingMs > 0 ? nextLeg : callback, legMs);
      if (!keepAlive) timer.unref();
    };
    nextLeg();
    return { cancel: () => clearTimeout(timer) };
  },
};

/**
 * A clock that stands still until it is moved.
 *
 * @example
 * ```ts
 * import { ManualClock } from '@shardline/core';
 *
 * const clock = new ManualClock();
 * let rang = false;
 * clock.schedule(1000, () => {
 *   rang = true;
 * });
 * await clock.advance(999); // rang is still false
 * await clock.advance(1); // rang is true
 * ```
 */
export class ManualClock implements Clock {
  #wallMs: number;
  #monotonicMs = 0;
  #sequence = 0;
  readonly #calls = new Map<number, { dueMs: number; callback: () => void }>();

  constructor(wallMs = Date.UTC(2026, 0, 1)) {
    this.#wallMs = wallMs;
  }

  now(): number {
    return this.#wallMs;
  }

  monotonicMs(): number {
    return this.#monotonicMs;
  }

  schedule(delayMs: number, callback: () => void): ScheduledCall {
    const id = this.#sequence++;
    this.#calls.set(id, { dueMs: this.#monotonicMs + Math.max(0, delayMs), callback });
    return { cancel: () => this.#calls.delete(id) };
  }

  /** How many calls are scheduled: zero is what a closed object leaves behind. */
  get pending(): number {
    return this.#calls.size;
  }

  /** Moves both readings on, making every call that falls due, in order of time. */
  async advance(milliseconds: number): Promise<void> {
    const targetMs = this.#monotonicMs + milliseconds;
    await settle();
    for (let next = this.#nextDue(targetMs); next !== undefined; next = this.#nextDue(targetMs)) {
      const [id, { dueMs, callback }] = next;
      this.#moveTo(Math.max(dueMs, this.#monotonicMs));
      this.#calls.delete(id);
      callback();
      await settle();
    }
    this.#moveTo(targetMs);
  }

  /** Steps the wall clock alone, as a time server's correction does. */
  stepWallClock(milliseconds: number): void {
    this.#wallMs += milliseconds;
  }

  #moveTo(monotonicMs: number): void {
    this.#wallMs += monotonicMs - this.#monotonicMs;
    this.#monotonicMs = monotonicMs;
  }

  #nextDue(untilMs: number) {
    let earliest: [number, { dueMs: number; callback: () => void }] | undefined;
    for (const entry of this.#calls) {
      if (entry[1].dueMs > untilMs) continue;
      if (earliest === undefined || entry[1].dueMs < earliest[1].dueMs) earliest = entry;
    }
    return earliest;
  }
}

/** Lets promises that are already settled run their continuations, several layers deep. */
async function settle(): Promise<void> {
  await new Promise<void>((resolve) => setImmediate(resolve));
}

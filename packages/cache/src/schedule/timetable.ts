import { type Clock, type ScheduledCall, sleep } from '@shardline/core';
import type { CronTimes } from './cron-times.js';
import { TICK_HELD_MS, type TickLock } from './tick-lock.js';

/**
 * Work that falls due by the wall clock, in one process of many.
 *
 * The wall clock may step and the machine may sleep, so no timer is set for longer than a minute and each
 * looks at the clock anew. A process that wakes up late carries out the tick it missed, once, however many
 * went by.
 */
export interface Timed {
  readonly name: string;
  readonly times: CronTimes;
  /** True once it is done for all; false or an error: another process, or this one later, does it again. */
  readonly work: (tickMs: number) => Promise<boolean>;
}

const LONGEST_NAP_MS = 60_000;
/** A tick that nobody could finish in so many turns is left to the next one. */
const MAX_TURNS = 10;

export class Timetable {
  readonly #clock: Clock;
  readonly #lock: TickLock | undefined;
  readonly #onError: (error: unknown, doing: string) => void;
  readonly #naps = new Map<string, ScheduledCall>();
  readonly #closing = new AbortController();
  readonly #running = new Set<Promise<void>>();

  constructor(
    entries: readonly Timed[],
    parts: {
      readonly clock: Clock;
      readonly lock: TickLock | undefined;
      readonly onError: (error: unknown, doing: string) => void;
    },
  ) {
    this.#clock = parts.clock;
    this.#lock = parts.lock;
    this.#onError = parts.onError;
    for (const entry of entries) this.#arm(entry, entry.times.after(this.#clock.now()));
  }

  async close(): Promise<void> {
    this.#closing.abort();
    for (const nap of this.#naps.values()) nap.cancel();
    await Promise.all(this.#running);
  }

  #arm(entry: Timed, tickMs: number | undefined): void {
    if (tickMs === undefined || this.#closing.signal.aborted) return;
    const waitMs = Math.min(LONGEST_NAP_MS, Math.max(0, tickMs - this.#clock.now()));
    const nap = this.#clock.schedule(waitMs, () => {
      const nowMs = this.#clock.now();
      if (nowMs < tickMs) {
        // Not there yet, or the clock went back: then the tick may be further off than it was.
        this.#arm(entry, Math.max(tickMs, entry.times.after(nowMs) ?? tickMs));
        return;
      }
      this.#track(this.#tick(entry, tickMs));
      this.#arm(entry, entry.times.after(Math.max(nowMs, tickMs)));
    });
    this.#naps.set(entry.name, nap);
  }

  async #tick(entry: Timed, tickMs: number): Promise<void> {
    const { signal } = this.#closing;
    for (let turn = 0; turn < MAX_TURNS && !signal.aborted; turn += 1) {
      const claim = (await this.#lock?.claim(entry.name, tickMs)) ?? 'mine';
      if (claim === 'done') return;
      if (claim !== 'held' && (await this.#attempt(entry, tickMs))) {
        await this.#lock?.done(entry.name, tickMs);
        return;
      }
      await sleep(TICK_HELD_MS, { signal, clock: this.#clock }).catch(() => {});
    }
  }

  async #attempt(entry: Timed, tickMs: number): Promise<boolean> {
    try {
      return await entry.work(tickMs);
    } catch (error) {
      this.#onError(error, `schedule '${entry.name}'`);
      return false;
    }
  }

  #track(work: Promise<void>): void {
    this.#running.add(work);
    const forget = () => this.#running.delete(work);
    work.then(forget, forget);
  }
}

import type { Clock } from '@shardline/core';

/**
 * The monotonic clock, read once per turn of the event loop.
 *
 * Reading the real one costs as much as the whole lookup that it is for. The reading is thrown away by
 * a timer, and timers run before the sockets are looked at, so nothing that arrives from outside is ever
 * judged by a reading from before it arrived.
 */
export class CoarseClock {
  readonly #clock: Clock;
  readonly #forget = () => {
    this.#readingMs = 0;
  };
  #readingMs = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Milliseconds on the monotonic clock, at most one turn of the event loop old. */
  nowMs(): number {
    return this.#readingMs === 0 ? this.#read() : this.#readingMs;
  }

  #read(): number {
    this.#readingMs = this.#clock.monotonicMs();
    this.#clock.schedule(1, this.#forget);
    return this.#readingMs;
  }
}

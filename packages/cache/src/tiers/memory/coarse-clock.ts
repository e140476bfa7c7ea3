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
  /**
   * The reading of this turn in its one element; 0: there is none yet, call `read()`. Not a number in a
   * field or from a function: V8 keeps one with fractions as an object, and a hit is to allocate none.
   */
  readonly reading = new Float64Array(1);
  readonly #forget = () => {
    this.reading[0] = 0;
  };

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Reads the monotonic clock, for the rest of this turn. */
  read(): void {
    this.reading[0] = this.#clock.monotonicMs();
    this.#clock.schedule(1, this.#forget);
  }
}

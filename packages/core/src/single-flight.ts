import { onAbort } from './abort-listeners.js';
import { abortedError } from './deadline.js';

/**
 * One call per key at a time in this process: whoever asks while it runs gets its outcome.
 *
 * Each caller may give up for itself. The work is told to stop only when the last one has: one
 * impatient caller must not spoil the answer of the patient. The key is free again *before* the
 * outcome is handed out, so that a caller who retries on failure starts a new call and never joins
 * the failed one.
 */
export class SingleFlight<Key, Value> {
  readonly #flights = new Map<Key, Flight<Value>>();

  /** How many calls are under way. */
  get size(): number {
    return this.#flights.size;
  }

  /** Whether a call for this key is under way. */
  has(key: Key): boolean {
    return this.#flights.has(key);
  }

  /**
   * Joins the call for this key, or starts it.
   *
   * @throws ShardlineError `ABORTED` when this caller's signal fires; else what the work throws.
   */
  async run(
    key: Key,
    work: (signal: AbortSignal) => Promise<Value>,
    options: { signal?: AbortSignal | undefined } = {},
  ): Promise<Value> {
    if (options.signal?.aborted) throw abortedError(describe(key), options.signal.reason);
    const flight = this.#flights.get(key) ?? this.#start(key, work);
    if (options.signal === undefined) {
      flight.callers += 1;
      return flight.outcome;
    }
    return this.#joinWithSignal(key, flight, options.signal);
  }

  /** Lets later callers start anew; those who wait now still get the outcome of the old call. */
  forget(key: Key): void {
    this.#flights.delete(key);
  }

  #start(key: Key, work: (signal: AbortSignal) => Promise<Value>): Flight<Value> {
    const flight = new Flight<Value>();
    // The key is taken before the work begins: work that fails at once gives it back at once.
    this.#flights.set(key, flight);
    flight.outcome = this.#lead(key, flight, work);
    // Every caller awaits the outcome itself; should all have given up, nobody is left to tell.
    flight.outcome.catch(() => {});
    return flight;
  }

  async #lead(
    key: Key,
    flight: Flight<Value>,
    work: (signal: AbortSignal) => Promise<Value>,
  ): Promise<Value> {
    try {
      return await work(flight.controller.signal);
    } finally {
      this.#release(key, flight);
    }
  }

  async #joinWithSignal(key: Key, flight: Flight<Value>, signal: AbortSignal): Promise<Value> {
    flight.callers += 1;
    let giveUp: () => void = () => {};
    const givenUp = new Promise<never>((_, reject) => {
      giveUp = () => {
        flight.callers -= 1;
        if (flight.callers === 0) {
          this.#release(key, flight);
          flight.controller.abort(signal.reason);
        }
        reject(abortedError(describe(key), signal.reason));
      };
    });
    const ignore = onAbort(signal, giveUp);
    try {
      return await Promise.race([flight.outcome, givenUp]);
    } finally {
      ignore();
    }
  }

  #release(key: Key, flight: Flight<Value>): void {
    if (this.#flights.get(key) === flight) this.#flights.delete(key);
  }
}

class Flight<Value> {
  readonly controller = new AbortController();
  callers = 0;
  outcome!: Promise<Value>;
}

function describe(key: unknown): string {
  return `Waiting for the shared call for '${String(key)}'`;
}

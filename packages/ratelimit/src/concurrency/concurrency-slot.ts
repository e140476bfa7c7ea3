import type { LimitStore } from '../store/store.js';

/** One place for work in flight. */
export class ConcurrencySlot implements AsyncDisposable {
  readonly id: string;
  /** @internal */
  readonly key: string;
  /** @internal */
  readonly store: LimitStore;
  /** @internal Monotonic time until which the place is surely ours. */
  endsMs: number;
  readonly #release: () => Promise<void>;
  readonly #lost = new AbortController();

  constructor(
    store: LimitStore,
    key: string,
    id: string,
    endsMs: number,
    release: () => Promise<void>,
  ) {
    this.store = store;
    this.key = key;
    this.id = id;
    this.endsMs = endsMs;
    this.#release = release;
  }

  /** Fires if the place was lost: heartbeats did not get through for as long as the lease lasts. */
  get signal(): AbortSignal {
    return this.#lost.signal;
  }

  /** Gives the place back. Calling it again does nothing. */
  release(): Promise<void> {
    return this.#release();
  }

  /** @internal */
  lose(): void {
    this.#lost.abort();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.release();
  }
}

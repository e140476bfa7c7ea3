import { type Clock, type Duration, durationMs, sleep, systemClock } from '@shardline/core';

/**
 * Invalidations as rows: written in the same transaction as the change, carried out by a relay.
 *
 * A process that dies between its commit and its invalidation leaves the old value in the cache until
 * its ttl. A row in an outbox table cannot be lost that way: it is there if and only if the change
 * is. The relay takes rows, applies them and deletes them once every tier has acknowledged. Applying twice
 * does no harm, so at-least-once is enough and no lock outlives a crash.
 *
 * This package speaks to no database: whoever owns the table gives an `OutboxSource`. `shardline` has
 * one for PostgreSQL.
 */

/** One invalidation, as plain data: what an outbox row holds as JSON. */
export interface InvalidationRecord {
  readonly namespace: string;
  readonly keys?: readonly string[];
  readonly tags?: readonly string[];
  readonly patterns?: readonly string[];
  readonly freshness?: string;
}

/** A row that was taken and is not done yet. */
export interface OutboxRow {
  readonly id: string;
  readonly records: readonly InvalidationRecord[];
}

/** Where rows come from. */
export interface OutboxSource {
  /** The oldest rows that are committed and not done. Others may take them too. */
  take(limit: number, signal: AbortSignal): Promise<readonly OutboxRow[]>;
  /** Deletes rows that every tier has acknowledged. */
  done(ids: readonly string[], signal: AbortSignal): Promise<void>;
}

/** What a relay is told. */
export interface RelayOptions {
  readonly source: OutboxSource;
  /** Carries out records: `cache.apply`. */
  readonly apply: (
    records: readonly InvalidationRecord[],
  ) => Promise<{ readonly acknowledged: boolean }>;
  /** How long to rest when there is nothing to do. @default '200ms' */
  readonly interval?: Duration | undefined;
  /** Rows at a time. @default 100 */
  readonly batch?: number | undefined;
  /** Told of what went wrong; the rows stay and are tried again. */
  readonly onError?: ((error: unknown) => void) | undefined;
  readonly clock?: Clock | undefined;
}

/** A relay that runs. */
export interface OutboxRelay extends AsyncDisposable {
  /** Looks now instead of at the end of the interval: after a NOTIFY, say. */
  wake(): void;
  close(): Promise<void>;
}

/**
 * Starts carrying rows of an outbox to a cache.
 *
 * @example
 * ```ts
 * import { createCache, type OutboxSource, startOutboxRelay } from '@shardline/cache';
 *
 * declare const source: OutboxSource;
 * await using cache = createCache({ redis: 'redis://127.0.0.1:6379' });
 * await using relay = startOutboxRelay({ source, apply: (records) => cache.apply(records) });
 * relay.wake();
 * ```
 */
export function startOutboxRelay(options: RelayOptions): OutboxRelay {
  return new RunningRelay(options);
}

class RunningRelay implements OutboxRelay {
  readonly #options: RelayOptions;
  readonly #closing = new AbortController();
  readonly #intervalMs: number;
  readonly #running: Promise<void>;
  #nap = new AbortController();

  constructor(options: RelayOptions) {
    this.#options = options;
    this.#intervalMs = durationMs(options.interval ?? '200ms', 'interval');
    this.#running = this.#run();
  }

  wake(): void {
    this.#nap.abort();
  }

  async close(): Promise<void> {
    this.#closing.abort();
    this.#nap.abort();
    await this.#running;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #run(): Promise<void> {
    while (!this.#closing.signal.aborted) {
      const carried = await this.#carry();
      if (carried || this.#closing.signal.aborted) continue;
      this.#nap = new AbortController();
      const { clock = systemClock } = this.#options;
      // Woken early is as good as slept out.
      await sleep(this.#intervalMs, { signal: this.#nap.signal, clock }).catch(() => {});
    }
  }

  /** One batch. False if there was nothing, or something went wrong: then rest. */
  async #carry(): Promise<boolean> {
    const { source, apply, batch = 100, onError } = this.#options;
    const { signal } = this.#closing;
    try {
      const rows = await source.take(batch, signal);
      if (rows.length === 0) return false;
      const { acknowledged } = await apply(rows.flatMap(({ records }) => records));
      if (!acknowledged) return false;
      await source.done(
        rows.map(({ id }) => id),
        signal,
      );
      return true;
    } catch (error) {
      if (!signal.aborted) onError?.(error);
      return false;
    }
  }
}

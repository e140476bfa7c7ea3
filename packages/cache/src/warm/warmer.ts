import { type Clock, isShardlineError, withDeadline } from '@shardline/core';
import type { CacheKey } from '../call-options.js';
import type { CacheNamespace } from '../namespace.js';
import type { Loader } from '../namespace-options.js';
import type { NamespaceRuntime } from '../runtime.js';
import { isSourceSlow, LoadBudget } from './budget.js';
import type { WarmingSettings } from './warming-options.js';

/**
 * Warming: reading keys before somebody waits for them.
 *
 * Every key goes the way of any read, so what is there stays and is not loaded again (`add`, not `set`),
 * leases keep old values out, and a run that was cut short is simply begun anew: what it has done
 * costs the second run a read each and no load.
 */

/** One key to be warmed. */
export interface WarmKey {
  readonly namespace: string;
  readonly key: CacheKey;
}

/** How far a run is. */
export interface WarmProgress {
  /** Keys that are done, one way or another. */
  readonly done: number;
  /** Of these: loaded from the source. */
  readonly loaded: number;
  /** There already, or loaded by somebody else. */
  readonly present: number;
  readonly failed: number;
}

/** What a run came to. */
export interface WarmReport extends WarmProgress {
  /** Why it ended before its last key; it may be begun again. */
  readonly stoppedBy: 'slow source' | 'abort' | 'deadline' | undefined;
}

/** How one run goes. */
export interface WarmRun {
  readonly keys: Iterable<WarmKey> | AsyncIterable<WarmKey>;
  readonly signal?: AbortSignal | undefined;
  readonly timeoutMs?: number | undefined;
  readonly onProgress?: ((progress: WarmProgress) => void) | undefined;
}

/** One member of the cache, as warming sees it. */
export interface Warmable {
  readonly runtime: NamespaceRuntime;
  readonly namespace: CacheNamespace<unknown>;
}

const PROGRESS_EVERY = 100;

export class Warmer {
  readonly #settings: WarmingSettings;
  readonly #clock: Clock;
  readonly #find: (namespace: string) => Warmable;
  readonly #closing: AbortSignal;
  readonly #budget: LoadBudget;
  /** Keys of events that wait or are being read. */
  queued = 0;
  /** Keys of events that were let go because too many waited. */
  dropped = 0;

  constructor(
    settings: WarmingSettings,
    parts: {
      readonly clock: Clock;
      readonly find: (namespace: string) => Warmable;
      readonly closing: AbortSignal;
    },
  ) {
    this.#settings = settings;
    this.#clock = parts.clock;
    this.#find = parts.find;
    this.#closing = parts.closing;
    this.#budget = new LoadBudget(settings.loadsPerSecond, parts.clock);
  }

  /** Reads every key within the budget. Failed loads are counted; they end nothing. */
  async run({ keys, signal, timeoutMs, onProgress }: WarmRun): Promise<WarmReport> {
    const progress = { done: 0, loaded: 0, present: 0, failed: 0 };
    let stoppedBy: WarmReport['stoppedBy'];
    const stop = new AbortController();
    const onClose = () => stop.abort();
    this.#closing.addEventListener('abort', onClose, { once: true });
    if (this.#closing.aborted) stop.abort();
    const next = iterate(keys);
    const worker = async (): Promise<void> => {
      while (!stop.signal.aborted) {
        const one = await next();
        if (one === undefined || stop.signal.aborted) return;
        const outcome = await this.#warm(one, stop.signal);
        if (outcome === 'slow source') {
          stoppedBy = outcome;
          stop.abort();
          return;
        }
        if (outcome === 'stopped') return;
        progress[outcome] += 1;
        progress.done += 1;
        if (progress.done % PROGRESS_EVERY === 0) onProgress?.({ ...progress });
      }
    };
    const workers = () => Promise.all(Array.from({ length: this.#settings.concurrency }, worker));
    try {
      await withDeadline(
        {
          timeoutMs: timeoutMs ?? Number.POSITIVE_INFINITY,
          signal,
          clock: this.#clock,
          doing: 'Warming',
        },
        workers,
      );
      if (stop.signal.aborted) stoppedBy ??= 'abort';
    } catch (error) {
      stop.abort();
      if (isShardlineError(error, 'DEADLINE_EXCEEDED')) stoppedBy = 'deadline';
      else if (isShardlineError(error, 'ABORTED')) stoppedBy = 'abort';
      else throw error;
    } finally {
      this.#closing.removeEventListener('abort', onClose);
    }
    onProgress?.({ ...progress });
    return { ...progress, stoppedBy };
  }

  /** Reads what an event makes likely, behind the caller's back and within bounds. */
  async predict(keys: readonly WarmKey[]): Promise<void> {
    const places = Math.max(0, this.#settings.maxQueued - this.queued);
    const taken = keys.slice(0, places);
    this.dropped += keys.length - taken.length;
    if (taken.length === 0) return;
    this.queued += taken.length;
    try {
      await this.run({ keys: taken });
    } finally {
      this.queued -= taken.length;
    }
  }

  async #warm(
    { namespace: name, key }: WarmKey,
    signal: AbortSignal,
  ): Promise<'loaded' | 'present' | 'failed' | 'slow source' | 'stopped'> {
    const { runtime, namespace } = this.#find(name);
    const { policy, reader, counters } = runtime;
    const { times } = reader.source;
    if (isSourceSlow(times, this.#settings.maxLoadP99, this.#clock.monotonicMs())) {
      return 'slow source';
    }
    if (namespace.peek(key) !== undefined) return 'present';
    let isLoaded = false;
    const load: Loader<unknown> = (text, context) => {
      isLoaded = true;
      return policy.load?.(text, context);
    };
    try {
      await this.#budget.pay(signal);
      await namespace.get(key, policy.load === undefined ? { signal } : { signal, load });
    } catch {
      if (signal.aborted) return 'stopped';
      return 'failed';
    }
    if (!isLoaded) this.#budget.payBack();
    else counters.warmed += 1;
    return isLoaded ? 'loaded' : 'present';
  }
}

/** One source of keys for several workers. */
function iterate(keys: Iterable<WarmKey> | AsyncIterable<WarmKey>) {
  const iterator =
    Symbol.asyncIterator in keys ? keys[Symbol.asyncIterator]() : keys[Symbol.iterator]();
  let isOver = false;
  return async (): Promise<WarmKey | undefined> => {
    if (isOver) return undefined;
    const { done, value } = await iterator.next();
    if (done) isOver = true;
    return done ? undefined : value;
  };
}

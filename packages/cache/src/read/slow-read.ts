import { type Clock, isShardlineError, SingleFlight } from '@shardline/core';
import type { Coherence } from '../coherence.js';
import type { Counters } from '../counters.js';
import { cacheErrors, closedError } from '../errors.js';
import { commitScope } from '../invalidate/after-commit.js';
import type { Loader } from '../namespace-options.js';
import type { Policy } from '../policy.js';
import type { NamespaceRuntime } from '../runtime.js';
import type { MemoryEntry } from '../tiers/memory/memory-tier.js';
import { Attempt, type FirstLook } from './attempt.js';
import type { Found } from './found.js';
import { shouldRefreshEarly } from './refresh.js';

/** Options of one read, whatever the type of its value. */
export interface ReadOptions {
  readonly signal?: AbortSignal | undefined;
  readonly load?: Loader<unknown> | undefined;
}

const MAX_SHARED_TRIES = 3;

/**
 * A read that L1 could not answer at a glance: its entry wants attention, or there is none.
 *
 *     shown though it wants attention (early or stale): refreshed behind the caller's back
 *     inside a transaction: read alone, filling nothing
 *     else: a glance at the nearest tier; then down the tiers together with all who ask for the same
 */
export class SlowRead {
  readonly #runtime: NamespaceRuntime;
  readonly #policy: Policy;
  readonly #coherence: Coherence;
  readonly #counters: Counters;
  readonly #boundMs: number;
  readonly #refreshing = new Set<string>();

  constructor(runtime: NamespaceRuntime) {
    this.#runtime = runtime;
    this.#policy = runtime.policy;
    this.#coherence = runtime.coherence;
    this.#counters = runtime.counters;
    this.#boundMs = runtime.policy.boundMs;
  }

  get(
    key: string,
    entry: MemoryEntry | undefined,
    options: ReadOptions | undefined,
    sinceMs: number | undefined,
  ): Promise<unknown> {
    const ahead = this.#runtime.behind?.newest(key);
    if (ahead !== undefined) {
      this.#counters.behindHits += 1;
      return Promise.resolve(ahead.value);
    }
    const usable =
      entry !== undefined && this.#isUsable(entry) && isProvenSince(this.#coherence, entry, sinceMs)
        ? entry
        : undefined;
    if (usable !== undefined && this.#canShow(usable, options)) {
      return Promise.resolve(usable.value);
    }
    if (commitScope() !== undefined) return this.#readInTransaction(key, options);
    const cameAtMs = this.#runtime.clock.monotonicMs();
    const fallback = usable === undefined ? undefined : foundOf(usable, this.#runtime.clock);
    const goOn = (first: FirstLook | undefined) =>
      this.#readShared(key, cameAtMs, sinceMs, fallback, options, first);
    // Whoever may give up goes the long way at once: the short one has no place to listen.
    if (options?.signal !== undefined || this.#runtime.levels.length === 0) return goOn(undefined);
    return this.#runtime.reader.glance(key, sinceMs !== undefined, goOn);
  }

  /** Whether an entry that needs attention may be shown at all, were it fresh. */
  #isUsable(entry: MemoryEntry): boolean {
    const nowMs = this.#runtime.clock.monotonicMs();
    return (
      nowMs < entry.staleUntilMs &&
      this.#runtime.memory.areNamesUnchanged(entry) &&
      this.#coherence.isWithin(this.#boundMs, entry.goodAsOfMs, nowMs)
    );
  }

  /** Fresh, or within stale-while-revalidate; begins the refresh that is due. */
  #canShow(entry: MemoryEntry, options: ReadOptions | undefined): boolean {
    const nowMs = this.#runtime.clock.monotonicMs();
    const leftMs = entry.freshUntilMs - nowMs;
    if (leftMs > 0) {
      this.#counters.l1Hits += 1;
      const { eagerBeta } = this.#policy;
      if (shouldRefreshEarly(leftMs, entry.loadMs, eagerBeta, this.#runtime.random())) {
        this.#refresh(entry.key, options, true);
      }
      return true;
    }
    if (-leftMs >= this.#policy.staleWhileRevalidateMs) return false;
    this.#counters.staleServed += 1;
    this.#refresh(entry.key, options, false);
    return true;
  }

  /**
   * Reads with others who ask for the same key. An outcome that was read before this caller came, longer
   * ago than the bound allows, is not for him: he asks again, at last alone.
   */
  async #readShared(
    key: string,
    cameAtMs: number,
    sinceMs: number | undefined,
    fallback: Found | undefined,
    options: ReadOptions | undefined,
    first: FirstLook | undefined,
  ): Promise<unknown> {
    const provenFromMs = Math.max(cameAtMs - this.#boundMs, sinceMs ?? Number.NEGATIVE_INFINITY);
    const mustAsk = sinceMs !== undefined;
    for (let tries = 0; tries < MAX_SHARED_TRIES; tries += 1) {
      const { flights } = this.#runtime;
      const seen = tries === 0 ? first : undefined;
      const found = await flights.run(
        key,
        (signal) => this.#attempt(key, signal, fallback, options, seen, mustAsk),
        { signal: options?.signal },
      );
      if (found.provenAtMs >= provenFromMs) return found.value;
    }
    const { signal } = options ?? {};
    const alone = new SingleFlight<string, Found>();
    const work = (stop: AbortSignal) =>
      this.#attempt(key, stop, undefined, options, undefined, mustAsk);
    return (await alone.run(key, work, { signal })).value;
  }

  /** One way down the tiers, answered early where a stale value may be shown. */
  #attempt(
    key: string,
    signal: AbortSignal,
    fallback: Found | undefined,
    options: ReadOptions | undefined,
    first: FirstLook | undefined,
    mustAsk: boolean,
  ): Promise<Found> {
    const { policy, clock, failures, reader } = this.#runtime;
    if (this.#runtime.isClosed()) return Promise.reject(closedError(this.#policy.name));
    this.#counters.misses += 1;
    return new Promise<Found>((resolve, reject) => {
      let isAnswered = false;
      const showStale = (found: Found) => {
        if (!isAnswered) this.#counters.staleServed += 1;
        isAnswered = true;
        resolve(found);
      };
      const { load } = options ?? {};
      const attempt = new Attempt({
        policy,
        clock,
        signal,
        failures,
        load,
        first,
        mustAsk,
        onStale: showStale,
      });
      attempt.stale = fallback;
      const patience =
        policy.staleIfErrorMs === 0
          ? undefined
          : clock.schedule(policy.softTimeoutMs, () => attempt.runOutOfPatience());
      const work = reader.read(key, attempt).finally(() => patience?.cancel());
      this.#runtime.track(work);
      work.then(
        (found) => {
          isAnswered = true;
          resolve(found);
        },
        (error) => {
          if (attempt.stale !== undefined && mayStaleReplace(error)) showStale(attempt.stale);
          else reject(error);
        },
      );
    });
  }

  /** Loads anew while a value is still shown. At most one at a time for a key in this process. */
  #refresh(key: string, options: ReadOptions | undefined, isEager: boolean): void {
    if (this.#refreshing.has(key) || this.#runtime.isClosed()) return;
    this.#refreshing.add(key);
    this.#counters.refreshes += 1;
    const { policy, clock, failures, reader, closing } = this.#runtime;
    const { load } = options ?? {};
    const attempt = new Attempt({ policy, clock, failures, load, isEager, signal: closing.signal });
    const { tracing } = this.#runtime;
    const read = () => reader.read(key, attempt);
    const work = tracing.run('refresh', policy.name, read).then(
      () => {},
      () => {
        // Counted as a failed load; the value shown stays until its stale window ends.
      },
    );
    this.#runtime.track(work.finally(() => this.#refreshing.delete(key)));
  }

  /** Inside a transaction: what is read may be an old snapshot, so it fills nothing. */
  async #readInTransaction(key: string, options: ReadOptions | undefined): Promise<unknown> {
    const { policy, clock, failures, reader, closing } = this.#runtime;
    const { load } = options ?? {};
    const signal = options?.signal ?? closing.signal;
    const attempt = new Attempt({ policy, clock, failures, load, signal, mayFill: false });
    return (await reader.read(key, attempt)).value;
  }
}

/** Whether an entry is known to have been good at a time, by itself or by what was heard since. */
export function isProvenSince(
  coherence: Coherence,
  entry: MemoryEntry,
  sinceMs: number | undefined,
): boolean {
  return sinceMs === undefined || entry.goodAsOfMs >= sinceMs || coherence.asOfMs >= sinceMs;
}

function foundOf(entry: MemoryEntry, clock: Clock): Found {
  const leftMs = entry.freshUntilMs - clock.monotonicMs();
  return {
    value: entry.value,
    isAbsent: entry.value === undefined,
    provenAtMs: entry.goodAsOfMs,
    storedAtMs: clock.now() + leftMs,
    ttlMs: 0,
    staleMs: entry.staleUntilMs - entry.freshUntilMs,
    loadMs: entry.loadMs,
    tagNames: entry.names,
    standing: undefined,
    packed: undefined,
  };
}

/** A stale value stands in for a failure of the source, never for a mistake of the caller. */
function mayStaleReplace(error: unknown): boolean {
  return (
    !isShardlineError(error, 'ABORTED') &&
    !isShardlineError(error, cacheErrors.CACHE_NO_LOADER.code)
  );
}

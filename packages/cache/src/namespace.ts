import {
  type Clock,
  coreErrors,
  isShardlineError,
  ShardlineError,
  SingleFlight,
} from '@shardline/core';
import type { Coherence } from './coherence.js';
import type { Counters } from './counters.js';
import { cacheErrors } from './errors.js';
import { commitScope } from './invalidate/after-commit.js';
import type {
  InvalidationReport,
  InvalidationTask,
  Invalidator,
} from './invalidate/invalidator.js';
import { NAMESPACE_STAMP } from './invalidate/key-template.js';
import { assertKey } from './keys.js';
import type { Loader, Policy } from './policy.js';
import { Attempt, type FirstLook } from './read/attempt.js';
import type { Found } from './read/found.js';
import { tagStamp } from './read/reader.js';
import { shouldRefreshEarly } from './read/refresh.js';
import type { NamespaceRuntime } from './runtime.js';
import type { AdmittedEntries } from './tiers/memory/admission.js';
import type { CoarseClock } from './tiers/memory/coarse-clock.js';
import type { LocalStamps } from './tiers/memory/local-stamps.js';
import type { MemoryEntry } from './tiers/memory/memory-tier.js';
import { writeValue } from './write/write.js';

/** A key: text, or a number that stands for its decimal text. */
export type CacheKey = string | number | bigint;

/** Options of one read. */
export interface GetOptions<Value> {
  readonly signal?: AbortSignal | undefined;
  /** Loads in place of the namespace's loader. Callers who share a load share the first one's. */
  readonly load?: Loader<Value> | undefined;
}

/** Options of one `set`. */
export interface SetOptions {
  readonly signal?: AbortSignal | undefined;
  /** Tags besides those that the namespace's `tags` gives. */
  readonly tags?: readonly string[] | undefined;
}

/** Options of one invalidation. */
export interface InvalidateOptions {
  /** Handed to the loaders that read the key next: they must read nothing older. */
  readonly freshness?: string | undefined;
}

/** Counts of one namespace in this process; the metrics report the same numbers. */
export type NamespaceStats = Readonly<Counters>;

const MAX_SHARED_TRIES = 3;

/**
 * A named part of the cache with one policy.
 *
 * @example
 * ```ts
 * import { createCache } from '@shardline/cache';
 *
 * interface Profile { readonly id: string; readonly name: string }
 * declare function readProfile(id: string): Promise<Profile | undefined>;
 *
 * await using cache = createCache({ redis: 'redis://127.0.0.1:6379' });
 * const profiles = cache.namespace<Profile>('userProfiles', { ttl: '1h', load: readProfile });
 *
 * const profile = await profiles.get('42'); // loaded once, however many ask
 * await profiles.invalidate('42'); // no process returns the old one again
 * ```
 */
export class CacheNamespace<Value = unknown> {
  readonly name: string;
  readonly #runtime: NamespaceRuntime;
  readonly #policy: Policy;
  readonly #invalidator: Invalidator;
  readonly #clock: Clock;
  // What a hit touches, one step away each.
  readonly #entries: AdmittedEntries<MemoryEntry>;
  readonly #stamps: LocalStamps;
  readonly #coherence: Coherence;
  readonly #coarse: CoarseClock;
  readonly #counters: Counters;
  readonly #boundMs: number;
  readonly #clone: boolean;
  readonly #refreshing = new Set<string>();

  /** Made by `cache.namespace()`. */
  constructor(runtime: NamespaceRuntime, invalidator: Invalidator) {
    this.name = runtime.policy.name;
    this.#runtime = runtime;
    this.#policy = runtime.policy;
    this.#invalidator = invalidator;
    this.#clock = runtime.clock;
    this.#entries = runtime.memory.entries;
    this.#stamps = runtime.memory.stamps;
    this.#coherence = runtime.coherence;
    this.#coarse = runtime.coarse;
    this.#counters = runtime.counters;
    this.#boundMs = runtime.policy.boundMs;
    this.#clone = runtime.policy.clone;
  }

  /**
   * The value: from the nearest tier that has it, else loaded. Undefined if it does not exist.
   *
   * @throws ShardlineError `CACHE_KEY_INVALID`, `CACHE_NO_LOADER`, `CACHE_LOAD_TIMEOUT`,
   * `CACHE_LOAD_BACKOFF`, `ABORTED`, `CLOSED`; else what the loader throws.
   */
  get(key: CacheKey, options?: GetOptions<Value>): Promise<Value | undefined> {
    const text = typeof key === 'string' ? key : String(key);
    const entry = this.#entries.hit(text);
    const sinceMs = this.#runtime.provenSince();
    if (entry !== undefined && this.#isGood(entry) && this.#isProvenSince(entry, sinceMs)) {
      this.#counters.l1Hits += 1;
      return Promise.resolve(this.#clone ? structuredClone(entry.value) : entry.value) as Promise<
        Value | undefined
      >;
    }
    return this.#getSlowly(text, entry, options, sinceMs) as Promise<Value | undefined>;
  }

  /** Values in the order of the keys; undefined where one does not exist. */
  getMany(keys: readonly CacheKey[], options?: GetOptions<Value>): Promise<(Value | undefined)[]> {
    return Promise.all(keys.map((key) => this.get(key, options)));
  }

  /**
   * How often each tier answered, and what else happened, since this process opened the namespace. A
   * lookup ends as a hit of one tier, or as a load.
   */
  stats(): NamespaceStats {
    return { ...this.#counters };
  }

  /** What L1 has and may show now, without waiting; undefined is a miss. Always one when `strict`. */
  peek(key: CacheKey): Value | undefined {
    const entry = this.#entries.hit(typeof key === 'string' ? key : String(key));
    if (entry === undefined || !this.#isGood(entry)) return undefined;
    if (!this.#isProvenSince(entry, this.#runtime.provenSince())) return undefined;
    this.#counters.l1Hits += 1;
    return (this.#clone ? structuredClone(entry.value) : entry.value) as Value | undefined;
  }

  /**
   * Puts a value into every tier, in place of whatever is there, and out of other processes' L1. With
   * `write: 'through'` it goes to the source first, under a lease, and cannot overtake anybody else's
   * write. With `aside` you vouch for the value: a change that another process makes between your reading it
   * and this call is not seen, so prefer `invalidate` for what others write, too. Within
   * `cache.afterCommit` it is an invalidation that waits for the commit.
   *
   * @throws ShardlineError `CACHE_KEY_INVALID`, `CACHE_VALUE_INVALID`, `CACHE_STORE_FAILED`,
   * `CACHE_INVALIDATION_QUEUED` (strict only).
   */
  async set(key: CacheKey, value: Value, options: SetOptions = {}): Promise<InvalidationReport> {
    const text = this.#checked(key);
    // Before the commit nobody may see it; afterwards the next reader loads it.
    if (commitScope() !== undefined) return this.#invalidate([text], [], undefined);
    return writeValue(this.#runtime, this.#invalidator, text, value, options);
  }

  /**
   * Removes keys from every tier and every process. Within `cache.afterCommit` it waits for the commit.
   *
   * @throws ShardlineError `CACHE_INVALIDATION_QUEUED` if a tier could not be reached and the namespace
   * is strict; a bounded one reports it instead.
   */
  invalidate(
    key: CacheKey | readonly CacheKey[],
    options: InvalidateOptions = {},
  ): Promise<InvalidationReport> {
    const keys = (Array.isArray(key) ? key : [key]) as readonly CacheKey[];
    return this.#invalidate(
      keys.map((one) => this.#checked(one)),
      [],
      options.freshness,
    );
  }

  /** Removes every entry that carries one of the tags: one new stamp each, however many entries. */
  invalidateTags(tags: readonly string[]): Promise<InvalidationReport> {
    return this.#invalidate([], tags.map(tagStamp), undefined);
  }

  /**
   * Removes what a pattern covers, in one step: `'42:*'`, or `'*:open'` with a `keys` template.
   *
   * @throws ShardlineError `CACHE_PATTERN_UNSUPPORTED`, with advice.
   */
  async invalidatePattern(pattern: string): Promise<InvalidationReport> {
    const stamp = this.#policy.template.stampOfPattern(this.name, pattern);
    return this.#invalidate([], [stamp], undefined);
  }

  /** Removes everything in the namespace, in one step. */
  clear(): Promise<InvalidationReport> {
    return this.#invalidate([], [NAMESPACE_STAMP], undefined);
  }

  /**
   * Makes a function remember its results here. The key is made of the arguments: of one text or number
   * itself, of several joined by colons.
   *
   * @example
   * ```ts
   * import { createCache } from '@shardline/cache';
   *
   * declare function fetchOdds(eventId: string): Promise<{ home: number; away: number }>;
   *
   * const cache = createCache({});
   * const odds = cache.namespace<{ home: number; away: number }>('odds', { ttl: '30s' });
   * const oddsOf = odds.wrap(fetchOdds);
   * await oddsOf('match-7');
   * await cache.close();
   * ```
   */
  wrap<Arguments extends readonly CacheKey[]>(
    work: (...args: Arguments) => Promise<Value | undefined> | Value | undefined,
  ): (...args: Arguments) => Promise<Value | undefined> {
    return (...args) =>
      this.get(args.map((part) => encodePart(part, args.length)).join(':'), {
        load: () => work(...args),
      });
  }

  #isGood(entry: MemoryEntry): boolean {
    const { reading } = this.#coarse;
    if (reading[0] === 0) this.#coarse.read();
    const nowMs = reading[0] as number;
    return (
      nowMs < entry.attentionAtMs &&
      entry.verifiedSequence === this.#stamps.sequence &&
      (nowMs <= entry.goodAsOfMs + this.#boundMs || nowMs <= this.#coherence.asOfMs + this.#boundMs)
    );
  }

  /** Whether an entry is known to have been good at a time, by itself or by what was heard since. */
  #isProvenSince(entry: MemoryEntry, sinceMs: number | undefined): boolean {
    return (
      sinceMs === undefined || entry.goodAsOfMs >= sinceMs || this.#coherence.asOfMs >= sinceMs
    );
  }

  async #getSlowly(
    key: string,
    entry: MemoryEntry | undefined,
    options: GetOptions<Value> | undefined,
    sinceMs: number | undefined,
  ): Promise<unknown> {
    this.#checked(key);
    const isUsable =
      entry !== undefined && this.#isUsable(entry) && this.#isProvenSince(entry, sinceMs);
    const usable = isUsable ? entry : undefined;
    if (usable !== undefined && this.#canShow(usable, options)) {
      return this.#copy(usable.value);
    }
    if (commitScope() !== undefined) return this.#readInTransaction(key, options);
    const cameAtMs = this.#clock.monotonicMs();
    const fallback = usable === undefined ? undefined : foundOf(usable, this.#clock);
    // Whoever may give up goes the long way at once: the short one has no place to listen.
    if (options?.signal !== undefined || this.#runtime.levels.length === 0) {
      return this.#copy(
        await this.#readShared(key, cameAtMs, sinceMs, fallback, options, undefined),
      );
    }
    const glance = await this.#runtime.reader.glance(key, sinceMs !== undefined);
    if (glance?.found !== undefined) return this.#copy(glance.found.value);
    return this.#copy(
      await this.#readShared(key, cameAtMs, sinceMs, fallback, options, glance?.first),
    );
  }

  /** Whether an entry that needs attention may be shown at all, were it fresh. */
  #isUsable(entry: MemoryEntry): boolean {
    const nowMs = this.#clock.monotonicMs();
    return (
      nowMs < entry.staleUntilMs &&
      this.#runtime.memory.areNamesUnchanged(entry) &&
      this.#coherence.isWithin(this.#boundMs, entry.goodAsOfMs, nowMs)
    );
  }

  /** Fresh, or within stale-while-revalidate; begins the refresh that is due. */
  #canShow(entry: MemoryEntry, options: GetOptions<Value> | undefined): boolean {
    const nowMs = this.#clock.monotonicMs();
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
    options: GetOptions<Value> | undefined,
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
    options: GetOptions<Value> | undefined,
    first: FirstLook | undefined,
    mustAsk: boolean,
  ): Promise<Found> {
    const { policy, clock, failures, reader } = this.#runtime;
    if (this.#runtime.isClosed()) return Promise.reject(closedError(this.name));
    this.#counters.misses += 1;
    return new Promise<Found>((resolve, reject) => {
      let isAnswered = false;
      const showStale = (found: Found) => {
        if (!isAnswered) this.#counters.staleServed += 1;
        isAnswered = true;
        resolve(found);
      };
      const load = options?.load as Loader<unknown> | undefined;
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
  #refresh(key: string, options: GetOptions<Value> | undefined, isEager: boolean): void {
    if (this.#refreshing.has(key) || this.#runtime.isClosed()) return;
    this.#refreshing.add(key);
    this.#counters.refreshes += 1;
    const { policy, clock, failures, reader, closing } = this.#runtime;
    const load = options?.load as Loader<unknown> | undefined;
    const attempt = new Attempt({ policy, clock, failures, load, isEager, signal: closing.signal });
    const work = reader.read(key, attempt).then(
      () => {},
      () => {
        // Counted as a failed load; the value shown stays until its stale window ends.
      },
    );
    this.#runtime.track(work.finally(() => this.#refreshing.delete(key)));
  }

  /** Inside a transaction: what is read may be an old snapshot, so it fills nothing. */
  async #readInTransaction(key: string, options: GetOptions<Value> | undefined): Promise<unknown> {
    const { policy, clock, failures, reader, closing } = this.#runtime;
    const load = options?.load as Loader<unknown> | undefined;
    const signal = options?.signal ?? closing.signal;
    const attempt = new Attempt({ policy, clock, failures, load, signal, mayFill: false });
    return this.#copy((await reader.read(key, attempt)).value);
  }

  #invalidate(
    keys: readonly string[],
    stamps: readonly string[],
    freshness: string | undefined,
  ): Promise<InvalidationReport> {
    this.#counters.invalidations += keys.length + stamps.length;
    const task: InvalidationTask = {
      target: this.#runtime,
      keys,
      stamps,
      freshness: freshness ?? this.#policy.freshness,
    };
    const scope = commitScope();
    if (scope === undefined) return this.#invalidator.run([task]);
    scope.tasks.push({ owner: this.#invalidator, task });
    return Promise.resolve({ acknowledged: false, waitingFor: ['commit'] });
  }

  #checked(key: CacheKey): string {
    const text = typeof key === 'string' ? key : String(key);
    if (this.#runtime.isClosed()) throw closedError(this.name);
    assertKey(this.name, text);
    return text;
  }

  #copy(value: unknown): unknown {
    return this.#clone ? structuredClone(value) : value;
  }
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
    freshness: undefined,
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

function encodePart(part: CacheKey, parts: number): string {
  const text = String(part);
  // With several parts a colon inside one must not make two different calls the same key.
  return parts === 1 ? text : text.replaceAll('%', '%25').replaceAll(':', '%3A');
}

function closedError(name: string): ShardlineError {
  return new ShardlineError(coreErrors.CLOSED, `The cache of namespace '${name}' was closed.`);
}

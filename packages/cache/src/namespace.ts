import { type Duration, durationMs } from '@shardline/core';
import { argumentsKey } from './arguments-key.js';
import {
  type CacheKey,
  type GetOptions,
  type InvalidateOptions,
  type ReportedChange,
  type SetOptions,
  type UpdateOptions,
  writeOptionsOf,
} from './call-options.js';
import type { Coherence } from './coherence.js';
import type { Counters } from './counters.js';
import type { HeaderFields } from './edge/headers.js';
import { headersOf } from './edge/headers-of.js';
import { assertFreshness } from './entry/standing-freshness.js';
import { closedError, writeInTransaction } from './errors.js';
import { commitScope } from './invalidate/after-commit.js';
import type {
  InvalidationReport,
  InvalidationTask,
  Invalidator,
} from './invalidate/invalidator.js';
import { NAMESPACE_STAMP } from './invalidate/key-template.js';
import { tagStamp } from './invalidate/tag-stamp.js';
import { assertKey } from './keys.js';
import type { Policy } from './policy.js';
import type { Sampler } from './probe/sampler.js';
import { isProvenSince, type ReadOptions, SlowRead } from './read/slow-read.js';
import type { NamespaceRuntime } from './runtime.js';
import { storedKeys } from './stored-keys.js';
import type { AdmittedEntries } from './tiers/memory/admission.js';
import type { CoarseClock } from './tiers/memory/coarse-clock.js';
import type { LocalStamps } from './tiers/memory/local-stamps.js';
import type { MemoryEntry } from './tiers/memory/memory-tier.js';
import type { FlushReport } from './write/behind-policy.js';
import { updateValue } from './write/update.js';
import { writeValue } from './write/write.js';

/** Counts of one namespace in this process; the metrics report the same numbers. */
export type NamespaceStats = Readonly<Counters>;

const WAITING_FOR_SOURCE: InvalidationReport = { acknowledged: false, waitingFor: ['source'] };

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
  // What a hit touches, one step away each.
  readonly #entries: AdmittedEntries<MemoryEntry>;
  readonly #stamps: LocalStamps;
  readonly #coherence: Coherence;
  readonly #coarse: CoarseClock;
  readonly #counters: Counters;
  readonly #boundMs: number;
  readonly #clone: boolean;
  readonly #slowRead: SlowRead;
  readonly #sampler: Sampler | undefined;
  /** The hit of L1 that the sampler looks at next. */
  #sampleAt = Number.POSITIVE_INFINITY;

  /** Whether values are loaded anew while an old one is shown, with nobody waiting for them. */
  get refreshesBehind(): boolean {
    return this.#policy.staleWhileRevalidateMs > 0 || this.#policy.eagerBeta > 0;
  }

  /** Made by `cache.namespace()`. */
  constructor(runtime: NamespaceRuntime, invalidator: Invalidator) {
    this.name = runtime.policy.name;
    this.#runtime = runtime;
    this.#policy = runtime.policy;
    this.#invalidator = invalidator;
    this.#entries = runtime.memory.entries;
    this.#stamps = runtime.memory.stamps;
    this.#coherence = runtime.coherence;
    this.#coarse = runtime.coarse;
    this.#counters = runtime.counters;
    this.#boundMs = runtime.policy.boundMs;
    this.#clone = runtime.policy.clone;
    this.#slowRead = new SlowRead(runtime);
    this.#sampler = runtime.makeSampler((key) => this.get(key));
    if (this.#sampler !== undefined) this.#sampleAt = this.#sampler.nextStride();
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
    if (
      entry !== undefined &&
      this.#isGood(entry) &&
      isProvenSince(this.#coherence, entry, sinceMs)
    ) {
      this.#counters.l1Hits += 1;
      if (this.#counters.l1Hits >= this.#sampleAt) this.#sample(entry);
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
    const text = typeof key === 'string' ? key : String(key);
    const entry = this.#entries.hit(text);
    if (entry === undefined || !this.#isGood(entry)) return this.#peekBehind(text);
    if (!isProvenSince(this.#coherence, entry, this.#runtime.provenSince())) return undefined;
    this.#counters.l1Hits += 1;
    return (this.#clone ? structuredClone(entry.value) : entry.value) as Value | undefined;
  }

  /**
   * Puts a value into every tier, in place of whatever is there, and out of other processes' L1. With
   * `write: 'through'` it goes to the source first, under a lease, and cannot overtake anybody else's
   * write. With `behind` it is answered when the value is in this process's buffer: this process reads it from
   * then on, others once the source has taken it, and the report waits for `'source'`. With `aside` you
   * vouch for the value: a change that another process makes between your reading it and this call is not
   * seen, so prefer `update` or `invalidate` for what others write, too. Within `cache.afterCommit` it is
   * an invalidation that waits for the commit.
   *
   * @throws ShardlineError `CACHE_KEY_INVALID`, `CACHE_VALUE_INVALID`, `CACHE_STORE_FAILED`,
   * `CACHE_INVALIDATION_QUEUED` (strict only), `CACHE_WRITE_BEHIND_FULL` (behind only),
   * `CACHE_WRITE_IN_TRANSACTION` (through and behind, within `cache.afterCommit`).
   */
  async set(key: CacheKey, value: Value, options: SetOptions = {}): Promise<InvalidationReport> {
    const text = this.#checked(key);
    const { write } = this.#policy;
    if (commitScope() !== undefined) {
      if (write !== 'aside') throw writeInTransaction(this.name, text, write);
      // Before the commit nobody may see it; afterwards the next reader loads it.
      return this.#invalidate([text], [], undefined);
    }
    const { behind } = this.#runtime;
    if (behind !== undefined) {
      await behind.add(text, value, writeOptionsOf(options));
      return WAITING_FOR_SOURCE;
    }
    return writeValue(this.#runtime, this.#invalidator, text, value, writeOptionsOf(options));
  }

  /**
   * Changes the source by work of your own and caches what it returns. What is cached is looked at before the work
   * begins, and replaced afterwards only if it is still that: a change by anybody else that overlaps it ends with no
   * cached value instead of an old one, which `set` with a value read earlier cannot know. Until the work is done
   * the old value is shown. If the work throws, or returns `undefined` for what it removed, the key is
   * invalidated.
   *
   * @throws ShardlineError `CACHE_KEY_INVALID`, `CACHE_WRITE_IN_TRANSACTION`, `DEADLINE_EXCEEDED` after `timeout`,
   * `CACHE_INVALIDATION_QUEUED` (strict only); else what the work throws.
   *
   * @example
   * ```ts
   * import { createCache } from '@shardline/cache';
   *
   * declare function rename(id: string, name: string): Promise<{ id: string; name: string }>;
   *
   * await using cache = createCache({ redis: 'redis://127.0.0.1:6379' });
   * const profiles = cache.namespace<{ id: string; name: string }>('userProfiles', { ttl: '1h' });
   *
   * const profile = await profiles.update('42', () => rename('42', 'Ada')); // UPDATE ... RETURNING *
   * ```
   */
  async update<Result extends Value | undefined>(
    key: CacheKey,
    work: (context: { readonly signal: AbortSignal }) => Promise<Result> | Result,
    options: UpdateOptions = {},
  ): Promise<Result> {
    const { result } = await this.updateReported(
      key,
      { work, storedOf: (value) => value },
      options,
    );
    return result;
  }

  /**
   * As `update`, and tells besides whether every tier and process has taken the change: for those who keep a
   * record of what has yet to be invalidated, such as an outbox. What is stored may be something else than what the
   * work returns, and may take another question, which is asked while the tiers below are being invalidated.
   *
   * @throws ShardlineError as `update`; what `storedOf` throws, once nothing old is left.
   */
  async updateReported<Result>(
    key: CacheKey,
    change: ReportedChange<Result, Value>,
    options: UpdateOptions = {},
  ): Promise<{ readonly result: Result; readonly report: InvalidationReport }> {
    const text = this.#checked(key);
    if (commitScope() !== undefined) throw writeInTransaction(this.name, text, 'update');
    const { timeout } = options;
    const timeoutMs = timeout === undefined ? undefined : durationMs(timeout, 'timeout');
    const given = { ...writeOptionsOf(options), timeoutMs };
    return updateValue(this.#runtime, this.#invalidator, text, change, given);
  }

  /**
   * Writes everything to the source that `set` has accepted so far; nothing unless `write` is `'behind'`.
   *
   * @throws ShardlineError `DEADLINE_EXCEEDED`, `ABORTED`: what is left is tried further.
   */
  async flush(
    options: { readonly deadline?: Duration; readonly signal?: AbortSignal } = {},
  ): Promise<FlushReport> {
    const timeoutMs = durationMs(options.deadline ?? '30s', 'deadline');
    const { behind } = this.#runtime;
    return behind?.flush(timeoutMs, options.signal) ?? { written: 0, unwritten: [] };
  }

  /**
   * Removes keys from every tier and every process. Within `cache.afterCommit` it waits for the commit.
   *
   * @throws ShardlineError `CACHE_KEY_INVALID`, `CACHE_FRESHNESS_INVALID`; `CACHE_INVALIDATION_QUEUED` if a tier could not be reached and the namespace
   * is strict; a bounded one reports it instead.
   */
  async invalidate(
    key: CacheKey | readonly CacheKey[],
    options: InvalidateOptions = {},
  ): Promise<InvalidationReport> {
    assertFreshness(this.name, options.freshness);
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
   * Keys that this process's memory or Redis holds, in no order and perhaps twice, some of them out of date
   * by the time they are read. For tools: it goes over all that Redis has, on a Cluster over every master.
   *
   * @throws ShardlineError `ABORTED`; `CACHE_TIER_UNAVAILABLE` if a server does not answer: what was read is not all.
   */
  keys(options: { readonly signal?: AbortSignal } = {}): AsyncGenerator<string> {
    return storedKeys(this.#runtime, options.signal);
  }

  /**
   * Header fields for a response made of one value: Cache-Control for browsers, CDN-Cache-Control for edges, and
   * the names under which the cache's `edge` purges it (Surrogate-Key for Fastly, Cache-Tag for Cloudflare).
   * Of a `strict` namespace nobody may keep anything.
   */
  edgeHeaders(key: CacheKey, value?: Value): HeaderFields {
    const text = String(key);
    assertKey(this.name, text);
    return headersOf(this.#runtime, text, value);
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
    return (...args) => this.get(argumentsKey(args), { load: () => work(...args) });
  }

  #sample(entry: MemoryEntry): void {
    const sampler = this.#sampler as Sampler;
    this.#sampleAt = this.#counters.l1Hits + sampler.nextStride();
    sampler.hit(entry.key, entry.value);
  }

  #peekBehind(key: string): Value | undefined {
    const value = this.#runtime.behind?.newest(key)?.value;
    return (this.#clone ? structuredClone(value) : value) as Value | undefined;
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

  #getSlowly(
    key: string,
    entry: MemoryEntry | undefined,
    options: GetOptions<Value> | undefined,
    sinceMs: number | undefined,
  ): Promise<unknown> {
    try {
      this.#checked(key);
      const read = this.#slowRead.get(key, entry, options as ReadOptions | undefined, sinceMs);
      return this.#sampler === undefined && !this.#clone ? read : this.#shown(key, read);
    } catch (error) {
      return Promise.reject(error);
    }
  }

  async #shown(key: string, read: Promise<unknown>): Promise<unknown> {
    const value = await read;
    this.#sampler?.slow(key, value);
    return this.#clone ? structuredClone(value) : value;
  }

  #invalidate(
    keys: readonly string[],
    stamps: readonly string[],
    freshness: string | undefined,
  ): Promise<InvalidationReport> {
    this.#counters.invalidations += keys.length + stamps.length;
    const task: InvalidationTask = { target: this.#runtime, keys, stamps, freshness };
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
}

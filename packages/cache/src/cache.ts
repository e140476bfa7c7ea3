import { setMaxListeners } from 'node:events';
import {
  type Clock,
  checkOptions,
  configurationError,
  coreErrors,
  type Duration,
  durationMs,
  ShardlineError,
  sleep,
  systemClock,
  withDeadline,
} from '@shardline/core';
import { Background } from './background.js';
import { type CacheCloseReport, closeCache } from './cache-close.js';
import { type CacheOptions, type CacheSettings, cacheSchema } from './cache-options.js';
import { Edge } from './edge/edge.js';
import { type CacheHealth, healthOf } from './health.js';
import { collectUntilCommit, commitScope } from './invalidate/after-commit.js';
import { type InvalidationReport, Invalidator } from './invalidate/invalidator.js';
import type { InvalidationRecord } from './invalidate/outbox.js';
import { RuleBook } from './invalidate/rules.js';
import { tagStamp } from './invalidate/tag-stamp.js';
import { mergeTasks, recordOf, tasksOf } from './invalidate/tasks.js';
import { makeRuntime } from './make-runtime.js';
import { CacheNamespace } from './namespace.js';
import type { NamespaceOptions } from './namespace-options.js';
import { openPartitions } from './open-partitions.js';
import type { Partition } from './partition.js';
import type { NamespaceRuntime } from './runtime.js';
import { CacheTelemetry } from './telemetry.js';
import { CoarseClock } from './tiers/memory/coarse-clock.js';
import { Tracing } from './tracing.js';
import { planKeys, type WarmOptions } from './warm/warm-plan.js';
import type { Warmable, WarmKey, WarmReport } from './warm/warmer.js';

const NOTHING_TO_DO: InvalidationReport = { acknowledged: true, waitingFor: [] };
const DEFAULT_CLOSE: Duration = '5s';

/** A cache of named parts over memory, Redis and Memcached. Made by `createCache`. */
export class Cache implements AsyncDisposable {
  readonly #settings: CacheSettings;
  readonly #clock: Clock;
  readonly #random: () => number;
  readonly #provenSince: () => number | undefined;
  readonly #coarse: CoarseClock;
  readonly #partitions: ReadonlyMap<string, Partition>;
  readonly #runtimes = new Map<string, NamespaceRuntime>();
  readonly #namespaces = new Map<string, CacheNamespace<unknown>>();
  readonly #rules: RuleBook;
  readonly #invalidator: Invalidator;
  readonly #closing = new AbortController();
  readonly #edge: Edge;
  readonly #tracing = new Tracing();
  readonly #background: Background;
  readonly #onError: (error: unknown, doing: string) => void;
  readonly #telemetry: CacheTelemetry;
  #closed: Promise<CacheCloseReport> | undefined;

  constructor(options: CacheOptions) {
    // One listener for each piece of work under way: many are no leak.
    setMaxListeners(0, this.#closing.signal);
    this.#settings = checkOptions(cacheSchema, options, 'createCache');
    this.#rules = new RuleBook(this.#settings.rules);
    if (this.#rules.faults.length > 0) throw configurationError('createCache', this.#rules.faults);
    this.#clock = options.clock ?? systemClock;
    this.#random = options.random ?? Math.random;
    this.#provenSince = options.provenSince ?? asksForNothing;
    this.#coarse = new CoarseClock(this.#clock);
    this.#onError = options.onError ?? warn;
    this.#edge = new Edge(this.#settings.edge, {
      prefix: this.#settings.prefix,
      clock: this.#clock,
      onError: this.#onError,
    });
    this.#invalidator = new Invalidator(this.#clock, this.#tracing, (task) =>
      this.#edge.purge(task),
    );
    this.#partitions = openPartitions(options, this.#settings, this.#clock);
    this.#background = new Background({
      settings: this.#settings,
      clock: this.#clock,
      redis: this.#partitions.get('')?.redis,
      runtimes: this.#runtimes,
      find: (name) => this.#warmable(name),
      apply: (records) => this.apply(records),
      closing: this.#closing.signal,
      onError: this.#onError,
    });
    this.#telemetry = new CacheTelemetry({
      runtimes: this.#runtimes,
      partitions: this.#partitions,
      invalidator: this.#invalidator,
      edge: this.#edge,
      warmer: this.#background.warmer,
    });
  }

  /**
   * Declares a part of the cache, or returns it if it is declared already and no options are given.
   *
   * @throws ShardlineError `CONFIG_INVALID`, naming every fault; also when it is declared twice.
   */
  namespace<Value = unknown>(
    name: string,
    options?: NamespaceOptions<Value>,
  ): CacheNamespace<Value> {
    if (this.#closed !== undefined) throw closedError();
    const known = this.#namespaces.get(name);
    if (known !== undefined && options === undefined) return known as CacheNamespace<Value>;
    const subject = `cache namespace '${name}'`;
    if (known !== undefined || options === undefined) {
      const message =
        known === undefined ? 'is not declared: give its options' : 'is declared twice';
      throw configurationError(subject, [{ path: '', message }]);
    }
    const runtime = this.#makeRuntime(name, options as NamespaceOptions<unknown>);
    this.#runtimes.set(name, runtime);
    const namespace = new CacheNamespace<Value>(runtime, this.#invalidator);
    this.#namespaces.set(name, namespace as CacheNamespace<unknown>);
    return namespace;
  }

  /**
   * Runs the rules of an event: everything that they name is invalidated. What the event makes likely
   * (`warming.events`) is read afterwards, in the background.
   *
   * @throws ShardlineError `CACHE_EVENT_UNKNOWN`, `CACHE_EVENT_PAYLOAD`, `CACHE_INVALIDATION_QUEUED`.
   */
  async emit(event: string, payload: unknown = {}): Promise<InvalidationReport> {
    const isPredicted = this.#background.predicts(event);
    const likely = isPredicted ? this.#background.predictedKeys(event, payload) : [];
    if (isPredicted && !this.#rules.has(event)) {
      this.#predict(likely);
      return NOTHING_TO_DO;
    }
    const report = await this.apply(this.recordsOf(event, payload));
    this.#predict(likely);
    return report;
  }

  /**
   * Reads ahead what an event makes likely, in the background and without invalidating anything: the second half
   * of `emit`, for those who invalidate in another way. Nothing if `warming.events` does not name the event.
   *
   * @throws ShardlineError `CACHE_EVENT_PAYLOAD`.
   */
  anticipate(event: string, payload: unknown = {}): void {
    if (this.#background.predicts(event)) {
      this.#predict(this.#background.predictedKeys(event, payload));
    }
  }

  /**
   * Reads keys before somebody waits for them, within the budget of `warming`. What is there is left as it
   * is; a run that ended early is simply begun anew, and loads only what is missing.
   *
   * @throws ShardlineError `CONFIG_INVALID` for a namespace that this cache does not have.
   *
   * @example
   * ```ts
   * import { createCache } from '@shardline/cache';
   *
   * declare function allBoards(): AsyncIterable<string>;
   *
   * await using cache = createCache({ redis: 'redis://127.0.0.1:6379' });
   * cache.namespace('leaderboards', { ttl: '5m', hotKeys: true });
   * const { loaded, stoppedBy } = await cache.warm({
   *   keys: { leaderboards: allBoards() },
   *   hot: true,
   *   deadline: '1m',
   * });
   * ```
   */
  async warm(options: WarmOptions): Promise<WarmReport> {
    if (this.#closed !== undefined) throw closedError();
    for (const name of Object.keys(options.keys ?? {})) this.#warmable(name);
    const { deadline, signal, onProgress } = options;
    return this.#background.warmer.run({
      keys: planKeys(options, this.#runtimes.values(), this.#clock.now()),
      timeoutMs: deadline === undefined ? undefined : durationMs(deadline, 'deadline'),
      signal,
      onProgress,
    });
  }

  /** What an event would invalidate, as plain rows: for an outbox, or to look at. */
  recordsOf(event: string, payload: unknown = {}): InvalidationRecord[] {
    return this.#rules.hitsOf(event, payload).map(recordOf);
  }

  /**
   * Carries out invalidations that were written down, in whichever process. Namespaces that are not
   * declared here are reported, since their tiers are not known.
   *
   * @throws ShardlineError `CONFIG_INVALID` for a namespace that this cache does not have.
   */
  async apply(records: readonly InvalidationRecord[]): Promise<InvalidationReport> {
    const tasks = tasksOf(this.#runtimes, records);
    const scope = commitScope();
    if (scope === undefined) return this.#invalidator.run(tasks);
    for (const task of tasks) scope.tasks.push({ owner: this.#invalidator, task });
    return { acknowledged: false, waitingFor: ['commit'] };
  }

  /** Invalidates tags in every namespace. */
  invalidateTags(tags: readonly string[]): Promise<InvalidationReport> {
    const stamps = tags.map(tagStamp);
    const tasks = [...this.#runtimes.values()].map((target) => ({ target, keys: [], stamps }));
    return this.#invalidator.run(tasks);
  }

  /**
   * Runs a transaction; the invalidations made in it are carried out once it has returned, and dropped if
   * it throws. What is read through the cache in there fills nothing.
   *
   * @throws what the work throws; `CACHE_INVALIDATION_QUEUED` after the commit, for strict namespaces.
   */
  async afterCommit<T>(work: () => Promise<T>): Promise<T> {
    const { result, scope } = await collectUntilCommit(work);
    const outer = commitScope();
    if (outer !== undefined) {
      outer.tasks.push(...scope.tasks);
      outer.afterwards.push(...scope.afterwards);
      return result;
    }
    await this.#invalidator.run(mergeTasks(scope.tasks.map(({ task }) => task)));
    for (const next of scope.afterwards) next();
    return result;
  }

  /** How the tiers are, and by how much this process may lag. */
  health(): CacheHealth {
    return healthOf(this.#partitions.values(), this.#runtimes.values(), this.#invalidator);
  }

  /**
   * Waits until every Redis can be used and every bus has been heard out once.
   *
   * @throws ShardlineError `REDIS_UNREACHABLE`, `DEADLINE_EXCEEDED`.
   */
  async ready(options: { deadline?: Duration; signal?: AbortSignal } = {}): Promise<void> {
    const timeoutMs = durationMs(options.deadline ?? DEFAULT_CLOSE, 'deadline');
    const { signal } = options;
    const doing = 'Getting the cache ready';
    await withDeadline({ timeoutMs, signal, doing }, async (stop) => {
      for (const { redis, l2, bus, coherence } of this.#partitions.values()) {
        await redis?.ready({ timeoutMs, signal: stop });
        const isReady = () =>
          (redis === undefined || l2?.isAvailable !== false) &&
          (bus === undefined || Number.isFinite(coherence.asOfMs));
        while (!isReady()) await sleep(5, { signal: stop });
      }
    });
  }

  /**
   * Writes what waits behind, ends background work, tries pending invalidations once more, and closes what
   * was opened here. What could not be done by the deadline is in the report.
   */
  close(options: { deadline?: Duration } = {}): Promise<CacheCloseReport> {
    this.#closed ??= closeCache(
      {
        clock: this.#clock,
        closing: this.#closing,
        runtimes: this.#runtimes,
        partitions: this.#partitions,
        invalidator: this.#invalidator,
        background: this.#background,
        edge: this.#edge,
        telemetry: this.#telemetry,
        tracing: this.#tracing,
      },
      durationMs(options.deadline ?? DEFAULT_CLOSE, 'deadline'),
    );
    return this.#closed;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  #predict(keys: readonly WarmKey[]): void {
    if (keys.length === 0) return;
    const scope = commitScope();
    const begin = () => this.#background.predict(keys);
    if (scope === undefined) begin();
    else scope.afterwards.push(begin);
  }

  #warmable(name: string): Warmable {
    const runtime = this.#runtimes.get(name);
    const namespace = this.#namespaces.get(name);
    if (runtime !== undefined && namespace !== undefined) return { runtime, namespace };
    const message = 'is no namespace of this cache';
    throw configurationError('warming', [{ path: name, message }]);
  }

  #makeRuntime(name: string, options: NamespaceOptions<unknown>): NamespaceRuntime {
    const { scheduled } = this.#background;
    return makeRuntime(name, options, {
      settings: this.#settings,
      partitions: this.#partitions,
      patterns: [...this.#rules.patternsOf(name), ...scheduled.patternsOf(name)],
      clock: this.#clock,
      coarse: this.#coarse,
      random: this.#random,
      invalidator: this.#invalidator,
      provenSince: this.#provenSince,
      tracing: this.#tracing,
      closing: this.#closing,
    });
  }
}

/**
 * Makes a cache. Connections are opened in the background; until they stand, reads go round the tiers.
 *
 * @throws ShardlineError `CONFIG_INVALID`, naming every fault.
 *
 * @example
 * ```ts
 * import { createCache } from '@shardline/cache';
 *
 * await using cache = createCache({
 *   redis: 'redis://127.0.0.1:6379',
 *   memcached: '127.0.0.1:11211',
 *   rules: { 'user.profile.updated': ['userProfiles:{userId}', 'leaderboards:*'] },
 * });
 * cache.namespace('userProfiles', { ttl: '1h' });
 * cache.namespace('leaderboards', { ttl: '5m' });
 * await cache.emit('user.profile.updated', { userId: 42 });
 * ```
 */
export function createCache(options: CacheOptions): Cache {
  return new Cache(options);
}

function asksForNothing(): undefined {}

function warn(error: unknown, doing: string): void {
  process.emitWarning(`Cache, ${doing}: ${String(error)}`, 'ShardlineWarning');
}

function closedError(): ShardlineError {
  return new ShardlineError(coreErrors.CLOSED, 'The cache was closed.');
}

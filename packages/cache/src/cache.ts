import {
  type BreakerState,
  type Clock,
  type ConfigurationFault,
  checkOptions,
  configurationError,
  coreErrors,
  type Duration,
  durationMs,
  durationOption,
  ShardlineError,
  sleep,
  systemClock,
  withDeadline,
} from '@shardline/core';
import * as v from 'valibot';
import { collectUntilCommit, commitScope } from './invalidate/after-commit.js';
import {
  type InvalidationReport,
  type InvalidationTask,
  Invalidator,
} from './invalidate/invalidator.js';
import type { InvalidationRecord } from './invalidate/outbox.js';
import { RuleBook, type RuleHit, type Rules } from './invalidate/rules.js';
import { assertKey } from './keys.js';
import { CacheNamespace } from './namespace.js';
import { Partition, type PartitionOptions } from './partition.js';
import { type NamespaceOptions, resolvePolicy } from './policy.js';
import { tagStamp } from './read/reader.js';
import { NamespaceRuntime } from './runtime.js';
import { CacheTelemetry } from './telemetry.js';
import { CoarseClock } from './tiers/memory/coarse-clock.js';

/** What `createCache` is told. */
export interface CacheOptions extends PartitionOptions {
  /** Before every key in the shared tiers. @default 'shardline' */
  readonly prefix?: string | undefined;
  /** Other Redis and Memcached servers, for namespaces that name them. */
  readonly partitions?: Readonly<Record<string, PartitionOptions>> | undefined;
  /** What each event invalidates. */
  readonly rules?: Rules | undefined;
  /** Deadline of one operation on L2. @default '250ms' */
  readonly l2Timeout?: Duration | undefined;
  /** Deadline of one operation on L3. @default '250ms' */
  readonly l3Timeout?: Duration | undefined;
  /**
   * Believe entries that a restarted or promoted Redis brings along. It may have forgotten invalidations.
   * @default false
   */
  readonly trustAfterRestart?: boolean | undefined;
  /** How long an invalidation's freshness mark is kept for loaders. @default '1m' */
  readonly tombstoneTtl?: Duration | undefined;
  /**
   * Asked at each read, for callers who have seen more than this process may have: what it returns is a time
   * on the monotonic clock, and the read returns nothing that was not proven good since then. `shardline` puts
   * the beginning of a session here that comes from another process. Undefined asks for nothing.
   */
  readonly provenSince?: (() => number | undefined) | undefined;
  /** Told when a tier's breaker opens, probes or closes. */
  readonly onBreaker?:
    | ((event: { tier: string; from: BreakerState; to: BreakerState }) => void)
    | undefined;
  /** For tests: time as an input. */
  readonly clock?: Clock | undefined;
  /** For tests: randomness as an input, 0 to 1. */
  readonly random?: (() => number) | undefined;
}

/** How a cache is. */
export interface CacheHealth {
  /** Every tier answers and nothing waits to be invalidated. */
  readonly healthy: boolean;
  readonly tiers: readonly {
    readonly tier: string;
    readonly breaker: BreakerState;
  }[];
  /** Invalidations that a tier has not taken yet. */
  readonly pendingInvalidations: number;
  /** By how long this process may lag behind an invalidation at most, now, in milliseconds. */
  readonly stalenessBoundMs: number;
}

const anyObject = v.custom<object>((value) => typeof value === 'object' && value !== null);
const target = v.union([v.string(), anyObject], 'must be an address or an options object');
const partitionEntries = {
  redis: v.optional(target),
  memcached: v.optional(target),
  l2: v.optional(anyObject),
  l3: v.optional(anyObject),
  bus: v.optional(v.union([v.picklist(['stream', 'tracking', 'none']), anyObject])),
};
const tierTimeout = v.optional(durationOption({ min: '1ms', max: '1m' }), '250ms');
const anyFunction = v.custom<(...args: never[]) => unknown>((value) => typeof value === 'function');

const schema = v.strictObject({
  ...partitionEntries,
  prefix: v.optional(
    v.pipe(v.string(), v.regex(/^[A-Za-z0-9_.-]{1,64}$/, "must be 1 to 64 letters, digits, '_.-'")),
    'shardline',
  ),
  partitions: v.optional(v.record(v.string(), v.strictObject(partitionEntries)), {}),
  rules: v.optional(v.record(v.string(), v.array(v.string())), {}),
  l2Timeout: tierTimeout,
  l3Timeout: tierTimeout,
  trustAfterRestart: v.optional(v.boolean(), false),
  tombstoneTtl: v.optional(durationOption({ min: '1s', max: '7d' }), '1m'),
  provenSince: v.optional(anyFunction),
  onBreaker: v.optional(anyFunction),
  clock: v.optional(anyObject),
  random: v.optional(anyFunction),
});

const DEFAULT_CLOSE: Duration = '5s';

/** A cache of named parts over memory, Redis and Memcached. Made by `createCache`. */
export class Cache implements AsyncDisposable {
  readonly #settings: v.InferOutput<typeof schema>;
  readonly #clock: Clock;
  readonly #random: () => number;
  readonly #provenSince: () => number | undefined;
  readonly #coarse: CoarseClock;
  readonly #partitions = new Map<string, Partition>();
  readonly #runtimes = new Map<string, NamespaceRuntime>();
  readonly #namespaces = new Map<string, CacheNamespace<never>>();
  readonly #rules: RuleBook;
  readonly #invalidator: Invalidator;
  readonly #closing = new AbortController();
  readonly #telemetry: CacheTelemetry;
  #closed: Promise<void> | undefined;

  constructor(options: CacheOptions) {
    this.#settings = checkOptions(schema, options, 'createCache');
    this.#rules = new RuleBook(this.#settings.rules);
    if (this.#rules.faults.length > 0) throw configurationError('createCache', this.#rules.faults);
    this.#clock = options.clock ?? systemClock;
    this.#random = options.random ?? Math.random;
    this.#provenSince = options.provenSince ?? asksForNothing;
    this.#coarse = new CoarseClock(this.#clock);
    this.#invalidator = new Invalidator(this.#clock);
    this.#open('', options);
    for (const [name, partition] of Object.entries(options.partitions ?? {})) {
      this.#open(name, partition, options);
    }
    this.#telemetry = new CacheTelemetry(this.#runtimes, this.#partitions, this.#invalidator);
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
    const runtime = this.#makeRuntime(name, options);
    this.#runtimes.set(name, runtime);
    const namespace = new CacheNamespace<Value>(runtime, this.#invalidator);
    this.#namespaces.set(name, namespace as CacheNamespace<never>);
    return namespace;
  }

  /**
   * Runs the rules of an event: everything that they name is invalidated.
   *
   * @throws ShardlineError `CACHE_EVENT_UNKNOWN`, `CACHE_EVENT_PAYLOAD`, `CACHE_INVALIDATION_QUEUED`.
   */
  async emit(event: string, payload: unknown = {}): Promise<InvalidationReport> {
    return this.apply(this.recordsOf(event, payload));
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
    const tasks = this.#tasksOf(records);
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
    if (outer !== undefined) outer.tasks.push(...scope.tasks);
    else await this.#invalidator.run(mergeTasks(scope.tasks.map(({ task }) => task)));
    return result;
  }

  /** How the tiers are, and by how much this process may lag. */
  health(): CacheHealth {
    const tiers = [...this.#partitions.values()].flatMap(({ name, breakers }) =>
      [...breakers].map(([tier, { state }]) => ({
        tier: name === '' ? tier : `${name} ${tier}`,
        breaker: state,
      })),
    );
    const pendingInvalidations = this.#invalidator.pendingCount;
    const bounds = [...this.#runtimes.values()].map(({ policy }) => policy.boundMs);
    return {
      healthy: pendingInvalidations === 0 && tiers.every(({ breaker }) => breaker === 'closed'),
      tiers,
      pendingInvalidations,
      stalenessBoundMs: Math.max(0, ...bounds.filter(Number.isFinite)),
    };
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

  /** Ends background work, tries what is pending once more, and closes what was opened here. */
  close(options: { deadline?: Duration } = {}): Promise<void> {
    this.#closed ??= this.#end(durationMs(options.deadline ?? DEFAULT_CLOSE, 'deadline'));
    return this.#closed;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #end(timeoutMs: number): Promise<void> {
    this.#closing.abort();
    this.#invalidator.close();
    const finishing = async () => {
      for (const runtime of this.#runtimes.values()) await runtime.idle();
      if (this.#invalidator.pendingCount > 0) await this.#invalidator.replay();
    };
    await withDeadline({ timeoutMs, doing: 'Closing the cache' }, finishing).catch(() => {
      // What is left waits on tiers that do not answer; they are cut off below.
    });
    for (const runtime of this.#runtimes.values()) runtime.memory.clear();
    for (const partition of this.#partitions.values()) await partition.close();
    this.#telemetry.close();
  }

  #open(name: string, options: PartitionOptions, common: CacheOptions = options): void {
    const settings = this.#settings;
    const partition = new Partition(name, options, {
      prefix: settings.prefix,
      l2TimeoutMs: settings.l2Timeout,
      l3TimeoutMs: settings.l3Timeout,
      trustAfterRestart: settings.trustAfterRestart,
      clock: this.#clock,
      onTransition: (tier, from, to) => common.onBreaker?.({ tier, from, to }),
    });
    this.#partitions.set(name, partition);
  }

  #makeRuntime<Value>(name: string, options: NamespaceOptions<Value>): NamespaceRuntime {
    const partition = this.#partitions.get(options.partition ?? '');
    if (partition === undefined) {
      const message = `'${options.partition}' is not among the cache's partitions`;
      throw configurationError(`cache namespace '${name}'`, [{ path: 'partition', message }]);
    }
    const policy = resolvePolicy(name, options, partition.tiers);
    const faults: ConfigurationFault[] = [];
    for (const pattern of this.#rules.patternsOf(name)) {
      try {
        policy.template.stampOfPattern(name, pattern);
      } catch (error) {
        faults.push({ path: 'keys', message: (error as Error).message });
      }
    }
    if (faults.length > 0) throw configurationError(`cache namespace '${name}'`, faults);
    const runtime = new NamespaceRuntime({
      policy: policy as never,
      prefix: this.#settings.prefix,
      l2: partition.l2,
      l3: partition.l3,
      bus: policy.usesL2 || policy.usesL3 ? partition.bus : undefined,
      coherence: partition.coherence,
      clock: this.#clock,
      coarse: this.#coarse,
      random: this.#random,
      tombstoneMs: this.#settings.tombstoneTtl,
      closing: this.#closing,
      provenSince: this.#provenSince,
    });
    partition.runtimes.set(name, runtime);
    return runtime;
  }

  #tasksOf(records: readonly InvalidationRecord[]): InvalidationTask[] {
    const faults: ConfigurationFault[] = [];
    const tasks = records.flatMap((record) => {
      const runtime = this.#runtimes.get(record.namespace);
      if (runtime === undefined) {
        faults.push({ path: record.namespace, message: 'is no namespace of this cache' });
        return [];
      }
      return [taskOf(runtime, record)];
    });
    if (faults.length > 0) throw configurationError('an invalidation', faults);
    return mergeTasks(tasks);
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

function recordOf({ namespace, kind, text }: RuleHit): InvalidationRecord {
  if (kind === 'key') return { namespace, keys: [text] };
  return kind === 'tag' ? { namespace, tags: [text] } : { namespace, patterns: [text] };
}

function taskOf(runtime: NamespaceRuntime, record: InvalidationRecord): InvalidationTask {
  const { template } = runtime.policy;
  for (const key of record.keys ?? []) assertKey(runtime.name, key);
  const patterns = record.patterns ?? [];
  return {
    target: runtime,
    keys: record.keys ?? [],
    stamps: [
      ...(record.tags ?? []).map(tagStamp),
      ...patterns.map((pattern) => template.stampOfPattern(runtime.name, pattern)),
    ],
    freshness: record.freshness ?? runtime.policy.freshness,
  };
}

/** One task for each namespace, without doubles; what carries a freshness mark stays by itself. */
function mergeTasks(tasks: readonly InvalidationTask[]): InvalidationTask[] {
  const marked = tasks.filter(({ freshness }) => freshness !== undefined);
  const merged = new Map<InvalidationTask['target'], { keys: Set<string>; stamps: Set<string> }>();
  for (const { target, keys, stamps, freshness } of tasks) {
    if (freshness !== undefined) continue;
    const one = merged.get(target) ?? { keys: new Set(), stamps: new Set() };
    merged.set(target, one);
    for (const key of keys) one.keys.add(key);
    for (const name of stamps) one.stamps.add(name);
  }
  const plain = [...merged].map(([target, { keys, stamps }]) => ({
    target,
    keys: [...keys],
    stamps: [...stamps],
  }));
  return [...marked, ...plain];
}

function asksForNothing(): undefined {}

function closedError(): ShardlineError {
  return new ShardlineError(coreErrors.CLOSED, 'The cache was closed.');
}

import { type BreakerState, type Clock, type Duration, durationOption } from '@shardline/core';
import * as v from 'valibot';
import type { EdgePurger } from './edge/purger.js';
import type { Rules } from './invalidate/rules.js';
import type { PartitionOptions } from './partition.js';
import type { Inconsistency } from './probe/probe.js';
import { type ScheduleOptions, scheduleSchema } from './schedule/schedules.js';
import { type WarmingOptions, warmingSchema } from './warm/warming-options.js';

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
  /** CDNs that keep responses made of cached values, purged last; see `edgeHeaders` of a namespace. */
  readonly edge?: readonly EdgePurger[] | undefined;
  /** What is invalidated when, by cron; one process of all does it. */
  readonly schedules?: Readonly<Record<string, ScheduleOptions>> | undefined;
  /** What is read ahead of demand, and what that may cost. */
  readonly warming?: WarmingOptions | undefined;
  /** Told of values that the cache goes on to show though their source has others; see `probe`. */
  readonly onInconsistency?: ((found: Inconsistency) => void) | undefined;
  /**
   * Told of what failed in work that nobody waits for: schedules, warming, purges.
   * @default a warning of the process
   */
  readonly onError?: ((error: unknown, doing: string) => void) | undefined;
  /** Told when a tier's breaker opens, probes or closes. */
  readonly onBreaker?:
    | ((event: { tier: string; from: BreakerState; to: BreakerState }) => void)
    | undefined;
  /** For tests: time as an input. */
  readonly clock?: Clock | undefined;
  /** For tests: randomness as an input, 0 to 1. */
  readonly random?: (() => number) | undefined;
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

function isPurger(value: unknown): boolean {
  return typeof (value as Partial<EdgePurger> | null)?.purge === 'function';
}

/** Checks the options of a cache and fills in every default. */
export const cacheSchema = v.strictObject({
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
  edge: v.optional(v.array(v.custom<EdgePurger>(isPurger, 'must be a purger')), []),
  schedules: v.optional(v.record(v.string(), scheduleSchema), {}),
  warming: v.optional(warmingSchema, {}),
  onInconsistency: v.optional(anyFunction),
  onError: v.optional(anyFunction),
  onBreaker: v.optional(anyFunction),
  clock: v.optional(anyObject),
  random: v.optional(anyFunction),
});

/** Options with every default filled in, durations in milliseconds. */
export type CacheSettings = v.InferOutput<typeof cacheSchema>;

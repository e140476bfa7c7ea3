import {
  type Clock,
  checkOptions,
  configurationError,
  type Duration,
  durationOption,
  integerOption,
} from '@shardline/core';
import type { RedisTarget } from '@shardline/core/redis';
import * as v from 'valibot';
import {
  type PolicyOptions,
  policyEntries,
  type RateOptions,
  type ResolvedPolicies,
} from '../policy/policy-options.js';

/** What a check is answered with while Redis cannot be asked. */
export type FallbackMode = 'open' | 'closed' | 'local';

/** Says which tier a subject is in; called once per check. */
export type TierResolver = (subject: string) => string | undefined | Promise<string | undefined>;

/** Declares the limits of a limiter. */
export interface PoliciesOptions {
  /** Limits by name. A check asks all of them at once unless it names some. */
  readonly policies?: Readonly<Record<string, PolicyOptions>> | undefined;
  /** Short for one policy called `default` with these tiers. */
  readonly tiers?: Readonly<Record<string, RateOptions>> | undefined;
  /** Tier of a subject for whom neither the check nor `tierOf` names one. */
  readonly defaultTier?: string | undefined;
}

/** What a limiter is made of. */
export interface LimiterOptions extends PoliciesOptions {
  /** Where levels are kept: a URL, options, or an ioredis client of yours, which is never closed. */
  readonly redis?: RedisTarget | undefined;
  /** Keeps levels in this process instead, without any server. */
  readonly memory?: boolean | { readonly maxKeys?: number | undefined } | undefined;
  /** Tier of a subject, from wherever you keep it. */
  readonly tierOf?: TierResolver | undefined;
  /** What every key begins with. @default 'rl:' */
  readonly prefix?: string | undefined;
  /** Longest wait for an answer of Redis before the fallback decides. @default '100ms' */
  readonly timeout?: Duration | undefined;
  /**
   * What decides while Redis cannot be asked. `local`: each process admits its share of the limit by the
   * number of live processes, and charges it as debt when Redis is back. `open` admits everything,
   * `closed` nothing. @default 'local'
   */
  readonly onRedisDown?: FallbackMode | undefined;
  /** Live processes, for `local`. */
  readonly instances?:
    | {
        /** Assumed until Redis has been asked once. @default 1 */
        readonly expected?: number | undefined;
        /** How often a process says that it is alive; three missed ones and it counts as gone. @default '5s' */
        readonly heartbeat?: Duration | undefined;
      }
    | undefined;
  /** When Redis counts as down. */
  readonly breaker?:
    | {
        /** Failures in a row. @default 5 */
        readonly consecutiveFailures?: number | undefined;
        /** First pause before a probe; doubles up to 30 s. @default '500ms' */
        readonly pause?: Duration | undefined;
      }
    | undefined;
  /**
   * Denies again without asking Redis while that is certain. Tokens given back by *another* process
   * are seen late by at most `maxAge`. @default { maxKeys: 10_000, maxAge: '1s' }
   */
  readonly denialCache?:
    | boolean
    | { readonly maxKeys?: number | undefined; readonly maxAge?: Duration | undefined }
    | undefined;
  /**
   * Replicas that must have an admission before it is given, for limits that a failover must not
   * loosen. Costs a round trip to the replicas. Not on a Cluster. @default none
   */
  readonly waitForReplicas?:
    | { readonly count: number; readonly timeout?: Duration | undefined }
    | undefined;
  /** Most decisions under way at a time; more are answered by the fallback. @default 20_000 */
  readonly maxPending?: number | undefined;
  /** Time as an input, for tests. */
  readonly clock?: Clock | undefined;
}

const MAX_KEYS = 100_000;

const schema = v.strictObject({
  ...policyEntries,
  redis: v.optional(v.custom<RedisTarget>(() => true)),
  memory: v.optional(
    v.union([v.boolean(), v.strictObject({ maxKeys: v.optional(integerOption(1), MAX_KEYS) })]),
  ),
  tierOf: v.optional(v.custom<TierResolver>(isFunction, 'must be a function')),
  prefix: v.optional(
    v.pipe(v.string(), v.regex(/^[^{}]{0,64}$/, 'at most 64 characters, without braces')),
    'rl:',
  ),
  timeout: v.optional(durationOption({ min: '1ms', max: '1m' }), '100ms'),
  onRedisDown: v.optional(v.picklist(['open', 'closed', 'local']), 'local'),
  instances: v.optional(
    v.strictObject({
      expected: v.optional(integerOption(1, 100_000), 1),
      heartbeat: v.optional(durationOption({ min: '100ms', max: '10m' }), '5s'),
    }),
    {},
  ),
  breaker: v.optional(
    v.strictObject({
      consecutiveFailures: v.optional(integerOption(1), 5),
      pause: v.optional(durationOption({ min: '10ms', max: '30s' }), '500ms'),
    }),
    {},
  ),
  denialCache: v.optional(
    v.union([
      v.boolean(),
      v.strictObject({
        maxKeys: v.optional(integerOption(1), 10_000),
        maxAge: v.optional(durationOption({ min: '1ms', max: '1h' }), '1s'),
      }),
    ]),
    true,
  ),
  waitForReplicas: v.optional(
    v.strictObject({
      count: integerOption(1, 100),
      timeout: v.optional(durationOption({ min: '1ms', max: '1m' }), '50ms'),
    }),
  ),
  maxPending: v.optional(integerOption(1), 20_000),
  clock: v.optional(v.custom<Clock>(isClock, 'must be a Clock')),
});

/** Options with every default filled in, times in milliseconds. */
export type ResolvedLimiterOptions = Omit<
  v.InferOutput<typeof schema>,
  'memory' | 'denialCache' | keyof PoliciesOptions
> & {
  readonly memory: { maxKeys: number } | undefined;
  readonly denialCache: { maxKeys: number; maxAge: number } | undefined;
  readonly policies: ResolvedPolicies;
};

/** @throws ShardlineError `CONFIG_INVALID`, naming every fault. */
export function resolveLimiterOptions(options: LimiterOptions): ResolvedLimiterOptions {
  const { policies, tiers, defaultTier, memory, denialCache, ...rest } = checkOptions(
    schema,
    options,
    'the limiter',
  );
  const usesMemory = memory !== undefined && memory !== false;
  if (usesMemory === (rest.redis !== undefined)) {
    throw configurationError('the limiter', [
      {
        path: 'redis',
        message: usesMemory
          ? 'and `memory` exclude each other'
          : 'is missing: name a Redis, or set `memory: true` for one process without a server',
      },
    ]);
  }
  return {
    ...rest,
    memory: usesMemory ? (memory === true ? { maxKeys: MAX_KEYS } : memory) : undefined,
    denialCache:
      denialCache === false
        ? undefined
        : denialCache === true
          ? { maxKeys: 10_000, maxAge: 1000 }
          : denialCache,
    policies: { policies, tiers, defaultTier },
  };
}

function isFunction(value: unknown): boolean {
  return typeof value === 'function';
}

function isClock(value: unknown): boolean {
  return typeof value === 'object' && value !== null && 'monotonicMs' in value;
}

import {
  type ConfigurationFault,
  configurationError,
  nearestName,
  ShardlineError,
} from '@shardline/core';
import type { Inheritance } from '../bucket/inheritance.js';
import { type Algorithm, type Rate, slidingWindowRate, tokenBucketRate } from '../bucket/rate.js';
import { ratelimitErrors } from '../errors.js';
import type { ResolvedPolicies } from './policy-options.js';

/** Name of the policy that `tiers` at the top of the options declares. */
const TIERS_POLICY = 'default';

/** What has been decided under one rate since the limiter was made. */
export class RateCounters {
  allowed = 0;
  denied = 0;
  /** Allowed, with less than a fifth of the burst left. */
  nearLimit = 0;
  /** Would have been denied, were the policy not a shadow. */
  shadowDenied = 0;
  /** Denied without asking Redis. */
  denialCacheHits = 0;
  /** Decided without Redis, by the declared fallback. */
  degraded = 0;
}

/** One rate of a policy: of one tier, or of everyone. */
export interface PolicyRate {
  readonly policy: Policy;
  /** Undefined where the policy knows no tiers. */
  readonly tier: string | undefined;
  readonly rate: Rate;
  readonly counters: RateCounters;
}

/** A named limit, ready to be decided by. */
export interface Policy {
  readonly name: string;
  /** What follows the subject in a key. */
  readonly keySuffix: string;
  readonly inheritance: Inheritance;
  readonly isShadow: boolean;
  /** The one rate of a policy without tiers. */
  readonly plain: PolicyRate | undefined;
  readonly byTier: ReadonlyMap<string, PolicyRate>;
}

interface ParsedRate {
  readonly limit: number;
  readonly window: number;
  readonly burst?: number | undefined;
  readonly algorithm?: Algorithm | undefined;
}

/** All policies of a limiter as they stand now. */
export class PolicyBook {
  readonly all: readonly Policy[];
  readonly defaultTier: string | undefined;
  readonly hasTiers: boolean;
  readonly #byName: ReadonlyMap<string, Policy>;

  /** @throws ShardlineError `CONFIG_INVALID` if nothing is declared, or the default tier nowhere. */
  constructor(resolved: ResolvedPolicies, previous?: PolicyBook) {
    const declared = { ...resolved.policies };
    const faults: ConfigurationFault[] = [];
    if (resolved.tiers !== undefined) {
      if (TIERS_POLICY in declared) {
        faults.push({ path: 'tiers', message: 'and a policy called `default` exclude each other' });
      }
      declared[TIERS_POLICY] = { tiers: resolved.tiers, inheritance: 'keep', shadow: false };
    }
    this.all = Object.entries(declared).map(([name, policy]) =>
      compilePolicy(name, policy, previous?.find(name)),
    );
    this.#byName = new Map(this.all.map((policy) => [policy.name, policy]));
    this.defaultTier = resolved.defaultTier;
    const tiered = this.all.filter((policy) => policy.plain === undefined);
    this.hasTiers = tiered.length > 0;
    if (this.all.length === 0) {
      faults.push({ path: 'policies', message: 'declare at least one policy, or `tiers`' });
    }
    const { defaultTier } = resolved;
    if (defaultTier !== undefined && !tiered.every(({ byTier }) => byTier.has(defaultTier))) {
      faults.push({
        path: 'defaultTier',
        message: `'${defaultTier}' is not a tier of every policy`,
      });
    }
    if (faults.length > 0) throw configurationError('the limiter', faults);
  }

  find(name: string): Policy | undefined {
    return this.#byName.get(name);
  }

  /** @throws ShardlineError `RATELIMIT_POLICY_UNKNOWN`. */
  get(name: string): Policy {
    const policy = this.#byName.get(name);
    if (policy !== undefined) return policy;
    const nearest = nearestName(name, [...this.#byName.keys()]);
    throw new ShardlineError(
      ratelimitErrors.RATELIMIT_POLICY_UNKNOWN,
      `There is no policy '${name}'${nearest === undefined ? '' : `; did you mean '${nearest}'?`}.`,
      { details: { policy: name } },
    );
  }

  /** @throws ShardlineError `RATELIMIT_TIER_UNKNOWN`. */
  rateOf(policy: Policy, tier: string | undefined): PolicyRate {
    if (policy.plain !== undefined) return policy.plain;
    const name = tier ?? this.defaultTier;
    const rate = name === undefined ? undefined : policy.byTier.get(name);
    if (rate !== undefined) return rate;
    const known = [...policy.byTier.keys()].join(', ');
    throw new ShardlineError(
      ratelimitErrors.RATELIMIT_TIER_UNKNOWN,
      name === undefined
        ? `Policy '${policy.name}' has tiers (${known}) and none was given.`
        : `Policy '${policy.name}' has no tier '${name}', only ${known}.`,
      { details: { policy: policy.name, tier: name } },
    );
  }
}

function compilePolicy(
  name: string,
  options: NonNullable<ResolvedPolicies['policies']>[string],
  previous: Policy | undefined,
): Policy {
  const byTier = new Map<string, PolicyRate>();
  const policy = {
    name,
    keySuffix: `}:${name}`,
    inheritance: options.inheritance,
    isShadow: options.shadow,
    plain: undefined as PolicyRate | undefined,
    byTier,
  };
  if (options.tiers === undefined) {
    policy.plain = compileRate(policy, undefined, options as ParsedRate, previous?.plain);
  }
  for (const [tier, rate] of Object.entries(options.tiers ?? {})) {
    byTier.set(tier, compileRate(policy, tier, rate, previous?.byTier.get(tier)));
  }
  return policy;
}

/** Counters go on over a live change: metrics must not fall back to zero. */
function compileRate(
  policy: Policy,
  tier: string | undefined,
  { limit, window, burst, algorithm = 'token-bucket' }: ParsedRate,
  previous: PolicyRate | undefined,
): PolicyRate {
  const rate =
    algorithm === 'token-bucket'
      ? tokenBucketRate(limit, window, burst ?? limit)
      : slidingWindowRate(limit, window);
  return { policy, tier, rate, counters: previous?.counters ?? new RateCounters() };
}

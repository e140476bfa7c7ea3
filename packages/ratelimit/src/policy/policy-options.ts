import { type Duration, durationOption } from '@shardline/core';
import * as v from 'valibot';
import { INHERITANCES, type Inheritance } from '../bucket/inheritance.js';
import { type Algorithm, slidingWindowFault, tokenBucketFault } from '../bucket/rate.js';

/** How many, how often. */
export interface RateOptions {
  /** Tokens that flow in per window; a whole number. */
  readonly limit: number;
  /** The time in which `limit` tokens flow in, evenly: `'1m'`. */
  readonly window: Duration;
  /** Most tokens at once, after a rest. Not for a sliding window. @default the limit */
  readonly burst?: number | undefined;
  /**
   * `token-bucket` is exact and smooth; `sliding-window` counts per rolling window, approximated from
   * two counters. @default 'token-bucket'
   */
  readonly algorithm?: Algorithm | undefined;
}

/** What holds for a policy whatever its rates. */
export interface PolicyCommonOptions {
  /**
   * What a subject keeps when its rate changes, live or by another tier: its tokens (`keep`), its share
   * of the bucket (`proportional`), its use (`additive`), or nothing (`reset`). @default 'keep'
   */
  readonly inheritance?: Inheritance | undefined;
  /** Counts and reports what it would deny, and denies nothing. @default false */
  readonly shadow?: boolean | undefined;
}

/** A policy with one rate for everyone. */
export interface PlainPolicyOptions extends RateOptions, PolicyCommonOptions {}

/** A policy with a rate per tier. */
export interface TieredPolicyOptions extends PolicyCommonOptions {
  readonly tiers: Readonly<Record<string, RateOptions>>;
}

/** A named limit. */
export type PolicyOptions = PlainPolicyOptions | TieredPolicyOptions;

/** Names become part of keys and of headers, so they are plain. */
const nameSchema = v.pipe(
  v.string(),
  v.regex(/^[A-Za-z0-9_.-]{1,64}$/, "names are 1 to 64 letters, digits, '_', '.' or '-'"),
);

const countSchema = v.custom<number>(
  (value) => Number.isSafeInteger(value) && (value as number) >= 1,
  (issue) =>
    `must be a whole number of 1 or more, received ${issue.received}; for less than one per window ` +
    `write a longer window`,
);

const rateEntries = {
  limit: countSchema,
  window: durationOption({ min: '1ms' }),
  burst: v.optional(countSchema),
  algorithm: v.optional(v.picklist(['token-bucket', 'sliding-window']), 'token-bucket'),
};

interface ParsedRate {
  limit: number;
  window: number;
  burst?: number | undefined;
  algorithm: Algorithm;
}

const rateSchema = v.pipe(
  v.strictObject(rateEntries),
  v.check(
    (rate) => rateFault(rate) === undefined,
    (issue) => rateFault(issue.input as ParsedRate) as string,
  ),
);

/** Why a rate cannot be used, or undefined if it can. */
function rateFault({ limit, window, burst, algorithm }: ParsedRate): string | undefined {
  if (algorithm === 'token-bucket') return tokenBucketFault(limit, window, burst ?? limit);
  if (burst !== undefined) {
    return 'a sliding window has no burst of its own: leave `burst` out or use a token bucket';
  }
  return slidingWindowFault(limit, window);
}

const tiersSchema = v.pipe(
  v.record(nameSchema, rateSchema),
  v.check((tiers) => Object.keys(tiers).length > 0, 'must name at least one tier'),
);

const policySchema = v.pipe(
  v.strictObject({
    limit: v.optional(rateEntries.limit),
    window: v.optional(rateEntries.window),
    burst: rateEntries.burst,
    algorithm: v.optional(v.picklist(['token-bucket', 'sliding-window'])),
    tiers: v.optional(tiersSchema),
    inheritance: v.optional(v.picklist(INHERITANCES), 'keep'),
    shadow: v.optional(v.boolean(), false),
  }),
  v.check(
    (policy) => policyFault(policy) === undefined,
    (issue) => policyFault(issue.input as ParsedPolicy) as string,
  ),
);

type ParsedPolicy = {
  limit?: number | undefined;
  window?: number | undefined;
  burst?: number | undefined;
  algorithm?: Algorithm | undefined;
  tiers?: Record<string, unknown> | undefined;
};

function policyFault({ limit, window, burst, algorithm, tiers }: ParsedPolicy): string | undefined {
  if (tiers !== undefined) {
    const isPlainToo = [limit, window, burst, algorithm].some((value) => value !== undefined);
    return isPlainToo ? 'has tiers, so its rates belong into them' : undefined;
  }
  if (limit === undefined || window === undefined) return 'needs `limit` and `window`, or `tiers`';
  return rateFault({ limit, window, burst, algorithm: algorithm ?? 'token-bucket' });
}

/** Entries of the options that declare policies. */
export const policyEntries = {
  policies: v.optional(v.record(nameSchema, policySchema)),
  tiers: v.optional(tiersSchema),
  defaultTier: v.optional(nameSchema),
};

/** The part of the options that can change while the limiter runs. */
export const policiesSchema = v.strictObject(policyEntries);

/** Policies with every default filled in. */
export type ResolvedPolicies = v.InferOutput<typeof policiesSchema>;

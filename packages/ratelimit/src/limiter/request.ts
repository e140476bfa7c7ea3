import { ShardlineError } from '@shardline/core';
import type { AbandonOptions } from '../abandonable.js';
import { ratelimitErrors } from '../errors.js';
import type { PolicyBook } from '../policy/policy-book.js';
import type { LimitPart } from './decision.js';
import { subjectTag } from './subject.js';

/** Which policies, and how much of them. */
export interface CheckOptions extends AbandonOptions {
  /** Policies to ask. @default all that the limiter declares */
  readonly policy?: string | readonly string[] | undefined;
  /** Tokens to take; a whole number. 0 asks whether anything is owed. @default 1 */
  readonly cost?: number | undefined;
  /** Tier of the subject, where the caller knows it already. */
  readonly tier?: string | undefined;
}

/** One subject of several that are decided together. */
export interface LimitRequest extends Omit<CheckOptions, 'signal'> {
  readonly subject: string;
}

/**
 * The keys that a request is about.
 *
 * @throws ShardlineError `RATELIMIT_SUBJECT_INVALID`, `RATELIMIT_COST_INVALID`,
 * `RATELIMIT_COST_ABOVE_CAPACITY`, `RATELIMIT_POLICY_UNKNOWN`, `RATELIMIT_TIER_UNKNOWN`.
 */
export function partsOf(
  book: PolicyBook,
  prefix: string,
  subject: string,
  options: CheckOptions,
  amount: number,
  tier: string | undefined,
): LimitPart[] {
  const start = `${prefix}{${subjectTag(subject)}`;
  const { policy: names } = options;
  const policies =
    names === undefined
      ? book.all
      : typeof names === 'string'
        ? [book.get(names)]
        : [...new Set(names)].map((name) => book.get(name));
  const parts: LimitPart[] = [];
  for (const policy of policies) {
    const limit = book.rateOf(policy, tier);
    const key = start + policy.keySuffix;
    parts.push({ key, rate: limit.rate, inheritance: policy.inheritance, amount, limit });
  }
  return parts;
}

/** @throws ShardlineError `RATELIMIT_COST_INVALID`. */
export function checkAmount(amount: number, what: string): void {
  if (Number.isSafeInteger(amount) && amount >= 0) return;
  throw new ShardlineError(
    ratelimitErrors.RATELIMIT_COST_INVALID,
    `${what} must be a whole number of 0 or more, received ${String(amount)}.`,
  );
}

/** @throws ShardlineError `RATELIMIT_COST_ABOVE_CAPACITY`: no wait would ever let it pass. */
export function checkFits(parts: readonly LimitPart[]): void {
  for (const { amount, rate, limit } of parts) {
    // A policy that only watches denies such a cost like any other, and says so.
    if (amount <= rate.burst || limit.policy.isShadow) continue;
    throw new ShardlineError(
      ratelimitErrors.RATELIMIT_COST_ABOVE_CAPACITY,
      `A cost of ${amount} can never pass policy '${limit.policy.name}', which holds ${rate.burst} at most.`,
      { details: { policy: limit.policy.name, cost: amount, capacity: rate.burst } },
    );
  }
}

/** Parts with each key once; what is asked of one key twice is asked once, for the sum. */
export function mergeParts(parts: readonly LimitPart[]): LimitPart[] {
  const byKey = new Map<string, LimitPart>();
  for (const part of parts) {
    const known = byKey.get(part.key);
    byKey.set(
      part.key,
      known === undefined ? part : { ...known, amount: known.amount + part.amount },
    );
  }
  return [...byKey.values()];
}

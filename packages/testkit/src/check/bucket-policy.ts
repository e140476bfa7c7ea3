import { MalformedHistoryError } from './malformed-history-error.js';
import type { Operation } from './operation.js';
import { requireField } from './require-field.js';

/** A token bucket: never more than `capacity` + rate x time may be admitted, over any interval. */
export interface BucketPolicy {
  /** Tokens of a full bucket. */
  readonly capacity: number;
  /** Tokens that flow in per `refillIntervalMs`, evenly. */
  readonly refillTokens: number;
  readonly refillIntervalMs: number;
}

/** The rate as a fraction in lowest terms: `tokens` every `perUs` microseconds. */
export interface BucketRate {
  readonly tokens: number;
  readonly perUs: number;
}

const MICROSECONDS_PER_MILLISECOND = 1000;

/** The rate of a policy, after checking the policy. */
export function rateOf(policy: BucketPolicy): BucketRate {
  const perUs = policy.refillIntervalMs * MICROSECONDS_PER_MILLISECOND;
  const faults: string[] = [];
  if (!isWhole(policy.capacity)) faults.push(`capacity is ${policy.capacity}`);
  if (!isWhole(policy.refillTokens)) faults.push(`refillTokens is ${policy.refillTokens}`);
  if (!isWhole(perUs) || perUs === 0) faults.push(`refillIntervalMs is ${policy.refillIntervalMs}`);
  if (faults.length > 0) {
    throw new MalformedHistoryError(
      `a bucket policy needs whole tokens and microseconds: ${faults.join(', ')}`,
    );
  }
  const divisor = greatestCommonDivisor(perUs, policy.refillTokens);
  return { tokens: policy.refillTokens / divisor, perUs: perUs / divisor };
}

/** What a check asked for: 1 unless it says otherwise. */
export function costOf(operation: Operation): number {
  return operation.cost ?? 1;
}

/** Whether the caller was told that it may go on. Without an answer it was told nothing. */
export function isAdmitted(operation: Operation): boolean {
  return operation.outcome === 'ok' && requireField(operation, 'allowed');
}

function isWhole(value: number): boolean {
  return Number.isSafeInteger(value) && value >= 0;
}

function greatestCommonDivisor(a: number, b: number): number {
  return b === 0 ? a : greatestCommonDivisor(b, a % b);
}

import { EXACT_LIMIT, greatestCommonDivisor } from './integers.js';

/**
 * A rate as whole numbers.
 *
 * `limit` tokens per window of w microseconds are, reduced, `num` tokens every `den` microseconds: 10 000
 * a minute is 1 every 6000. A level is counted in *units* of 1/den token. Then a microsecond adds
 * exactly `num` units and a token costs exactly `den`, and there is no fraction anywhere to lose. GCRA,
 * the usual form, stores a time per token instead (window / limit), which is seldom whole.
 *
 * The sliding window counts whole requests in fixed windows and weighs the previous one by the part of
 * it that the sliding window still covers, in milliseconds and multiplied out, so without fractions too.
 */
export interface TokenBucketRate {
  readonly algorithm: 'token-bucket';
  /** Tokens that flow in per window. */
  readonly limit: number;
  readonly windowMs: number;
  /** Most tokens that a bucket holds. */
  readonly burst: number;
  /** Units that flow in per microsecond. */
  readonly num: number;
  /** Units in one token. */
  readonly den: number;
  readonly capacityUnits: number;
  /** Microseconds from empty to full, rounded up. */
  readonly timeToFullUs: number;
  /** Identity of the rate as it is stored beside the level: `num:den:burst`. */
  readonly text: string;
  /** `text`, `num`, `den`, `capacityUnits` and `timeToFullUs` as a script is given them: written once, sent with each check. */
  readonly scriptArguments: readonly string[];
}

/** Approximates a rolling window from two counters. */
export interface SlidingWindowRate {
  readonly algorithm: 'sliding-window';
  readonly limit: number;
  readonly windowMs: number;
  /** Equal to the limit: a window has no burst of its own. */
  readonly burst: number;
  /** Identity of the rate as it is stored beside the counters: `s:windowMs:limit`. */
  readonly text: string;
}

/** One limit, ready to be decided by. */
export type Rate = TokenBucketRate | SlidingWindowRate;

/** How requests over time are counted. */
export type Algorithm = Rate['algorithm'];

/**
 * The rate of a token bucket.
 *
 * @throws RangeError if a number is not whole and positive, or a sum would leave the exact range.
 */
export function tokenBucketRate(limit: number, windowMs: number, burst = limit): TokenBucketRate {
  const fault = tokenBucketFault(limit, windowMs, burst);
  if (fault !== undefined) throw new RangeError(fault);
  const windowUs = windowMs * 1000;
  const divisor = greatestCommonDivisor(limit, windowUs);
  return rateOfParts(limit / divisor, windowUs / divisor, burst, limit, windowMs);
}

/** A bucket given in its reduced form: `num` tokens every `den` microseconds. */
export function rateOfParts(
  num: number,
  den: number,
  burst: number,
  limit = num,
  windowMs = den / 1000,
): TokenBucketRate {
  const capacityUnits = burst * den;
  const timeToFullUs = Math.ceil(capacityUnits / num);
  const text = `${num}:${den}:${burst}`;
  return {
    algorithm: 'token-bucket',
    limit,
    windowMs,
    burst,
    num,
    den,
    capacityUnits,
    timeToFullUs,
    text,
    scriptArguments: [text, `${num}`, `${den}`, `${capacityUnits}`, `${timeToFullUs}`],
  };
}

/** Why a token bucket cannot be counted exactly, or undefined if it can. */
export function tokenBucketFault(
  limit: number,
  windowMs: number,
  burst: number,
): string | undefined {
  const fault = countFault('limit', limit) ?? countFault('burst', burst);
  if (fault !== undefined) return fault;
  if (!Number.isSafeInteger(windowMs) || windowMs < 1) return 'window must be at least 1ms';
  const windowUs = windowMs * 1000;
  const divisor = greatestCommonDivisor(limit, windowUs);
  const den = windowUs / divisor;
  // A debt may reach one capacity below empty, and one microsecond more flows in on top.
  if (2 * burst * den + limit / divisor < EXACT_LIMIT) return undefined;
  return (
    `${limit} per ${windowMs} ms with a burst of ${burst} cannot be counted exactly: it takes ` +
    `${2 * burst * den} units and the range ends at 2^53; choose a shorter window, a smaller burst, ` +
    'or a limit that shares a larger divisor with the window'
  );
}

/** The rate of a sliding window. */
export function slidingWindowRate(limit: number, windowMs: number): SlidingWindowRate {
  const fault = slidingWindowFault(limit, windowMs);
  if (fault !== undefined) throw new RangeError(fault);
  return {
    algorithm: 'sliding-window',
    limit,
    windowMs,
    burst: limit,
    text: `s:${windowMs}:${limit}`,
  };
}

/** Why a sliding window cannot be counted exactly, or undefined if it can. */
export function slidingWindowFault(limit: number, windowMs: number): string | undefined {
  const fault = countFault('limit', limit);
  if (fault !== undefined) return fault;
  if (!Number.isSafeInteger(windowMs) || windowMs < 1) return 'window must be at least 1ms';
  if (8 * limit * windowMs < EXACT_LIMIT) return undefined;
  return `${limit} per ${windowMs} ms cannot be counted exactly: 8 x limit x window must stay below 2^53`;
}

function countFault(name: string, value: number): string | undefined {
  if (Number.isSafeInteger(value) && value >= 1) return undefined;
  const advice =
    Number.isFinite(value) && value > 0
      ? `; for less than one per window write a longer window, as 1 per '2s' for 0.5 per '1s'`
      : '';
  return `${name} must be a whole number of 1 or more, received ${value}${advice}`;
}

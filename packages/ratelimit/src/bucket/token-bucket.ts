import { EXACT_LIMIT } from './integers.js';
import type { TokenBucketRate } from './rate.js';

/**
 * The token bucket: what flows in, what is taken, what is left. Plain numbers in, plain numbers out.
 *
 * What always holds: a level is at most its ceiling; it grows by exactly `num` units per microsecond
 * that has passed and by nothing else but a refund; a token taken costs exactly `den` units. So over
 * any interval admitted <= capacity + rate x time, with no error that could add up.
 *
 * A clock that steps back: time counts as standing still until it has caught up. If it stepped back by
 * more than the bucket takes to fill, waiting would freeze the key longer than an empty bucket ever
 * waits; then the key is anchored anew at the present, keeping its level, and this one change is
 * written even by a denial.
 */
export interface Level {
  /** In units of 1/den token; below zero is a debt. */
  units: number;
  /** Server time that the level belongs to. */
  atUs: number;
}

/**
 * Moves a level on to the present.
 *
 * @returns whether the level was anchored anew, and so must be stored whatever is decided.
 */
export function refill(level: Level, rate: TokenBucketRate, ceilingUnits: number, nowUs: number) {
  const elapsedUs = nowUs - level.atUs;
  if (elapsedUs >= 0) {
    // The product may be inexact beyond 2^53, but then it is far above what is missing.
    const missing = ceilingUnits - level.units;
    if (missing > 0) {
      level.units =
        elapsedUs * rate.num >= missing ? ceilingUnits : level.units + elapsedUs * rate.num;
    }
    level.atUs = nowUs;
    return false;
  }
  if (-elapsedUs <= rate.timeToFullUs) return false;
  level.atUs = nowUs;
  return true;
}

/** Whole tokens that can be taken now. */
export function wholeTokens(units: number, rate: TokenBucketRate): number {
  return Math.floor(units / rate.den);
}

/** Microseconds until a cost can be paid, 0 if it can be now. */
export function waitUs(units: number, rate: TokenBucketRate, cost: number): number {
  const missing = cost * rate.den - units;
  return missing <= 0 ? 0 : Math.ceil(missing / rate.num);
}

/** Microseconds until nothing is missing. */
export function timeToFullUs(units: number, rate: TokenBucketRate): number {
  return Math.max(0, Math.ceil((rate.capacityUnits - units) / rate.num));
}

/** The level after a penalty: a debt of at most one capacity, or what it already was if deeper. */
export function penalized(units: number, rate: TokenBucketRate, tokens: number): number {
  return Math.max(units - tokens * rate.den, Math.min(units, -rate.capacityUnits));
}

/** The deepest debt that a change of limits may leave, so that every sum stays exact. */
export function debtFloor(rate: TokenBucketRate, tokens: number): number {
  return -Math.min(tokens * rate.den, EXACT_LIMIT - 1 - rate.capacityUnits - rate.num);
}

/**
 * Jump consistent hash (Lamping and Veach, arXiv 1406.2294).
 *
 * Always holds: growing from n to n + 1 buckets moves 1/(n + 1) of the keys, all of them to the new
 * bucket. It knows no weights and can only take the last bucket away, so placement does not use it; it is
 * here for callers who shard something of their own. The key is a 64-bit integer and every bit counts: the
 * npm port takes the absolute value, so that k and -k fall together.
 */

import { ShardlineError } from '@shardline/core';
import { routerErrors } from '../errors.js';

// The generator's state as four 16-bit limbs would be slow and as a BigInt slower still; two 32-bit halves
// and a 32 x 32 product do. 2862933555777941757 = 0x27BB2EE6_87B0B0FD.
const MULTIPLIER_HIGH = 0x27bb2ee6;
const MULTIPLIER_LOW = 0x87b0b0fd;
const TWO_31 = 2 ** 31;

/**
 * The bucket of a key, from 0 to `buckets - 1`.
 *
 * @param key a bigint of up to 64 bits (negative ones as two's complement) or a safe integer.
 * @throws ShardlineError `KEY_INVALID` for a key or a number of buckets that is out of range.
 *
 * @example
 * ```ts
 * import { jumpHash } from '@shardline/shard-router';
 *
 * jumpHash(10863919174838991n, 11); // 6
 * ```
 */
export function jumpHash(key: bigint | number, buckets: number): number {
  if (!Number.isInteger(buckets) || buckets < 1 || buckets > 0x7fffffff) {
    throw invalid(`${buckets} is no number of buckets from 1 to 2147483647.`);
  }
  let high: number;
  let low: number;
  if (typeof key === 'number') {
    if (!Number.isSafeInteger(key)) throw invalid(`${key} is no safe integer; pass a bigint.`);
    low = key | 0;
    high = Math.floor(key / 0x100000000) | 0;
  } else {
    if (key < -(2n ** 63n) || key >= 2n ** 64n) throw invalid(`${key} does not fit 64 bits.`);
    low = Number(BigInt.asIntN(32, key));
    high = Number(BigInt.asIntN(32, key >> 32n));
  }
  return jump(high, low, buckets);
}

function jump(high: number, low: number, buckets: number): number {
  let bucket = -1;
  let next = 0;
  while (next < buckets) {
    bucket = next;
    high =
      (multiplyHigh(low, MULTIPLIER_LOW) +
        Math.imul(high, MULTIPLIER_LOW) +
        Math.imul(low, MULTIPLIER_HIGH)) |
      0;
    low = Math.imul(low, MULTIPLIER_LOW);
    low = (low + 1) | 0;
    if (low === 0) high = (high + 1) | 0;
    next = Math.floor((bucket + 1) * (TWO_31 / ((high >>> 1) + 1)));
  }
  return bucket;
}

function multiplyHigh(a: number, b: number): number {
  const aLow = a & 0xffff;
  const aHigh = a >>> 16;
  const bLow = b & 0xffff;
  const bHigh = b >>> 16;
  const middle = aHigh * bLow + ((aLow * bLow) >>> 16);
  const carry = (middle & 0xffff) + aLow * bHigh;
  return aHigh * bHigh + Math.floor(middle / 0x10000) + Math.floor(carry / 0x10000);
}

function invalid(happened: string): ShardlineError {
  return new ShardlineError(routerErrors.KEY_INVALID, happened);
}

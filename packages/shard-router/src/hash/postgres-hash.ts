/**
 * PostgreSQL's own 64-bit hashes (Bob Jenkins' lookup3, `src/common/hashfn.c`) in TypeScript.
 *
 * Always holds: the result equals `hashint8extended`, `hashtextextended` (byte-wise, as under any
 * deterministic collation) and `uuid_hash_extended` of the server. That equality is what lets a row's
 * slot be computed in SQL, inside a publication's row filter, a guard or a count. The functions are
 * internal to PostgreSQL, but hash-partitioned tables depend on them, so they have not changed since
 * version 11; the router checks known answers on every shard before it serves.
 *
 * A hash is two unsigned 32-bit halves, the high one first: `(b << 32) | c` in the server's terms.
 * BigInt appears only in the convenience functions; the hot path writes halves into an array.
 */

import { encodeUtf8, utf8Scratch } from './utf8.js';

/** A 64-bit hash: `[0]` the high half, `[1]` the low one. */
export type HashHalves = Uint32Array;

const GOLDEN = 0x9e3779b9;
const ARBITRARY = 3923095;

/** Seed zero, which is also what every keyspace uses. */
const NO_SEED = 0n;

const scratchHalves: HashHalves = new Uint32Array(2);
const int64 = new BigInt64Array(1);
const int64Words = new Int32Array(int64.buffer);

/**
 * What `hashint8extended(value, seed)` returns.
 *
 * @example
 * ```ts
 * import { hashInt8Extended } from '@shardline/shard-router';
 *
 * hashInt8Extended(42n); // 8010225493015854792n
 * ```
 */
export function hashInt8Extended(value: bigint, seed: bigint = NO_SEED): bigint {
  int64[0] = value;
  hashInt8Halves(int64Words[1] as number, int64Words[0] as number, scratchHalves, seed);
  return toBigInt(scratchHalves);
}

/** What `hashtextextended(value, seed)` returns for a column of a deterministic collation. */
export function hashTextExtended(value: string, seed: bigint = NO_SEED): bigint {
  hashTextHalves(value, scratchHalves, seed);
  return toBigInt(scratchHalves);
}

/** What `uuid_hash_extended(value, seed)` returns; the uuid given as its 16 bytes. */
export function uuidHashExtended(bytes: Uint8Array, seed: bigint = NO_SEED): bigint {
  hashBytesHalves(bytes, 16, scratchHalves, seed);
  return toBigInt(scratchHalves);
}

function toBigInt(halves: HashHalves): bigint {
  return BigInt.asIntN(64, (BigInt(halves[0] as number) << 32n) | BigInt(halves[1] as number));
}

/** Hashes a 64-bit integer given as its two halves. */
export function hashInt8Halves(
  high: number,
  low: number,
  into: HashHalves,
  seed: bigint = NO_SEED,
): void {
  // The server folds so that the same value hashes alike as int2, int4 and int8.
  const folded = low ^ (high >= 0 ? high : ~high);
  begin(4, seed);
  a = (a + folded) | 0;
  finish(into);
}

/** Hashes a text as its UTF-8 bytes. */
export function hashTextHalves(text: string, into: HashHalves, seed: bigint = NO_SEED): void {
  const length = text.length;
  begin(length, seed);
  let seen = 0;
  let at = 0;
  for (; length - at >= 12; at += 12) {
    for (let unit = at; unit < at + 12; unit += 1) seen |= text.charCodeAt(unit);
    a = (a + textWord(text, at)) | 0;
    b = (b + textWord(text, at + 4)) | 0;
    c = (c + textWord(text, at + 8)) | 0;
    mix();
  }
  let x = 0;
  let y = 0;
  let z = 0;
  for (let index = 0; at < length; at += 1, index += 1) {
    const unit = text.charCodeAt(at);
    seen |= unit;
    if (index < 4) x |= unit << (index << 3);
    else if (index < 8) y |= unit << ((index - 4) << 3);
    else z |= unit << ((index - 7) << 3);
  }
  // What was read as bytes is none if one unit lies beyond ASCII: start again from UTF-8.
  if (seen > 0x7f) {
    const written = encodeUtf8(text);
    hashBytesHalves(utf8Scratch(), written, into, seed);
    return;
  }
  a = (a + x) | 0;
  b = (b + y) | 0;
  c = (c + z) | 0;
  finish(into);
}

function textWord(text: string, at: number): number {
  return (
    text.charCodeAt(at) |
    (text.charCodeAt(at + 1) << 8) |
    (text.charCodeAt(at + 2) << 16) |
    (text.charCodeAt(at + 3) << 24)
  );
}

/** Hashes the first `length` bytes: `hash_bytes_extended` of the server. */
export function hashBytesHalves(
  bytes: Uint8Array,
  length: number,
  into: HashHalves,
  seed: bigint = NO_SEED,
): void {
  begin(length, seed);
  let at = 0;
  for (; length - at >= 12; at += 12) {
    a = (a + word(bytes, at)) | 0;
    b = (b + word(bytes, at + 4)) | 0;
    c = (c + word(bytes, at + 8)) | 0;
    mix();
  }
  for (let index = 0; at < length; at += 1, index += 1) {
    const byte = bytes[at] as number;
    if (index < 4) a = (a + (byte << (index << 3))) | 0;
    else if (index < 8) b = (b + (byte << ((index - 4) << 3))) | 0;
    // The lowest byte of c is kept for the length, so the last bytes stand one higher.
    else c = (c + (byte << ((index - 7) << 3))) | 0;
  }
  finish(into);
}

/** Hashes a uuid given as its four big-endian words. */
export function hashUuidHalves(
  first: number,
  second: number,
  third: number,
  fourth: number,
  into: HashHalves,
): void {
  begin(16, NO_SEED);
  a = (a + swap(first)) | 0;
  b = (b + swap(second)) | 0;
  c = (c + swap(third)) | 0;
  mix();
  a = (a + swap(fourth)) | 0;
  finish(into);
}

function swap(value: number): number {
  return (
    ((value & 0xff) << 24) | ((value & 0xff00) << 8) | ((value >>> 8) & 0xff00) | (value >>> 24)
  );
}

function word(bytes: Uint8Array, at: number): number {
  return (
    (bytes[at] as number) |
    ((bytes[at + 1] as number) << 8) |
    ((bytes[at + 2] as number) << 16) |
    ((bytes[at + 3] as number) << 24)
  );
}

// The three words of state. They live outside the functions because returning three numbers would
// allocate; the functions are synchronous and none calls another hash in its middle.
let a = 0;
let b = 0;
let c = 0;

function begin(length: number, seed: bigint): void {
  a = (GOLDEN + length + ARBITRARY) | 0;
  b = a;
  c = a;
  if (seed === NO_SEED) return;
  a = (a + Number(BigInt.asUintN(32, seed >> 32n))) | 0;
  b = (b + Number(BigInt.asUintN(32, seed))) | 0;
  mix();
}

function mix(): void {
  a = (a - c) ^ ((c << 4) | (c >>> 28));
  c = (c + b) | 0;
  b = (b - a) ^ ((a << 6) | (a >>> 26));
  a = (a + c) | 0;
  c = (c - b) ^ ((b << 8) | (b >>> 24));
  b = (b + a) | 0;
  a = (a - c) ^ ((c << 16) | (c >>> 16));
  c = (c + b) | 0;
  b = (b - a) ^ ((a << 19) | (a >>> 13));
  a = (a + c) | 0;
  c = (c - b) ^ ((b << 4) | (b >>> 28));
  b = (b + a) | 0;
}

function finish(into: HashHalves): void {
  let x = a;
  let y = b;
  let z = c;
  z = ((z ^ y) - ((y << 14) | (y >>> 18))) | 0;
  x = ((x ^ z) - ((z << 11) | (z >>> 21))) | 0;
  y = ((y ^ x) - ((x << 25) | (x >>> 7))) | 0;
  z = ((z ^ y) - ((y << 16) | (y >>> 16))) | 0;
  x = ((x ^ z) - ((z << 4) | (z >>> 28))) | 0;
  y = ((y ^ x) - ((x << 14) | (x >>> 18))) | 0;
  z = ((z ^ y) - ((y << 24) | (y >>> 8))) | 0;
  into[0] = y;
  into[1] = z;
}

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
/** What the state begins as for sixteen bytes without a seed. */
const SIXTEEN_BYTES = (GOLDEN + 16 + ARBITRARY) | 0;

/** Seed zero, which is also what every keyspace uses. */
const NO_SEED = undefined;

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
export function hashInt8Extended(value: bigint, seed: bigint | undefined = NO_SEED): bigint {
  int64[0] = value;
  hashInt8Halves(int64Words[1] as number, int64Words[0] as number, scratchHalves, seed);
  return toBigInt(scratchHalves);
}

/** What `hashtextextended(value, seed)` returns for a column of a deterministic collation. */
export function hashTextExtended(value: string, seed: bigint | undefined = NO_SEED): bigint {
  hashTextHalves(value, scratchHalves, seed);
  return toBigInt(scratchHalves);
}

/** What `uuid_hash_extended(value, seed)` returns; the uuid given as its 16 bytes. */
export function uuidHashExtended(bytes: Uint8Array, seed: bigint | undefined = NO_SEED): bigint {
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
  seed: bigint | undefined = NO_SEED,
): void {
  // The server folds so that the same value hashes alike as int2, int4 and int8.
  const folded = low ^ (high >= 0 ? high : ~high);
  begin(4, seed);
  a = (a + folded) | 0;
  finish(into);
}

/** Hashes a text as its UTF-8 bytes. */
export function hashTextHalves(
  text: string,
  into: HashHalves,
  seed: bigint | undefined = NO_SEED,
): void {
  const length = text.length;
  begin(length, seed);
  seen = 0;
  let at = 0;
  for (; length - at >= 12; at += 12) {
    a = (a + textWord(text, at)) | 0;
    b = (b + textWord(text, at + 4)) | 0;
    c = (c + textWord(text, at + 8)) | 0;
    mix();
  }
  const left = length - at;
  if (left >= 8) {
    a = (a + textWord(text, at)) | 0;
    b = (b + textWord(text, at + 4)) | 0;
    // The lowest byte of c is kept for the length, so the last bytes stand one higher.
    c = (c + (textTail(text, at + 8, length) << 8)) | 0;
  } else if (left >= 4) {
    a = (a + textWord(text, at)) | 0;
    b = (b + textTail(text, at + 4, length)) | 0;
  } else a = (a + textTail(text, at, length)) | 0;
  // What was read as bytes is none if one unit lies beyond ASCII: start again from UTF-8.
  if (seen > 0x7f) {
    const written = encodeUtf8(text);
    hashBytesHalves(utf8Scratch(), written, into, seed);
    return;
  }
  finish(into);
}

/** Every unit of the text that is being hashed, by OR: above 0x7f if one of them is. */
let seen = 0;

function textWord(text: string, at: number): number {
  const first = text.charCodeAt(at);
  const second = text.charCodeAt(at + 1);
  const third = text.charCodeAt(at + 2);
  const fourth = text.charCodeAt(at + 3);
  seen |= first | second | third | fourth;
  return first | (second << 8) | (third << 16) | (fourth << 24);
}

/** Up to three units. */
function textTail(text: string, at: number, end: number): number {
  let word = 0;
  for (let shift = 0; at < end; at += 1, shift += 8) {
    const unit = text.charCodeAt(at);
    seen |= unit;
    word |= unit << shift;
  }
  return word;
}

/** Hashes the first `length` bytes: `hash_bytes_extended` of the server. */
export function hashBytesHalves(
  bytes: Uint8Array,
  length: number,
  into: HashHalves,
  seed: bigint | undefined = NO_SEED,
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

/**
 * Hashes a uuid given as its four little-endian words.
 *
 * The state stands in local variables here, and the two rounds are written out: a uuid is always sixteen bytes, and
 * keys of this kind are looked up more often than any other.
 */
export function hashUuidHalves(
  first: number,
  second: number,
  third: number,
  fourth: number,
  into: HashHalves,
): void {
  let x = (SIXTEEN_BYTES + first) | 0;
  let y = (SIXTEEN_BYTES + second) | 0;
  let z = (SIXTEEN_BYTES + third) | 0;
  x = (x - z) ^ ((z << 4) | (z >>> 28));
  z = (z + y) | 0;
  y = (y - x) ^ ((x << 6) | (x >>> 26));
  x = (x + z) | 0;
  z = (z - y) ^ ((y << 8) | (y >>> 24));
  y = (y + x) | 0;
  x = (x - z) ^ ((z << 16) | (z >>> 16));
  z = (z + y) | 0;
  y = (y - x) ^ ((x << 19) | (x >>> 13));
  x = (x + z) | 0;
  z = (z - y) ^ ((y << 4) | (y >>> 28));
  y = (y + x) | 0;
  a = (x + fourth) | 0;
  b = y;
  c = z;
  finish(into);
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

function begin(length: number, seed: bigint | undefined): void {
  a = (GOLDEN + length + ARBITRARY) | 0;
  b = a;
  c = a;
  // Not a comparison of bigints: those are slow, and this is the hot path.
  if (seed === undefined || seed === 0n) return;
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

/**
 * MurmurHash3 (Austin Appleby, public domain; SMHasher is the reference): x86 32 and x64 128.
 *
 * Always holds: a text hashes as its UTF-8 bytes, byte-exact with the published vectors. The most
 * used npm port is wrong for every text outside ASCII (pid/murmurHash3js#3), so two services in two
 * languages would disagree on where a row lives. Nothing is allocated and no BigInt is touched on the way:
 * 64-bit arithmetic is done on halves, and ASCII texts are read where they are.
 */

import { encodeUtf8, utf8Scratch } from './utf8.js';

const C1 = 0xcc9e2d51;
const C2 = 0x1b873593;

/**
 * MurmurHash3 x86 32 of a text (as UTF-8) or of bytes.
 *
 * @param seed unsigned 32-bit. @default 0
 * @returns an unsigned 32-bit integer.
 *
 * @example
 * ```ts
 * import { murmur3x86 } from '@shardline/shard-router';
 *
 * murmur3x86('hello').toString(16); // '248bfa47'
 * ```
 */
export function murmur3x86(key: string | Uint8Array, seed = 0): number {
  return typeof key === 'string' ? textX86(key, seed) : bytesX86(key, key.length, seed);
}

function textX86(text: string, seed: number): number {
  const length = text.length;
  const blocksEnd = length & ~3;
  let hash = seed | 0;
  let seen = 0;
  let at = 0;
  for (; at < blocksEnd; at += 4) {
    const a = text.charCodeAt(at);
    const b = text.charCodeAt(at + 1);
    const c = text.charCodeAt(at + 2);
    const d = text.charCodeAt(at + 3);
    seen |= a | b | c | d;
    hash = mixX86(hash, a | (b << 8) | (c << 16) | (d << 24));
  }
  let tail = 0;
  for (let shift = 0; at < length; at += 1, shift += 8) {
    const unit = text.charCodeAt(at);
    seen |= unit;
    tail |= unit << shift;
  }
  // One unit beyond ASCII, anywhere, and what was read as bytes were none: start again from UTF-8.
  if (seen > 0x7f) {
    const written = encodeUtf8(text);
    return bytesX86(utf8Scratch(), written, seed);
  }
  return finishX86(hash, tail, length);
}

function bytesX86(bytes: Uint8Array, length: number, seed: number): number {
  const blocksEnd = length & ~3;
  let hash = seed | 0;
  for (let at = 0; at < blocksEnd; at += 4) hash = mixX86(hash, word(bytes, at));
  let tail = 0;
  for (let at = blocksEnd, shift = 0; at < length; at += 1, shift += 8) {
    tail |= (bytes[at] as number) << shift;
  }
  return finishX86(hash, tail, length);
}

function mixX86(hash: number, block: number): number {
  const scrambled = Math.imul(block, C1);
  const mixed = hash ^ Math.imul((scrambled << 15) | (scrambled >>> 17), C2);
  return (Math.imul((mixed << 13) | (mixed >>> 19), 5) + 0xe6546b64) | 0;
}

function finishX86(hash: number, tail: number, length: number): number {
  const scrambled = Math.imul(tail, C1);
  return avalanche(hash ^ Math.imul((scrambled << 15) | (scrambled >>> 17), C2) ^ length);
}

/** The finaliser of the 32-bit variant, a good mixer of integers in its own right. */
export function avalanche(hash: number): number {
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return (hash ^ (hash >>> 16)) >>> 0;
}

function word(bytes: Uint8Array, at: number): number {
  return (
    (bytes[at] as number) |
    ((bytes[at + 1] as number) << 8) |
    ((bytes[at + 2] as number) << 16) |
    ((bytes[at + 3] as number) << 24)
  );
}

/** Four unsigned 32-bit words of a 128-bit hash: the first 64-bit half, high word first, then the second. */
export type Hash128 = Uint32Array;

const TAIL = new Uint8Array(16);

/**
 * MurmurHash3 x64 128 of a text (as UTF-8) or of bytes.
 *
 * @param seed unsigned 32-bit. @default 0
 * @param into where the four words go, to spare an allocation. @default a new array
 *
 * @example
 * ```ts
 * import { murmur3x64 } from '@shardline/shard-router';
 *
 * const [high] = murmur3x64('hello'); // 0xcbd8a7b3
 * ```
 */
export function murmur3x64(
  key: string | Uint8Array,
  seed = 0,
  into: Hash128 = new Uint32Array(4),
): Hash128 {
  const length = typeof key === 'string' ? encodeUtf8(key) : key.length;
  hashX64(typeof key === 'string' ? utf8Scratch() : key, length, seed, into);
  return into;
}

// A 64-bit number in two signed halves. The functions below leave the low half of their result here
// and return the high one: an object per step would be the whole cost of the hash.
let low = 0;

function hashX64(bytes: Uint8Array, length: number, seed: number, into: Hash128): void {
  let h1High = 0;
  let h1Low = seed | 0;
  let h2High = 0;
  let h2Low = seed | 0;
  const blocksEnd = length & ~15;
  for (let at = 0; at < blocksEnd; at += 16) {
    const k1 = scrambleFirst(word(bytes, at + 4), word(bytes, at));
    h1High = rotate27(h1High ^ k1, h1Low ^ low);
    h1High = add(h1High, low, h2High, h2Low);
    h1High = timesFive(h1High, low, 0x52dce729);
    h1Low = low;
    const k2 = scrambleSecond(word(bytes, at + 12), word(bytes, at + 8));
    h2High = rotate31(h2High ^ k2, h2Low ^ low);
    h2High = add(h2High, low, h1High, h1Low);
    h2High = timesFive(h2High, low, 0x38495ab5);
    h2Low = low;
  }
  const tail = TAIL;
  for (let at = 0; at < 16; at += 1) {
    tail[at] = blocksEnd + at < length ? (bytes[blocksEnd + at] as number) : 0;
  }
  // An empty block scrambles to zero, so no case has to ask how long the tail is.
  h2High ^= scrambleSecond(word(tail, 12), word(tail, 8));
  h2Low ^= low;
  h1High ^= scrambleFirst(word(tail, 4), word(tail, 0));
  h1Low ^= low;
  finishX64(h1High, h1Low ^ length, h2High, h2Low ^ length, into);
}

function finishX64(
  h1High: number,
  h1Low: number,
  h2High: number,
  h2Low: number,
  into: Hash128,
): void {
  h1High = add(h1High, h1Low, h2High, h2Low);
  h1Low = low;
  h2High = add(h2High, h2Low, h1High, h1Low);
  h2Low = low;
  h1High = avalanche64(h1High, h1Low);
  h1Low = low;
  h2High = avalanche64(h2High, h2Low);
  h2Low = low;
  h1High = add(h1High, h1Low, h2High, h2Low);
  h1Low = low;
  h2High = add(h2High, h2Low, h1High, h1Low);
  into[0] = h1High;
  into[1] = h1Low;
  into[2] = h2High;
  into[3] = low;
}

/** k1 *= 87c37b91114253d5; k1 = rotl(k1, 31); k1 *= 4cf5ad432745937f */
function scrambleFirst(high: number, lowHalf: number): number {
  high = multiply(high, lowHalf, 0x87c37b91, 0x114253d5);
  high = rotate31(high, low);
  return multiply(high, low, 0x4cf5ad43, 0x2745937f);
}

/** k2 *= 4cf5ad432745937f; k2 = rotl(k2, 33); k2 *= 87c37b91114253d5 */
function scrambleSecond(high: number, lowHalf: number): number {
  high = multiply(high, lowHalf, 0x4cf5ad43, 0x2745937f);
  // Left by 33 is the halves exchanged and then left by one.
  const swappedHigh = low;
  low = (high << 1) | (swappedHigh >>> 31);
  return multiply((swappedHigh << 1) | (high >>> 31), low, 0x87c37b91, 0x114253d5);
}

function rotate31(high: number, lowHalf: number): number {
  low = (lowHalf << 31) | (high >>> 1);
  return (high << 31) | (lowHalf >>> 1);
}

function rotate27(high: number, lowHalf: number): number {
  low = (lowHalf << 27) | (high >>> 5);
  return (high << 27) | (lowHalf >>> 5);
}

function add(aHigh: number, aLow: number, bHigh: number, bLow: number): number {
  const sum = (aLow >>> 0) + (bLow >>> 0);
  low = sum | 0;
  return (aHigh + bHigh + (sum > 0xffffffff ? 1 : 0)) | 0;
}

/** h * 5 + constant, the constant being below 2^31. */
function timesFive(high: number, lowHalf: number, constant: number): number {
  const sum = (lowHalf >>> 0) * 5 + constant;
  low = sum | 0;
  return (Math.imul(high, 5) + Math.floor(sum / 0x100000000)) | 0;
}

function multiply(aHigh: number, aLow: number, bHigh: number, bLow: number): number {
  const high = multiplyHigh(aLow, bLow) + Math.imul(aHigh, bLow) + Math.imul(aLow, bHigh);
  low = Math.imul(aLow, bLow);
  return high | 0;
}

/** The upper 32 bits of the product of two unsigned 32-bit numbers. */
function multiplyHigh(a: number, b: number): number {
  const aLow = a & 0xffff;
  const aHigh = a >>> 16;
  const bLow = b & 0xffff;
  const bHigh = b >>> 16;
  const middle = aHigh * bLow + ((aLow * bLow) >>> 16);
  const carry = (middle & 0xffff) + aLow * bHigh;
  return aHigh * bHigh + Math.floor(middle / 0x10000) + Math.floor(carry / 0x10000);
}

function avalanche64(high: number, lowHalf: number): number {
  // A shift by 33 moves nothing but the high half into the low one.
  high = multiply(high, lowHalf ^ (high >>> 1), 0xff51afd7, 0xed558ccd);
  high = multiply(high, low ^ (high >>> 1), 0xc4ceb9fe, 0x1a85ec53);
  low ^= high >>> 1;
  return high;
}

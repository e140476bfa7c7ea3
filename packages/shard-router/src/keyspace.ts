/**
 * A keyspace: keys of one type, hashed one way, into one fixed number of slots.
 *
 * The slot is the *top* bits of the 64-bit hash, for three reasons.
 * 1. PostgreSQL picks hash-join, hash-aggregate and hash-index buckets by the low bits of the very same hash.
 *    A shard that owned an eighth of the slots by low bits would use an eighth of its buckets, with chains
 *    eight times as long. The high bits have no part in that.
 * 2. A slot is then one contiguous range of hashes, and doubling the number of slots splits each in two.
 * 3. In TypeScript it takes one shift of the high half, and the low half need not exist.
 * In SQL it is `(hash >> (64 - bits)) & (slots - 1)`: a right shift of bigint copies the sign and the mask takes
 * it off again; both operators are plain and immutable, so the expression may stand in a publication's row
 * filter, in an index and in a guard.
 *
 * Keys are exact or refused. A number beyond 2^53 has already lost digits before anybody could look, so it
 * is refused whatever it shows; a bigint or a decimal text never has.
 */

import { quoteIdentifier, quoteInteger, ShardlineError } from '@shardline/core';
import { routerErrors } from './errors.js';
import { murmur3x86 } from './hash/murmur3.js';
import { hashInt8Halves, hashTextHalves, hashUuidHalves } from './hash/postgres-hash.js';

/** What a key may be. Which of these a keyspace takes, its `keyType` says. */
export type ShardKey = string | number | bigint;

/**
 * `bigint`: smallint, integer and bigint columns. `text`: text and varchar columns of a deterministic
 * collation. `uuid`: uuid columns.
 */
export type KeyType = 'bigint' | 'text' | 'uuid';

/** `postgres`: the server's own hash, computable in SQL. `murmur3`: the slot is stored in a column. */
export type HashName = 'postgres' | 'murmur3';

/** A sharded table. */
export interface ShardedTable {
  /** Schema of the table. @default 'public' */
  readonly schema: string;
  readonly name: string;
  /** The column that holds the key. */
  readonly key: string;
  /** The column that holds the slot; only in keyspaces hashed by `murmur3`. */
  readonly slotColumn?: string;
}

/** What makes a keyspace; the same on every router and every shard. */
export interface KeyspaceDefinition {
  readonly name: string;
  readonly keyType: KeyType;
  readonly hash: HashName;
  /** A power of two from 2 to 65536. */
  readonly slots: number;
}

/** The column of a `murmur3` keyspace's tables unless another is named. */
export const DEFAULT_SLOT_COLUMN = 'shard_slot';

export const MAX_SLOTS = 65536;

const MIN_INT8 = -(2n ** 63n);
const MAX_INT8 = 2n ** 63n - 1n;

// Shared by all keyspaces: hashing is synchronous, and a pair per call would be an allocation per call.
const halves = new Uint32Array(2);
const uuidWords = new Int32Array(4);
const int64 = new BigInt64Array(1);
const int64Words = new Int32Array(int64.buffer);
const int64Bytes = new Uint8Array(int64.buffer);

/** Turns keys into slots. */
export class Keyspace implements KeyspaceDefinition {
  readonly name: string;
  readonly keyType: KeyType;
  readonly hash: HashName;
  readonly slots: number;
  readonly #shift: number;
  /** The slot of a key. @throws ShardlineError `KEY_INVALID`. */
  readonly slotOf: (key: ShardKey) => number;

  constructor(definition: KeyspaceDefinition) {
    if (!isSlotCount(definition.slots)) {
      throw new ShardlineError(
        routerErrors.TOPOLOGY_INVALID,
        `Keyspace '${definition.name}' has ${definition.slots} slots; it must be a power of two from 2 to ${MAX_SLOTS}.`,
      );
    }
    this.name = definition.name;
    this.keyType = definition.keyType;
    this.hash = definition.hash;
    this.slots = definition.slots;
    this.#shift = 32 - Math.log2(definition.slots);
    this.slotOf = this.#slotFunction();
  }

  /** One text per key, however it was written: what rows are matched by. */
  canonical(key: ShardKey): string {
    if (this.keyType === 'text') return String(key);
    if (this.keyType === 'bigint') return String(BigInt(key));
    const digits = String(key).toLowerCase().replaceAll('-', '');
    return digits.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5');
  }

  /** How far the 64-bit hash is shifted to leave the slot. */
  get hashShift(): number {
    return this.#shift + 32;
  }

  /** One function per kind, chosen once: the hot path asks nothing about kinds. */
  #slotFunction(): (key: ShardKey) => number {
    const shift = this.#shift;
    const isPostgres = this.hash === 'postgres';
    switch (this.keyType) {
      case 'text':
        return isPostgres
          ? (key) => {
              hashTextHalves(typeof key === 'string' ? key : this.#refuse(key), halves);
              return (halves[0] as number) >>> shift;
            }
          : (key) => murmur3x86(typeof key === 'string' ? key : this.#refuse(key)) >>> shift;
      case 'uuid':
        return (key) => {
          if (typeof key !== 'string' || !parseUuid(key, uuidWords)) this.#refuse(key);
          if (!isPostgres) return murmurOfWords() >>> shift;
          hashUuidHalves(
            uuidWords[0] as number,
            uuidWords[1] as number,
            uuidWords[2] as number,
            uuidWords[3] as number,
            halves,
          );
          return (halves[0] as number) >>> shift;
        };
      case 'bigint':
        return (key) => {
          this.#readInteger(key);
          if (!isPostgres) return murmur3x86(int64Bytes) >>> shift;
          hashInt8Halves(int64Words[1] as number, int64Words[0] as number, halves);
          return (halves[0] as number) >>> shift;
        };
    }
  }

  #readInteger(key: ShardKey): void {
    if (typeof key === 'number') {
      if (!Number.isSafeInteger(key)) this.#refuse(key);
      int64Words[0] = key | 0;
      int64Words[1] = Math.floor(key / 0x100000000);
    } else if (typeof key === 'bigint') {
      if (key < MIN_INT8 || key > MAX_INT8) this.#refuse(key);
      int64[0] = key;
    } else if (!readDecimal(key)) this.#refuse(key);
  }

  #refuse(key: unknown): never {
    throw new ShardlineError(
      routerErrors.KEY_INVALID,
      `Keyspace '${this.name}' takes ${EXPECTED[this.keyType]}, not ${describe(key)}.`,
      { details: { keyspace: this.name, keyType: this.keyType } },
    );
  }
}

const EXPECTED: Record<KeyType, string> = {
  bigint: 'a 64-bit whole number as bigint, safe number or decimal text',
  text: 'a text',
  uuid: "a uuid such as 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'",
};

/** Names the kind of a key and never its value: a key may be somebody's e-mail address. */
function describe(key: unknown): string {
  if (key === null) return 'null';
  if (typeof key === 'number') {
    return Number.isInteger(key)
      ? 'a number beyond 2^53, which may already have lost digits'
      : 'a number that is not whole';
  }
  if (typeof key === 'bigint') return 'a bigint beyond 64 bits';
  if (typeof key === 'string') return 'a text of another form';
  return Array.isArray(key) ? 'an array' : `a value of type ${typeof key}`;
}

export function isSlotCount(slots: number): boolean {
  return Number.isInteger(slots) && slots >= 2 && slots <= MAX_SLOTS && (slots & (slots - 1)) === 0;
}

/** Fifteen digits always fit a safe number, and such texts are what `pg` returns for a bigint column. */
const SAFE_DIGITS = 15;

function readDecimal(text: string): boolean {
  if (typeof text !== 'string') return false;
  const start = text.charCodeAt(0) === 0x2d ? 1 : 0;
  const digits = text.length - start;
  if (digits < 1 || digits > 19) return false;
  let value = 0;
  for (let at = start; at < text.length; at += 1) {
    const digit = text.charCodeAt(at) - 0x30;
    if (digit < 0 || digit > 9) return false;
    value = value * 10 + digit;
  }
  if (digits <= SAFE_DIGITS) {
    const signed = start === 1 ? -value : value;
    int64Words[0] = signed | 0;
    int64Words[1] = Math.floor(signed / 0x100000000);
    return true;
  }
  const exact = BigInt(text);
  if (exact < MIN_INT8 || exact > MAX_INT8) return false;
  int64[0] = exact;
  return true;
}

/**
 * Value of a hexadecimal digit by its code unit; -1 for all others, whose sign survives every OR and shift below. One
 * entry for each unit there is: 64 KiB, of which a valid uuid touches a cache line or two, and no branch per digit.
 */
const HEX = new Int8Array(0x10000).fill(-1);
for (let digit = 0; digit < 16; digit += 1) {
  const character = digit.toString(16);
  HEX[character.charCodeAt(0)] = digit;
  HEX[character.toUpperCase().charCodeAt(0)] = digit;
}

const HYPHEN = 0x2d;

/** Reads 32 hexadecimal digits, with hyphens as PostgreSQL prints them or with none, into little-endian words. */
function parseUuid(text: string, into: Int32Array): boolean {
  if (text.length === 36) {
    return (
      readUuid(text, into, 1) &&
      text.charCodeAt(8) === HYPHEN &&
      text.charCodeAt(13) === HYPHEN &&
      text.charCodeAt(18) === HYPHEN &&
      text.charCodeAt(23) === HYPHEN
    );
  }
  return text.length === 32 && readUuid(text, into, 0);
}

/** @param gap how many units stand between the groups of 8, 4, 4, 4 and 12 digits. */
function readUuid(text: string, into: Int32Array, gap: number): boolean {
  const second = 8 + gap;
  const third = 12 + 2 * gap;
  const fourth = 16 + 3 * gap;
  const fifth = 20 + 4 * gap;
  const b0 = byteAt(text, 0);
  const b1 = byteAt(text, 2);
  const b2 = byteAt(text, 4);
  const b3 = byteAt(text, 6);
  const b4 = byteAt(text, second);
  const b5 = byteAt(text, second + 2);
  const b6 = byteAt(text, third);
  const b7 = byteAt(text, third + 2);
  const b8 = byteAt(text, fourth);
  const b9 = byteAt(text, fourth + 2);
  const b10 = byteAt(text, fifth);
  const b11 = byteAt(text, fifth + 2);
  const b12 = byteAt(text, fifth + 4);
  const b13 = byteAt(text, fifth + 6);
  const b14 = byteAt(text, fifth + 8);
  const b15 = byteAt(text, fifth + 10);
  into[0] = b0 | (b1 << 8) | (b2 << 16) | (b3 << 24);
  into[1] = b4 | (b5 << 8) | (b6 << 16) | (b7 << 24);
  into[2] = b8 | (b9 << 8) | (b10 << 16) | (b11 << 24);
  into[3] = b12 | (b13 << 8) | (b14 << 16) | (b15 << 24);
  // Not over the words, where a byte's highest bit is a sign too.
  return (b0 | b1 | b2 | b3 | b4 | b5 | b6 | b7 | b8 | b9 | b10 | b11 | b12 | b13 | b14 | b15) >= 0;
}

function byteAt(text: string, at: number): number {
  return ((HEX[text.charCodeAt(at)] as number) << 4) | (HEX[text.charCodeAt(at + 1)] as number);
}

const uuidBytes = new Uint8Array(16);

function murmurOfWords(): number {
  for (let at = 0; at < 16; at += 1) {
    uuidBytes[at] = (uuidWords[at >> 2] as number) >>> ((at & 3) << 3);
  }
  return murmur3x86(uuidBytes);
}

/**
 * The slot of a row, as an SQL expression over its key column: for row filters, guards, counts and indexes.
 *
 * @param column the column, named as it is in the table; `row` puts a row's name before it (`NEW`, an alias).
 * @example
 * ```ts
 * import { Keyspace, slotExpression } from '@shardline/shard-router';
 *
 * const users = new Keyspace({ name: 'users', keyType: 'bigint', hash: 'postgres', slots: 4096 });
 * slotExpression(users, { key: 'user_id' });
 * // ((pg_catalog.hashint8extended("user_id", 0) >> 52) & 4095)
 * ```
 */
export function slotExpression(
  keyspace: Keyspace,
  table: Pick<ShardedTable, 'key' | 'slotColumn'>,
  row?: 'NEW' | 'OLD' | { readonly alias: string },
): string {
  const prefix =
    row === undefined ? '' : typeof row === 'string' ? `${row}.` : `${quoteIdentifier(row.alias)}.`;
  if (keyspace.hash === 'murmur3') {
    return `${prefix}${quoteIdentifier(table.slotColumn ?? DEFAULT_SLOT_COLUMN)}`;
  }
  const column = `${prefix}${quoteIdentifier(table.key)}`;
  const shift = quoteInteger(keyspace.hashShift);
  return `((${hashCall(keyspace.keyType, column)} >> ${shift}) & ${quoteInteger(keyspace.slots - 1)})`;
}

function hashCall(keyType: KeyType, column: string): string {
  switch (keyType) {
    case 'bigint':
      return `pg_catalog.hashint8extended(${column}, 0)`;
    case 'text':
      // Byte by byte, whatever the column's collation: a sort key of another library version is no hash.
      return `pg_catalog.hashtextextended(${column} COLLATE pg_catalog."C", 0)`;
    case 'uuid':
      return `pg_catalog.uuid_hash_extended(${column}, 0)`;
  }
}

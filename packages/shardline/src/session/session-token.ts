import {
  readTokenText,
  type SigningKey,
  sealPayload,
  signatureFault,
  type TokenFault,
} from '@shardline/core';
import { layerError } from '../errors.js';
import type { Point } from './row-floors.js';

/**
 * A session as text, for cookies, headers and messages: a signed token of core with the payload
 *
 * ```
 * version | flags | issuer | epoch | expiry | shards | rows
 *    1        1       8        6       6      1 + n    1 + n
 *
 * shard: name's hash 8 | system identifier 8 | position 12 | has xmax 1 | [xmax 8]
 * row:   index of its shard 1 | name's hash 8 | to 12 | kind of from 1 | [from 12]
 * ```
 *
 * Names of shards and rows stand as hashes: a token says nothing of anybody's keys. Sizes are bounded: what
 * has no room is left out, and the flag says that shards were, so that a reader begins at their primaries. Pure.
 */
export interface TokenShard {
  /** 16 hexadecimal digits. */
  readonly shard: string;
  readonly systemIdentifier: string;
  readonly position: Point | undefined;
  readonly snapshotXmax: bigint | undefined;
}

export interface TokenRow {
  /** 16 hexadecimal digits, of a shard that the token has. */
  readonly shard: string;
  /** 16 hexadecimal digits. */
  readonly row: string;
  readonly from: Point | undefined;
  readonly to: Point;
}

export interface TokenContents {
  /** Names the process that wrote it: 16 hexadecimal digits. */
  readonly issuer: string;
  /** Topology that its positions belong to. */
  readonly epoch: number;
  /** Wall clock, in milliseconds since 1970. */
  readonly expiresAtMs: number;
  /** The most important first. */
  readonly shards: readonly TokenShard[];
  /** Whether there were shards that had no room. */
  readonly hasMoreShards: boolean;
  /** The longest remembered first. */
  readonly rows: readonly TokenRow[];
}

/** Shards in one token: a user's data is on few, and what is left out costs a read at a primary. */
export const MAX_SHARDS = 8;
export const MAX_TOKEN_ROWS = 32;
/** Longest text that is looked at: nothing that we write is longer. */
export const MAX_TEXT = 2048;

const VERSION = 1;
const MORE_SHARDS = 1;
/** The pool signs tokens too, perhaps with the same key: neither may pass for the other. */
const PURPOSE = 'shardline layer session';
const NO_POINT: Point = { timeline: 0, lsn: 0n };

/** Writes a token, signed with the first key if there is one. */
export function sealToken(contents: TokenContents, keys: readonly SigningKey[]): string {
  const shards = contents.shards.slice(0, MAX_SHARDS);
  const names = shards.map(({ shard }) => shard);
  // A row of a shard that has no room has no room either.
  const rows = contents.rows.filter(({ shard }) => names.includes(shard)).slice(-MAX_TOKEN_ROWS);
  const hasMoreShards = contents.hasMoreShards || shards.length < contents.shards.length;
  const writer = new Writer();
  writer.uint(VERSION, 1).uint(hasMoreShards ? MORE_SHARDS : 0, 1);
  writer.hex(contents.issuer).uint(contents.epoch, 6).uint(Math.ceil(contents.expiresAtMs), 6);
  writer.uint(shards.length, 1);
  for (const { shard, systemIdentifier, position, snapshotXmax } of shards) {
    writer.hex(shard).big(BigInt.asUintN(64, BigInt(systemIdentifier)));
    writer.point(position ?? NO_POINT).uint(snapshotXmax === undefined ? 0 : 1, 1);
    if (snapshotXmax !== undefined) writer.big(snapshotXmax);
  }
  writer.uint(rows.length, 1);
  for (const { shard, row, from, to } of rows) {
    writer.uint(names.indexOf(shard), 1).hex(row).point(to);
    const isPointlike = from?.timeline === to.timeline && from.lsn === to.lsn;
    writer.uint(from === undefined ? 0 : isPointlike ? 1 : 2, 1);
    if (from !== undefined && !isPointlike) writer.point(from);
  }
  return sealPayload(writer.end(), { keys, purpose: PURPOSE });
}

/**
 * Reads a token.
 *
 * @throws ShardlineError `LAYER_TOKEN_MALFORMED`, `LAYER_TOKEN_FORGED`.
 */
export function openToken(text: string, keys: readonly SigningKey[]): TokenContents {
  const bytes = readTokenText(text, MAX_TEXT);
  if (!Buffer.isBuffer(bytes)) throw refused(bytes);
  const reader = new Reader(bytes);
  if (reader.uint(1) !== VERSION) throw malformed('it is of another version');
  const flags = reader.uint(1);
  if ((flags & ~MORE_SHARDS) !== 0) throw malformed('it has unknown flags');
  const head = { issuer: reader.hex(), epoch: reader.uint(6), expiresAtMs: reader.uint(6) };
  const shards = Array.from({ length: reader.count(MAX_SHARDS) }, () => readShard(reader));
  const rows = Array.from({ length: reader.count(MAX_TOKEN_ROWS) }, () => readRow(reader, shards));
  const fault = signatureFault(bytes, reader.at, { keys, purpose: PURPOSE });
  if (fault !== undefined) throw refused(fault);
  return { ...head, shards, hasMoreShards: (flags & MORE_SHARDS) !== 0, rows };
}

function readShard(reader: Reader): TokenShard {
  const shard = reader.hex();
  const systemIdentifier = reader.big().toString();
  const position = reader.point();
  const hasXmax = reader.count(1) === 1;
  return {
    shard,
    systemIdentifier,
    position: position.timeline === 0 ? undefined : position,
    snapshotXmax: hasXmax ? reader.big() : undefined,
  };
}

function readRow(reader: Reader, shards: readonly TokenShard[]): TokenRow {
  const shard = shards[reader.uint(1)]?.shard;
  if (shard === undefined) throw malformed('a row names a shard that it does not have');
  const row = reader.hex();
  const to = reader.point();
  const kind = reader.count(2);
  const from = kind === 0 ? undefined : kind === 1 ? to : reader.point();
  return { shard, row, from, to };
}

function refused({ is, why }: TokenFault) {
  if (is === 'malformed') return malformed(why);
  return layerError('LAYER_TOKEN_FORGED', `A session token is not believed: ${why}.`);
}

function malformed(why: string) {
  return layerError('LAYER_TOKEN_MALFORMED', `A session token cannot be read: ${why}.`);
}

class Writer {
  readonly #parts: Buffer[] = [];

  uint(value: number, bytes: number): this {
    const part = Buffer.alloc(bytes);
    part.writeUIntBE(value, 0, bytes);
    return this.bytes(part);
  }

  big(value: bigint): this {
    const part = Buffer.alloc(8);
    part.writeBigUInt64BE(value, 0);
    return this.bytes(part);
  }

  hex(digits: string): this {
    return this.bytes(Buffer.from(digits, 'hex'));
  }

  point({ timeline, lsn }: Point): this {
    return this.uint(timeline, 4).big(lsn);
  }

  bytes(part: Buffer): this {
    this.#parts.push(part);
    return this;
  }

  end(): Buffer {
    return Buffer.concat(this.#parts);
  }
}

class Reader {
  at = 0;

  constructor(readonly source: Buffer) {}

  uint(bytes: number): number {
    return this.#take(bytes).readUIntBE(0, bytes);
  }

  /** A number of things, with a limit. */
  count(most: number): number {
    const count = this.uint(1);
    if (count > most) throw malformed('it holds more than a token can');
    return count;
  }

  big(): bigint {
    return this.#take(8).readBigUInt64BE(0);
  }

  hex(): string {
    return this.#take(8).toString('hex');
  }

  point(): Point {
    return { timeline: this.uint(4), lsn: this.big() };
  }

  #take(bytes: number): Buffer {
    if (this.at + bytes > this.source.length) throw malformed('it is too short');
    const part = this.source.subarray(this.at, this.at + bytes);
    this.at += bytes;
    return part;
  }
}

import { ShardlineError } from '@shardline/core';
import { Packr } from 'msgpackr';
import { cacheErrors } from '../errors.js';

/**
 * Values to bytes and back. JSON is the default: readable, and as fast as MessagePack for small
 * objects. MessagePack keeps dates, sets, bytes and big integers.
 *
 * A codec has a number, stored in the frame, so that a namespace may change its codec while entries
 * of the old one are still read. Structured clone (`v8.deserialize`) is left out on purpose: it must
 * not be fed with bytes from a store that others can write to.
 */
export interface Codec {
  /** Stored in the frame: 1 to 99 are ours, 100 to 255 are yours. */
  readonly id: number;
  readonly name: string;
  encode(value: unknown): Buffer;
  decode(bytes: Buffer): unknown;
}

const packr = new Packr({ useRecords: false, moreTypes: true, int64AsType: 'bigint' });

/** JSON text. */
export const jsonCodec: Codec = {
  id: 1,
  name: 'json',
  encode: (value) => Buffer.from(JSON.stringify(value)),
  decode: (bytes) => JSON.parse(bytes.toString('utf8')),
};

/** MessagePack by msgpackr. */
export const msgpackCodec: Codec = {
  id: 2,
  name: 'msgpack',
  encode: (value) => packr.pack(value),
  decode: (bytes) => packr.unpack(bytes),
};

const builtIn: ReadonlyMap<number, Codec> = new Map([
  [jsonCodec.id, jsonCodec],
  [msgpackCodec.id, msgpackCodec],
]);

/** @throws ShardlineError `CACHE_VALUE_INVALID` if the codec cannot take the value. */
export function encodeValue(codec: Codec, value: unknown, what: string): Buffer {
  try {
    return codec.encode(value);
  } catch (error) {
    throw new ShardlineError(
      cacheErrors.CACHE_VALUE_INVALID,
      `The value of ${what} cannot be written as ${codec.name}: ${(error as Error).message}.`,
      { cause: error },
    );
  }
}

/** The value, or undefined if the bytes are of an unknown codec or corrupt. */
export function decodeValue(
  own: Codec,
  id: number,
  bytes: Buffer,
): { readonly value: unknown } | undefined {
  const codec = own.id === id ? own : builtIn.get(id);
  if (codec === undefined) return undefined;
  try {
    return { value: codec.decode(bytes) };
  } catch {
    // Corrupt bytes are a miss like any other; the caller counts them.
    return undefined;
  }
}

import { isShardlineError } from '@shardline/core';
import { decodeValue, encodeValue } from '../entry/codec.js';
import { compress, decompress } from '../entry/compression.js';
import type { Frame } from '../entry/frame.js';
import { cacheErrors } from '../errors.js';
import { tagNamesOf } from '../invalidate/tag-stamp.js';
import type { Found, PackedBody } from './found.js';
import { isAbsence, type Look } from './level.js';
import type { ReaderParts } from './reader-parts.js';

/** Values to the bodies that stand in a tier, and back. */

const ABSENT = { value: undefined };
const NO_BODY: PackedBody = { codec: 0, compression: 0, rawBytes: 0, body: Buffer.alloc(0) };

/**
 * The body to store, written and packed unless it came from a tier as it is; undefined (and counted) if
 * the codec cannot take the value.
 */
export async function pack(
  { policy, counters }: ReaderParts,
  found: Pick<Found, 'packed' | 'isAbsent' | 'value'>,
): Promise<PackedBody | undefined> {
  if (found.packed !== undefined) return found.packed;
  if (found.isAbsent) return NO_BODY;
  try {
    const raw = encodeValue(policy.codec, found.value, `namespace '${policy.name}'`);
    const { compression, body } = await compress(
      raw,
      policy.compression,
      policy.compressAboveBytes,
    );
    return { codec: policy.codec.id, compression, rawBytes: raw.length, body };
  } catch (error) {
    if (!isShardlineError(error, cacheErrors.CACHE_VALUE_INVALID.code)) throw error;
    counters.unserialisableValues += 1;
    return undefined;
  }
}

/** The value of a look with all that a fill above it needs; undefined (and counted) if its bytes are corrupt. */
export function unpack(parts: ReaderParts, look: Look): Found | undefined {
  const frame = frameOf(look);
  const decoded = frame && unpackValue(parts, frame);
  if (frame === undefined || decoded === undefined) return undefined;
  return {
    value: decoded.value,
    isAbsent: isAbsence(frame),
    provenAtMs: look.goodAsOfMs,
    storedAtMs: frame.storedAtMs,
    ttlMs: frame.ttlMs,
    staleMs: frame.staleMs,
    loadMs: frame.loadMs,
    tagNames: tagNamesOf(frame.stamps),
    standing: look.standing,
    packed: frame,
  };
}

/** The value alone, which is all that a hit needs where nothing above it is filled. */
export function unpackValue(
  { policy, counters }: ReaderParts,
  frame: Frame,
): { readonly value: unknown } | undefined {
  if (isAbsence(frame)) return ABSENT;
  const raw = decompress(frame.body, frame.compression, frame.rawBytes);
  const decoded = raw && decodeValue(policy.codec, frame.codec, raw);
  if (decoded === undefined) counters.corruptFrames += 1;
  return decoded;
}

/** The frame that a reading lets be shown, whole or while somebody else loads. */
export function frameOf({ reading }: Look): Frame | undefined {
  if (reading.state === 'fresh' || reading.state === 'stale') return reading.frame;
  return reading.state === 'miss' ? undefined : reading.held;
}

import {
  extrasLength,
  NO_STAMPS,
  readExtras,
  type StampPair,
  writeExtras,
} from './frame-extras.js';

/**
 * The bytes of an entry in a shared tier, versioned.
 *
 *      0  'S' 'L'               that it is ours
 *      2  version               2
 *      3  kind                  value, absent, lease, failed, tombstone
 *      4  held                  what a lease or failure still carries below: nothing, a value, absent
 *      8  token (16)            names the lease, and afterwards the fill made under it
 *     24  until (f64)           when the lease or the back-off ends, on the tier's own clock
 *     ---- 32 bytes that change when an entry is leased for refresh; all below stays where it is ----
 *     32  codec, 33 compression
 *     36  storedAt, 44 ttl, 52 stale, 60 loadMs (f64 each, milliseconds)
 *     68  size of the body before compression (u32), 72 bytes of the extras (u32)
 *     76  until when the freshness stands (f64, see `standing-freshness.ts`)
 *     84  extras: freshness, then (name, stamp) pairs, each a length (u16) and text
 *      .  body
 *
 * `supersede.lua` reads the freshness and its end where they are here, and writes frames without a payload.
 *
 * The first 24 bytes identify a state exactly: whoever wants to replace it compares them. So a lease
 * for refresh overwrites 32 bytes and leaves the old payload for those who may serve it stale, and a
 * late fill finds another token and is refused.
 *
 * Times are wall-clock times of the process that stored: a skew between machines shifts an expiry by as
 * much, and nothing else rests on them. What must be exact (leases, hard expiry) goes by the tier's clock.
 */

/** What stands under an address. */
export const FrameKind = {
  Value: 1,
  /** Known not to exist in the source. */
  Absent: 2,
  Lease: 3,
  /** A load failed; nobody should try before `until`. */
  Failed: 4,
  /** Invalidated; carries the freshness that a loader must reach. */
  Tombstone: 5,
} as const;

export type FrameKind = (typeof FrameKind)[keyof typeof FrameKind];

/** Bytes that identify a state: magic, version, kind, held, token. */
export const IDENTITY_BYTES = 24;
/** Bytes that a lease for refresh overwrites. */
export const PREFIX_BYTES = 32;
const HEADER_BYTES = 84;
const MAGIC = 0x534c;
const VERSION = 2;
export const TOKEN_BYTES = 16;

/** How fresh a loader must read, and until when that is to be told. */
export interface StandingFreshness {
  readonly freshness: string;
  readonly untilMs: number;
}

/** The longest freshness mark, in bytes of UTF-8: a position in a log, a token. */
export const MAX_FRESHNESS_BYTES = 256;

/** An entry's frame, read. */
export interface Frame {
  readonly kind: FrameKind;
  /** The payload's kind: of a value or absence itself, or what a lease or failure still holds. */
  readonly payload: typeof FrameKind.Value | typeof FrameKind.Absent | undefined;
  readonly untilMs: number;
  readonly codec: number;
  readonly compression: number;
  readonly storedAtMs: number;
  readonly ttlMs: number;
  readonly staleMs: number;
  readonly loadMs: number;
  readonly rawBytes: number;
  readonly standing: StandingFreshness | undefined;
  readonly stamps: readonly StampPair[];
  readonly body: Buffer;
}

/** What a frame of a value or of an absence is made from. */
export interface FrameContent {
  readonly kind: typeof FrameKind.Value | typeof FrameKind.Absent;
  readonly codec: number;
  readonly compression: number;
  readonly storedAtMs: number;
  readonly ttlMs: number;
  readonly staleMs: number;
  readonly loadMs: number;
  readonly rawBytes: number;
  readonly standing: StandingFreshness | undefined;
  readonly stamps: readonly StampPair[];
  readonly body: Buffer;
}

/** A whole frame of a value or an absence, under the token of the lease that it fills. */
export function encodeFrame(token: Buffer, content: FrameContent): Buffer {
  const freshness = content.standing?.freshness ?? '';
  const extrasBytes = extrasLength(freshness, content.stamps);
  const frame = Buffer.allocUnsafe(HEADER_BYTES + extrasBytes + content.body.length);
  writePrefix(frame, content.kind, 0, token, 0);
  frame[32] = content.codec;
  frame[33] = content.compression;
  frame[34] = 0;
  frame[35] = 0;
  frame.writeDoubleBE(content.storedAtMs, 36);
  frame.writeDoubleBE(content.ttlMs, 44);
  frame.writeDoubleBE(content.staleMs, 52);
  frame.writeDoubleBE(content.loadMs, 60);
  frame.writeUInt32BE(content.rawBytes, 68);
  frame.writeUInt32BE(extrasBytes, 72);
  frame.writeDoubleBE(content.standing?.untilMs ?? 0, 76);
  const offset = writeExtras(frame, HEADER_BYTES, freshness, content.stamps);
  content.body.copy(frame, offset);
  return frame;
}

/** A frame without a payload: a bare lease, a bare failure, a tombstone. */
export function encodeMarker(
  kind: typeof FrameKind.Lease | typeof FrameKind.Failed | typeof FrameKind.Tombstone,
  token: Buffer,
  untilMs: number,
  standing?: StandingFreshness,
): Buffer {
  const freshness = standing?.freshness ?? '';
  const extrasBytes = extrasLength(freshness, NO_STAMPS);
  const frame = Buffer.alloc(HEADER_BYTES + extrasBytes);
  writePrefix(frame, kind, 0, token, untilMs);
  frame.writeUInt32BE(extrasBytes, 72);
  frame.writeDoubleBE(standing?.untilMs ?? 0, 76);
  writeExtras(frame, HEADER_BYTES, freshness, NO_STAMPS);
  return frame;
}

/** The 32 bytes that turn a stored frame into another state and leave its payload alone. */
export function encodePrefix(
  kind: FrameKind,
  held: Frame['payload'],
  token: Buffer,
  untilMs: number,
): Buffer {
  const prefix = Buffer.alloc(PREFIX_BYTES);
  writePrefix(prefix, kind, held ?? 0, token, untilMs);
  return prefix;
}

/** Reads a frame; undefined if the bytes are not one of ours, cut short, or of an unknown version. */
export function decodeFrame(bytes: Buffer): Frame | undefined {
  if (bytes.length < HEADER_BYTES || bytes.readUInt16BE(0) !== MAGIC) return undefined;
  if (bytes[2] !== VERSION) return undefined;
  const kind = bytes[3] as FrameKind;
  const held = bytes[4] as number;
  if (kind < FrameKind.Value || kind > FrameKind.Tombstone || held > FrameKind.Absent) {
    return undefined;
  }
  const extrasEnd = HEADER_BYTES + bytes.readUInt32BE(72);
  if (extrasEnd > bytes.length) return undefined;
  const extras = readExtras(bytes, HEADER_BYTES, extrasEnd);
  if (extras === undefined) return undefined;
  return {
    kind,
    payload: payloadOf(kind, held),
    untilMs: bytes.readDoubleBE(24),
    codec: bytes[32] as number,
    compression: bytes[33] as number,
    storedAtMs: bytes.readDoubleBE(36),
    ttlMs: bytes.readDoubleBE(44),
    staleMs: bytes.readDoubleBE(52),
    loadMs: bytes.readDoubleBE(60),
    rawBytes: bytes.readUInt32BE(68),
    standing:
      extras.freshness === undefined
        ? undefined
        : { freshness: extras.freshness, untilMs: bytes.readDoubleBE(76) },
    stamps: extras.stamps,
    body: bytes.subarray(extrasEnd),
  };
}

/** The payload's kind that a frame holds, by its first bytes alone; undefined if there is none or it is not ours. */
export function heldPayload(bytes: Buffer): Frame['payload'] {
  if (bytes.length < IDENTITY_BYTES || bytes.readUInt16BE(0) !== MAGIC || bytes[2] !== VERSION) {
    return undefined;
  }
  return payloadOf(bytes[3] as FrameKind, bytes[4] as number);
}

function payloadOf(kind: FrameKind, held: number): Frame['payload'] {
  if (kind === FrameKind.Value || kind === FrameKind.Absent) return kind;
  return held === FrameKind.Value || held === FrameKind.Absent ? held : undefined;
}

function writePrefix(
  target: Buffer,
  kind: FrameKind,
  held: number,
  token: Buffer,
  untilMs: number,
): void {
  target.writeUInt16BE(MAGIC, 0);
  target[2] = VERSION;
  target[3] = kind;
  target[4] = held;
  target.fill(0, 5, 8);
  token.copy(target, 8, 0, TOKEN_BYTES);
  target.writeDoubleBE(untilMs, 24);
}

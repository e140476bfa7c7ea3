import { createHmac, timingSafeEqual } from 'node:crypto';
import { poolError } from '../errors.js';
import { comparePositions, type WalPosition } from '../topology/wal-position.js';
import type { SessionFloor } from './session-floor.js';

/**
 * A session's floor as text, for cookies, headers and messages.
 *
 * ```
 * base64url( version | flags | system identifier | timeline | lsn | expiry | [xmax] | key id | [mac] )
 *               1        1           8                 4       8       6       8     1 + n      32
 * ```
 *
 * A token is a position and nothing else: it grants no rights, yet a forged one that lies in the future
 * would make every read of its bearer wait. With signing keys it carries an HMAC-SHA256 and
 * whatever does not verify is refused. Without keys a token beyond the newest position that this
 * process knows is not believed as it stands: the session begins at the primary, which holds
 * everything, and what the primary says bounds the claim. So it does with an expired token.
 *
 * Keys rotate: the first signs, all verify, and the token names its key.
 */
export interface SigningKey {
  /** Names the key in tokens: 1 to 32 bytes. Not secret. */
  readonly id: string;
  /** At least 32 random bytes. */
  readonly secret: string | Uint8Array;
}

export interface TokenContents {
  readonly systemIdentifier: string;
  readonly floor: SessionFloor;
  /** Wall clock, in milliseconds since 1970. */
  readonly expiresAtMs: number;
}

export interface TokenReader {
  readonly keys: readonly SigningKey[];
  /** The cluster of the reader; undefined while unknown, when it is not compared. */
  readonly systemIdentifier: string | undefined;
  /** Newest position that the reader has seen anywhere. */
  readonly newestPosition: WalPosition | undefined;
  readonly nowMs: number;
}

/** What to make of a token. */
export type OpenedToken =
  /** Its floor holds. */
  | { readonly is: 'valid'; readonly contents: TokenContents }
  /** Its floor is only a claim: `Session.claiming`. */
  | { readonly is: 'expired' | 'beyond-known'; readonly contents: TokenContents };

const VERSION = 1;
const HAS_XMAX = 1;
const FIXED_BYTES = 1 + 1 + 8 + 4 + 8 + 6;
const MAC_BYTES = 32;
const LONGEST_KEY_ID = 32;
/** Longest token that is looked at: nothing that we write is longer. */
const LONGEST_TEXT = 256;
const MOST_U64 = 2n ** 64n - 1n;

/** Writes a token, signed with the first key if there is one. */
export function sealToken(contents: TokenContents, keys: readonly SigningKey[]): string {
  const key = keys[0];
  const body = encodeBody(contents, key?.id ?? '');
  const mac = key === undefined ? undefined : macOf(body, key);
  return (mac === undefined ? body : Buffer.concat([body, mac])).toString('base64url');
}

/**
 * Reads a token.
 *
 * @throws ShardlineError `POOL_TOKEN_MALFORMED`, `POOL_TOKEN_FORGED`, `POOL_TOKEN_FOREIGN`.
 */
export function openToken(text: string, reader: TokenReader): OpenedToken {
  const bytes = decodeText(text);
  const { contents, keyId, bodyBytes } = decodeBody(bytes);
  verify(bytes, bodyBytes, keyId, reader.keys);
  const { systemIdentifier } = reader;
  if (systemIdentifier !== undefined && contents.systemIdentifier !== systemIdentifier) {
    throw poolError(
      'POOL_TOKEN_FOREIGN',
      `A session token of cluster ${contents.systemIdentifier} was given to cluster ${systemIdentifier}.`,
      { details: { token: contents.systemIdentifier, cluster: systemIdentifier } },
    );
  }
  if (contents.expiresAtMs <= reader.nowMs) return { is: 'expired', contents };
  if (reader.keys.length === 0 && isBeyond(contents.floor.position, reader.newestPosition)) {
    return { is: 'beyond-known', contents };
  }
  return { is: 'valid', contents };
}

function isBeyond(position: WalPosition | undefined, newest: WalPosition | undefined): boolean {
  if (position === undefined) return false;
  return newest === undefined || comparePositions(position, newest) > 0;
}

function encodeBody(contents: TokenContents, keyId: string): Buffer {
  const { systemIdentifier, floor, expiresAtMs } = contents;
  const { position, snapshotXmax } = floor;
  const id = Buffer.from(keyId, 'utf8');
  const xmaxBytes = snapshotXmax === undefined ? 0 : 8;
  const body = Buffer.alloc(FIXED_BYTES + xmaxBytes + 1 + id.length);
  let at = body.writeUInt8(VERSION, 0);
  at = body.writeUInt8(snapshotXmax === undefined ? 0 : HAS_XMAX, at);
  at = body.writeBigUInt64BE(BigInt.asUintN(64, BigInt(systemIdentifier)), at);
  at = body.writeUInt32BE(position?.timeline ?? 0, at);
  at = body.writeBigUInt64BE(position?.lsn ?? 0n, at);
  at = body.writeUIntBE(Math.ceil(expiresAtMs), at, 6);
  if (snapshotXmax !== undefined) at = body.writeBigUInt64BE(snapshotXmax & MOST_U64, at);
  at = body.writeUInt8(id.length, at);
  id.copy(body, at);
  return body;
}

function decodeText(text: string): Buffer {
  const isText = typeof text === 'string' && text.length <= LONGEST_TEXT;
  if (!isText || !/^[A-Za-z0-9_-]+$/.test(text)) throw malformed('it is no base64url text');
  const bytes = Buffer.from(text, 'base64url');
  // One token has one text: otherwise two texts that differ in unused bits would both be good.
  if (bytes.toString('base64url') !== text) throw malformed('it is no canonical base64url text');
  return bytes;
}

interface DecodedBody {
  readonly contents: TokenContents;
  readonly keyId: string;
  readonly bodyBytes: number;
}

function decodeBody(bytes: Buffer): DecodedBody {
  if (bytes.length < FIXED_BYTES + 1) throw malformed('it is too short');
  if (bytes.readUInt8(0) !== VERSION) throw malformed(`its version is ${bytes.readUInt8(0)}`);
  const flags = bytes.readUInt8(1);
  if ((flags & ~HAS_XMAX) !== 0) throw malformed('it has unknown flags');
  const hasXmax = (flags & HAS_XMAX) !== 0;
  const idAt = FIXED_BYTES + (hasXmax ? 8 : 0);
  if (bytes.length <= idAt) throw malformed('it is too short');
  const idLength = bytes.readUInt8(idAt);
  const bodyBytes = idAt + 1 + idLength;
  if (idLength > LONGEST_KEY_ID || bytes.length < bodyBytes)
    throw malformed('its key id is broken');
  const timeline = bytes.readUInt32BE(10);
  const floor: SessionFloor = {
    position: timeline === 0 ? undefined : { timeline, lsn: bytes.readBigUInt64BE(14) },
    snapshotXmax: hasXmax ? bytes.readBigUInt64BE(FIXED_BYTES) : undefined,
  };
  return {
    contents: {
      systemIdentifier: bytes.readBigUInt64BE(2).toString(),
      floor,
      expiresAtMs: bytes.readUIntBE(22, 6),
    },
    keyId: bytes.toString('utf8', idAt + 1, bodyBytes),
    bodyBytes,
  };
}

function verify(
  bytes: Buffer,
  bodyBytes: number,
  keyId: string,
  keys: readonly SigningKey[],
): void {
  const mac = bytes.subarray(bodyBytes);
  if (keys.length === 0) {
    // Signed by a process that has keys, read by one that has none: the position is usable all the same,
    // since without keys it is never believed beyond what is known.
    if (mac.length === 0 || mac.length === MAC_BYTES) return;
    throw malformed('its length does not fit');
  }
  const key = keys.find(({ id }) => id === keyId);
  if (key === undefined) {
    throw poolError(
      'POOL_TOKEN_FORGED',
      `A session token names an unknown signing key ('${keyId}').`,
    );
  }
  const expected = macOf(bytes.subarray(0, bodyBytes), key);
  if (mac.length !== MAC_BYTES || !timingSafeEqual(mac, expected)) {
    throw poolError(
      'POOL_TOKEN_FORGED',
      `The signature of a session token does not fit ('${keyId}').`,
    );
  }
}

function macOf(body: Uint8Array, key: SigningKey): Buffer {
  return createHmac('sha256', key.secret).update(body).digest();
}

function malformed(why: string) {
  return poolError('POOL_TOKEN_MALFORMED', `A session token cannot be read: ${why}.`);
}

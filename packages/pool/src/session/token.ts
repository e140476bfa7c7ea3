import {
  readTokenText,
  type SigningKey,
  sealPayload,
  signatureFault,
  type TokenFault,
} from '@shardline/core';
import { poolError } from '../errors.js';
import { hasReached, type WalPosition } from '../topology/wal-position.js';
import type { SessionFloor } from './session-floor.js';

/**
 * A session's floor as text, for cookies, headers and messages: a signed token of core with the payload
 *
 * ```
 * version | flags | system identifier | timeline | lsn | expiry | [xmax]
 *    1        1           8                 4       8       6       8
 * ```
 *
 * A token is a floor and nothing else: it grants no rights, yet a forged one that lies in the future
 * would make every read of its bearer wait. With signing keys whatever does not verify is refused. Without
 * keys a floor beyond what this process has seen of the cluster, in position or in transactions, is not believed
 * as it stands: the session begins at the primary, which holds everything, and what the primary says bounds
 * the claim. So it does with an expired token.
 */
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
  /** Newest snapshot that it has seen anywhere. */
  readonly newestSnapshotXmax: bigint | undefined;
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
const XMAX_BYTES = 8;
/** Longest token that is looked at: nothing that we write is longer. */
const LONGEST_TEXT = 256;
const MOST_U64 = 2n ** 64n - 1n;

/** Writes a token, signed with the first key if there is one. */
export function sealToken(contents: TokenContents, keys: readonly SigningKey[]): string {
  return sealPayload(encodePayload(contents), { keys });
}

/**
 * Reads a token.
 *
 * @throws ShardlineError `POOL_TOKEN_MALFORMED`, `POOL_TOKEN_FORGED`, `POOL_TOKEN_FOREIGN`.
 */
export function openToken(text: string, reader: TokenReader): OpenedToken {
  const bytes = readTokenText(text, LONGEST_TEXT);
  if (!Buffer.isBuffer(bytes)) throw refused(bytes);
  const { contents, payloadBytes } = decodePayload(bytes);
  const fault = signatureFault(bytes, payloadBytes, { keys: reader.keys });
  if (fault !== undefined) throw refused(fault);
  const { systemIdentifier } = reader;
  if (systemIdentifier !== undefined && contents.systemIdentifier !== systemIdentifier) {
    throw poolError(
      'POOL_TOKEN_FOREIGN',
      `A session token of cluster ${contents.systemIdentifier} was given to cluster ${systemIdentifier}.`,
      { details: { token: contents.systemIdentifier, cluster: systemIdentifier } },
    );
  }
  if (contents.expiresAtMs <= reader.nowMs) return { is: 'expired', contents };
  if (reader.keys.length === 0 && isBeyond(contents.floor, reader)) {
    return { is: 'beyond-known', contents };
  }
  return { is: 'valid', contents };
}

/** An old timeline with an address that it never had is beyond everything, too. */
function isBeyond(
  { position, snapshotXmax }: SessionFloor,
  { newestPosition, newestSnapshotXmax }: TokenReader,
): boolean {
  if (snapshotXmax !== undefined && snapshotXmax > (newestSnapshotXmax ?? 0n)) return true;
  if (position === undefined) return false;
  return newestPosition === undefined || !hasReached(newestPosition, position);
}

function encodePayload({ systemIdentifier, floor, expiresAtMs }: TokenContents): Buffer {
  const { position, snapshotXmax } = floor;
  const payload = Buffer.alloc(FIXED_BYTES + (snapshotXmax === undefined ? 0 : XMAX_BYTES));
  let at = payload.writeUInt8(VERSION, 0);
  at = payload.writeUInt8(snapshotXmax === undefined ? 0 : HAS_XMAX, at);
  at = payload.writeBigUInt64BE(BigInt.asUintN(64, BigInt(systemIdentifier)), at);
  at = payload.writeUInt32BE(position?.timeline ?? 0, at);
  at = payload.writeBigUInt64BE(position?.lsn ?? 0n, at);
  at = payload.writeUIntBE(Math.ceil(expiresAtMs), at, 6);
  if (snapshotXmax !== undefined) payload.writeBigUInt64BE(snapshotXmax & MOST_U64, at);
  return payload;
}

interface DecodedPayload {
  readonly contents: TokenContents;
  readonly payloadBytes: number;
}

function decodePayload(bytes: Buffer): DecodedPayload {
  if (bytes.length < FIXED_BYTES) throw malformed('it is too short');
  if (bytes.readUInt8(0) !== VERSION) throw malformed(`its version is ${bytes.readUInt8(0)}`);
  const flags = bytes.readUInt8(1);
  if ((flags & ~HAS_XMAX) !== 0) throw malformed('it has unknown flags');
  const hasXmax = (flags & HAS_XMAX) !== 0;
  const payloadBytes = FIXED_BYTES + (hasXmax ? XMAX_BYTES : 0);
  if (bytes.length < payloadBytes) throw malformed('it is too short');
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
    payloadBytes,
  };
}

function refused({ is, why }: TokenFault) {
  if (is === 'malformed') return malformed(why);
  return poolError('POOL_TOKEN_FORGED', `A session token is not believed: ${why}.`);
}

function malformed(why: string) {
  return poolError('POOL_TOKEN_MALFORMED', `A session token cannot be read: ${why}.`);
}

import { createHmac, timingSafeEqual } from 'node:crypto';

/**
 * Texts that leave a process and come back: who wrote them, and whether they are unaltered. What they say is the
 * caller's business.
 *
 * ```
 * base64url( payload | length of key id 1 | key id | [mac 32] )
 * ```
 *
 * The mac is an HMAC-SHA256 over everything before it. Keys rotate: the first signs, all verify, and the token names
 * its key. Without keys nothing is signed, and nothing is verified either: then the reader must not believe more than
 * it knows by itself. Faults come back as sentences, for the caller's own errors.
 */
export interface SigningKey {
  /** Names the key in tokens: up to 32 bytes. Not secret. */
  readonly id: string;
  /** At least 32 random bytes. */
  readonly secret: string | Uint8Array;
}

/** Keys, and what they sign. */
export interface TokenSigning {
  readonly keys: readonly SigningKey[];
  /** Keeps tokens of different kinds apart though one key signs both. @default none */
  readonly purpose?: string;
}

/** Why a token is refused. */
export interface TokenFault {
  /** `malformed`: nobody who knows the format wrote it. `forged`: it is not from whoever has our keys. */
  readonly is: 'malformed' | 'forged';
  /** As the end of a sentence: `its signature does not fit ('k1')`. */
  readonly why: string;
}

export const LONGEST_KEY_ID_BYTES = 32;
const MAC_BYTES = 32;

/** Writes a token with this payload, signed with the first key if there is one. */
export function sealPayload(payload: Uint8Array, signing: TokenSigning): string {
  const [key] = signing.keys;
  const id = Buffer.from(key?.id ?? '', 'utf8');
  const body = Buffer.concat([payload, Buffer.of(id.length), id]);
  const mac = key === undefined ? [] : [macOf(body, key, signing.purpose)];
  return Buffer.concat([body, ...mac]).toString('base64url');
}

/** The bytes of a token, if it is one text of at most this many characters. */
export function readTokenText(text: string, longest: number): Buffer | TokenFault {
  // Given by those who know no types, too.
  const isText = typeof text === 'string' && text.length <= longest;
  if (!isText || !/^[A-Za-z0-9_-]+$/.test(text)) return malformed('it is no base64url text');
  const bytes = Buffer.from(text, 'base64url');
  // One token has one text: otherwise two texts that differ in unused bits would both be good.
  if (bytes.toString('base64url') !== text) return malformed('it is no canonical base64url text');
  return bytes;
}

/**
 * What is wrong with the end of a token whose payload has this many bytes; undefined if nothing is, and the payload
 * may be believed as far as there are keys.
 */
export function signatureFault(
  bytes: Buffer,
  payloadBytes: number,
  { keys, purpose }: TokenSigning,
): TokenFault | undefined {
  if (bytes.length <= payloadBytes) return malformed('it is too short');
  const idBytes = bytes.readUInt8(payloadBytes);
  const bodyBytes = payloadBytes + 1 + idBytes;
  const isWhole = idBytes <= LONGEST_KEY_ID_BYTES && bytes.length >= bodyBytes;
  if (!isWhole) return malformed('its key id is broken');
  const mac = bytes.subarray(bodyBytes);
  // Signed by a process that has keys and read by one that has none it is as good as unsigned.
  const isEven = mac.length === 0 || mac.length === MAC_BYTES;
  if (keys.length === 0) return isEven ? undefined : malformed('its length does not fit');
  const id = bytes.toString('utf8', payloadBytes + 1, bodyBytes);
  const key = keys.find((one) => one.id === id);
  if (key === undefined) return forged(`it names an unknown signing key ('${id}')`);
  const expected = macOf(bytes.subarray(0, bodyBytes), key, purpose);
  const isGenuine = mac.length === MAC_BYTES && timingSafeEqual(mac, expected);
  return isGenuine ? undefined : forged(`its signature does not fit ('${id}')`);
}

function macOf(body: Uint8Array, key: SigningKey, purpose: string | undefined): Buffer {
  const hmac = createHmac('sha256', key.secret);
  if (purpose !== undefined) hmac.update(`${purpose}\0`);
  return hmac.update(body).digest();
}

function malformed(why: string): TokenFault {
  return { is: 'malformed', why };
}

function forged(why: string): TokenFault {
  return { is: 'forged', why };
}

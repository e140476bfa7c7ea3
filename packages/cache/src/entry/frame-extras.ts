/**
 * The texts of a frame: its freshness mark, then (name, stamp) pairs, each a length (u16) and bytes of UTF-8.
 *
 * Nearly all entries of a namespace carry the same ones, and comparing bytes costs a fraction of making texts of them.
 * So what was read last is kept, in places found by the last bytes, which are the random end of a stamp.
 */

/** One dependency of an entry: the name of a stamp and its value when the entry was made. */
export interface StampPair {
  readonly name: string;
  readonly value: string;
}

export interface Extras {
  readonly freshness: string | undefined;
  readonly stamps: readonly StampPair[];
}

export const NO_STAMPS: readonly StampPair[] = [];

/** A prime, so that places do not follow a pattern of the alphabet. */
const KEPT_PLACES = 61;
const MAX_KEPT_BYTES = 256;
const kept: ({ readonly bytes: Buffer; readonly extras: Extras } | undefined)[] = new Array(
  KEPT_PLACES,
).fill(undefined);

/** Undefined if the bytes are no extras. What comes back is shared: nobody may change it. */
export function readExtras(bytes: Buffer, start: number, end: number): Extras | undefined {
  const length = end - start;
  if (length < 4 || length > MAX_KEPT_BYTES) return parseExtras(bytes, start, end);
  const place = bytes.readUInt32BE(end - 4) % KEPT_PLACES;
  const same = kept[place];
  if (same?.bytes.length === length && bytes.compare(same.bytes, 0, length, start, end) === 0) {
    return same.extras;
  }
  const extras = parseExtras(bytes, start, end);
  if (extras !== undefined) {
    // A copy of its own: the frame may be a piece of a reply of megabytes, or of a pool.
    const copy = Buffer.alloc(length);
    bytes.copy(copy, 0, start, end);
    kept[place] = { bytes: copy, extras };
  }
  return extras;
}

export function extrasLength(freshness: string, stamps: readonly StampPair[]): number {
  let bytes = 2 + Buffer.byteLength(freshness);
  for (const { name, value } of stamps) {
    bytes += 4 + Buffer.byteLength(name) + Buffer.byteLength(value);
  }
  return bytes;
}

/** Where the next byte goes. */
export function writeExtras(
  target: Buffer,
  start: number,
  freshness: string,
  stamps: readonly StampPair[],
): number {
  let offset = writeText(target, start, freshness);
  for (const { name, value } of stamps) {
    offset = writeText(target, offset, name);
    offset = writeText(target, offset, value);
  }
  return offset;
}

function writeText(target: Buffer, offset: number, text: string): number {
  const bytes = target.write(text, offset + 2);
  target.writeUInt16BE(bytes, offset);
  return offset + 2 + bytes;
}

function parseExtras(bytes: Buffer, start: number, end: number): Extras | undefined {
  const texts: string[] = [];
  let offset = start;
  while (offset < end) {
    if (offset + 2 > end) return undefined;
    const textEnd = offset + 2 + bytes.readUInt16BE(offset);
    if (textEnd > end) return undefined;
    texts.push(bytes.toString('utf8', offset + 2, textEnd));
    offset = textEnd;
  }
  const freshness = texts[0] === '' ? undefined : texts[0];
  if (texts.length <= 1) return { freshness, stamps: NO_STAMPS };
  if (texts.length % 2 === 0) return undefined;
  const stamps: StampPair[] = [];
  for (let index = 1; index < texts.length; index += 2) {
    stamps.push({ name: texts[index] as string, value: texts[index + 1] as string });
  }
  return { freshness, stamps };
}

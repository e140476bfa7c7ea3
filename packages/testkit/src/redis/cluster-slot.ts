/** Slots of every Redis Cluster. */
export const SLOT_COUNT = 16_384;

/**
 * The slot of a key: CRC-16/XMODEM of it, or of its hash tag, modulo 16384 (Redis Cluster
 * specification, "Key distribution model"). A tag is what stands between the first `{` and the first
 * `}` after it, unless that is nothing.
 */
export function slotOf(key: string | Buffer): number {
  const bytes = typeof key === 'string' ? Buffer.from(key) : key;
  return crc16(tagOf(bytes)) % SLOT_COUNT;
}

function tagOf(key: Buffer): Buffer {
  const open = key.indexOf('{');
  if (open === -1) return key;
  const close = key.indexOf('}', open + 1);
  return close === -1 || close === open + 1 ? key : key.subarray(open + 1, close);
}

/** Bit by bit: tests ask for few keys, and a table would only hide what it does. */
function crc16(bytes: Buffer): number {
  let crc = 0;
  for (const byte of bytes) {
    crc ^= byte << 8;
    for (let bit = 0; bit < 8; bit += 1) {
      crc = (crc & 0x8000) === 0 ? crc << 1 : (crc << 1) ^ 0x1021;
    }
    crc &= 0xffff;
  }
  return crc;
}

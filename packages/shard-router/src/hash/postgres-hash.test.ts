import { createHash } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { hashInt8Extended, hashTextExtended, uuidHashExtended } from './postgres-hash.js';

const uuidBytes = (uuid: string) => Buffer.from(uuid.replaceAll('-', ''), 'hex');

/** Read from a server: SELECT hashint8extended(…, 0) and its like. */
const integers: [bigint, bigint][] = [
  [0n, 4154612158245552303n],
  [1n, -3670598878359251130n],
  [-1n, -1888257769727981238n],
  [42n, 8010225493015854792n],
  [2n ** 32n, -3670598878359251130n],
  [2n ** 63n - 1n, 1977219185673256887n],
  [-(2n ** 63n), -9109110466470504941n],
];

const texts: [string, bigint][] = [
  ['', -6939563903564495251n],
  ['a', 3591986179850072241n],
  ['user:42', 8169282796211187818n],
  ['héllo', 2465157995015290115n],
  ['🚀', 230714976384343068n],
  ['PostgreSQL', -5770657681951818108n],
  ['The quick brown fox jumps over the lazy dog', 2182139051089226439n],
];

const uuids: [string, bigint][] = [
  ['a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', 7543054272012930821n],
  ['00000000-0000-0000-0000-000000000000', -6859010066814654381n],
  ['ffffffff-ffff-ffff-ffff-ffffffffffff', 293445543803463785n],
];

const PARTITION_SEED = 0x7a5b22367996dcfdn;

describe("the server's hashes", () => {
  test.each(integers)('hashint8extended(%s, 0)', (value, hash) => {
    expect(hashInt8Extended(value)).toBe(hash);
  });

  test.each(texts)('hashtextextended(%j, 0)', (value, hash) => {
    expect(hashTextExtended(value)).toBe(hash);
  });

  test.each(uuids)('uuid_hash_extended(%s, 0)', (value, hash) => {
    expect(uuidHashExtended(uuidBytes(value))).toBe(hash);
  });

  test('seeds other than zero are mixed in as the server does', () => {
    expect(hashTextExtended('a', 1n)).toBe(3325245193489759299n);
    expect(hashInt8Extended(42n, PARTITION_SEED)).toBe(7363975540656877951n);
    expect(hashTextExtended('a', PARTITION_SEED)).toBe(-6705225459120232837n);
  });

  test('bytes beyond one hash block, at every length, differ from their neighbours', () => {
    const hashes = new Set<bigint>();
    for (let length = 0; length <= 64; length += 1)
      hashes.add(hashTextExtended('x'.repeat(length)));
    expect(hashes.size).toBe(65);
  });

  test('slots of consecutive integers spread evenly over the high bits', () => {
    const counts = new Array(16).fill(0);
    for (let key = 0n; key < 64_000n; key += 1n) {
      counts[Number(BigInt.asUintN(64, hashInt8Extended(key)) >> 60n)] += 1;
    }
    for (const count of counts) expect(Math.abs(count - 4000)).toBeLessThan(400);
  });

  test('time-ordered uuids with a common prefix do not collapse', () => {
    // jumphash reads the first eight bytes of a buffer and no more, so such keys all met in one bucket.
    const hashes = new Set<bigint>();
    for (let at = 0; at < 1000; at += 1) {
      const tail = createHash('md5').update(String(at)).digest('hex').slice(0, 16);
      hashes.add(uuidHashExtended(uuidBytes(`0198f3c2a7b07000${tail}`)));
    }
    expect(hashes.size).toBe(1000);
  });
});

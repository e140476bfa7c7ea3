import { createRequire } from 'node:module';
import { describe, expect, test } from 'vitest';
import { jumpHash } from './jump.js';

describe('jumpHash', () => {
  test('the vectors of go-jump and Guava come out', () => {
    expect(Array.from({ length: 20 }, (_, key) => jumpHash(key, 100))).toEqual([
      0, 55, 62, 8, 45, 59, 86, 97, 82, 59, 73, 37, 17, 56, 86, 21, 90, 37, 38, 83,
    ]);
    expect(jumpHash(10863919174838991n, 11)).toBe(6);
    expect(jumpHash(2016238256797177309n, 11)).toBe(3);
    expect(jumpHash(1673758223894951030n, 11)).toBe(5);
    expect(jumpHash(2, 100001)).toBe(80343);
    expect(jumpHash(2201, 100001)).toBe(22152);
    expect(jumpHash(2202, 100001)).toBe(15018);
    expect(Array.from({ length: 19 }, (_, at) => jumpHash(0xdeadbeef, at + 1))).toEqual([
      0, 1, 2, 3, 3, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 16, 16, 16,
    ]);
  });

  test('another bucket takes keys from all and moves none between the old ones', () => {
    let moved = 0;
    for (let key = 0n; key < 20_000n; key += 1n) {
      const before = jumpHash((key * 0x9e3779b97f4a7c15n) % 2n ** 63n, 10);
      const after = jumpHash((key * 0x9e3779b97f4a7c15n) % 2n ** 63n, 11);
      if (after !== before) {
        expect(after).toBe(10);
        moved += 1;
      }
    }
    expect(moved / 20_000).toBeCloseTo(1 / 11, 2);
  });

  test('a key and its negative are two keys, unlike in the npm port', () => {
    const peer = createRequire(import.meta.url)('jumphash');
    const keys = [1, 7, 42, 1234];
    expect(keys.every((key) => peer(key, 1000) === peer(-key, 1000))).toBe(true);
    expect(keys.some((key) => jumpHash(key, 1000) === jumpHash(-key, 1000))).toBe(false);
  });

  test.each([
    [1.5, 10],
    [2 ** 60, 10],
    [2n ** 64n, 10],
    [1, 0],
    [1, 2.5],
  ])('key %s with %s buckets is refused', (key, buckets) => {
    expect(() => jumpHash(key, buckets)).toThrow(expect.objectContaining({ code: 'KEY_INVALID' }));
  });
});

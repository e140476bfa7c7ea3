import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { FloorMap } from './floor-map.js';

const SIZE = 5000;
const entries = fc.array(
  fc.tuple(fc.integer({ min: 0, max: SIZE - 1 }), fc.integer({ min: 1, max: 9 })),
  { maxLength: 60 },
);

function mapOf(pairs: readonly (readonly [number, number])[], start = FloorMap.withRoomFor(SIZE)) {
  return pairs.reduce((map, [key, version]) => map.raise(key, { version, op: `${key}` }), start);
}

function plainOf(pairs: readonly (readonly [number, number])[]): Map<number, number> {
  const plain = new Map<number, number>();
  for (const [key, version] of pairs) plain.set(key, Math.max(version, plain.get(key) ?? 0));
  return plain;
}

describe('a map of floors', () => {
  it('holds the highest floor of every key, like a plain map', () => {
    fc.assert(
      fc.property(entries, (pairs) => {
        const map = mapOf(pairs);
        const plain = plainOf(pairs);
        for (const [key] of pairs) expect(map.get(key)?.version).toBe(plain.get(key));
        expect(map.get(SIZE - 1)?.version).toBe(plain.get(SIZE - 1));
      }),
    );
  });

  it('merges to the highest of both, and leaves both as they were', () => {
    fc.assert(
      fc.property(entries, entries, entries, (shared, left, right) => {
        const trunk = mapOf(shared);
        const [a, b] = [mapOf(left, trunk), mapOf(right, trunk)];
        const merged = a.merge(b);
        const plain = plainOf([...shared, ...left, ...right]);
        for (const [key, version] of plain) expect(merged.get(key)?.version).toBe(version);
        for (const [key, version] of plainOf(shared)) expect(trunk.get(key)?.version).toBe(version);
        for (const [key, version] of plainOf([...shared, ...left])) {
          expect(a.get(key)?.version).toBe(version);
        }
      }),
    );
  });

  it('is the same map when nothing rises', () => {
    const map = mapOf([[7, 3]]);
    expect(map.raise(7, { version: 3, op: 'later' })).toBe(map);
    expect(map.merge(map)).toBe(map);
    expect(map.merge(mapOf([[7, 2]]))).toBe(map);
  });

  it('knows no key of an empty map, and has room for one', () => {
    expect(FloorMap.withRoomFor(0).get(0)).toBeUndefined();
    expect(FloorMap.withRoomFor(1).raise(0, { version: 1, op: 'x' }).get(0)?.version).toBe(1);
  });
});

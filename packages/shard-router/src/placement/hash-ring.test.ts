import { createRequire } from 'node:module';
import { describe, expect, test } from 'vitest';
import { HashRing } from './hash-ring.js';

const names = Array.from({ length: 8 }, (_, at) => `10.0.0.${at + 1}:5432`);
const keys = Array.from({ length: 50_000 }, (_, at) => `user:${at}`);

function moves(before: (key: string) => string, after: (key: string) => string, touched: string) {
  let moved = 0;
  let between = 0;
  for (const key of keys) {
    const from = before(key);
    const to = after(key);
    if (from === to) continue;
    moved += 1;
    if (from !== touched && to !== touched) between += 1;
  }
  return { moved: moved / keys.length, between: between / keys.length };
}

describe('HashRing', () => {
  const ring = new HashRing(names.map((name) => ({ name })));

  test('adding a node moves its share to it and nothing between the others', () => {
    const grown = ring.with({ name: 'new' });
    const { moved, between } = moves(
      (key) => ring.get(key),
      (key) => grown.get(key),
      'new',
    );
    expect(between).toBe(0);
    expect(Math.abs(moved - 1 / 9)).toBeLessThan(0.02);
  });

  test('removing a node moves its keys only', () => {
    const shrunk = ring.without(names[3]!);
    const { between } = moves(
      (key) => ring.get(key),
      (key) => shrunk.get(key),
      names[3]!,
    );
    expect(between).toBe(0);
  });

  test('reweighting moves about the ideal share, where hashring also moves keys between the others', () => {
    const touched = names[2]!;
    const heavier = ring.with({ name: touched, weight: 2 });
    const ours = moves(
      (key) => ring.get(key),
      (key) => heavier.get(key),
      touched,
    );
    expect(ours.between).toBe(0);
    expect(Math.abs(ours.moved - (2 / 9 - 1 / 8))).toBeLessThan(0.02);

    const Peer = createRequire(import.meta.url)('hashring');
    const peer = (weight: number) => {
      const weights = names.map((name) => [name, { weight: name === touched ? weight : 1 }]);
      const made = new Peer(Object.fromEntries(weights), 'md5');
      return (key: string): string => made.get(key);
    };
    const theirs = moves(peer(1), peer(2), touched);
    expect(theirs.moved).toBeGreaterThan(1.4 * (2 / 9 - 1 / 8));
    expect(theirs.between).toBeGreaterThan(0.02);
  });

  test('1024 points a node keep the peak within 10 % of the average', () => {
    const counts = new Map<string, number>();
    for (const key of keys) counts.set(ring.get(key), (counts.get(ring.get(key)) ?? 0) + 1);
    expect(Math.max(...counts.values()) / (keys.length / names.length)).toBeLessThan(1.1);
  });

  test('the order of the nodes is irrelevant', () => {
    const reversed = new HashRing([...ring.nodes].reverse());
    for (const key of keys.slice(0, 1000)) expect(reversed.get(key)).toBe(ring.get(key));
  });

  test('successors are different nodes, the owner first', () => {
    const successors = ring.successors('user:1', 3);
    expect(new Set(successors).size).toBe(3);
    expect(successors[0]).toBe(ring.get('user:1'));
    expect(ring.successors('user:1', 99)).toHaveLength(8);
  });

  test('bad nodes are all named at once', () => {
    expect(() => new HashRing([{ name: 'a', weight: -1 }, { name: 'a' }])).toThrow(
      /weight of 'a' is -1.*'a' is there twice/,
    );
  });
});

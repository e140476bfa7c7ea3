import { describe, expect, test } from 'vitest';
import { rendezvous, type WeightedNode } from './rendezvous.js';

const nodes: WeightedNode[] = [
  { name: 'a' },
  { name: 'b', weight: 2 },
  { name: 'c' },
  { name: 'd', weight: 4 },
];
const keys = Array.from({ length: 20_000 }, (_, at) => `key:${at}`);

describe('rendezvous', () => {
  test('shares follow the weights', () => {
    const counts = new Map<string, number>();
    for (const key of keys) {
      const name = rendezvous(key, nodes);
      counts.set(name, (counts.get(name) ?? 0) + 1);
    }
    for (const { name, weight = 1 } of nodes) {
      expect(counts.get(name)! / keys.length).toBeCloseTo(weight / 8, 1.7);
    }
  });

  test('a removed node gives away its own keys and no others', () => {
    for (const key of keys.slice(0, 3000)) {
      const before = rendezvous(key, nodes);
      const after = rendezvous(
        key,
        nodes.filter(({ name }) => name !== 'c'),
      );
      if (before !== 'c') expect(after).toBe(before);
    }
  });

  test('a raised weight draws keys to that node only', () => {
    const raised = nodes.map((node) => (node.name === 'a' ? { name: 'a', weight: 3 } : node));
    for (const key of keys.slice(0, 3000)) {
      const after = rendezvous(key, raised);
      if (after !== rendezvous(key, nodes)) expect(after).toBe('a');
    }
  });

  test('the order of the nodes does not matter', () => {
    for (const key of keys.slice(0, 500)) {
      expect(rendezvous(key, [...nodes].reverse())).toBe(rendezvous(key, nodes));
    }
  });

  test('no node and a weight of zero are refused', () => {
    expect(() => rendezvous('k', [])).toThrow('no node');
    expect(() => rendezvous('k', [{ name: 'a', weight: 0 }])).toThrow("weight of node 'a' is 0");
  });
});

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { AdmissibleEntry, AdmittedEntries } from './admission.js';
import { freezeAndMeasure } from './freeze.js';
import { LocalStamps } from './local-stamps.js';
import { MemoryEntry, MemoryTier } from './memory-tier.js';

function entry(key: string, bytes = 1) {
  return new AdmissibleEntry(key, bytes);
}

function memoryEntry(key: string, sequence: number, names: readonly string[]) {
  return new MemoryEntry(key, 'v', 10, 0, 1000, 1000, 1000, 1, sequence, names);
}

describe('admission', () => {
  it('never holds more entries or bytes than allowed, and counts them rightly', () => {
    const operation = fc.tuple(
      fc.constantFrom('put', 'hit', 'delete'),
      fc.nat(40),
      fc.integer({ min: 1, max: 30 }),
    );
    fc.assert(
      fc.property(fc.array(operation, { maxLength: 400 }), (operations) => {
        const entries = new AdmittedEntries({ maxEntries: 12, maxBytes: 150 });
        for (const [kind, number, bytes] of operations) {
          const key = `k${number}`;
          if (kind === 'put') entries.put(entry(key, bytes));
          else if (kind === 'hit') entries.hit(key);
          else entries.delete(key);
          expect(entries.size).toBeLessThanOrEqual(12);
          const held = [...entries.keys()].map((one) => entries.look(one)?.bytes ?? Number.NaN);
          expect(entries.bytes).toBe(held.reduce((sum, one) => sum + one, 0));
          expect(entries.bytes).toBeLessThanOrEqual(150);
          expect(held.length).toBe(entries.size);
        }
      }),
    );
  });

  it('keeps what is asked for again against a flood of keys that are not', () => {
    const entries = new AdmittedEntries({ maxEntries: 100, maxBytes: 1e9 });
    for (let index = 0; index < 50; index += 1) {
      entries.put(entry(`hot${index}`));
      entries.hit(`hot${index}`);
    }
    for (let index = 0; index < 10_000; index += 1) {
      if (index % 10 === 0) entries.hit(`hot${(index / 10) % 50}`);
      entries.put(entry(`once${index}`));
    }
    const kept = Array.from({ length: 50 }, (_, index) => entries.look(`hot${index}`)).filter(
      Boolean,
    );
    expect(kept.length).toBe(50);
  });

  it.each([0.8, 1])(
    'beats plain LRU on a Zipf workload (%s) at one per cent by five points',
    (alpha) => {
      const keys = 50_000;
      const capacity = 500;
      const zipf = zipfian(keys, alpha, 7);
      const entries = new AdmittedEntries({ maxEntries: capacity, maxBytes: 1e9 });
      const lru = new Map<number, true>();
      const hits = { ours: 0, lru: 0 };
      const requests = 400_000;
      for (let index = 0; index < requests; index += 1) {
        const key = zipf();
        if (entries.hit(`${key}`) !== undefined) hits.ours += 1;
        else entries.put(entry(`${key}`));
        if (lru.delete(key)) hits.lru += 1;
        lru.set(key, true);
        if (lru.size > capacity) lru.delete(lru.keys().next().value as number);
      }
      const points = (100 * (hits.ours - hits.lru)) / requests;
      console.error(
        `Zipf ${alpha}: LRU ${((100 * hits.lru) / requests).toFixed(1)} %, ours +${points.toFixed(1)}`,
      );
      expect(points).toBeGreaterThan(5);
    },
  );
});

function zipfian(count: number, alpha: number, seed: number): () => number {
  const cumulative = new Float64Array(count);
  let sum = 0;
  for (let rank = 0; rank < count; rank += 1) {
    sum += 1 / (rank + 1) ** alpha;
    cumulative[rank] = sum;
  }
  let state = seed;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    const target = (state / 2 ** 32) * sum;
    let low = 0;
    let high = count - 1;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((cumulative[middle] as number) < target) low = middle + 1;
      else high = middle;
    }
    return low;
  };
}

describe('L1', () => {
  it('refuses a fill whose key or name was invalidated after its ticket', () => {
    const memory = new MemoryTier({ maxEntries: 10, maxBytes: 1e6 });
    const before = memory.ticket('a');
    memory.invalidate('a');
    expect(memory.fill(before, memoryEntry('a', before.sequence, []))).toBe(false);
    const tagged = memory.ticket('a');
    memory.invalidateName('t:vip');
    expect(memory.fill(tagged, memoryEntry('a', tagged.sequence, ['t:vip']))).toBe(false);
    expect(memory.fill(tagged, memoryEntry('a', tagged.sequence, ['t:other']))).toBe(true);
    const cleared = memory.ticket('a');
    memory.clear();
    expect(memory.fill(cleared, memoryEntry('a', cleared.sequence, []))).toBe(false);
  });

  it('finds an entry invalid whose name was invalidated, and others valid', () => {
    const memory = new MemoryTier({ maxEntries: 10, maxBytes: 1e6 });
    const vip = memoryEntry('a', 0, ['t:vip']);
    const plain = memoryEntry('b', 0, []);
    memory.fill(memory.ticket('a'), vip);
    memory.fill(memory.ticket('b'), plain);
    memory.invalidateName('t:vip');
    expect([memory.areNamesUnchanged(vip), memory.areNamesUnchanged(plain)]).toEqual([false, true]);
    expect(memory.entries.look('a')).toBe(undefined);
  });

  it('forgetting names costs hits, never freshness', () => {
    const stamps = new LocalStamps(10);
    stamps.invalidate('old');
    const sequence = 0;
    for (let index = 0; index < 50; index += 1) stamps.invalidate(`t${index}`);
    expect(stamps.areUnchangedSince(sequence, ['old'])).toBe(false);
    expect(stamps.areUnchangedSince(sequence, ['never'])).toBe(false); // conservative
    expect(stamps.areUnchangedSince(stamps.sequence, ['old', 't1'])).toBe(true);
    stamps.invalidateAll();
    expect(stamps.areUnchangedSince(stamps.sequence - 1, [])).toBe(false);
  });
});

describe('freezing', () => {
  it('reaches everything that is plain data, cycles and maps included', () => {
    const inner = { deep: [1, { x: 1 }] };
    const value: Record<string, unknown> = { inner, map: new Map([['k', { y: 1 }]]) };
    value['self'] = value;
    const bytes = freezeAndMeasure(value);
    expect(bytes).toBeGreaterThan(100);
    expect([value, inner, inner.deep, inner.deep[1]].every((one) => Object.isFrozen(one))).toBe(
      true,
    );
    expect(Object.isFrozen((value['map'] as Map<string, object>).get('k'))).toBe(true);
  });

  it('leaves bytes alone and counts them', () => {
    expect(freezeAndMeasure({ body: Buffer.alloc(1000) })).toBeGreaterThan(1000);
    expect(freezeAndMeasure('x'.repeat(100))).toBe(116);
  });
});

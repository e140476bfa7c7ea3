import { ManualClock } from '@shardline/core';
import { describe, expect, it } from 'vitest';
import { createCache, type Inconsistency, type NamespaceOptions } from '../index.js';

function probed(options: Partial<NamespaceOptions<unknown>> = {}) {
  const clock = new ManualClock();
  const found: Inconsistency[] = [];
  const cache = createCache({
    clock,
    random: () => 0,
    onInconsistency: (one) => found.push(one),
  });
  const source = { value: { at: 1 } as unknown, marks: [] as (string | undefined)[] };
  const things = cache.namespace<unknown>('things', {
    ttl: '1h',
    jitter: 0,
    probe: 1,
    load: async (_key, { freshness }) => {
      source.marks.push(freshness);
      return source.value;
    },
    ...options,
  });
  return { cache, clock, found, source, things };
}

describe('the probe', () => {
  it('finds nothing where nothing is wrong, whatever the order of an object', async () => {
    const { clock, found, source, things } = probed();
    source.value = { a: 1, b: [new Date(0).toISOString(), undefined] };
    await things.get('k');
    await clock.advance(10);
    source.value = { b: [new Date(0).toISOString(), null], a: 1 };
    await things.get('k');
    await clock.advance(10_000);
    expect(found).toEqual([]);
    expect(things.stats()).toMatchObject({ probes: 2, inconsistentBeyondBound: 0 });
  });

  it('gives a change the time of its invalidation', async () => {
    const { clock, found, source, things } = probed();
    await things.get('k');
    await clock.advance(10);
    source.value = { at: 2 };
    await things.get('k'); // still the old one; the invalidation is on its way
    await clock.advance(500);
    await things.invalidate('k');
    await clock.advance(700_000);
    expect(found).toEqual([]);
    expect(things.stats().probes).toBeGreaterThan(1);
  });

  it('counts what goes on to be wrong, by how long it has been', async () => {
    const { cache, clock, found, source, things } = probed();
    await things.get('k');
    await clock.advance(10);
    source.value = { at: 2 }; // and nobody invalidates
    await things.get('k');
    await clock.advance(5000);
    expect(found).toEqual([{ namespace: 'things', key: 'k', stage: 'bound' }]);
    await clock.advance(700_000);
    expect(found.map(({ stage }) => stage)).toEqual(['bound', '1m', '10m']);
    expect(things.stats()).toMatchObject({
      inconsistentBeyondBound: 1,
      inconsistentBeyond1m: 1,
      inconsistentBeyond10m: 1,
    });
    await cache.close();
    expect(clock.pending).toBe(0);
  });

  it('looks at the declared share of the hits of L1', async () => {
    const clock = new ManualClock();
    let state = 1;
    const random = () => {
      state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
      return state / 2 ** 32;
    };
    const cache = createCache({ clock, random });
    const things = cache.namespace<string>('things', { ttl: '1h', probe: 0.001, load: (k) => k });
    for (let index = 0; index < 200_000; index += 1) {
      await things.get(`k${index % 100}`);
      if (index % 100 === 0) await clock.advance(1);
    }
    const { probes } = things.stats();
    expect(probes).toBeGreaterThan(140);
    expect(probes).toBeLessThan(270);
  });
});
